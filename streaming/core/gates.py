"""The 8 gates: pure functions of one market at one instant.

Rule 1: a missing input blocks; comparisons are strict, in Decimal or int, and decide without division.
Rule 2: a gate reads state and never changes it; state is per market, so no market changes another's gates (I-22).
Rule 3: 0 never means "off". A gate named in `disabled_gates` passes, still showing what it observed.
Rule 4: flag gates (param change, halt, time regression) observe 1 while tripped, their cooldown included, against 0.
Rule 5: a gate decides at once and works out its figures when asked: of the sweep's, only transitions are read.
"""

from collections.abc import Callable
from decimal import Decimal

import msgspec

from streaming.core.effects import GateId, GateResult, GateStatus
from streaming.core.errors import check
from streaming.core.limits import GateLimits
from streaming.core.market import BookClass
from streaming.core.state import GATE_COUNT, MarketState
from streaming.core.units import BPS, NS_PER_MS, ONE, ZERO, quantize_bps, quantize_ewma, quantize_ntl

Figures = Callable[[], tuple[Decimal | None, Decimal | None]]
"""Works out what was observed and its limit, both as reported; None is unknown. Ask before the market moves on."""

Decision = tuple[GateStatus, Figures]

Gate = Callable[[MarketState, int, GateLimits], Decision]
"""(market, now_mono_ns, limits) -> decision."""

_PASS, _REDUCE, _BLOCK = GateStatus.PASS, GateStatus.REDUCE, GateStatus.BLOCK
_VALID = BookClass.VALID


class GateRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the gate table: what it is, what it does, how it recovers."""

    id: GateId
    gate: Gate
    action_flat: str
    action_in_position: str
    recovery: str
    cooldown: str
    """Name of the limit that holds the cooldown; empty when the gate recovers with its input."""


_UNKNOWN: Decision = (_BLOCK, lambda: (None, None))
_CLEAR: Decision = (_PASS, lambda: (ZERO, ZERO))
_TRIPPED: Decision = (_BLOCK, lambda: (ONE, ZERO))


def _judge_age(age_ns: int, limit_ms: int) -> Decision:
    status = _BLOCK if age_ns > limit_ms * NS_PER_MS else _PASS
    return status, lambda: (Decimal(age_ns).scaleb(-6), Decimal(limit_ms))


def oracle_fresh(market: MarketState, now_mono_ns: int, limits: GateLimits) -> Decision:
    """Gate 1: age of the last receipt of a ctx, in ms; never the age of the last price change."""
    ctx = market.ctx
    if ctx is None:
        return _UNKNOWN
    return _judge_age(now_mono_ns - ctx.recv_mono_ns, limits.ctx_age_ms_max)


def mark_mid_divergence(market: MarketState, now_mono_ns: int, limits: GateLimits) -> Decision:  # noqa: ARG001
    """Gate 2: |mark - mid| / mid in bps."""
    ctx, bbo = market.ctx, market.bbo
    if ctx is None or bbo is None or market.book_class is not _VALID or bbo.bid_px is None or bbo.ask_px is None:
        return _UNKNOWN
    mid_twice = bbo.bid_px + bbo.ask_px
    gap = abs(ctx.mark_px + ctx.mark_px - mid_twice) * BPS
    limit = limits.mark_mid_divergence_bps_max
    status = _BLOCK if gap > limit * mid_twice else _PASS
    return status, lambda: (quantize_bps(gap / mid_twice), limit)


def spread_shock(market: MarketState, now_mono_ns: int, limits: GateLimits) -> Decision:
    """Gate 3: spread against k x its own EWMA before it, in quote units; holds 5 s after the return under k."""
    if market.book_class is not _VALID or market.spread_count < limits.spread_ewma_count_min:
        return _UNKNOWN
    level = market.shock_level
    if level:
        since = market.shock_under_mono_ns
        if since is not None and now_mono_ns - since >= limits.spread_shock_cooldown_ms * NS_PER_MS:
            level = 0
    status = _PASS if level == 0 else _REDUCE if level == 1 else _BLOCK
    return status, lambda: (market.spread_px, quantize_ewma(limits.spread_shock_ratio_max * market.spread_reference_px))


def _is_status_known(market: MarketState, now_mono_ns: int, limits: GateLimits) -> bool:
    polled = market.status_mono_ns
    return polled is not None and now_mono_ns - polled <= limits.status_age_ms_max * NS_PER_MS


def oi_cap(market: MarketState, now_mono_ns: int, limits: GateLimits) -> Decision:
    """Gate 4: open interest x mark against the cap, in quote units; `is_at_oi_cap` of the venue decides as well."""
    status, ctx = market.status, market.ctx
    if (
        status is None
        or ctx is None
        or status.is_at_oi_cap is None
        or status.oi_cap_ntl is None
        or not _is_status_known(market, now_mono_ns, limits)
    ):
        return _UNKNOWN
    cap_ntl = status.oi_cap_ntl
    open_interest_ntl = ctx.open_interest_sz * ctx.mark_px
    is_capped = status.is_at_oi_cap or open_interest_ntl >= cap_ntl
    return _BLOCK if is_capped else _PASS, lambda: (quantize_ntl(open_interest_ntl), quantize_ntl(cap_ntl))


def param_change(market: MarketState, now_mono_ns: int, limits: GateLimits) -> Decision:  # noqa: ARG001
    """Gate 5: the observed `spec_version` is not the approved one, or its change is not yet accepted."""
    is_tripped = market.is_param_changed or market.spec.spec_version != market.approved_spec_version
    return _TRIPPED if is_tripped else _CLEAR


def halt(market: MarketState, now_mono_ns: int, limits: GateLimits) -> Decision:
    """Gate 6: halted, delisted, not listed, post-only window, or status unknown; 60 s after the return to normal."""
    status = market.status
    if status is None or status.is_halted is None or not _is_status_known(market, now_mono_ns, limits):
        return _UNKNOWN
    since = market.normal_mono_ns
    is_tripped = since is None or now_mono_ns - since < limits.halt_cooldown_ms * NS_PER_MS
    return _TRIPPED if is_tripped else _CLEAR


def no_bbo_update(market: MarketState, now_mono_ns: int, limits: GateLimits) -> Decision:
    """Gate 7: age of the last confirmation of a valid two-sided book, in ms (the venue sends bbo on change only)."""
    confirmed = market.confirmation_mono_ns
    if confirmed is None:
        return _UNKNOWN
    return _judge_age(now_mono_ns - confirmed, limits.bbo_confirmation_age_ms_max)


def time_regression(market: MarketState, now_mono_ns: int, limits: GateLimits) -> Decision:  # noqa: ARG001
    """Gate 8: venue time of a time-bearing channel went backwards on this connection."""
    return _TRIPPED if market.is_time_regressed else _CLEAR


def _row(gate: GateId, function: Gate, flat: str, in_position: str, recovery: str, cooldown: str = "") -> GateRow:
    return GateRow(
        id=gate,
        gate=function,
        action_flat=flat,
        action_in_position=in_position,
        recovery=recovery,
        cooldown=cooldown,
    )


_STOP = "cancel all, stop market"
_SHRINK = "shrink, then stop"
GATES: tuple[GateRow, ...] = (
    _row(GateId.ORACLE_FRESH, oracle_fresh, "no entries", "no entries", "on data"),
    _row(GateId.MARK_MID_DIVERGENCE, mark_mid_divergence, "no entries", "exits only", "on data"),
    _row(
        GateId.SPREAD_SHOCK, spread_shock, "size x 1/5, no entries above 2k", "exits only", "back under k",
        "spread_shock_cooldown_ms",
    ),
    _row(GateId.OI_CAP, oi_cap, "no entries", "no entries", "poll"),
    _row(
        GateId.PARAM_CHANGE, param_change, _STOP, _SHRINK, "consistent refetch; repeated: operator",
        "param_change_cooldown_ms",
    ),
    _row(GateId.HALT, halt, _STOP, _SHRINK, "status normal", "halt_cooldown_ms"),
    _row(GateId.NO_BBO_UPDATE, no_bbo_update, "no entries", _SHRINK, "on data"),
    _row(GateId.TIME_REGRESSION, time_regression, _STOP, _SHRINK, "reconnect"),
)  # fmt: skip
"""The gate table; its order is that of every vector."""

_FUNCTIONS = tuple((row.id, row.gate) for row in GATES)
check(len(_FUNCTIONS) == GATE_COUNT, "I-07", gates=len(_FUNCTIONS))


def evaluate(market: MarketState, now_mono_ns: int, limits: GateLimits) -> tuple[GateResult, ...]:
    """Evaluate all 8 gates, none skipped, in the order of the table (I-07)."""
    results = []
    for gate_id, gate in _FUNCTIONS:
        status, figures = gate(market, now_mono_ns, limits)
        observed, limit = figures()
        if gate_id in limits.disabled_gates:
            status = _PASS
        results.append(GateResult(gate=gate_id, status=status, observed=observed, limit=limit))
    return tuple(results)


def decide(market: MarketState, now_mono_ns: int, limits: GateLimits) -> list[GateStatus]:
    """Return the statuses of `evaluate` without the figures: what runs every second for every market."""
    statuses = [gate(market, now_mono_ns, limits)[0] for _, gate in _FUNCTIONS]
    if limits.disabled_gates:
        return [
            _PASS if gate_id in limits.disabled_gates else status
            for (gate_id, _), status in zip(_FUNCTIONS, statuses, strict=True)
        ]
    return statuses
