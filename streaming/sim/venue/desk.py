"""The exchange endpoint: requests wait here until the exchange has answered them.

Rule 1: `Exchange` knows no sockets and no futures; a ticket connects its answer with whoever waits for it.
Rule 2: `submit` hands a request over at once: what arrived is executed even if its sender has gone.
"""

import asyncio
from collections.abc import Callable, Iterable

import msgspec

from streaming.sim.exchange.events import Answered, ExchangeEvent, Json
from streaming.sim.exchange.exchange import Exchange, Refused
from streaming.sim.venue.hooks import HttpAnswer, VenueHooks
from streaming.sim.venue.info.answers import TEXT_TYPE

ANSWER_S_MAX = 60.0
"""A request of which nothing is heard is given up then, as proxies in front of a venue do."""
_GIVEN_UP = HttpAnswer(504, b"Gateway Timeout", TEXT_TYPE)

Submitted = HttpAnswer | asyncio.Future[Json]
"""An answer that stands already, or one that comes with a block."""


class Desk:
    """Takes signed requests and gives answers when their block is committed."""

    def __init__(self, exchange: Exchange, hooks: VenueHooks, now_ms: Callable[[], int]) -> None:
        """Hand requests to `exchange`."""
        self._exchange = exchange
        self._hooks = hooks
        self._now_ms = now_ms
        self._waiting: dict[int, asyncio.Future[Json]] = {}

    def submit(self, ip: str, body: Json) -> Submitted:
        """Hand a request to the exchange."""
        instead = self._hooks.exchange_request(ip, body, self._now_ms())
        if instead is not None:
            return instead
        result = self._exchange.receive(body, self._now_ms())
        if isinstance(result, Refused):
            return self._hooks.exchange_answer(ip, body, _encoded(result.status, result.body), self._now_ms())
        waiting = self._waiting[result.ticket] = asyncio.get_running_loop().create_future()
        waiting.add_done_callback(lambda _: self._waiting.pop(result.ticket, None))
        return waiting

    async def answer(self, ip: str, body: Json, submitted: Submitted) -> HttpAnswer:
        """Return the answer to what was submitted; waits as long as the exchange takes, within reason."""
        if isinstance(submitted, HttpAnswer):
            return submitted
        try:
            async with asyncio.timeout(ANSWER_S_MAX):
                answer = await submitted
        except TimeoutError:
            return _GIVEN_UP
        return self._hooks.exchange_answer(ip, body, _encoded(200, answer), self._now_ms())

    def resolve(self, events: Iterable[ExchangeEvent]) -> None:
        """Wake those whose answer is among the events."""
        for event in events:
            if isinstance(event, Answered):
                waiting = self._waiting.get(event.ticket)
                if waiting is not None and not waiting.done():
                    waiting.set_result(event.body)


def _encoded(status: int, body: Json) -> HttpAnswer:
    """A text beside status 200 is sent as it is, everything else as JSON."""
    if isinstance(body, str) and status != 200:
        return HttpAnswer(status, body.encode(), TEXT_TYPE)
    return HttpAnswer(status, msgspec.json.encode(body))
