"""The official SDK's websocket against a venue. Prints one JSON object: frames by channel and everything unexpected.

Runs in `.cache/peers/sdk`, never in our own environment. Usage: sdk_stream.py BASE_URL SECONDS
"""

import json
import logging
import sys
import threading
import time
from collections import Counter

import eth_account
from hyperliquid.exchange import Exchange
from hyperliquid.info import Info

url, seconds = sys.argv[1], float(sys.argv[2])
coins = ["xyz:NVDA", "xyz:TSLA", "xyz:GOLD"]
wallet = eth_account.Account.create()
user = wallet.address
logs: list[str] = []


class Keep(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        logs.append(record.getMessage()[:200])


logging.getLogger().addHandler(Keep(level=logging.WARNING))
info = Info(url, perp_dexs=["", "xyz"])
exchange = Exchange(wallet, url, perp_dexs=["", "xyz"])
counts: Counter[str] = Counter()
first: dict[str, object] = {}
problems: list[str] = []
lock = threading.Lock()
socket = info.ws_manager.ws
socket.on_error = lambda _ws, error: problems.append(f"error {error}")
socket.on_close = lambda _ws, code, text: problems.append(f"closed {code} {text}") if not is_over.is_set() else None
is_over = threading.Event()


def heard(message: dict) -> None:
    with lock:
        counts[message["channel"]] += 1
        first.setdefault(message["channel"], message["data"])


def listen_and_trade() -> tuple[list[object], float]:
    for coin in coins:
        for type_ in ("bbo", "l2Book", "trades", "activeAssetCtx"):
            info.subscribe({"type": type_, "coin": coin}, heard)
        info.subscribe({"type": "candle", "coin": coin, "interval": "1m"}, heard)
    info.subscribe({"type": "allMids"}, heard)
    for type_ in ("userEvents", "userFills", "orderUpdates", "userFundings", "userNonFundingLedgerUpdates"):
        info.subscribe({"type": type_, "user": user}, heard)
    info.subscribe({"type": "activeAssetData", "user": user, "coin": coins[0]}, heard)
    begin = time.monotonic()
    trades = []
    while True:
        trades += [exchange.market_open(coins[0], True, 0.5), exchange.market_close(coins[0])]
        left = seconds - (time.monotonic() - begin)
        if left <= 0:
            time.sleep(2.0)
            return trades, round(time.monotonic() - begin, 1)
        time.sleep(min(20.0, left))


try:
    trades, lasted_s = listen_and_trade()
finally:
    # The SDK's threads keep a process alive that has failed.
    is_over.set()
    info.disconnect_websocket()
result = {"counts": counts, "first": first, "problems": problems, "logs": logs, "trades": trades, "user": user}
print(json.dumps(result | {"seconds": lasted_s}))
