"""Each of the 8 gates trips, acts and recovers from what the venue really sends: raw frames and answers to polls.

The predecessor's time regression never fired because the parser dropped the time; its halt and param change had no
caller; what its gates said to do in position was thrown away (section 3.4). A gate exists only if this file moves it.
"""

import asyncio
import copy
import json
from collections.abc import Callable
from random import Random
from typing import Any

import msgspec
import pytest
from core_builders import a_timer, limits_with, of_type, venue_ms
from info_server import InfoServer
from trading_builders import D, Desk, blocked_by, warm_up

from streaming.core.effects import AnyOutput, GateChanged, GateId, GateStatus, Reconnect, SignalRaised
from streaming.core.events import AnyEvent
from streaming.core.gates import GATES
from streaming.core.market import MarketSpec
from streaming.core.trading.effects import ActionDecided, MarketStopChanged
from streaming.hyperliquid.decode import decode_frame
from streaming.shell.info.registry import RegistryPoller, load_registry
from streaming.shell.info.rest import InfoClient

COIN = "xyz:NVDA"
Bodies = dict[str, Any]
QUIET = ("99.98", "100.02")
CHEAP = ("99.66", "99.70")
"""A touch 30 bps below the oracle: bought at once by a desk that may."""
LIMITS = limits_with(
    exits={
        "time_stop_ms": 600_000,
        "quick_profit_bps": D(10_000),
        "trailing_start_bps": D(10_000),
        "mark_regression_bps": D(10_000),
        "edge_evaporated_bps": D("0.01"),
    }
)
"""Nothing but a gate closes a position."""


class StoppedClock:
    def mono_ns(self) -> int:
        return 1

    def ts_ns(self) -> int:
        return 1


def bodies_of_nvda() -> Bodies:
    """Return the recorded answers, with a name that has known trading hours."""
    return json.loads(json.dumps(InfoServer().bodies).replace("xyz:ALPHA", COIN))  # type: ignore[no-any-return]


def poll(bodies: Bodies, watched: tuple[MarketSpec, ...] = ()) -> tuple[tuple[MarketSpec, ...], list[AnyEvent]]:
    """Let the real registry and poller read these answers over HTTP."""
    server = InfoServer()
    server.bodies = bodies
    emitted: list[AnyEvent] = []

    async def run() -> tuple[MarketSpec, ...]:
        async with server.running() as session:
            client = InfoClient(server.base_url, session=session, clock=StoppedClock())
            specs = watched or (await load_registry(client, ("xyz",), None, coins=(COIN,))).specs
            poller = RegistryPoller(
                client, ("xyz",), None, watched=specs, emit=emitted.append, clock=StoppedClock(), random=Random(1),
                coins=(COIN,),
            )  # fmt: skip
            await poller.poll()
            return specs

    return asyncio.run(run()), emitted


