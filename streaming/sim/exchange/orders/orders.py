"""Orders of clients: their life, their bodies, and where they are found again.

Rule 1: an order has one status at a time; every status it had is one entry of its user's history.
Rule 2: `sz` is what may still trade; `orig_sz` is what was asked for, also when a reduce-only order was shrunk.
Rule 3: the newest 2,000 orders of a user are remembered by oid and cloid, and the newest 2,000 entries of history.

Source: hyperliquid-protocol.md, sections 1.6 (orderUpdates) and 2 (openOrders, orderStatus, historicalOrders).
"""

from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from streaming.core.units import ZERO
from streaming.sim.exchange.events import Json
from streaming.sim.exchange.texts import number_text

REMEMBERED_COUNT = 2_000
"""Orders and entries of history that the venue keeps for a user."""
OPEN = "open"
FILLED = "filled"

Tif = Literal["Gtc", "Ioc", "Alo", "FrontendMarket", "LiquidationMarket"]
_AT_ONCE: frozenset[Tif] = frozenset({"Ioc", "FrontendMarket", "LiquidationMarket"})


@dataclass(slots=True, eq=False)
class Order:
    """One order of one client."""

    oid: int
    user: str
    coin: str
    asset: int
    is_buy: bool
    px: Decimal
    sz: Decimal
    orig_sz: Decimal
    tif: Tif
    is_reduce_only: bool
    cloid: str | None
    placed_ms: int
    status: str = OPEN
    status_ms: int = 0
    ahead_sz: Decimal = ZERO
    """While it rests: generated size at its price that came earlier and trades first."""
    filled_sz: Decimal = ZERO
    filled_ntl: Decimal = ZERO
    builder: str | None = None
    builder_fee_bps: Decimal = ZERO
    is_resting: bool = False

    @property
    def is_live(self) -> bool:
        """Whether it may still trade."""
        return self.status == OPEN

    @property
    def dex(self) -> str:
        """Name of its market's dex."""
        return self.coin.rpartition(":")[0]

    @property
    def side(self) -> str:
        """`B` or `A`."""
        return "B" if self.is_buy else "A"

    @property
    def is_at_once(self) -> bool:
        """Whether it trades when it arrives or not at all."""
        return self.tif in _AT_ONCE

    @property
    def average_px(self) -> Decimal:
        """Mean price of its fills; it must have some."""
        return (self.filled_ntl / self.filled_sz).quantize(Decimal("1e-6"))

    @property
    def status_body(self) -> dict[str, Json]:
        """What the answer to its placement says when it was accepted: `resting` or `filled`."""
        if self.is_resting:
            body: dict[str, Json] = {"oid": self.oid}
        else:
            body = {
                "totalSz": number_text(self.filled_sz),
                "avgPx": number_text(self.average_px),
                "oid": self.oid,
            }
        if self.cloid is not None:
            body["cloid"] = self.cloid
        return {"resting" if self.is_resting else "filled": body}

    def open_body(self) -> dict[str, Json]:
        """Return an item of `openOrders`; the `order` of `orderUpdates` is the same."""
        body: dict[str, Json] = {
            "coin": self.coin,
            "side": self.side,
            "limitPx": number_text(self.px),
            "sz": number_text(self.sz),
            "oid": self.oid,
            "timestamp": self.placed_ms,
            "origSz": number_text(self.orig_sz),
        }
        if self.is_reduce_only:
            body["reduceOnly"] = True
        if self.cloid is not None:
            body["cloid"] = self.cloid
        return body

    def frontend_body(self) -> dict[str, Json]:
        """Return an item of `frontendOpenOrders`; `orderStatus` and `historicalOrders` have the same."""
        return {
            "coin": self.coin,
            "side": self.side,
            "limitPx": number_text(self.px),
            "sz": number_text(self.sz),
            "oid": self.oid,
            "timestamp": self.placed_ms,
            "triggerCondition": "N/A",
            "isTrigger": False,
            "triggerPx": "0.0",
            "children": [],
            "isPositionTpsl": False,
            "reduceOnly": self.is_reduce_only,
            "orderType": "Market" if self.tif in {"FrontendMarket", "LiquidationMarket"} else "Limit",
            "origSz": number_text(self.orig_sz),
            "tif": self.tif,
            "cloid": self.cloid,
        }

    def update_body(self) -> dict[str, Json]:
        """Return an item of `orderUpdates`."""
        return {"order": self.open_body(), "status": self.status, "statusTimestamp": self.status_ms}

    def history_body(self) -> dict[str, Json]:
        """Return an item of `historicalOrders`; `orderStatus` wraps the same."""
        return {"order": self.frontend_body(), "status": self.status, "statusTimestamp": self.status_ms}


