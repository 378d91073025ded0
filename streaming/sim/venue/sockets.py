"""The websocket endpoint: what a client's frame means and what it is answered.

Rule 1: acks come before the first data; a subscription of an unknown coin aborts the socket; everything unreadable gets
the error text with the frame verbatim and the socket stays open.
Rule 2: posts are answered when their answer is there, in whatever order that is; what was submitted is executed even if
the socket goes.

Source: hyperliquid-protocol.md, sections 1.1 to 1.4.
"""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from streaming.sim.exchange.events import Json
from streaming.sim.venue.desk import Submitted
from streaming.sim.venue.feed.clients import Client
from streaming.sim.venue.feed.subscriptions import UnreadableError, UnsupportedError, Wanted, wanted
from streaming.sim.venue.hooks import HttpAnswer
from streaming.sim.venue.info.answers import TOO_MANY, post_response, type_of
from streaming.sim.venue.info.requests import is_u64
from streaming.sim.venue.limits import exchange_weight, request_weight
from streaming.sim.venue.market.wire import frame
from streaming.sim.venue.venue import Venue

PONG = '{"channel":"pong"}'
AskInfo = Callable[[str, Json], Awaitable[HttpAnswer]]
"""Answers an info request of an IP, weight already taken."""


class Sockets:
    """Reads the frames of all clients."""

    def __init__(self, venue: Venue, ask_info: AskInfo) -> None:
        """Answer with `venue`; `ask_info` may take its time."""
        self._to = venue
        self._ask_info = ask_info
        self._coins = frozenset(venue.scenario.universe.by_coin)
        self._posts: dict[Client, set[asyncio.Task[None]]] = {}

    def receive(self, client: Client, text: str) -> None:
        """Answer one frame of a client; raises AbortError when the venue closes the socket."""
        to, now_ms = self._to, self._to.now_ms()
        refusal = to.limits.message(client.ip, now_ms)
        if refusal is not None:
            self._tell(client, frame("error", refusal))
            return
        read = to.hooks.frame_in(client, text, now_ms)
        if read is None:
            return
        try:
            self._answer(client, read)
        except (msgspec.DecodeError, RecursionError, UnreadableError):
            self._tell(client, frame("error", f"Error parsing JSON into valid websocket request: {text}"))
        except UnsupportedError as reason:
            self._tell(client, frame("error", f"Invalid subscription: {reason}"))

    def forget(self, client: Client) -> None:
        """Free what a client that is gone had in use."""
        for topic in client.topics():
            self._to.limits.unsubscribe(client.ip, topic.user)
        self._to.hub.forget(client)
        for task in tuple(self._posts.pop(client, ())):
            task.cancel()

    def _answer(self, client: Client, text: str) -> None:
        request = msgspec.json.decode(text)
        match request:
            case {"method": "ping"}:
                self._to.hub.tell(client, "pong", None, PONG)
            case {"method": "subscribe", "subscription": what}:
                self._subscribe(client, wanted(what, self._coins))
            case {"method": "unsubscribe", "subscription": what}:
                self._unsubscribe(client, wanted(what, self._coins))
            case {
                "method": "post",
                "id": number,
                "request": {"type": "info" | "action" as kind, "payload": inner},
            } if is_u64(number):
                self._post(client, number, kind, inner)
            case _:
                raise UnreadableError

    def _tell(self, client: Client, text: str) -> None:
        self._to.hub.tell(client, "error", None, text)

    def _subscribe(self, client: Client, what: Wanted) -> None:
        to, topic = self._to, what.topic
        if topic in client.wanted:
            self._tell(client, frame("error", f"Already subscribed: {what.text}"))
            return
        refusal = to.hooks.subscribing(client, topic, to.now_ms()) or to.limits.subscribe(client.ip, topic.user)
        if refusal is not None:
            self._tell(client, frame("error", refusal))
            return
        self._ack(client, "subscribe", what)
        for text in to.snapshot(topic):
            to.hub.tell(client, topic.wire_channel, topic, text)
        to.hub.subscribe(client, what)

    def _unsubscribe(self, client: Client, what: Wanted) -> None:
        if what.topic not in client.wanted:
            self._tell(client, frame("error", f"Already unsubscribed: {what.text}"))
            return
        self._to.hub.unsubscribe(client, what.topic)
        self._to.limits.unsubscribe(client.ip, what.topic.user)
        self._ack(client, "unsubscribe", what)

    def _ack(self, client: Client, method: str, what: Wanted) -> None:
        text = frame("subscriptionResponse", {"method": method, "subscription": what.echo})
        self._to.hub.tell(client, "subscriptionResponse", what.topic, text)

    def _post(self, client: Client, number: int, kind: str, inner: Json) -> None:
        to = self._to
        refusal = to.limits.begin_post(client.ip, number)
        if refusal is not None:
            self._tell(client, frame("error", refusal))
            return
        weight = request_weight(type_of(inner)) if kind == "info" else exchange_weight(inner)
        submitted: Submitted | None = None
        if not to.limits.spend(client.ip, weight, to.now_ms()):
            submitted = TOO_MANY
        elif kind == "action":
            submitted = to.desk.submit(client.ip, inner)
        task = asyncio.get_running_loop().create_task(self._finish_post(client, number, (kind, inner), submitted))
        tasks = self._posts.setdefault(client, set())
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        task.add_done_callback(lambda _: to.limits.end_post(client.ip))

    async def _finish_post(
        self, client: Client, number: int, asked: tuple[str, Json], submitted: Submitted | None
    ) -> None:
        to, (_, inner) = self._to, asked
        if submitted is None:
            answer = await self._ask_info(client.ip, inner)
        else:
            answer = await to.desk.answer(client.ip, inner, submitted)
        await asyncio.sleep(answer.delay_ms / 1000)
        if answer.is_dropped:
            client.abort()
            return
        data = {"id": number, "response": post_response(*asked, answer)}
        to.hub.tell(client, "post", None, frame("post", data))
