"""Keys of agents: who may read them, what is shown of them, and how one replaces another."""

import io
import json
import logging
import os
import pty
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from children import ENVIRONMENT, HIP3, Running, running
from core_builders import START_TS_NS
from eth_account import Account
from ports import free_ports
from venue_client import VenueClient

from streaming.cli import main
from streaming.contracts.control import Answer
from streaming.core.errors import ConfigError, StoreError
from streaming.hyperliquid.signing import USER_SIGNED, Signature, address_of_key
from streaming.shell.control.client import Client, NotRunning
from streaming.shell.info.venues import venue_named
from streaming.shell.keys import approval as approvals
from streaming.shell.keys.agent_key import (
    AgentKey,
    KeyKind,
    key_facts,
    load_agent_key,
    make_key,
    next_key_file,
    read_key,
)
from streaming.shell.keys.approval import Approval, agent_terms, approval_of, approve_on_sim
from streaming.shell.keys.check import check_key
from streaming.shell.keys.files import create_private, read_private
from streaming.shell.keys.rotate import Rotated, rotate
from streaming.shell.keys.runbook import Outcome, leaked
from streaming.shell.keys.seen import SeenAgents
from streaming.shell.telemetry.logs import redacted

Json = Any
CANARY = "c0ffee" * 10 + "beef"
ADDRESS = address_of_key(bytes.fromhex(CANARY))
PASSWORD = "correct horse battery"  # noqa: S105 - of keystores made here
NOW_TS_MS = START_TS_NS // 1_000_000
DAY_MS = 86_400_000
UNLIMITED = Path(__file__).resolve().parent.parent / "fixtures" / "unlimited.toml"
MASTER = AgentKey(bytes(31) + b"\x07", KeyKind.RAW)


def private(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.fixture
def raw_file(tmp_path: Path) -> Path:
    return private(tmp_path / "agent.key", f"0x{CANARY}\n")


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    return private(tmp_path / "password", PASSWORD + "\n")


@pytest.fixture
def keystore_file(tmp_path: Path) -> Path:
    # One round instead of a quarter of a million: what opens it does not depend on the number.
    keystore = Account.encrypt(bytes.fromhex(CANARY), PASSWORD, kdf="pbkdf2", iterations=1)
    return private(tmp_path / "agent.json", json.dumps(keystore))


@pytest.fixture(scope="module")
def venue_port() -> Iterator[int]:
    with running("venue", "--port", "0", "--scenario", str(UNLIMITED)) as venue:
        yield port_of(venue)


def port_of(venue: Running) -> int:
    return int(venue.said["port"])


def said(capsys: pytest.CaptureFixture[str], *words: object, code: int = 0) -> str:
    """Run `hip3 keys …` and return what it printed."""
    found = main(["keys", *map(str, words)])
    captured = capsys.readouterr()
    assert found == code, captured
    return captured.out if code in (0, 1) else captured.err


def answered(capsys: pytest.CaptureFixture[str], *words: object, code: int = 0) -> Json:
    return json.loads(said(capsys, *words, "--json", code=code))


# --- files: F-104


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o601])
def test_key_file_open_to_others_is_refused(raw_file: Path, mode: int) -> None:
    raw_file.chmod(mode)
    with pytest.raises(ConfigError, match=r"expected the agent key at .* mode 0600, found uid .* run `chmod 600`"):
        load_agent_key(raw_file, None)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_key_file_of_ours_alone_is_read(raw_file: Path, mode: int) -> None:
    raw_file.chmod(mode)
    assert load_agent_key(raw_file, None).address == ADDRESS


def test_key_behind_a_symbolic_link_is_refused(raw_file: Path) -> None:
    link = raw_file.with_name("link")
    link.symlink_to(raw_file)
    with pytest.raises(ConfigError, match="found a symbolic link; name the file itself"):
        load_agent_key(link, None)


