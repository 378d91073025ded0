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
    """k: spread / own EWMA above which size shrinks; above 2k entries stop. A market may learn a lower one."""
    spread_shock_ratio_min: Decimal = Decimal("1.5")
    """The least k that a calm market may learn: below it every quote that moves would be a shock."""
    spread_shock_margin_ratio: Decimal = Decimal("1.5")
    """k of a market is this times the 99 % quantile of its own spread / EWMA, sampled each second."""
    spread_ewma_alpha: Decimal = Decimal("0.05")
    """Gate 3: weight of a new spread in its EWMA, which it enters as k x the EWMA at most."""
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


class ExitLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When a real position is closed. Every rule closes the whole position; the first that holds names the reason."""

    time_stop_ms: DurationMs = 5_000
    """Held for this long since the first fill."""
    hold_ms_min: DurationMs = 300
    """Before this only losses close a position: the quotes that filled us have to be replaced first."""
    quick_profit_bps: Bps = Decimal(10)
    """Gain at the exit side of the touch, taker fees of both sides deducted, that is taken at once."""
    edge_evaporated_bps: Bps = Decimal(1)
    """Oracle against the exit side, in our favour: no more than this is left to wait for."""
    oracle_reversed_bps: Bps = Decimal(5)
    """The oracle moved against the entry by this since the first fill."""
    mark_regression_bps: Bps = Decimal(25)
    """The mark moved against the entry by this since the first fill."""
    trailing_start_bps: Bps = Decimal(5)
    """Best gain so far, fees of both sides deducted, from which the trailing stop is active."""
    trailing_retrace_bps: Bps = Decimal(3)
    """How much of the best gain may be given back once it is."""
    slippage_bps_max: Bps = Decimal(50)
    """How far beyond the touch an exit order may reach."""
    retry_ms: DurationMs = 500
    """Pause between exit orders that did not fill."""


class LossLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What real trading may lose before it pauses or stops. Losses count fees and funding."""

    day_loss_usd_max: Ntl = Decimal(20)
    """Account, UTC day: the stop latch is set."""
    market_day_loss_usd_max: Ntl = Decimal(10)
    """One market, UTC day: no entries there until the next day."""
    drawdown_usd_max: Ntl = Decimal(30)
    """From the highest realised result of the session's account: the stop latch is set."""
    loss_streak_count_max: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 5
    """So many losing trades in a row over all markets pause entries."""
    loss_streak_cooldown_ms: DurationMs = 300_000
    """How long entries pause after such a row."""
    reentry_cooldown_ms: DurationMs = 2_000
    """No entry in a market for this long after a losing trade in it."""
    oracle_jump_bps_max: Bps = Decimal(200)
    """One oracle step larger than this keeps the market out of entries for `oracle_jump_cooldown_ms` (F-47)."""
    oracle_jump_cooldown_ms: DurationMs = 60_000
    """See `oracle_jump_bps_max`."""
    correlation_groups: dict[str, tuple[str, ...]] = {}
    """Group → full names of markets that move together."""
    correlation_count_max: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 3
    """Most positions of one side in a group, entries in flight included."""
    blackout_windows_utc: tuple[str, ...] = ()
    """Daily windows without entries, `HH:MM-HH:MM` in UTC, begin included, end not; may wrap midnight."""
    is_closed_session_traded: bool = False
    """Whether to enter while the underlying is closed: the oracle is then a mean of the book itself, and no evidence
    counts those hours."""


class ActionLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How actions are sent, and how many."""

    entry_batch_ms: Annotated[int, msgspec.Meta(ge=0, le=1_000)] = 0
    """Entries wait for the next batch of this length; 0 sends each step's at once. Exits and cancels never wait."""
    answer_timeout_ms: DurationMs = 5_000
    """An action without an answer after this long has an unknown outcome."""
    entry_expiry_ms: DurationMs = 3_000
    """`expiresAfter` of an entry, counted from its decision."""
    exit_expiry_ms: DurationMs = 5_000
    """`expiresAfter` of everything else."""
    action_rate_per_s: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 10
    """Token bucket of orders and cancels: refill."""
    action_burst_count: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 40
    """Token bucket of orders and cancels: size."""
    exit_token_count: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 20
    """Tokens that only reduce-only orders and cancels may take."""
    in_flight_count_max: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20
    """Posts without an answer at a time; the venue allows 100 an IP."""
    exit_in_flight_count: Annotated[int, msgspec.Meta(ge=1, le=100)] = 10
    """Places among them that only reduce-only orders and cancels may take."""
    address_reserve_count: Annotated[int, msgspec.Meta(ge=0)] = 500
    """Requests of the address budget that only exits may use."""
    failure_count_max: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 5
    """Failures in a row that open the circuit for entries; an action that came too late counts for two."""
    circuit_ms: DurationMs = 60_000
    """How long the circuit stays open."""
    rejection_count_max: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 5
    """Rejections in a row that are not benign set the stop latch."""


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that a decision depends on and an operator may set."""

    detector: DetectorLimits = DetectorLimits()
    gates: GateLimits = GateLimits()
    sizing: SizingLimits = SizingLimits()
    paper: PaperLimits = PaperLimits()
    exits: ExitLimits = ExitLimits()
    losses: LossLimits = LossLimits()
    actions: ActionLimits = ActionLimits()
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
    "gates.spread_shock_ratio_min": _HIGHER,
    "gates.spread_shock_margin_ratio": _HIGHER,
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
    "exits.time_stop_ms": _HIGHER,
    "exits.hold_ms_min": _HIGHER,
    "exits.quick_profit_bps": _FREE,
    "exits.edge_evaporated_bps": _LOWER,
    "exits.oracle_reversed_bps": _HIGHER,
    "exits.mark_regression_bps": _HIGHER,
    "exits.trailing_start_bps": _FREE,
    "exits.trailing_retrace_bps": _HIGHER,
    "exits.slippage_bps_max": _HIGHER,
    "exits.retry_ms": _HIGHER,
    "losses.day_loss_usd_max": _HIGHER,
    "losses.market_day_loss_usd_max": _HIGHER,
    "losses.drawdown_usd_max": _HIGHER,
    "losses.loss_streak_count_max": _HIGHER,
    "losses.loss_streak_cooldown_ms": _LOWER,
    "losses.reentry_cooldown_ms": _LOWER,
    "losses.oracle_jump_bps_max": _HIGHER,
    "losses.oracle_jump_cooldown_ms": _LOWER,
    "losses.correlation_groups": _CHANGED,
    "losses.correlation_count_max": _HIGHER,
    "losses.blackout_windows_utc": _CHANGED,
    "losses.is_closed_session_traded": _HIGHER,
    "actions.entry_batch_ms": _FREE,
    "actions.answer_timeout_ms": _FREE,
    "actions.entry_expiry_ms": _HIGHER,
    "actions.exit_expiry_ms": _HIGHER,
    "actions.action_rate_per_s": _HIGHER,
    "actions.action_burst_count": _HIGHER,
    "actions.exit_token_count": _LOWER,
    "actions.in_flight_count_max": _HIGHER,
    "actions.exit_in_flight_count": _LOWER,
    "actions.address_reserve_count": _LOWER,
    "actions.failure_count_max": _HIGHER,
    "actions.circuit_ms": _LOWER,
    "actions.rejection_count_max": _HIGHER,
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
