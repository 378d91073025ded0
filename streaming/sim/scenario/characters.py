"""Characters: what is true about a simulated market, as seeded parameters and a label.

Rule 1: the label is ground truth for the evidence side. It never goes over the wire, and the generator never reads it:
behaviour follows from the parameters alone, so what is not a parameter can not tell two markets apart.
Rule 2: delays, pull behaviour and drift after a step are assumptions: no public data shows them for real markets.
Rule 3: `pulled_quote` differs from `stale_quote` in `pull_ratio` alone, which no column depends on.
"""

from enum import StrEnum
from typing import Annotated, Literal

import msgspec

from streaming.sim.scenario.universe import Ratio

_Bps = Annotated[float, msgspec.Meta(ge=0.0, le=1000.0)]
_Seconds = Annotated[float, msgspec.Meta(ge=0.0, le=86_400.0)]
_RatePerHour = Annotated[float, msgspec.Meta(ge=0.0, le=3600.0)]


class Label(StrEnum):
    """Ground truth of a market."""

    STALE_QUOTE = "stale_quote"
    """The oracle steps, makers follow after a drawn delay: the gap decays in 1 to 3 s. Taking the old quote may pay."""
    STANDING_BASIS = "standing_basis"
    """Oracle and book differ for hours. The cross is real, the profit is not."""
    SELF_REFERENTIAL = "self_referential"
    """Outside the session the oracle is the 30 min EMA of its own book: it comes to the quote, slowly."""
    FROZEN_QUOTE = "frozen_quote"
    """The book stands still for half minutes while the oracle walks."""
    NOISE = "noise"
    """Quotes stray across the oracle for fractions of a second; other crosses are makers who know better."""
    TOXIC_ORACLE = "toxic_oracle"
    """The oracle steps and takes most steps back; makers know and stay."""
    LAGGING_ORACLE = "lagging_oracle"
    """Makers are right and first, the oracle comes late: every cross closes on the oracle's side."""
    PULLED_QUOTE = "pulled_quote"
    """`stale_quote` to everybody who only looks; makers withdraw when a taker order arrives."""
    THIN_BOOK = "thin_book"
    """`stale_quote` with some dollars at the touch."""
    WIDENING_OPEN = "widening_open"
    """Stale quotes around the open, but the book widens when it follows: the way out costs what the way in gave."""
    ONE_SIDED = "one_sided"
    """Bid or ask, or both, are missing much of the time."""
    HALTING = "halting"
    """Halted by its deployer now and then."""
    PARAMETER_CHANGING = "parameter_changing"
    """Fees, leverage, margin mode and cap change under whoever trades it."""
    DELISTING = "delisting"
    """Comes and goes: delisted for days, the oracle frozen."""
    PRE_IPO = "pre_ipo"
    """No outside price ever; the book trades far from the oracle."""


