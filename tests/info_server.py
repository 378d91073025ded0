"""A small info endpoint on 127.0.0.1 for tests: answers by request type, and remembers what it was asked."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from aiohttp import web

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
FIXTURE = Path(__file__).parent / "fixtures" / "wire" / "info.json"


class InfoServer:
    """Canned bodies by type (`meta` without a dex is `metaDefault`); `answers` overrides them."""

    def __init__(self) -> None:
        self.bodies: dict[str, object] = json.loads(FIXTURE.read_text())
        self.answers: dict[str, Answer] = {}
        self.asked: list[dict[str, str]] = []
        self.content_types: set[str] = set()
        self.base_url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        self.asked.append(asked)
        self.content_types.add(request.content_type)
        name = asked["type"]
        if name in self.answers:
            return await self.answers[name](request)
        if name == "meta" and "dex" not in asked:
            name = "metaDefault"
        return web.json_response(self.bodies[name])

    @asynccontextmanager
    async def running(self) -> AsyncIterator[aiohttp.ClientSession]:
        """Serve until the block ends; yields a client session that is closed with it."""
        app = web.Application()
        app.router.add_post("/info", self.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        self.base_url = f"http://{host}:{port}"
        try:
            async with aiohttp.ClientSession() as session:
                yield session
        finally:
            await runner.cleanup()
