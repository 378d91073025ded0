"""Frames of accounts: what the exchange says happened, for those who follow a user.

Rule 1: all that happened to a user in one block is one frame a channel; nothing is made for users without followers.
Rule 2: states (`clearinghouseState`, `webData3`, …) are sent when the account changed and every 5 s besides, as their
prices move; their real cadence is not published. `openOrders` is sent on change alone.
Rule 3: increments carry no `isSnapshot`; snapshots carry `true`.

Source: hyperliquid-protocol.md, sections 1.5 and 1.6.
"""

from collections.abc import Iterable

from streaming.sim.exchange.events import (
    AccountChanged,
    ExchangeEvent,
    Filled,
    Json,
    LedgerWritten,
    Notified,
    OrderUpdated,
    UserEvent,
)
from streaming.sim.venue.feed.account_data import SNAPSHOTS, Value
from streaming.sim.venue.feed.clients import Hub
from streaming.sim.venue.feed.due import Due
from streaming.sim.venue.feed.subscriptions import Topic
from streaming.sim.venue.info.requests import NullError
from streaming.sim.venue.market.wire import frame

STATES_MS = 5_000
_STATES = frozenset(
    {"clearinghouseState", "webData3", "allDexsClearinghouseState", "activeAssetData", "spotState", "openOrders"}
)
_ON_CHANGE_ALONE = frozenset({"openOrders"})


class Streams:
    """Turns events of the exchange into frames of users."""

    def __init__(self, value: Value, hub: Hub, now_ms: int) -> None:
        """Read account bodies with `value`."""
        self._value = value
        self._hub = hub
        self._at_ms = now_ms
        self._due = Due()

    def show(self, events: Iterable[ExchangeEvent]) -> None:
        """Publish what happened to users who are followed."""
        if not self._hub.followers:
            return
        by_user: dict[str, _Happened] = {}
        for event in events:
            if isinstance(event, OrderUpdated | Filled | LedgerWritten | AccountChanged):
                by_user.setdefault(event.user, _Happened()).add(event)
            elif isinstance(event, Notified):
                self._publish(Topic("notification", user=event.user), {"notification": event.text})
            elif isinstance(event, UserEvent):
                self._show_event(event)
        for user, happened in by_user.items():
            self._show_user(user, happened)
        self._show_states({user: happened.dexes for user, happened in by_user.items()})

    def step(self, now_ms: int) -> None:
        """Repeat the states whose prices move."""
        after_ms, self._at_ms = self._at_ms, now_ms
        if now_ms // STATES_MS != after_ms // STATES_MS and self._hub.followers:
            self._due.add(topic for topic in self._hub.topics() if topic.channel in _STATES - _ON_CHANGE_ALONE)
        for topic in self._due.take():
            if self._hub.has(topic):
                self._publish_all(topic)

    def snapshot(self, topic: Topic) -> list[str]:
        """Return the present state of a topic of a user; empty for those that only report events."""
        make = SNAPSHOTS.get(topic.channel)
        if make is None:
            return []
        try:
            return [frame(topic.wire_channel, make(self._value, topic))]
        except NullError:
            return []

    def _show_user(self, user: str, happened: "_Happened") -> None:
        if happened.updates:
            self._publish(Topic("orderUpdates", user=user), happened.updates)
        if happened.fills:
            self._publish(Topic("userEvents", user=user), {"fills": happened.fills})
            self._publish(Topic("userFills", user=user), {"user": user, "fills": happened.fills})
            aggregated = Topic("userFills", user=user, is_aggregated=True)
            if self._hub.has(aggregated):
                self._publish(aggregated, {"user": user, "fills": self._aggregated(user, happened.fills)})
        if happened.ledger:
            topic = Topic("userNonFundingLedgerUpdates", user=user)
            self._publish(topic, {"user": user, "nonFundingLedgerUpdates": happened.ledger})

    def _show_event(self, event: UserEvent) -> None:
        self._publish(Topic("userEvents", user=event.user), event.data)
        if "funding" in event.data:
            self._publish(
                Topic("userFundings", user=event.user), {"user": event.user, "fundings": [event.data["funding"]]}
            )

    def _show_states(self, changed: dict[str, set[str]]) -> None:
        for topic in self._hub.topics():
            if topic.channel in _STATES and topic.user in changed and self._concerns(topic, changed[topic.user]):
                self._publish_all(topic)

    def _concerns(self, topic: Topic, dexes: set[str]) -> bool:
        if topic.channel in {"clearinghouseState", "openOrders"}:
            return topic.dex in dexes
        return topic.channel != "activeAssetData" or topic.coin.rpartition(":")[0] in dexes

    def _publish(self, topic: Topic, data: Json) -> None:
        if self._hub.has(topic):
            self._hub.publish(topic, frame(topic.wire_channel, data))

    def _publish_all(self, topic: Topic) -> None:
        for text in self.snapshot(topic):
            self._hub.publish(topic, text)

    def _aggregated(self, user: str, items: list[Json]) -> list[Json]:
        """Return the aggregated fills of a block: those of the REST body with the block's oids and time."""
        keys = {(item["oid"], item["time"]) for item in items}
        fills = self._value({"type": "userFills", "user": user, "aggregateByTime": True})
        return [fill for fill in fills if (fill["oid"], fill["time"]) in keys]


class _Happened:
    """What happened to one user in one step."""

    def __init__(self) -> None:
        self.updates: list[Json] = []
        self.fills: list[Json] = []
        self.ledger: list[Json] = []
        self.dexes: set[str] = set()

    def add(self, event: OrderUpdated | Filled | LedgerWritten | AccountChanged) -> None:
        """Note an event."""
        match event:
            case OrderUpdated():
                self.updates.append(event.update)
            case Filled():
                self.fills.append(event.fill)
            case LedgerWritten():
                self.ledger.append(event.item)
            case AccountChanged():
                self.dexes.add(event.dex)
