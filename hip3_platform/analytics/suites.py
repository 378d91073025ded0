"""What must hold of a day's profile: one declarative rule a column, from which the Great Expectations suites are made.

Rule 1: a rule that `blocks` says that the table contradicts itself or its contract; figures made of it could move
money, so nothing behind it runs. Any other rule says that the table is right and the market or the venue is odd: such
a market is for its verdict to refuse, and the day goes on.
Rule 2: null is "nothing to judge" (too few rows, no baseline yet) and is allowed in columns that say so; a column of
a blocking rule is never null.
"""

from dataclasses import dataclass

SIGNALS, FOLLOWUPS, ORDERS, FILLS, DAILY_METRICS = "signals", "followups", "orders", "fills", "daily_metrics"


@dataclass(frozen=True, slots=True)
class Rule:
    """A column of a profile lies in [low, high] for every market; None is open."""

    column: str
    low: float | None
    high: float | None
    is_blocking: bool = True

    @property
    def expected(self) -> str:
        """The rule as text."""
        if self.low is None:
            return f"at most {self.high}"
        if self.high is None:
            return f"at least {self.low}"
        return f"{self.low}" if self.low == self.high else f"{self.low} to {self.high}"

    def holds(self, value: float | None) -> bool:
        """Tell whether a value is inside; null is unless the rule blocks."""
        if value is None:
            return not self.is_blocking
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


def _never(*columns: str) -> tuple[Rule, ...]:
    return tuple(Rule(column, 0, 0) for column in columns)


def _odd(column: str, low: float | None, high: float | None) -> Rule:
    return Rule(column, low, high, is_blocking=False)


EDGE_BPS_MAX = 2_000.0
FOLLOWUP_ABSENT_RATIO_MAX = 0.05
"""A session that ends takes the follow-ups of its last seconds with it."""
IDENTICAL_EDGE_RATIO_MAX = 0.5
"""79 signals of exactly 42.14 bps were one frozen quote: edges carry six decimals and do not repeat by chance."""
ONE_SIDED_RATIO = 0.02
CTX_AGE_MS_MAX = 8_000.0
"""Gate 1 blocks above it; a 95th percentile up there means that the gate decides, not the market."""
VOLUME_FACTOR = 5.0
SIGNAL_FACTOR = 10.0

SUITES: dict[str, tuple[Rule, ...]] = {
    SIGNALS: (
        Rule("signal_count", 1, 100_000),
        Rule("raw_edge_bps_max", 0, EDGE_BPS_MAX),
        Rule("followup_absent_ratio", 0, FOLLOWUP_ABSENT_RATIO_MAX),
        *_never(
            "signal_id_repeat_count", "episode_repeat_count", "side_unknown_count", "origin_unknown_count",
            "px_not_positive_count", "sz_not_positive_count", "edge_below_threshold_count", "net_not_below_raw_count",
            "fee_not_positive_count", "unblocked_without_book_count", "gate_vector_incomplete_count",
            "unblocked_despite_gate_count", "age_negative_count", "input_after_decision_count",
        ),
        _odd("identical_edge_ratio", 0, IDENTICAL_EDGE_RATIO_MAX),
        _odd("buy_ratio", ONE_SIDED_RATIO, 1 - ONE_SIDED_RATIO),
        _odd("gate_passes_over_limit_ratio", 0, 0),  # a gate that an operator disabled does
        _odd("book_null_ratio", 0, 0.05),
        _odd("ctx_age_ms_p95", 0, CTX_AGE_MS_MAX),
        _odd("oracle_age_ms_p95", 0, 3_600_000),
    ),
    FOLLOWUPS: (
        *_never(
            "orphan_count", "side_differs_count", "entry_differs_count", "missing_without_reason_count",
            "known_without_book_count", "px_not_positive_count", "offset_not_positive_count",
        ),
        Rule("offset_kinds", 1, 16),
        _odd("missing_ratio", 0, 0.25),
        _odd("early_ratio", 0, 0.01),
        _odd("late_ratio", 0, 0.01),
        _odd("crossed_book_ratio", 0, 0.01),
        _odd("offset_uneven_ratio", 0, 0.05),
    ),
    ORDERS: (
        *_never(
            "status_unknown_count", "side_unknown_count", "mode_unknown_count", "px_not_positive_count",
            "sz_not_positive_count", "filled_over_sz_count", "changed_terms_count", "sequence_broken_count",
        ),
        _odd("filled_shrinks_count", 0, 0),
        _odd("unanswered_ratio", 0, 0.05),
        _odd("rejected_ratio", 0, 0.2),
        _odd("answered_us_p95", 0, 5_000_000),
    ),
    FILLS: (
        *_never(
            "side_unknown_count", "mode_unknown_count", "source_unknown_count", "px_not_positive_count",
            "sz_not_positive_count", "outside_limit_count", "side_differs_count", "over_order_count",
            "flight_negative_count",
        ),
        Rule("fee_bps_max", -10, 100),
        _odd("order_absent_count", 0, 0),
        _odd("foreign_count", 0, 0),
        _odd("liquidation_count", 0, 0),
        _odd("slippage_bps_abs_max", 0, 500),
        _odd("late_ratio", 0, 0.05),
    ),
    DAILY_METRICS: (
        *_never("row_repeat_count", "count_negative_count", "rate_outside_count", "quantile_order_count",
                "signal_count_difference", "bbo_count_difference", "market_missing_count"),
        _odd("bbo_null_rate", 0, 0.2),
        _odd("ctx_age_ms_clock_p95", 0, CTX_AGE_MS_MAX),
        _odd("ready_rate", 0.5, 1),
        _odd("bbo_ratio", 1 / VOLUME_FACTOR, VOLUME_FACTOR),
        _odd("ctx_ratio", 1 / VOLUME_FACTOR, VOLUME_FACTOR),
        _odd("signal_ratio", 1 / SIGNAL_FACTOR, SIGNAL_FACTOR),
    ),
}  # fmt: skip
"""Suite → rules. A profile has one record a market with `coin` and every column named here."""
