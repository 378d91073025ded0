"""Frames that we send to the venue, as bytes.

Rule: one subscription a frame; the same object subscribes and unsubscribes (arrays of coins are refused by the venue).

Source: hyperliquid.gitbook.io, "WebSocket" and "WebSocket post requests".
"""

import msgspec

from streaming.core.events import SubscriptionAcked

PING = b'{"method":"ping"}'


class Subscription(msgspec.Struct, frozen=True, gc=False):
    """One stream: `channel` is the wire's `type`; market streams name a coin, user streams a user."""

    channel: str
    coin: str = ""
    fast: bool = False
    user: str = ""

    def wire(self) -> dict[str, object]:
        """Return the object as the venue wants it: keys without a value are left out."""
        keys: dict[str, object] = {"type": self.channel}
        if self.coin:
            keys["coin"] = self.coin
        if self.fast:
            keys["fast"] = True
        if self.user:
            keys["user"] = self.user
        return keys

    def is_confirmed_by(self, ack: SubscriptionAcked) -> bool:
        """Tell whether `ack`, which the venue normalises and completes, contains everything that was asked for."""
        return (
            self.channel == ack.channel
            and self.coin == ack.coin
            and self.fast == ack.is_fast
            and (self.user.lower() == ack.user or not self.user)
        )


def subscribe(subscription: Subscription) -> bytes:
    """Return the frame that starts a stream."""
    return msgspec.json.encode({"method": "subscribe", "subscription": subscription.wire()})


def unsubscribe(subscription: Subscription) -> bytes:
    """Return the frame that ends a stream."""
    return msgspec.json.encode({"method": "unsubscribe", "subscription": subscription.wire()})


def post_info(request_id: int, payload: dict[str, object]) -> bytes:
    """Return an info request over the websocket; `request_id` comes back in the answer."""
    request = {"type": "info", "payload": payload}
    return msgspec.json.encode({"method": "post", "id": request_id, "request": request})
