"""What the predecessor read wrongly off the wire, and what it wrote wrongly onto it (section 10, A7 and M).

Frames are the recorded ones where they exist; the way is the product's own: bytes in, decision, action out.
"""

import asyncio
import json
from pathlib import Path

import msgspec
import pytest
from aiohttp import web
from core_builders import a_poll, a_spec, a_status, a_timer, an_engine, an_opening, feed, limits_with, of_type, stamps
from info_server import InfoServer
from trading_builders import D, Desk, warm_up

from streaming.core.effects import MarketReadyChanged
from streaming.core.errors import VenueError
from streaming.core.events import FrameMalformed
from streaming.core.registry import RegistryPlan
from streaming.core.state import Readiness
from streaming.hyperliquid.decode import decode_frame
from streaming.shell.execution.wire_action import wire_action
from streaming.shell.info.registry import load_registry
from streaming.shell.info.rest import InfoClient

AAPL = "xyz:AAPL"
SILVER, RIVN = "xyz:SILVER", "xyz:RIVN"


def recorded(folder: Path, channel: str, coin: str) -> bytes:
    """Return the first recorded frame of a channel about a coin."""
    for line in (folder / "wire" / "frames.jsonl").read_bytes().splitlines():
        raw = bytes(msgspec.json.decode(line, type=dict[str, msgspec.Raw])["raw"])
        if f'"channel":"{channel}"'.encode() in raw and f'"coin":"{coin}"'.encode() in raw:
            return raw
    raise AssertionError(f"no recorded {channel} of {coin}")


def test_a7_m1_recorded_frames_make_a_market_ready(shared_data: Path) -> None:
    """READY never came: the context's channel was spelled otherwise, and acks were looked up in the wrong place."""
    acks = (
        recorded(shared_data, "subscriptionResponse", "BTC").replace(b'"BTC"', b'"xyz:AAPL"'),
        recorded(shared_data, "subscriptionResponse", "xyz:SKHY").replace(b"l2Book", b"activeAssetCtx"),
    )
    raws = (
        acks[0],
        acks[1].replace(b"xyz:SKHY", b"xyz:AAPL"),
        recorded(shared_data, "bbo", AAPL),
        recorded(shared_data, "activeAssetCtx", AAPL),
    )
    state = an_engine(a_spec(AAPL))
    feed(state, an_opening(), a_poll(0, a_status(AAPL)))
    outputs = []
    for at_ms, raw in enumerate(raws, start=1):
        assert state.markets[AAPL].readiness is Readiness.WAITING
        outputs += feed(state, decode_frame(raw, generation=1, **stamps(at_ms)))
    outputs += feed(state, a_timer(10))
    assert [(o.coin, o.state) for o in of_type(outputs, MarketReadyChanged)] == [(AAPL, Readiness.READY)]
    assert state.markets[AAPL].mark_px == D("324.19")


def registry_of(server: InfoServer) -> RegistryPlan:
    async def run() -> RegistryPlan:
        async with server.running() as session:
            return await load_registry(InfoClient(server.base_url, session=session), ("xyz",), None)

    return asyncio.run(run())


def a_server_of_two_orders() -> InfoServer:
    """`meta` lists SILVER first, the caps of `perpDexs` are in the order of the alphabet, as at the venue."""
    server = InfoServer()
    text = json.dumps(server.bodies).replace("xyz:ALPHA", SILVER).replace("xyz:GAMMA", RIVN)
    server.bodies = json.loads(text)
    server.bodies["perpDexs"][1]["assetToStreamingOiCap"] = [  # type: ignore[index]
        [coin, "1000000.0"] for coin in ("xyz:BETA", "xyz:GONE", RIVN, SILVER)
    ]
    return server


def test_m11_asset_id_comes_from_meta_never_from_perpdexs_order() -> None:
    """An order for SILVER went to RIVN."""
    plan = registry_of(a_server_of_two_orders())
    asset_ids = {spec.coin: spec.asset_id for spec in plan.specs}
    assert (asset_ids[SILVER], asset_ids[RIVN]) == (110_000, 110_003)
    desk = Desk(SILVER, RIVN, specs=tuple(spec for spec in plan.specs if spec.coin in {SILVER, RIVN}))
    warm_up(desk)
    for coin in (RIVN, SILVER):
        desk.cross(coin)
    for action, coin in zip(desk.actions, (RIVN, SILVER), strict=True):
        sent = json.loads(msgspec.json.encode(wire_action(action)))
        assert [order["a"] for order in sent["orders"]] == [asset_ids[coin]]


def test_m11_without_meta_there_is_no_plan_at_all() -> None:
    """It fell back to the wrong order with a warning."""
    server = a_server_of_two_orders()

    async def fail(_: web.Request) -> web.StreamResponse:
        return web.json_response(None, status=500)

    server.answers["meta"] = fail
    with pytest.raises(VenueError):
        registry_of(server)


def test_p3_whatever_leaves_has_a_size_of_whole_lots_above_the_least_order() -> None:
    """Sizes were floored to the lot after they had been checked, down to zero."""
    for sz_decimals in range(4):
        spec = a_spec(AAPL, sz_decimals=sz_decimals)
        desk = Desk(AAPL, specs=(spec,), limits=limits_with(sizing={"order_ntl_min": D(45), "order_ntl_max": D(50)}))
        warm_up(desk)
        desk.cross(AAPL)
        for action in desk.actions:
            (order,) = json.loads(msgspec.json.encode(wire_action(action)))["orders"]
            assert D(order["s"]) % D(1).scaleb(-sz_decimals) == 0
            assert D(order["s"]) * D(order["p"]) >= desk.limits.sizing.order_ntl_min
        assert len(desk.actions) == (sz_decimals > 1)  # a whole share is too much, four tenths are too little


@pytest.mark.parametrize("bad", [{"sz": "x"}, {"side": "C"}, {"cloid": 7}])
def test_m2_a_frame_with_one_bad_update_is_counted_and_ends_no_connection(bad: dict[str, object]) -> None:
    """One undecodable frame tore the connection down; what it held is asked for instead."""
    good = {"coin": AAPL, "side": "B", "limitPx": "1", "sz": "1", "oid": 1, "timestamp": 1, "origSz": "1"}
    data = [{"order": {**good, **change}, "status": "open", "statusTimestamp": 1} for change in ({}, bad)]
    raw = json.dumps({"channel": "orderUpdates", "data": data}).encode()
    event = decode_frame(raw, generation=1, **stamps(0))
    assert isinstance(event, FrameMalformed)
    state = an_engine(a_spec(AAPL))
    feed(state, an_opening(), event)
    assert (state.malformed_count, state.is_connected) == (1, True)
