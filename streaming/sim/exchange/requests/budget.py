"""The address budget: how many requests an address may send.

Rule 1: an address has 10,000 requests and one more for each USDC it has traded (the volume is weighted already:
    a tenth in growth mode); a batch of n is n requests, failed ones included.
Rule 2: cancels have min(limit + 100,000, 2 x limit) in all.
Rule 3: beyond, one action passes in ten seconds; refused ones neither count nor start the ten seconds again.
Rule 4: reserved requests are taken off what was used.

Source: hyperliquid-protocol.md, section 7, and the official documentation of `userRateLimit`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from streaming.sim.exchange.events import Json
from streaming.sim.exchange.requests import refusals
from streaming.sim.exchange.requests.refusals import Refusal
from streaming.sim.exchange.texts import number_text
from streaming.sim.scenario.rules import LimitRules

REQUEST_PRICE_USD = Decimal("0.0005")
"""What a reserved request costs."""
CANCEL_EXTRA_COUNT = 100_000


@dataclass(slots=True)
class _Usage:
    sent_count: int = 0
    reserved_count: int = 0
    limited_until_ms: int = 0


class Budget:
    """Requests sent and allowed, by address."""

    def __init__(self, rules: LimitRules, volume_of: Callable[[str], Decimal]) -> None:
        """Take `volume_of`: address → weighted volume in USD."""
        self._rules = rules
        self._volume_of = volume_of
        self._usages: dict[str, _Usage] = {}

    def take(self, user: str, count: int, *, is_cancel: bool, now_ms: int) -> Refusal | None:
        """Take the requests of an arriving action, or return why it is refused (it costs nothing then)."""
        usage = self._usages.setdefault(user, _Usage())
        allowed = self.allowed_count(user)
        sent = usage.sent_count - usage.reserved_count + count
        limit = min(allowed + CANCEL_EXTRA_COUNT, 2 * allowed) if is_cancel else allowed
        if self._rules.is_enforced and sent > limit:
            if now_ms < usage.limited_until_ms:
                return Refusal(refusals.too_many_requests(sent, limit, self._volume_of(user)))
            usage.limited_until_ms = now_ms + self._rules.address_limited_period_ms
        usage.sent_count += count
        return None

    def settle(self, user: str, count: int, refusal: Refusal) -> None:
        """Correct what was taken for an action that was refused as a whole in its block: nothing, or several times."""
        usage = self._usages.setdefault(user, _Usage())
        usage.sent_count += count * (refusal.request_factor - 1)

    def reserve(self, user: str, count: int) -> None:
        """Add requests that were paid for."""
        self._usages.setdefault(user, _Usage()).reserved_count += count

    def allowed_count(self, user: str) -> int:
        """Return `nRequestsCap`."""
        return self._rules.address_request_count + int(self._volume_of(user))

    def body(self, user: str) -> Json:
        """Return the body of `userRateLimit`."""
        usage = self._usages.get(user, _Usage())
        used = usage.sent_count - usage.reserved_count
        return {
            "cumVlm": number_text(self._volume_of(user)),
            "nRequestsUsed": max(0, used),
            "nRequestsCap": self.allowed_count(user),
            "nRequestsSurplus": max(0, -used),
        }
