"""A websocket client without a strategy: it is the floor, and it proves the harness.

Runs in our own environment. Usage: tick_bot.py MODE URL, where MODE is
- `echo`: every frame goes back as it came, padded to the length of an order: the floor;
- `sign`: the same after one bare signature, of what does not matter: the floor of whoever signs;
- `stub`: every quote past the last oracle is answered by an unsigned order at the right price;
- `wrong`: the same, every second one at another price, which the harness has to notice.
"""

import asyncio
import json
import sys
from typing import Any

import uvloop
from coincurve import PrivateKey
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect
from typing_extensions import override

PADDING = b" " * 350
"""An order is this much longer than a tick."""
DIGEST = bytes(range(32))


class Echo(WSListener):
    """Sends everything back."""

    @override
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Called by picows."""
        transport.send(WSMsgType.TEXT, frame.get_payload_as_bytes() + PADDING)


class SigningEcho(Echo):
    """Signs, then sends everything back."""

    def __init__(self) -> None:
        """Have a key at hand, as every variant has."""
        self._key = PrivateKey(b"\x01" * 32)

    @override
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Called by picows."""
        self._key.sign_recoverable(DIGEST, hasher=None)
        super().on_ws_frame(transport, frame)


class Stub(WSListener):
    """Answers ticks with orders that nobody signed."""

    def __init__(self, coins: list[str], *, is_wrong: bool) -> None:
        """Trade `coins`, whose asset ids follow from their place."""
        self._assets = {coin: 110_000 + index for index, coin in enumerate(coins)}
        self._oracles: dict[str, float] = {}
        self._step = 1.0 if is_wrong else 0.0
        self._id = 0

    @override
    def on_ws_connected(self, transport: WSTransport) -> None:
        """Called by picows."""
        for coin in self._assets:
            for channel in ("activeAssetCtx", "bbo"):
                what = {"method": "subscribe", "subscription": {"type": channel, "coin": coin}}
                transport.send(WSMsgType.TEXT, json.dumps(what).encode())

    @override
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Called by picows."""
        message: dict[str, Any] = json.loads(frame.get_payload_as_bytes())
        data = message["data"]
        if message["channel"] == "activeAssetCtx":
            self._oracles[data["coin"]] = float(data["ctx"]["oraclePx"])
        elif message["channel"] == "bbo" and data["coin"] in self._oracles:
            bid_px, ask_px = (float(side["px"]) for side in data["bbo"])
            oracle_px = self._oracles[data["coin"]]
            if ask_px < oracle_px * 0.9995 or bid_px > oracle_px * 1.0005:
                is_buy = ask_px < oracle_px
                self._order(transport, self._assets[data["coin"]], is_buy, ask_px if is_buy else bid_px)

    def _order(self, transport: WSTransport, asset_id: int, is_buy: bool, px: float) -> None:
        self._id += 1
        order = {"a": asset_id, "b": is_buy, "p": f"{px + self._step * (self._id % 2):.3f}", "s": "0.62", "r": False}
        action = {"type": "order", "orders": [order | {"t": {"limit": {"tif": "Ioc"}}}], "grouping": "na"}
        request = {"type": "action", "payload": {"action": action, "nonce": self._id}}
        transport.send(WSMsgType.TEXT, json.dumps({"method": "post", "id": self._id, "request": request}).encode())


def listener(mode: str, coins: list[str]) -> WSListener:
    """Return who answers."""
    match mode:
        case "echo":
            return Echo()
        case "sign":
            return SigningEcho()
        case _:
            return Stub(coins, is_wrong=mode == "wrong")


async def main(mode: str, url: str) -> None:
    """Run until the venue ends the connection."""
    coins = sys.stdin.readline().split()
    transport, _ = await ws_connect(lambda: listener(mode, coins), url)
    await transport.wait_disconnected()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(*sys.argv[1:3]))
