"""The info endpoint: request in, answer out, over REST and over websocket posts.

Rule 1: an answer has the venue's own status, text and content type; every documented type is served or refused as the
venue refuses what it does not know.
Rule 2: market bodies come from `venue.info.markets`, those of a user from `venue.info.users`.
"""

from typing import Any

import msgspec

from streaming.sim.exchange.events import Json
from streaming.sim.exchange.exchange import Exchange
from streaming.sim.venue.hooks import HttpAnswer, VenueHooks
from streaming.sim.venue.info import markets as info_markets
from streaming.sim.venue.info import users as info_users
from streaming.sim.venue.info.markets import Markets
from streaming.sim.venue.info.requests import BadShapeError, NullError
from streaming.sim.venue.limits import item_weight

TEXT_TYPE = "text/plain; charset=utf-8"
BAD_SHAPE = HttpAnswer(422, b"Failed to deserialize the JSON body into the target type", TEXT_TYPE)
BAD_JSON = HttpAnswer(400, b"Failed to parse the request body as JSON", TEXT_TYPE)
BAD_CONTENT_TYPE = HttpAnswer(415, b"Expected request with `Content-Type: application/json`", TEXT_TYPE)
BODY_MISSING = HttpAnswer(408, b"Request Timeout", TEXT_TYPE)
NULL = HttpAnswer(500, b"null")
TOO_MANY = HttpAnswer(429, b"null")
"""The body of a 429 is not documented; the official SDK reads `null` without tripping."""


class Info:
    """Answers info requests as of an instant."""

    def __init__(self, markets: Markets, exchange: Exchange, hooks: VenueHooks | None = None) -> None:
        """Answer from the markets and from the exchange's accounts."""
        self._markets = markets
        self._exchange = exchange
        self._hooks = VenueHooks() if hooks is None else hooks

    def answer(self, request: Json, now_ms: int, ip: str = "") -> tuple[HttpAnswer, int]:
        """Return the answer to a decoded request, and the weight its length costs besides."""
        extra = 0

        def true_answer() -> HttpAnswer:
            nonlocal extra
            try:
                value = self.value(request, now_ms)
            except BadShapeError:
                return BAD_SHAPE
            except NullError:
                return NULL
            extra = item_weight(request["type"], len(value)) if isinstance(value, list) else 0
            return HttpAnswer(200, msgspec.json.encode(value))

        return self._hooks.info(ip, request, true_answer, now_ms), extra

    def value(self, request: Json, now_ms: int) -> Json:
        """Return the JSON value of an answer.

        Raises:
            BadShapeError: No such type, or a field is missing or wrong.
            NullError: The dex is not listed.
        """
        kind = type_of(request)
        of_market = info_markets.BODIES.get(kind)
        if of_market is not None:
            return of_market(self._markets, request, now_ms)
        of_user = info_users.BODIES.get(kind)
        if of_user is None:
            raise BadShapeError
        return of_user(self._exchange, request, now_ms)

    def hours_of(self, request: Json, now_ms: int) -> tuple[str, list[int]]:
        """Return the market and hours to load before this request is answered in full."""
        return info_markets.hours_of(self._markets, request, now_ms) if type_of(request) else ("", [])

    def load(self, coin: str, hours: list[int]) -> None:
        """Generate hours of a market; takes a while, so it belongs into a thread."""
        self._markets.history.load(coin, hours)


def type_of(request: Json) -> str:
    """Return the type of a request, empty if it has none."""
    kind = request.get("type") if isinstance(request, dict) else None
    return kind if isinstance(kind, str) else ""


def post_response(kind: str, inner: Json, answer: HttpAnswer) -> dict[str, Any]:
    """Return the `response` of a websocket post (`info` or `action`): errors quote status and text."""
    if answer.status != 200:
        return {"type": "error", "payload": f"{answer.status} {answer.body.decode(errors='replace')}"}
    body = msgspec.Raw(answer.body)
    return {"type": kind, "payload": {"type": type_of(inner), "data": body} if kind == "info" else body}
