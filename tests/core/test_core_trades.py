from core_builders import COIN, WARM_MS, a_spec, a_trade, a_warm_engine, an_opening, feed, of_type, some_trades

from streaming.core.effects import TradesAccepted
from streaming.core.trades import MEMORY_COUNT_MAX

T = WARM_MS


def accepted(outputs: list[object]) -> list[int]:
    return [trade.tid for output in of_type(outputs, TradesAccepted) for trade in output.trades]  # type: ignore[arg-type]


def test_trades_repeated_by_the_first_frame_of_a_new_subscription_are_dropped() -> None:
    state = a_warm_engine()
    seen = [a_trade(T - 1_000 * i, tid=i) for i in range(20)]
    assert accepted(feed(state, some_trades(T, *seen))) == list(range(20))
    feed(state, an_opening(T + 1, generation=2))
    repeated = some_trades(T + 2, a_trade(T + 2, tid=99), *seen, generation=2)
    assert accepted(feed(state, repeated)) == [99]
    assert state.duplicate_trade_count == 20


def test_trades_frame_without_news_says_nothing() -> None:
    state = a_warm_engine()
    feed(state, some_trades(T, a_trade(T)))
    assert feed(state, some_trades(T, a_trade(T))) == []


def test_trades_same_id_at_another_time_or_market_is_another_trade() -> None:
    other = "xyz:TSLA"
    state = a_warm_engine(a_spec(), a_spec(other))
    frame = some_trades(T, a_trade(T, tid=1), a_trade(T + 1, tid=1), a_trade(T, tid=1, coin=other))
    assert accepted(feed(state, frame)) == [1, 1, 1]


def test_trades_duplicate_inside_one_frame_is_dropped() -> None:
    assert accepted(feed(a_warm_engine(), some_trades(T, a_trade(T), a_trade(T)))) == [1]


def test_trades_unknown_market_is_counted() -> None:
    state = a_warm_engine()
    assert feed(state, some_trades(T, a_trade(T, coin="xyz:X"))) == []
    assert state.unknown_coin_count == 1


def test_trades_memory_is_bounded_by_time_and_older_ones_count_as_seen() -> None:
    state = a_warm_engine()
    first = a_trade(0, tid=1)
    feed(state, some_trades(T, first))
    for minute in range(1, 6):
        feed(state, some_trades(T + minute * 60_000, a_trade(T + minute * 60_000, tid=minute + 1)))
    market = state.markets[COIN]
    assert len(market.trade_tids) <= 3
    assert accepted(feed(state, some_trades(T + 400_000, first))) == []


def test_trades_memory_is_bounded_by_count() -> None:
    state = a_warm_engine()
    for i in range(3):
        trades = [a_trade(T + i * 2_000 + n, tid=i * 2_000 + n) for n in range(2_000)]
        assert len(accepted(feed(state, some_trades(T + 6_000 + i, *trades)))) == 2_000
    market = state.markets[COIN]
    assert market.trade_count == sum(len(tids) for tids in market.trade_tids.values()) <= MEMORY_COUNT_MAX
    assert accepted(feed(state, some_trades(T + 6_010, a_trade(T + 5_999, tid=5_999), a_trade(T, tid=0)))) == []
    assert accepted(feed(state, some_trades(T + 6_011, a_trade(T + 6_011, tid=1)))) == [1]


def test_trades_two_of_one_millisecond_are_both_new_once() -> None:
    state = a_warm_engine()
    frame = some_trades(T, a_trade(T, tid=1), a_trade(T, tid=2))
    assert accepted(feed(state, frame, frame)) == [1, 2]
