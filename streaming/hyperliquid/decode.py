"""One websocket frame in, one core event out; whatever the frame is.

Why this module exists: it is the seam across which the venue's bytes become our words. Nothing hostile passes it.

Rule 1: `decode_frame` never raises. What can not be read is `FrameMalformed` with a short, stable reason (F-10, F-12).
Rule 2: unknown fields are ignored, unknown channels are `SessionFrameReceived`, wrong types are malformed (F-11).
Rule 3: text of the venue that goes on (error texts, unknown channels) is cut and holds printable ASCII only (I-35).
"""

import re
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise

import msgspec

from streaming.core.events import (
    AnyEvent,
    BboUpdated,
    BookLevel,
    BookUpdated,
    CtxUpdated,
    FrameMalformed,
    SessionFrameReceived,
    SubscriptionAcked,
    Trade,
    TradesReceived,
    VenueErrorReceived,
)
from streaming.core.trading.events import ActionAnswered
from streaming.hyperliquid import user_frames, wire, wire_user
from streaming.hyperliquid.answers import answer_of_body, answer_of_error_text, answer_of_post
from streaming.hyperliquid.number import WireNumberError, positive_decimal, px_decimal, statistic, sz_rounded_up
from streaming.hyperliquid.refusals import TEXT_LENGTH_MAX, printable

__all__ = ["SPOT_CONTEXT", "answer_of_body", "decode_frame", "printable"]

SPOT_CONTEXT = "spot_context"
"""`FrameMalformed.reason` of a context of a spot market: its `coin` has to be dropped."""

GREETING = b"Websocket connection established."
_ALREADY_SUBSCRIBED = "Already subscribed: "
_FAST_LEVEL_COUNT_MAX = 5
_CHANNEL_LENGTH_MAX = 32

_AnyFrame = wire.PublicFrame | wire_user.AccountFrame
_decode = msgspec.json.Decoder(_AnyFrame).decode
_decode_envelope = msgspec.json.Decoder(wire.Envelope).decode
_decode_subscription = msgspec.json.Decoder(wire.AckedSubscription).decode
_is_name = re.compile(r"[A-Za-z0-9:._*?-]{1,32}", re.ASCII).fullmatch
_is_user = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII).fullmatch
_is_channel = re.compile(r"[A-Za-z0-9_]{1,32}", re.ASCII).fullmatch
_KNOWN_CHANNELS = frozenset(str(frame.__struct_config__.tag) for frame in _AnyFrame.__args__)


class _Refused(ValueError):
    """A frame of the right shape holds a value that can not be."""


def decode_frame(raw: bytes | str, *, generation: int, recv_mono_ns: int, recv_ts_ns: int) -> AnyEvent:
    """Return the one event a frame means; never raises.

    Args:
        raw: The frame as received, text or binary.
        generation: Number of the connection it came from.
        recv_mono_ns: CLOCK_BOOTTIME at receipt.
        recv_ts_ns: Our wall clock at receipt, UTC.

    Source:
        hyperliquid.gitbook.io, "WebSocket: subscriptions"; live probes of 2026-09-24.
    """
    try:
        frame = _decode(raw)
        if type(frame) is wire.BboFrame:
            return _bbo(frame.data, generation, recv_mono_ns, recv_ts_ns)
        return _CONVERTERS[type(frame)](frame, generation, recv_mono_ns, recv_ts_ns)
    except (_Refused, WireNumberError) as refusal:
        channel, reason = _channel_of(raw)[0], str(refusal)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as failure:
        channel, reason = _channel_of(raw)
        if channel.startswith("unknown:") or channel == "greeting":
            return SessionFrameReceived(
                recv_mono_ns=recv_mono_ns, recv_ts_ns=recv_ts_ns, generation=generation, channel=channel
            )
        reason = reason or _shape_reason(failure)
    return FrameMalformed(
        recv_mono_ns=recv_mono_ns, recv_ts_ns=recv_ts_ns, generation=generation, channel=channel, reason=reason
    )


