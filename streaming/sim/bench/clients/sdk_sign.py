"""The official SDK makes signed orders and says how long that took: all of `Exchange.order` but HTTP.

Runs in an environment of the SDK. First line of stdin: KEY PX SZ CLOID NONCE; each further line: how many orders.
"""

import json
import sys
import time

import eth_account  # type: ignore[import-not-found, unused-ignore]
from hyperliquid.utils.signing import (  # type: ignore[import-not-found]
    order_request_to_order_wire,
    order_wires_to_order_action,
    sign_l1_action,
)
from hyperliquid.utils.types import Cloid  # type: ignore[import-not-found]


def main() -> None:
    """Serve until stdin ends."""
    key, px, sz, cloid, begin = sys.stdin.readline().split()
    wallet = eth_account.Account.from_key(key)
    nonce = int(begin)

    def make() -> str:
        request = {
            "coin": "xyz:ADA",
            "is_buy": True,
            "sz": float(sz),
            "limit_px": float(px),
            "order_type": {"limit": {"tif": "Ioc"}},
            "reduce_only": False,
            "cloid": Cloid.from_str(cloid),
        }
        action = order_wires_to_order_action([order_request_to_order_wire(request, 110_000)], None, "na")
        signature = sign_l1_action(wallet, action, None, nonce, nonce + 3_000, False)
        payload = {"action": action, "nonce": nonce, "signature": signature, "vaultAddress": None}
        return json.dumps(payload | {"expiresAfter": nonce + 3_000})

    for line in sys.stdin:
        begin_ns = time.perf_counter_ns()
        for _ in range(int(line)):
            nonce += 1
            make()
        sys.stdout.write(f"{time.perf_counter_ns() - begin_ns}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
