"""One UTC day of the simulated venue through the engine, in virtual time, into sealed parts.

Rule 1: the engine, the projector and the part writer are those of the live sidecar; only time and the socket are not.
Rule 2: the session begins 120 s before the day, so that gates, spreads and readiness have settled, and ends 60 s after
it, so that episodes and follow-ups of its last minute are whole. Only rows of the day are kept.
Rule 3: a day is announced whole or not at all: its manifest gets its name when every part is sealed.
"""

import gc
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from streaming.contracts.manifest import ManifestLine, encode_line
from streaming.contracts.paths import checked_day, day_begin_ns, manifest_path
from streaming.contracts.projection import Projector
from streaming.core.effects import AnyOutput, SpecObserved
from streaming.core.engine import new_state, next_deadline_mono_ns, step
from streaming.core.events import (
    AnyEvent,
    BboUpdated,
    ConnectionOpened,
    CtxUpdated,
    MarketStatusReceived,
    SessionClosed,
    SpecsReceived,
    SubscriptionAcked,
    TimerFired,
)
from streaming.core.state import SessionInfo
from streaming.core.units import NS_PER_MS, use_exact_decimals
from streaming.shell.config.schema import Config, config_hash, config_json
from streaming.shell.process.version import code_version
from streaming.shell.tables.seal import PartWriter, write_sealed
from streaming.sim.history.feed import GENERATION, Feed, Timed, merged
from streaming.sim.history.listing import specs_of, statuses_of
from streaming.sim.markets.generator import HOUR_MS, Generator, MarketHour
from streaming.sim.scenario.load import load_scenario

VENUE: Literal["sim"] = "sim"
WARM_UP_MS = 120_000
COOL_DOWN_MS = 60_000
POLL_MS = 30_000
DAY_MS = 24 * HOUR_MS
CHANNELS = ("bbo", "activeAssetCtx", "trades")


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """What to write."""

    root: str
    """The warehouse."""
    day: str
    seed: int
    scenario: str

    @property
    def session_id(self) -> str:
        """Name of the session that a history day is; the same for the same day, seed and scenario."""
        mark = "" if self.scenario == "demo" else f"-{self.scenario}"
        return f"hist-{self.day}-s{self.seed}{mark}"

    @property
    def manifest(self) -> Path:
        """Manifest of the day's session."""
        return manifest_path(Path(self.root), VENUE, self.session_id)


@dataclass(slots=True)
class Counts:
    """What a day came to."""

    event_count: int = 0
    rows: Counter[str] = field(default_factory=Counter)


