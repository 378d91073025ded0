"""The scan kernel against a slow reference that is written from the definitions, not from the kernel."""

from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from operator import itemgetter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.sim.markets.generator import HOUR_MS, NONE, Generator
from streaming.sim.markets.scan import (
    HORIZONS_S,
    LATENCIES_MS,
    THRESHOLDS_BPS,
    Columns,
    Decisions,
    Terms,
    scan,
    sums_of,
)
from streaming.sim.scenario.demo import DEMO

MONDAY = 494_856  # 2026-06-15T00Z
FAR = 10**15

Touch = tuple[int, int, int, int, int]  # time, bid, its size, ask, its size


@dataclass
class Expected:
    ts_ms: int
    threshold: int
    side: int
    is_led: bool
    limit: int
    net: dict[tuple[int, int], float]  # (latency, horizon) -> bps, of those that filled


class Reference:
    """One market, one event at a time."""

    def __init__(self, columns: Columns, terms: Terms) -> None:
        names = ("bbo_ts_ms", "bid_px", "bid_sz", "ask_px", "ask_sz")
        self.bbo: list[Touch] = list(zip(*(getattr(columns, name).tolist() for name in names), strict=True))
        self.ctx = list(
            zip(columns.ctx_ts_ms.tolist(), columns.oracle_px.tolist(), columns.mark_px.tolist(), strict=True)
        )
        self.closed = terms.closed_ms.tolist()
        self.terms = terms

    def is_closed(self, ts: int) -> bool:
        return any(begin <= ts < end for begin, end in self.closed)

    def fee(self, ts: int) -> float:
        fee = float(self.terms.fee_bps[0])
        for begin, bps in zip(self.terms.fee_from_ms.tolist(), self.terms.fee_bps.tolist(), strict=True):
            if begin <= ts:
                fee = bps
        return fee

    def events(self) -> list[tuple[int, Touch, int, bool]]:
        """(time, touch, oracle, is oracle-led) of everything received with a valid book and a known oracle."""
        merged = [(row[0], 0, row) for row in self.bbo] + [(row[0], 1, row) for row in self.ctx]
        touch = oracle = None
        out = []
        for ts, is_ctx, row in sorted(merged, key=lambda item: item[:2]):
            led = False
            if is_ctx:
                if row[1] == oracle:
                    continue
                led = oracle is not None
                oracle = row[1]
            else:
                touch = row
            if touch is None or oracle is None or self.is_closed(ts):
                continue
            if NONE in (touch[1], touch[3]) or touch[1] >= touch[3]:
                continue
            out.append((ts, touch, oracle, led))
        return out

    def decisions(self, begin_ms: int, end_ms: int) -> list[Expected]:
        out = []
        events = self.events()
        for index, threshold in enumerate(THRESHOLDS_BPS):
            armed = {1: False, -1: False}
            free_ms = -FAR
            for ts, touch, oracle, led in events:
                for side, px in ((1, touch[3]), (-1, touch[1])):
                    edge = Fraction(side * (oracle - px) * 10_000, oracle)
                    if edge <= Fraction(threshold, 2):
                        armed[side] = True
                        continue
                    begins, armed[side] = edge > threshold and armed[side], armed[side] and edge <= threshold
                    if begins and ts >= free_ms:
                        free_ms = ts + 12_000
                        if begin_ms <= ts < end_ms:
                            out.append(Expected(ts, index, side, led, px, self.markouts(ts, side, px, touch)))
        return out

    def touch_at(self, ts: int) -> Touch:
        return self.bbo[bisect_right(self.bbo, ts, key=itemgetter(0)) - 1]

    def markouts(self, ts: int, side: int, limit: int, decided: Touch) -> dict[tuple[int, int], float]:
        out = {}
        for latency in LATENCIES_MS:
            at = ts + latency
            px, shown = self.hit(self.touch_at(at), side)
            if px == NONE or side * px > side * limit or self.is_closed(at):
                continue
            if self.terms.is_pulled is not None and self.terms.is_pulled(np.array([at]), np.array([side]))[0]:
                continue
            lots = min(self.terms.order_lots_px / limit, shown)
            for horizon in HORIZONS_S:
                exit_px, cost = self.leave(at, at + 1000 * horizon, side, lots, decided)
                out[latency, horizon] = side * (exit_px - px) / px * 1e4 - self.fee(at) - cost
        return out

    @staticmethod
    def hit(touch: Touch, side: int) -> tuple[int, int]:
        _, bid, bid_sz, ask, ask_sz = touch
        return (ask, ask_sz) if side > 0 else (bid, bid_sz)

    def leave(self, entered: int, due: int, side: int, lots: float, decided: Touch) -> tuple[int, float]:
        close = min([begin for begin, _ in self.closed if begin > entered], default=FAR)
        for row in self.bbo[bisect_right(self.bbo, due, key=itemgetter(0)) - 1 :]:
            px, shown = self.hit(row, -side)
            if px == NONE:
                continue
            if max(due, row[0]) >= close:
                break
            book = row if NONE not in (row[1], row[3]) and row[1] < row[3] else decided
            half = (book[3] - book[1]) / (book[3] + book[1]) * 1e4
            walk = min(60.0, 3 * half * max(lots / max(shown, 1) - 1, 0.0))
            return px, self.fee(max(due, row[0])) + walk
        return self.ctx[bisect_right(self.ctx, close, key=itemgetter(0)) - 1][2], 0.0


