"""Market data of a UTC day without the engine: columns of the generator become the tables `bbo`, `ctx` and `trades`.

Rule 1: the rows are those of the same day through the engine, in every column but `seq` and the session's own. `seq`
numbers frames and polls in the same order; what the engine adds in between (timers, its warm-up) is not there.
Rule 2: tables of what the engine decides do not exist here; `specs` and `configs` do, so that every row resolves.
"""

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from streaming.contracts.projection import Projector
from streaming.contracts.tables import TABLES
from streaming.core.effects import AnyOutput, SpecObserved
from streaming.core.events import TimerFired
from streaming.core.units import NS_PER_MS
from streaming.shell.tables.seal import transposed
from streaming.sim.history.columns import Columns, Run, bbo_columns, ctx_columns, runs_of, trade_columns
from streaming.sim.history.day import DAY_MS, POLL_MS, Counts, Day, Identity, announce
from streaming.sim.history.feed import ranks, within
from streaming.sim.history.listing import Polls
from streaming.sim.history.sealing import Here
from streaming.sim.markets.generator import HOUR_MS, Generator, MarketHour
from streaming.sim.markets.noise import Ints
from streaming.sim.scenario.load import load_scenario

_HOURS_A_PART = 6
"""Large parts are read fastest; four a day keep a writer of 24 markets under 300 MB."""


class _Ranked(NamedTuple):
    """A market hour and the sequence numbers of its rows."""

    hour: MarketHour
    bbo_seq: Ints
    ctx_seq: Ints
    trade_seq: Ints


class ColumnDay:
    """Makes one day."""

    def __init__(self, day: Day, coins: Collection[str] = ()) -> None:
        """Prepare the session of `day`: all builder markets that trade when it begins, or only `coins`."""
        self._day = day
        self._begin_ms = day.begin_ms
        self._generator = Generator(day.seed, load_scenario(day.scenario, seed=day.seed))
        self._polls = Polls(self._generator, self._begin_ms, self._begin_ms + DAY_MS, coins)
        self._steps = self._polls.steps(self._begin_ms, self._begin_ms + DAY_MS, POLL_MS)
        self._seq = 0

    def write(self, on_hour: Callable[[int], None]) -> Counts:
        """Write the day; `on_hour` is told how many of its 24 hours are sealed. Raises StoreError."""
        identity, day = Identity.of(self._day), self._day.day
        sealer = Here(Path(self._day.root), identity.session)
        for table, columns in self._facts(identity):
            sealer.seal(table, day, columns)
        for first in range(0, 24, _HOURS_A_PART):
            for table, columns in self.tables(first, first + _HOURS_A_PART).items():
                sealer.seal(table, day, columns)
            on_hour(first + _HOURS_A_PART)
        lines = sealer.finish()
        announce(self._day, lines)
        counts = Counts(event_count=self._seq)
        counts.add(lines)
        return counts

    def tables(self, first: int, last: int) -> dict[str, Columns]:
        """Return the columns of some hours of the day, 0 <= first < last <= 24; hours must be asked for in turn.

        A table without rows is left out.
        """
        ranked = [each for index in range(first, last) for each in self._ranked(index)]
        ranked.sort(key=lambda each: (each.hour.market.coin, each.hour.hour))
        steps = self._steps
        runs: dict[str, list[Run]] = {
            "bbo": [run for h, seq, _, _ in ranked for run in runs_of(h, h.bbo_ts_ms, seq, steps)],
            "ctx": [run for h, _, seq, _ in ranked for run in runs_of(h, h.ctx_ts_ms, seq, steps)],
            "trades": [run for h, _, _, seq in ranked for run in runs_of(h, h.trade_ts_ms, seq, steps)],
        }
        makers = {"bbo": bbo_columns, "ctx": ctx_columns, "trades": trade_columns}
        return {table: makers[table](found) for table, found in runs.items() if found}

    def _ranked(self, index: int) -> list[_Ranked]:
        begin_ms = self._begin_ms + index * HOUR_MS
        hours = [
            within(self._generator.hour(spec.coin, begin_ms // HOUR_MS), begin_ms, begin_ms + HOUR_MS)
            for spec in self._polls.watched
        ]
        polls = np.repeat(np.arange(begin_ms, begin_ms + HOUR_MS, POLL_MS), 2)
        parts = [polls]
        frames = []
        for hour in hours:
            # Trades of one block are one frame.
            blocks, frame = np.unique(hour.trade_ts_ms, return_inverse=True)
            parts += (hour.bbo_ts_ms, hour.ctx_ts_ms, blocks)
            frames.append(frame)
        places = ranks(parts)
        first = self._seq + 1
        self._seq += sum(part.size for part in parts)
        return [
            _Ranked(hour, bbo + first, ctx + first, (trades + first)[frame])
            for hour, frame, bbo, ctx, trades in zip(
                hours, frames, places[1::3], places[2::3], places[3::3], strict=True
            )
        ]

    def _facts(self, identity: Identity) -> Iterator[tuple[str, Columns]]:
        """Rows that resolve spec versions and the configuration."""
        projector = Projector(())
        begin_ns = self._begin_ms * NS_PER_MS
        seen: set[str] = set()
        for at_ms, specs in self._steps:
            at_ns = at_ms * NS_PER_MS
            fresh = [spec for spec in specs.values() if spec.spec_version not in seen]
            seen |= {spec.spec_version for spec in fresh}
            observed: list[AnyOutput] = [SpecObserved(ts_ns=at_ns, mono_ns=at_ns, spec=spec) for spec in fresh]
            projector.feed(1, TimerFired(recv_mono_ns=at_ns, recv_ts_ns=at_ns), observed)
        projector.session_began(begin_ns, identity.session.code_version, identity.config_json, 1)
        for (table, _), rows in projector.take().items():
            yield table, transposed(TABLES[table], rows)


def day_tables(day: Day, coins: Collection[str] = ()) -> dict[str, pa.Table]:
    """Return the market data of a day in memory: `bbo`, `ctx` and `trades` as they would be sealed.

    Rows stand in the tables' sort key. Columns are the contract's without those that are constant in a session
    (`SESSION_COLUMNS`); texts are dictionary-encoded.

    Args:
        day: Seed, scenario and day; nothing is written to its warehouse.
        coins: Markets; all builder markets that trade when the day begins if left out.
    """
    tables = ColumnDay(day, coins).tables(0, 24)
    return {
        name: pa.table({c: columns[c] for c in TABLES[name].names if c in columns}) for name, columns in tables.items()
    }
