"""The one order that every signing variant makes, and who trades at the bench venue.

The keys are no secret: they trade at a venue that is a process of the bench. Nothing else may ever use them.
"""

import hashlib
from decimal import Decimal
from itertools import count
from typing import NamedTuple

from streaming.core.market import Side
from streaming.hyperliquid.actions import order_action, order_item, post_frame, signed_body
from streaming.hyperliquid.signing import PresignedStore, Signer, address_of_key
from streaming.sim.bench.market import ASSET_BASE

PX, SZ, CLOID = Decimal("80.123"), Decimal("0.62"), "0x" + "1f" * 16
NONCE_BEGIN = 1_790_000_000_000


class Trader(NamedTuple):
    """An account of the bench venue and the key of its agent."""

    account: str
    key: bytes

    @property
    def agent(self) -> str:
        """Address of the key."""
        return address_of_key(self.key)


def trader(name: str) -> Trader:
    """Return the trader of a lane: no two processes share an account."""
    account = hashlib.sha256(f"hip3 bench account {name}".encode()).digest()[:20]
    return Trader(f"0x{account.hex()}", hashlib.sha256(f"hip3 bench agent {name}".encode()).digest())


class OrderMaker:
    """Makes the frame of one IOC order after the other, each with its own nonce, as the sidecar does."""

    def __init__(self, key: bytes, store: PresignedStore | None = None) -> None:
        """Sign with `key`, and with what is ready in `store`."""
        self._signer = Signer(key, is_mainnet=False, store=store)
        self._nonces = count(NONCE_BEGIN)

    def frame(self) -> bytes:
        """Return the post frame of a signed order."""
        nonce = next(self._nonces)
        item = order_item(
            asset_id=ASSET_BASE, side=Side.BUY, px=PX, sz=SZ, is_reduce_only=False, tif="Ioc", cloid=CLOID
        )
        body = signed_body(self._signer, order_action((item,)), nonce=nonce, expires_after_ts_ms=nonce + 3_000)
        return post_frame(nonce, body)
