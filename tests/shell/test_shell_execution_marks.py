"""What outlives the process: the high-water mark of nonces (I-04) and the heartbeat."""

import asyncio
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from streaming.core.errors import ConfigError, StoreError
from streaming.shell.execution import nonce_mark
from streaming.shell.execution.heartbeat import (
    BEAT_NS_MIN,
    BeatState,
    Heartbeat,
    boot_id,
    heartbeat_path,
    read_heartbeat,
)
from streaming.shell.execution.nonce_mark import BLOCK_MS, RENEW_MS, NonceMark

AGENT = "0x" + "a1" * 20
OTHER = "0x" + "b2" * 20
NOW_MS = 1_790_000_000_000
TAG = "sim-observe"


class FakeClock:
    def __init__(self, wall_ms: int = NOW_MS) -> None:
        self.wall_ms = wall_ms

    def mono_ns(self) -> int:
        return 1

    def ts_ns(self) -> int:
        return self.wall_ms * 1_000_000


def opened(root: Path, clock: FakeClock, *, agent: str = AGENT, program: str = "sidecar") -> NonceMark:
    return NonceMark(root, agent, program=program, clock=clock)


def mark_file(root: Path) -> Path:
    return root / "control" / f"nonce-{AGENT}.mark"


# --- nonces


def test_nonce_mark_new_agent_starts_at_nothing_with_a_block_in_reserve(tmp_path: Path) -> None:
    with opened(tmp_path, FakeClock()) as mark:
        assert (mark.floor, mark.limit) == (0, NOW_MS + BLOCK_MS)
    found = mark_file(tmp_path).stat()
    assert stat.S_IMODE(found.st_mode) == 0o600
    assert not list(tmp_path.rglob("*.tmp"))


def test_nonce_mark_restart_begins_above_whatever_may_have_been_used(tmp_path: Path) -> None:
    with opened(tmp_path, FakeClock()) as mark:
        reserved = mark.limit
    with opened(tmp_path, FakeClock(NOW_MS - 3_600_000)) as mark:
        assert mark.floor == reserved, "although the clock was set back"


@given(steps=st.lists(st.tuples(st.integers(-90_000, 90_000), st.integers(0, 40_000)), max_size=30))
def test_nonce_mark_is_always_above_every_nonce_that_may_be_used(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int]]
) -> None:
    # I-04: whenever the process dies, the next floor is not below any nonce that was let through
    root = tmp_path_factory.mktemp("mark")
    clock = FakeClock()
    used = 0
    for clock_step_ms, nonce_step in steps:
        with opened(root, clock) as mark:
            assert mark.floor >= used
            clock.wall_ms += clock_step_ms
            mark.renew(max(used, mark.floor))
            nonce = max(mark.floor, clock.wall_ms) + 1 + nonce_step
            if nonce <= mark.limit:
                used = nonce


def test_nonce_mark_writes_only_when_less_than_half_a_block_is_left(tmp_path: Path) -> None:
    clock = FakeClock()
    with opened(tmp_path, clock) as mark:
        before = mark.limit
        clock.wall_ms += BLOCK_MS - RENEW_MS
        mark.renew(0)
        assert mark.limit == before
        clock.wall_ms += 1
        mark.renew(0)
        assert mark.limit == clock.wall_ms + BLOCK_MS
        mark.renew(clock.wall_ms + BLOCK_MS)
        assert mark.limit == clock.wall_ms + 2 * BLOCK_MS, "nonces that run ahead of the clock count as well"


def test_nonce_mark_one_process_an_agent(tmp_path: Path) -> None:
    with opened(tmp_path, FakeClock()):
        with pytest.raises(ConfigError, match="only process that signs"):
            opened(tmp_path, FakeClock())
        with opened(tmp_path, FakeClock(), agent=OTHER):
            pass
    with opened(tmp_path, FakeClock()):
        pass


