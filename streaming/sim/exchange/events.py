"""What happens in the exchange, as values; the venue turns them into frames, tests read them.

Rule: `user` is a lower-case address; times are ms UTC of the block; bodies are in wire shape, ready to be encoded.
"""

from dataclasses import dataclass
from typing import Any

Json = Any
"""Whatever JSON holds."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The response to a request that `Exchange.receive` accepted: body of `/exchange` (HTTP 200)."""

    ticket: int
    body: Json


@dataclass(frozen=True, slots=True)
class OrderUpdated:
    """An order changed its status: one item of `orderUpdates`."""

    user: str
    update: Json


@dataclass(frozen=True, slots=True)
class Filled:
    """A fill of a client: one item of `userFills`."""

    user: str
    fill: Json


@dataclass(frozen=True, slots=True)
class UserEvent:
    """Data of the `user` channel that is no fill: funding, liquidation, nonUserCancel."""

    user: str
    data: Json


@dataclass(frozen=True, slots=True)
class LedgerWritten:
    """Money moved that was neither trade nor funding: one item of `userNonFundingLedgerUpdates`."""

    user: str
    item: Json


@dataclass(frozen=True, slots=True)
class Notified:
    """Text of the `notification` channel; the real texts are not published, ours say what closed a position."""

    user: str
    text: str


@dataclass(frozen=True, slots=True)
class Traded:
    """A public trade in which a client took part: one item of `trades`."""

    coin: str
    trade: Json


@dataclass(frozen=True, slots=True)
class BookChanged:
    """Clients changed a book: `Exchange.book` has the new one."""

    coin: str


@dataclass(frozen=True, slots=True)
class AccountChanged:
    """Balances, positions or open orders of a user changed on a dex."""

    user: str
    dex: str


ExchangeEvent = (
    Answered | OrderUpdated | Filled | UserEvent | LedgerWritten | Notified | Traded | BookChanged | AccountChanged
)
