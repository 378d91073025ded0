"""Faults of accounts: what happens to money and positions without their owner's doing.

Rule 1: everything goes through the exchange's own books (fills, ledger, house), so money stays conserved.
Rule 2: without `users` every account is struck, without `coins` every market in which it holds something.
Rule 3: events are published with the next block, in which other changes of the same instant are told too.
"""

from collections.abc import Callable, Iterator
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING, Any

from streaming.core.units import ONE, ZERO
from streaming.sim.exchange.accounts.accounts import Account
from streaming.sim.exchange.accounts.executions import Execution, LiquidationMark
from streaming.sim.exchange.accounts.funding import settle_hour
from streaming.sim.exchange.accounts.liquidation import liquidated_text
from streaming.sim.exchange.accounts.settlement import DELEVERAGED
from streaming.sim.exchange.accounts.transfers import Transfer, send
from streaming.sim.exchange.events import AccountChanged, ExchangeEvent, Filled, Notified, UserEvent
from streaming.sim.exchange.ids import Ids
from streaming.sim.exchange.texts import usd_text
from streaming.sim.scenario.universe import VALIDATOR_DEX, Universe
from streaming.sim.venue.faults.board import Fault

if TYPE_CHECKING:
    from streaming.sim.exchange.exchange import Exchange

_TRADE_USD = Decimal(20)
_IDS_SEED = 999_983
"""Ids of fills that no order of the exchange has: far from those of any seed in use."""


