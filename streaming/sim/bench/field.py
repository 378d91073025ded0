"""Who takes part in `tick-to-order`: every lane with its client, started, connected and allowed to trade."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from streaming.sim.bench.child import own_client, peer_client, started
from streaming.sim.bench.core import Cores
from streaming.sim.bench.lane import Lane
from streaming.sim.bench.market import BenchMarket
from streaming.sim.bench.order import trader
from streaming.sim.bench.sidecar import running_sidecar
from streaming.sim.bench.tick_to_order import FLOOR, OURS, PEERS, SIGNED_FLOOR, measure, result_of
from streaming.sim.bench.trading import approve, settings

JOIN_S = 30.0
_ENVIRONMENTS = {"sdk_coincurve": "sdk-coincurve", "sdk_default": "sdk"}


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is measured."""

    count: int
    """Ticks a lane."""
    market_count: int
    rate_per_s: float
    """Most ticks a second a lane."""
    pause_s: float
    """Quiet time before each tick."""
    peers: Path | None
    """Folder of the peers' environments; None measures without them."""
    answer_s: float = 0.25
    """How long an order is waited for."""
    warm_up_count: int = 20
    """Ticks a lane before those that count."""
    stub: str = ""
    """Mode of `tick_bot.py` that takes the sidecar's place, to prove the harness; empty measures the sidecar."""


async def bench_tick_to_order(plan: Plan, tell: Callable[[str], None]) -> dict[str, Any]:
    """Start everybody, measure, end everybody.

    Raises:
        ConfigError: A peer's environment is not there.
        ChildFailed: A client did not start, did not connect, or may not trade.
    """
    markets = [BenchMarket(index) for index in range(plan.market_count)]
    cores = Cores()
    async with AsyncExitStack() as stack:
        with cores.leave_room():
            lanes = await _join(stack, markets, plan)
        tell(f"tick-to-order: {', '.join(lane.name for lane in lanes)} are connected")
        with cores.measuring():
            await measure(
                lanes,
                count=plan.count,
                warm_up_count=plan.warm_up_count,
                rate_per_s=plan.rate_per_s,
                is_venue_alone=cores.is_venue_alone,
                tell=tell,
            )
    setting = {"market_count": plan.market_count, "pause_ms": plan.pause_s * 1e3}
    return result_of(lanes) | setting | {"is_venue_alone": cores.is_venue_alone}


async def _join(stack: AsyncExitStack, markets: Sequence[BenchMarket], plan: Plan) -> list[Lane]:
    folder = Path(stack.enter_context(TemporaryDirectory(prefix="hip3-bench-")))
    lanes = [
        await _client(stack, name, markets, own_client("tick_bot.py"), mode, plan)
        for name, mode in ((FLOOR, "echo"), (SIGNED_FLOOR, "sign"))
    ]
    for name in OURS:
        if plan.stub:
            lanes.append(await _client(stack, name, markets, own_client("tick_bot.py"), plan.stub, plan))
        else:
            lanes.append(await _sidecar(stack, folder, name, markets, plan))
    if plan.peers is not None:
        for name in PEERS:
            words = peer_client(plan.peers, _ENVIRONMENTS[name], "sdk_bot.py")
            lanes.append(await _client(stack, name, markets, words, "", plan))
    return lanes


async def _client(
    stack: AsyncExitStack, name: str, markets: Sequence[BenchMarket], words: Sequence[str], mode: str, plan: Plan
) -> Lane:
    """Start a client that subscribes bbo and context of every market, or nothing if it only sends back."""
    is_sdk, is_echo = not mode, mode in {"echo", "sign"}
    who = trader(name)
    lane = Lane(name, markets, who, pause_s=plan.pause_s, answer_s=plan.answer_s, is_signed=is_sdk, is_echo=is_echo)
    port = await stack.enter_async_context(lane.venue.serving())
    place = [f"http://127.0.0.1:{port}"] if is_sdk else [mode, f"ws://127.0.0.1:{port}/ws"]
    child = stack.enter_context(started(name, [*words, *place]))
    coins = " ".join(market.coin for market in markets)
    child.say(f"0x{who.key.hex()} {who.account} {coins}" if is_sdk else coins)
    try:
        async with asyncio.timeout(JOIN_S):
            await lane.venue.joined(0 if is_echo else 2 * len(markets))
    except TimeoutError:
        raise child.failure(f"expected it to subscribe within {JOIN_S:g} s") from None
    lane.served_by(child)
    return lane


async def _sidecar(stack: AsyncExitStack, folder: Path, name: str, markets: Sequence[BenchMarket], plan: Plan) -> Lane:
    """Start a sidecar and let it trade; its gates have seen enough quotes when this returns."""
    who = trader(name)
    lane = Lane(name, markets, who, pause_s=plan.pause_s, answer_s=plan.answer_s, is_kept_fresh=True)
    port = await stack.enter_async_context(lane.venue.serving())
    sidecar = await stack.enter_async_context(running_sidecar(folder, name, port, settings(folder, who)))
    await sidecar.ready(len(markets))
    await approve(sidecar, markets, who)
    await sidecar.ready_to_trade()
    await lane.settle()
    lane.served_by(sidecar.child, sidecar.open_for_entries)
    return lane