def test_link_that_appears_after_the_check_is_not_followed(raw_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = raw_file.with_name("link")
    link.symlink_to(raw_file)
    monkeypatch.setattr(Path, "is_symlink", lambda _path: False)
    with pytest.raises(ConfigError, match="Too many levels of symbolic links"):
        read_private(link, "the agent key")


def test_key_file_of_another_owner_is_refused(raw_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: raw_file.stat().st_uid + 1)
    with pytest.raises(ConfigError, match="regular file of uid"):
        load_agent_key(raw_file, None)


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo, 0o600)
    for path in (fifo, tmp_path):
        with pytest.raises(ConfigError, match="as a regular file"):
            load_agent_key(path, None)


def test_absent_and_huge_key_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="found No such file"):
        load_agent_key(tmp_path / "absent", None)
    with pytest.raises(ConfigError, match="expected at most 65536 bytes"):
        load_agent_key(private(tmp_path / "huge", "0" * 65_537), None)


@pytest.mark.parametrize(
    "text",
    ["", CANARY[:-1], CANARY + "0", "0" * 64, "f" * 64, CANARY[:-1] + "g", f"{CANARY[:32]} {CANARY[32:]}", "{", "{}"],
)
def test_file_without_a_key_is_refused_and_not_repeated(tmp_path: Path, password_file: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="expected") as raised:
        load_agent_key(private(tmp_path / "bad", text), password_file)
    assert CANARY[:12] not in str(raised.value)
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
def test_new_file_is_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        make_key(tmp_path / "agent.key", KeyKind.RAW, None, now_ts_ms=NOW_TS_MS)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "agent.key").stat().st_mode) == 0o600
    assert not (tmp_path / "agents.jsonl").stat().st_mode & 0o077


def test_new_key_never_takes_the_place_of_a_file_or_a_link(raw_file: Path) -> None:
    dangling = raw_file.with_name("dangling")
    dangling.symlink_to(raw_file.with_name("elsewhere"))
    for path in (raw_file, dangling):
        with pytest.raises(ConfigError, match="a key is never overwritten"):
            make_key(path, KeyKind.RAW, None, now_ts_ms=NOW_TS_MS)
    assert CANARY in raw_file.read_text()
    assert not raw_file.with_name("elsewhere").exists()
    assert not SeenAgents(raw_file).path.exists()


def test_new_key_that_can_not_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left"):
        create_private(tmp_path / "agent.key", b"x", "the agent key")
    assert not list(tmp_path.iterdir())


# --- keystores


def test_keystore_opens_with_its_password(keystore_file: Path, password_file: Path) -> None:
    key = load_agent_key(keystore_file, password_file)
    assert (key.address, key.kind) == (ADDRESS, KeyKind.KEYSTORE)
    assert key.signer(is_mainnet=True).address == ADDRESS


def test_keystore_that_we_made_opens_in_eth_account(tmp_path: Path, password_file: Path) -> None:
    made = make_key(tmp_path / "new.json", KeyKind.KEYSTORE, password_file, now_ts_ms=NOW_TS_MS)
    keystore = json.loads((tmp_path / "new.json").read_text())
    assert keystore["crypto"]["kdf"] == "scrypt"
    assert Account.from_key(Account.decrypt(keystore, PASSWORD)).address.lower() == made.address


def test_wrong_password_is_refused_by_name(keystore_file: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected the password to open the keystore .* MAC mismatch"):
        load_agent_key(keystore_file, private(tmp_path / "wrong", "no"))


@pytest.mark.parametrize(
    "changes", [{"version": 9}, {"crypto": {}}, {"crypto": None}, {"address": "ab" * 20}, {"address": "x"}]
)
def test_keystore_that_was_changed_is_refused(keystore_file: Path, password_file: Path, changes: Json) -> None:
    private(keystore_file, json.dumps(json.loads(keystore_file.read_text()) | changes))
    with pytest.raises(ConfigError, match="keystore"):
        load_agent_key(keystore_file, password_file)


@pytest.mark.parametrize("text", ["", "\n", b"\xff\xfe"])
def test_password_file_without_a_password_is_refused(keystore_file: Path, tmp_path: Path, text: str | bytes) -> None:
    path = private(tmp_path / "p", "")
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError, match="expected"):
        load_agent_key(keystore_file, path)


