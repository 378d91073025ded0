"""Where faults take hold of the venue: one object, asked at named places, that changes nothing by default.

Rule 1: the server, the player and the world call these methods and nothing else; a venue without faults pays one
attribute look-up a frame (`is_feed_faulty`) and one call a request.
Rule 2: hooks are synchronous and quick; what shall come later says so (`delay_ms`), the server waits.
Rule 3: faults inside the exchange (rejects, fills, accounts) are not here but in the exchange's own hooks.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from streaming.sim.exchange.hooks import ExchangeHooks
from streaming.sim.exchange.view import Listed
from streaming.sim.venue.feed.subscriptions import Topic

if TYPE_CHECKING:
    from aiohttp import web

    from streaming.sim.exchange.exchange import Exchange

Json = Any
"""Whatever JSON holds."""

JSON_TYPE = "application/json"


class Outgoing(NamedTuple):
    """One frame to one client, now or later; a later one is dropped if the client has gone."""

    text: str
    delay_ms: int = 0


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An answer of `/info` or `/exchange`; over a websocket post the status and text of errors are quoted."""

    status: int
    body: bytes
    content_type: str = JSON_TYPE
    delay_ms: int = 0
    is_dropped: bool = False
    """The connection is aborted instead of answered (after `delay_ms`)."""


class Touch(NamedTuple):
    """Generated best prices and sizes, scaled as in the columns; `NONE` on a missing side."""

    bid_px: int
    bid_sz: int
    ask_px: int
    ask_sz: int


class Prices(NamedTuple):
    """Generated oracle and mark, scaled as in the columns."""

    oracle_px: int
    mark_px: int


class Peer(Protocol):
    """A connected websocket as faults see it."""

    number: int
    """Counts connections from 1."""
    ip: str
    users: set[str]
    """Addresses it follows, lower case."""

    def topics(self) -> Iterable[Topic]:
        """Return what it listens to."""
        ...

    def push(self, text: str) -> None:
        """Send a frame past all hooks."""
        ...

    def abort(self) -> None:
        """Cut the connection without a close frame (1006)."""
        ...

    def close(self, code: int, reason: str = "") -> None:
        """Close the connection with a close frame, after what is queued."""
        ...


class VenuePort(Protocol):
    """What the venue lets faults do on their own account."""

    def peers(self) -> Sequence[Peer]:
        """Return all connected websockets."""
        ...

    def replay(self, topic: Topic) -> None:
        """Send the present state of a topic to all who listen (after a mute, say)."""
        ...


class Overrides:
    """Changes to the generated markets; the exchange, info and the feed all see them.

    While `is_active(coin)` the venue compares the book block by block instead of playing the generated changes, so a
    change of the answer shows up in `bbo` by itself.
    """

    def is_active(self, coin: str) -> bool:  # noqa: ARG002 - neutral
        """Tell whether anything of this market is overridden now (a plain look-up: asked every block)."""
        return False

    def listed(self, listed: Listed, now_ms: int) -> Listed:  # noqa: ARG002 - neutral
        """Return the market as it shall stand: halted, delisted, at its cap, with other parameters."""
        return listed

    def touch(self, coin: str, touch: Touch, now_ms: int) -> Touch:  # noqa: ARG002 - neutral
        """Return the best prices as they shall be; only asked while active."""
        return touch

    def depth_ratio(self, coin: str, now_ms: int) -> float:  # noqa: ARG002 - neutral
        """Return what all displayed sizes are multiplied with; only asked while active."""
        return 1.0

    def prices(self, coin: str, prices: Prices, now_ms: int) -> Prices:  # noqa: ARG002 - neutral
        """Return oracle and mark as they shall be; only asked while active."""
        return prices


class VenueHooks:
    """Neutral hooks; `venue.faults` overrides what a fault needs."""

    overrides: Overrides = Overrides()
    exchange: ExchangeHooks = ExchangeHooks()
    """What the exchange asks."""

    @property
    def is_feed_faulty(self) -> bool:
        """Whether `frames_out` has to be asked at all."""
        return False

    def attach(self, port: VenuePort) -> None:
        """Receive the venue's own means, once, before anybody connects."""

    def attach_exchange(self, exchange: "Exchange") -> None:
        """Receive the exchange whose accounts faults strike, once, before `attach`."""

    def routes(self) -> Sequence["web.RouteDef"]:
        """Return further HTTP routes (the admin endpoint)."""
        return ()

    def step(self, now_ms: int) -> None:
        """Do what is due by itself, once a block, before the exchange advances."""

    def connecting(self, ip: str, now_ms: int) -> int | None:  # noqa: ARG002 - neutral
        """Return the HTTP status that refuses a websocket, or None."""
        return None

    def frame_in(self, peer: Peer, text: str, now_ms: int) -> str | None:  # noqa: ARG002 - neutral
        """Return what the venue reads of a client's frame; None ignores it."""
        return text

    def subscribing(self, peer: Peer, topic: Topic, now_ms: int) -> str | None:  # noqa: ARG002 - neutral
        """Return the text of the `error` frame that refuses a subscription, or None."""
        return None

    def frames_out(
        self,
        peer: Peer,  # noqa: ARG002 - neutral
        channel: str,  # noqa: ARG002 - neutral
        topic: Topic | None,  # noqa: ARG002 - neutral
        text: str,
        now_ms: int,  # noqa: ARG002 - neutral
    ) -> Sequence[Outgoing]:
        """Return what one client gets instead of a frame: nothing, another one, several, later.

        Args:
            peer: The receiving client.
            channel: Channel of the frame as on the wire: also `subscriptionResponse`, `error`, `pong`, `post`.
            topic: What the client listens to, or the subscription an ack is about; None for the rest.
            text: The frame.
            now_ms: Venue time.
        """
        return (Outgoing(text),)

    def info(self, ip: str, request: Json, answer: Callable[[], HttpAnswer], now_ms: int) -> HttpAnswer:  # noqa: ARG002 - neutral
        """Return the answer to an info request, over REST or post; `answer()` gives the true one."""
        return answer()

    def exchange_request(self, ip: str, body: Json, now_ms: int) -> HttpAnswer | None:  # noqa: ARG002 - neutral
        """Return an answer that stands instead of executing the request, or None."""
        return None

    def exchange_answer(self, ip: str, body: Json, answer: HttpAnswer, now_ms: int) -> HttpAnswer:  # noqa: ARG002 - neutral
        """Return the answer to a request that was executed (or refused by the exchange)."""
        return answer
