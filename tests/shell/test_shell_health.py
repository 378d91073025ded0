"""The process's watch over itself: lag closes entries for an age window, a full disk stops."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from core_builders import stamps
from loopback_feed import run
from shell_parts import FakeClock, Shell, a_shell
from structlog.testing import capture_logs

from streaming.core.effects import EntriesChanged, LatchChanged
from streaming.core.events import AnyEvent, ConnectionOpened, RateUseReported, WriterHealthReported
from streaming.shell.journal.reader import read_session, steps
from streaming.shell.process.health import LOOP_LAG_MS_MAX, REPORT_NS, SYNC_LAG_MS_MAX, Health


@dataclass
class Disk:
    """What the health sees of a journal."""

    sync_lag_ms: int = 0
    is_healthy: bool = True


def played(tmp_path: Path, job: Callable[[Health, Disk, FakeClock, dict[str, Decimal]], None]) -> Shell:
    """Run `job` against a health over a real runtime."""

    async def play() -> Shell:
        shell = a_shell(tmp_path)
        shell.runtime.apply(ConnectionOpened(**stamps(0), generation=1))
        disk = Disk()
        uses = {"messages": Decimal(0)}
        health = Health(
            runtime=shell.runtime,
            journal=disk,  # type: ignore[arg-type]
            clock=shell.clock,
            metrics=shell.metrics,
            rate_uses=lambda _: uses,
        )
        job(health, disk, shell.clock, uses)
        await shell.turn()
        shell.close()
        return shell

    return run(play())


def recorded(shell: Shell, kind: type) -> list[Any]:
    events: list[AnyEvent] = [step.event for step in steps(read_session(shell.journal.folder))]
    return [event for event in events if isinstance(event, kind)]


def test_health_first_sample_reports_writer_and_rate(tmp_path: Path) -> None:
    shell = played(tmp_path, lambda health, *_: health.sample(0))
    assert [report.is_healthy for report in recorded(shell, WriterHealthReported)] == [True]
    assert len(recorded(shell, RateUseReported)) == 1


def test_health_quiet_process_is_reported_every_ten_seconds_only(tmp_path: Path) -> None:
    def job(health: Health, _disk: Disk, clock: FakeClock, _uses: dict[str, Decimal]) -> None:
        for _ in range(250):
            health.sample(0)
            clock.advance(100)

    shell = played(tmp_path, job)
    assert len(recorded(shell, WriterHealthReported)) == 3
    assert REPORT_NS == 10**10


def test_health_loop_lag_closes_entries_for_one_age_window(tmp_path: Path) -> None:
    """Data that waited behind a blocked loop looks fresh: nothing is trusted until it has been replaced (F-66)."""
    window_ms = 2_000

    def job(health: Health, _disk: Disk, clock: FakeClock, _uses: dict[str, Decimal]) -> None:
        health.sample(LOOP_LAG_MS_MAX)
        health.sample(LOOP_LAG_MS_MAX + 1)
        clock.advance(window_ms - 1)
        health.sample(0)
        clock.advance(1)
        health.sample(0)

    shell = played(tmp_path, job)
    reports = recorded(shell, WriterHealthReported)
    assert [report.is_healthy for report in reports] == [True, False, True]
    assert reports[2].recv_mono_ns - reports[1].recv_mono_ns == window_ms * 10**6
    changes = [change for change in shell.of_type(EntriesChanged) if change.control == "writer"]  # type: ignore[union-attr]
    assert [change.is_open for change in changes][-2:] == [False, True]  # type: ignore[union-attr]


def test_health_sync_lag_closes_entries_until_it_is_gone(tmp_path: Path) -> None:
    def job(health: Health, disk: Disk, _clock: FakeClock, _uses: dict[str, Decimal]) -> None:
        for lag_ms in (SYNC_LAG_MS_MAX, SYNC_LAG_MS_MAX + 1, 0):
            disk.sync_lag_ms = lag_ms
            health.sample(0)

    reports = recorded(played(tmp_path, job), WriterHealthReported)
    assert [(report.is_healthy, report.sync_lag_ms) for report in reports] == [(True, 1_000), (False, 1_001), (True, 0)]


def test_health_rate_use_is_reported_when_it_moves(tmp_path: Path) -> None:
    def job(health: Health, _disk: Disk, _clock: FakeClock, uses: dict[str, Decimal]) -> None:
        for ratio in ("0.10", "0.12", "0.96", "0.20"):
            uses["ip_weight"] = Decimal(ratio)
            health.sample(0)

    shell = played(tmp_path, job)
    reports = recorded(shell, RateUseReported)
    assert [(report.limit_name, report.use_ratio) for report in reports] == [
        ("ip_weight", Decimal("0.100")),
        ("ip_weight", Decimal("0.960")),
        ("ip_weight", Decimal("0.200")),
    ]
    changes = [change for change in shell.of_type(EntriesChanged) if change.control == "rate_limit"]  # type: ignore[union-attr]
    assert [change.is_open for change in changes] == [False, True]  # type: ignore[union-attr]


def test_health_disk_full_sets_the_latch_once_while_it_can_be_written(tmp_path: Path) -> None:
    def job(health: Health, disk: Disk, _clock: FakeClock, _uses: dict[str, Decimal]) -> None:
        disk.is_healthy = False
        health.sample(0)
        health.sample(0)

    shell = played(tmp_path, job)
    [latch] = shell.of_type(LatchChanged)
    assert latch.reason == "journal_disk_full"  # type: ignore[union-attr]
    assert [report.is_healthy for report in recorded(shell, WriterHealthReported)] == [False]


def test_health_venue_offset_of_two_seconds_warns_once(tmp_path: Path) -> None:
    """Entries close at 5 s (F-62); the operator hears of it before."""

    async def play() -> tuple[list[dict[str, Any]], float | None]:
        shell = a_shell(tmp_path)
        health = Health(
            runtime=shell.runtime,
            journal=Disk(),  # type: ignore[arg-type]
            clock=shell.clock,
            metrics=shell.metrics,
            rate_uses=lambda _: {},
        )
        with capture_logs() as lines:
            for offset_ms in (1_999, 2_000, 2_500, 10, -2_000):
                shell.runtime.state.venue_clock.offset_ns = offset_ms * 10**6
                health.sample(0)
        await shell.turn()
        shell.close()
        return [dict(line) for line in lines], shell.value("hip3_venue_offset_ms")

    lines, gauge = run(play())
    told = [(x["log_level"], x["offset_ms"]) for x in lines if x["event"] == "venue_offset_changed"]
    assert told == [("warning", 2_000), ("info", 10), ("warning", -2_000)]
    assert gauge == -2_000
