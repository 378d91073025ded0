"""A position and the arithmetic of one fill on it.

Rule 1: the position is the fold of its fills: size and entry notional are exact sums, money is cut to a millionth.
Rule 2: what closes realises pnl against the average entry; what exceeds the position opens the other way ("flip").
Rule 3: `closedPnl` is without the fee (seen on the wire: opening fills have `closedPnl` 0.0 and a fee).
"""

from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal

from streaming.core.units import ZERO
from streaming.sim.exchange.texts import cut_usd


@dataclass(slots=True)
class Position:
    """One open position of a user; money in quote units."""

    coin: str
    szi: Decimal
    """Signed size, never zero while the position exists."""
    entry_ntl: Decimal
    """|size| x average entry price."""
    leverage: int
    is_cross: bool
    raw_usd: Decimal = ZERO
    """Isolated only: cash of the position, so that raw + size x mark is its margin; 0 for cross."""
    funding_since_open: Decimal = ZERO
    """Paid (positive) or received (negative) since the position was opened."""
    funding_since_change: Decimal = ZERO

    @property
    def is_long(self) -> bool:
        """Whether it gains when the price rises."""
        return self.szi > ZERO

    def entry_px(self, px_decimals: int) -> Decimal:
        """Return the average entry, cut to the decimals a price of the market may have (as on the wire)."""
        return (self.entry_ntl / abs(self.szi)).quantize(Decimal(1).scaleb(-px_decimals), rounding=ROUND_DOWN)

    def value(self, mark_px: Decimal) -> Decimal:
        """Return |size| x mark."""
        return abs(self.szi) * mark_px

    def unrealized(self, mark_px: Decimal) -> Decimal:
        """Return the pnl at a mark price."""
        gained = self.value(mark_px) - self.entry_ntl
        return gained if self.is_long else -gained

    def equity(self, mark_px: Decimal) -> Decimal:
        """Return the margin of an isolated position at a mark price."""
        return self.raw_usd + self.szi * mark_px


@dataclass(frozen=True, slots=True)
class Fold:
    """What a fill does to a position."""

    start_szi: Decimal
    closing_sz: Decimal
    opening_sz: Decimal
    closing_entry_ntl: Decimal
    closed_pnl: Decimal
    direction: str
    """`dir` of the fill body."""


def fold(position: Position | None, *, is_buy: bool, sz: Decimal, px: Decimal) -> Fold:
    """Split a fill of `sz` > 0 into what it closes and what it opens; nothing is changed."""
    start = position.szi if position else ZERO
    is_against = position is not None and position.is_long != is_buy
    closing = min(sz, abs(start)) if is_against else ZERO
    opening = sz - closing
    entry = ZERO
    if position is not None and closing:
        whole = closing == abs(start)
        entry = position.entry_ntl if whole else cut_usd(position.entry_ntl * closing / abs(start))
    gained = closing * px - entry
    return Fold(
        start_szi=start,
        closing_sz=closing,
        opening_sz=opening,
        closing_entry_ntl=entry,
        closed_pnl=cut_usd(gained if start > ZERO else -gained) if closing else ZERO,
        direction=_direction(is_buy=is_buy, closing=closing, opening=opening),
    )


def _direction(*, is_buy: bool, closing: Decimal, opening: Decimal) -> str:
    if closing and opening:
        return "Short > Long" if is_buy else "Long > Short"
    if closing:
        return "Close Short" if is_buy else "Close Long"
    return "Open Long" if is_buy else "Open Short"