def _channel_of(raw: bytes | str) -> tuple[str, str]:
    # The slow path: a frame that the typed decoder refused. Returns (channel, why not even that could be told).
    if raw in (GREETING, GREETING.decode()):
        return "greeting", ""
    try:
        channel = _decode_envelope(raw).channel
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as failure:
        return "unknown", _envelope_reason(failure)
    if channel in _KNOWN_CHANNELS:
        return channel, ""
    return "unknown:" + (channel if _is_channel(channel) else printable(channel, _CHANNEL_LENGTH_MAX)), ""


def _envelope_reason(failure: Exception) -> str:
    if isinstance(failure, RecursionError):
        return "nested too deeply"
    if isinstance(failure, UnicodeError):
        return "not UTF-8"
    return "no channel" if isinstance(failure, msgspec.ValidationError) else "not JSON"


def _shape_reason(failure: Exception) -> str:
    # msgspec names the place: "Expected `str`, got `int` - at `$.data.bbo[0].px`". A key may be hostile text.
    if isinstance(failure, msgspec.MsgspecError):
        return "wrong shape: " + printable(str(failure), 120)
    return _envelope_reason(failure)


@lru_cache(maxsize=4_096)
def _name(text: str) -> str:
    if _is_name(text) is None:
        raise _Refused("coin is no valid name")
    return text


def _bbo(data: wire.Bbo, generation: int, recv_mono_ns: int, recv_ts_ns: int) -> BboUpdated:
    bid, ask = data.bbo
    return BboUpdated(
        recv_mono_ns=recv_mono_ns,
        recv_ts_ns=recv_ts_ns,
        coin=_name(data.coin),
        generation=generation,
        venue_ts_ms=data.time,
        bid_px=None if bid is None else px_decimal(bid.px),
        bid_sz=None if bid is None else positive_decimal(bid.sz),
        ask_px=None if ask is None else px_decimal(ask.px),
        ask_sz=None if ask is None else positive_decimal(ask.sz),
    )


def _ctx(frame: wire.CtxFrame, generation: int, recv_mono_ns: int, recv_ts_ns: int) -> CtxUpdated:
    ctx = frame.data.ctx
    impact = ctx.impact_pxs
    return CtxUpdated(
        recv_mono_ns=recv_mono_ns,
        recv_ts_ns=recv_ts_ns,
        coin=_name(frame.data.coin),
        generation=generation,
        oracle_px=px_decimal(ctx.oracle_px),
        mark_px=px_decimal(ctx.mark_px),
        mid_px=None if ctx.mid_px is None else px_decimal(ctx.mid_px),
        impact_bid_px=None if impact is None else px_decimal(impact[0]),
        impact_ask_px=None if impact is None else px_decimal(impact[1]),
        open_interest_sz=sz_rounded_up(ctx.open_interest),
        funding_ratio=statistic(ctx.funding),
        premium_ratio=None if ctx.premium is None else statistic(ctx.premium),
        day_ntl_vlm_usd=None if ctx.day_ntl_vlm is None else statistic(ctx.day_ntl_vlm),
    )


def _spot_ctx(frame: wire.SpotCtxFrame, generation: int, recv_mono_ns: int, recv_ts_ns: int) -> FrameMalformed:
    return FrameMalformed(
        recv_mono_ns=recv_mono_ns,
        recv_ts_ns=recv_ts_ns,
        generation=generation,
        channel="activeSpotAssetCtx",
        reason=SPOT_CONTEXT,
        coin=printable(frame.data.coin, _CHANNEL_LENGTH_MAX),
    )


def _levels(levels: list[wire.Level], *, is_descending: bool) -> tuple[BookLevel, ...]:
    converted = tuple([BookLevel(px_decimal(item.px), positive_decimal(item.sz), item.n) for item in levels])
    for better, worse in pairwise(converted):
        if (better.px > worse.px) is not is_descending or better.px == worse.px:
            raise _Refused("levels out of order")
    return converted


