"""One live instance per venue and account (I-30, F-69)."""

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from streaming.core.errors import StoreError
from streaming.shell.process.lock import AlreadyRunning, InstanceLock, holder_of

HOLD = """
import sys, pathlib
from streaming.shell.process.lock import InstanceLock
with InstanceLock(pathlib.Path(sys.argv[1]), "sim", ""):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_lock_second_instance_is_refused_naming_the_holder(tmp_path: Path) -> None:
    with InstanceLock(tmp_path, "sim", ""), pytest.raises(AlreadyRunning, match=f"pid {os.getpid()}"):
        InstanceLock(tmp_path, "sim", "")


def test_lock_other_venue_or_account_is_free(tmp_path: Path) -> None:
    accounts = ["", "0x" + "1" * 40, "0x" + "2" * 40]
    with ExitStack() as held:
        held.enter_context(InstanceLock(tmp_path, "testnet", ""))
        for account in accounts:
            held.enter_context(InstanceLock(tmp_path, "sim", account))


def test_lock_account_is_one_whatever_its_case(tmp_path: Path) -> None:
    account = "0x" + "ab" * 20
    with InstanceLock(tmp_path, "sim", account), pytest.raises(AlreadyRunning):
        InstanceLock(tmp_path, "sim", account.upper().replace("0X", "0x"))


def test_lock_is_free_again_after_release_and_after_sigkill(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(AlreadyRunning, match=f"pid {holder.pid}"):
            InstanceLock(tmp_path, "sim", "")
        holder.kill()
        holder.wait()
    for _ in range(2):
        with InstanceLock(tmp_path, "sim", ""):
            pass


def test_lock_in_warehouse_that_can_not_be_written_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "control").write_text("a file where the folder should be")
    with pytest.raises(StoreError, match="--warehouse"):
        InstanceLock(tmp_path, "sim", "")


def test_lock_holder_is_seen_without_touching_the_lock(tmp_path: Path) -> None:
    assert holder_of(tmp_path, "sim", "") is None
    assert not list(tmp_path.iterdir()), "asking makes nothing"
    with InstanceLock(tmp_path, "sim", ""):
        assert holder_of(tmp_path, "sim", "") == str(os.getpid())
        assert holder_of(tmp_path, "testnet", "") is None
    assert holder_of(tmp_path, "sim", "") is None, "the file stays, its lock does not"
