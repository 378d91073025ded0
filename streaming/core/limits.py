"""Limits and settings that decisions depend on, as one frozen value inside the engine's state.

Rule 1: bounds live in the type (`msgspec.Meta`), so a file, a flag and a reload are judged by the same code.
Rule 2: 0 never means "off". A gate is disabled only by naming it, with a reason, in `disabled_gates`.
Rule 3: at run time limits may only tighten (I-32); `widened` lists what would be wider.
"""

from decimal import Decimal
from typing import Annotated, Any

import msgspec

Bps = Annotated[Decimal, msgspec.Meta(description="basis points, 1e-4")]
Ntl = Annotated[Decimal, msgspec.Meta(description="notional in quote units")]
DurationMs = Annotated[int, msgspec.Meta(ge=1, le=86_400_000)]


class DetectorLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When a cross is an opportunity. Threshold = 2 x taker fee + slippage + least edge."""

    slippage_bps: Bps = Decimal(1)
    """Allowance for adverse movement between decision and fill, both legs together."""
    edge_bps_min: Bps = Decimal(2)
    """What must be left after fees and slippage."""
    rearm_ratio: Decimal = Decimal("0.5")
    """An episode ends once the raw edge is back to this share of the threshold."""
    bbo_init_timeout_ms: DurationMs = 10_000
    """A market without its first valid bbo and ctx after this long is excluded, so that it blocks no other."""
    exclusion_ttl_ms: DurationMs = 300_000
    """An excluded market is subscribed and tried again after this long."""
    followup_offsets_ms: tuple[int, ...] = (1_000, 3_000, 5_000)
    """When a signal is followed up, counted from its decision."""


class GateLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Limits of the 8 gates, in the order of the gate table."""

    ctx_age_ms_max: DurationMs = 8_000
    """Gate 1: age of the last receipt of a ctx."""
    mark_mid_divergence_bps_max: Bps = Decimal(50)
    """Gate 2: distance of mark and mid."""
    spread_shock_ratio_max: Decimal = Decimal(3)
    """k: spread / own EWMA above which size shrinks; above 2k entries stop."""
    spread_ewma_alpha: Decimal = Decimal("0.05")
    """Gate 3: weight of a new spread in its EWMA."""
    spread_ewma_count_min: Annotated[int, msgspec.Meta(ge=1)] = 20
    """Observations before the EWMA counts as an input; before that the gate blocks."""
    spread_shock_cooldown_ms: DurationMs = 5_000
    """Gate 3: how long the spread must stay back under k."""
    status_age_ms_max: DurationMs = 120_000
    """Age of the status poll beyond which cap and halt are unknown."""
    param_change_cooldown_ms: DurationMs = 30_000
    """Gate 5: how long a changed spec must stay the same before it is approved."""
    param_change_repeat_ms: DurationMs = 3_600_000
    """A second change within this time needs an operator."""
    halt_cooldown_ms: DurationMs = 60_000
    """Gate 6: how long the status must be normal again."""
    bbo_confirmation_age_ms_max: DurationMs = 2_000
    """Gate 7: age of the last confirmation of a valid two-sided book."""
    disabled_gates: dict[str, str] = {}
    """Gate name → reason. Logged at start and carried in every report."""


class SizingLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How large an entry may be."""

    alpha_ratio: Decimal = Decimal("0.10")
    """Share of the displayed size that we take."""
    reduce_ratio: Decimal = Decimal("0.2")
    """Factor a REDUCE gate applies to the size."""
    order_ntl_min: Ntl = Decimal(10)
    """The venue refuses smaller orders; tested after rounding."""
    order_ntl_max: Ntl = Decimal(50)
    """Largest notional of one entry."""
    position_ntl_max: Ntl = Decimal(100)
    """Largest notional of one market, everything in flight included; rotations stay below it."""
    account_ntl_max: Ntl = Decimal(500)
    """Largest notional of all markets together, everything in flight included."""
    position_count_max: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 5
    """Most positions at a time."""


class PaperLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The paper fill model and the paper exit."""

    latency_ms: DurationMs = 400
    """Decision → match. The book is read at decision + latency."""
    time_stop_ms: DurationMs = 5_000
    """A paper position is closed this long after its fill."""
    exit_slippage_bps_max: Bps = Decimal(50)
    """How far beyond the touch an exit may reach."""
    exit_retry_ms: DurationMs = 1_000
    """Pause between exits that did not fill."""


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that a decision depends on and an operator may set."""

    detector: DetectorLimits = DetectorLimits()
    gates: GateLimits = GateLimits()
    sizing: SizingLimits = SizingLimits()
    paper: PaperLimits = PaperLimits()
    rate_use_entries_ratio_max: Decimal = Decimal("0.95")
    """Use of any rate limit from which entries close."""
    venue_offset_ms_max: DurationMs = 5_000
    """Offset between the venue's clock and ours, either way, at which entries close."""
    venue_lag_ms_max: DurationMs = 1_000
    """How much later than the least delay of the last minute a bbo may arrive before entries close."""


_HIGHER, _LOWER, _CHANGED, _FREE = "higher", "lower", "changed", "free"
"""What makes a limit wider: a higher value, a lower one, any change, or nothing (not a limit of risk)."""

WIDER_WHEN: dict[str, str] = {
    "detector.slippage_bps": _LOWER,
    "detector.edge_bps_min": _LOWER,
    "detector.rearm_ratio": _HIGHER,
    "detector.bbo_init_timeout_ms": _FREE,
    "detector.exclusion_ttl_ms": _FREE,
    "detector.followup_offsets_ms": _FREE,
    "gates.ctx_age_ms_max": _HIGHER,
    "gates.mark_mid_divergence_bps_max": _HIGHER,
    "gates.spread_shock_ratio_max": _HIGHER,
    "gates.spread_ewma_alpha": _CHANGED,
    "gates.spread_ewma_count_min": _LOWER,
    "gates.spread_shock_cooldown_ms": _LOWER,
    "gates.status_age_ms_max": _HIGHER,
    "gates.param_change_cooldown_ms": _LOWER,
    "gates.param_change_repeat_ms": _LOWER,
    "gates.halt_cooldown_ms": _LOWER,
    "gates.bbo_confirmation_age_ms_max": _HIGHER,
    "sizing.alpha_ratio": _HIGHER,
    "sizing.reduce_ratio": _HIGHER,
    "sizing.order_ntl_min": _LOWER,
    "sizing.order_ntl_max": _HIGHER,
    "sizing.position_ntl_max": _HIGHER,
    "sizing.account_ntl_max": _HIGHER,
    "sizing.position_count_max": _HIGHER,
    "paper.latency_ms": _LOWER,
    "paper.time_stop_ms": _HIGHER,
    "paper.exit_slippage_bps_max": _HIGHER,
    "paper.exit_retry_ms": _HIGHER,
    "rate_use_entries_ratio_max": _HIGHER,
    "venue_offset_ms_max": _HIGHER,
    "venue_lag_ms_max": _HIGHER,
}
"""Every setting but `gates.disabled_gates`, whose additional names are wider each."""


def widened(old: Limits, new: Limits) -> tuple[str, ...]:
    """Name the limits that `new` would make wider than `old`; empty when it only tightens."""
    names = [name for name, rule in WIDER_WHEN.items() if _is_wider(rule, _value(old, name), _value(new, name))]
    disabled = [gate for gate in new.gates.disabled_gates if gate not in old.gates.disabled_gates]
    return tuple(names + [f"gates.disabled_gates.{gate}" for gate in disabled])


def _value(limits: Limits, name: str) -> Any:  # noqa: ANN401 - int, Decimal or tuple
    value: Any = limits
    for part in name.split("."):
        value = getattr(value, part)
    return value


def _is_wider(rule: str, old: Any, new: Any) -> bool:  # noqa: ANN401 - int, Decimal or tuple
    if rule == _HIGHER:
        return bool(new > old)
    if rule == _LOWER:
        return bool(new < old)
    return rule == _CHANGED and bool(new != old)
