"""A venue without sockets whose clock a test moves, and listeners that keep what they are sent."""

import asyncio
import json
from typing import Any

import msgspec
from sim_market_view import START_MS

from streaming.sim.markets.generator import BLOCK_MS, Generator
from streaming.sim.scenario.demo import DEMO
from streaming.sim.scenario.scenario import Scenario
from streaming.sim.venue.feed.clients import Client
from streaming.sim.venue.feed.subscriptions import Topic, wanted
from streaming.sim.venue.hooks import VenueHooks
from streaming.sim.venue.market.tape import HourSource
from streaming.sim.venue.venue import Venue

Json = Any
NOW_MS = START_MS
GENERATOR = Generator(7, DEMO)
USER = "0x" + "ab" * 20


class Listener(Client):
    """Keeps what it is sent."""

    def __init__(self, number: int = 1, ip: str = "127.0.0.1") -> None:
        self.number = number
        self.ip = ip
        self.wanted = {}
        self.users = set()
        self.texts: list[str] = []
        self.is_aborted = False

    def push(self, text: str) -> None:
        self.texts.append(text)

    def abort(self) -> None:
        self.is_aborted = True

    @property
    def frames(self) -> list[Any]:
        return [json.loads(text) for text in self.texts]

    def data(self, channel: str) -> list[Any]:
        return [each["data"] for each in self.frames if each["channel"] == channel]


class Bench:
    """A venue at `now_ms`."""

    def __init__(
        self, source: HourSource = GENERATOR, *, hooks: VenueHooks | None = None, now_ms: int = NOW_MS
    ) -> None:
        self.now_ms = now_ms
        self.venue = Venue(source, lambda: self.now_ms, hooks)
        self.venue.load()
        self.venue.open()
        self.count = 0

    def listener(self) -> Listener:
        """Connect a client that listens to nothing yet."""
        self.count += 1
        listener = Listener(self.count)
        self.venue.hub.clients.add(listener)
        return listener

    def listen(self, **subscription: object) -> Listener:
        """Connect a client to one stream, without its snapshot."""
        listener = self.listener()
        self.venue.hub.subscribe(listener, wanted(subscription, frozenset(self.venue.world.universe.by_coin)))
        return listener

    def snapshot(self, **subscription: object) -> list[Any]:
        """Return what a new listener would get first."""
        topic: Topic = wanted(subscription, frozenset(self.venue.world.universe.by_coin)).topic
        return [json.loads(text) for text in self.venue.snapshot(topic)]

    def run(self, length_ms: int, step_ms: int = BLOCK_MS) -> None:
        """Let time pass block by block."""
        end_ms = self.now_ms + length_ms
        while self.now_ms < end_ms:
            self.now_ms = min(end_ms, self.now_ms + step_ms)
            self.venue.step()

    def jump(self, length_ms: int) -> None:
        """Let time pass at once."""
        self.now_ms += length_ms
        self.venue.load()
        self.venue.step()

    def info(self, request: object) -> tuple[int, Any]:
        """Return status and decoded body of an info request, hours loaded as the server does."""
        coin, hours = self.venue.info.hours_of(request, self.now_ms)
        self.venue.info.load(coin, hours)
        answer, _ = self.venue.info.answer(request, self.now_ms)
        is_text = answer.content_type.startswith("text")
        return answer.status, answer.body.decode() if is_text else json.loads(answer.body)

    def call(self, body: Json, wait_ms: int = 600) -> Json:
        """Return the body an exchange request is answered with."""

        async def main() -> Json:
            coming = asyncio.create_task(
                self.venue.desk.answer("127.0.0.1", body, self.venue.desk.submit("127.0.0.1", body))
            )
            end_ms = self.now_ms + wait_ms
            while self.now_ms < end_ms and not coming.done():
                self.run(BLOCK_MS)
                await asyncio.sleep(0)
            answer = await coming
            return json.loads(answer.body) if answer.status == 200 else (answer.status, answer.body.decode())

        return asyncio.run(main())


def scenario_with(base: Scenario = DEMO, **rules: object) -> Scenario:
    """Return a scenario with other rules; `limits` is a LimitRules."""
    return Scenario(
        name=base.name,
        universe=base.universe,
        characters=base.characters,
        rules=msgspec.structs.replace(base.rules, **rules),
    )
