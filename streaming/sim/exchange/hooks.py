"""Where faults take hold of the exchange; by default nothing happens.

Rule 1: a hook answers from its arguments and its own state; it never calls the exchange.
Rule 2: every hook is asked once per occasion, in the order of execution: a fault that strikes `count` times is exact.
"""

from decimal import Decimal

from streaming.sim.exchange.events import Json


class ExchangeHooks:
    """Neutral answers; a fault board derives from it and overrides what it breaks.

    `action_type` is the wire type (`order`, `cancel`, …); `user` the lower-case address traded for.
    """

    def drop_before(self, user: str, action_type: str, now_ms: int) -> bool:
        """Tell whether an accepted request is lost: it is never executed and never answered."""
        del user, action_type, now_ms
        return False

    def drop_answer(self, user: str, action_type: str, now_ms: int) -> bool:
        """Tell whether a request is executed but never answered."""
        del user, action_type, now_ms
        return False

    def extra_delay_ms(self, user: str, action_type: str, now_ms: int) -> int:
        """Return what an arriving request waits longer than the rules say before it may enter a block."""
        del user, action_type, now_ms
        return 0

    def answer_delay_ms(self, user: str, action_type: str, now_ms: int) -> int:
        """Return what the answer waits longer than the commit takes."""
        del user, action_type, now_ms
        return 0

    def refuse_action(self, user: str, action_type: str, now_ms: int) -> str | None:
        """Return the text that refuses the whole action (`status: err`) when it is executed."""
        del user, action_type, now_ms
        return None

    def refuse_batch(self, user: str, action_type: str, now_ms: int) -> str | None:
        """Return the one error that a whole batch of orders gets: statuses with a single element."""
        del user, action_type, now_ms
        return None

    def refuse(self, user: str, coin: str, now_ms: int) -> str | None:
        """Return the text that refuses one order; ` asset=<assetId>` is appended unless it has one."""
        del user, coin, now_ms
        return None

    def is_duplicate_cloid_accepted(self, user: str, now_ms: int) -> bool | None:
        """Tell what happens to an order with a cloid its user has used before (HL-01: unknown on the real venue).

        Returns:
            True takes it as a new order, False refuses it; None refuses it only while the other order is live.
        """
        del user, now_ms
        return None

    def is_post_only(self, now_ms: int) -> bool:
        """Tell whether only post-only orders are accepted (the time after a network upgrade)."""
        del now_ms
        return False

    def partial_ratio(self, user: str, coin: str, now_ms: int) -> Decimal | None:
        """Return the part of an arriving order that may match at once; None matches what the book holds."""
        del user, coin, now_ms
        return None

    def reshape_answer(self, user: str, action_type: str, body: Json, now_ms: int) -> Json:
        """Return the body to send instead of `body`: status array shorter, longer, shuffled, or garbage."""
        del user, action_type, now_ms
        return body
