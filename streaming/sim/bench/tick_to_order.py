"""`hip3 bench tick-to-order`: from a crossing tick on the socket to a signed order on the socket, both stamped here.

Rule 1: every variant takes part in the same run, a few ticks at a time; the sidecar takes part twice (A/A).
Rule 2: the floor is the fastest websocket client that pip installs, sending each tick back and doing nothing.
Rule 3: a second floor makes one bare signature first: what a client that begins to sign with the tick can not go below.
The factor of a peer over either floor is the most that such a client, or any, could reach over that peer here.
Rule 4: a run with an order that answers no tick, or with the sidecar below the floor, is no measurement: it says why.
"""

import asyncio
import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from random import Random
from typing import Any

from streaming.sim.bench.lane import Lane
from streaming.sim.bench.pairing import total
from streaming.sim.bench.statistic import NotComparable, quantile, ratio

TURN_TICKS = 5
FLOOR = "floor"
SIGNED_FLOOR = "floor_signed"
OURS = ("ours_a", "ours_b")
PEERS = ("sdk_coincurve", "sdk_default")
BREATH_S = 0.02
"""Between two lanes everybody is awake for so long: a sidecar that stood still for 250 ms takes no entries for 2 s."""
LOST_SHARE = 100
"""One tick in so many may find no order; more is a client that was not asked about what it is measured for."""
_SEED = 5
_COUNTS = ("wrong", "lost", "late")


async def measure(
    lanes: Sequence[Lane],
    *,
    count: int,
    warm_up_count: int,
    rate_per_s: float,
    is_venue_alone: bool,
    tell: Callable[[str], None],
) -> None:
    """Send `count` counted ticks to every lane, in turns.

    Args:
        lanes: Their clients are connected and may trade.
        count: Ticks a lane, those of the warm-up apart.
        warm_up_count: Ticks a lane before that.
        rate_per_s: Most ticks a second a lane: the sidecar's own budget of actions has to last.
        is_venue_alone: Nobody else wants this process's core.
        tell: Receives progress.

    Raises:
        ChildFailed: A client would not trade.
        NotComparable: A lane answered no tick of the warm-up: the rest of the run would be waiting.
    """
    turns = partial(_turns, lanes, rate_per_s=rate_per_s, is_venue_alone=is_venue_alone)
    with _without_collections():
        await turns(warm_up_count, lambda _: None)
        for lane in lanes:
            if warm_up_count and not lane.pairing.latencies_us:
                raise NotComparable(f"{lane.name}: expected orders, found none for {warm_up_count} ticks that crossed")
            lane.pairing.forget_samples()
        await turns(count, lambda done: tell(f"tick-to-order: {done} of {count} ticks a lane"))


def result_of(lanes: Sequence[Lane]) -> dict[str, Any]:
    """Return ratios, raw figures and whatever speaks against them."""
    samples = {lane.name: lane.pairing.latencies_us for lane in lanes}
    ours = [sample for name in OURS for sample in samples.get(name, ())]
    counts = {lane.name: lane.pairing.counts() | {"unsigned": lane.unsigned_count()} for lane in lanes}
    p50 = {name: quantile(values, 0.5) for name, values in samples.items() if values}
    p99 = {name: quantile(values, 0.99) for name, values in samples.items() if values}
    result: dict[str, Any] = {}
    if ours and FLOOR in p50:
        result["p50_over_floor"] = ratio(quantile(ours, 0.5), p50[FLOOR])
        result["p99_over_floor"] = ratio(quantile(ours, 0.99), p99[FLOOR])
    for name in PEERS:
        if ours and name in p50:
            result[f"{name}_over_ours"] = ratio(p50[name], quantile(ours, 0.5))
        for floor in (FLOOR, SIGNED_FLOOR):
            if floor in p50 and name in p50:
                result[f"{name}_over_{floor}"] = ratio(p50[name], p50[floor])
    if all(name in p50 for name in OURS):
        result["aa_ratio"] = ratio(p50[OURS[0]], p50[OURS[1]])
    result |= {name: total(list(counts.values()), name) for name in (*_COUNTS, "unsigned")}
    result["p50_us"] = {name: round(value, 1) for name, value in p50.items()}
    result["p99_us"] = {name: round(value, 1) for name, value in p99.items()}
    result["n"] = {name: len(values) for name, values in samples.items()}
    result["lanes"] = counts
    result["problems"] = list(_problems(result, samples))
    return result


def _problems(result: dict[str, Any], samples: dict[str, list[float]]) -> Iterator[str]:
    for name, values in samples.items():
        if not values:
            yield f"{name}: expected samples, found none"
        elif (lost := result["lanes"][name]["lost"]) * LOST_SHARE > len(values):
            yield f"{name}: expected an order for every tick, found {lost} without: what held it back is in no figure"
    if result["wrong"]:
        yield f"expected every order to answer its tick, found {result['wrong']} that do not"
    if result["unsigned"]:
        yield f"expected every order to be signed by its lane's key, found {result['unsigned']} that are not"
    for name, value in result["p50_us"].items():
        if name != FLOOR and FLOOR in result["p50_us"] and value < result["p50_us"][FLOOR]:
            yield f"{name}: expected a p50 above the floor's, found {value} us: the harness is wrong"


async def _turns(
    lanes: Sequence[Lane], count: int, on_done: Callable[[int], None], *, rate_per_s: float, is_venue_alone: bool
) -> None:
    random, order, done = Random(_SEED), list(lanes), 0  # noqa: S311 - reproducible, no secret
    loop = asyncio.get_running_loop()
    while done < count:
        ticks = min(TURN_TICKS, count - done)
        end_s = loop.time() + ticks / rate_per_s
        random.shuffle(order)
        for lane in order:
            await lane.ready()
        for lane in order:
            for other in order:
                if other is not lane:
                    other.rest()
            await lane.turn(ticks, is_venue_alone=is_venue_alone)
            for other in order:
                other.wake()
            await asyncio.sleep(BREATH_S)
        done += ticks
        on_done(done)
        await asyncio.sleep(max(0.0, end_s - loop.time()))


@contextmanager
def _without_collections() -> Iterator[None]:
    """Keep the collector of this process, which holds both stamps, out of the figures."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
