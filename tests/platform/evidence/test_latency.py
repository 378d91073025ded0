"""The latency that markets are judged at follows the orders that were really sent, and only ever upwards."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from platform_warehouse import MarketDay, write_day
from session_sums import COIN, DAYS, VENUE, losing_from, weekly_sums, write_window

from hip3_platform.analytics.bronze import compact
from hip3_platform.analytics.evidence.family import LATENCIES_MS
from hip3_platform.analytics.evidence.latency import ORDERS_MIN, latency_of, measured_latency
from hip3_platform.analytics.gold_evidence import Decided, EvidenceRule, write_approvals
from hip3_platform.analytics.landing import read_landing
from streaming.contracts.paths import day_begin_ns
from streaming.core.units import NS_PER_S

Delay = float | None
"""Milliseconds from the decision to the answer; None if no answer came."""


def orders(delays: list[Delay], *, mode: str = "live", coin: str = COIN, day: str = DAYS[-1]) -> MarketDay:
    """A market with one order a second: decided, sent, and answered after so long."""
    market = MarketDay(coin, signal_count=0, bbo_count=0)
    for i, delay_ms in enumerate(delays):
        answered_us = None if delay_ms is None else round(delay_ms * 1_000)
        for ordinal, (status, sent, answered) in enumerate(
            [("intent", None, None), ("sent", 400, None), ("unfilled" if i % 3 else "filled", 400, answered_us)]
        ):
            ts_ns = day_begin_ns(day) + i * NS_PER_S
            market.add(
                "orders", seq=7_000 + i, ordinal=ordinal, cloid=f"{coin}-{i}", ts_ns=ts_ns, decided_ts_ns=ts_ns,
                mode=mode, status=status, sent_us=sent, answered_us=answered, is_reduce_only=bool(i % 2),
            )  # fmt: skip
    return market


def landed(root: Path, *markets: MarketDay, day: str = DAYS[-1], session_id: str = "s1") -> Path:
    write_day(root, day, list(markets), session_id=session_id)
    compact(root, "orders", VENUE, day, read_landing(root, VENUE).of(day, "orders"))
    return root


def judged(root: Path, *, from_ms: int | None = None, delays: list[Delay] | None = None) -> Decided:
    """Judge a market that earns 5 bps, or loses them from a latency on, beside real orders of such delays."""
    whole = weekly_sums(5.0, 5.0)
    write_window(root, whole if from_ms is None else losing_from(whole, from_ms))
    if delays:
        landed(root, orders(delays))
    return write_approvals(root, VENUE, DAYS[-1], EvidenceRule())


def state_of(decided: Decided) -> str:
    return str(decided.approvals.frame["state"].item())


def test_orders_that_are_later_than_assumed_take_an_approval_back(tmp_path: Path) -> None:
    few = judged(tmp_path / "few", from_ms=400, delays=[300.0] * (ORDERS_MIN - 1))
    assert (state_of(few), few.latency.ms) == ("latency_fragile", 200)
    assert few.latency.text == "200 ms as set: 49 real orders, 50 needed to measure"
    late = judged(tmp_path / "late", from_ms=400, delays=[300.0] * ORDERS_MIN)
    assert (state_of(late), late.latency.ms) == ("rejected", 400)
    assert late.latency.text == "400 ms: p90 of 50 real orders is 300 ms"
    assert late.approvals.frame["latency_ms"].item() == 400


def test_an_edge_that_is_there_for_late_orders_too_stays_approved(tmp_path: Path) -> None:
    assert state_of(judged(tmp_path, delays=[300.0] * ORDERS_MIN)) == "approved_micro"


@pytest.mark.parametrize("delays", [[801.0] * ORDERS_MIN, [150.0] * 40 + [None] * 10])
def test_no_market_is_proved_to_orders_later_than_the_grid(tmp_path: Path, delays: list[Delay]) -> None:
    decided = judged(tmp_path, delays=delays)
    row = decided.approvals.frame.to_dicts()[0]
    assert (row["state"], row["stay_state"], row["bound_bps"], row["approved_count"]) == (
        "rejected",
        "rejected",
        None,
        0,
    )
    assert "the grid ends at 800 ms: nothing is known of orders that late; else: " in row["reason"]
    assert decided.standings.frame["state"].item() == "rejected"


def test_all_real_orders_of_the_window_count_and_no_others(tmp_path: Path) -> None:
    landed(tmp_path, orders([100.0] * 30), orders([300.0] * 10, coin="xyz:OTHER"))
    landed(tmp_path, orders([300.0] * 15, day=DAYS[0]), day=DAYS[0], session_id="s0")
    landed(tmp_path, orders([700.0] * 99, mode="paper", coin="xyz:PAPER"), session_id="s2")
    found = measured_latency(tmp_path, VENUE, DAYS, 100)
    assert (found.order_count, found.measured_ms, found.ms) == (55, 300.0, 400)
    assert measured_latency(tmp_path, VENUE, DAYS[1:], 100).order_count == 40


def test_an_order_that_never_left_has_no_latency(tmp_path: Path) -> None:
    market = orders([])
    market.add(
        "orders", seq=1, ordinal=0, cloid="never", ts_ns=day_begin_ns(DAYS[-1]), mode="live", status="not_sent",
        decided_ts_ns=day_begin_ns(DAYS[-1]), sent_us=None, answered_us=None,
    )  # fmt: skip
    assert measured_latency(landed(tmp_path, market), VENUE, DAYS, 200).order_count == 0


@given(delays=st.lists(st.floats(1.0, 800.0), min_size=ORDERS_MIN, max_size=200), set_ms=st.sampled_from(LATENCIES_MS))
def test_nine_of_ten_orders_are_no_later_than_what_is_assumed(delays: list[float], set_ms: int) -> None:
    found = latency_of(np.array(delays), set_ms)
    assert found.ms in LATENCIES_MS
    assert found.ms >= set_ms
    assert found.is_known
    assert sum(delay <= found.ms for delay in delays) >= 0.9 * len(delays)
