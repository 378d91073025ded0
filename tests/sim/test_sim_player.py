"""What market channels send, when: played from the tape, and compared where clients are at work."""

import base64
import json
import zlib
from decimal import Decimal

import pytest
from sim_requests import Wallet, order_action, order_item
from typing_extensions import override
from venue_bench import NOW_MS, Bench

from streaming.hyperliquid.decode import decode_frame
from streaming.sim.markets.generator import BLOCK_MS, HOUR_MS
from streaming.sim.scenario.demo import DEMO
from streaming.sim.venue.hooks import Overrides, Touch, VenueHooks
from streaming.sim.venue.market.wire import MarketTexts

NVDA = "xyz:NVDA"
NVDA_ASSET = 110_002


def far_bid(bench: Bench, wallet: Wallet, ticks_below: int = 50) -> Decimal:
    """Rest an order below the touch; returns its price."""
    bid = Decimal(bench.venue.quotes.levels(NVDA, bench.now_ms, 1)[0][0]["px"])
    px = bid - ticks_below * Decimal("0.01")
    answer = bench.call(wallet.sign(order_action(order_item(True, str(px), "1", tif="Alo", asset=NVDA_ASSET))))
    assert "resting" in answer["response"]["data"]["statuses"][0], answer
    return px


def test_player_in_any_steps_plays_every_change_once_and_alike_to_all() -> None:
    bench = Bench()
    one, two = bench.listen(type="bbo", coin=NVDA), bench.listen(type="bbo", coin=NVDA)
    for step_ms in (0, 68, 0, 432, 1_499, 101, 1_800, 1_100, 1_900, 1_900):
        bench.now_ms += step_ms
        bench.venue.step()
    places = bench.venue.world.tape.between("bbo", NVDA, NOW_MS, bench.now_ms)
    assert [data["time"] for data in one.data("bbo")] == [int(hour.bbo_ts_ms[row]) for hour, row in places]
    assert len(places) >= 2
    assert one.texts == two.texts


