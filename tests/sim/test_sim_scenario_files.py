import json
import re
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from streaming.core.errors import ConfigError
from streaming.sim.markets.generator import Generator
from streaming.sim.scenario.characters import Label
from streaming.sim.scenario.demo import DEMO
from streaming.sim.scenario.fault_check import checked_fault
from streaming.sim.scenario.files import MarketEntry, ScenarioFile
from streaming.sim.scenario.load import NAMES, load_scenario
from streaming.sim.scenario.rules import VenueRules

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
EXAMPLE = DOCS / "scenario.example.toml"
MARKET = """
[[markets]]
coin = "xyz:ABC"
sz_decimals = 2
leverage_max = 10
px = 100.0
spread_bps = 2.0
touch_usd = 1e4
depth_usd = 1e5
vol_bps = 0.5
oi_usd = 1e6
volume_usd = 1e6
[markets.character]
label = "noise"
jump_rate_h = 1.0
jump_bps_min = 5.0
jump_bps_scale = 3.0
bbo_rate_s = 1.0
"""
WHOLE = 'name = "mine"\ndexes = [{ name = "" }, { name = "xyz" }]\n' + MARKET


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "scenario.toml"
    path.write_text(text)
    return str(path)


def refused(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_scenario(written(tmp_path, text), seed=7)
    return str(caught.value)


def test_example_loads_and_keeps_the_asset_ids_of_its_base() -> None:
    scenario = load_scenario(str(EXAMPLE), seed=7)
    assert re.fullmatch(r"example-[0-9a-f]{8}", scenario.name)
    assert scenario.characters["mine:WIDGET"].label is Label.STALE_QUOTE
    assert scenario.characters["xyz:GOLD"].label is Label.STANDING_BASIS
    assert scenario.characters["xyz:NVDA"] == DEMO.characters["xyz:NVDA"]
    ids = scenario.universe.asset_ids
    assert {coin: ids[coin] for coin in DEMO.universe.asset_ids} == DEMO.universe.asset_ids
    assert ids["mine:WIDGET"] == 120_000
    assert [fault.kind for fault in scenario.faults] == ["halt", "duplicate"]
    assert Generator(7, scenario).hour("mine:WIDGET", 494_870).ctx_ts_ms.size == 3_600


def test_example_uses_every_top_level_key_and_only_keys_of_the_schema() -> None:
    import tomllib

    schema = json.loads((DOCS / "scenario.schema.json").read_text())
    tree = tomllib.loads(EXAMPLE.read_text())
    assert set(tree) == set(schema["$defs"]["ScenarioFile"]["properties"])
    assert set(tree["markets"][0]) == set(schema["$defs"]["MarketEntry"]["properties"])
    assert all("description" in each for each in schema["$defs"]["ScenarioFile"]["properties"].values())


def test_schema_names_the_keys_of_the_structs() -> None:
    schema = json.loads((DOCS / "scenario.schema.json").read_text())
    for struct in (ScenarioFile, MarketEntry):
        assert set(schema["$defs"][struct.__name__]["properties"]) == set(struct.__struct_fields__)
        assert schema["$defs"][struct.__name__]["additionalProperties"] is False


def test_scenario_of_ones_own_needs_no_base(tmp_path: Path) -> None:
    scenario = load_scenario(written(tmp_path, WHOLE), seed=7)
    assert scenario.universe.asset_ids == {"xyz:ABC": 110_000}
    assert scenario.rules == VenueRules()


@pytest.mark.parametrize("name", NAMES)
def test_file_without_markets_has_the_very_markets_of_its_base(tmp_path: Path, name: str) -> None:
    text = f'name = "mine"\nbase = "{name}"\n[rules]\ntaker_delay_ms = 1\n[[faults]]\nkind = "mute"\n'
    scenario, base = load_scenario(written(tmp_path, text), seed=7), load_scenario(name, seed=7)
    assert (scenario.name, scenario.universe, scenario.characters) == (base.name, base.universe, base.characters)
    assert scenario.rules.taker_delay_ms == 1


def test_name_follows_the_markets_and_nothing_else(tmp_path: Path) -> None:
    name = load_scenario(written(tmp_path, WHOLE), seed=7).name
    assert load_scenario(written(tmp_path, WHOLE + '[[faults]]\nkind = "mute"\n'), seed=8).name == name
    assert load_scenario(written(tmp_path, WHOLE + "[rules]\ncommit_ms = 5\n"), seed=7).name == name
    assert load_scenario(written(tmp_path, WHOLE.replace("px = 100.0", "px = 100.5")), seed=7).name != name
    assert load_scenario(written(tmp_path, WHOLE.replace("bbo_rate_s = 1.0", "bbo_rate_s = 1.1")), seed=7).name != name


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("px = 100.0", "px = -1.0", r"markets\[0\]\.px: expected `float` > 0\.0, found '-1\.0'"),
        ("px = 100.0", 'px = "100"', r"markets\[0\]\.px: expected `float`.*found '100'"),
        ("px = 100.0\n", "", r"markets\[0\]: .*missing required field `px`"),
        ("px = 100.0", "px = nan", r"finite numbers, found others at markets\[0\]\.px"),
        ("px = 100.0", "px = 0.001", r"markets\[0\]\.px: expected at least 0\.01 with sz_decimals 2, found 0\.001"),
        ("depth_usd = 1e5", "depth_usd = 1e2", r"markets\[0\]\.depth_usd: expected at least touch_usd"),
        ("touch_usd = 1e4", "touch_usd = 0.001", r"markets\[0\]\.touch_usd: expected at least one lot"),
        ("oi_usd = 1e6", "oi_usd = 1e11", r"markets\[0\]\.oi_usd: expected at most oi_cap_usd"),
        ("spread_bps = 2.0", "spread_bps = 9e9", r"markets\[0\]\.spread_bps: expected at most 2000"),
        ("sz_decimals = 2", "sz_decimals = 9", r"markets\[0\]\.sz_decimals: expected `int` <= 5, found '9'"),
        ("sz_decimals = 2", "sz_decimals = 2\nfee_scale = 4", r"markets\[0\]\.fee_scale: expected 0 to 3, found 4"),
        (
            "sz_decimals = 2",
            'sz_decimals = 2\nfee_scale = "NaN"',
            r"markets\[0\]\.fee_scale: expected 0 to 3, found NaN",
        ),
        ("leverage_max = 10", "leverage = 10", r"markets\[0\]: object contains unknown field `leverage`"),
        ('label = "noise"', 'label = "lucky"', r"markets\[0\]\.character\.label: .*'lucky'"),
        ("jump_rate_h = 1.0", "jump_rate_h = 1e9", r"markets\[0\]\.character\.jump_rate_h: expected `float` <= 3600"),
        ("jump_rate_h = 1.0", "jump_rate_h = 1.0\nslow_ratio = 0.5", r"markets\[0\]\.character\.slow_ratio.* expected"),
        ('coin = "xyz:ABC"', 'coin = "abc:ABC"', r"markets\[0\]\.coin: expected a dex among .*, found 'abc'"),
        ('coin = "xyz:ABC"', 'coin = "xyz:A B"', r"markets\[0\]\.coin: expected `str` matching"),
        ('{ name = "xyz" }', '{ name = "xyz" }, { name = "xyz" }', r"dexes\[2\]\.name: expected every dex once"),
        ('name = "mine"', 'name = "mine"\nbase = "moon"', r"base: expected one of .*demo.*found 'moon'"),
        ('name = "mine"', 'name = "My Scenario"', r"name: expected `str` matching .*found 'My Scenario'"),
        ('name = "mine"', 'name = "mine"\nspeed = 2', r"unknown field `speed`"),
        (MARKET, "", r"markets: expected at least one market of a builder dex"),
        (MARKET, MARKET + MARKET, r"markets\[1\]\.coin: expected every market once, found 'xyz:ABC' again"),
        ('name = "mine"', "name = mine", r"expected TOML in|expected TOML"),
    ],
)
def test_file_with_an_impossible_value_names_the_key(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in WHOLE
    message = refused(tmp_path, WHOLE.replace(old, new, 1))
    assert re.search(expected, message), message
    assert "scenario.toml" in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[rules]\ntaker_delay_ms = -1\n", r"rules\.taker_delay_ms: expected `int` >= 0, found '-1'"),
        ("[rules]\ninitial_balance_usd = -5\n", r"rules\.initial_balance_usd: expected 0 to .*, found -5"),
        ("[rules]\nprice_band_ratio = 0\n", r"rules\.price_band_ratio: expected above 0"),
        ("[rules.limits]\nweights = 1\n", r"rules\.limits: object contains unknown field `weights`"),
        ('[[faults]]\nkind = "meteor"\n', r"faults\[0\]\.kind: expected one of .*mute.*; found 'meteor'"),
        (
            '[[faults]]\nkind = "mute"\ncoins = ["xyz:NO"]\n',
            r"faults\[0\]\.coins\[0\]: expected a market of the scenario",
        ),
        ('[[faults]]\nkind = "mute"\nusers = ["0xABC"]\n', r"faults\[0\]\.users\[0\]: expected 0x and 40"),
        ('[[faults]]\nkind = "halt"\nusers = ["0xABC"]\n', r"faults\[0\]\.users: kind 'halt' is narrowed by coins"),
        ('[[faults]]\nkind = "halt"\ncount = 2\n', r"faults\[0\]\.count: kind 'halt' is a state"),
        ('[[faults]]\nkind = "close"\nfor_s = 2\n', r"faults\[0\]\.for_s: kind 'close' happens at once"),
        ('[[faults]]\nkind = "mute"\nat_s = -1\n', r"faults\[0\]\.at_s: expected `float` >= 0"),
        (
            '[[faults]]\nkind = "close"\nparameters = {code = 7}\n',
            r"faults\[0\]\.parameters\.code: expected 1000 to 4999, found 7",
        ),
        (
            '[[faults]]\nkind = "close"\nparameters = {code = true}\n',
            r"parameters\.code: expected a whole number, found True",
        ),
        ('[[faults]]\nkind = "close"\nparameters = {cod = 1000}\n', r"parameters\.cod: kind 'close' has code"),
        (
            '[[faults]]\nkind = "book"\nparameters = {shape = "odd"}\n',
            r"parameters\.shape: expected one of empty, .*found 'odd'",
        ),
        ('[[faults]]\nkind = "thin"\nparameters = {ratio = "x"}\n', r"parameters\.ratio: expected a number, found 'x'"),
        (
            '[[faults]]\nkind = "parameter"\nparameters = {name = "sz_decimals", value = "9"}\n',
            r"parameters\.value: expected `int` <= 5 for sz_decimals, found '9'",
        ),
        (
            '[[faults]]\nkind = "parameter"\nparameters = {name = "fee_scale", value = "NaN"}\n',
            r"parameters\.value: expected 0 to 10 for fee_scale, found 'NaN'",
        ),
        (
            '[[faults]]\nkind = "parameter"\nparameters = {name = "oi_cap_usd", value = "inf"}\n',
            r"parameters\.value: expected a finite number for oi_cap_usd",
        ),
        (
            '[[faults]]\nkind = "parameter"\nparameters = {name = "is_growth_mode", value = "maybe"}\n',
            r"parameters\.value: expected true or false for is_growth_mode",
        ),
        (
            '[[faults]]\nkind = "transfer"\nparameters = {dex = "no"}\n',
            r"parameters\.dex: expected a dex among \['', 'xyz'\], found 'no'",
        ),
    ],
)
def test_rules_and_faults_that_can_not_be_name_the_key(tmp_path: Path, text: str, expected: str) -> None:
    message = refused(tmp_path, WHOLE + text)
    assert re.search(expected, message, re.IGNORECASE), message


