"""Signed bodies of `/exchange`, as a client makes them, and a venue of two dexes to send them to."""

from decimal import Decimal
from typing import Any

import msgspec
from sim_market_view import NVDA, START_MS, FakeView, small_universe

from streaming.hyperliquid.signing import action_hash, address_of_key, l1_digest, sign_digest, user_signed_digest
from streaming.sim.exchange.events import Answered, ExchangeEvent, Json
from streaming.sim.exchange.exchange import Accepted, Exchange, Refused
from streaming.sim.exchange.hooks import ExchangeHooks
from streaming.sim.scenario.rules import VenueRules

BLOCK_MS = 68
SETTLED_MS = 600
"""Long enough for any request to be executed and answered."""


class Wallet:
    """A key, its address, and its nonces."""

    def __init__(self, number: int) -> None:
        self.key = bytes(31) + bytes([number])
        self.address = address_of_key(self.key)
        self._nonce = START_MS

    def next_nonce(self) -> int:
        self._nonce += 1
        return self._nonce

    def sign(
        self, action: dict[str, Any], *, nonce: int | None = None, expires_after: int | None = None
    ) -> dict[str, Any]:
        """Return the body of an L1 action on testnet."""
        nonce = self.next_nonce() if nonce is None else nonce
        digest = l1_digest(action_hash(action, nonce, None, expires_after), is_mainnet=False)
        return {**self._body(action, nonce, digest), "expiresAfter": expires_after}

    def sign_user(self, action: dict[str, Any], nonce: int) -> dict[str, Any]:
        """Return the body of a user-signed action, whose own nonce is `nonce`."""
        return self._body(action, nonce, user_signed_digest(action))

    def _body(self, action: dict[str, Any], nonce: int, digest: bytes) -> dict[str, Any]:
        signature = sign_digest(digest, self.key)
        wire = {"r": hex(signature.r), "s": hex(signature.s), "v": signature.v}
        return {"action": action, "nonce": nonce, "signature": wire, "vaultAddress": None}


def order_item(
    is_buy: bool,
    px: str,
    sz: str,
    *,
    tif: str = "Ioc",
    asset: int = 110_000,
    is_reduce_only: bool = False,
    cloid: str | None = None,
) -> dict[str, Any]:
    item = {"a": asset, "b": is_buy, "p": px, "s": sz, "r": is_reduce_only, "t": {"limit": {"tif": tif}}}
    return item if cloid is None else {**item, "c": cloid}


def order_action(*items: dict[str, Any], grouping: Json = "na") -> dict[str, Any]:
    return {"type": "order", "orders": list(items), "grouping": grouping}


class Venue:
    """An exchange on a fake view whose clock a test moves; NVDA has 5 at 190.00/190.02 and 10 behind."""

    def __init__(self, *, hooks: ExchangeHooks | None = None, seed: int = 7, **rules: Json) -> None:
        self.universe = small_universe()
        self.view = FakeView(self.universe)
        self.view.set_book(NVDA, [("190.00", "5"), ("189.99", "10")], [("190.02", "5"), ("190.03", "10")])
        self.rules = msgspec.convert(rules, VenueRules)
        self.exchange = Exchange(self.universe, self.rules, self.view, seed=seed, begin_ms=START_MS, hooks=hooks)
        self.now_ms = START_MS
        self.events: list[ExchangeEvent] = []
        self.run(0)

    def run(self, ms: int) -> list[ExchangeEvent]:
        """Let time pass; returns what happened."""
        self.now_ms += ms
        events = self.exchange.advance(self.now_ms)
        self.events += events
        return events

    def send(self, body: Json) -> int:
        """Hand in a request that must be accepted; returns its ticket."""
        received = self.exchange.receive(body, self.now_ms)
        assert isinstance(received, Accepted), received
        return received.ticket

    def refusal(self, body: Json) -> Refused:
        """Hand in a request that must be refused at once."""
        received = self.exchange.receive(body, self.now_ms)
        assert isinstance(received, Refused), received
        return received

    def answer(self, ticket: int) -> Json:
        """Return the body a ticket was answered with; there must be exactly one."""
        (body,) = [e.body for e in self.events if isinstance(e, Answered) and e.ticket == ticket]
        return body

    def call(self, body: Json) -> Json:
        """Hand in a request, wait, and return its answer."""
        ticket = self.send(body)
        self.run(SETTLED_MS)
        return self.answer(ticket)

    def statuses(self, body: Json) -> list[Json]:
        """The same for an action that is answered item by item."""
        answer = self.call(body)
        assert answer["status"] == "ok", answer
        statuses: list[Json] = answer["response"]["data"]["statuses"]
        return statuses

    def szi(self, wallet: Wallet, coin: str = NVDA) -> Decimal:
        return self.exchange.accounts.of(wallet.address).szi(coin)
