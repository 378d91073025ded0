"""Characters: what is true about a simulated market, as seeded parameters and a label.

Rule 1: the label is ground truth for the evidence side. It never goes over the wire.
Rule 2: delays, pull behaviour and drift after a step are assumptions: no public data shows them for real markets.

- `stale_quote`: the oracle jumps, makers follow it after a drawn delay. Taking the old quote pays.
- `standing_basis`: oracle and book differ for hours. The cross is real, the profit is not.
- `frozen_quote`: the book stands still for half minutes while the oracle walks. The same, from another cause.
- `noise`: makers are first and the oracle lags them. Crosses are ghosts; taking them costs spread and fees.
"""

from dataclasses import dataclass
from enum import StrEnum


class Label(StrEnum):
    """Ground truth of a market."""

    STALE_QUOTE = "stale_quote"
    STANDING_BASIS = "standing_basis"
    FROZEN_QUOTE = "frozen_quote"
    NOISE = "noise"


@dataclass(frozen=True, slots=True)
class Character:
    """Parameters of one market's behaviour; times in seconds, sizes in bps."""

    label: Label
    jump_rate_h: float
    """Jumps of the underlying an hour, in the US session."""
    jump_bps_min: float
    jump_bps_scale: float
    """A jump is min + exponential(scale), either way."""
    bbo_rate_s: float
    """Changes of the touch a second beside those that follow the oracle."""
    slow_ratio: float = 0.0
    """Share of jumps that makers follow slowly; the rest is followed within a quarter of a second."""
    slow_delay_s: float = 0.0
    """Median of the slow delay (lognormal)."""
    basis_bps: float = 0.8
    """Amplitude of the slow difference between book and oracle."""
    oracle_noise_bps: float = 0.05
    freeze_s: float = 0.0
    """Mean length of a standstill of the book, 0 for never; twice as long as the time between two."""

    @property
    def follows_oracle(self) -> bool:
        """Whether makers quote around the published oracle (else around the underlying itself)."""
        return self.label is not Label.NOISE


def _stale(rate: float, delay_s: float, scale: float = 5.0, slow: float = 0.85) -> Character:
    return Character(
        label=Label.STALE_QUOTE,
        jump_rate_h=rate,
        jump_bps_min=8.0,
        jump_bps_scale=scale,
        bbo_rate_s=0.85,
        slow_ratio=slow,
        slow_delay_s=delay_s,
    )


def _basis(amplitude_bps: float) -> Character:
    return Character(
        label=Label.STANDING_BASIS,
        jump_rate_h=1.0,
        jump_bps_min=5.0,
        jump_bps_scale=3.0,
        bbo_rate_s=0.85,
        basis_bps=amplitude_bps,
    )


def _frozen(freeze_s: float) -> Character:
    return Character(
        label=Label.FROZEN_QUOTE,
        jump_rate_h=1.0,
        jump_bps_min=5.0,
        jump_bps_scale=3.0,
        bbo_rate_s=3.3,
        freeze_s=freeze_s,
    )


def _noise(rate: float = 2.0, oracle_noise_bps: float = 0.3) -> Character:
    return Character(
        label=Label.NOISE,
        jump_rate_h=rate,
        jump_bps_min=5.0,
        jump_bps_scale=3.0,
        bbo_rate_s=1.12,
        oracle_noise_bps=oracle_noise_bps,
    )


SCENARIOS: dict[str, dict[str, Character]] = {
    "demo": {
        "xyz:XYZ100": _noise(),
        "xyz:TSLA": _stale(rate=4.0, delay_s=2.2),
        "xyz:NVDA": _stale(rate=5.0, delay_s=2.0),
        "xyz:GOLD": _noise(rate=1.0),
        "xyz:HOOD": _stale(rate=3.0, delay_s=2.4, scale=4.0, slow=0.7),
        "xyz:INTC": _stale(rate=4.0, delay_s=2.6, scale=6.0),
        "xyz:PLTR": _stale(rate=3.5, delay_s=2.4, scale=6.0),
        "xyz:COIN": _basis(amplitude_bps=16.0),
        "xyz:META": _frozen(freeze_s=45.0),
        "xyz:AAPL": _noise(rate=3.0),
        "xyz:MSFT": _stale(rate=3.5, delay_s=2.2),
        "xyz:ORCL": _basis(amplitude_bps=12.0),
        "xyz:GOOGL": _noise(rate=3.0, oracle_noise_bps=0.5),
        "xyz:AMZN": _frozen(freeze_s=35.0),
    }
}
"""Scenario → market → character. Every market of the universe stands in every scenario."""