def test_nonce_mark_agent_belongs_to_one_program_for_ever(tmp_path: Path) -> None:
    with opened(tmp_path, FakeClock()):
        pass
    with pytest.raises(ConfigError, match="agent of the watchdog's own"):
        opened(tmp_path, FakeClock(), program="watchdog")
    with opened(tmp_path, FakeClock()):
        pass


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b'{"agent":"x","program":"sidecar","mark":1}', b"17"])
def test_nonce_mark_that_can_not_be_read_refuses_the_start(tmp_path: Path, content: bytes) -> None:
    with opened(tmp_path, FakeClock()):
        pass
    mark_file(tmp_path).write_bytes(content)
    with pytest.raises(StoreError, match="new agent key"):
        opened(tmp_path, FakeClock())
    assert mark_file(tmp_path).read_bytes() == content, "nothing is repaired"


def test_nonce_mark_of_another_agent_refuses_the_start(tmp_path: Path) -> None:
    for agent in (AGENT, OTHER):
        with opened(tmp_path, FakeClock(), agent=agent):
            pass
    mark_file(tmp_path).write_bytes((tmp_path / "control" / f"nonce-{OTHER}.mark").read_bytes())
    with pytest.raises(StoreError, match=OTHER):
        opened(tmp_path, FakeClock())


def test_nonce_mark_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "control").mkdir()
    mark_file(tmp_path).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError):
        opened(tmp_path, FakeClock())
    assert not (tmp_path / "elsewhere").exists()


def test_nonce_mark_failed_write_leaves_the_limit(tmp_path: Path) -> None:
    clock = FakeClock()
    mark = opened(tmp_path, clock)
    before = mark.limit
    mark.close()
    clock.wall_ms += BLOCK_MS
    with pytest.raises(StoreError, match="check the disk"):
        mark.renew(0)
    assert mark.limit == before


# --- heartbeat


def beating(root: Path, *, session_id: str = "20260101T000000000-abcdef", mono_ns: int = 10**9) -> Heartbeat:
    (root / "control").mkdir(exist_ok=True)
    return Heartbeat(root, TAG, session_id=session_id, mono_ns=mono_ns)


def test_heartbeat_says_who_beats_and_when(tmp_path: Path) -> None:
    heart = beating(tmp_path)
    heart.beat(10**9 + BEAT_NS_MIN, 17)
    beat = read_heartbeat(tmp_path, TAG)
    assert beat is not None
    assert (beat.mono_ns, beat.seq, beat.pid) == (10**9 + BEAT_NS_MIN, 17, os.getpid())
    assert (beat.boot_id, beat.session_id) == (boot_id(), "20260101T000000000-abcdef")
    assert beat.state is BeatState.RUNNING
    assert stat.S_IMODE(heartbeat_path(tmp_path, TAG).stat().st_mode) == 0o600
    heart.close()


def test_heartbeat_beats_that_follow_closely_are_left_out(tmp_path: Path) -> None:
    heart = beating(tmp_path)
    for after_ns, seq in ((1, 1), (BEAT_NS_MIN - 1, 2), (BEAT_NS_MIN, 3), (BEAT_NS_MIN + 1, 4)):
        heart.beat(10**9 + after_ns, seq)
    beat = read_heartbeat(tmp_path, TAG)
    assert beat is not None
    assert beat.seq == 3
    heart.close()


def test_heartbeat_end_is_told_from_death_and_a_new_session_from_the_old(tmp_path: Path) -> None:
    first = beating(tmp_path)
    first.close()
    dead = read_heartbeat(tmp_path, TAG)
    assert dead is not None
    assert dead.state is BeatState.RUNNING
    second = beating(tmp_path, session_id="second", mono_ns=2 * 10**9)
    second.end()
    second.close()
    ended = read_heartbeat(tmp_path, TAG)
    assert ended is not None
    assert (ended.state, ended.session_id, ended.mono_ns) == (BeatState.ENDED, "second", 2 * 10**9)


