"""What losses forbid: the stop latch for the account, pauses and cooldowns for entries, groups that move together.

Rule 1: losses are net of fees and funding; a limit is reached, not exceeded, when it acts.
Rule 2: sums of a day belong to the latest UTC day that was seen. A clock that steps back over midnight keeps adding to
it and a second midnight of the same day resets nothing.
Rule 3: every reason against an entry is named; none hides another.
Rule 4: an operator's reset of the latch does not forgive the day: entries stay closed by `day_loss` until it is over.
"""

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from streaming.core.limits import LossLimits
from streaming.core.market import Side
from streaming.core.units import BPS, NS_PER_MS, ZERO, utc_day_of


class LossState(msgspec.Struct, kw_only=True):
    """Results that limits look at. Carried over restarts; see `after_restart` for what begins anew."""

    day: int = 0
    """UTC day of the day's sums, the latest seen; 0 before the first result."""
    day_pnl_usd: Decimal = ZERO
    market_day_pnl_usd: dict[str, Decimal] = {}
    total_pnl_usd: Decimal = ZERO
    peak_pnl_usd: Decimal = ZERO
    """Highest total so far, or since the drawdown was rebased."""
    loss_count: int = 0
    """Losing trades in a row, over all markets."""
    pause_until_mono_ns: int = 0
    reentry_until_mono_ns: dict[str, int] = {}
    oracle_jump_until_mono_ns: dict[str, int] = {}


def trade_closed(
    state: LossState, coin: str, pnl_usd: Decimal, now_ts_ns: int, now_mono_ns: int, limits: LossLimits
) -> str:
    """Book the result of a position that is flat again.

    Args:
        state: Results so far.
        coin: Market.
        pnl_usd: Result net of all fees that were not booked by `cost_booked`.
        now_ts_ns: Wall clock; decides the day.
        now_mono_ns: Monotonic clock; cooldowns begin here.
        limits: Limits.

    Returns:
        The reason for the stop latch, `day_loss` or `drawdown`; empty while neither limit is reached.
    """
    if pnl_usd < ZERO:
        state.loss_count += 1
        state.reentry_until_mono_ns[coin] = now_mono_ns + limits.reentry_cooldown_ms * NS_PER_MS
        _pause_after_row(state, now_mono_ns, limits)
    else:
        state.loss_count = 0
    return cost_booked(state, coin, pnl_usd, now_ts_ns, limits)


def cost_booked(state: LossState, coin: str, pnl_usd: Decimal, now_ts_ns: int, limits: LossLimits) -> str:
    """Book money that no closed trade accounts for (funding, a fee apart); negative when we pay.

    Returns:
        As `trade_closed`.
    """
    if not _is_day_of_sums(state, now_ts_ns):
        state.day = utc_day_of(now_ts_ns)
        state.day_pnl_usd = ZERO
        state.market_day_pnl_usd = {}
    state.day_pnl_usd += pnl_usd
    state.market_day_pnl_usd[coin] = state.market_day_pnl_usd.get(coin, ZERO) + pnl_usd
    state.total_pnl_usd += pnl_usd
    state.peak_pnl_usd = max(state.peak_pnl_usd, state.total_pnl_usd)
    return next(iter(_account_blocks(state, now_ts_ns, limits)), "")


def oracle_moved(
    state: LossState, coin: str, previous_px: Decimal, px: Decimal, now_mono_ns: int, limits: LossLimits
) -> bool:
    """Take one step of the oracle; one that is too large closes the market for entries for a while (F-47).

    Returns:
        Whether it was too large.
    """
    if abs(px - previous_px) * BPS <= limits.oracle_jump_bps_max * previous_px:
        return False
    state.oracle_jump_until_mono_ns[coin] = now_mono_ns + limits.oracle_jump_cooldown_ms * NS_PER_MS
    return True


def market_refused(state: LossState, coin: str, now_mono_ns: int, limits: LossLimits) -> None:
    """Take a refusal that says the market takes no risk now: no entry there for as long as after an oracle jump."""
    until_mono_ns = now_mono_ns + limits.oracle_jump_cooldown_ms * NS_PER_MS
    state.reentry_until_mono_ns[coin] = max(state.reentry_until_mono_ns.get(coin, 0), until_mono_ns)