class Wire:
    """A desk that hears the venue's own bytes only."""

    def __init__(self) -> None:
        self.bodies = bodies_of_nvda()
        self.specs, _ = poll(self.bodies)
        self.desk = Desk(COIN, limits=LIMITS, specs=self.specs)
        warm_up(self.desk)
        self.outputs: list[AnyOutput] = []

    def hear(self, *raws: bytes) -> None:
        desk = self.desk
        for raw in raws:
            event = decode_frame(raw, generation=desk.generation, **desk.stamped())
            self.outputs += desk.feed(event)

    def bbo(self, touch: tuple[str, str] = QUIET, *, before_ms: int = 0) -> bytes:
        sides = [{"px": px, "sz": "50", "n": 1} for px in touch]
        data = {"coin": COIN, "time": venue_ms(self.desk.at_ms) - before_ms, "bbo": sides}
        return json.dumps({"channel": "bbo", "data": data}).encode()

    def ctx(self, *, oracle: str = "100", mark: str = "100", mid: str | None = "100") -> bytes:
        ctx = {"funding": "0", "openInterest": "1000", "oraclePx": oracle, "markPx": mark, "midPx": mid}
        return json.dumps({"channel": "activeAssetCtx", "data": {"coin": COIN, "ctx": ctx}}).encode()

    def poll(self, change: Callable[[Bodies], None] = lambda _: None) -> None:
        """Change what the venue answers, and poll it."""
        change(self.bodies)
        for event in poll(copy.deepcopy(self.bodies), self.specs)[1]:
            self.outputs += self.desk.feed(msgspec.structs.replace(event, **self.desk.stamped()))

    def wait(self, ms: int, *frames: Callable[[], bytes]) -> None:
        """Let time pass with a frame of each kind every 100 ms."""
        for _ in range(ms // 100):
            self.desk.at_ms += 100
            self.hear(*[frame() for frame in frames])
            self.outputs += self.desk.feed(a_timer(self.desk.at_ms))

    def changes(self, gate: GateId) -> list[GateStatus]:
        return [o.current for o in of_type(self.outputs, GateChanged) if o.gate is gate]

    def exits(self) -> list[ActionDecided]:
        return [a for a in of_type(self.outputs, ActionDecided) if any(order.is_reduce_only for order in a.orders)]


def of_market(bodies: Bodies) -> dict[str, Any]:
    found: dict[str, Any] = next(m for m in bodies["meta"]["universe"] if m["name"] == COIN)
    return found


def set_capped(bodies: Bodies, *, is_capped: bool) -> None:
    bodies["perpsAtOpenInterestCap"] = [COIN] if is_capped else []


class Case(msgspec.Struct, kw_only=True):
    """How the venue trips a gate, and what it sends when all is well again; `touch` is the one that is shown."""

    gate: GateId
    trip: Callable[[Wire, tuple[str, str]], None]
    recover: Callable[[Wire, tuple[str, str]], None]


def usual(wire: Wire, touch: tuple[str, str]) -> tuple[Callable[[], bytes], Callable[[], bytes]]:
    mid = str((D(touch[0]) + D(touch[1])) / 2)
    return (lambda: wire.bbo(touch), lambda: wire.ctx(mark=mid, mid=mid))


def widened(touch: tuple[str, str]) -> tuple[str, str]:
    return str(D(touch[0]) - D("0.2")), str(D(touch[1]) + D("0.2"))


def trip_mark(wire: Wire, touch: tuple[str, str]) -> None:
    wire.wait(1_200, lambda: wire.bbo(touch), lambda: wire.ctx(mark="101", mid=None))


def trip_spread(wire: Wire, touch: tuple[str, str]) -> None:
    wire.hear(wire.bbo(widened(touch)))
    wire.wait(1_200, *usual(wire, touch))


def trip_cap(wire: Wire, touch: tuple[str, str]) -> None:
    wire.poll(lambda bodies: set_capped(bodies, is_capped=True))
    wire.wait(1_200, *usual(wire, touch))


def recover_cap(wire: Wire, touch: tuple[str, str]) -> None:
    wire.poll(lambda bodies: set_capped(bodies, is_capped=False))
    wire.wait(1_200, *usual(wire, touch))


def trip_param(wire: Wire, touch: tuple[str, str]) -> None:
    wire.poll(lambda bodies: of_market(bodies).update(deployerFeeScale="0.5"))
    wire.wait(1_200, *usual(wire, touch))


def recover_param(wire: Wire, touch: tuple[str, str]) -> None:
    wire.poll()
    wire.wait(32_000, *usual(wire, touch))


def trip_halt(wire: Wire, touch: tuple[str, str]) -> None:
    wire.poll(lambda bodies: bodies.update(exchangeStatus={"specialStatuses": ["upgrade"], "time": 1}))
    wire.wait(1_200, *usual(wire, touch))


def recover_halt(wire: Wire, touch: tuple[str, str]) -> None:
    wire.poll(lambda bodies: bodies.update(exchangeStatus={"specialStatuses": None, "time": 1}))
    wire.wait(62_000, *usual(wire, touch))


def trip_regression(wire: Wire, touch: tuple[str, str]) -> None:
    wire.hear(wire.bbo(touch, before_ms=500))
    wire.wait(1_200, *usual(wire, touch))
    assert of_type(wire.outputs, Reconnect)


def reconnect(wire: Wire, touch: tuple[str, str]) -> None:
    wire.outputs += wire.desk.lose("time_regression")
    wire.outputs += wire.desk.connect()
    wire.wait(3_000, *usual(wire, touch))


def go_on(ms: int) -> Callable[[Wire, tuple[str, str]], None]:
    return lambda wire, touch: wire.wait(ms, *usual(wire, touch))


CASES = (
    Case(
        gate=GateId.ORACLE_FRESH,
        trip=lambda wire, touch: wire.wait(9_100, lambda: wire.bbo(touch)),
        recover=go_on(1_200),
    ),
    Case(gate=GateId.MARK_MID_DIVERGENCE, trip=trip_mark, recover=go_on(1_200)),
    Case(gate=GateId.SPREAD_SHOCK, trip=trip_spread, recover=go_on(6_200)),
    Case(gate=GateId.OI_CAP, trip=trip_cap, recover=recover_cap),
    Case(gate=GateId.PARAM_CHANGE, trip=trip_param, recover=recover_param),
    Case(gate=GateId.HALT, trip=trip_halt, recover=recover_halt),
    Case(
        gate=GateId.NO_BBO_UPDATE,
        trip=lambda wire, _: wire.wait(3_200, lambda: wire.ctx(mid=None)),
        recover=go_on(1_200),
    ),
    Case(gate=GateId.TIME_REGRESSION, trip=trip_regression, recover=reconnect),
)


def test_every_gate_has_a_case() -> None:
    assert [case.gate for case in CASES] == list(GateId)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.gate.value)
