"""`hip3 bench decode`: a frame to our event, beside what other bots make of it.

Ours ends in exact numbers, checked names and stamps; the others end in dictionaries of strings, with that work to come.
Every call gets another frame, as on a socket: numbers that come again are found again, new ones are made.
"""

import json
from collections.abc import Callable
from functools import partial
from itertools import cycle
from typing import Any

import msgspec

from streaming.hyperliquid.decode import decode_frame
from streaming.sim.bench.market import BenchMarket
from streaming.sim.bench.statistic import Measure, calls_of, measured_in_turns, ratio
from streaming.sim.bench.walk import Walk

CALLS = 2_000
MARKET_COUNT = 200
FRAME_COUNT = 20_000
_NOW_MS = 1_790_000_000_000


def bench_decode(*, rounds: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Measure `rounds` turns of every variant on a bbo and on a context."""
    walked = Walk(tuple(BenchMarket(index) for index in range(MARKET_COUNT)), seed=4).frames(FRAME_COUNT)
    frames = {
        "bbo": [frame.at(_NOW_MS) for frame in walked if not frame.is_ctx],
        "ctx": [frame.at(_NOW_MS) for frame in walked if frame.is_ctx],
    }
    variants: dict[str, tuple[Measure, int]] = {}
    ours = partial(decode_frame, generation=1, recv_mono_ns=1, recv_ts_ns=1)
    for name, raws in frames.items():
        following = cycle(raws).__next__  # shared: a variant that met its twin's frames would find their numbers cached
        variants |= {
            f"{name}_ours_a": (_decoding(ours, following), CALLS),
            f"{name}_json_loads": (_decoding(json.loads, following), CALLS),
            f"{name}_msgspec_untyped": (_decoding(msgspec.json.Decoder().decode, following), CALLS),
            f"{name}_ours_b": (_decoding(ours, following), CALLS),
        }
    us = measured_in_turns(variants, rounds, lambda done: tell(f"decode: {done} of {rounds} rounds"))
    result: dict[str, Any] = {}
    for name in frames:
        ours_us = (us[f"{name}_ours_a"] + us[f"{name}_ours_b"]) / 2
        result[f"{name}_json_loads_over_ours"] = ratio(us[f"{name}_json_loads"], ours_us)
        result[f"{name}_msgspec_untyped_over_ours"] = ratio(us[f"{name}_msgspec_untyped"], ours_us)
        result[f"{name}_aa_ratio"] = ratio(us[f"{name}_ours_a"], us[f"{name}_ours_b"])
    sizes = {name: len(raws[0]) for name, raws in frames.items()}
    return result | {"us": {name: round(value, 3) for name, value in us.items()}, "bytes": sizes, "rounds": rounds}


def _decoding(decode: Callable[[bytes], object], following: Callable[[], bytes]) -> Measure:
    """Return the measure of decoding one frame after the other."""
    return calls_of(lambda: decode(following()))