def test_heartbeat_beat_reaches_readers_without_a_system_call_and_survives_sigkill(tmp_path: Path) -> None:
    (tmp_path / "control").mkdir()
    program = (
        "import sys, os, signal, pathlib\n"
        "from streaming.shell.execution.heartbeat import Heartbeat\n"
        f"heart = Heartbeat(pathlib.Path(sys.argv[1]), {TAG!r}, session_id='s', mono_ns=10**9)\n"
        "heart.beat(2 * 10**9, 99)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False, timeout=30)
    beat = read_heartbeat(tmp_path, TAG)
    assert beat is not None
    assert (beat.mono_ns, beat.seq, beat.state) == (2 * 10**9, 99, BeatState.RUNNING)


def test_heartbeat_that_never_was_is_none_and_other_content_is_an_error(tmp_path: Path) -> None:
    assert read_heartbeat(tmp_path, TAG) is None
    (tmp_path / "control").mkdir()
    path = heartbeat_path(tmp_path, TAG)
    for content in (b"", b"x" * 256, b"hip3hb01" + bytes(100)):
        path.write_bytes(content)
        with pytest.raises(StoreError, match="restart the sidecar"):
            read_heartbeat(tmp_path, TAG)


def test_heartbeat_names_the_markets_that_are_watched_only_to_be_left(tmp_path: Path) -> None:
    coins = ("xyz:NVDA", "abc:GOLD")
    (tmp_path / "control").mkdir()
    Heartbeat(tmp_path, TAG, session_id="s", mono_ns=10**9, exit_only_coins=coins).close()
    beat = read_heartbeat(tmp_path, TAG)
    assert beat is not None
    assert beat.exit_only_coins == coins
    beating(tmp_path).close()
    after = read_heartbeat(tmp_path, TAG)
    assert after is not None
    assert after.exit_only_coins == (), "the next session leaves none"
    with pytest.raises(StoreError, match="close some by hand"):
        Heartbeat(tmp_path, TAG, session_id="s", mono_ns=10**9, exit_only_coins=("x" * 60,) * 100)


def test_heartbeat_of_an_older_build_is_a_living_sidecar(tmp_path: Path) -> None:
    beating(tmp_path).close()
    path = heartbeat_path(tmp_path, TAG)
    path.write_bytes(path.read_bytes()[:256])
    beat = read_heartbeat(tmp_path, TAG)
    assert beat is not None
    assert (beat.state, beat.exit_only_coins) == (BeatState.RUNNING, ())


def test_heartbeat_names_that_are_half_written_are_no_beat(tmp_path: Path) -> None:
    (tmp_path / "control").mkdir()
    Heartbeat(tmp_path, TAG, session_id="s", mono_ns=10**9, exit_only_coins=("xyz:NVDA",)).close()
    path = heartbeat_path(tmp_path, TAG)
    raw = bytearray(path.read_bytes())
    raw[260:262] = bytes(2)
    path.write_bytes(raw)
    with pytest.raises(StoreError, match="restart the sidecar"):
        read_heartbeat(tmp_path, TAG)


def test_heartbeat_torn_stamp_is_no_beat(tmp_path: Path) -> None:
    beating(tmp_path).close()
    path = heartbeat_path(tmp_path, TAG)
    raw = bytearray(path.read_bytes())
    raw[128] ^= 1
    path.write_bytes(raw)
    with pytest.raises(StoreError):
        read_heartbeat(tmp_path, TAG)


def test_heartbeat_costs_less_than_two_microseconds(tmp_path: Path) -> None:
    heart = beating(tmp_path)
    best_ns = 10**9
    for attempt in range(20):
        begin_ns = time.perf_counter_ns()
        for number in range(1_000):
            heart.beat((attempt * 1_000 + number + 20) * BEAT_NS_MIN, number)
        best_ns = min(best_ns, (time.perf_counter_ns() - begin_ns) // 1_000)
    heart.close()
    assert best_ns < 2_000


def test_nonce_mark_keeps_itself_raised_and_tries_a_failing_disk_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nonce_mark, "CHECK_S", 0)

    async def main() -> list[int]:
        asked: list[int] = []
        renewed = asyncio.Event()
        loop = asyncio.get_running_loop()

        def renew(used: int) -> None:
            asked.append(used)
            if len(asked) < 4:
                raise StoreError("disk")
            loop.call_soon_threadsafe(renewed.set)

        with opened(tmp_path, FakeClock()) as mark:
            monkeypatch.setattr(mark, "renew", renew)
            job = asyncio.create_task(mark.keep(lambda: 100 + len(asked)))
            async with asyncio.timeout(10):
                await renewed.wait()
            job.cancel()
            await asyncio.gather(job, return_exceptions=True)
        return asked

    with structlog.testing.capture_logs() as lines:
        asked = asyncio.run(main())
    assert asked[:4] == [100, 101, 102, 103]
    assert [line["event"] for line in lines] == ["nonce_mark_not_kept"], "said once"
