"""Builders for tests of the exchange's accounts: a small venue, executions, and the sums that must hold."""

from dataclasses import dataclass, field
from decimal import Decimal

from sim_market_view import NVDA, START_MS, FakeView, small_universe

from streaming.core.units import ZERO
from streaming.sim.exchange.accounts.accounts import Accounts
from streaming.sim.exchange.accounts.executions import Execution
from streaming.sim.exchange.accounts.liquidation import Liquidator
from streaming.sim.exchange.accounts.settlement import Settlements
from streaming.sim.exchange.events import Json
from streaming.sim.exchange.ids import Ids
from streaming.sim.scenario.rules import VenueRules

ANN, BOB = (f"0x{name * 20}" for name in ("aa", "bb"))


@dataclass(frozen=True)
class Claim:
    """An order as margin sees it."""

    is_buy: bool
    px: Decimal
    sz: Decimal
    coin: str = NVDA
    is_reduce_only: bool = False


@dataclass
class Floor:
    """Accounts on the small universe: NVDA 20x cross in growth mode, GOLD isolated, FOO strictly isolated."""

    balance_usd: Decimal = Decimal(10_000)
    now_ms: int = START_MS
    count: int = 0
    view: FakeView = field(default_factory=lambda: FakeView(small_universe()))

    def __post_init__(self) -> None:
        universe = small_universe()
        self.accounts = Accounts(universe, VenueRules(initial_balance_usd=self.balance_usd), self.view)
        self.settlements = Settlements(self.accounts, Ids(7, START_MS))
        self.liquidator = Liquidator(self.accounts, self.settlements)

    def trade(self, user: str, sz: str | Decimal, px: str | Decimal, coin: str = NVDA, **facts: object) -> Json:
        """Let `user` buy (sz > 0) or sell (sz < 0); returns the fill body."""
        self.count += 1
        signed = Decimal(sz)
        execution: dict[str, object] = {
            "coin": coin,
            "is_buy": signed > 0,
            "px": Decimal(px),
            "sz": abs(signed),
            "time_ms": self.now_ms,
            "oid": self.count,
            "tid": self.count,
            "is_taker": True,
        }
        return self.accounts.apply_fill(user, Execution(**(execution | facts)))  # type: ignore[arg-type]

    def held_usd(self) -> Decimal:
        """Cash of everybody: users, the house, collected fees."""
        total = self.accounts.house.cash_usd + sum(self.accounts.house.fees_usd.values(), start=ZERO)
        for account in self.accounts.all():
            total += account.spot_usd
            for house in account.houses.values():
                total += house.raw_usd + sum((p.raw_usd for p in house.positions.values()), start=ZERO)
        return total

    def check_books(self) -> None:
        """No money and no position appears or vanishes."""
        assert self.held_usd() == self.accounts.house.deposited_usd
        for coin, mirrored in self.accounts.house.positions.items():
            assert sum((account.szi(coin) for account in self.accounts.all()), start=ZERO) == -mirrored
