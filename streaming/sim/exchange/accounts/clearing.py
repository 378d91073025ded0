"""One dex of one account: cash, positions, and how a fill moves money between them.

Rule 1: cross positions share the cash of the dex (`raw_usd`); an isolated position has cash of its own.
Rule 2: opening an isolated position takes notional / leverage from the cash; closing a part of it gives back the same
    part of its margin. Its fee falls on it when it opens and on what is given back when it closes.
    (Seen 2024 on the wire: margin of a fresh position is notional / leverage less about one fee. Inferred.)
Rule 3: nobody owes the venue: what a position that is gone has lost beyond its margin is the house's.
"""

from dataclasses import dataclass, field
from decimal import Decimal

from streaming.core.units import ZERO
from streaming.sim.exchange.accounts.positions import Fold, Position, fold
from streaming.sim.exchange.texts import cut_usd


@dataclass(frozen=True, slots=True)
class Setting:
    """Leverage of a market as its user has set it."""

    leverage: int
    is_cross: bool


@dataclass(slots=True)
class Clearinghouse:
    """Balance and positions of one user on one dex."""

    dex: str
    raw_usd: Decimal
    """Cash: deposits less what cross positions cost; isolated positions hold theirs themselves."""
    positions: dict[str, Position] = field(default_factory=dict)

    @property
    def cross(self) -> list[Position]:
        """Positions that share the cash."""
        return [position for position in self.positions.values() if position.is_cross]

    @property
    def isolated(self) -> list[Position]:
        """Positions with a margin of their own."""
        return [position for position in self.positions.values() if not position.is_cross]

    def fill(
        self, coin: str, setting: Setting, *, is_buy: bool, sz: Decimal, px: Decimal, fee_usd: Decimal
    ) -> tuple[Fold, Decimal]:
        """Apply a fill.

        Returns:
            What it did to the position, and what the house has to pay in: a loss beyond the margin, else 0.
        """
        position = self.positions.get(coin)
        folded = fold(position, is_buy=is_buy, sz=sz, px=px)
        covered = ZERO
        fee_left = fee_usd if not folded.opening_sz else ZERO
        if position is not None and folded.closing_sz:
            covered = self._close(position, folded, px, fee_left)
        if folded.opening_sz:
            self._open(coin, setting, folded, is_buy=is_buy, px=px, fee_usd=fee_usd)
        if not self.cross and self.raw_usd < ZERO:
            covered -= self.raw_usd
            self.raw_usd = ZERO
        return folded, covered

    def _close(self, position: Position, folded: Fold, px: Decimal, fee_usd: Decimal) -> Decimal:
        closing = folded.closing_sz if position.is_long else -folded.closing_sz
        is_whole = folded.closing_sz == abs(position.szi)
        covered = ZERO
        if position.is_cross:
            self.raw_usd += closing * px - fee_usd
        else:
            covered = self._release(position, closing, px, fee_usd, is_whole=is_whole)
        position.szi -= closing
        position.entry_ntl -= folded.closing_entry_ntl
        position.funding_since_change = ZERO
        if is_whole:
            del self.positions[position.coin]
        return covered

    def _release(
        self, position: Position, closing: Decimal, px: Decimal, fee_usd: Decimal, *, is_whole: bool
    ) -> Decimal:
        equity = position.equity(px)
        share = equity if is_whole else cut_usd(equity * closing / position.szi)
        given_back = max(share, ZERO) - fee_usd if not is_whole else share - fee_usd
        position.raw_usd += closing * px - fee_usd - max(given_back, ZERO)
        self.raw_usd += max(given_back, ZERO)
        return -given_back if is_whole and given_back < ZERO else ZERO

    def _open(self, coin: str, setting: Setting, folded: Fold, *, is_buy: bool, px: Decimal, fee_usd: Decimal) -> None:
        signed = folded.opening_sz if is_buy else -folded.opening_sz
        ntl = folded.opening_sz * px
        position = self.positions.get(coin)
        if position is None:
            position = Position(coin, ZERO, ZERO, setting.leverage, setting.is_cross)
            self.positions[coin] = position
        if position.is_cross:
            self.raw_usd -= signed * px + fee_usd
        else:
            margin = cut_usd(ntl / setting.leverage)
            self.raw_usd -= margin
            position.raw_usd += margin - signed * px - fee_usd
        position.szi += signed
        position.entry_ntl += ntl
        position.funding_since_change = ZERO
