"""Reads a recorded session: the journal of one run of the sidecar.

Rule 1: a recorded market has a spec and at least one context; others can not be shown and are named.
Rule 2: what a subscription repeats counts once where it can be told: trades by their id.
"""

from dataclasses import dataclass, field
from pathlib import Path

from streaming.core import events as ev
from streaming.core.errors import ConfigError
from streaming.core.market import MarketSpec, MarketStatus
from streaming.core.units import NS_PER_MS
from streaming.shell.journal.reader import header_of, list_segments, read_session, steps
from streaming.sim.replay.columns import Columns


@dataclass(frozen=True, slots=True)
class Fact:
    """A spec or a status from an instant on."""

    ts_ms: int
    spec: MarketSpec
    status: MarketStatus | None


@dataclass
class Recording:
    """One session in memory."""

    session_id: str
    venue: str
    specs: dict[str, MarketSpec]
    columns: dict[str, Columns]
    facts: dict[str, list[Fact]] = field(default_factory=dict)
    """Changes of spec or status by market, oldest first."""
    frame_count: int = 0

    @property
    def markets(self) -> tuple[str, ...]:
        """Markets that can be shown."""
        return tuple(coin for coin, columns in self.columns.items() if len(columns.ctx))

    @property
    def span_ms(self) -> tuple[int, int]:
        """First and last receive time of anything that is shown."""
        times = [
            rows.ts_ms
            for coin in self.markets
            for rows in (self.columns[coin].bbo, self.columns[coin].ctx, self.columns[coin].trades)
            if len(rows)
        ]
        return min(ts_ms[0] for ts_ms in times), max(ts_ms[-1] for ts_ms in times)

    @property
    def text(self) -> str:
        """What it is, for people."""
        return f"session {self.session_id} of {self.venue} ({len(self.markets)} markets, {self.frame_count} frames)"


def read_recording(folder: Path) -> Recording:
    """Read the journal folder of a session, `<warehouse>/journal/venue=<v>/<session>`.

    Raises:
        ConfigError: There is no session, or nothing in it that could be shown.
        StoreError: The journal is damaged or of another version.
    """
    if not folder.is_dir():
        raise ConfigError(f"--replay: expected the journal folder of a session, found none at {folder}")
    segments = list_segments(folder)
    if not segments:
        within = sorted(path.name for path in folder.iterdir() if path.is_dir())[:5]
        hint = f"; it holds {', '.join(within)}" if within else ""
        raise ConfigError(f"--replay: expected the journal segments of one session, found none in {folder}{hint}")
    recording = _begin(folder, segments[0].path)
    for step in steps(read_session(folder, segments)):
        _take(recording, step.event)
    if not recording.markets:
        raise ConfigError(
            f"--replay: expected recorded contexts (activeAssetCtx) of a market, found none in {folder} "
            f"({recording.frame_count} frames)"
        )
    return recording


def _begin(folder: Path, first: Path) -> Recording:
    header = header_of(first)
    specs = {spec.coin: spec for spec in header.specs}
    if any(spec.asset_id < 0 for spec in header.specs):
        raise ConfigError(f"--replay: expected specs with asset ids in {folder}, found inferred ones")
    return Recording(
        session_id=header.session.session_id,
        venue=header.session.venue,
        specs=specs,
        columns={coin: Columns(spec.sz_decimals) for coin, spec in specs.items()},
        facts={coin: [Fact(0, spec, None)] for coin, spec in specs.items()},
    )


def _take(recording: Recording, event: ev.AnyEvent) -> None:
    ts_ms = event.recv_ts_ns // NS_PER_MS
    match event:
        case ev.BboUpdated() | ev.CtxUpdated() | ev.BookUpdated() | ev.TradesReceived():
            recording.frame_count += 1
            _take_frame(recording, event, ts_ms)
        case ev.SpecsReceived():
            for spec in event.specs:
                _note(recording, ts_ms, spec.coin, spec, None)
        case ev.MarketStatusReceived():
            for status in event.statuses:
                _note(recording, ts_ms, status.coin, None, status)
        case _:
            pass


def _take_frame(
    recording: Recording, event: ev.BboUpdated | ev.CtxUpdated | ev.BookUpdated | ev.TradesReceived, ts_ms: int
) -> None:
    if isinstance(event, ev.TradesReceived):
        for trade in event.trades:
            if trade.coin in recording.columns:
                recording.columns[trade.coin].add_trade(ts_ms, trade)
        return
    columns = recording.columns.get(event.coin)
    if columns is None:
        return
    match event:
        case ev.BboUpdated():
            columns.add_bbo(ts_ms, event)
        case ev.CtxUpdated():
            columns.add_ctx(ts_ms, event)
        case ev.BookUpdated():
            columns.add_book(event)


def _note(recording: Recording, ts_ms: int, coin: str, spec: MarketSpec | None, status: MarketStatus | None) -> None:
    facts = recording.facts.get(coin)
    if facts is None:
        return
    last = facts[-1]
    fact = Fact(ts_ms, spec or last.spec, status or last.status)
    if (fact.spec, fact.status) != (last.spec, last.status):
        facts.append(fact)
