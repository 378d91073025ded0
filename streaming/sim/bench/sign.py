"""`hip3 bench sign`: from an order's numbers to its signed frame, beside the curve alone and beside the official SDK.

The curve alone, one signature of 32 bytes with a key that is ready, is what nobody can go below who begins to sign when
the order is known. What is signed with a presignature has done that part before; what that took stands beside it.
"""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from coincurve import PrivateKey

from streaming.shell.keys.presignatures import Presignatures
from streaming.sim.bench.child import Child, peer_client, started
from streaming.sim.bench.order import CLOID, NONCE_BEGIN, PX, SZ, OrderMaker, trader
from streaming.sim.bench.statistic import Measure, calls_of, measured_in_turns, ratio

CALLS = 200
CALLS_DEFAULT_SDK = 4
"""Milliseconds each: a turn of it must not take longer than the others together."""
_DIGEST = bytes(range(32))


def bench_sign(peers: Path | None, *, rounds: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Measure `rounds` turns of every variant.

    Args:
        peers: Folder of the peers' environments; None measures without them.
        rounds: Turns of each variant.
        tell: Receives progress.

    Raises:
        ConfigError: An environment is not there.
        ChildFailed: A peer did not answer.
    """
    secret = trader("sign").key
    key = PrivateKey(secret)
    variants: dict[str, tuple[Measure, int]] = {
        "ours_a": (calls_of(OrderMaker(secret).frame), CALLS),
        "ecdsa": (calls_of(partial(key.sign_recoverable, _DIGEST, hasher=None)), CALLS),
        "ours_b": (calls_of(OrderMaker(secret).frame), CALLS),
        "ours_presigned": (_presigned(secret), CALLS),
        "presignature": (_presigning(secret), CALLS),
    }
    with ExitStack() as stack:
        if peers is not None:
            for name, environment, calls in (
                ("sdk_coincurve", "sdk-coincurve", CALLS),
                ("sdk_default", "sdk", CALLS_DEFAULT_SDK),
            ):
                child = stack.enter_context(started(name, peer_client(peers, environment, "sdk_sign.py")))
                child.say(f"{secret.hex()} {PX} {SZ} {CLOID} {NONCE_BEGIN}")
                variants[name] = (partial(_asked, child), calls)
        us = measured_in_turns(variants, rounds, lambda done: tell(f"sign: {done} of {rounds} rounds"))
    ours = (us["ours_a"] + us["ours_b"]) / 2
    result: dict[str, Any] = {
        "sign_over_ecdsa": ratio(ours, us["ecdsa"]),
        "presigned_over_ecdsa": ratio(us["ours_presigned"], us["ecdsa"]),
        "aa_ratio": ratio(us["ours_a"], us["ours_b"]),
    }
    for name in ("sdk_coincurve", "sdk_default"):
        if name in us:
            result[f"{name}_over_ours"] = ratio(us[name], ours)
    return result | {"us": {name: round(value, 3) for name, value in us.items()}, "rounds": rounds}


def _presigned(secret: bytes) -> Measure:
    """Return the measure of orders whose signatures were begun before the time runs."""
    store = Presignatures(secret, CALLS)
    frames = calls_of(OrderMaker(secret, store).frame)

    def measure(count: int) -> int:
        while len(store) < count:
            store.prepare()
        return frames(count)

    return measure


def _presigning(secret: bytes) -> Measure:
    """Return the measure of beginning a signature."""

    def measure(count: int) -> int:
        return calls_of(Presignatures(secret, count).prepare)(count)

    return measure


def _asked(child: Child, count: int) -> int:
    """Let a child make so many orders; returns the nanoseconds that it says it took."""
    child.say(str(count))
    return int(child.hear())
