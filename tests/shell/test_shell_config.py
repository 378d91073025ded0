"""Configuration: what is refused is refused by name, and nothing but the file may widen a limit."""

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.core.errors import ConfigError
from streaming.core.limits import Limits, SizingLimits
from streaming.shell.config.load import effective, load_config
from streaming.shell.config.schema import Config, config_hash, config_json, problems


def a_file(folder: Path, text: str) -> Path:
    path = folder / "hip3.toml"
    path.write_text(text)
    return path


def refused(path: Path | None, **sources: dict[str, str]) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(path, flags=sources.get("flags"), environ=sources.get("environ", {}))
    return str(caught.value)


def test_config_without_any_source_is_valid_and_observes_sim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    loaded = load_config(None, environ={})
    assert (loaded.config.venue, loaded.config.account, loaded.file) == ("sim", "", None)
    assert problems(loaded.config) == ()


def test_config_file_of_working_directory_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_file(tmp_path, "sim_port = 9999")
    monkeypatch.chdir(tmp_path)
    assert load_config(None, environ={}).config.sim_port == 9999


def test_config_environment_may_name_the_file(tmp_path: Path) -> None:
    path = a_file(tmp_path, "sim_port = 9999")
    assert load_config(None, environ={"HIP3_CONFIG": str(path)}).config.sim_port == 9999


def test_config_precedence_is_default_file_environment_flag(tmp_path: Path) -> None:
    path = a_file(tmp_path, "sim_port = 1\ncontrol_port = 2\ndexes = ['abc']\n")
    loaded = load_config(path, environ={"HIP3_CONTROL_PORT": "3", "HIP3_DEXES": "x, y"}, flags={"control_port": "4"})
    values = {key: (value, source.split(" ")[0]) for key, value, source in effective(loaded)}
    assert values["sim_port"] == ("1", "file")
    assert values["control_port"] == ("4", "flag")
    assert values["dexes"] == ("x, y", "environment")
    assert values["venue"] == ("sim", "default")
    assert values["limits.gates.ctx_age_ms_max"] == ("8000", "default")


def test_config_numbers_are_read_from_their_text(tmp_path: Path) -> None:
    path = a_file(tmp_path, "[limits.detector]\nedge_bps_min = 2.1\n[limits.gates]\nspread_ewma_alpha = '0.05'\n")
    limits = load_config(path, environ={}).config.limits
    assert limits.detector.edge_bps_min == Decimal("2.1")
    assert limits.gates.spread_ewma_alpha == Decimal("0.05")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("controlport = 1", "controlport: unknown key"),
        ("[limits.gates]\nctx_age_max = 1", "limits.gates.ctx_age_max: unknown key"),
        ("control_port = 70000", "control_port"),
        ("control_port = '8787'", "control_port"),
        ("venue = 'https://evil.example'", "venue"),
        ("transport = 'curl'", "transport"),
        ("journal_segment_age_s_max = 0", "journal_segment_age_s_max"),
        ("[limits.gates]\nctx_age_ms_max = 0", "limits.gates.ctx_age_ms_max"),
        ("account = '0x12'", "account"),
        ("dexes = []", "dexes"),
        ("dexes = ['../etc']", "dexes"),
        ("coins = ['NVDA']", "coins"),
        ("coins = ['abc:NVDA']", "coins"),
        ("channels = ['bbo']", "channels"),
        ("channels = ['bbo', 'bbo', 'activeAssetCtx']", "channels"),
        ("[limits.detector]\nrearm_ratio = 1.0", "limits.detector.rearm_ratio"),
        ("[limits.detector]\nrearm_ratio = 0.0", "limits.detector.rearm_ratio"),
        ("[limits.detector]\nfollowup_offsets_ms = [3000, 1000]", "limits.detector.followup_offsets_ms"),
        ("[limits.gates]\nspread_shock_ratio_max = 1.0", "limits.gates.spread_shock_ratio_max"),
        ("[limits.gates]\nmark_mid_divergence_bps_max = 0.0", "limits.gates.mark_mid_divergence_bps_max"),
        ("[limits.gates]\nmark_mid_divergence_bps_max = nan", "limits.gates.mark_mid_divergence_bps_max"),
        ("[limits.gates]\nmark_mid_divergence_bps_max = inf", "limits.gates.mark_mid_divergence_bps_max"),
        ("[limits.gates.disabled_gates]\nnonsense = 'why'", "nonsense"),
        ("[limits.gates.disabled_gates]\nhalt = ' '", "limits.gates.disabled_gates.halt"),
        ("[limits.sizing]\norder_ntl_min = 60.0", "limits.sizing.order_ntl_min"),
        ("[limits.sizing]\nposition_ntl_max = 40.0", "limits.sizing.order_ntl_max"),
        ("[limits.sizing]\naccount_ntl_max = 99.0", "limits.sizing.position_ntl_max"),
        ("[limits.sizing]\nalpha_ratio = 1.5", "limits.sizing.alpha_ratio"),
        ("sim_port = ", "TOML"),
    ],
)
def test_config_bad_value_is_refused_naming_the_key(tmp_path: Path, text: str, named: str) -> None:
    message = refused(a_file(tmp_path, text))
    assert named in message
    assert "expected" in message.lower()


