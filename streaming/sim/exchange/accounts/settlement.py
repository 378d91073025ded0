"""Positions that the venue itself closes at the mark: halts and delistings, deleveraging, the backstop.

Rule 1: the fill costs nothing, `crossed` is true, and it has an oid and a tid that no order of the user has.
Rule 2: `dir` is `Settlement` (seen on the wire for outcome markets; for a halted perp it is unverified) and
    `Auto-Deleveraging` (seen on the wire).
Rule 3: orders are not cancelled here; the exchange does that first.
"""

from decimal import Decimal

from streaming.core.units import ZERO
from streaming.sim.exchange.accounts.accounts import Accounts
from streaming.sim.exchange.accounts.executions import Execution, LiquidationMark
from streaming.sim.exchange.events import AccountChanged, ExchangeEvent, Filled, Notified
from streaming.sim.exchange.ids import Ids

SETTLED = "Settlement"
DELEVERAGED = "Auto-Deleveraging"
"""Direction of a fill by which the venue closes a position by force."""


class Settlements:
    """Closes positions against the house."""

    def __init__(self, accounts: Accounts, ids: Ids) -> None:
        self._accounts = accounts
        self._ids = ids

    def settle_market(self, coin: str, now_ms: int) -> list[ExchangeEvent]:
        """Close every position of a market at its mark price."""
        events: list[ExchangeEvent] = []
        for account in self._accounts.holders():
            sz = abs(account.szi(coin))
            if sz:
                events += self.close(account.user, coin, sz, direction=SETTLED, now_ms=now_ms)
                events.append(Notified(account.user, f"Position settled at the mark price: {coin}"))
        return events

    def close(
        self,
        user: str,
        coin: str,
        sz: Decimal,
        *,
        direction: str,
        now_ms: int,
        liquidation: LiquidationMark | None = None,
    ) -> list[ExchangeEvent]:
        """Close `sz` of a position at the mark price, without a fee."""
        oid = self._ids.oid()
        execution = Execution(
            coin=coin,
            is_buy=self._accounts.of(user).szi(coin) < ZERO,
            px=self._accounts.view.mark_px(coin, now_ms),
            sz=sz,
            time_ms=now_ms,
            oid=oid,
            tid=self._ids.tid(oid, 0),
            is_taker=True,
            tx_hash=self._ids.tx_hash(now_ms, oid),
            liquidation=liquidation,
            direction=direction,
            is_free=True,
        )
        fill = self._accounts.apply_fill(user, execution)
        return [Filled(user, fill), AccountChanged(user, coin.rpartition(":")[0])]
