"""Accounts of the venue: who has what on which dex, what a fill does to it, and the house that faces everybody.

Rule 1: an address exists from the first look at it and has the initial balance on every dex. It is kept when it acts
    (`of`); of those that were only looked at (`look`) the newest are, so that questions can not fill the memory.
Rule 2: money is conserved: cash of users + cash of the house + collected fees = deposits, to the last millionth.
    The house is the other side of every fill, so what clients trade with each other cancels out in it.
Rule 3: a refusal is a text (or None); nothing has changed then.

Source: hyperliquid-protocol.md, sections 1.6 (fill), 3.3, 8 to 10.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from hashlib import blake2b

from streaming.core.units import ZERO
from streaming.sim.exchange.accounts import margin
from streaming.sim.exchange.accounts.clearing import Clearinghouse, Setting
from streaming.sim.exchange.accounts.executions import Execution, fill_body
from streaming.sim.exchange.accounts.fees import Volumes, builder_fee_usd, deployer_share, market_rate, tier_of
from streaming.sim.exchange.accounts.positions import Position
from streaming.sim.exchange.events import Json, LedgerWritten
from streaming.sim.exchange.requests import refusals
from streaming.sim.exchange.texts import cut_usd, usd_text
from streaming.sim.exchange.times import DAY_MS
from streaming.sim.exchange.view import MarketView
from streaming.sim.scenario.rules import VenueRules
from streaming.sim.scenario.universe import COLLATERAL_NAMES, Market, Universe

ACTING_COUNT_MAX = 10_000
"""Accounts that act; more are refused, as the real venue refuses who has not deposited."""
SEEN_COUNT_MAX = 10_000
"""Accounts that were only looked at; nothing distinguishes them from new ones, so the oldest can go."""
FILLS_KEPT = 10_000
LEDGER_KEPT = 10_000
_DEFAULT = Setting(20, is_cross=True)


@dataclass(slots=True)
class Account:
    """Everything the venue knows of one user."""

    user: str
    houses: dict[str, Clearinghouse]
    """Dex → balance and positions."""
    settings: dict[str, Setting] = field(default_factory=dict)
    volumes: Volumes = field(default_factory=Volumes)
    fills: deque[Json] = field(default_factory=lambda: deque(maxlen=FILLS_KEPT))
    """Bodies, oldest first."""
    fundings: deque[Json] = field(default_factory=lambda: deque(maxlen=LEDGER_KEPT))
    """Items of `userFunding`, oldest first."""
    ledger: deque[Json] = field(default_factory=lambda: deque(maxlen=LEDGER_KEPT))
    """Items of `userNonFundingLedgerUpdates`, oldest first."""
    funding_all_time: dict[str, Decimal] = field(default_factory=dict)
    """Market → paid (positive) or received since ever."""
    deposited_usd: Decimal = ZERO
    """What came in less what went out, all balances together."""
    builder_fee_max: dict[str, Decimal] = field(default_factory=dict)
    """Builder → highest fee the user has approved, a fraction."""
    spot_usd: Decimal = ZERO
    """USDC outside of all dexes."""
    abstraction: str = "disabled"
    """As `userAbstraction` spells it; this venue keeps one balance a dex whatever it says."""

    def position(self, coin: str) -> Position | None:
        """Return the open position of a market."""
        return self.houses[coin.rpartition(":")[0]].positions.get(coin)

    def szi(self, coin: str) -> Decimal:
        """Return the signed size held in a market, 0 for none."""
        position = self.position(coin)
        return position.szi if position else ZERO


@dataclass(slots=True)
class House:
    """The other side of everything, and the fee accounts."""

    cash_usd: Decimal = ZERO
    positions: dict[str, Decimal] = field(default_factory=dict)
    fees_usd: dict[str, Decimal] = field(default_factory=dict)
    """`protocol`, a dex for its deployer, an address for a builder."""
    deposited_usd: Decimal = ZERO
    volume_usd: dict[int, Decimal] = field(default_factory=dict)
    """UTC day → traded by clients, each side counted."""

    def collect(self, name: str, usd: Decimal) -> None:
        """Book a fee."""
        self.fees_usd[name] = self.fees_usd.get(name, ZERO) + usd


class Accounts:
    """All accounts, and the only place where their money moves."""

    fee_factor: Decimal = Decimal(1)
    """Fault: all fees are multiplied with it."""
    fee_token: str | None = None
    """Fault: `feeToken` of fills instead of the dex' collateral."""

    def __init__(self, universe: Universe, rules: VenueRules, view: MarketView) -> None:
        self.universe = universe
        self.view = view
        self.house = House()
        self._rules = rules
        self._accounts: dict[str, Account] = {}
        self._seen: dict[str, Account] = {}
        self._fee_tokens = {dex.name: COLLATERAL_NAMES.get(dex.collateral_token, "USDC") for dex in universe.dexes}
        self._holders: dict[str, None] = {}
        self._ledger_count = 0
        self._ledger_written: list[LedgerWritten] = []

    def of(self, user: str) -> Account:
        """Return the account of a lower-case address that acts or is acted on; it is kept from now on."""
        account = self._accounts.get(user)
        if account is None:
            account = self._accounts[user] = self._first_look(user)
        return account

    def look(self, user: str) -> Account:
        """Return the account of a lower-case address to somebody who only asks."""
        account = self._accounts.get(user)
        if account is not None:
            return account
        account = self._seen[user] = self._first_look(user)
        if len(self._seen) > SEEN_COUNT_MAX:
            forgotten = self._seen.pop(next(iter(self._seen)))
            self.house.deposited_usd -= forgotten.deposited_usd
        return account

    def has_room(self, user: str) -> bool:
        """Tell whether an address may act: it did before, or there are not too many that do."""
        return user in self._accounts or len(self._accounts) < ACTING_COUNT_MAX

    def blank(self, user: str) -> Account:
        """Return an account without money that is not kept."""
        return Account(user, {dex.name: Clearinghouse(dex.name, ZERO) for dex in self.universe.dexes})

    def is_known(self, user: str) -> bool:
        """Tell whether anybody has looked at an address before."""
        return user in self._accounts or user in self._seen

    def all(self) -> Iterator[Account]:
        """Yield all accounts: those that act, then those that were only looked at, oldest first."""
        yield from (*self._accounts.values(), *self._seen.values())

    @property
    def has_holders(self) -> bool:
        """Whether anybody holds a position."""
        return bool(self._holders)

    def holders(self) -> Iterator[Account]:
        """Yield the accounts that hold a position."""
        for user in tuple(self._holders):
            yield self._accounts[user]

    def market(self, coin: str, now_ms: int) -> Market:
        """Return the facts of a market in force."""
        return self.view.listed(coin, now_ms).market

    def marks(self, now_ms: int) -> Callable[[str], Decimal]:
        """Return the look-up of mark prices as of now; it remembers what it was asked."""
        return cache(lambda coin: self.view.mark_px(coin, now_ms))

    def leverage_max(self, now_ms: int) -> Callable[[str], int]:
        """Return the look-up of maximum leverages as of now; it remembers what it was asked."""
        return cache(lambda coin: self.market(coin, now_ms).leverage_max)

    def setting(self, account: Account, coin: str, now_ms: int) -> Setting:
        """Return the leverage a user's orders have in a market.

        That of his position; else what he has set, held to what the market allows now; else 20, cross where allowed.
        """
        position = account.position(coin)
        if position is not None:
            return Setting(position.leverage, position.is_cross)
        chosen = account.settings.get(coin, _DEFAULT)
        market = self.market(coin, now_ms)
        return Setting(
            min(chosen.leverage, market.leverage_max), is_cross=chosen.is_cross and market.margin_mode == "cross"
        )

    def settings_of(self, account: Account, now_ms: int) -> Callable[[str], Setting]:
        """Return the look-up of a user's leverages as of now."""
        return lambda coin: self.setting(account, coin, now_ms)

    def can_place(self, user: str, order: margin.Claim, resting: Iterable[margin.Claim], now_ms: int) -> str | None:
        """Return why the margin does not allow an order, or None.

        Args:
            user: Lower-case address.
            order: What shall be placed, or a resting order about to trade (leave it out of `resting` then).
            resting: The user's other live orders on the same dex.
            now_ms: Venue time.
        """
        account = self.of(user)
        house = account.houses[order.coin.rpartition(":")[0]]
        position = account.position(order.coin)
        marks, settings = self.marks(now_ms), self.settings_of(account, now_ms)
        mine = [claim for claim in resting if claim.coin == order.coin]
        now, then = (
            margin.market_need_usd(position, settings(order.coin), claims, marks(order.coin))
            for claims in (mine, [*mine, order])
        )
        if then <= now:
            return None
        others = [claim for claim in resting if claim.coin != order.coin]
        needed = margin.needed_usd(house, settings, [*others, *mine, order], marks)
        return refusals.MARGIN if needed > margin.cross_value_usd(house, marks) else None

    def apply_fill(self, user: str, execution: Execution) -> dict[str, Json]:
        """Apply one side of a trade and return its fill body, which is kept."""
        account = self.of(user)
        market = self.market(execution.coin, execution.time_ms)
        house = account.houses[market.dex]
        ntl = execution.px * execution.sz
        fee, builder_fee = self._fee(account, execution, market, ntl)
        folded, covered = house.fill(
            execution.coin,
            self.setting(account, execution.coin, execution.time_ms),
            is_buy=execution.is_buy,
            sz=execution.sz,
            px=execution.px,
            fee_usd=fee,
        )
        self._book(execution, market, ntl=ntl, fee=fee, builder_fee=builder_fee, covered=covered)
        account.volumes.add(
            ntl, now_ms=execution.time_ms, is_taker=execution.is_taker, is_growth_mode=market.is_growth_mode
        )
        self._note_holder(account)
        token = self.fee_token or self._fee_tokens[market.dex]
        body = fill_body(execution, folded, fee=fee, builder_fee=builder_fee, fee_token=token)
        account.fills.append(body)
        return body

    def _fee(self, account: Account, execution: Execution, market: Market, ntl: Decimal) -> tuple[Decimal, Decimal]:
        if execution.is_free:
            return ZERO, ZERO
        tier = tier_of(account.volumes.window_usd(execution.time_ms))
        rate = market_rate(tier.cross if execution.is_taker else tier.add, market)
        builder_fee = builder_fee_usd(ntl, execution.builder_fee_bps) if execution.builder else ZERO
        return cut_usd(ntl * rate * self.fee_factor) + builder_fee, builder_fee

    def _book(
        self,
        execution: Execution,
        market: Market,
        *,
        ntl: Decimal,
        fee: Decimal,
        builder_fee: Decimal,
        covered: Decimal,
    ) -> None:
        signed = -execution.sz if execution.is_buy else execution.sz
        house = self.house
        house.positions[execution.coin] = house.positions.get(execution.coin, ZERO) + signed
        house.cash_usd -= signed * execution.px + covered
        venue_fee = fee - builder_fee
        deployer_fee = cut_usd(max(venue_fee, ZERO) * deployer_share(market))
        house.collect("protocol", venue_fee - deployer_fee)
        if deployer_fee:
            house.collect(market.dex, deployer_fee)
        if execution.builder and builder_fee:
            house.collect(execution.builder, builder_fee)
        day = execution.time_ms // DAY_MS
        house.volume_usd[day] = house.volume_usd.get(day, ZERO) + ntl

    def deposit(self, user: str, dex: str, usd: Decimal, now_ms: int) -> None:
        """Bring money in from outside, on record."""
        account = self.of(user)
        self._credit(account, dex, usd)
        self.write_ledger({"type": "deposit", "usdc": usd_text(usd)}, now_ms, account)

    def withdraw(self, user: str, dex: str, usd: Decimal, resting: Iterable[margin.Claim], now_ms: int) -> str | None:
        """Take money out, on record, and return why not, or None."""
        account = self.of(user)
        free = margin.withdrawable_usd(
            account.houses[dex], self.settings_of(account, now_ms), resting, self.marks(now_ms)
        )
        if usd > free:
            return refusals.WITHDRAWAL_BALANCE
        self._credit(account, dex, -usd)
        delta = {"type": "withdraw", "usdc": usd_text(usd), "nonce": now_ms, "fee": "0.0"}
        self.write_ledger(delta, now_ms, account)
        return None

    def charge(self, user: str, dex: str, usd: Decimal, resting: Iterable[margin.Claim], now_ms: int) -> str | None:
        """Let a user pay the venue for a service (request weight) and return why not, or None."""
        account = self.of(user)
        house = account.houses[dex]
        if usd > margin.withdrawable_usd(house, self.settings_of(account, now_ms), resting, self.marks(now_ms)):
            return refusals.WITHDRAWAL_BALANCE
        house.raw_usd -= usd
        self.house.collect("protocol", usd)
        return None

    def write_ledger(self, delta: Json, now_ms: int, *accounts: Account) -> None:
        """Put one item of `userNonFundingLedgerUpdates` on record, the same for everybody concerned."""
        self._ledger_count += 1
        digest = blake2b(f"ledger|{now_ms}|{self._ledger_count}".encode(), digest_size=32)
        for account in accounts:
            item = {"time": now_ms, "hash": f"0x{digest.hexdigest()}", "delta": delta}
            account.ledger.append(item)
            self._ledger_written.append(LedgerWritten(account.user, item))

    def take_ledger_written(self) -> list[LedgerWritten]:
        """Return the ledger items since the last time."""
        written, self._ledger_written = self._ledger_written, []
        return written

    def pay(self, account: Account, position: Position, usd: Decimal) -> None:
        """Let a position pay the house (negative: receive), from its margin or from the cash it shares."""
        if position.is_cross:
            account.houses[position.coin.rpartition(":")[0]].raw_usd -= usd
        else:
            position.raw_usd -= usd
        self.house.cash_usd += usd

    def seize(self, account: Account, dex: str, usd: Decimal) -> None:
        """Give the house cash of a user: what a backstop liquidation leaves of a margin."""
        account.houses[dex].raw_usd -= usd
        self.house.cash_usd += usd

    def _first_look(self, user: str) -> Account:
        return self._seen.pop(user) if user in self._seen else self._open(user)

    def _open(self, user: str) -> Account:
        account = self.blank(user)
        for dex in account.houses:
            self._credit(account, dex, self._rules.initial_balance_usd)
        return account

    def _credit(self, account: Account, dex: str, usd: Decimal) -> None:
        account.houses[dex].raw_usd += usd
        account.deposited_usd += usd
        self.house.deposited_usd += usd

    def _note_holder(self, account: Account) -> None:
        if any(house.positions for house in account.houses.values()):
            self._holders[account.user] = None
        else:
            self._holders.pop(account.user, None)
