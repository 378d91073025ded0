from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.core.limits import LossLimits
from streaming.core.market import Side
from streaming.core.trading.losses import (
    LossState,
    after_restart,
    correlation_block,
    cost_booked,
    entry_blocks,
    oracle_moved,
    rebase_drawdown,
    trade_closed,
)
from streaming.core.units import NS_PER_DAY, NS_PER_MS, NS_PER_S, utc_day_of

A, B, C = "xyz:NVDA", "xyz:TSLA", "xyz:GOLD"
DAY = utc_day_of(1_790_000_000_000_000_000)
NOON_NS = DAY * NS_PER_DAY + NS_PER_DAY // 2
MIDNIGHT_NS = (DAY + 1) * NS_PER_DAY
T0 = 5 * NS_PER_S
LIMITS = LossLimits()  # day 20, market 10, drawdown 30, row 5 → 300 s, re-entry 2 s, oracle 200 bps → 60 s
D = Decimal


def close(
    state: LossState, pnl: str, *, coin: str = A, ts_ns: int = NOON_NS, mono_ns: int = T0, limits: LossLimits = LIMITS
) -> str:
    return trade_closed(state, coin, D(pnl), ts_ns, mono_ns, limits)


def blocks(state: LossState, *, coin: str = A, ts_ns: int = NOON_NS, mono_ns: int = T0) -> tuple[str, ...]:
    return entry_blocks(state, coin, ts_ns, mono_ns, LIMITS)


def later(ms: int) -> int:
    return T0 + ms * NS_PER_MS


def test_nothing_forbids_the_first_entry() -> None:
    assert blocks(LossState()) == ()


def test_day_loss_sets_the_latch_when_it_is_reached_over_all_markets() -> None:
    state = LossState()

    assert close(state, "-9", coin=A) == ""
    assert close(state, "-9", coin=B) == ""
    assert close(state, "-1.99", coin=C) == ""
    assert close(state, "-0.01", coin=C) == "day_loss"
    assert "day_loss" in blocks(state, coin="xyz:OTHER", mono_ns=later(400_000))


def test_day_loss_is_net_of_the_gains_of_the_day() -> None:
    state = LossState()
    close(state, "15")
    assert close(state, "-25") == ""
    assert close(state, "-10") == "day_loss"


def test_day_loss_ends_with_the_day_and_not_with_a_reset() -> None:
    state = LossState()
    close(state, "-20")
    rebase_drawdown(state)

    assert "day_loss" in blocks(state, ts_ns=MIDNIGHT_NS - 1, mono_ns=later(10_000))
    assert blocks(state, ts_ns=MIDNIGHT_NS, mono_ns=later(10_000)) == ()
    assert close(state, "-19", ts_ns=MIDNIGHT_NS) == ""


def test_market_day_loss_closes_this_market_until_the_next_day() -> None:
    state = LossState()
    close(state, "-10", coin=A)

    assert blocks(state, coin=A, mono_ns=later(2_000)) == ("market_day_loss",)
    assert blocks(state, coin=B, mono_ns=later(2_000)) == ()
    assert blocks(state, coin=A, ts_ns=MIDNIGHT_NS, mono_ns=later(2_000)) == ()
    close(state, "-9", coin=A, ts_ns=MIDNIGHT_NS)
    assert blocks(state, coin=A, ts_ns=MIDNIGHT_NS, mono_ns=later(2_000)) == ()


def test_clock_that_steps_back_over_midnight_does_not_reset_losses_twice() -> None:
    state = LossState()
    close(state, "-19", coin=A, ts_ns=MIDNIGHT_NS - 1)
    close(state, "-11", coin=B, ts_ns=MIDNIGHT_NS)
    rebase_drawdown(state)
    assert state.day_pnl_usd == -11

    close(state, "-5", coin=B, ts_ns=MIDNIGHT_NS - 1)
    assert "market_day_loss" in blocks(state, coin=B, ts_ns=MIDNIGHT_NS - 1)
    assert close(state, "-4", coin=C, ts_ns=MIDNIGHT_NS) == "day_loss"
    assert state.day_pnl_usd == -20


