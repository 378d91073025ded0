"""A sidecar of the bench that may trade: agent key, phase, rotation, arming, all by the ways an operator has.

Everything beyond the defaults stands in `settings`; nothing of it makes the path from tick to order shorter.
"""

import asyncio
import os
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from streaming.contracts.rotation import RotationDoc, RotationMarket, encode_rotation
from streaming.core.units import NS_PER_S
from streaming.shell.clock import SystemClock
from streaming.shell.control.client import Client
from streaming.sim.bench.child import ChildFailed
from streaming.sim.bench.market import BenchMarket
from streaming.sim.bench.order import Trader
from streaming.sim.bench.sidecar import Sidecar

PHASE = "micro"
OPERATOR = "bench"
_NTL_MAX = Decimal(100)
_EXPIRES_S = 3_600


def settings(folder: Path, trader: Trader) -> Mapping[str, Any]:
    """Return the configuration of a sidecar that signs for `trader`; its key file is made in `folder`."""
    path = folder / f"{trader.agent}.key"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"{trader.key.hex()}\n")
    return {"account": trader.account, "agent_key_file": str(path)}


async def approve(sidecar: Sidecar, markets: Sequence[BenchMarket], trader: Trader) -> None:
    """Let the sidecar of `trader` trade `markets`.

    Raises:
        ChildFailed: It refused, or nobody answered; with every reason.
    """
    client = Client(sidecar.root, None)
    await _accepted(sidecar, client, "phase", {"phase": PHASE, "reason": "simulated", "operator": OPERATOR})
    refused = await sidecar.put_rotation(encode_rotation(_rotation(markets, trader)))
    if refused:
        raise ChildFailed(f"rotation: expected to be accepted, found: {'; '.join(refused)}")
    await _accepted(sidecar, client, "arm", {"is_armed": True, "operator": OPERATOR})


async def _accepted(sidecar: Sidecar, client: Client, verb: str, body: dict[str, object]) -> None:
    answer = await asyncio.to_thread(client.post, verb, body)
    if not answer.is_accepted:
        raise sidecar.child.failure(f"{verb}: expected to be accepted; refused: {'; '.join(answer.reasons)}")


def _rotation(markets: Sequence[BenchMarket], trader: Trader) -> RotationDoc:
    now_ns = SystemClock().ts_ns()
    return RotationDoc(
        version=1,
        venue="sim",
        account=trader.account,
        as_of_day="2026-01-01",
        created_ts_ns=now_ns,
        expires_ts_ns=now_ns + _EXPIRES_S * NS_PER_S,
        code_version="bench",
        config_hash="",
        markets=tuple(
            RotationMarket(coin=market.coin, ntl_max=_NTL_MAX, rank=rank, score_bps=Decimal(0), reason="bench")
            for rank, market in enumerate(markets, start=1)
        ),
        excluded=(),
    )
