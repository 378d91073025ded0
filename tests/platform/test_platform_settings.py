"""Settings that only show at start-up: the instance file, the two names of one code location, the environment."""

import shutil
import tomllib
from pathlib import Path

import dagster as dg
import pytest
import yaml

from hip3_platform.dagster_storage import KeptEventLog
from hip3_platform.definitions import defs
from hip3_platform.resources.warehouse import WarehouseResource

ROOT = Path(__file__).resolve().parents[2]


def test_instance_file_is_accepted_quiet_and_serial_for_writers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(ROOT / "dagster_home" / "dagster.yaml", tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with dg.DagsterInstance.get() as instance:
        assert isinstance(instance.event_log_storage, KeptEventLog)
        assert instance.event_log_storage.path_for_shard("index").startswith(str(tmp_path / "history" / "runs"))
        assert instance.telemetry_enabled is False
        assert instance.nux_enabled is False
        pools = instance.get_concurrency_config().pool_config
        assert pools.default_pool_limit == 1
        assert str(pools.pool_granularity.value) == "run"
        assert instance.get_concurrency_config().run_queue_config.max_concurrent_runs == 2


def test_workspace_and_dg_name_the_same_code_location() -> None:
    workspace = yaml.safe_load((ROOT / "workspace.yaml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["dg"]["project"]
    (location,) = workspace["load_from"]
    assert location["python_module"]["location_name"] == project["code_location_name"]
    assert location["python_module"]["module_name"] == f"{project['root_module']}.definitions"


def test_environment_chooses_warehouse_venue_account_and_blacklist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HIP3_WAREHOUSE", str(tmp_path))
    monkeypatch.setenv("HIP3_VENUE", "testnet")
    monkeypatch.setenv("HIP3_ACCOUNT", "0xABC")
    monkeypatch.setenv("HIP3_BLACKLIST", "xyz:A, xyz:B")
    resources = defs().resources or {}
    assert (resources["warehouse"].root, resources["warehouse"].venue) == (str(tmp_path), "testnet")
    assert resources["policy"].rotation.blacklist.manual == ("xyz:A", "xyz:B")
    assert resources["policy"].rotation.account == "0xabc", "the sidecar's spelling"
    assert resources["sidecar"].root == str(tmp_path)


@pytest.mark.parametrize("account", [None, ""])
def test_environment_without_an_account_rotates_for_paper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, account: str | None
) -> None:
    monkeypatch.setenv("HIP3_WAREHOUSE", str(tmp_path))
    monkeypatch.delenv("HIP3_ACCOUNT", raising=False)
    if account is not None:
        monkeypatch.setenv("HIP3_ACCOUNT", account)
    assert (defs().resources or {})["policy"].rotation.account == "paper"


@pytest.mark.parametrize("venue", ["../sim", "", "a/b", "sim\n"])
def test_venue_that_may_not_be_a_path_is_refused(tmp_path: Path, venue: str) -> None:
    with pytest.raises(ValueError, match="expected 1-64 characters"):
        WarehouseResource(root=str(tmp_path), venue=venue).landing()
