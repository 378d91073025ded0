"""Who is liquidated, how much of what, and what the backstop takes.

Rule 1: what counts is the mark price: equity below the maintenance margin is sent to the book as market orders.
Rule 2: of a position above 100,000 only 20 % is sent; in the 30 s after that, orders are for the whole of it.
Rule 3: below two thirds of the maintenance margin the backstop takes positions and what is left of their margin,
    at the mark price (the price it takes them at is inferred).
Rule 4: an isolated position is liquidated alone; cross positions of a dex are liquidated together.

Source: hyperliquid-protocol.md, sections 9 and 10; official page "Liquidations" (slices, cooldown, no clearance fee).
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Literal

from streaming.core.units import ZERO
from streaming.sim.exchange.accounts import margin
from streaming.sim.exchange.accounts.accounts import Account, Accounts
from streaming.sim.exchange.accounts.clearing import Clearinghouse
from streaming.sim.exchange.accounts.executions import LiquidationMark
from streaming.sim.exchange.accounts.positions import Position
from streaming.sim.exchange.accounts.settlement import Settlements
from streaming.sim.exchange.events import ExchangeEvent, Json, Notified, UserEvent
from streaming.sim.exchange.texts import number_text, usd_text

SLICED_ABOVE_USD = Decimal(100_000)
SLICE_RATIO = Decimal("0.2")
COOLDOWN_MS = 30_000
_BACKSTOP_RATIO = Decimal(2) / Decimal(3)
_BACKSTOP_ADDRESS = 0x4 << 156


@dataclass(frozen=True, slots=True)
class Close:
    """One market order of a liquidation."""

    coin: str
    is_buy: bool
    sz: Decimal
    mark_px: Decimal


@dataclass(frozen=True, slots=True)
class Liquidation:
    """What is to be closed now."""

    user: str
    dex: str
    is_cross: bool
    method: Literal["market", "backstop"]
    """`market`: send `closes` to the book, cancel the user's orders there first. `backstop`: call `take_over`."""
    closes: tuple[Close, ...]
    account_value: Decimal
    ntl: Decimal
    """Value of all positions concerned at the mark."""
    positions: tuple[tuple[str, Decimal], ...]
    """Market and signed size."""

    def mark_of(self, close: Close) -> LiquidationMark:
        """Return what both fills of a trade carry."""
        return LiquidationMark(user=self.user, mark_px=close.mark_px, method=self.method)


