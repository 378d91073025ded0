"""A lane: one client of its own bench venue, asked for one order at a time.

Rule 1: a lane has its own port, so that who answers is known, and is asked only while every other client stands still:
what a client does while it waits costs the others nothing.
Rule 2: a tick leaves after a pause in which the client has nothing to do: what is measured includes waking up.
Rule 3: the venue looks for the answer without sleeping: waking up would be counted as the client's time.
Rule 4: a lane that trades keeps its requests; whether they were signed by its key is judged after the run.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import perf_counter_ns
from typing import Any

from streaming.hyperliquid.signing import Signature, SigningError, action_hash, l1_digest, recover_address
from streaming.sim.bench.child import Child
from streaming.sim.bench.front import frame_of
from streaming.sim.bench.market import BenchMarket, Tick, bbo_frame
from streaming.sim.bench.order import Trader
from streaming.sim.bench.pairing import Key, Pairing, echo_key, order_key
from streaming.sim.bench.venue import BenchVenue

_SETTLING_QUOTES = 30
_WAKING_S = 0.02
"""Longer than anything a client does of its own accord after a frame, or does not do while its caches are cold."""


class Lane:
    """One variant that is measured."""

    def __init__(
        self,
        name: str,
        markets: Sequence[BenchMarket],
        trader: Trader,
        *,
        pause_s: float,
        answer_s: float,
        is_signed: bool = True,
        is_echo: bool = False,
        is_kept_fresh: bool = False,
    ) -> None:
        """Measure a client that trades `markets`.

        Args:
            name: Of the variant.
            markets: What its venue lists.
            trader: Whose account the venue knows.
            pause_s: Quiet time before each tick.
            answer_s: How long an order is waited for.
            is_signed: Its orders have to be signed by the key of `trader`.
            is_echo: It sends ticks back instead of trading, and sees nothing but ticks.
            is_kept_fresh: It distrusts old data: every turn begins with fresh quotes of all markets.
        """
        self.name = name
        self.pairing = Pairing()
        self.venue = BenchVenue(markets, trader, self._answered)
        self._signer = trader.agent if is_signed else ""
        self._pause_s = pause_s
        self._answer_s = answer_s
        self._is_echo = is_echo
        self._is_kept_fresh = is_kept_fresh
        self._key_of: Callable[[Tick], Key] = echo_key if is_echo else order_key
        self._child: Child | None = None
        self._ready: Callable[[], Awaitable[None]] = _at_once
        self._waiting: asyncio.Future[None] | None = None
        self._requests: list[Mapping[str, Any]] = []
        self._number = 0
        self._is_polling = False

    def served_by(self, child: Child, ready: Callable[[], Awaitable[None]] | None = None) -> None:
        """Take note of the process of its client; `ready` returns when that would trade."""
        self._child = child
        self._ready = ready or _at_once

    def rest(self) -> None:
        """Let its client stand still until it wakes."""
        if self._child is not None:
            self._child.rest()

    def wake(self) -> None:
        """Let its client go on."""
        if self._child is not None:
            self._child.wake()

    async def ready(self) -> None:
        """Wait until its client, which is awake, would trade; raises `ChildFailed` if it does not."""
        await self._ready()

    async def turn(self, tick_count: int, *, is_venue_alone: bool) -> None:
        """Send so many ticks to the client, which is awake for long enough before and after them.

        A venue that has no core of its own sleeps while it waits: the client needs the core.
        """
        self._is_polling = is_venue_alone
        await asyncio.sleep(_WAKING_S)
        if self._is_kept_fresh:
            self.venue.publish(self.venue.quiet(self.venue.markets))
            await asyncio.sleep(self._pause_s)
        for _ in range(tick_count):
            await self.tick()
        await asyncio.sleep(_WAKING_S)

    async def settle(self) -> None:
        """Show quotes until a client that compares a spread with its own history has one."""
        for number in range(_SETTLING_QUOTES):
            self.venue.publish(self.venue.quiet(self.venue.markets, offset=number % 2))
            await asyncio.sleep(self._pause_s)

    async def tick(self) -> None:
        """Send the next crossing tick and wait for what answers it."""
        markets = self.venue.markets
        number, index = divmod(self._number, len(markets))
        self._number += 1
        market = markets[index]
        tick = market.tick(number)
        key = self._key_of(tick)
        if not self._is_echo:
            self.venue.publish(self.venue.quiet((market,)))
        await asyncio.sleep(self._pause_s)
        frame = frame_of(bbo_frame(tick.coin, self.venue.now_ms(), tick.bid_px, tick.ask_px))
        loop = asyncio.get_running_loop()
        self._waiting = loop.create_future()
        try:
            async with asyncio.timeout(self._answer_s):
                loop.call_soon(self._send, key, frame)  # the last of this turn: nothing of ours runs beside the client
                await self._waiting
        except TimeoutError:
            self.pairing.gave_up(key)
        if not self._is_echo:
            self.venue.publish(self.venue.quiet((market,)))

    def unsigned_count(self) -> int:
        """Return how many requests were not signed by this lane's key."""
        if not self._signer:
            return 0
        return sum(not is_signed_by(request, self._signer) for request in self._requests)

    def _send(self, key: Key, frame: bytes) -> None:
        self.pairing.sent(key, perf_counter_ns())
        self.venue.publish(frame)
        if self._is_polling:
            self._look(asyncio.get_running_loop())

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._waiting is not None and not self._waiting.done():
            loop.call_soon(self._look, loop)  # a callback that is ready is all that keeps a loop from sleeping

    def _answered(self, answer: Mapping[str, Any], stamp_ns: int) -> None:
        if self.pairing.answered(answer, stamp_ns) and self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
        if not self._is_echo:
            self._requests.append(answer)


async def _at_once() -> None:
    """Be ready: what a client is that knows no reason against trading."""


def is_signed_by(request: Mapping[str, Any], address: str) -> bool:
    """Tell whether a request to the exchange endpoint was signed by `address`, for another network than mainnet."""
    match request:
        case {"action": dict(action), "nonce": int(nonce), "signature": {"r": str(r), "s": str(s), "v": int(v)}}:
            pass
        case _:
            return False
    try:
        connection_id = action_hash(action, nonce, request.get("vaultAddress"), request.get("expiresAfter"))
        signature = Signature(int(r, 16), int(s, 16), v)
    except (SigningError, ValueError):
        return False
    return recover_address(l1_digest(connection_id, is_mainnet=False), signature) == address
