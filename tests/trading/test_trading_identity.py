"""Who may sign and trade: one sidecar an account, one process a key, files for the owner, no key in any output."""

import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from children import hip3
from trading_process import ALPHA, Desk, SimVenue, until

DIED = 2
OCCUPIED = 5


def run(desk: Desk, *words: str) -> tuple[int, str]:
    """Start a sidecar that must refuse; return exit code and what it said."""
    done = hip3("run", "--config", str(desk.config_file), *words, timeout_s=20)
    return done.returncode, done.stdout + done.stderr


def test_trading_identity_i30_f69_second_sidecar_of_an_account_exits_5_having_sent_nothing(desk: Desk) -> None:
    with desk.trading() as trader:
        trader.enter()
        before = desk.venue.orders(desk.user)
        code, said = run(desk)
        assert (code, f"pid {trader.child.process.pid}" in said) == (OCCUPIED, True), said
        assert desk.venue.orders(desk.user) == before
        assert trader.held() == desk.venue.positions(desk.user), "the first one goes on"
        assert trader.child.end() == 0


def test_trading_identity_i04_key_that_another_process_signs_with_is_refused(
    desk: Desk, venue: SimVenue, tmp_path: Path
) -> None:
    """Another account in the same warehouse, with a copy of the key: its nonces would be the first one's."""
    other_root = tmp_path / "other"
    other_root.mkdir()
    other = Desk(venue, other_root, (ALPHA,), {})
    other.key_file.write_bytes(desk.key_file.read_bytes())
    other.write_config({"": {"warehouse": str(desk.root / "w")}})
    with desk.trading() as trader:
        code, said = run(other)
        assert code not in {0, None}
        assert desk.agent.address in said.lower(), said
        assert trader.status().trading.is_ready
        assert trader.child.end() == 0


@pytest.mark.parametrize("mode", [0o644, 0o660])
def test_trading_identity_f104_key_file_that_others_may_read_is_refused(desk: Desk, mode: int) -> None:
    desk.key_file.chmod(mode)
    code, said = run(desk)
    assert (code, str(desk.key_file) in said, "600" in said) == (2, True, True), said
    assert desk.agent.key.hex() not in said


def test_trading_identity_f104_key_file_that_is_a_link_is_refused(desk: Desk) -> None:
    real = desk.key_file.with_name("real.key")
    shutil.move(desk.key_file, real)
    desk.key_file.symlink_to(real)
    code, said = run(desk)
    assert (code, str(desk.key_file) in said) == (2, True), said


def test_trading_identity_f94_agent_that_nobody_approved_is_refused(desk: Desk, venue: SimVenue) -> None:
    venue.happen("agents_revoked", users=[desk.user])
    code, said = run(desk)
    assert (code, desk.agent.address in said.lower()) == (3, True), said
    assert "approve" in said


def test_trading_identity_f103_i34_no_output_holds_the_key(desk: Desk, venue: SimVenue) -> None:
    """The canary is the key itself, in every spelling, over a session in which its holder signs and is refused."""
    with desk.trading() as trader:
        trader.enter()
        venue.happen("agents_revoked", users=[desk.user])
        venue.clear()
        trader.until_stopped("agent_refused")
        told = [trader.child.get(path) for path in ("/v1/status", "/metrics", "/", "/v1/rotation")]
        told.append(Path("/proc", str(trader.child.process.pid), "environ").read_text())
        told.append(Path("/proc", str(trader.child.process.pid), "cmdline").read_text())
        trader.child.end()
        told.append(trader.log_text())
    key = desk.agent.key
    canaries = (key.hex().encode(), key.hex().upper().encode(), key, str(int.from_bytes(key, "big")).encode())
    files = [path for path in desk.root.rglob("*") if path.is_file() and path != desk.key_file]
    assert any("journal" in path.parts for path in files)
    for where, raw in [*((str(path), path.read_bytes()) for path in files), *(("told", t.encode()) for t in told)]:
        assert not any(canary in raw for canary in canaries), where
    written = [path for path in files if path.is_relative_to(desk.root / "w")]
    loose = [str(path) for path in written if stat.S_IMODE(path.stat().st_mode) & 0o077]
    assert loose == []


def test_trading_identity_keys_of_the_command_line_trade(make_desk: Callable[..., Desk], tmp_path: Path) -> None:
    """As an operator does it: make a key, approve it, run; the sidecar trades with what the commands made."""
    desk = make_desk()
    for path in (tmp_path / "made.key", tmp_path / "master.key"):
        assert hip3("keys", "new", "--raw", "--key-file", str(path)).returncode == 0
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (tmp_path / "master.key").write_text(desk.master.key.hex())
    address = hip3("keys", "show", "--key-file", str(tmp_path / "made.key"), "--json").stdout
    agent = next(word for word in address.replace('"', " ").split() if word.startswith("0x") and len(word) == 42)
    place = ("--config", str(desk.config_file))
    approved = hip3(
        "keys", "approve", *place, "--name", "hip3", "--master-key-file", str(tmp_path / "master.key"), "--agent", agent
    )
    assert approved.returncode == 0, approved.stderr
    desk.write_config({"": {"agent_key_file": str(tmp_path / "made.key")}})
    with desk.trading() as trader:
        trader.enter()
        assert trader.child.end() == 0
    until(lambda: not desk.venue.positions(desk.user))
    desk.check_books()