def entry_blocks(state: LossState, coin: str, now_ts_ns: int, now_mono_ns: int, limits: LossLimits) -> tuple[str, ...]:
    """Name everything here that forbids an entry in this market now; empty when nothing does."""
    blocks = _account_blocks(state, now_ts_ns, limits)
    market_loss_usd = -state.market_day_pnl_usd.get(coin, ZERO)
    if _is_day_of_sums(state, now_ts_ns) and market_loss_usd >= limits.market_day_loss_usd_max:
        blocks += ("market_day_loss",)
    if now_mono_ns < state.pause_until_mono_ns:
        blocks += ("loss_streak",)
    if now_mono_ns < state.reentry_until_mono_ns.get(coin, now_mono_ns):
        blocks += ("reentry_cooldown",)
    if now_mono_ns < state.oracle_jump_until_mono_ns.get(coin, now_mono_ns):
        blocks += ("oracle_jump",)
    return blocks


def correlation_block(limits: LossLimits, coin: str, side: Side, open_sides: Mapping[str, Side]) -> str:
    """Return `correlation_group` if a group of this market already has its most positions of this side.

    Args:
        limits: Groups and how many positions of one side each may have.
        coin: Market of the entry.
        side: Side of the entry.
        open_sides: Market → side of every position and of every entry in flight.
    """
    for coins in limits.correlation_groups.values():
        if coin in coins and sum(open_sides.get(other) is side for other in coins) >= limits.correlation_count_max:
            return "correlation_group"
    return ""


def rebase_drawdown(state: LossState) -> None:
    """Measure the drawdown from here on: part of an operator's reset, else entries would never open again."""
    state.peak_pnl_usd = state.total_pnl_usd


def copy_of(state: LossState) -> LossState:
    """Return a value that later results leave alone."""
    return msgspec.structs.replace(
        state,
        market_day_pnl_usd=dict(state.market_day_pnl_usd),
        reentry_until_mono_ns=dict(state.reentry_until_mono_ns),
        oracle_jump_until_mono_ns=dict(state.oracle_jump_until_mono_ns),
    )


def after_restart(state: LossState, now_mono_ns: int, limits: LossLimits) -> None:
    """Make a carried state usable: monotonic time may have begun anew, so that no deadline of it means anything.

    All sums and the row of losses are kept. Deadlines begin anew, in full: a restart is no way around a cooldown. The
    pause does so only while its row of losses still stands.
    """
    reentry_mono_ns = now_mono_ns + limits.reentry_cooldown_ms * NS_PER_MS
    jump_mono_ns = now_mono_ns + limits.oracle_jump_cooldown_ms * NS_PER_MS
    state.reentry_until_mono_ns = dict.fromkeys(state.reentry_until_mono_ns, reentry_mono_ns)
    state.oracle_jump_until_mono_ns = dict.fromkeys(state.oracle_jump_until_mono_ns, jump_mono_ns)
    state.pause_until_mono_ns = 0
    _pause_after_row(state, now_mono_ns, limits)


def _pause_after_row(state: LossState, now_mono_ns: int, limits: LossLimits) -> None:
    if state.loss_count >= limits.loss_streak_count_max:
        state.pause_until_mono_ns = now_mono_ns + limits.loss_streak_cooldown_ms * NS_PER_MS


def _is_day_of_sums(state: LossState, now_ts_ns: int) -> bool:
    return utc_day_of(now_ts_ns) <= state.day


def _account_blocks(state: LossState, now_ts_ns: int, limits: LossLimits) -> tuple[str, ...]:
    blocks: tuple[str, ...] = ()
    if _is_day_of_sums(state, now_ts_ns) and -state.day_pnl_usd >= limits.day_loss_usd_max:
        blocks += ("day_loss",)
    if state.peak_pnl_usd - state.total_pnl_usd >= limits.drawdown_usd_max:
        blocks += ("drawdown",)
    return blocks