def test_config_all_problems_are_told_at_once(tmp_path: Path) -> None:
    message = refused(a_file(tmp_path, "account = 'x'\n[limits.detector]\nrearm_ratio = 2.0\n"))
    assert "account" in message
    assert "rearm_ratio" in message


def test_config_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    assert "--config" in refused(tmp_path / "absent.toml")


def test_config_unknown_environment_name_is_refused(tmp_path: Path) -> None:
    assert "controlport" in refused(a_file(tmp_path, ""), environ={"HIP3_CONTROLPORT": "1"})


@pytest.mark.parametrize("source", ["flags", "environ"])
def test_config_environment_and_flags_tighten_but_never_widen_the_file(tmp_path: Path, source: str) -> None:
    path = a_file(tmp_path, "[limits.gates]\nctx_age_ms_max = 5000\n[limits.sizing]\norder_ntl_max = 20.0\n")

    def given(key: str, value: str) -> dict[str, dict[str, str]]:
        name = key if source == "flags" else "HIP3_" + key.upper().replace(".", "__")
        return {source: {name: value}}

    key = "limits.gates.ctx_age_ms_max"
    tight = given(key, "4000")
    loaded = load_config(path, flags=tight.get("flags"), environ=tight.get("environ", {}))
    assert loaded.config.limits.gates.ctx_age_ms_max == 4000
    assert "I-32" in refused(path, **given(key, "5001"))
    assert "order_ntl_max" in refused(path, **given("limits.sizing.order_ntl_max", "21"))


def test_config_flag_may_not_disable_a_gate(tmp_path: Path) -> None:
    message = refused(a_file(tmp_path, ""), flags={"limits.gates.disabled_gates.halt": "because"})
    assert "disabled_gates" in message


@given(st.decimals("0.01", "1000", places=2), st.decimals("0.01", "1000", places=2))
def test_config_order_of_sizing_limits_is_enforced(low: Decimal, high: Decimal) -> None:
    sizing = SizingLimits(
        order_ntl_min=low, order_ntl_max=high, position_ntl_max=Decimal(1000), account_ntl_max=Decimal(1000)
    )
    found = problems(Config(limits=Limits(sizing=sizing)))
    assert bool(found) is (low > high)


def test_config_hash_changes_with_any_value_and_only_then() -> None:
    base = Config()
    assert config_hash(base) == config_hash(msgspec.json.decode(config_json(base), type=Config))
    others = [
        Config(sim_port=1),
        Config(dexes=("a",)),
        Config(limits=Limits(sizing=SizingLimits(alpha_ratio=Decimal(1)))),
    ]
    assert len({config_hash(config) for config in (base, *others)}) == 4