def _book(frame: wire.BookFrame, generation: int, recv_mono_ns: int, recv_ts_ns: int) -> BookUpdated:
    data = frame.data
    bids, asks = data.levels
    # Fast and slow books share channel and coin; the key is absent on some wires, then depth tells them apart.
    is_fast = data.fast if data.fast is not None else max(len(bids), len(asks)) <= _FAST_LEVEL_COUNT_MAX
    return BookUpdated(
        recv_mono_ns=recv_mono_ns,
        recv_ts_ns=recv_ts_ns,
        coin=_name(data.coin),
        generation=generation,
        venue_ts_ms=data.time,
        is_fast=is_fast,
        bids=_levels(bids, is_descending=True),
        asks=_levels(asks, is_descending=False),
    )


def _trades(frame: wire.TradesFrame, generation: int, recv_mono_ns: int, recv_ts_ns: int) -> TradesReceived:
    trades = [
        Trade(
            coin=_name(item.coin),
            side="buy" if item.side == "B" else "sell",
            px=px_decimal(item.px),
            sz=positive_decimal(item.sz),
            venue_ts_ms=item.time,
            tid=item.tid,
        )
        for item in frame.data
    ]
    return TradesReceived(recv_mono_ns=recv_mono_ns, recv_ts_ns=recv_ts_ns, generation=generation, trades=tuple(trades))


def _acked(
    subscription: wire.AckedSubscription, generation: int, recv_mono_ns: int, recv_ts_ns: int
) -> SubscriptionAcked:
    if not _is_channel(subscription.type):
        raise _Refused("acknowledged channel is no valid name")
    if subscription.user and not _is_user(subscription.user):
        raise _Refused("acknowledged user is no address")
    return SubscriptionAcked(
        recv_mono_ns=recv_mono_ns,
        recv_ts_ns=recv_ts_ns,
        generation=generation,
        channel=subscription.type,
        coin=_name(subscription.coin) if subscription.coin else "",
        is_fast=subscription.fast is True,
        user=subscription.user.lower(),
    )


def _ack(
    frame: wire.AckFrame, generation: int, recv_mono_ns: int, recv_ts_ns: int
) -> SubscriptionAcked | SessionFrameReceived:
    if frame.data.method == "unsubscribe":
        return SessionFrameReceived(
            recv_mono_ns=recv_mono_ns, recv_ts_ns=recv_ts_ns, generation=generation, channel="subscriptionResponse"
        )
    return _acked(frame.data.subscription, generation, recv_mono_ns, recv_ts_ns)


def _error(
    frame: wire.ErrorFrame, generation: int, recv_mono_ns: int, recv_ts_ns: int
) -> VenueErrorReceived | SubscriptionAcked | ActionAnswered:
    # The venue answers a repeated subscribe with this text and the subscription: it confirms that it is active, which
    # is how a subscription whose ack was lost becomes known after the retry (F-14).
    if frame.data.startswith(_ALREADY_SUBSCRIBED):
        try:
            subscription = _decode_subscription(frame.data.removeprefix(_ALREADY_SUBSCRIBED))
            return _acked(subscription, generation, recv_mono_ns, recv_ts_ns)
        except (msgspec.MsgspecError, UnicodeError, RecursionError, _Refused):
            pass  # then it is a text like any other
    answer = answer_of_error_text(frame.data, generation, recv_mono_ns, recv_ts_ns)
    if answer is not None:
        return answer
    return VenueErrorReceived(
        recv_mono_ns=recv_mono_ns,
        recv_ts_ns=recv_ts_ns,
        generation=generation,
        text=printable(frame.data, TEXT_LENGTH_MAX),
    )


def _pong(frame: wire.PongFrame, generation: int, recv_mono_ns: int, recv_ts_ns: int) -> SessionFrameReceived:  # noqa: ARG001
    return SessionFrameReceived(recv_mono_ns=recv_mono_ns, recv_ts_ns=recv_ts_ns, generation=generation, channel="pong")


_CONVERTERS: dict[type, Callable[..., AnyEvent]] = {
    wire.CtxFrame: _ctx,
    wire.SpotCtxFrame: _spot_ctx,
    wire.BookFrame: _book,
    wire.TradesFrame: _trades,
    wire.AckFrame: _ack,
    wire.ErrorFrame: _error,
    wire.PongFrame: _pong,
    wire_user.PostFrame: answer_of_post,
    **user_frames.CONVERTERS,
}
