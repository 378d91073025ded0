from decimal import Decimal

import pytest
from fault_venue import BTC, NVDA, TSLA, FaultVenue, with_fault_venue
from sim_requests import Wallet

from streaming.sim.scenario.faults import FaultSpec

BBO = {"type": "bbo", "coin": NVDA}


async def touch(venue: FaultVenue, coin: str = NVDA) -> tuple[Decimal | None, Decimal | None]:
    bids, asks = (await venue.info("l2Book", coin=coin))["levels"]
    return (Decimal(bids[0]["px"]) if bids else None, Decimal(asks[0]["px"]) if asks else None)


async def oracle(venue: FaultVenue, coin: str = NVDA) -> Decimal:
    meta, ctxs = await venue.info("metaAndAssetCtxs", dex="xyz")
    names = [entry["name"] for entry in meta["universe"]]
    return Decimal(ctxs[names.index(coin)]["oraclePx"])


async def entry(venue: FaultVenue, coin: str = NVDA) -> dict[str, object]:
    found: dict[str, object] = next(e for e in (await venue.info("meta", dex="xyz"))["universe"] if e["name"] == coin)
    return found


@pytest.mark.parametrize("shape", ["empty", "no_bids", "no_asks", "locked", "crossed"])
def test_book_has_the_shape_in_info_and_feed_and_only_there(shape: str) -> None:
    async def test(venue: FaultVenue) -> None:
        async with venue.socket(BBO) as socket:
            await venue.switch("book", coins=[NVDA], parameters={"shape": shape})
            bid, ask = await touch(venue)
            await socket.drain()
            told = (await socket.next("bbo"))["bbo"] if shape != "empty" else [None, None]
            for pair in ((bid, ask), tuple(None if side is None else Decimal(side["px"]) for side in told)):
                seen = (
                    "empty" if pair == (None, None)
                    else "no_bids" if pair[0] is None
                    else "no_asks" if pair[1] is None
                    else "locked" if pair[0] == pair[1]
                    else "crossed" if pair[0] > pair[1]
                    else "fine"
                )  # fmt: skip
                assert seen == shape
            other_bid, other_ask = await touch(venue, TSLA)
            assert other_bid is not None
            assert other_ask is not None
            assert other_bid < other_ask
            await venue.clear()
            bid, ask = await touch(venue)
            assert bid is not None
            assert ask is not None
            assert bid < ask

    with_fault_venue(test)


def test_thin_book_has_a_part_of_the_size_and_an_order_goes_through_levels() -> None:
    async def test(venue: FaultVenue) -> None:
        await venue.switch("thin", coins=[NVDA], parameters={"ratio": 0.001})
        before = sum(float(level["sz"]) for level in (await venue.info("l2Book", coin=NVDA))["levels"][1])
        other = sum(float(level["sz"]) for level in (await venue.info("l2Book", coin=TSLA))["levels"][1])
        assert before < other / 50
        wallet = Wallet(1)
        await venue.order(wallet, await venue.item(sz=f"{before * 0.7:.3f}"))
        assert len({fill["px"] for fill in await venue.fills(wallet)}) >= 3

    with_fault_venue(test)


@pytest.mark.parametrize("kind", ["halt", "delist"])
def test_closed_market_cancels_settles_and_refuses(kind: str) -> None:
    async def test(venue: FaultVenue) -> None:
        wallet = Wallet(1)
        topics = ({"type": name, "user": wallet.address} for name in ("orderUpdates", "userFills", "notification"))
        async with venue.socket(*topics) as socket:
            await venue.order(wallet, await venue.item(sz="2"), await venue.item(tif="Gtc"))
            assert await venue.szi(wallet) == 2
            order = await venue.item()
            await venue.switch(kind, coins=[NVDA])
            assert await venue.szi(wallet) == 0
            assert await venue.info("openOrders", user=wallet.address, dex="xyz") == []
            settled = (await venue.fills(wallet))[0]
            assert (settled["dir"], settled["fee"], settled["sz"]) == ("Settlement", "0.0", "2.0")
            assert "error" in (await venue.order(wallet, order))[0]
            assert "settled" in (await socket.next("notification"))["notification"]
            while (await socket.next("orderUpdates"))[0]["status"] != "delistedCanceled":
                pass
            assert await touch(venue) == (None, None)
            assert (await entry(venue))["isDelisted"] is True
            assert "isDelisted" not in await entry(venue, TSLA)
            await venue.clear()
            assert "filled" in (await venue.order(wallet, order))[0]

    with_fault_venue(test)


def test_halt_without_a_position_only_closes_the_book() -> None:
    async def test(venue: FaultVenue) -> None:
        wallet = Wallet(1)
        await venue.order(wallet, await venue.item(TSLA))
        await venue.switch("halt", coins=[NVDA])
        assert await venue.szi(wallet, TSLA) == 1
        assert len(await venue.fills(wallet)) == 1

    with_fault_venue(test)


