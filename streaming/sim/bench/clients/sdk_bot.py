"""A bot as the official SDK's examples write it: callbacks of its websocket, orders over HTTP.

Runs in an environment of the SDK. Usage: sdk_bot.py BASE_URL; first line of stdin: KEY ACCOUNT COIN...
"""

import os
import sys
from typing import Any

import eth_account  # type: ignore[import-not-found, unused-ignore]
from hyperliquid.exchange import Exchange  # type: ignore[import-not-found]
from hyperliquid.info import Info  # type: ignore[import-not-found]

EDGE = 0.0005
IOC = {"limit": {"tif": "Ioc"}}


def main() -> None:
    """Trade until it is ended."""
    url = sys.argv[1]
    key, account, *coins = sys.stdin.readline().split()
    dexes = ["", "xyz"]
    exchange = Exchange(eth_account.Account.from_key(key), url, account_address=account, perp_dexs=dexes)
    info = Info(url, perp_dexs=dexes)
    oracles: dict[str, float] = {}

    def on_ctx(message: dict[str, Any]) -> None:
        oracles[message["data"]["coin"]] = float(message["data"]["ctx"]["oraclePx"])

    def on_bbo(message: dict[str, Any]) -> None:
        data = message["data"]
        coin, (bid, ask) = data["coin"], data["bbo"]
        oracle_px = oracles.get(coin)
        if oracle_px is None or bid is None or ask is None:
            return
        bid_px, ask_px = float(bid["px"]), float(ask["px"])
        if ask_px < oracle_px * (1 - EDGE):
            exchange.order(coin, True, round(50 / ask_px, 2), ask_px, IOC)
        elif bid_px > oracle_px * (1 + EDGE):
            exchange.order(coin, False, round(50 / bid_px, 2), bid_px, IOC)

    for coin in coins:
        info.subscribe({"type": "activeAssetCtx", "coin": coin}, on_ctx)
        info.subscribe({"type": "bbo", "coin": coin}, on_bbo)
    info.ws_manager.join()
    os._exit(0)  # the venue is gone; another thread of the SDK would sleep on


if __name__ == "__main__":
    main()
