"""The 8 gates: pure functions of one market at one instant.

Rule 1: a missing input blocks; comparisons are strict, in Decimal or int, and decide without division.
Rule 2: a gate reads state and never changes it; state is per market, so no market changes another's gates (I-22).
Rule 3: 0 never means "off". A gate named in `disabled_gates` passes, still showing what it observed.
Rule 4: flag gates (param change, halt, time regression) observe 1 while tripped, their cooldown included, against 0.
Rule 5: a gate decides without its figures; those are worked out for signals and transitions only.
"""

from collections.abc import Callable
from decimal import Decimal

import msgspec

from streaming.core.effects import GateId, GateResult, GateStatus
from streaming.core.errors import check
from streaming.core.limits import GateLimits
from streaming.core.market import BookClass
from streaming.core.spread import shock_ratio_of
from streaming.core.state import GATE_COUNT, MarketState
from streaming.core.units import BPS, NS_PER_MS, ONE, ZERO, quantize_bps, quantize_ewma, quantize_ntl

Gate = Callable[[MarketState, int, GateLimits], GateStatus]
"""(market, now_mono_ns, limits) -> status."""

Seen = tuple[Decimal | None, Decimal | None]
"""What was observed and its limit, both as reported; None is unknown."""

Figures = Callable[[MarketState, int, GateLimits, GateStatus], Seen]
"""(market, now_mono_ns, limits, the gate's status) -> what it saw."""

_PASS, _REDUCE, _BLOCK = GateStatus.PASS, GateStatus.REDUCE, GateStatus.BLOCK
_VALID = BookClass.VALID
_UNKNOWN: Seen = (None, None)


class GateRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the gate table: what it is, what it does, how it recovers."""

    id: GateId
    gate: Gate
    figures: Figures
    action_flat: str
    action_in_position: str
    recovery: str
    cooldown: str
    """Name of the limit that holds the cooldown; empty when the gate recovers with its input."""


def oracle_fresh(market: MarketState, now_mono_ns: int, limits: GateLimits) -> GateStatus:
    """Gate 1: age of the last receipt of a ctx, in ms; never the age of the last price change."""
    ctx = market.ctx
    return _BLOCK if ctx is None or now_mono_ns - ctx.recv_mono_ns > limits.ctx_age_ms_max * NS_PER_MS else _PASS


def _ctx_age(market: MarketState, now_mono_ns: int, limits: GateLimits, _: GateStatus) -> Seen:
    ctx = market.ctx
    return _UNKNOWN if ctx is None else (_ms(now_mono_ns - ctx.recv_mono_ns), Decimal(limits.ctx_age_ms_max))


def mark_mid_divergence(market: MarketState, now_mono_ns: int, limits: GateLimits) -> GateStatus:  # noqa: ARG001
    """Gate 2: |mark - mid| / mid in bps."""
    ctx, bbo = market.ctx, market.bbo
    if ctx is None or bbo is None or market.book_class is not _VALID or bbo.bid_px is None or bbo.ask_px is None:
        return _BLOCK
    mid_twice = bbo.bid_px + bbo.ask_px
    gap = abs(ctx.mark_px + ctx.mark_px - mid_twice) * BPS
    return _BLOCK if gap > limits.mark_mid_divergence_bps_max * mid_twice else _PASS


def _mark_mid_bps(market: MarketState, now_mono_ns: int, limits: GateLimits, _: GateStatus) -> Seen:  # noqa: ARG001
    ctx, bbo = market.ctx, market.bbo
    if ctx is None or bbo is None or market.book_class is not _VALID or bbo.bid_px is None or bbo.ask_px is None:
        return _UNKNOWN
    mid_twice = bbo.bid_px + bbo.ask_px
    gap = abs(ctx.mark_px + ctx.mark_px - mid_twice) * BPS
    return quantize_bps(gap / mid_twice), limits.mark_mid_divergence_bps_max


def spread_shock(market: MarketState, now_mono_ns: int, limits: GateLimits) -> GateStatus:
    """Gate 3: spread against k x its own EWMA before it, in quote units; holds 5 s after the return under k."""
    if market.book_class is not _VALID or market.spread_count < limits.spread_ewma_count_min:
        return _BLOCK
    level = market.shock_level
    if level:
        since = market.shock_under_mono_ns
        if since is not None and now_mono_ns - since >= limits.spread_shock_cooldown_ms * NS_PER_MS:
            level = 0
    return _PASS if level == 0 else _REDUCE if level == 1 else _BLOCK


def _spread(market: MarketState, now_mono_ns: int, limits: GateLimits, _: GateStatus) -> Seen:  # noqa: ARG001
    if market.book_class is not _VALID or market.spread_count < limits.spread_ewma_count_min:
        return _UNKNOWN
    return market.spread_px, quantize_ewma(shock_ratio_of(market, limits) * market.spread_reference_px)


def _is_status_known(market: MarketState, now_mono_ns: int, limits: GateLimits) -> bool:
    polled = market.status_mono_ns
    return polled is not None and now_mono_ns - polled <= limits.status_age_ms_max * NS_PER_MS


def oi_cap(market: MarketState, now_mono_ns: int, limits: GateLimits) -> GateStatus:
    """Gate 4: open interest x mark against the cap, in quote units; `is_at_oi_cap` of the venue decides as well."""
    status, ctx = market.status, market.ctx
    if (
        status is None
        or ctx is None
        or status.is_at_oi_cap is None
        or status.oi_cap_ntl is None
        or not _is_status_known(market, now_mono_ns, limits)
    ):
        return _BLOCK
    return _BLOCK if status.is_at_oi_cap or ctx.open_interest_sz * ctx.mark_px >= status.oi_cap_ntl else _PASS


def _open_interest(market: MarketState, now_mono_ns: int, limits: GateLimits, _: GateStatus) -> Seen:
    status, ctx = market.status, market.ctx
    if (
        status is None
        or ctx is None
        or status.is_at_oi_cap is None
        or status.oi_cap_ntl is None
        or not _is_status_known(market, now_mono_ns, limits)
    ):
        return _UNKNOWN
    return quantize_ntl(ctx.open_interest_sz * ctx.mark_px), quantize_ntl(status.oi_cap_ntl)


def param_change(market: MarketState, now_mono_ns: int, limits: GateLimits) -> GateStatus:  # noqa: ARG001
    """Gate 5: the observed `spec_version` is not the approved one, or its change is not yet accepted."""
    is_tripped = market.is_param_changed or market.spec.spec_version != market.approved_spec_version
    return _BLOCK if is_tripped else _PASS


def _flag(market: MarketState, now_mono_ns: int, limits: GateLimits, status: GateStatus) -> Seen:  # noqa: ARG001
    return ONE if status is _BLOCK else ZERO, ZERO


def halt(market: MarketState, now_mono_ns: int, limits: GateLimits) -> GateStatus:
    """Gate 6: halted, delisted, not listed, post-only window, or status unknown; 60 s after the return to normal."""
    status, since = market.status, market.normal_mono_ns
    if status is None or status.is_halted is None or not _is_status_known(market, now_mono_ns, limits):
        return _BLOCK
    return _BLOCK if since is None or now_mono_ns - since < limits.halt_cooldown_ms * NS_PER_MS else _PASS


def _halt_flag(market: MarketState, now_mono_ns: int, limits: GateLimits, status: GateStatus) -> Seen:
    if market.status is None or market.status.is_halted is None or not _is_status_known(market, now_mono_ns, limits):
        return _UNKNOWN
    return _flag(market, now_mono_ns, limits, status)


def no_bbo_update(market: MarketState, now_mono_ns: int, limits: GateLimits) -> GateStatus:
    """Gate 7: age of the last confirmation of a valid two-sided book, in ms (the venue sends bbo on change only)."""
    confirmed = market.confirmation_mono_ns
    is_tripped = confirmed is None or now_mono_ns - confirmed > limits.bbo_confirmation_age_ms_max * NS_PER_MS
    return _BLOCK if is_tripped else _PASS


def _confirmation_age(market: MarketState, now_mono_ns: int, limits: GateLimits, _: GateStatus) -> Seen:
    confirmed = market.confirmation_mono_ns
    return (
        _UNKNOWN if confirmed is None else (_ms(now_mono_ns - confirmed), Decimal(limits.bbo_confirmation_age_ms_max))
    )


def time_regression(market: MarketState, now_mono_ns: int, limits: GateLimits) -> GateStatus:  # noqa: ARG001
    """Gate 8: venue time of a time-bearing channel went backwards on this connection."""
    return _BLOCK if market.is_time_regressed else _PASS


def _ms(ns: int) -> Decimal:
    return Decimal(ns).scaleb(-6)


def _row(
    gate: GateId, functions: tuple[Gate, Figures], flat: str, in_position: str, recovery: str, cooldown: str = ""
) -> GateRow:
    return GateRow(
        id=gate,
        gate=functions[0],
        figures=functions[1],
        action_flat=flat,
        action_in_position=in_position,
        recovery=recovery,
        cooldown=cooldown,
    )


_STOP = "cancel all, stop market"
_SHRINK = "shrink, then stop"
GATES: tuple[GateRow, ...] = (
    _row(GateId.ORACLE_FRESH, (oracle_fresh, _ctx_age), "no entries", "no entries", "on data"),
    _row(GateId.MARK_MID_DIVERGENCE, (mark_mid_divergence, _mark_mid_bps), "no entries", "exits only", "on data"),
    _row(
        GateId.SPREAD_SHOCK, (spread_shock, _spread), "size x 1/5, no entries above 2k", "exits only", "back under k",
        "spread_shock_cooldown_ms",
    ),
    _row(GateId.OI_CAP, (oi_cap, _open_interest), "no entries", "no entries", "poll"),
    _row(
        GateId.PARAM_CHANGE, (param_change, _flag), _STOP, _SHRINK, "consistent refetch; repeated: operator",
        "param_change_cooldown_ms",
    ),
    _row(GateId.HALT, (halt, _halt_flag), _STOP, _SHRINK, "status normal", "halt_cooldown_ms"),
    _row(GateId.NO_BBO_UPDATE, (no_bbo_update, _confirmation_age), "no entries", _SHRINK, "on data"),
    _row(GateId.TIME_REGRESSION, (time_regression, _flag), _STOP, _SHRINK, "reconnect"),
)  # fmt: skip
"""The gate table; its order is that of every vector."""

_GATES = tuple([row.gate for row in GATES])
check(len(_GATES) == GATE_COUNT, "I-07", gates=len(_GATES))


def evaluate(market: MarketState, now_mono_ns: int, limits: GateLimits) -> tuple[GateResult, ...]:
    """Evaluate all 8 gates, none skipped, in the order of the table (I-07)."""
    results = []
    for row in GATES:
        status = row.gate(market, now_mono_ns, limits)
        observed, limit = row.figures(market, now_mono_ns, limits, status)
        if row.id in limits.disabled_gates:
            status = _PASS
        results.append(GateResult(gate=row.id, status=status, observed=observed, limit=limit))
    return tuple(results)


def decide(market: MarketState, now_mono_ns: int, limits: GateLimits) -> list[GateStatus]:
    """Return the statuses of `evaluate` without the figures: what runs every second for every market."""
    statuses = [gate(market, now_mono_ns, limits) for gate in _GATES]
    if limits.disabled_gates:
        return [
            _PASS if row.id in limits.disabled_gates else status for row, status in zip(GATES, statuses, strict=True)
        ]
    return statuses
