"""Orders and ticks are paired by content; who signed is judged by the signature."""

import msgspec
import pytest

from streaming.sim.bench.lane import is_signed_by
from streaming.sim.bench.market import TICK_COUNT, BenchMarket
from streaming.sim.bench.order import OrderMaker, trader
from streaming.sim.bench.pairing import Pairing, echo_key, order_key

MARKET = BenchMarket(3)
TICK = MARKET.tick(0)


def order(px: str = TICK.px, *, asset_id: int = TICK.asset_id, is_buy: bool = True, count: int = 1) -> dict:
    orders = [{"a": asset_id, "b": is_buy, "p": px, "s": "0.62", "r": False, "t": {"limit": {"tif": "Ioc"}}}]
    return {"action": {"type": "order", "orders": orders * count, "grouping": "na"}}


def a_pairing() -> Pairing:
    pairing = Pairing()
    pairing.sent(order_key(TICK), 1_000_000)
    return pairing


def test_an_order_at_the_ticks_price_is_a_sample() -> None:
    pairing = a_pairing()
    assert pairing.answered(order(), 1_250_000)
    assert pairing.latencies_us == [250.0]
    assert pairing.counts() == {"wrong": 0, "lost": 0, "late": 0}


def test_a_price_spelled_with_more_zeros_is_the_same_price() -> None:
    assert a_pairing().answered(order(f"{TICK.px}00"), 2_000_000)


@pytest.mark.parametrize(
    "answer",
    [
        order(MARKET.tick(2).px),
        order(asset_id=TICK.asset_id + 1),
        order(is_buy=False),
        order(count=2),
        order("not a price"),
        {"action": {"type": "cancel", "cancels": []}},
        {},
    ],
)
def test_an_order_that_answers_no_tick_is_wrong_and_no_sample(answer: dict) -> None:
    pairing = a_pairing()
    assert not pairing.answered(answer, 1_250_000)
    assert pairing.latencies_us == []
    assert pairing.wrong_count == 1


def test_a_second_order_to_one_tick_is_wrong() -> None:
    pairing = a_pairing()
    pairing.answered(order(), 1_250_000)
    assert not pairing.answered(order(), 1_260_000)
    assert (len(pairing.latencies_us), pairing.wrong_count) == (1, 1)


def test_an_order_after_its_tick_was_given_up_is_late_and_no_sample() -> None:
    pairing = a_pairing()
    pairing.gave_up(order_key(TICK))
    assert not pairing.answered(order(), 9_000_000)
    assert pairing.counts() == {"wrong": 0, "lost": 1, "late": 1}
    assert pairing.latencies_us == []


def test_a_tick_that_is_sent_back_is_paired_by_both_its_prices() -> None:
    pairing = Pairing()
    pairing.sent(echo_key(TICK), 0)
    other = MARKET.tick(2)

    def quote(bid_px: str, ask_px: str) -> dict:
        return {"channel": "bbo", "data": {"coin": TICK.coin, "bbo": [{"px": bid_px}, {"px": ask_px}]}}

    assert not pairing.answered(quote(other.bid_px, TICK.ask_px), 1)
    assert pairing.answered(quote(TICK.bid_px, TICK.ask_px), 1_000)


def test_every_tick_of_a_market_and_side_has_its_own_price() -> None:
    ticks = [MARKET.tick(number) for number in range(2 * TICK_COUNT)]
    assert len({order_key(tick) for tick in ticks}) == len({echo_key(tick) for tick in ticks}) == 2 * TICK_COUNT


def test_ticks_cross_the_oracle_on_the_side_they_say() -> None:
    oracle_px = MARKET.oracle / 1_000
    assert float(MARKET.tick(0).ask_px) < oracle_px < float(MARKET.tick(1).bid_px)


def test_an_order_of_the_lanes_key_is_told_from_every_other() -> None:
    ours, other = trader("ours_a"), trader("ours_b")
    request = msgspec.json.decode(OrderMaker(ours.key).frame())["request"]["payload"]
    assert is_signed_by(request, ours.agent)
    assert not is_signed_by(request, other.agent)
    assert not is_signed_by(request | {"nonce": request["nonce"] + 1}, ours.agent)
    assert not is_signed_by({key: value for key, value in request.items() if key != "signature"}, ours.agent)
