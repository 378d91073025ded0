import json

import pytest

from streaming.core.events import SubscriptionAcked
from streaming.hyperliquid.decode import decode_frame
from streaming.hyperliquid.encode import PING, Subscription, post_info, subscribe, unsubscribe

USER = "0x00000000000000000000000000000000000000A1"


@pytest.mark.parametrize(
    ("subscription", "wire"),
    [
        (Subscription("bbo", "xyz:ALPHA"), {"type": "bbo", "coin": "xyz:ALPHA"}),
        (Subscription("l2Book", "xyz:ALPHA", fast=True), {"type": "l2Book", "coin": "xyz:ALPHA", "fast": True}),
        (Subscription("userFills", user=USER), {"type": "userFills", "user": USER}),
    ],
)
def test_subscribe_names_only_what_is_set(subscription: Subscription, wire: dict[str, object]) -> None:
    assert json.loads(subscribe(subscription)) == {"method": "subscribe", "subscription": wire}
    assert json.loads(unsubscribe(subscription)) == {"method": "unsubscribe", "subscription": wire}


def test_ping_and_post_have_the_venues_shape() -> None:
    assert json.loads(PING) == {"method": "ping"}
    assert json.loads(post_info(7, {"type": "l2Book", "coin": "xyz:ALPHA"})) == {
        "method": "post",
        "id": 7,
        "request": {"type": "info", "payload": {"type": "l2Book", "coin": "xyz:ALPHA"}},
    }


def an_ack(**keys: object) -> SubscriptionAcked:
    data = {"method": "subscribe", "subscription": keys}
    raw = json.dumps({"channel": "subscriptionResponse", "data": data})
    event = decode_frame(raw, generation=1, recv_mono_ns=1, recv_ts_ns=1)
    assert isinstance(event, SubscriptionAcked)
    return event


def test_is_confirmed_by_ack_with_added_defaults_matches_by_subset() -> None:
    book = Subscription("l2Book", "xyz:ALPHA", fast=True)

    assert book.is_confirmed_by(an_ack(type="l2Book", coin="xyz:ALPHA", nSigFigs=None, mantissa=None, fast=True))
    assert Subscription("userFills", user=USER).is_confirmed_by(
        an_ack(type="userFills", user=USER.lower(), aggregateByTime=False)
    )


def test_is_confirmed_by_another_stream_is_false() -> None:
    book = Subscription("l2Book", "xyz:ALPHA", fast=True)

    assert not book.is_confirmed_by(an_ack(type="l2Book", coin="xyz:ALPHA", fast=False))
    assert not book.is_confirmed_by(an_ack(type="l2Book", coin="xyz:BETA", fast=True))
    assert not book.is_confirmed_by(an_ack(type="bbo", coin="xyz:ALPHA"))
    assert not Subscription("userFills", user=USER).is_confirmed_by(an_ack(type="userFills", user="0x" + "b" * 40))