@dataclass(slots=True)
class _Orders:
    live: dict[int, Order] = field(default_factory=dict)
    by_oid: dict[int, Order] = field(default_factory=dict)
    by_cloid: dict[str, Order] = field(default_factory=dict)
    history: deque[dict[str, Json]] = field(default_factory=lambda: deque(maxlen=REMEMBERED_COUNT))


class OrderStore:
    """Every order the venue remembers."""

    def __init__(self) -> None:
        self._users: dict[str, _Orders] = {}

    def add(self, order: Order) -> None:
        """Remember a new order; the oldest one that is not live is forgotten beyond 2,000."""
        orders = self._users.setdefault(order.user, _Orders())
        orders.by_oid[order.oid] = order
        if order.cloid is not None:
            earlier = orders.by_cloid.get(order.cloid)
            if order.is_live or earlier is None or not earlier.is_live:
                orders.by_cloid[order.cloid] = order
        if order.is_live:
            orders.live[order.oid] = order
        if len(orders.by_oid) > REMEMBERED_COUNT:
            _forget_oldest(orders)

    def note(self, order: Order) -> None:
        """Write the order's present status into the history; one that ended is live no more."""
        orders = self._users[order.user]
        orders.history.append(order.history_body())
        if not order.is_live:
            orders.live.pop(order.oid, None)

    def live(self, user: str, dex: str | None = None) -> list[Order]:
        """Return the live orders of a user, newest first; of one dex, or of all."""
        orders = self._users.get(user)
        if orders is None:
            return []
        return [o for o in reversed(orders.live.values()) if dex is None or o.dex == dex]

    def live_count(self, user: str) -> int:
        """Return how many orders of a user are live."""
        orders = self._users.get(user)
        return len(orders.live) if orders else 0

    def live_of_coin(self, user: str, coin: str) -> list[Order]:
        """Return the live orders of a user in one market, oldest first."""
        orders = self._users.get(user)
        return [order for order in orders.live.values() if order.coin == coin] if orders else []

    def find(self, user: str, key: int | str) -> Order | None:
        """Return an order of a user by oid, or by cloid (a live one before the newest); None is not remembered."""
        orders = self._users.get(user)
        if orders is None:
            return None
        return orders.by_oid.get(key) if isinstance(key, int) else orders.by_cloid.get(key.lower())

    def history(self, user: str) -> list[dict[str, Json]]:
        """Return the body of `historicalOrders`, newest first."""
        orders = self._users.get(user)
        return list(reversed(orders.history)) if orders else []

    def status(self, user: str, key: int | str) -> dict[str, Json]:
        """Return the body of `orderStatus`."""
        order = self.find(user, key)
        if order is None:
            return {"status": "unknownOid"}
        return {"status": "order", "order": order.history_body()}


def _forget_oldest(orders: _Orders) -> None:
    oldest = next((order for order in orders.by_oid.values() if not order.is_live), None)
    if oldest is None:
        return
    del orders.by_oid[oldest.oid]
    if oldest.cloid is not None and orders.by_cloid.get(oldest.cloid) is oldest:
        del orders.by_cloid[oldest.cloid]
