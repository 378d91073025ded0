"""Limits and settings that decisions depend on, as one frozen value inside the engine's state.

Rule 1: bounds live in the type (`msgspec.Meta`), so a file, a flag and a reload are judged by the same code.
Rule 2: 0 never means "off". A gate is disabled only by naming it, with a reason, in `disabled_gates`.
Rule 3: at run time limits may only tighten (I-32); `widened` lists what would be wider.
"""

from decimal import Decimal
from typing import Annotated

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
    exclusion_ttl_ms: DurationMs = 300_000
    followup_offsets_ms: tuple[int, ...] = (1_000, 3_000, 5_000)


class GateLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Limits of the 8 gates, in the order of the gate table."""

    ctx_age_ms_max: DurationMs = 8_000
    mark_mid_divergence_bps_max: Bps = Decimal(50)
    spread_shock_ratio_max: Decimal = Decimal(3)
    """k: spread / own EWMA above which size shrinks; above 2k entries stop."""
    spread_ewma_alpha: Decimal = Decimal("0.05")
    spread_ewma_count_min: Annotated[int, msgspec.Meta(ge=1)] = 20
    """Observations before the EWMA counts as an input; before that the gate blocks."""
    spread_shock_cooldown_ms: DurationMs = 5_000
    status_age_ms_max: DurationMs = 120_000
    """Age of the status poll beyond which cap and halt are unknown."""
    param_change_cooldown_ms: DurationMs = 30_000
    param_change_repeat_ms: DurationMs = 3_600_000
    """A second change within this time needs an operator."""
    halt_cooldown_ms: DurationMs = 60_000
    bbo_confirmation_age_ms_max: DurationMs = 2_000
    disabled_gates: dict[str, str] = {}
    """Gate name → reason. Logged at start and carried in every report."""


class SizingLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How large an entry may be."""

    alpha_ratio: Decimal = Decimal("0.10")
    """Share of the displayed size that we take."""
    reduce_ratio: Decimal = Decimal("0.2")
    """Factor a REDUCE gate applies to the size."""
    order_ntl_min: Ntl = Decimal(10)
    order_ntl_max: Ntl = Decimal(50)
    position_ntl_max: Ntl = Decimal(100)
    account_ntl_max: Ntl = Decimal(500)
    position_count_max: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 5


class PaperLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The paper fill model and the paper exit."""

    latency_ms: DurationMs = 400
    """Decision → match. The book is read at decision + latency."""
    time_stop_ms: DurationMs = 5_000
    exit_slippage_bps_max: Bps = Decimal(50)
    exit_retry_ms: DurationMs = 1_000


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that a decision depends on and an operator may set."""

    detector: DetectorLimits = DetectorLimits()
    gates: GateLimits = GateLimits()
    sizing: SizingLimits = SizingLimits()
    paper: PaperLimits = PaperLimits()
    rate_use_entries_ratio_max: Decimal = Decimal("0.95")
