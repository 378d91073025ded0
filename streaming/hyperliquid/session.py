"""The websocket session without its socket: what to send, when to give up, when to come back.

    connection_opened ──► subscribe frames ──► acks (one retry) ──► data
          ▲                                                          │ silence, no pong, garbage
          └── connection_lost: jittered back-off ◄── Drop ◄──────────┘

Why this module exists: the protocol's rules (acks, keep-alive, silence, back-off, message limits) are decided here from
events and instants alone, so that every one of them is tested without a socket and without sleeping.

Rule 1: the caller carries out the returned actions in order and calls `deadline_passed` at `next_deadline_mono_ns`.
Rule 2: after a `Drop` nothing more is sent on that connection; the caller closes it and calls `connection_lost`.
Rule 3: an event of an older generation changes nothing (I-21, F-09).
Rule 4: never more than 30 connects and 2,000 messages in any minute (I-37).

Source: hyperliquid.gitbook.io, "WebSocket: timeouts and heartbeats", "Rate limits and user limits".
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from random import Random

from streaming.core.budget import WeightWindow
from streaming.core.events import (
    AnyEvent,
    BboUpdated,
    BookUpdated,
    CtxUpdated,
    FrameMalformed,
    SubscriptionAcked,
    TradesReceived,
    UserFrameReceived,
    VenueErrorReceived,
)
from streaming.core.trading.events import FillsReceived, FundingsReceived, OrderUpdatesReceived, TransfersReceived
from streaming.core.units import NS_PER_MS, NS_PER_S
from streaming.hyperliquid import encode
from streaming.hyperliquid.decode import SPOT_CONTEXT
from streaming.hyperliquid.encode import Subscription
from streaming.hyperliquid.limits import CONNECT_COUNT_MAX, MESSAGE_COUNT_MAX, WINDOW_S

__all__ = ["Action", "Drop", "Send", "Session", "Subscription"]

_SUBSCRIBE_SHARE = Decimal("0.95")  # the rest of the message limit stays for pings and posts
_MALFORMED_COUNT_MAX = 5
_MALFORMED_WINDOW_NS = 10 * NS_PER_S
_HOSTILE_DROP_COUNT = 3
_HOSTILE_WINDOW_NS = 300 * NS_PER_S
_REFUSALS = ("Invalid subscription", "Cannot track more than", "Error parsing JSON")
_DATA_EVENTS = frozenset(
    {
        BboUpdated,
        CtxUpdated,
        BookUpdated,
        TradesReceived,
        UserFrameReceived,
        FillsReceived,
        OrderUpdatesReceived,
        FundingsReceived,
        TransfersReceived,
    }
)
OPTIONAL_CHANNELS = frozenset({"l2Book", "trades"})
"""Streams that no gate needs: the first to go when a limit comes near."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send this text frame."""

    frame: bytes


@dataclass(frozen=True, slots=True)
class Drop:
    """Close the connection at once: `ping_timeout`, `data_silence` or `malformed_frames`."""

    reason: str


Action = Send | Drop


@dataclass(slots=True)
class _Waiting:
    # A subscription that was sent and not yet confirmed.
    deadline_ns: int
    is_retry: bool