class Liquidator:
    """Watches the accounts that hold positions."""

    def __init__(self, accounts: Accounts, settlements: Settlements) -> None:
        self._accounts = accounts
        self._settlements = settlements
        self._sliced_ms: dict[str, int] = {}
        self._count = 0

    def due(self, now_ms: int) -> Iterator[Liquidation]:
        """Yield what falls short of its maintenance margin, one by one: each sees what those before it have changed."""
        marks, leverage_max = self._accounts.marks(now_ms), self._accounts.leverage_max(now_ms)
        for account in self._accounts.holders():
            for house in account.houses.values():
                for positions in _groups(house):
                    equity, maintenance = _health(house, positions, marks, leverage_max)
                    if equity < maintenance:
                        is_backstop = equity < maintenance * _BACKSTOP_RATIO
                        yield self._liquidation(account, house, positions, equity, now_ms, is_backstop=is_backstop)

    def _liquidation(
        self,
        account: Account,
        house: Clearinghouse,
        positions: list[Position],
        equity: Decimal,
        now_ms: int,
        *,
        is_backstop: bool,
    ) -> Liquidation:
        marks = self._accounts.marks(now_ms)
        is_cooling = now_ms - self._sliced_ms.get(account.user, -COOLDOWN_MS) < COOLDOWN_MS
        is_whole = is_backstop or is_cooling
        return Liquidation(
            user=account.user,
            dex=house.dex,
            is_cross=positions[0].is_cross,
            method="backstop" if is_backstop else "market",
            closes=tuple(self._close(position, marks(position.coin), is_whole=is_whole) for position in positions),
            account_value=equity,
            ntl=sum((position.value(marks(position.coin)) for position in positions), start=ZERO),
            positions=tuple((position.coin, position.szi) for position in positions),
        )

    def _close(self, position: Position, mark_px: Decimal, *, is_whole: bool) -> Close:
        sz = abs(position.szi)
        if not is_whole and position.value(mark_px) > SLICED_ABOVE_USD:
            decimals = self._accounts.universe.by_coin[position.coin].sz_decimals
            sz = min(sz, (sz * SLICE_RATIO).quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_CEILING))
        return Close(position.coin, not position.is_long, sz, mark_px)

    def record(self, liquidation: Liquidation, now_ms: int) -> list[ExchangeEvent]:
        """Put a liquidation on record and return what its user hears; begins the cooldown after a slice.

        To be called for a `market` one when at least one of its orders has traded.
        """
        account = self._accounts.of(liquidation.user)
        held = dict(liquidation.positions)
        if any(close.sz < abs(held[close.coin]) for close in liquidation.closes):
            self._sliced_ms[account.user] = now_ms
        self._count += 1
        self._accounts.write_ledger(_ledger_delta(liquidation), now_ms, account)
        place = list(account.houses).index(liquidation.dex)
        event = {
            "lid": now_ms * 1_000 + self._count % 1_000,
            "liquidator": f"0x{_BACKSTOP_ADDRESS + place:040x}",
            "liquidated_user": liquidation.user,
            "liquidated_ntl_pos": usd_text(liquidation.ntl),
            "liquidated_account_value": usd_text(liquidation.account_value),
        }
        notice = liquidated_text(held, is_cross=liquidation.is_cross)
        return [UserEvent(liquidation.user, {"liquidation": event}), Notified(liquidation.user, notice)]

    def take_over(self, liquidation: Liquidation, now_ms: int) -> list[ExchangeEvent]:
        """Let the backstop take positions and the margin that is left of them; on record."""
        account = self._accounts.of(liquidation.user)
        house = account.houses[liquidation.dex]
        events = self.record(liquidation, now_ms)
        before = ZERO if liquidation.is_cross else house.raw_usd
        kind = "Cross" if liquidation.is_cross else "Isolated"
        for close in liquidation.closes:
            events += self._settlements.close(
                account.user,
                close.coin,
                close.sz,
                direction=f"Liquidated {kind} {'Short' if close.is_buy else 'Long'}",
                now_ms=now_ms,
                liquidation=liquidation.mark_of(close),
            )
        self._accounts.seize(account, liquidation.dex, max(ZERO, house.raw_usd - before))
        return events


def liquidated_text(coins: Iterable[str], *, is_cross: bool) -> str:
    """Return what a user is notified of."""
    return f"{'Cross' if is_cross else 'Isolated'} position liquidated: {', '.join(coins)}"


def _groups(house: Clearinghouse) -> Iterator[list[Position]]:
    """Yield the positions of a dex that stand and fall together, as they are when they are asked for."""
    if not house.positions:
        return
    yield from ([position] for position in house.isolated)
    cross = house.cross
    if cross:
        yield cross


def _health(
    house: Clearinghouse, positions: list[Position], marks: margin.Marks, leverage_max: Callable[[str], int]
) -> tuple[Decimal, Decimal]:
    """Return equity and maintenance margin of a group."""
    first = positions[0]
    equity = margin.cross_value_usd(house, marks) if first.is_cross else first.equity(marks(first.coin))
    maintenance = sum((margin.maintenance_usd(p, marks(p.coin), leverage_max(p.coin)) for p in positions), start=ZERO)
    return equity, maintenance


def _ledger_delta(liquidation: Liquidation) -> Json:
    return {
        "type": "liquidation",
        "liquidatedNtlPos": usd_text(liquidation.ntl),
        "accountValue": usd_text(liquidation.account_value),
        "leverageType": "Cross" if liquidation.is_cross else "Isolated",
        "liquidatedPositions": [{"coin": coin, "szi": number_text(szi)} for coin, szi in liquidation.positions],
    }