def assert_equal(found: Decisions, expected: list[Expected]) -> None:
    assert [
        (int(found.ts_ms[i]), int(found.threshold[i]), int(found.side[i]), bool(found.is_oracle_led[i]))
        for i in range(found.ts_ms.size)
    ] == [(e.ts_ms, e.threshold, e.side, e.is_led) for e in expected]
    assert found.limit_px.tolist() == [e.limit for e in expected]
    for i, decision in enumerate(expected):
        for a, latency in enumerate(LATENCIES_MS):
            assert bool(found.is_filled[i, a]) == ((latency, HORIZONS_S[0]) in decision.net)
            for b, horizon in enumerate(HORIZONS_S):
                assert found.net_bps[i, a, b] == pytest.approx(decision.net.get((latency, horizon), 0.0), abs=1e-9)


PULLED = st.sampled_from([None, lambda ts, side: (ts // 100 + side) % 3 == 0])


@st.composite
def cases(draw: st.DrawFn) -> tuple[Columns, Terms]:
    """Columns in which crosses, gaps, ties and closed times are frequent."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    count = draw(st.integers(2, 120))
    pace = draw(st.sampled_from([40, 400, 3000]))
    bbo_ts = np.cumsum(rng.integers(0, pace, count))
    ctx_count = max(2, int(bbo_ts[-1] // 700))
    ctx_ts = np.sort(rng.integers(0, bbo_ts[-1] + 1000, ctx_count))
    if draw(st.booleans()):
        ctx_ts[: ctx_count // 2] = np.sort(rng.choice(bbo_ts, ctx_count // 2))  # the same instants
        ctx_ts.sort()
    unit = draw(st.sampled_from([100, 2_000, 250_000]))
    wild = draw(st.sampled_from([0.0004, 0.002]))
    mid = unit * (1 + wild * rng.standard_normal(count))
    oracle = np.rint(unit * (1 + wild * np.repeat(rng.standard_normal(ctx_count), 3)[:ctx_count])).astype(np.int64)
    half = unit * rng.choice([0.0, 1e-4, 5e-4], count)
    bid, ask = np.floor(mid - half).astype(np.int64), np.ceil(mid + half).astype(np.int64)
    ask = np.where(rng.random(count) < 0.1, bid, ask)  # locked
    hole = draw(st.sampled_from([0.0, 0.2, 0.5]))
    bid[rng.random(count) < hole] = NONE
    ask[rng.random(count) < hole] = NONE
    columns = Columns(
        bbo_ts_ms=bbo_ts,
        bid_px=bid,
        bid_sz=np.where(bid == NONE, NONE, rng.integers(0, 50, count)),
        ask_px=ask,
        ask_sz=np.where(ask == NONE, NONE, rng.integers(0, 50, count)),
        ctx_ts_ms=ctx_ts,
        oracle_px=oracle,
        mark_px=oracle + rng.integers(-3, 4, ctx_count),
    )
    # Closed times begin and end at any instant, often at one that something else has.
    instants = np.concatenate([rng.integers(0, bbo_ts[-1] + 2, 40), ctx_ts, bbo_ts, bbo_ts + 1_200])
    edges = np.unique(rng.choice(instants, 2 * draw(st.integers(0, 3))))
    terms = Terms(
        order_lots_px=20.0 * unit,
        fee_bps=np.array([0.9, 9.0, 2.0, 5.0]),
        fee_from_ms=np.array([0, *np.sort(rng.integers(0, bbo_ts[-1] + 1, 3))]),
        closed_ms=edges[: edges.size // 2 * 2].reshape(-1, 2),
        is_pulled=draw(PULLED),
    )
    return columns, terms


@settings(max_examples=400)
@given(case=cases())
def test_scan_any_columns_equals_the_reference(case: tuple[Columns, Terms]) -> None:
    columns, terms = case
    end_ms = int(columns.bbo_ts_ms[-1])
    expected = Reference(columns, terms).decisions(0, end_ms)
    assert_equal(scan(columns, terms, 0, end_ms), expected)


def test_scan_span_begins_with_a_decision_at_its_begin_and_ends_before_one_at_its_end() -> None:
    hours = [Generator(3, DEMO).hour("xyz:INTC", MONDAY + 14)]
    terms = Terms(order_lots_px=50e6, fee_bps=np.array([0.9]), fee_from_ms=np.array([0]))
    whole = scan(Columns.of(hours), terms, 0, FAR)
    times = np.unique(whole.ts_ms)
    assert times.size > 4
    part = scan(Columns.of(hours), terms, int(times[1]), int(times[-2]))
    assert np.unique(part.ts_ms).tolist() == times[1:-2].tolist()


@pytest.mark.parametrize("coin", ["xyz:INTC", "xyz:COIN", "xyz:AAPL", "xyz:META"])
def test_scan_generated_hour_equals_the_reference(coin: str) -> None:
    hour = Generator(3, DEMO).hour(coin, MONDAY + 14)
    market = hour.market
    terms = Terms(
        order_lots_px=50.0 * 10 ** (market.px_decimals + market.sz_decimals),
        fee_bps=np.array([0.9]),
        fee_from_ms=np.array([0]),
    )
    columns = Columns.of([hour])
    begin_ms = (MONDAY + 14) * HOUR_MS
    found = scan(columns, terms, begin_ms, begin_ms + HOUR_MS // 3)
    assert found.ts_ms.size
    assert_equal(found, Reference(columns, terms).decisions(begin_ms, begin_ms + HOUR_MS // 3))


def test_sums_of_decisions_add_up_by_threshold_and_origin() -> None:
    hours = [Generator(3, DEMO).hour("xyz:INTC", MONDAY + 14 + n) for n in range(2)]
    terms = Terms(order_lots_px=50e6, fee_bps=np.array([0.9]), fee_from_ms=np.array([0]))
    found = scan(Columns.of(hours), terms, 0, FAR)
    sums = sums_of(found)
    for index in range(len(THRESHOLDS_BPS)):
        for origin, chosen in ((0, found.threshold == index), (1, (found.threshold == index) & found.is_oracle_led)):
            assert sums.decisions[index, origin] == chosen.sum()
            assert sums.fills[index, origin].tolist() == found.is_filled[chosen].sum(axis=0).tolist()
            np.testing.assert_allclose(sums.net_bps[index, origin], found.net_bps[chosen].sum(axis=0), atol=1e-8)
            np.testing.assert_allclose(sums.net_bps2[index, origin], (found.net_bps[chosen] ** 2).sum(axis=0))
    assert sums.decisions.sum() > 0


def test_scan_decisions_of_one_threshold_are_12_s_apart() -> None:
    hours = [Generator(5, DEMO).hour("xyz:ORCL", MONDAY + n) for n in range(13, 17)]
    terms = Terms(order_lots_px=50e6, fee_bps=np.array([0.9]), fee_from_ms=np.array([0]))
    found = scan(Columns.of(hours), terms, 0, FAR)
    for index in range(len(THRESHOLDS_BPS)):
        times = found.ts_ms[found.threshold == index].tolist()
        assert all(later - earlier >= 12_000 for earlier, later in pairwise(times))


def test_scan_without_decisions_sums_to_nothing() -> None:
    hour = Generator(3, DEMO).hour("xyz:INTC", MONDAY)
    terms = Terms(order_lots_px=50e6, fee_bps=np.array([0.9]), fee_from_ms=np.array([0]))
    sums = sums_of(scan(Columns.of([hour]), terms, 0, 1))
    assert not sums.fills.any()
    assert not sums.net_bps.any()