def test_gate_trips_from_the_wire_blocks_the_next_signal_and_recovers(case: Case) -> None:
    wire = Wire()
    case.trip(wire, QUIET)
    assert wire.changes(case.gate) == [GateStatus.BLOCK]
    wire.outputs = []
    wire.hear(wire.ctx(oracle="100.3", mid=None) if case.gate is GateId.NO_BBO_UPDATE else wire.bbo(CHEAP))
    assert len(of_type(wire.outputs, SignalRaised)) == 1
    assert case.gate.value in blocked_by(wire.outputs)
    assert not of_type(wire.outputs, ActionDecided)
    case.recover(wire, QUIET)
    assert wire.changes(case.gate)[-1] is GateStatus.PASS
    wire.outputs = []
    wire.hear(wire.bbo(CHEAP))
    assert blocked_by(wire.outputs) == ()
    assert of_type(wire.outputs, ActionDecided)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.gate.value)
def test_gate_acts_in_position_as_the_table_says(case: Case) -> None:
    wire = Wire()
    wire.hear(wire.bbo(CHEAP))
    wire.desk.complete()
    held_sz = wire.desk.position().sz
    wire.wait(500, *usual(wire, CHEAP))
    wire.outputs = []
    case.trip(wire, CHEAP)
    assert wire.changes(case.gate) == [GateStatus.BLOCK]
    row = next(row for row in GATES if row.id is case.gate)
    if row.action_in_position != "shrink, then stop":
        assert not wire.exits()
        assert wire.desk.position().sz == held_sz
        return
    (action,) = wire.exits()
    (ticket,) = action.orders
    assert ticket.sz == held_sz
    assert wire.desk.position().exit_reason == f"gate_{case.gate.value}"
    wire.desk.complete()
    wire.wait(1_200, *usual(wire, CHEAP))
    assert not wire.desk.live.positions
    case.recover(wire, CHEAP)
    assert [o.state for o in of_type(wire.outputs, MarketStopChanged)][-1] == "trading"
