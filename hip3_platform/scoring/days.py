"""Tables of a universe, market by market: rows as they would be sealed, in memory, and the specs that resolve them.

Rule: rows are made by the code behind `hip3 history` columns mode. `seq` numbers the rows of one market and day.
"""

from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise

import numpy as np
import pyarrow as pa

from hip3_platform.analytics.evidence.columns import Feed, Spec
from hip3_platform.scoring.plans import WINDOW_DAYS, Draw, day_generator
from streaming.core.market import MarketSpec
from streaming.sim.history.columns import Run, bbo_columns, ctx_columns, runs_of
from streaming.sim.history.day import DAY_MS, POLL_MS
from streaming.sim.history.feed import ranks
from streaming.sim.history.listing import Polls
from streaming.sim.markets.generator import HOUR_MS, Generator, MarketHour
from streaming.sim.markets.noise import Ints
from streaming.sim.markets.truth_days import hour_of

_DAY_HOURS = 24


class UniverseTables:
    """Feeds of one universe over the window, made when they are asked for."""

    def __init__(self, draw: Draw) -> None:
        """Keep what everything follows from."""
        self._first_hour = hour_of(draw.plan.days[0])
        begins_ms = [self._first_hour * HOUR_MS + at * DAY_MS for at in range(WINDOW_DAYS)]
        self._generators = [day_generator(draw.plan, draw.noise_seed, at) for at in range(WINDOW_DAYS)]
        self._polls = [
            Polls(generator, begin_ms, begin_ms + DAY_MS)
            for generator, begin_ms in zip(self._generators, begins_ms, strict=True)
        ]
        self._steps = [
            polls.steps(begin_ms, begin_ms + DAY_MS, POLL_MS)
            for polls, begin_ms in zip(self._polls, begins_ms, strict=True)
        ]

    @cached_property
    def specs(self) -> dict[str, Spec]:
        """Resolve every `spec_version` of the window, as rows of the table `specs` would."""
        found = (spec for steps in self._steps for _, specs in steps for spec in specs.values())
        return {spec.spec_version: _spec(spec) for spec in found}

    def feeds(self, coin: str) -> Iterator[Feed | None]:
        """Yield the rows of a market for every day of the window; None on a day that began without it being listed."""
        for at, (generator, polls) in enumerate(zip(self._generators, self._polls, strict=True)):
            is_watched = any(spec.coin == coin for spec in polls.watched)
            yield self._feed(generator, coin, at) if is_watched else None

    def _feed(self, generator: Generator, coin: str, at: int) -> Feed:
        first = self._first_hour + at * _DAY_HOURS
        hours = [generator.hour(coin, hour) for hour in range(first, first + _DAY_HOURS)]
        bbo_ms, ctx_ms = [hour.bbo_ts_ms for hour in hours], [hour.ctx_ts_ms for hour in hours]
        bbo_seq, ctx_seq = ranks([np.concatenate(bbo_ms), np.concatenate(ctx_ms)])
        return Feed(
            bbo=pa.table(bbo_columns(self._runs(hours, bbo_ms, bbo_seq, at))),
            ctx=pa.table(ctx_columns(self._runs(hours, ctx_ms, ctx_seq, at))),
        )

    def _runs(self, hours: list[MarketHour], times_ms: list[Ints], seq: Ints, at: int) -> list[Run]:
        ends = np.cumsum([0, *(ts_ms.size for ts_ms in times_ms)]).tolist()
        return [
            run
            for hour, ts_ms, (begin, end) in zip(hours, times_ms, pairwise(ends), strict=True)
            for run in runs_of(hour, ts_ms, seq[begin:end] + 1, self._steps[at])
        ]


def _spec(spec: MarketSpec) -> Spec:
    return Spec(taker_fee_bps=float(spec.taker_fee_bps), is_delisted=spec.is_delisted)
