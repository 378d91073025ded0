"""What a block tells the world, in order; states that changed are told once, at its end."""

from collections.abc import Iterable

from streaming.sim.exchange.events import (
    AccountChanged,
    Answered,
    BookChanged,
    ExchangeEvent,
    Filled,
    Json,
    OrderUpdated,
    Traded,
    UserEvent,
)
from streaming.sim.exchange.orders.orders import Order


class Outbox:
    """Collects events until they are taken."""

    def __init__(self) -> None:
        self._events: list[ExchangeEvent] = []
        self._coins: dict[str, None] = {}
        self._accounts: dict[tuple[str, str], None] = {}

    def answered(self, ticket: int, body: Json) -> None:
        """Answer a request."""
        self._events.append(Answered(ticket, body))

    def order_updated(self, order: Order) -> None:
        """Tell the status an order has now; its owner's open orders may have changed."""
        self._events.append(OrderUpdated(order.user, order.update_body()))
        self.account_changed(order.user, order.coin)

    def filled(self, user: str, fill: Json) -> None:
        """Tell a client's fill."""
        self._events.append(Filled(user, fill))

    def traded(self, trade: dict[str, Json]) -> None:
        """Tell everybody a trade that a client took part in."""
        self._events.append(Traded(trade["coin"], trade))

    def user_event(self, user: str, data: Json) -> None:
        """Tell a user something else."""
        self._events.append(UserEvent(user, data))

    def book_changed(self, coin: str) -> None:
        """Mark a book as changed by clients."""
        self._coins[coin] = None

    def account_changed(self, user: str, coin: str) -> None:
        """Mark the account of a user on the dex of a coin."""
        self.dex_changed(user, coin.rpartition(":")[0])

    def dex_changed(self, user: str, dex: str) -> None:
        """Mark the account of a user on a dex."""
        self._accounts[user, dex] = None

    def extend(self, events: Iterable[ExchangeEvent]) -> None:
        """Take over events that others made."""
        self._events.extend(events)

    def end_block(self) -> None:
        """Tell which states changed in the block."""
        self._events.extend(BookChanged(coin) for coin in self._coins)
        self._events.extend(AccountChanged(user, dex) for user, dex in self._accounts)
        self._coins.clear()
        self._accounts.clear()

    def take(self) -> list[ExchangeEvent]:
        """Return all events since the last time."""
        events, self._events = self._events, []
        return events