class VirtualDay:
    """Writes one day."""

    def __init__(self, day: Day, coins: frozenset[str] = frozenset()) -> None:
        """Prepare the session of `day`, which watches all builder markets or only `coins`."""
        use_exact_decimals()
        config = Config(venue=VENUE)
        session = SessionInfo(
            session_id=day.session_id,
            venue=VENUE,
            account="",
            code_version=code_version(),
            config_hash=config_hash(config),
        )
        self._day = day
        self._config_json = config_json(config)
        self._begin_ms = day_begin_ns(checked_day(day.day)) // NS_PER_MS
        scenario = load_scenario(day.scenario, seed=day.seed)
        self._markets = tuple(m for m in scenario.universe.builder_markets if not coins or m.coin in coins)
        watched = {market.coin for market in self._markets}
        self._specs = tuple(spec for spec in specs_of(scenario) if spec.coin in watched)
        self._statuses = tuple(status for status in statuses_of(scenario) if status.coin in watched)
        self._generator = Generator(day.seed, scenario)
        self._feed = Feed(self._markets)
        self._state = new_state(session, config.limits, self._specs)
        self._projector = Projector(self._specs, filter_day=day.day)
        self._writer = PartWriter(
            Path(day.root), venue=VENUE, session_id=day.session_id, config_hash=session.config_hash
        )
        self._lines: list[ManifestLine] = []
        self.counts = Counts()

    def write(self, on_hour: Callable[[int], None]) -> Counts:
        """Write the whole day; `on_hour` is told how many of its 24 hours are sealed."""
        # Rows and events hold no cycles; collecting them over and over would take a fifth of the time.
        gc.disable()
        first_hour = self._begin_ms // HOUR_MS
        self._open_session(first_hour - 1)
        self._play(first_hour - 1, self._begin_ms - WARM_UP_MS, self._begin_ms)
        for index in range(24):
            begin_ms = self._begin_ms + index * HOUR_MS
            self._play(first_hour + index, begin_ms, begin_ms + HOUR_MS)
            self._seal()
            on_hour(index + 1)
        end_ms = self._begin_ms + DAY_MS + COOL_DOWN_MS
        self._play(first_hour + 24, self._begin_ms + DAY_MS, end_ms)
        self._apply(SessionClosed(recv_mono_ns=end_ms * NS_PER_MS, recv_ts_ns=end_ms * NS_PER_MS, reason="day written"))
        self._seal()
        # Written aside and renamed: a day that was begun and not finished does not exist.
        write_sealed(self._day.manifest, b"".join(map(encode_line, self._lines)))
        return self.counts

    def _open_session(self, hour: int) -> None:
        at_ms = self._begin_ms - WARM_UP_MS
        at_ns = at_ms * NS_PER_MS
        observed = self._apply(ConnectionOpened(recv_mono_ns=at_ns, recv_ts_ns=at_ns, generation=GENERATION))
        for market, channel in product(self._markets, CHANNELS):
            ack = SubscriptionAcked(
                recv_mono_ns=at_ns, recv_ts_ns=at_ns, generation=GENERATION, channel=channel, coin=market.coin
            )
            self._apply(ack)
        for snapshot in self._snapshots(hour, at_ms):
            self._apply(snapshot)
        # The rows that resolve spec_version and config_hash have to lie in the day that refers to them.
        begin_ns = self._begin_ms * NS_PER_MS
        specs = [msgspec.structs.replace(o, ts_ns=begin_ns) for o in observed if isinstance(o, SpecObserved)]
        self._projector.feed(1, TimerFired(recv_mono_ns=begin_ns, recv_ts_ns=begin_ns), specs)
        self._projector.session_began(begin_ns, self._state.session.code_version, self._config_json, 1)

    def _snapshots(self, hour: int, at_ms: int) -> Iterator[AnyEvent]:
        """What the venue sends first: the touch and the context in force, received now."""
        for market in self._markets:
            columns = self._generator.hour(market.coin, hour)
            for part in (self._feed.bbo(columns), self._feed.ctx(columns)):
                row = int(np.searchsorted(part.ts_ms, at_ms, side="left")) - 1
                event = part.events[row]
                if isinstance(event, BboUpdated | CtxUpdated):
                    yield msgspec.structs.replace(event, recv_mono_ns=at_ms * NS_PER_MS, recv_ts_ns=at_ms * NS_PER_MS)

    def _play(self, hour: int, begin_ms: int, end_ms: int) -> None:
        columns: list[MarketHour] = [self._generator.hour(market.coin, hour) for market in self._markets]
        parts = [part for market_hour in columns for part in self._feed.parts(market_hour)]
        apply = self._apply
        state = self._state
        for event in merged([self._polls(begin_ms, end_ms), *parts], begin_ms, end_ms):
            due_ns = next_deadline_mono_ns(state)
            while due_ns is not None and due_ns < event.recv_mono_ns:
                apply(TimerFired(recv_mono_ns=due_ns, recv_ts_ns=due_ns))
                due_ns = next_deadline_mono_ns(state)
            apply(event)

    def _polls(self, begin_ms: int, end_ms: int) -> Timed:
        """The registry's polls: specs and statuses every 30 s."""
        events: list[AnyEvent] = []
        for at_ns in range(begin_ms * NS_PER_MS, end_ms * NS_PER_MS, POLL_MS * NS_PER_MS):
            events.append(SpecsReceived(recv_mono_ns=at_ns, recv_ts_ns=at_ns, specs=self._specs))
            status = MarketStatusReceived(
                recv_mono_ns=at_ns, recv_ts_ns=at_ns, statuses=self._statuses, is_post_only=False
            )
            events.append(status)
        return Timed(np.array([event.recv_ts_ns // NS_PER_MS for event in events], dtype=np.int64), events)

    def _apply(self, event: AnyEvent) -> list[AnyOutput]:
        outputs = step(self._state, event)
        self._projector.feed(self._state.seq, event, outputs)
        return outputs

    def _seal(self) -> None:
        for (table, day), rows in self._projector.take().items():
            self._lines.append(self._writer.seal(table, day, rows))
            self.counts.rows[table] += len(rows)
        self.counts.event_count = self._state.seq