def test_password_file_open_to_others_is_refused(keystore_file: Path, password_file: Path) -> None:
    password_file.chmod(0o640)
    with pytest.raises(ConfigError, match=r"expected the keystore's password at .* mode 0600"):
        load_agent_key(keystore_file, password_file)


def test_short_password_makes_no_keystore(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least 8 characters"):
        make_key(tmp_path / "k", KeyKind.KEYSTORE, private(tmp_path / "p", "short"), now_ts_ms=NOW_TS_MS)
    assert not (tmp_path / "k").exists()


@pytest.mark.parametrize("option", ["--password", "--private-key", "--key"])
def test_no_option_takes_a_secret(tmp_path: Path, option: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["keys", "check", "--key-file", str(tmp_path / "k"), option, "x"])


def test_password_is_typed_at_a_terminal_without_echo(keystore_file: Path) -> None:
    code, shown = typed(["keys", "check", "--key-file", str(keystore_file)], PASSWORD)
    assert code == 0, shown
    assert "good" in shown
    assert PASSWORD not in shown


def test_two_passwords_that_differ_make_no_keystore(tmp_path: Path) -> None:
    code, shown = typed(["keys", "new", "--key-file", str(tmp_path / "k.json")], PASSWORD, PASSWORD + "!")
    assert code == 2
    assert "expected the same password twice" in shown
    assert not (tmp_path / "k.json").exists()


def test_without_a_terminal_a_password_is_not_read_from_standard_input(keystore_file: Path) -> None:
    done = subprocess.run(
        [*HIP3, "keys", "check", "--key-file", str(keystore_file)],
        input=PASSWORD + "\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env=ENVIRONMENT,
        start_new_session=True,  # a session of its own has no controlling terminal
    )
    assert done.returncode == 1
    assert "expected a terminal to type the keystore's password at, found none; pass --password-file" in done.stdout


def typed(words: list[str], *lines: str) -> tuple[int, str]:
    """Run a command at a terminal, type a line at each prompt, and return exit code and all that was shown."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [*HIP3, *words], ENVIRONMENT)  # noqa: S606 - a pty needs the fork
    shown = b""
    waiting = list(lines)
    while True:
        try:
            got = os.read(fd, 4096)
        except OSError:
            break
        if not got:
            break
        shown += got
        if waiting and (b"password" in got or b"once more" in got):
            os.write(fd, waiting.pop(0).encode() + b"\n")
    _, status = os.waitpid(pid, 0)
    os.close(fd)
    return os.waitstatus_to_exitcode(status), shown.decode()


# --- nothing shows the key (F-103, I-34)


def test_key_object_shows_its_address_only(raw_file: Path) -> None:
    key = load_agent_key(raw_file, None)
    for shown in (repr(key), str(key), f"{key}", repr([key]), str({"key": key})):
        assert ADDRESS in shown
        assert "c0ffee" not in shown
    assert not hasattr(key, "__dict__")
    assert "c0ffee" not in str(redacted({"signer": key.signer(is_mainnet=True), "key": key}))


def test_no_command_prints_logs_or_writes_the_key(
    raw_file: Path,
    keystore_file: Path,
    password_file: Path,
    venue_port: int,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)
    venue = ("--venue", "sim", "--sim-port", venue_port, "--account", MASTER.address)
    lines = (
        ("show", "--key-file", raw_file),
        ("show", "--key-file", keystore_file),
        ("check", "--key-file", raw_file, *venue),
        ("check", "--key-file", keystore_file, "--password-file", password_file),
        ("new", "--key-file", raw_file),
        ("rotate", "--key-file", raw_file, "--name", "bot"),
        ("revoke", "--key-file", raw_file, "--name", "bot"),
        ("revoke", "--key-file", raw_file, "--verify", *venue),
        ("leaked", "--key-file", raw_file, "--name", "bot", "--warehouse", raw_file.parent / "w"),
        ("approve", "--master-key-file", raw_file, "--agent", "0x" + "cd" * 20, "--name", "bot", *venue),
    )
    for words in lines:
        for more in ((), ("--json",)):
            main(["keys", *map(str, words), *more])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"type":"noop"}')))
    main(["keys", "sign-action", "--key-file", str(raw_file), "--network", "testnet", "--nonce", "1"])
    captured = capsys.readouterr()
    written = [path.read_text() for path in raw_file.parent.iterdir() if path.is_file() and path != raw_file]
    for text in (captured.out, captured.err, caplog.text, *written):
        assert CANARY[:24] not in text.lower()
        assert PASSWORD not in text or text == PASSWORD + "\n"


# --- new, show, check


def test_new_and_show_print_the_address_kind_and_age(
    tmp_path: Path, password_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "agent.json"
    made = answered(capsys, "new", "--key-file", path, "--password-file", password_file)
    assert made["kind"] == "keystore"
    assert made["address"] == read_key(path, password_file).address
    assert made == answered(capsys, "show", "--key-file", path)
    assert f"agent {made['address']}" in said(capsys, "show", "--key-file", path)
    assert "0 days old" in said(capsys, "show", "--key-file", path)


def test_show_of_an_unsafe_file_is_exit_code_2(raw_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw_file.chmod(0o644)
    assert "mode 0600" in said(capsys, "show", "--key-file", raw_file, code=2)


def test_check_names_every_problem_of_file_and_folder(raw_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert answered(capsys, "check", "--key-file", raw_file)["is_good"]
    SeenAgents(raw_file).retire(ADDRESS, NOW_TS_MS)
    raw_file.parent.chmod(0o777)
    report = answered(capsys, "check", "--key-file", raw_file, code=1)
    folder, retired = report["problems"]
    assert "writable for its owner only" in folder
    assert f"{ADDRESS} retired" in retired
    raw_file.parent.chmod(0o700)
    raw_file.chmod(0o644)
    assert "PROBLEM: expected the agent key" in said(capsys, "check", "--key-file", raw_file, code=1)


def test_check_asks_the_venue_for_approval_name_and_end(
    raw_file: Path, venue_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    master_file = private(raw_file.with_name("master"), "07".rjust(64, "0"))
    agent_file = raw_file.with_name("new.key")
    made = answered(capsys, "new", "--raw", "--key-file", agent_file)
    venue = ("--venue", "sim", "--sim-port", venue_port, "--account", MASTER.address)
    report = answered(capsys, "check", "--key-file", agent_file, *venue, code=1)
    assert (report["approval"]["is_approved"], report["approval"]["role"]) == (False, "missing")

    terms = ("--name", "check", "--valid-days", 10)
    answered(capsys, "approve", "--master-key-file", master_file, "--agent", made["address"], *terms, *venue)
    report = answered(capsys, "check", "--key-file", agent_file, *venue)
    found = report["approval"]
    assert (found["is_approved"], found["name"], found["days_left"]) == (True, "check", 9)
    assert report["warnings"] == ["the approval ends in 9 days; replace the key now: `hip3 keys rotate`"]
    assert "as 'check', 9 days left" in said(capsys, "check", "--key-file", agent_file, *venue)

    other = (*venue[:-1], "0x" + "ab" * 20)
    assert not answered(capsys, "check", "--key-file", agent_file, *other, code=1)["is_good"]


def test_approval_that_is_over_by_its_date_is_none(raw_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expired = Approval(
        venue="testnet", account=MASTER.address, address=ADDRESS, is_approved=False, role="agent", name="bot",
        valid_until_ts_ms=NOW_TS_MS - 3 * DAY_MS, days_left=-3,
    )  # fmt: skip
    monkeypatch.setattr("streaming.shell.keys.check.approval_of", lambda *_: expired)
    report = check_key(raw_file, None, venue=venue_named("testnet"), account=MASTER.address, now_ts_ms=NOW_TS_MS)
    assert report.problems == ("expected an approval that holds, found it expired 3 days ago; make a new key",)


def test_check_needs_the_account_and_a_venue_that_answers(raw_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--account" in said(capsys, "check", "--key-file", raw_file, "--venue", "sim", code=2)
    words = (
        "check",
        "--key-file",
        raw_file,
        "--venue",
        "sim",
        "--account",
        MASTER.address,
        "--sim-port",
        free_ports(1)[0],
    )
    assert main(["keys", *map(str, words)]) == 1
    assert "to accept a connection" in capsys.readouterr().err


@pytest.mark.parametrize("venue", ["testnet", "mainnet"])
def test_a_masters_key_is_not_used_for_a_real_venue(
    raw_file: Path, venue: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("approve", "--master-key-file", raw_file, "--agent", MASTER.address, "--name", "bot", "--venue", venue)
    assert "a master's key can withdraw" in said(capsys, *words, code=2)
    terms = agent_terms(venue=venue, name="bot", valid_days=1, now_ts_ms=NOW_TS_MS)
    with pytest.raises(ConfigError, match="can withdraw"):
        approve_on_sim(venue_named(venue), MASTER, approvals.master_step(terms, ADDRESS))


# --- rotate, revoke


def test_rotation_replaces_the_old_agent_and_retires_it_only_when_the_venue_says_so(
    tmp_path: Path, venue_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    master_file = private(tmp_path / "master", "07".rjust(64, "0"))
    old_file = tmp_path / "agent.key"
    old = answered(capsys, "new", "--raw", "--key-file", old_file)["address"]
    venue = ("--venue", "sim", "--sim-port", venue_port, "--account", MASTER.address)
    approve = ("approve", "--master-key-file", master_file, *venue, "--name", "turn")
    said(capsys, *approve, "--agent", old)

    rotated = answered(capsys, "rotate", "--key-file", old_file, *venue)
    step = rotated["master_step"]
    assert rotated["key_file"] == str(tmp_path / "agent-2.key")
    assert (step["agent_name"], step["action"]["hyperliquidChain"]) == ("turn", "Testnet")
    assert step["agent_address"] == read_key(tmp_path / "agent-2.key", None).address != old
    assert step["action"]["agentName"] == f"turn valid_until {step['valid_until_ts_ms']}"

    # Until the master has signed, the old key is what closes a position: it stays usable.
    assert not answered(capsys, "revoke", "--verify", "--key-file", old_file, *venue, code=1)["is_revoked"]
    assert load_agent_key(old_file, None).address == old
    wanted = answered(capsys, "revoke", "--key-file", old_file, *venue)
    assert (wanted["agent_address"], wanted["agent_name"]) == (step["agent_address"], "turn")

    said(capsys, *approve, "--agent", step["agent_address"])
    assert answered(capsys, "revoke", "--verify", "--key-file", old_file, *venue)["is_revoked"]
    with pytest.raises(ConfigError, match=f"never deregistered, found {old}, retired"):
        load_agent_key(old_file, None)
    assert not answered(capsys, "check", "--key-file", old_file, code=1)["is_good"]
    assert answered(capsys, "check", "--key-file", tmp_path / "agent-2.key", *venue)["is_good"]
    assert approval_of(venue_named("sim", sim_port=venue_port), MASTER.address, old, NOW_TS_MS).role != "agent"


def test_revoke_without_a_replacement_says_that_there_is_no_revoke(
    raw_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = said(capsys, "revoke", "--key-file", raw_file, "--name", "bot", code=2)
    assert "there is no revoke on the wire" in text


def test_revoke_never_asks_to_approve_a_retired_address(raw_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = answered(capsys, "rotate", "--key-file", raw_file, "--name", "bot")["master_step"]["agent_address"]
    SeenAgents(raw_file).retire(new, NOW_TS_MS)
    assert "retired" in said(capsys, "revoke", "--key-file", raw_file, "--name", "bot", code=2)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--name", "x" * 17), "agent name: expected 1-16"),
        (("--name", "bot", "--valid-days", "181"), "--valid-days: expected 1-180"),
        (("--name", "bot", "--valid-days", "0"), "--valid-days: expected 1-180"),
        ((), "--account"),
    ],
)
def test_rotation_under_impossible_terms_makes_no_key(
    raw_file: Path, options: tuple[str, ...], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert expected in said(capsys, "rotate", "--key-file", raw_file, *options, code=2)
    assert list(raw_file.parent.iterdir()) == [raw_file]


def test_next_key_file_counts_up_and_skips_what_exists(tmp_path: Path) -> None:
    assert next_key_file(tmp_path / "agent.json") == tmp_path / "agent-2.json"
    (tmp_path / "agent-2.json").symlink_to(tmp_path / "nowhere")
    assert next_key_file(tmp_path / "agent.json") == tmp_path / "agent-3.json"
    assert next_key_file(tmp_path / "agent-9") == tmp_path / "agent-10"
    assert next_key_file(tmp_path / "my-agent.key") == tmp_path / "my-agent-2.key"


def test_list_of_seen_agents_keeps_every_event_and_refuses_a_broken_line(tmp_path: Path) -> None:
    first = make_key(tmp_path / "a", KeyKind.RAW, None, now_ts_ms=1)
    second = make_key(tmp_path / "b", KeyKind.RAW, None, now_ts_ms=2, replaces=first.address)
    seen = SeenAgents(tmp_path / "a")
    seen.retire(first.address, 3)
    seen.retire(first.address, 4)
    assert len(seen.path.read_text().splitlines()) == 3
    assert [seen.made_ts_ms(key.address) for key in (first, second)] == [1, 2]
    assert key_facts(tmp_path / "a").replacement == second.address
    assert SeenAgents(tmp_path / "b").is_retired(first.address)
    assert not SeenAgents(tmp_path / "b").is_retired(second.address)
    with seen.path.open("a") as file:
        file.write('{"address":')
    with pytest.raises(StoreError, match="repair that line"):
        load_agent_key(tmp_path / "b", None)
    seen.path.chmod(0o644)
    with pytest.raises(ConfigError, match="the list of seen agents"):
        load_agent_key(tmp_path / "b", None)


# --- leaked


class FakeSidecar(Client):
    """Answers as a running sidecar would, and keeps the order of what it was asked."""

    def __init__(self, journal: list[str], *, is_accepted: bool = True, held_looks: int = 0) -> None:
        self.journal = journal
        self._answer = Answer(is_accepted=is_accepted, reasons=() if is_accepted else ("already stopping",))
        self._held_looks = held_looks

    def post(self, verb: str, body: dict[str, object]) -> Answer:
        self.journal.append(f"{verb} {body['reason']} by {body['operator']}")
        return self._answer

    def get(self, path: str) -> bytes:
        self.journal.append(path)
        is_held = self.journal.count(path) <= self._held_looks
        held = [{"coin": "xyz:NVDA", "sz": "-1.5"}] if is_held else []
        exits = [{"coin": "xyz:NVDA", "cloid": "0x01"}] if is_held else []
        return json.dumps({"trading": {"positions": held, "orders": exits}}).encode()


@pytest.mark.parametrize(
    ("held_looks", "look_count", "ended"), [(0, 1, Outcome.DONE), (3, 4, Outcome.DONE), (99, 30, Outcome.LEFT)]
)
def test_leaked_latches_first_then_waits_until_flat_and_then_makes_the_new_key(
    raw_file: Path, held_looks: int, look_count: int, ended: Outcome
) -> None:
    journal: list[str] = []
    sidecar = FakeSidecar(journal, held_looks=held_looks)
    pauses: list[None] = []

    def new_key() -> Rotated:
        journal.append("new key")
        terms = agent_terms(venue="sim", name="bot", valid_days=9, now_ts_ms=NOW_TS_MS)
        return rotate(raw_file, None, terms, NOW_TS_MS)

    drill = leaked(lambda: sidecar, "ann", new_key, lambda: pauses.append(None))
    assert journal == ["stop agent key leaked by ann", *["/v1/status"] * look_count, "new key"]
    assert len(pauses) == look_count - 1
    assert [step.name for step in drill.steps] == ["latch", "cancel_all", "flatten", "revoke", "new_key"]
    assert [step.outcome for step in drill.steps] == [Outcome.DONE, ended, ended, Outcome.LEFT, Outcome.DONE]
    assert drill.is_done
    assert drill.rotated is not None
    assert drill.rotated.master_step.agent_address == key_facts(raw_file).replacement
    assert not SeenAgents(raw_file).is_retired(ADDRESS)


def test_leaked_goes_on_when_a_step_fails_and_says_so() -> None:
    def broken() -> Rotated:
        raise StoreError("no space")

    def nobody() -> Client:
        raise NotRunning("nobody answers")

    refused = leaked(lambda: FakeSidecar([], is_accepted=False), "ann", broken, lambda: None)
    assert [(step.name, step.outcome) for step in refused.steps] == [
        ("latch", Outcome.FAILED), ("cancel_all", Outcome.DONE), ("flatten", Outcome.DONE), ("revoke", Outcome.LEFT),
        ("new_key", Outcome.FAILED),
    ]  # fmt: skip
    absent = leaked(nobody, "ann", broken, lambda: None)
    assert [step.outcome for step in absent.steps] == [
        Outcome.FAILED, Outcome.LEFT, Outcome.LEFT, Outcome.LEFT, Outcome.FAILED,
    ]  # fmt: skip
    assert not refused.is_done
    assert not absent.is_done


def test_leaked_without_a_sidecar_still_makes_the_key_and_lists_every_step(
    raw_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("leaked", "--key-file", raw_file, "--name", "bot", "--warehouse", raw_file.parent / "none")
    drill = answered(capsys, *words, code=1)
    assert [step["name"] for step in drill["steps"]] == ["latch", "cancel_all", "flatten", "revoke", "new_key"]
    assert Path(drill["rotated"]["key_file"]).exists()
    assert "1. latch: failed: expected a running sidecar" in said(capsys, *words, code=1)


# --- sign-action


def signed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, key_file: Path, action: Json, *words: object,
    code: int = 0,
) -> Json:  # fmt: skip
    raw = action if isinstance(action, bytes) else json.dumps(action).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))
    out = said(capsys, "sign-action", "--key-file", key_file, *words, code=code)
    return json.loads(out) if code == 0 else out


def as_signature(body: Json) -> Signature:
    return Signature(int(body["r"], 16), int(body["s"], 16), body["v"])


def test_sign_action_equals_every_published_vector(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = json.loads((shared_data / "vectors" / "signing_vectors.json").read_text())["vectors"]
    signature_count = 0
    for vector in (vector for vector in vectors if vector["kind"] == "l1"):
        key_file = private(tmp_path / "key", vector["private_key"] or CANARY)
        options: list[object] = ["--nonce", vector["nonce"]]
        options += ["--vault", vector["vault_address"]] if vector["vault_address"] else []
        options += [] if vector["expires_after"] is None else ["--expires-after", vector["expires_after"]]
        for network in ("mainnet", "testnet"):
            found = signed(capsys, monkeypatch, key_file, vector["action"], "--network", network, *options)
            assert found["action_hash"] == vector.get("action_hash", vector.get("action_hash_computed")), vector["id"]
            assert list(found) == ["action_hash", "r", "s", "v", "signer"]
            if network in vector:
                assert as_signature(found) == as_signature(vector[network]), vector["id"]
                signature_count += 1
    for vector in (vector for vector in vectors if vector["kind"] == "user_signed"):
        key_file = private(tmp_path / "key", vector["private_key"])
        name = vector["primary_type"].removeprefix("HyperliquidTransaction:")
        (wire_type,) = [wire for wire, shape in USER_SIGNED.items() if shape.name == name]
        message = vector["message"]
        action = {"type": wire_type, "signatureChainId": vector["signature_chain_id"], **message}
        network = message["hyperliquidChain"].lower()
        found = signed(capsys, monkeypatch, key_file, action, "--network", network, "--nonce", message["time"])
        assert found["action_hash"] == vector["eip712_digest_computed"]
        assert as_signature(found) == as_signature(vector["signature"])
        signature_count += 1
    assert signature_count == 23


USER_ACTION = {
    "type": "approveAgent", "signatureChainId": "0x66eee", "hyperliquidChain": "Testnet", "agentAddress": ADDRESS,
    "agentName": "bot", "nonce": 5,
}  # fmt: skip


@pytest.mark.parametrize(
    ("action", "options", "expected"),
    [
        (b"", (), "expected an action as one JSON object"),
        (b"[]", (), "expected an action as one JSON object"),
        (b'{"a":"\xff"}', (), "expected an action"),
        ({"a": 1}, (), "expected an action with a text `type`"),
        ({"type": "multiSig"}, (), "multiSig"),
        ({"type": "noop", "n": 2**70}, (), "can not be signed"),
        ({"type": "noop"}, ("--vault", "0x12"), "40 hex digits"),
        ({"type": "noop"}, ("--nonce", "-1"), "unsigned 64 bit"),
        (USER_ACTION | {"hyperliquidChain": "Mainnet"}, (), "expected hyperliquidChain Testnet"),
        (USER_ACTION | {"nonce": 6}, (), "expected --nonce to equal"),
        (USER_ACTION | {"agentAddress": "0x1"}, (), "agentAddress: expected an address"),
        (USER_ACTION, ("--vault", ADDRESS), "expected no --vault"),
        (USER_ACTION, ("--expires-after", "9"), "expected no --vault"),
    ],
)
def test_sign_action_refuses_what_is_no_action_or_contradicts_itself(
    raw_file: Path,
    action: Json,
    options: tuple[str, ...],
    expected: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = ("--network", "testnet", "--nonce", "5", *options)
    assert expected in signed(capsys, monkeypatch, raw_file, action, *words, code=2)


def test_sign_action_signs_the_master_step_that_rotate_prints(
    raw_file: Path, venue_port: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    action = answered(capsys, "rotate", "--key-file", raw_file, "--name", "bot")["master_step"]["action"]
    found = signed(capsys, monkeypatch, raw_file, action, "--network", "testnet", "--nonce", action["nonce"])
    body = {"action": action, "nonce": action["nonce"], "signature": {key: found[key] for key in "rsv"}}
    status, answer = VenueClient(f"http://127.0.0.1:{venue_port}", bytes(31) + b"\x09").post("/exchange", body)
    assert (status, answer["status"]) == (200, "ok"), answer


def test_approval_at_a_venue_that_is_down_says_so(capsys: pytest.CaptureFixture[str], raw_file: Path) -> None:
    words = (
        "approve",
        "--master-key-file",
        raw_file,
        "--agent",
        MASTER.address,
        "--name",
        "b",
        "--sim-port",
        free_ports(1)[0],
    )
    assert main(["keys", *map(str, words)]) == 1
    assert "is `hip3 venue` up?" in capsys.readouterr().err
