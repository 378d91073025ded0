"""A small client of the simulated venue for tests: signs with our own signing, speaks REST and websocket."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from websockets.sync.client import ClientConnection, connect

from streaming.hyperliquid.signing import action_hash, address_of_key, l1_digest, sign_digest

Json = Any


class VenueClient:
    """One account on a venue; nonces count up from the venue's own time."""

    def __init__(self, base_url: str, key: bytes) -> None:
        self.base_url = base_url
        self.address = address_of_key(key)
        self._key = key
        self._nonce = int(self.info("exchangeStatus")["time"])

    def post(self, path: str, body: Json) -> tuple[int, Json]:
        """Return status and body: JSON where it is, else text."""
        request = urllib.request.Request(
            self.base_url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                status, raw = response.status, response.read()
        except urllib.error.HTTPError as error:
            status, raw = error.code, error.read()
        try:
            return status, json.loads(raw)
        except json.JSONDecodeError:
            return status, raw.decode()

    def info(self, type_: str, **parameters: Json) -> Json:
        return self.post("/info", {"type": type_} | parameters)[1]

    def act(self, action: dict[str, Json]) -> Json:
        """Sign an L1 action and return the body of the answer."""
        self._nonce += 1
        signature = sign_digest(l1_digest(action_hash(action, self._nonce, None, None), is_mainnet=False), self._key)
        return self.post("/exchange", {"action": action, "nonce": self._nonce, "signature": signature.body})[1]

    def order(self, asset: int, is_buy: bool, px: str, sz: str, tif: str = "Gtc", **more: Json) -> Json:
        order = {"a": asset, "b": is_buy, "p": px, "s": sz, "r": False, "t": {"limit": {"tif": tif}}} | more
        return self.act({"type": "order", "orders": [order], "grouping": "na"})

    @contextmanager
    def socket(self) -> Iterator[ClientConnection]:
        with connect(self.base_url.replace("http", "ws") + "/ws", compression=None) as socket:
            socket.recv(timeout=5)  # the greeting is no JSON
            yield socket

    def frames(self, socket: ClientConnection, *wanted: str, timeout_s: float = 10) -> dict[str, Json]:
        """Return the first frame of each wanted channel."""
        found: dict[str, Json] = {}
        while set(wanted) - set(found):
            frame = json.loads(socket.recv(timeout=timeout_s))
            found.setdefault(frame["channel"], frame)
        return found