def test_drawdown_counts_from_the_peak_over_days_and_sets_the_latch() -> None:
    state = LossState()
    close(state, "12")
    for day, pnl in enumerate(("-9", "-9", "-9")):
        assert close(state, pnl, ts_ns=NOON_NS + (day + 1) * NS_PER_DAY) == ""
    last_ns = NOON_NS + 4 * NS_PER_DAY
    assert close(state, "-3", ts_ns=last_ns) == "drawdown"
    assert blocks(state, ts_ns=last_ns + NS_PER_DAY, mono_ns=later(400_000)) == ("drawdown",)

    rebase_drawdown(state)
    assert blocks(state, ts_ns=last_ns + NS_PER_DAY, mono_ns=later(400_000)) == ()
    assert close(state, "-1", ts_ns=last_ns + NS_PER_DAY) == ""


def test_costs_count_as_losses_but_not_as_losing_trades() -> None:
    state = LossState()

    assert [cost_booked(state, A, D("-1"), NOON_NS, LIMITS) for _ in range(9)] == [""] * 9
    assert blocks(state) == ()
    assert cost_booked(state, A, D("-1"), NOON_NS, LIMITS) == ""
    assert blocks(state) == ("market_day_loss",)
    assert cost_booked(state, B, D("-10"), NOON_NS, LIMITS) == "day_loss"


def test_five_losing_trades_in_a_row_pause_every_market() -> None:
    state = LossState()
    for coin in (A, B, A, B):
        close(state, "-0.1", coin=coin)
    assert "loss_streak" not in blocks(state, coin=C)
    close(state, "-0.1", coin=A)

    assert blocks(state, coin=C) == ("loss_streak",)
    assert blocks(state, coin=C, mono_ns=later(299_999)) == ("loss_streak",)
    assert blocks(state, coin=C, mono_ns=later(300_000)) == ()


def test_sixth_loss_in_a_row_pauses_again_and_a_trade_that_loses_nothing_ends_the_row() -> None:
    state = LossState()
    for _ in range(5):
        close(state, "-0.1")
    close(state, "-0.1", mono_ns=later(300_000))
    assert blocks(state, coin=C, mono_ns=later(300_001)) == ("loss_streak",)

    close(state, "0", mono_ns=later(600_000))
    close(state, "-0.1", mono_ns=later(600_000))
    assert blocks(state, coin=C, mono_ns=later(600_000)) == ()


def test_losing_trade_cools_its_own_market_down() -> None:
    state = LossState()
    close(state, "-0.1", coin=A)
    close(state, "0.1", coin=B)

    assert blocks(state, coin=A, mono_ns=later(1_999)) == ("reentry_cooldown",)
    assert blocks(state, coin=A, mono_ns=later(2_000)) == ()
    assert blocks(state, coin=B) == ()


@pytest.mark.parametrize("px", ["102.01", "97.99", "1000"])
def test_f47_oracle_jump_closes_its_market_for_a_minute(px: str) -> None:
    state = LossState()
    oracle_moved(state, A, D(100), D(px), T0, LIMITS)

    assert blocks(state, mono_ns=later(59_999)) == ("oracle_jump",)
    assert blocks(state, mono_ns=later(60_000)) == ()
    assert blocks(state, coin=B) == ()


@pytest.mark.parametrize("px", ["100", "102", "98"])
def test_oracle_step_up_to_the_limit_is_no_jump(px: str) -> None:
    state = LossState()
    oracle_moved(state, A, D(100), D(px), T0, LIMITS)
    assert blocks(state) == ()


def test_every_reason_is_named_at_once() -> None:
    state = LossState()
    for _ in range(5):
        close(state, "-6")
    oracle_moved(state, A, D(100), D(110), T0, LIMITS)

    assert blocks(state) == (
        "day_loss",
        "drawdown",
        "market_day_loss",
        "loss_streak",
        "reentry_cooldown",
        "oracle_jump",
    )