class AccountFaults:
    """Strikes accounts of an exchange."""

    def __init__(self, exchange: "Exchange", universe: Universe) -> None:
        self._exchange = exchange
        self._accounts = exchange.accounts
        self._universe = universe
        self._ids = Ids(_IDS_SEED, exchange.begin_ms)
        self._acts: dict[str, Callable[[Fault, int], Iterator[ExchangeEvent]]] = {
            "liquidate": self._liquidate,
            "trade": self._trade,
            "transfer": self._transfer,
            "funding": self._funding,
            "zero_fill": self._zero_fill,
            "budget": self._budget,
            "agents_revoked": self._agents_revoked,
            "agents_pruned": self._agents_pruned,
        }

    def happen(self, fault: Fault, now_ms: int) -> None:
        """Let an event happen."""
        self._exchange.publish(list(self._acts[fault.spec.kind](fault, now_ms)))

    def set_fee(self, fault: Fault | None) -> None:
        """Let fills cost what the fault says, or what is true."""
        self._accounts.fee_factor = ONE if fault is None else Decimal(str(fault.values["factor"]))
        self._accounts.fee_token = None if fault is None else str(fault.values["token"]) or None

    def told(self) -> list[dict[str, Any]]:
        """Return who has what, for the admin endpoint."""
        return [
            {
                "user": account.user,
                "fill_count": len(account.fills),
                "positions": {coin: str(szi) for coin, szi in _held(account)},
            }
            for account in self._accounts.all()
        ]

    def _struck(self, fault: Fault) -> list[Account]:
        users = fault.spec.users
        return [self._accounts.of(user) for user in users] if users else list(self._accounts.all())

    def _positions(self, fault: Fault) -> Iterator[tuple[Account, str, Decimal]]:
        for account in self._struck(fault):
            for coin, szi in _held(account):
                if fault.concerns(coin=coin, users=(account.user,)):
                    yield account, coin, szi

    def _coins(self, fault: Fault, account: Account) -> tuple[str, ...]:
        """Return the markets named, else those held, else the first one of a builder dex."""
        held = tuple(coin for coin, _ in _held(account))
        return fault.spec.coins or held or (self._universe.builder_markets[0].coin,)

    def _liquidate(self, fault: Fault, now_ms: int) -> Iterator[ExchangeEvent]:
        method, ratio = str(fault.values["method"]), Decimal(str(fault.values["ratio"]))
        settlements = self._exchange.upkeep.settlements
        for account, coin, szi in self._positions(fault):
            sz = self._lots(abs(szi) * ratio, coin)
            if method == "adl":
                yield from settlements.close(account.user, coin, sz, direction=DELEVERAGED, now_ms=now_ms)
                continue
            mark_px = self._exchange.view.mark_px(coin, now_ms)
            position = account.position(coin)
            is_cross = position is not None and position.is_cross
            yield from settlements.close(
                account.user,
                coin,
                sz,
                direction=f"Liquidated {'Cross' if is_cross else 'Isolated'} {'Long' if szi > ZERO else 'Short'}",
                now_ms=now_ms,
                liquidation=LiquidationMark(user=account.user, mark_px=mark_px, method=method),
            )
            ntl = usd_text(abs(szi) * mark_px)
            data = {
                "lid": now_ms,
                "liquidator": self._ids.stranger(now_ms),
                "liquidated_user": account.user,
                "liquidated_ntl_pos": ntl,
                "liquidated_account_value": ntl,
            }
            yield UserEvent(account.user, {"liquidation": data})
            yield Notified(account.user, liquidated_text([coin], is_cross=is_cross))

    def _trade(self, fault: Fault, now_ms: int) -> Iterator[ExchangeEvent]:
        for account in self._struck(fault):
            for coin in self._coins(fault, account):
                px = self._exchange.view.mark_px(coin, now_ms)
                wanted = Decimal(str(fault.values["sz"])) or _TRADE_USD / px
                self._exchange.upkeep.market_order(
                    account.user, coin, self._lots(wanted, coin), is_buy=bool(fault.values["is_buy"]), now_ms=now_ms
                )
        yield from ()

    def _transfer(self, fault: Fault, now_ms: int) -> Iterator[ExchangeEvent]:
        usd, dex = Decimal(str(fault.values["usd"])), str(fault.values["dex"])
        for account in self._struck(fault):
            if usd >= ZERO:
                self._accounts.deposit(account.user, VALIDATOR_DEX, usd, now_ms)
                self._send(account.user, VALIDATOR_DEX, dex, usd, now_ms)
            elif self._send(account.user, dex, VALIDATOR_DEX, -usd, now_ms):
                self._accounts.withdraw(account.user, VALIDATOR_DEX, -usd, (), now_ms)
            for changed in dict.fromkeys((VALIDATOR_DEX, dex)):
                yield AccountChanged(account.user, changed)

    def _send(self, user: str, source: str, target: str, usd: Decimal, now_ms: int) -> bool:
        # The chain knows the validator dex only: its owner moves money on from there, and back before it leaves.
        if source == target:
            return True
        resting = tuple(self._exchange.orders.live(user, source))
        moved = Transfer(
            user=user, destination=user, source=source, target=target, usd=usd, nonce=now_ms, resting=resting
        )
        return send(self._accounts, moved, now_ms) is None

    def _funding(self, fault: Fault, now_ms: int) -> Iterator[ExchangeEvent]:
        flat = Decimal(str(fault.values["flat_usd"]))
        if not flat:
            yield from settle_hour(self._accounts, now_ms, now_ms)
            return
        for account in self._struck(fault):
            if any(_held(account)):
                continue
            coin = self._coins(fault, account)[0]
            dex = coin.rpartition(":")[0]
            self._accounts.seize(account, dex, flat)
            paid = {"coin": coin, "usdc": usd_text(-flat), "szi": "0.0", "fundingRate": "0.0001", "nSamples": None}
            account.fundings.append(
                {"time": now_ms, "hash": self._ids.tx_hash(now_ms), "delta": {"type": "funding"} | paid}
            )
            yield UserEvent(account.user, {"funding": {"time": now_ms} | paid})
            yield AccountChanged(account.user, dex)

    def _zero_fill(self, fault: Fault, now_ms: int) -> Iterator[ExchangeEvent]:
        for account in self._struck(fault):
            for coin in self._coins(fault, account):
                oid = self._ids.oid()
                execution = Execution(
                    coin=coin,
                    is_buy=True,
                    px=self._exchange.view.mark_px(coin, now_ms),
                    sz=ZERO,
                    time_ms=now_ms,
                    oid=oid,
                    tid=self._ids.tid(oid, 0),
                    is_taker=True,
                    tx_hash=self._ids.tx_hash(now_ms, oid),
                )
                yield Filled(account.user, self._accounts.apply_fill(account.user, execution))

    def _budget(self, fault: Fault, now_ms: int) -> Iterator[ExchangeEvent]:
        budget = self._exchange.budget
        for account in self._struck(fault):
            use = budget.body(account.user)
            left = use["nRequestsCap"] - use["nRequestsUsed"] + use["nRequestsSurplus"]
            budget.take(account.user, max(0, left), is_cancel=False, now_ms=now_ms)
        yield from ()

    def _agents_revoked(self, fault: Fault, now_ms: int) -> Iterator[ExchangeEvent]:
        authority = self._exchange.authority
        for account in self._struck(fault):
            unnamed = authority.unnamed_agent_of(account.user, now_ms)
            addresses = [agent["address"] for agent in authority.agents_of(account.user, now_ms)]
            for address in [*addresses, *([unnamed.address] if unnamed is not None else [])]:
                authority.revoke(address)
        yield from ()

    def _agents_pruned(self, _fault: Fault, _now_ms: int) -> Iterator[ExchangeEvent]:
        self._exchange.authority.prune()
        yield from ()

    def _lots(self, sz: Decimal, coin: str) -> Decimal:
        """Round a size up to whole lots."""
        return sz.quantize(Decimal(1).scaleb(-self._universe.by_coin[coin].sz_decimals), rounding=ROUND_CEILING)


def _held(account: Account) -> Iterator[tuple[str, Decimal]]:
    for house in account.houses.values():
        for coin, position in tuple(house.positions.items()):
            yield coin, position.szi
