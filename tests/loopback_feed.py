"""A websocket server on loopback for tests of the transports and the feed: each test scripts what it does."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import uvloop
from websockets.asyncio.server import ServerConnection, serve

T = TypeVar("T")
Script = Callable[[ServerConnection], Awaitable[None]]


def run(job: Coroutine[Any, Any, T], timeout_s: float = 10) -> T:
    """Run a coroutine on uvloop, the loop of production, within a time."""

    async def bounded() -> T:
        async with asyncio.timeout(timeout_s):
            return await job

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(bounded())


@asynccontextmanager
async def websocket_server(script: Script) -> AsyncIterator[str]:
    """Serve `script` for each connection and yield the URL."""
    async with serve(script, "127.0.0.1", 0, ping_interval=None, close_timeout=0.1, compression=None) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws"