def test_restart_keeps_sums_and_begins_cooldowns_anew() -> None:
    state = LossState()
    for _ in range(5):
        close(state, "-1", coin=A, mono_ns=later(1_000_000))
    oracle_moved(state, B, D(100), D(110), later(1_000_000), LIMITS)
    carried = msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=LossState)
    assert carried == state

    after_restart(carried, 7, LIMITS)  # the machine was started anew: monotonic time began at 0

    def then(coin: str, ms: int) -> tuple[str, ...]:
        return blocks(carried, coin=coin, mono_ns=7 + ms * NS_PER_MS)

    assert (carried.day_pnl_usd, carried.loss_count) == (-5, 5)
    assert then(A, 1_999) == ("loss_streak", "reentry_cooldown")
    assert then(B, 59_999) == ("loss_streak", "oracle_jump")
    assert then(B, 299_999) == ("loss_streak",)
    assert then(A, 300_000) == ()


def test_restart_does_not_pause_after_a_row_that_was_ended() -> None:
    state = LossState()
    for pnl in ("-1", "-1", "-1", "-1", "-1", "1"):
        close(state, pnl, mono_ns=later(1_000_000))

    after_restart(state, 7, LIMITS)

    assert blocks(state, coin=C, mono_ns=7) == ()


GROUPED = LossLimits(correlation_groups={"chips": (A, B, "xyz:AMD"), "tech": (A, "xyz:META")}, correlation_count_max=2)


@pytest.mark.parametrize(
    ("coin", "side", "open_sides", "expected"),
    [
        (A, Side.BUY, {}, ""),
        (A, Side.BUY, {B: Side.BUY}, ""),
        (A, Side.BUY, {B: Side.BUY, "xyz:AMD": Side.BUY}, "correlation_group"),
        (A, Side.SELL, {B: Side.BUY, "xyz:AMD": Side.BUY}, ""),
        (A, Side.BUY, {B: Side.BUY, "xyz:AMD": Side.SELL, C: Side.BUY}, ""),
        (C, Side.BUY, {A: Side.BUY, B: Side.BUY}, ""),
        ("xyz:META", Side.BUY, {A: Side.BUY, B: Side.BUY}, ""),
    ],
)
def test_correlation_group_holds_so_many_positions_of_one_side(
    coin: str, side: Side, open_sides: dict[str, Side], expected: str
) -> None:
    assert correlation_block(GROUPED, coin, side, open_sides) == expected


def test_correlation_every_group_of_a_market_counts() -> None:
    limits = LossLimits(correlation_groups={"chips": (A, B), "tech": (A, C)}, correlation_count_max=1)
    assert correlation_block(limits, A, Side.BUY, {C: Side.BUY}) == "correlation_group"


@given(
    trades=st.lists(
        st.tuples(st.integers(-2 * NS_PER_DAY, 2 * NS_PER_DAY), st.decimals(-12, 12, places=2)), max_size=40
    )
)
def test_sums_are_those_of_the_latest_day_seen_whatever_the_clock_does(trades: list[tuple[int, Decimal]]) -> None:
    state, day, day_pnl, totals = LossState(), 0, D(0), [D(0)]
    for step_ns, pnl in trades:
        ts_ns = NOON_NS + step_ns
        if utc_day_of(ts_ns) > day:
            day, day_pnl = utc_day_of(ts_ns), D(0)
        day_pnl += pnl
        totals.append(totals[-1] + pnl)

        reason = trade_closed(state, A, pnl, ts_ns, T0, LIMITS)

        assert (state.day, state.day_pnl_usd, state.total_pnl_usd) == (day, day_pnl, totals[-1])
        is_day_lost, is_drawn_down = day_pnl <= -20, totals[-1] <= max(totals) - 30
        assert reason == ("day_loss" if is_day_lost else "drawdown" if is_drawn_down else "")
