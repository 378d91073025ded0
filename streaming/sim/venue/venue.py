"""The whole venue but its sockets: markets, exchange, feed and answers, moved by `step`.

Rule 1: time is data: everything happens as of the instant handed to `step`, or asked of the clock for a request.
Rule 2: every block is one step: faults that are due, the exchange, then the frames that follow from both.
"""

from collections.abc import Callable, Sequence

from streaming.sim.exchange.exchange import Exchange
from streaming.sim.markets.generator import HOUR_MS
from streaming.sim.venue.desk import Desk
from streaming.sim.venue.feed.clients import Hub
from streaming.sim.venue.feed.player import PAUSE_MS, Player
from streaming.sim.venue.feed.streams import Streams
from streaming.sim.venue.feed.subscriptions import Topic
from streaming.sim.venue.hooks import Peer, VenueHooks
from streaming.sim.venue.info.answers import Info
from streaming.sim.venue.info.markets import Markets
from streaming.sim.venue.limits import Limits
from streaming.sim.venue.market.candles import History
from streaming.sim.venue.market.quotes import Quotes
from streaming.sim.venue.market.tape import HourSource
from streaming.sim.venue.market.world import World


class Venue:
    """One venue over one source of hours.

    Args:
        source: Makes the markets (the generator, or a recording) and brings scenario and seed.
        clock: Time in ms UTC; what the venue makes of it (`now_ms`) never goes back.
        hooks: Faults; none by default.
    """

    def __init__(self, source: HourSource, clock: Callable[[], int], hooks: VenueHooks | None = None) -> None:
        self.hooks = VenueHooks() if hooks is None else hooks
        self.scenario = source.scenario
        self._clock = clock
        self._at_ms = 0
        self._lead_ms = 0
        rules = self.scenario.rules
        self.world = World(source, self.hooks.overrides)
        self.exchange = Exchange(
            self.scenario.universe, rules, self.world,
            seed=source.seed, begin_ms=self.now_ms(), hooks=self.hooks.exchange,
        )  # fmt: skip
        self.hooks.attach_exchange(self.exchange)
        self.quotes = Quotes(self.world, self.exchange)
        self.history = History(self.world.tape)
        self.info = Info(Markets(self.quotes, self.history, self.exchange.hooks), self.exchange, self.hooks)
        self.limits = Limits(rules.limits)
        self.hub = Hub(self.hooks, self.now_ms)
        self.desk = Desk(self.exchange, self.hooks, self.now_ms)
        self.player = Player(self.quotes, self.history, self.hub, self.now_ms())
        self.streams = Streams(lambda request: self.info.value(request, self.now_ms()), self.hub, self.now_ms())

    def now_ms(self) -> int:
        """Return the venue's time; it never goes back, whatever the clock does.

        A clock that was put back a little is waited for; put back far, the venue goes on from where it was, ahead of
        the clock until that jumps forward.
        """
        now_ms = self._clock() + self._lead_ms
        if now_ms < self._at_ms - PAUSE_MS:
            self._lead_ms += self._at_ms - now_ms
        elif now_ms > self._at_ms + PAUSE_MS:
            less_ms = min(self._lead_ms, now_ms - self._at_ms)
            self._lead_ms -= less_ms
            now_ms -= less_ms
        self._at_ms = max(self._at_ms, now_ms)
        return self._at_ms

    def load(self) -> None:
        """Generate the hours around now: before the first step, and when the clock has left all that is loaded."""
        hour = self.now_ms() // HOUR_MS
        for each in (hour - 1, hour):
            if not self.world.tape.is_loaded(each):
                self.world.tape.load(each)

    def open(self) -> None:
        """Begin now; the hours around must be loaded."""
        self.player.at_ms = self.now_ms()
        self.hooks.attach(self)

    def step(self) -> None:
        """Let happen what is due and tell everybody who listens."""
        now_ms = self.now_ms()
        self.hooks.step(now_ms)
        events = self.exchange.advance(now_ms)
        self.player.step(now_ms)
        if events:
            self.desk.resolve(events)
            self.player.show(events)
            self.streams.show(events)
        self.streams.step(now_ms)

    def snapshot(self, topic: Topic) -> list[str]:
        """Return what a new listener gets first, after the ack."""
        return self.streams.snapshot(topic) if topic.user else self.player.snapshot(topic)

    def peers(self) -> Sequence[Peer]:
        """Return all connected websockets."""
        return self.hub.peers()

    def replay(self, topic: Topic) -> None:
        """Send the present state of a topic to all who listen."""
        for text in self.snapshot(topic):
            self.hub.publish(topic, text)
