"""One UTC day of the simulated venue through the engine, in virtual time, into sealed parts.

Rule 1: the engine, the projector and the part writer are those of the live sidecar; only time and the socket are not.
Rule 2: the session begins 120 s before the day, so that gates, spreads and readiness have settled, and ends 60 s after
it, so that episodes and follow-ups of its last minute are whole. Only rows of the day are kept.
Rule 3: rows of `bbo` and `ctx` are made from the columns that the events were made from, with the sequence numbers that
the engine gave them; all other rows come from the projector.
Rule 4: a day is announced whole or not at all: its manifest gets its name when every part is sealed.
"""

from collections.abc import Callable, Collection, Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from streaming.contracts.projection import Projector
from streaming.contracts.tables import TABLES
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
from streaming.core.units import NS_PER_MS, use_exact_decimals
from streaming.shell.tables.seal import transposed
from streaming.sim.history.columns import bbo_columns, ctx_columns, runs_of
from streaming.sim.history.day import DAY_MS, POLL_MS, Counts, Day, Identity, announce
from streaming.sim.history.feed import GENERATION, Feed, Timed, in_force, merged, within
from streaming.sim.history.listing import Polls
from streaming.sim.history.sealing import Here, Sealer
from streaming.sim.markets.generator import HOUR_MS, Generator, MarketHour
from streaming.sim.markets.noise import Ints
from streaming.sim.scenario.load import load_scenario

WARM_UP_MS = 120_000
COOL_DOWN_MS = 60_000
CHANNELS = ("bbo", "activeAssetCtx", "trades")
_SPAN_MS = 600_000
_MARKET_DATA = frozenset({BboUpdated, CtxUpdated})
"""Inputs that the projector has nothing to do with unless the engine answers."""


class _Played(NamedTuple):
    """A market hour that the engine has seen, with the sequence numbers of its rows."""

    hour: MarketHour
    bbo_seq: Ints
    ctx_seq: Ints


