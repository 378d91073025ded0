"""Margin: what positions and resting orders need, what an order may use, where a position is liquidated.

Rule 1: everything is valued at the mark price; an order counts with its limit price.
Rule 2: initial margin is notional / leverage; maintenance margin is half of the initial margin at maximum leverage.
Rule 3: in one market the dearer side counts: position and buys, or position and sells; orders against the position
    count from where they would turn it (inferred: the venue does not publish how resting orders are counted).
Rule 4: what may leave an account keeps max(initial margin, 10 % of the notional) behind.

Source: hyperliquid-protocol.md, sections 2 and 10; the liquidation price formula reproduces two real bodies.
"""

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Protocol

from streaming.core.units import ZERO
from streaming.sim.exchange.accounts.clearing import Clearinghouse, Setting
from streaming.sim.exchange.accounts.positions import Position
from streaming.sim.exchange.texts import cut_usd

MAINTENANCE_DIVISOR = 2
TRANSFER_RATIO = Decimal("0.1")

Marks = Callable[[str], Decimal]
"""Coin → mark price."""
Settings = Callable[[str], Setting]
"""Coin → leverage of the user."""


class Claim(Protocol):
    """An order as margin sees it; `orders.Order` is one."""

    @property
    def coin(self) -> str:
        """Market."""
        ...

    @property
    def is_buy(self) -> bool:
        """Side."""
        ...

    @property
    def px(self) -> Decimal:
        """Limit price."""
        ...

    @property
    def sz(self) -> Decimal:
        """What may still trade."""
        ...

    @property
    def is_reduce_only(self) -> bool:
        """Whether it can only close: such an order needs no margin."""
        ...


def maintenance_usd(position: Position, mark_px: Decimal, leverage_max: int) -> Decimal:
    """Return the maintenance margin of a position."""
    return position.value(mark_px) / (MAINTENANCE_DIVISOR * leverage_max)


def margin_used_usd(position: Position, mark_px: Decimal) -> Decimal:
    """Return `marginUsed`: initial margin of a cross position, the whole margin of an isolated one."""
    return cut_usd(position.value(mark_px) / position.leverage if position.is_cross else position.equity(mark_px))


def cross_value_usd(house: Clearinghouse, marks: Marks) -> Decimal:
    """Return the account value that cross positions share."""
    return house.raw_usd + sum((p.szi * marks(p.coin) for p in house.cross), start=ZERO)


def market_need_usd(position: Position | None, setting: Setting, claims: Iterable[Claim], mark_px: Decimal) -> Decimal:
    """Return the cash a market needs: margin of its cross position and of its orders on the dearer side.

    The margin of an isolated position has left the cash already, so only its orders count.
    """
    buys, sells = _side(claims, is_buy=True), _side(claims, is_buy=False)
    szi = position.szi if position else ZERO
    held = position.value(mark_px) if position and position.is_cross else ZERO
    longs = held + buys[1] if szi >= ZERO else _beyond(buys, -szi)
    shorts = held + sells[1] if szi <= ZERO else _beyond(sells, szi)
    return max(longs, shorts) / setting.leverage


def _side(claims: Iterable[Claim], *, is_buy: bool) -> tuple[Decimal, Decimal]:
    mine = [claim for claim in claims if claim.is_buy == is_buy and not claim.is_reduce_only]
    return sum((c.sz for c in mine), start=ZERO), sum((c.sz * c.px for c in mine), start=ZERO)


def _beyond(side: tuple[Decimal, Decimal], sz: Decimal) -> Decimal:
    """Return the notional of a side beyond the first `sz`, at its mean price."""
    total, ntl = side
    return ntl * (total - sz) / total if total > sz else ZERO


def needed_usd(house: Clearinghouse, settings: Settings, claims: Iterable[Claim], marks: Marks) -> Decimal:
    """Return the cash that positions and orders of a dex need together."""
    by_coin: dict[str, list[Claim]] = {position.coin: [] for position in house.positions.values()}
    for claim in claims:
        by_coin.setdefault(claim.coin, []).append(claim)
    return sum(
        (
            market_need_usd(house.positions.get(coin), settings(coin), orders, marks(coin))
            for coin, orders in by_coin.items()
        ),
        start=ZERO,
    )


def withdrawable_usd(house: Clearinghouse, settings: Settings, claims: Iterable[Claim], marks: Marks) -> Decimal:
    """Return what may leave the cash of a dex, at least 0."""
    kept = max(
        needed_usd(house, settings, claims, marks),
        TRANSFER_RATIO * sum((p.value(marks(p.coin)) for p in house.cross), start=ZERO),
    )
    return max(ZERO, cross_value_usd(house, marks) - kept)


def liquidation_px(
    house: Clearinghouse, position: Position, marks: Marks, leverage_max: Callable[[str], int]
) -> Decimal | None:
    """Return the mark price at which a position is liquidated while all others stand still; None if there is none."""
    mark_px = marks(position.coin)
    if position.is_cross:
        equity = cross_value_usd(house, marks)
        maintenance = sum((maintenance_usd(p, marks(p.coin), leverage_max(p.coin)) for p in house.cross), start=ZERO)
    else:
        equity = position.equity(mark_px)
        maintenance = maintenance_usd(position, mark_px, leverage_max(position.coin))
    sz = abs(position.szi)
    slope = position.szi - sz / (MAINTENANCE_DIVISOR * leverage_max(position.coin))
    px = mark_px - (equity - maintenance) / slope
    return px if px > ZERO else None
