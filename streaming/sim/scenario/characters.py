"""Characters: what is true about a simulated market, as seeded parameters and a label.

Rule 1: the label is ground truth for the evidence side. It never goes over the wire.
Rule 2: delays, pull behaviour and drift after a step are assumptions: no public data shows them for real markets.

- `stale_quote`: the oracle jumps, makers follow it after a drawn delay. Taking the old quote pays.
- `standing_basis`: oracle and book differ for hours. The cross is real, the profit is not.
- `frozen_quote`: the book stands still for half minutes while the oracle walks. The same, from another cause.
- `noise`: makers are first and the oracle lags them. Crosses are ghosts; taking them costs spread and fees.
"""

from enum import StrEnum
from typing import Annotated

import msgspec

from streaming.sim.scenario.universe import NotNegative, Ratio


class Label(StrEnum):
    """Ground truth of a market."""

    STALE_QUOTE = "stale_quote"
    STANDING_BASIS = "standing_basis"
    FROZEN_QUOTE = "frozen_quote"
    NOISE = "noise"


class Character(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of one market's behaviour; times in seconds, sizes in bps."""

    label: Label
    jump_rate_h: Annotated[float, msgspec.Meta(ge=0.0, le=3600.0)]
    """Jumps of the underlying an hour, in the US session."""
    jump_bps_min: NotNegative
    jump_bps_scale: NotNegative
    """A jump is min + exponential(scale), either way."""
    bbo_rate_s: Annotated[float, msgspec.Meta(gt=0.0, le=14.0)]
    """Changes of the touch a second beside those that follow the oracle."""
    slow_ratio: Ratio = 0.0
    """Share of jumps that makers follow slowly; the rest is followed within a quarter of a second."""
    slow_delay_s: NotNegative = 0.0
    """Median of the slow delay (lognormal)."""
    basis_bps: NotNegative = 0.8
    """Amplitude of the slow difference between book and oracle."""
    oracle_noise_bps: NotNegative = 0.05
    freeze_s: NotNegative = 0.0
    """Mean length of a standstill of the book, 0 for never; twice as long as the time between two."""

    @property
    def follows_oracle(self) -> bool:
        """Whether makers quote around the published oracle (else around the underlying itself)."""
        return self.label is not Label.NOISE