class Session:
    """State of the connection to one venue, over all its generations."""

    def __init__(  # noqa: PLR0913 - timings, each with its documented default
        self,
        subscriptions: Iterable[Subscription],
        *,
        random: Random,
        ping_idle_s: int = 45,
        pong_timeout_s: int = 10,
        ack_timeout_s: int = 5,
        data_silence_s: int = 60,
        stable_s: int = 60,
        backoff_ms_min: int = 1_000,
        backoff_ms_max: int = 60_000,
    ) -> None:
        """Plan `subscriptions`, which are all sent again on every connection.

        Args:
            subscriptions: Streams in the order in which they are subscribed.
            random: Source of the jitter.
            ping_idle_s: Ping after so long without any frame.
            pong_timeout_s: Drop when nothing at all came so long after a ping.
            ack_timeout_s: Wait for an ack; after one retry the subscription is given up.
            data_silence_s: Drop after so long without market or user data, pongs or not (F-05).
            stable_s: A connection that still speaks at this age resets the back-off.
            backoff_ms_min: First delay.
            backoff_ms_max: No delay is longer, except where the limit of connects asks for it.
        """
        self.generation = 0
        self.sent_count = 0
        self.error_count = 0
        """Frames of the venue's error channel."""
        self.refused_count = 0
        """Of these, refusals of a subscription."""
        self.is_feed_hostile = False
        """Three connections within 5 minutes were dropped for garbage: a human has to look (F-10). Never reset."""
        self._subscriptions = tuple(dict.fromkeys(subscriptions))
        self._random = random
        self._ping_idle_ns = ping_idle_s * NS_PER_S
        self._pong_timeout_ns = pong_timeout_s * NS_PER_S
        self._ack_timeout_ns = ack_timeout_s * NS_PER_S
        self._data_silence_ns = data_silence_s * NS_PER_S
        self._stable_ns = stable_s * NS_PER_S
        self._backoff_ms_min = backoff_ms_min
        self._backoff_ms_max = backoff_ms_max
        self._messages = WeightWindow(MESSAGE_COUNT_MAX, WINDOW_S * NS_PER_S)
        self._attempts_ns: deque[int] = deque(maxlen=CONNECT_COUNT_MAX)
        self._failure_count = 0
        self._malformed_ns: deque[int] = deque(maxlen=_MALFORMED_COUNT_MAX)
        self._garbage_drops_ns: deque[int] = deque(maxlen=_HOSTILE_DROP_COUNT)
        self._is_open = False
        self._opened_ns: int | None = None
        self._last_frame_ns = 0
        self._last_data_ns = 0
        self._pinged_ns: int | None = None
        self._outbox: deque[tuple[bytes, Subscription | None, bool]] = deque()  # frame, whose ack to await, is a retry
        self._waiting: dict[Subscription, _Waiting] = {}  # in the order of their deadlines
        self._given_up: dict[Subscription, None] = {}
        self._is_optional_wanted = True

    @property
    def given_up(self) -> tuple[Subscription, ...]:
        """Subscriptions of this connection that the venue confirmed neither at first nor after the retry."""
        return tuple(self._given_up)

    @property
    def unacked(self) -> tuple[Subscription, ...]:
        """Subscriptions that were sent and are not confirmed yet."""
        return tuple(self._waiting)

    def message_use_ratio(self, now_mono_ns: int) -> Decimal:
        """Return the used share of the venue's limit of sent messages."""
        return self._messages.use_ratio(now_mono_ns)

    def connection_opened(self, now_mono_ns: int) -> list[Action]:
        """Begin a generation and return the frames that subscribe everything again."""
        self.generation += 1
        if not self._attempts_ns:
            self._attempts_ns.append(now_mono_ns)
        self._is_open = True
        self._opened_ns = self._last_frame_ns = self._last_data_ns = now_mono_ns
        self._pinged_ns = None
        self._malformed_ns.clear()
        self._waiting.clear()
        self._given_up.clear()
        self._outbox.clear()
        self._outbox.extend(
            (encode.subscribe(item), item, False) for item in self._subscriptions if self._is_wanted(item)
        )
        return self._flush(now_mono_ns)

    def frame_received(self, event: AnyEvent, now_mono_ns: int) -> list[Action]:
        """Take note of a decoded frame: acks, liveness, garbage."""
        if not self._is_open or getattr(event, "generation", None) != self.generation:
            return []
        self._last_frame_ns = now_mono_ns
        self._pinged_ns = None
        if type(event) in _DATA_EVENTS:
            self._last_data_ns = now_mono_ns
        elif type(event) is SubscriptionAcked:
            self._confirm(event)
        elif type(event) is VenueErrorReceived:
            self.error_count += 1
            self.refused_count += event.text.startswith(_REFUSALS)
        elif type(event) is FrameMalformed and event.reason != SPOT_CONTEXT:
            return self._count_malformed(now_mono_ns)
        return []

    def deadline_passed(self, now_mono_ns: int) -> list[Action]:
        """Do what is due at `now_mono_ns`; calling it early or twice does no harm."""
        if not self._is_open:
            return []
        if self._pinged_ns is not None and now_mono_ns >= self._pinged_ns + self._pong_timeout_ns:
            return self._drop("ping_timeout")
        if self._subscriptions and now_mono_ns >= self._last_data_ns + self._data_silence_ns:
            return self._drop("data_silence")
        self._retry_or_give_up(now_mono_ns)
        actions = self._flush(now_mono_ns)
        if self._pinged_ns is None and now_mono_ns >= self._last_frame_ns + self._ping_idle_ns:
            self._pinged_ns = now_mono_ns
            actions.append(self._send(encode.PING, now_mono_ns))
        return actions

    def next_deadline_mono_ns(self) -> int | None:
        """Return when `deadline_passed` has to be called next; None while there is no connection."""
        if not self._is_open:
            return None
        if self._pinged_ns is None:
            deadline_ns = self._last_frame_ns + self._ping_idle_ns
        else:
            deadline_ns = self._pinged_ns + self._pong_timeout_ns
        if self._subscriptions:
            deadline_ns = min(deadline_ns, self._last_data_ns + self._data_silence_ns)
        if self._waiting:
            deadline_ns = min(deadline_ns, next(iter(self._waiting.values())).deadline_ns)
        if self._outbox:
            deadline_ns = min(deadline_ns, self._messages.next_free_ns(self._last_frame_ns, 1, _SUBSCRIBE_SHARE))
        return deadline_ns

    def connection_lost(self, now_mono_ns: int) -> int:
        """End the connection, or a failed attempt at one; return the ms to wait before the next attempt."""
        self._is_open = False
        # Stable is a connection over which something still came after that time; silence proves nothing.
        if self._opened_ns is not None and self._last_frame_ns >= self._opened_ns + self._stable_ns:
            self._failure_count = 0
        self._opened_ns = None
        # The delay doubles up to 2/3 of the longest one; jitter adds up to half, so that peers never come in step.
        exponent = min(self._failure_count, 16)
        base_ms = min(self._backoff_ms_min << exponent, self._backoff_ms_max * 2 // 3)
        delay_ms = base_ms + self._random.randint(0, base_ms // 2)
        self._failure_count += 1
        attempt_ns = now_mono_ns + delay_ms * NS_PER_MS
        if len(self._attempts_ns) == CONNECT_COUNT_MAX:
            attempt_ns = max(attempt_ns, self._attempts_ns[0] + WINDOW_S * NS_PER_S)
        self._attempts_ns.append(attempt_ns)
        delay_ns = attempt_ns - now_mono_ns
        return -(-delay_ns // NS_PER_MS)

    def resubscribe(self, coin: str, now_mono_ns: int) -> list[Action]:
        """Subscribe every stream of `coin` anew: ended first, so that the venue sends its first value again."""
        if not self._is_open:
            return []
        for item in self._subscriptions:
            if item.coin == coin and self._is_wanted(item):
                self._waiting.pop(item, None)
                self._given_up.pop(item, None)
                self._outbox.append((encode.unsubscribe(item), None, False))
                self._outbox.append((encode.subscribe(item), item, False))
        return self._flush(now_mono_ns)

    def post_sent(self, now_mono_ns: int) -> None:
        """Count a post that was sent beside the session's own messages."""
        self._messages.spend(now_mono_ns, 1)
        self.sent_count += 1

    def keep_optional(self, *, is_wanted: bool, now_mono_ns: int) -> list[Action]:
        """End the streams that no gate needs, or begin them again."""
        if is_wanted is self._is_optional_wanted:
            return []
        self._is_optional_wanted = is_wanted
        if not self._is_open:
            return []
        for item in self._subscriptions:
            if item.channel in OPTIONAL_CHANNELS:
                self._waiting.pop(item, None)
                if is_wanted:
                    self._outbox.append((encode.subscribe(item), item, False))
                else:
                    self._outbox.append((encode.unsubscribe(item), None, False))
        return self._flush(now_mono_ns)

    def _flush(self, now_ns: int) -> list[Action]:
        actions: list[Action] = []
        while self._outbox and self._messages.may_spend(now_ns, 1, _SUBSCRIBE_SHARE):
            frame, awaited, is_retry = self._outbox.popleft()
            if awaited is not None:
                self._waiting.pop(awaited, None)
                self._waiting[awaited] = _Waiting(now_ns + self._ack_timeout_ns, is_retry)
            actions.append(self._send(frame, now_ns))
        return actions

    def _send(self, frame: bytes, now_ns: int) -> Send:
        self._messages.spend(now_ns, 1)
        self.sent_count += 1
        return Send(frame)

    def _is_wanted(self, item: Subscription) -> bool:
        return self._is_optional_wanted or item.channel not in OPTIONAL_CHANNELS

    def _drop(self, reason: str) -> list[Action]:
        self._is_open = False
        return [Drop(reason)]

    def _confirm(self, ack: SubscriptionAcked) -> None:
        for item in (*self._waiting, *self._given_up):
            if item.is_confirmed_by(ack):
                self._waiting.pop(item, None)
                self._given_up.pop(item, None)
                return

    def _retry_or_give_up(self, now_ns: int) -> None:
        due = [(item, state) for item, state in self._waiting.items() if state.deadline_ns <= now_ns]
        for item, state in due:
            del self._waiting[item]
            if state.is_retry:
                self._given_up[item] = None
            else:
                self._outbox.append((encode.subscribe(item), item, True))

    def _count_malformed(self, now_ns: int) -> list[Action]:
        self._malformed_ns.append(now_ns)
        is_full = len(self._malformed_ns) == _MALFORMED_COUNT_MAX
        if not is_full or now_ns - self._malformed_ns[0] > _MALFORMED_WINDOW_NS:
            return []
        self._garbage_drops_ns.append(now_ns)
        if (
            len(self._garbage_drops_ns) == _HOSTILE_DROP_COUNT
            and now_ns - self._garbage_drops_ns[0] <= _HOSTILE_WINDOW_NS
        ):
            self.is_feed_hostile = True
        return self._drop("malformed_frames")