class VirtualDay:
    """Writes one day."""

    def __init__(self, day: Day, coins: Collection[str] = ()) -> None:
        """Prepare the session of `day`, which watches all builder markets that trade then, or only `coins`."""
        use_exact_decimals()
        self._day = day
        self._begin_ms = day.begin_ms
        self.identity = Identity.of(day)
        scenario = load_scenario(day.scenario, seed=day.seed)
        self._generator = Generator(day.seed, scenario)
        end_ms = self._begin_ms + DAY_MS + COOL_DOWN_MS
        self._polls = Polls(self._generator, self._begin_ms - WARM_UP_MS, end_ms, coins)
        specs = self._polls.watched
        self._coins = tuple(spec.coin for spec in specs)
        self._feed = Feed(tuple(scenario.universe.by_coin[coin] for coin in self._coins))
        self._state = new_state(self.identity.session, self.identity.config.limits, specs)
        self._projector = Projector(specs, filter_day=day.day, has_market_data=False)
        self.counts = Counts()

    def write(self, on_hour: Callable[[int], None], sealer: Sealer | None = None) -> Counts:
        """Write the whole day.

        Args:
            on_hour: Told how many of the 24 hours are through the engine and handed to the sealer.
            sealer: Seals the parts; without one they are sealed here.

        Raises:
            StoreError: A part can not be written.
        """
        sealer = Here(Path(self._day.root), self.identity.session) if sealer is None else sealer
        begin_ms = self._begin_ms
        self._open_session()
        self._play(begin_ms - WARM_UP_MS, begin_ms)
        for index in range(24):
            hour_ms = begin_ms + index * HOUR_MS
            self._seal_market_data(sealer, self._play(hour_ms, hour_ms + HOUR_MS), hour_ms)
            self._seal_rows(sealer)
            sealer.catch_up()
            on_hour(index + 1)
        end_ms = begin_ms + DAY_MS + COOL_DOWN_MS
        self._play(begin_ms + DAY_MS, end_ms)
        self._apply(SessionClosed(recv_mono_ns=end_ms * NS_PER_MS, recv_ts_ns=end_ms * NS_PER_MS, reason="day written"))
        self._seal_rows(sealer)
        lines = sealer.finish()
        announce(self._day, lines)
        self.counts.add(lines)
        self.counts.event_count = self._state.seq
        return self.counts

    def _open_session(self) -> None:
        at_ms = self._begin_ms - WARM_UP_MS
        at_ns = at_ms * NS_PER_MS
        observed = self._apply(ConnectionOpened(recv_mono_ns=at_ns, recv_ts_ns=at_ns, generation=GENERATION))
        for coin, channel in product(self._coins, CHANNELS):
            ack = SubscriptionAcked(
                recv_mono_ns=at_ns, recv_ts_ns=at_ns, generation=GENERATION, channel=channel, coin=coin
            )
            self._apply(ack)
        for snapshot in self._snapshots(at_ms):
            self._apply(snapshot)
        # The rows that resolve spec_version and config_hash have to lie in the day that refers to them.
        begin_ns = self._begin_ms * NS_PER_MS
        specs = [msgspec.structs.replace(o, ts_ns=begin_ns) for o in observed if isinstance(o, SpecObserved)]
        self._projector.feed(1, TimerFired(recv_mono_ns=begin_ns, recv_ts_ns=begin_ns), specs)
        self._projector.session_began(begin_ns, self._state.session.code_version, self.identity.config_json, 1)

    def _snapshots(self, at_ms: int) -> Iterator[AnyEvent]:
        """What the venue sends first: the touch and the context in force, received now."""
        at_ns = at_ms * NS_PER_MS
        for coin in self._coins:
            columns = in_force(self._generator.hour(coin, at_ms // HOUR_MS), at_ms)
            for event in (*self._feed.bbo(columns).events, *self._feed.ctx(columns).events):
                yield msgspec.structs.replace(event, recv_mono_ns=at_ns, recv_ts_ns=at_ns)

    def _play(self, begin_ms: int, end_ms: int) -> list[_Played]:
        """Send a part of one hour through the engine."""
        hours = [self._generator.hour(coin, begin_ms // HOUR_MS) for coin in self._coins]
        # A few minutes at a time: their events stay near the processor from when they are made until they are gone.
        edges = [*range(begin_ms, end_ms, _SPAN_MS), end_ms]
        spans = [self._play_span(hours, span_ms, edges[i + 1]) for i, span_ms in enumerate(edges[:-1])]
        return [
            _Played(
                within(hour, begin_ms, end_ms),
                np.concatenate([seqs[2 * index] for seqs in spans]),
                np.concatenate([seqs[2 * index + 1] for seqs in spans]),
            )
            for index, hour in enumerate(hours)
        ]

    def _play_span(self, hours: list[MarketHour], begin_ms: int, end_ms: int) -> list[Ints]:
        """Return the sequence numbers of bbo and ctx rows, two arrays a market."""
        parts = [part for hour in hours for part in self._feed.parts(within(hour, begin_ms, end_ms))]
        events, places = merged([self._poll(begin_ms, end_ms), *parts])
        state, feed = self._state, self._projector.feed
        seqs = []
        for event in events:
            due_ns = next_deadline_mono_ns(state)
            while due_ns is not None and due_ns < event.recv_mono_ns:
                self._apply(TimerFired(recv_mono_ns=due_ns, recv_ts_ns=due_ns))
                due_ns = next_deadline_mono_ns(state)
            outputs = step(state, event)
            seqs.append(state.seq)
            if outputs or type(event) not in _MARKET_DATA:
                feed(state.seq, event, outputs)
        seq = np.array(seqs, dtype=np.int64)
        return [seq[rows] for index, rows in enumerate(places[1:]) if index % 3 != 2]

    def _poll(self, begin_ms: int, end_ms: int) -> Timed:
        """The registry's polls: specs and statuses every 30 s."""
        events: list[AnyEvent] = []
        for at_ms in range(begin_ms, end_ms, POLL_MS):
            at_ns, polled = at_ms * NS_PER_MS, self._polls.at(at_ms)
            events += (
                SpecsReceived(recv_mono_ns=at_ns, recv_ts_ns=at_ns, specs=polled.specs),
                MarketStatusReceived(
                    recv_mono_ns=at_ns, recv_ts_ns=at_ns, statuses=polled.statuses, is_post_only=False
                ),
            )
        return Timed(np.array([event.recv_ts_ns // NS_PER_MS for event in events], dtype=np.int64), events)

    def _apply(self, event: AnyEvent) -> list[AnyOutput]:
        outputs = step(self._state, event)
        self._projector.feed(self._state.seq, event, outputs)
        return outputs

    def _seal_market_data(self, sealer: Sealer, played: list[_Played], begin_ms: int) -> None:
        steps = self._polls.steps(begin_ms, begin_ms + HOUR_MS, POLL_MS)
        played = sorted(played, key=lambda each: each.hour.market.coin)
        bbo = [run for hour, seq, _ in played for run in runs_of(hour, hour.bbo_ts_ms, seq, steps)]
        ctx = [run for hour, _, seq in played for run in runs_of(hour, hour.ctx_ts_ms, seq, steps)]
        if bbo:
            sealer.seal("bbo", self._day.day, bbo_columns(bbo))
        if ctx:
            sealer.seal("ctx", self._day.day, ctx_columns(ctx))

    def _seal_rows(self, sealer: Sealer) -> None:
        for (table, day), rows in self._projector.take().items():
            columns = transposed(TABLES[table], rows)
            sealer.seal(table, day, {name: array.combine_chunks() for name, array in columns.items()})
