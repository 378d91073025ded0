"""What one IP may do: REST weight, connections, subscriptions, users, messages, posts in flight.

Rule 1: windows slide over 60 s; what is refused costs nothing.
Rule 2: texts are the venue's where they are known; two are not, and say so here.
Rule 3: the limit of users is enforced although the real testnet does not: a client has to meet it somewhere.

Source: hyperliquid-protocol.md, sections 1.3, 1.8 and 7.
"""

from collections import Counter, deque
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from streaming.hyperliquid.limits import WINDOW_S, request_weight
from streaming.sim.scenario.rules import LimitRules

_WINDOW_MS = WINDOW_S * 1000
_ITEMS = 20
_CANDLES = 60
_BATCH = 40
_LISTS = frozenset(
    {"recentTrades", "historicalOrders", "userFills", "userFillsByTime", "fundingHistory", "userFunding"}
    | {"userNonFundingLedgerUpdates"}
)
_BATCHES: Mapping[str, str] = MappingProxyType(
    {"order": "orders", "cancel": "cancels", "cancelByCloid": "cancels", "batchModify": "modifies"}
)


def item_weight(info_type: str, count: int) -> int:
    """Return what an answer with `count` items costs besides."""
    if info_type == "candleSnapshot":
        return count // _CANDLES
    return count // _ITEMS if info_type in _LISTS else 0


def exchange_weight(body: Any) -> int:  # noqa: ANN401 - whatever JSON holds
    """Return the weight of an exchange request: 1, and 1 more for every 40 items of a batch."""
    action = body.get("action") if isinstance(body, dict) else None
    if not isinstance(action, dict):
        return 1
    items = action.get(_BATCHES.get(str(action.get("type")), ""))
    return 1 + (len(items) // _BATCH if isinstance(items, list) else 0)


class Window:
    """A sum over the last minute."""

    def __init__(self) -> None:
        """Start empty."""
        self._amounts: deque[tuple[int, int]] = deque()
        self._sum = 0

    def sum(self, now_ms: int) -> int:
        """Return what was added within the last 60 s."""
        while self._amounts and self._amounts[0][0] <= now_ms - _WINDOW_MS:
            self._sum -= self._amounts.popleft()[1]
        return self._sum

    def add(self, amount: int, now_ms: int) -> None:
        """Add an amount now."""
        self._amounts.append((now_ms, amount))
        self._sum += amount


class Address:
    """What one IP has in use."""

    def __init__(self) -> None:
        """Start unused."""
        self.weight = Window()
        self.connects = Window()
        self.messages = Window()
        self.connection_count = 0
        self.subscription_count = 0
        self.inflight_post_count = 0
        self.users: Counter[str] = Counter()


class Limits:
    """All IPs; a method returns whether (or the text why not), and notes what it grants."""

    def __init__(self, rules: LimitRules) -> None:
        """Enforce `rules`."""
        self._rules = rules
        self._addresses: dict[str, Address] = {}

    def of(self, ip: str) -> Address:
        """Return what an IP uses."""
        return self._addresses.setdefault(ip, Address())

    def spend(self, ip: str, weight: int, now_ms: int) -> bool:
        """Take REST weight; False is HTTP 429."""
        window = self.of(ip).weight
        if self._rules.is_enforced and window.sum(now_ms) + weight > self._rules.weight_per_minute:
            return False
        window.add(weight, now_ms)
        return True

    def spend_more(self, ip: str, weight: int, now_ms: int) -> None:
        """Take what the length of an answer costs; it was given already."""
        if weight:
            self.of(ip).weight.add(weight, now_ms)

    def connect(self, ip: str, now_ms: int) -> bool:
        """Open a websocket; False refuses the upgrade (HTTP 429, the real answer is not documented)."""
        address, rules = self.of(ip), self._rules
        if rules.is_enforced and (
            address.connection_count >= rules.connection_count_max
            or address.connects.sum(now_ms) >= rules.connections_per_minute
        ):
            return False
        address.connects.add(1, now_ms)
        address.connection_count += 1
        return True

    def disconnect(self, ip: str) -> None:
        """Close a websocket; its subscriptions are ended one by one."""
        self.of(ip).connection_count -= 1

    def message(self, ip: str, now_ms: int) -> str | None:
        """Count a frame of a client; returns the text of the refusal (the real one is not documented)."""
        window = self.of(ip).messages
        if self._rules.is_enforced and window.sum(now_ms) >= self._rules.messages_per_minute:
            return f"Cannot send more than {self._rules.messages_per_minute} messages per minute."
        window.add(1, now_ms)
        return None

    def subscribe(self, ip: str, user: str) -> str | None:
        """Begin a subscription, of a user unless empty; returns the text of the refusal."""
        address, rules = self.of(ip), self._rules
        if rules.is_enforced:
            if address.subscription_count >= rules.subscription_count_max:
                # The real text is not documented; this one follows that of the users.
                return f"Cannot track more than {rules.subscription_count_max} total subscriptions."
            if user and user not in address.users and len(address.users) >= rules.user_count_max:
                return f"Cannot track more than {rules.user_count_max} total users."
        address.subscription_count += 1
        if user:
            address.users[user] += 1
        return None

    def unsubscribe(self, ip: str, user: str) -> None:
        """End a subscription."""
        address = self.of(ip)
        address.subscription_count -= 1
        if user:
            address.users[user] -= 1
            if not address.users[user]:
                del address.users[user]

    def begin_post(self, ip: str, number: int) -> str | None:
        """Begin a post; returns the text of the refusal."""
        address = self.of(ip)
        if self._rules.is_enforced and address.inflight_post_count >= self._rules.inflight_post_count_max:
            return f"too many pending post requests id={number}"
        address.inflight_post_count += 1
        return None

    def end_post(self, ip: str) -> None:
        """End a post."""
        self.of(ip).inflight_post_count -= 1


__all__ = ["Limits", "Window", "exchange_weight", "item_weight", "request_weight"]
