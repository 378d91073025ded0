"""All faults of a venue in one object: the board, and what the venue and its exchange ask at their hooks.

    faults = VenueFaults(scenario, now_ms)
    server = VenueServer(source, hooks=faults)

Rule 1: without a fault on the board every hook is neutral and costs a look-up.
Rule 2: faults of the scenario count their `at_s` from the moment the venue serves (`attach`).
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from streaming.sim.scenario.scenario import Scenario
from streaming.sim.venue.faults.account import AccountFaults
from streaming.sim.venue.faults.admin import Admin
from streaming.sim.venue.faults.board import Fault, FaultBoard
from streaming.sim.venue.faults.exchange import ExchangeFaults, ServiceFaults
from streaming.sim.venue.faults.feed import FeedFaults
from streaming.sim.venue.faults.info import InfoFaults
from streaming.sim.venue.faults.market import MarketFaults
from streaming.sim.venue.feed.subscriptions import Topic
from streaming.sim.venue.hooks import HttpAnswer, Outgoing, Overrides, Peer, VenueHooks, VenuePort

if TYPE_CHECKING:
    from aiohttp import web

    from streaming.sim.exchange.exchange import Exchange

Json = Any
_CUT = 1006


class VenueFaults(VenueHooks):
    """Makes faults happen.

    Args:
        scenario: Its faults begin by themselves; its markets are what selectors are checked against.
        now_ms: Clock of the venue.
    """

    def __init__(self, scenario: Scenario, now_ms: Callable[[], int]) -> None:
        self.board = FaultBoard()
        self.exchange = ExchangeFaults(self.board)
        self.markets = MarketFaults(self.board, scenario.universe)
        self.overrides: Overrides = self.markets
        self._scenario = scenario
        self._now_ms = now_ms
        self._feed = FeedFaults(self.board)
        self._info = InfoFaults(self.board)
        self._service = ServiceFaults(self.board)
        self._admin = Admin(self.board, scenario.universe, now_ms, self.state)
        self._accounts: AccountFaults | None = None
        self._port: VenuePort | None = None

    @property
    @override
    def is_feed_faulty(self) -> bool:
        return self._feed.is_faulty

    @override
    def attach(self, port: VenuePort) -> None:
        self._port = port
        for spec in self._scenario.faults:
            self.board.add(spec, self._now_ms())

    @override
    def attach_exchange(self, exchange: "Exchange") -> None:
        self._accounts = AccountFaults(exchange, self._scenario.universe)

    @override
    def routes(self) -> Sequence["web.RouteDef"]:
        return self._admin.routes()

    @override
    def step(self, now_ms: int) -> None:
        self.markets.step(now_ms)
        self._feed.step(now_ms, (peer.number for peer in self._port.peers()) if self._port is not None else ())
        for fault in self.board.due(now_ms):
            self._happen(fault, now_ms)
        if self._accounts is not None:
            self._accounts.set_fee(self.board.active("fee", now_ms))

    def _happen(self, fault: Fault, now_ms: int) -> None:
        port = self._port
        match fault.spec.kind:
            case "close" if port is not None:
                self._close(fault, port)
            case "snapshot_again" if port is not None:
                topics = {
                    topic: None for peer in port.peers() for topic in peer.topics() if _concerns(fault, peer, topic)
                }
                for topic in topics:
                    port.replay(topic)
            case _ if self._accounts is not None:
                self._accounts.happen(fault, now_ms)
            case _:
                pass

    @staticmethod
    def _close(fault: Fault, port: VenuePort) -> None:
        spec, code = fault.spec, int(fault.values["code"])
        for peer in port.peers():
            is_narrowed = spec.coins or spec.channels or spec.users
            if is_narrowed and not any(_concerns(fault, peer, topic) for topic in peer.topics()):
                continue
            if code == _CUT:
                peer.abort()
            else:
                peer.close(code, "fault")

    @override
    def connecting(self, ip: str, now_ms: int) -> int | None:
        fault = self.board.active("outage", now_ms)
        return None if fault is None else int(fault.values["status"])

    @override
    def frame_in(self, peer: Peer, text: str, now_ms: int) -> str | None:
        return None if self.board.active("outage", now_ms) is not None else text

    @override
    def subscribing(self, peer: Peer, topic: Topic, now_ms: int) -> str | None:
        fault = self.board.active("subscription_limit", now_ms)
        if fault is None or len(list(peer.topics())) < int(fault.values["limit"]):
            return None
        fault.strike()
        return f"Cannot track more than {fault.values['limit']} total subscriptions."

    @override
    def frames_out(self, peer: Peer, channel: str, topic: Topic | None, text: str, now_ms: int) -> Sequence[Outgoing]:
        return self._feed.frames_out(peer, channel, topic, text, now_ms)

    @override
    def info(self, ip: str, request: Json, answer: Callable[[], HttpAnswer], now_ms: int) -> HttpAnswer:
        kind = request.get("type") if isinstance(request, dict) else None
        instead = self._service.before((str(kind), "info"), now_ms)
        return instead or self._info.answer(request, answer, now_ms)

    @override
    def exchange_request(self, ip: str, body: Json, now_ms: int) -> HttpAnswer | None:
        kind = _action_type(body)
        instead = self._service.before((kind, "exchange"), now_ms)
        nonce = body.get("nonce") if isinstance(body, dict) else None
        return instead or self._service.refusal(kind, nonce if isinstance(nonce, int) else now_ms, now_ms)

    @override
    def exchange_answer(self, ip: str, body: Json, answer: HttpAnswer, now_ms: int) -> HttpAnswer:
        return self._service.answer(_action_type(body), answer, now_ms)

    def state(self) -> dict[str, Any]:
        """Return what `GET /admin/state` tells."""
        now_ms = self._now_ms()
        peers = self._port.peers() if self._port is not None else ()
        return {
            "time": now_ms,
            "scenario": self._scenario.name,
            "market_count": len(self._scenario.universe.markets),
            "connections": [
                {
                    "number": peer.number,
                    "ip": peer.ip,
                    "users": sorted(peer.users),
                    "subscription_count": len(list(peer.topics())),
                }
                for peer in peers
            ],
            "markets_struck": self.markets.coins(),
            "fault_count": sum(fault.state(now_ms) == "active" for fault in self.board.faults()),
            "accounts": self._accounts.told() if self._accounts is not None else [],
        }


def _concerns(fault: Fault, peer: Peer, topic: Topic) -> bool:
    users = (topic.user,) if topic.user else peer.users
    return fault.concerns(coin=topic.coin, channels=(topic.channel,), users=users)


def _action_type(body: Json) -> str:
    action = body.get("action") if isinstance(body, dict) else None
    kind = action.get("type") if isinstance(action, dict) else None
    return kind if isinstance(kind, str) else ""