def test_player_over_a_full_hour_keeps_playing() -> None:
    bench = Bench(now_ms=(NOW_MS // HOUR_MS + 1) * HOUR_MS - 1_000)
    hour = NOW_MS // HOUR_MS + 1
    assert bench.venue.player.needs_hour(hour * HOUR_MS - 120_001) is None
    assert bench.venue.player.needs_hour(hour * HOUR_MS - 120_000) == hour
    bench.venue.world.tape.load(hour)
    ctx = bench.listen(type="activeAssetCtx", coin="xyz:TSLA")
    bench.run(1_000)
    before = len(ctx.texts)
    bench.run(2_000)
    assert before in {0, 1, 2}
    assert len(ctx.texts) - before in {1, 2, 3}


def test_player_after_a_pause_sends_the_present_not_the_past() -> None:
    bench = Bench()
    listener = bench.listen(type="bbo", coin=NVDA)
    bench.jump(60_000)
    assert len(listener.texts) == 1
    assert listener.data("bbo")[0]["time"] > NOW_MS


def test_player_clocked_channels_keep_their_documented_cadence() -> None:
    bench = Bench()
    fast = bench.listen(type="l2Book", coin=NVDA, fast=True)
    slow = bench.listen(type="l2Book", coin=NVDA)
    mids = bench.listen(type="allMids", dex="xyz")
    ctx = bench.listen(type="activeAssetCtx", coin=NVDA)
    every = bench.listen(type="allDexsAssetCtxs")
    bench.run(53_600)
    assert len(fast.texts) in {99, 100}
    assert len(slow.texts) == 10
    assert len(mids.texts) in {10, 11}
    assert len(ctx.texts) in {53, 54}
    assert len(every.texts) in {3, 4}
    assert [len(side) for side in slow.data("l2Book")[0]["levels"]] == [20, 20]
    assert [len(side) for side in fast.data("l2Book")[0]["levels"]] == [5, 5]
    assert fast.data("l2Book")[0]["fast"] is True
    assert "fast" not in slow.data("l2Book")[0]
    assert all(data["time"] % BLOCK_MS == 0 for data in fast.data("l2Book"))
    assert [dex for dex, _ in every.data("allDexsAssetCtxs")[0]["ctxs"]] == ["", "xyz"]


def test_player_first_trades_frame_repeats_twenty_seconds_unflagged() -> None:
    bench = Bench()
    for market in DEMO.universe.builder_markets:
        [frame] = bench.snapshot(type="trades", coin=market.coin)
        times = [trade["time"] for trade in frame["data"]]
        assert all(NOW_MS - 20_000 < time_ms <= NOW_MS for time_ms in times)
        assert len(times) == len(bench.venue.world.tape.between("trades", market.coin, NOW_MS - 20_000, NOW_MS))


def test_player_fast_ctxs_snapshot_and_changes_add_up_to_the_present() -> None:
    bench = Bench()
    bench.run(2_000)
    [first] = bench.snapshot(type="fastAssetCtxs")
    listener = bench.listen(type="fastAssetCtxs")
    known = inflated(first["data"])
    assert set(known) == set(DEMO.universe.by_coin)
    bench.run(6_000)
    changes = [inflated(data) for data in listener.data("fastAssetCtxs")]
    for change in changes:
        for coin, ctx in change.items():
            known[coin] |= ctx
    last_ms = bench.now_ms // 1_000 * 1_000
    bench.now_ms = last_ms
    for coin in DEMO.universe.by_coin:
        # Sampled in the first block of the second.
        place = bench.venue.world.tape.latest("ctx", coin, (last_ms // BLOCK_MS + 1) * BLOCK_MS)
        assert known[coin]["markPx"] == bench.venue.quotes.texts[coin].ctx(*place)["markPx"]
    assert any(len(change) < len(DEMO.universe.by_coin) for change in changes)


def inflated(data: str) -> dict[str, dict[str, str]]:
    ctxs: dict[str, dict[str, str]] = json.loads(zlib.decompress(base64.b64decode(data), wbits=-15))
    return ctxs


@pytest.mark.parametrize("interval", ["1m", "1h"])
def test_player_candle_follows_trades_at_most_once_a_second(interval: str) -> None:
    bench = Bench()
    assert bench.snapshot(type="candle", coin=NVDA, interval=interval) == []
    listener = bench.listen(type="candle", coin=NVDA, interval=interval)
    while (needed := bench.venue.player.needs_history()) is not None:
        bench.venue.history.load(*needed)
    bench.run(120_000)
    traded_s = {
        int(hour.trade_ts_ms[row]) // 1_000
        for hour, row in bench.venue.world.tape.between("trades", NVDA, NOW_MS, bench.now_ms)
    }
    candles = listener.data("candle")
    assert 1 <= len(candles) <= len(traded_s) + 4
    for candle in candles:
        assert set(candle) == {"t", "T", "s", "i", "o", "c", "h", "l", "v", "n"}
        assert candle["T"] - candle["t"] == {"1m": 59_999, "1h": 3_599_999}[interval]
        assert Decimal(candle["l"]) <= min(Decimal(candle["o"]), Decimal(candle["c"]))
        assert Decimal(candle["h"]) >= max(Decimal(candle["o"]), Decimal(candle["c"]))


# Clients and faults change what is quoted


def test_player_bbo_shows_a_clients_order_at_the_touch_and_its_cancel() -> None:
    bench, wallet = Bench(), Wallet(1)
    bench.run(1_000)
    listener = bench.listen(type="bbo", coin=NVDA)
    bid, ask = (Decimal(side[0]["px"]) for side in bench.venue.quotes.levels(NVDA, bench.now_ms, 1))
    px = ask - Decimal("0.01") if ask - bid > Decimal("0.01") else bid
    answer = bench.call(wallet.sign(order_action(order_item(True, str(px), "3", tif="Alo", asset=NVDA_ASSET))), 300)
    oid = answer["response"]["data"]["statuses"][0]["resting"]["oid"]
    before, after = bench.venue.world.liquidity(NVDA, bench.now_ms), bench.venue.quotes.liquidity(NVDA, bench.now_ms)
    generated = {level.px: level for level in before.bids}
    mine = next(level for level in after.bids if level.px == px)
    base = generated.get(px)
    assert mine.sz == 3 + (base.sz if base else 0)
    assert mine.n == 1 + (base.n if base else 0)
    shown = listener.data("bbo")
    assert shown, "the touch changed with the order"
    assert Decimal(shown[-1]["bbo"][0]["px"]) >= px
    bench.call(wallet.sign({"type": "cancel", "cancels": [{"a": NVDA_ASSET, "o": oid}]}))
    last = listener.data("bbo")[-1]["bbo"]
    assert last == bench.venue.quotes.bbo(NVDA, bench.now_ms)
    assert bench.venue.quotes.is_plain(NVDA, bench.now_ms)


def test_player_after_a_client_has_left_every_frame_is_the_tapes_again() -> None:
    bench, wallet = Bench(), Wallet(2)
    px = far_bid(bench, wallet)
    assert not bench.venue.quotes.is_plain(NVDA, bench.now_ms)
    [frame] = bench.snapshot(type="l2Book", coin=NVDA)
    assert str(px) in [level["px"] for level in frame["data"]["levels"][0]] or len(frame["data"]["levels"][0]) == 20
    bench.call(wallet.sign({"type": "scheduleCancel", "time": bench.now_ms + 6_000}))
    answer = bench.info({"type": "openOrders", "user": wallet.address, "dex": "xyz"})[1]
    bench.call(wallet.sign({"type": "cancel", "cancels": [{"a": NVDA_ASSET, "o": answer[0]["oid"]}]}))
    listener = bench.listen(type="bbo", coin=NVDA)
    begin_ms = bench.now_ms
    bench.run(20_000)
    places = bench.venue.world.tape.between("bbo", NVDA, begin_ms, bench.now_ms)
    assert listener.texts == [bench.venue.quotes.texts[NVDA].bbo(*place) for place in places]


def test_player_far_order_of_a_client_changes_no_bbo_frame_but_time() -> None:
    plain, busy = Bench(), Bench()
    far_bid(busy, Wallet(3))
    plain.run(busy.now_ms - plain.now_ms)
    one, two = plain.listen(type="bbo", coin=NVDA), busy.listen(type="bbo", coin=NVDA)
    plain.run(30_000)
    busy.run(30_000)
    changes = [data["bbo"] for data in one.data("bbo")]
    distinct = [each for each, before in zip(changes, [None, *changes], strict=False) if each != before]
    assert [data["bbo"] for data in two.data("bbo")] == distinct[-len(two.texts) :]
    assert len(two.texts) >= 5


def test_player_own_trade_is_public_once() -> None:
    bench, wallet = Bench(), Wallet(4)
    listener = bench.listen(type="trades", coin=NVDA)
    answer = bench.call(wallet.sign(order_action(order_item(True, "230", "0.5", asset=NVDA_ASSET))))
    filled = answer["response"]["data"]["statuses"][0]["filled"]
    mine = [t for data in listener.data("trades") for t in data if wallet.address in t["users"]]
    assert sum(Decimal(trade["sz"]) for trade in mine) == Decimal(filled["totalSz"]) == Decimal("0.5")
    recent = bench.info({"type": "recentTrades", "coin": NVDA})[1]
    assert [trade for trade in recent if wallet.address in trade["users"]] == mine[::-1]
    assert len({trade["tid"] for trade in recent}) == len(recent)


class Broken(Overrides):
    """Empties the book of one market and moves its oracle while on."""

    is_on = False

    @override
    def is_active(self, coin: str) -> bool:
        return self.is_on and coin == NVDA

    @override
    def touch(self, coin: str, touch: Touch, now_ms: int) -> Touch:
        return touch._replace(bid_px=touch.bid_px - 1_000, bid_sz=7_000)


class Hooks(VenueHooks):
    def __init__(self) -> None:
        self.overrides = Broken()


def test_player_override_appears_in_bbo_when_it_begins_and_ends() -> None:
    hooks = Hooks()
    bench = Bench(hooks=hooks)
    bench.run(500)
    bbo, ctx = bench.listen(type="bbo", coin=NVDA), bench.listen(type="activeAssetCtx", coin=NVDA)
    [before] = bench.snapshot(type="bbo", coin=NVDA)
    assert isinstance(hooks.overrides, Broken)
    hooks.overrides.is_on = True
    bench.run(BLOCK_MS)
    broken = bbo.data("bbo")[0]["bbo"]
    assert Decimal(broken[0]["px"]) == Decimal(before["data"]["bbo"][0]["px"]) - 1
    assert broken[0]["sz"] == "7.0"
    bench.run(1_100)
    impact = ctx.data("activeAssetCtx")[-1]["ctx"]["impactPxs"]
    assert Decimal(impact[0]) < Decimal(before["data"]["bbo"][0]["px"]) - Decimal("0.9")
    hooks.overrides.is_on = False
    bench.run(BLOCK_MS)
    assert bbo.data("bbo")[-1]["bbo"] == bench.venue.quotes.bbo(NVDA, bench.now_ms)
    event = decode_frame(bbo.texts[0], generation=1, recv_mono_ns=0, recv_ts_ns=0)
    assert type(event).__name__ == "BboUpdated"


def test_player_without_listeners_builds_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()

    def unwanted(*_: object, **__: object) -> None:
        raise AssertionError("a text nobody asked for")

    for name in ("bbo", "ctx", "trade", "level"):
        monkeypatch.setattr(MarketTexts, name, unwanted)
    bench.run(15_000)
    bench.listen(type="bbo", coin=NVDA)
    with pytest.raises(AssertionError, match="nobody"):
        bench.run(15_000)