class Character(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of one market's behaviour; sizes in bps, rates in the main session of the underlying."""

    label: Label

    # The underlying and its published oracle.
    jump_rate_h: _RatePerHour
    """Jumps of the underlying an hour."""
    jump_bps_min: _Bps
    jump_bps_scale: _Bps
    """A jump is min + exponential(scale), either way."""
    shock_bps: _Bps = 7.0
    """Standard deviation of shocks that all markets of a kind feel at once."""
    oracle_noise_bps: _Bps = 0.05
    """Standard deviation of an update's own error."""
    oracle_lag_s: Annotated[float, msgspec.Meta(ge=0.0, le=60.0)] = 0.0
    """How old the price is that the oracle publishes."""
    spike_rate_h: _RatePerHour = 0.0
    """Steps of the oracle without a cause, taken back with the next update or the one after; makers ignore them."""
    spike_bps_min: _Bps = 0.0
    spike_bps_scale: _Bps = 0.0
    is_always_open: bool = False
    """Whether an outside price exists at all times, whatever the calendar of the underlying says."""

    # Makers.
    maker: Literal["oracle", "underlying"] = "oracle"
    """What makers quote around: the published oracle, or what they themselves see of the underlying."""
    slow_ratio: Ratio = 0.0
    """Share of the oracle's big steps that makers follow slowly; the rest is followed within a quarter of a second."""
    slow_delay_s: Annotated[float, msgspec.Meta(ge=0.0, le=10.0)] = 0.0
    """Median of the slow delay (lognormal)."""
    pull_ratio: Ratio = 0.0
    """Share of taker orders that find the quote withdrawn while makers still have to follow a step. Nobody sees it."""
    basis_bps: _Bps = 0.8
    """Largest slow difference between book and oracle, either way; it changes over hours."""
    offset_bps: Annotated[float, msgspec.Meta(ge=-5000.0, le=5000.0)] = 0.0
    """Lasting difference between book and oracle."""
    freeze_s: _Seconds = 0.0
    """Mean length of a standstill of the book, 0 for never; twice as long as the time between two."""
    blip_rate_h: _RatePerHour = 0.0
    """Strayed quotes an hour: the whole touch moves and comes back."""
    blip_bps_min: _Bps = 0.0
    blip_bps_scale: _Bps = 0.0
    blip_life_s: _Seconds = 0.0
    """Mean life of a strayed quote (exponential)."""

    # The touch.
    bbo_rate_s: Annotated[float, msgspec.Meta(gt=0.0, le=14.0)]
    """Chances of the touch to change a second, beside those that follow the oracle."""
    widen_factor: Annotated[float, msgspec.Meta(ge=1.0, le=20.0)] = 1.0
    """How much wider the book is after makers followed a big step."""
    widen_s: _Seconds = 0.0
    """For how long."""
    open_factor: Annotated[float, msgspec.Meta(ge=1.0, le=20.0)] = 1.0
    """How much more often the underlying jumps in the half hour after the main session opens."""
    open_widen_factor: Annotated[float, msgspec.Meta(ge=1.0, le=20.0)] = 1.0
    """How much wider the book is in that half hour."""
    one_sided_ratio: Ratio = 0.0
    """Share of time with one side missing."""
    empty_ratio: Ratio = 0.0
    """Share of time without any quote; 1 is a market that is listed and has no book."""

    # The listing.
    halt_rate_day: Annotated[float, msgspec.Meta(ge=0.0, le=1000.0)] = 0.0
    """Halts a day."""
    halt_s: _Seconds = 0.0
    """Mean length of a halt."""
    change_every_days: Annotated[float, msgspec.Meta(ge=0.0, le=3650.0)] = 0.0
    """Mean time between two changes of one parameter of the listing; 0 is never."""
    cycle_days: Annotated[float, msgspec.Meta(ge=0.0, le=3650.0)] = 0.0
    """The market is listed and delisted in turn with this period, at full hours; 0 is always listed."""
    delisted_days: Annotated[float, msgspec.Meta(ge=0.0, le=3650.0)] = 0.0
    """How long it is delisted in a period."""

    # Regimes.
    regime_strength: Ratio = 0.0
    """How much delay shares, spreads, jump rates and volatility differ from one regime to the next; 0 is one regime."""

    def __post_init__(self) -> None:
        """Refuse what contradicts itself.

        Raises:
            ValueError: Two parameters do not fit; the text names them.
        """
        if self.slow_ratio and not self.slow_delay_s:
            raise ValueError("slow_ratio > 0: expected slow_delay_s > 0, found 0")
        if self.one_sided_ratio + self.empty_ratio > 1.0:
            raise ValueError(
                f"one_sided_ratio + empty_ratio: expected at most 1, found {self.one_sided_ratio} + {self.empty_ratio}"
            )
        if self.cycle_days and self.delisted_days >= self.cycle_days:
            raise ValueError(
                f"delisted_days: expected less than cycle_days {self.cycle_days}, found {self.delisted_days}"
            )
        if self.blip_rate_h and not self.blip_life_s:
            raise ValueError("blip_rate_h > 0: expected blip_life_s > 0, found 0")
        if self.widen_factor > 1.0 and not self.widen_s:
            raise ValueError("widen_factor > 1: expected widen_s > 0, found 0")
        if self.halt_rate_day and not self.halt_s:
            raise ValueError("halt_rate_day > 0: expected halt_s > 0, found 0")
        if self.delisted_days and not self.cycle_days:
            raise ValueError("delisted_days > 0: expected cycle_days > 0, found 0")