def test_vanished_market_is_in_no_listing_and_still_trades_by_its_asset_id() -> None:
    async def test(venue: FaultVenue) -> None:
        order = await venue.item()
        await venue.switch("vanish", coins=[NVDA])
        for meta in (await venue.info("meta", dex="xyz"), (await venue.info("metaAndAssetCtxs", dex="xyz"))[0]):
            assert [e["name"] for e in meta["universe"]] == [TSLA]
        assert [len(m["universe"]) for m in await venue.info("allPerpMetas")] == [1, 1]
        assert len((await venue.info("metaAndAssetCtxs", dex="xyz"))[1]) == 1
        assert NVDA not in dict((await venue.info("perpDexLimits", dex="xyz"))["coinToOiCap"])
        assert "filled" in (await venue.order(Wallet(1), order))[0]

    with_fault_venue(test)


def test_oi_cap_is_told_and_refuses_what_increases_but_not_what_reduces() -> None:
    async def test(venue: FaultVenue) -> None:
        wallet = Wallet(1)
        await venue.order(wallet, await venue.item(sz="2"))
        await venue.switch("oi_cap", coins=[NVDA])
        assert await venue.info("perpsAtOpenInterestCap", dex="xyz") == [NVDA]
        [status] = await venue.order(wallet, await venue.item())
        assert "open interest" in status["error"]
        [status] = await venue.order(wallet, await venue.item(is_buy=False, is_reduce_only=True))
        assert "filled" in status

    with_fault_venue(test)


@pytest.mark.parametrize(
    ("name", "value", "key", "expected"),
    [
        ("leverage_max", "3", "maxLeverage", 3),
        ("sz_decimals", "1", "szDecimals", 1),
        ("margin_mode", "strictIsolated", "marginMode", "strictIsolated"),
        ("fee_scale", "2.5", "deployerFeeScale", "2.5"),
        ("is_growth_mode", "false", "growthMode", None),
    ],
)
def test_parameter_changes_in_meta_and_back(name: str, value: str, key: str, expected: object) -> None:
    async def test(venue: FaultVenue) -> None:
        before = await entry(venue)
        await venue.switch("parameter", coins=[NVDA], parameters={"name": name, "value": value})
        changed = await entry(venue)
        assert changed.get(key) == expected
        assert before.get(key) != expected
        assert await entry(venue, TSLA) != changed
        await venue.clear()
        assert await entry(venue) == before

    with_fault_venue(test)


def test_parameter_change_of_size_decimals_refuses_finer_orders() -> None:
    async def test(venue: FaultVenue) -> None:
        fine, coarse = await venue.item(sz="1.234"), await venue.item(sz="1.2")
        await venue.switch("parameter", coins=[NVDA], parameters={"name": "sz_decimals", "value": "1"})
        wallet = Wallet(1)
        assert "error" in (await venue.order(wallet, fine))[0]
        assert "filled" in (await venue.order(wallet, coarse))[0]

    with_fault_venue(test)


def test_oracle_frozen_stands_while_the_book_moves() -> None:
    async def test(venue: FaultVenue) -> None:
        await venue.switch("oracle", coins=[NVDA], parameters={"shape": "frozen"})
        first, others = await oracle(venue), set()
        for _ in range(12):
            await venue.blocks(60)
            assert await oracle(venue) == first
            others.add(await oracle(venue, TSLA))
        assert len(others) > 1

    with_fault_venue(test)


@pytest.mark.parametrize(("shape", "low", "high"), [("steps", 0.985, 1.015), ("shifted", 1.015, 1.025)])
def test_oracle_stands_away_from_the_book(shape: str, low: float, high: float) -> None:
    async def test(venue: FaultVenue) -> None:
        bps = {"steps": 100.0, "shifted": 200.0}[shape]
        await venue.switch("oracle", coins=[NVDA], parameters={"shape": shape, "bps": bps, "period_ms": 8_000})
        ratios = []
        for _ in range(8):
            bid, _ask = await touch(venue)
            assert bid is not None
            ratios.append(float(await oracle(venue) / bid))
            await venue.blocks(30)
        assert all(low < ratio < high for ratio in ratios)
        assert all(abs(ratio - 1) > 0.005 for ratio in ratios)
        assert (len({ratio > 1 for ratio in ratios}) == 2) is (shape == "steps")

    with_fault_venue(test)


def test_oracle_ten_times_wrong_is_in_the_feed_too() -> None:
    async def test(venue: FaultVenue) -> None:
        async with venue.socket({"type": "activeAssetCtx", "coin": NVDA}) as socket:
            true_px = Decimal((await socket.next("activeAssetCtx"))["ctx"]["oraclePx"])
            await venue.switch("oracle", coins=[NVDA], parameters={"shape": "factor", "factor": 10.0})
            await socket.drain()
            wrong_px = Decimal((await socket.next("activeAssetCtx"))["ctx"]["oraclePx"])
            assert 9 < wrong_px / true_px < 11

    with_fault_venue(test)


def test_market_faults_without_coins_strike_all() -> None:
    async def test(venue: FaultVenue) -> None:
        await venue.blocks(2)
        for coin in (NVDA, TSLA, BTC):
            assert await touch(venue, coin) == (None, None)
        _, state = await venue.admin("GET", "state")
        assert set(state["markets_struck"]) == {NVDA, TSLA, BTC}

    with_fault_venue(test, FaultSpec(kind="halt"))
