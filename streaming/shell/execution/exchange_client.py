"""The venue's exchange endpoint over HTTP: the second way for signed bytes.

Why this module exists: a position must be closable while the websocket is down. What matters of a failure is whether
the bytes may have left, so the body is handed over through a generator: what fails before it is read was never sent.

Rule 1: nothing is ever sent twice here: no redirects, no retries (aiohttp repeats no POST by itself).
Rule 2: `NotSent` is a proof; whatever else is no answer is `OutcomeUnknown`. What an answer says is judged elsewhere.
Rule 3: each request is spent from the weight window that info requests use, and not sent when that is full (I-37).

Source: hyperliquid.gitbook.io, "Exchange endpoint", "Rate limits and user limits": weight 1 + floor(items / 40).
"""

from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

import aiohttp

from streaming.core.budget import WeightWindow
from streaming.core.errors import NotSent, OutcomeUnknown
from streaming.shell.clock import Clock

_BODY_BYTES_MAX = 1024 * 1024
_CONNECT_TIMEOUT_S = 2.0
_READ_TIMEOUT_S = 5.0
_TOTAL_TIMEOUT_S = 10.0
_ITEMS_PER_WEIGHT = 40


class HttpAnswer(NamedTuple):
    """What the venue answered, whatever that is."""

    status: int
    body: bytes


class ExchangeClient:
    """Posts signed bodies to one venue."""

    def __init__(
        self,
        base_url: str,
        *,
        session: aiohttp.ClientSession,
        clock: Clock,
        weights: WeightWindow,
        read_timeout_s: float = _READ_TIMEOUT_S,
    ) -> None:
        """Use `session`, which the caller opens and closes.

        Args:
            base_url: `Venue.base_url`.
            session: Connection pool.
            clock: Dates what is spent.
            weights: `InfoClient.weights`: one account for one address.
            read_timeout_s: Longest silence while an answer is awaited.
        """
        self._url = base_url + "/exchange"
        self._session = session
        self._clock = clock
        self._weights = weights
        self._timeout = aiohttp.ClientTimeout(
            total=_TOTAL_TIMEOUT_S,
            connect=_CONNECT_TIMEOUT_S,
            sock_connect=_CONNECT_TIMEOUT_S,
            sock_read=read_timeout_s,
        )

    async def post(
        self, body: bytes, *, item_count: int, on_handed_over: Callable[[], None] | None = None
    ) -> HttpAnswer:
        """Send one signed body and return the venue's answer.

        Args:
            body: Of `signed_body`.
            item_count: Orders or cancels in it.
            on_handed_over: Called when the bytes are about to leave; must not raise.

        Raises:
            NotSent: Proved: no byte of the body left this machine.
            OutcomeUnknown: Anything else that is no answer.
        """
        now_ns = self._clock.mono_ns()
        weight = 1 + item_count // _ITEMS_PER_WEIGHT
        if not self._weights.may_spend(now_ns, weight):
            raise NotSent(f"ip_weight: {self._weights.used_weight(now_ns)} of {self._weights.limit_weight} used")
        self._weights.spend(now_ns, weight)
        is_handed_over = False

        async def handed_over() -> AsyncIterator[bytes]:
            nonlocal is_handed_over
            is_handed_over = True
            if on_handed_over is not None:
                on_handed_over()
            yield body

        headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        try:
            async with self._session.post(
                self._url, data=handed_over(), headers=headers, timeout=self._timeout, allow_redirects=False
            ) as response:
                return HttpAnswer(response.status, await _read_capped(response))
        except (aiohttp.ClientError, TimeoutError, OSError) as failure:
            text = f"{type(failure).__name__} {failure}"[:150]
            if is_handed_over:
                raise OutcomeUnknown(f"expected an answer of {self._url}, found {text}") from failure
            raise NotSent(f"expected {self._url} to take a request, found {text}") from failure


async def _read_capped(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(65_536):
        body += chunk
        if len(body) > _BODY_BYTES_MAX:
            raise OutcomeUnknown(f"expected at most {_BODY_BYTES_MAX} bytes of an answer, found more")
    return bytes(body)