def test_all_contradictions_are_told_at_once(tmp_path: Path) -> None:
    text = WHOLE.replace("depth_usd = 1e5", "depth_usd = 1.0") + '[[faults]]\nkind = "meteor"\n'
    message = refused(tmp_path, text)
    assert "markets[0].depth_usd" in message
    assert "faults[0].kind" in message


def test_unknown_names_and_missing_files_say_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--scenario: expected one of demo.*found 'moon'"):
        load_scenario("moon", seed=7)
    with pytest.raises(ConfigError, match=r"--scenario: expected a readable file, found No such file"):
        load_scenario(str(tmp_path / "no.toml"), seed=7)
    with pytest.raises(ConfigError, match="Is a directory"):
        load_scenario(f"{tmp_path}/", seed=7)


def test_device_is_no_scenario_file(tmp_path: Path) -> None:
    path = tmp_path / "endless.toml"
    path.symlink_to("/dev/null")  # /dev/zero would never end
    with pytest.raises(ConfigError, match=r"--scenario: expected a readable file, found no regular file at"):
        load_scenario(str(path), seed=7)


def test_numbers_are_read_from_their_text(tmp_path: Path) -> None:
    text = WHOLE.replace("sz_decimals = 2", "sz_decimals = 2\nfee_scale = 0.1")
    scenario = load_scenario(written(tmp_path, text + "[rules]\ninitial_balance_usd = 0.3\n"), seed=7)
    assert scenario.universe.markets[0].fee_scale == Decimal("0.1")
    assert scenario.rules.initial_balance_usd == Decimal("0.3")


def test_fault_from_json_is_checked_like_one_from_a_file() -> None:
    spec = checked_fault(msgspec.json.decode(b'{"kind":"mute","coins":["xyz:NVDA"],"for_s":3}'), DEMO.universe)
    assert (spec.kind, spec.coins, spec.for_s) == ("mute", ("xyz:NVDA",), 3)
    for tree, expected in (
        ({"kind": "mute", "colour": "red"}, "unknown field `colour`"),
        ({"kind": 3}, "kind: expected `str`"),
        ([], "fault: expected `object`"),
        ({"kind": "mute", "parameters": {"x": [1]}}, "parameters"),
    ):
        with pytest.raises(ConfigError, match=expected):
            checked_fault(tree, DEMO.universe)
