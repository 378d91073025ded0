"""When a real position is closed, and why: independent rules over what the first fill fixed and what is seen now.

Rule 1: the baseline is set once, by the first fill, and belongs to the position (I-13): no counter that lives longer,
and no resync, can move it.
Rule 2: rules are independent, in the order of `EXIT_REASONS`; the first that holds names the reason.
Rule 3: a rule without its inputs does not hold; the time stop needs none, so that a position always ends.
Rule 4: profits and vanished edges close a position only after `hold_ms_min`; what says that we were wrong does at once.
Rule 5: every distance is in bps of the entry price, so that a short is the exact mirror of a long.
"""

from collections.abc import Callable
from decimal import Decimal

import msgspec

from streaming.core.limits import ExitLimits
from streaming.core.market import Side
from streaming.core.units import BPS, NS_PER_MS, ZERO, quantize_bps


class ExitBaseline(msgspec.Struct, frozen=True, kw_only=True):
    """A position as its first fill found it; None is unknown."""

    side: Side
    """BUY is long."""
    entry_px: Decimal
    entry_mono_ns: int
    entry_oracle_px: Decimal | None
    entry_mark_px: Decimal | None
    entry_edge_bps: Decimal | None
    """For reports; no rule reads it: what is left of the edge is seen in the prices."""


class ExitTrack(msgspec.Struct, kw_only=True):
    """What has been seen of a position's gain: at the exit side of the touch, less the taker fee of the exit."""

    gain_bps: Decimal | None = None
    """As of the last look; None when the exit side was empty."""
    best_gain_bps: Decimal | None = None


class ExitView(msgspec.Struct, frozen=True, kw_only=True):
    """What is known now; None is unknown."""

    bid_px: Decimal | None
    ask_px: Decimal | None
    oracle_px: Decimal | None
    mark_px: Decimal | None
    now_mono_ns: int


Rule = Callable[[ExitBaseline, ExitTrack, ExitView, ExitLimits], bool]


def exit_reason(
    baseline: ExitBaseline, track: ExitTrack, view: ExitView, limits: ExitLimits, taker_fee_bps: Decimal
) -> str:
    """Bring `track` up to date and say why the position is to be closed now.

    Args:
        baseline: What the first fill fixed.
        track: Gains seen so far; the only thing that changes.
        view: Prices and time.
        limits: Limits of the rules.
        taker_fee_bps: What closing costs, effective.

    Returns:
        One of `EXIT_REASONS`, empty when the position is held.
    """
    _look(baseline, track, view, taker_fee_bps)
    held_ns = view.now_mono_ns - baseline.entry_mono_ns
    rules = _AT_ONCE if held_ns < limits.hold_ms_min * NS_PER_MS else _AT_ONCE + _AFTER_HOLD
    return next((reason for reason, rule in rules if rule(baseline, track, view, limits)), "")


def _look(baseline: ExitBaseline, track: ExitTrack, view: ExitView, taker_fee_bps: Decimal) -> None:
    exit_px = _exit_px(baseline, view)
    if exit_px is None:
        track.gain_bps = None
        return
    gross_bps = _gained(baseline, baseline.entry_px, exit_px) * BPS / baseline.entry_px
    gain_bps = track.gain_bps = quantize_bps(gross_bps - taker_fee_bps)
    if track.best_gain_bps is None or gain_bps > track.best_gain_bps:
        track.best_gain_bps = gain_bps


def _time_stop(baseline: ExitBaseline, _: ExitTrack, view: ExitView, limits: ExitLimits) -> bool:
    # Monotonic time behind the entry means that the machine was started anew: held for longer than anyone can tell.
    held_ns = view.now_mono_ns - baseline.entry_mono_ns
    return held_ns < 0 or held_ns >= limits.time_stop_ms * NS_PER_MS


def _oracle_reversed(baseline: ExitBaseline, _: ExitTrack, view: ExitView, limits: ExitLimits) -> bool:
    return _moved_against(baseline, baseline.entry_oracle_px, view.oracle_px, limits.oracle_reversed_bps)


def _mark_regression(baseline: ExitBaseline, _: ExitTrack, view: ExitView, limits: ExitLimits) -> bool:
    return _moved_against(baseline, baseline.entry_mark_px, view.mark_px, limits.mark_regression_bps)


def _quick_profit(_: ExitBaseline, track: ExitTrack, __: ExitView, limits: ExitLimits) -> bool:
    return track.gain_bps is not None and track.gain_bps >= limits.quick_profit_bps


def _trailing_stop(_: ExitBaseline, track: ExitTrack, __: ExitView, limits: ExitLimits) -> bool:
    gain_bps, best_bps = track.gain_bps, track.best_gain_bps
    if gain_bps is None or best_bps is None:
        return False
    return best_bps >= limits.trailing_start_bps and best_bps - gain_bps >= limits.trailing_retrace_bps


def _oracle_caught_up(baseline: ExitBaseline, _: ExitTrack, view: ExitView, __: ExitLimits) -> bool:
    # The oracle came to our price: what we bought below it, or sold above it, was no bargain.
    return view.oracle_px is not None and _gained(baseline, baseline.entry_px, view.oracle_px) <= ZERO


def _edge_evaporated(baseline: ExitBaseline, _: ExitTrack, view: ExitView, limits: ExitLimits) -> bool:
    # The quote came to the oracle. Measured at the side we leave by: right after an entry the whole spread and edge
    # lie between the two, so that the rule can not hold already because of the entry (predecessor, section 7).
    exit_px = _exit_px(baseline, view)
    if exit_px is None or view.oracle_px is None:
        return False
    return _gained(baseline, exit_px, view.oracle_px) * BPS <= limits.edge_evaporated_bps * baseline.entry_px


def _exit_px(baseline: ExitBaseline, view: ExitView) -> Decimal | None:
    return view.bid_px if baseline.side is Side.BUY else view.ask_px


def _gained(baseline: ExitBaseline, from_px: Decimal, to_px: Decimal) -> Decimal:
    # Movement in favour of the position, in quote units.
    return to_px - from_px if baseline.side is Side.BUY else from_px - to_px


def _moved_against(baseline: ExitBaseline, from_px: Decimal | None, to_px: Decimal | None, limit_bps: Decimal) -> bool:
    if from_px is None or to_px is None:
        return False
    return -_gained(baseline, from_px, to_px) * BPS >= limit_bps * baseline.entry_px


_AT_ONCE: tuple[tuple[str, Rule], ...] = (
    ("time_stop", _time_stop),
    ("oracle_reversed", _oracle_reversed),
    ("mark_regression", _mark_regression),
)
_AFTER_HOLD: tuple[tuple[str, Rule], ...] = (
    ("quick_profit", _quick_profit),
    ("trailing_stop", _trailing_stop),
    ("oracle_caught_up", _oracle_caught_up),
    ("edge_evaporated", _edge_evaporated),
)

EXIT_REASONS = tuple(reason for reason, _ in _AT_ONCE + _AFTER_HOLD)
"""Every reason, in the order in which the rules are asked."""
