import json
from itertools import pairwise

import aiohttp
import pytest
from fault_venue import BTC, NVDA, TSLA, FaultVenue, Socket, with_fault_venue
from sim_requests import Wallet

from streaming.core.events import FrameMalformed, SessionFrameReceived
from streaming.hyperliquid.decode import decode_frame
from streaming.sim.scenario.fault_kinds import HOSTILE_NAMES
from streaming.sim.scenario.faults import FaultSpec

BBO = {"type": "bbo", "coin": NVDA}
CTX = {"type": "activeAssetCtx", "coin": NVDA}
USER = "0x" + "ab" * 20


def decoded(text: str) -> object:
    return decode_frame(text, generation=1, recv_mono_ns=0, recv_ts_ns=0)


@pytest.mark.parametrize("code", [1000, 1001, 1012, 1006])
def test_close_ends_the_sockets_that_listen_with_its_code(code: int) -> None:
    async def test(venue: FaultVenue) -> None:
        async with venue.socket(BBO) as struck, venue.socket({"type": "bbo", "coin": BTC}) as spared:
            await venue.switch("close", coins=[NVDA], parameters={"code": code})
            while (message := await struck.raw.receive()).type is aiohttp.WSMsgType.TEXT:
                pass
            told = message.data if message.type is aiohttp.WSMsgType.CLOSE else struck.raw.close_code
            assert told == code
            assert (await spared.next("bbo"))["coin"] == BTC
            async with venue.socket(BBO) as again:
                assert (await again.next("bbo"))["coin"] == NVDA

    with_fault_venue(test)


def test_mute_of_one_market_leaves_others_and_other_channels() -> None:
    async def test(venue: FaultVenue) -> None:
        async with venue.socket(BBO, CTX, {"type": "bbo", "coin": TSLA}) as socket:
            await venue.switch("mute", coins=[NVDA], channels=["bbo"])
            await socket.drain()
            coins = {(await socket.next("bbo"))["coin"] for _ in range(20)}
            assert coins == {TSLA}
            assert (await socket.next("activeAssetCtx"))["coin"] == NVDA
            await venue.clear()
            while (await socket.next("bbo"))["coin"] != NVDA:
                pass

    with_fault_venue(test)


def test_mute_of_everything_still_answers_pings_and_posts() -> None:
    async def test(venue: FaultVenue) -> None:
        async with venue.socket(BBO, CTX) as socket:
            await venue.switch("mute")
            await socket.drain()
            await venue.blocks(60)
            request = {"method": "post", "id": 3, "request": {"type": "info", "payload": {"type": "exchangeStatus"}}}
            await socket.send(request)
            await socket.send({"method": "ping"})
            channels = {json.loads(await socket.text())["channel"] for _ in range(2)}
            assert channels == {"post", "pong"}

    with_fault_venue(test)


async def times(socket: Socket, count: int) -> list[int]:
    return [int((await socket.next("bbo"))["time"]) for _ in range(count)]


def test_swap_exchanges_two_frames_of_one_stream() -> None:
    async def test(venue: FaultVenue) -> None:
        async with venue.socket(BBO) as socket:
            await venue.switch("swap", coins=[NVDA], channels=["bbo"], count=1)
            seen = await times(socket, 40)
            steps = [(a, b) for a, b in pairwise(seen) if b < a]
            assert len(steps) == 1
            assert sorted(seen) == sorted(set(seen))

    with_fault_venue(test)


def test_duplicate_repeats_frames_as_often_as_said() -> None:
    async def test(venue: FaultVenue) -> None:
        async with venue.socket(BBO) as socket:
            await venue.switch("duplicate", channels=["bbo"], count=2, parameters={"times": 3})
            texts: list[str] = []
            while len(texts) < 40:
                texts.append(json.dumps(await socket.next("bbo")))
            counts = sorted((texts.count(text) for text in set(texts)), reverse=True)
            assert counts[:3] == [4, 4, 1]

    with_fault_venue(test)


def test_hold_of_old_connections_delivers_late_and_in_order_while_new_ones_live() -> None:
    async def test(venue: FaultVenue) -> None:
        async with venue.socket(BBO) as old, venue.socket(BBO) as second:
            number = await venue.switch("hold", parameters={"is_old_only": True})
            for socket in (old, second):
                await socket.drain()
            assert await old.quiet("bbo", venue)
            assert await second.quiet("bbo", venue, blocks=1)
            async with venue.socket(BBO) as new:
                newest = (await times(new, 20))[-1]
                await venue.admin("DELETE", f"faults/{number}")
                for socket in (old, second):
                    late = await times(socket, 20)
                    assert late == sorted(late)
                    assert late[0] < newest

    with_fault_venue(test)


def test_delay_sends_later() -> None:
    async def test(venue: FaultVenue) -> None:
        async with venue.socket(BBO) as socket:
            await venue.switch("delay", channels=["bbo"], parameters={"delay_ms": 400})
            await socket.drain()
            ages = [venue.now_ms() - int((await socket.next("bbo"))["time"]) for _ in range(10)]
            assert min(ages[5:]) > 400

    with_fault_venue(test)


@pytest.mark.parametrize("shape", ["new_field", "wrong_type", "new_channel", "cut"])
def test_variant_frames_are_read_as_what_they_are(shape: str) -> None:
    async def test(venue: FaultVenue) -> None:
        async with venue.socket(BBO) as socket:
            await venue.switch("variant", channels=["bbo"], parameters={"shape": shape})
            await socket.drain()
            event = decoded(await socket.text())
            if shape == "new_field":
                assert "notSeenBefore" in await socket.text()
                assert not isinstance(event, FrameMalformed)
            elif shape == "new_channel":
                assert isinstance(event, SessionFrameReceived)
                assert event.channel == "unknown:bboV9"
            else:
                assert isinstance(event, FrameMalformed)

    with_fault_venue(test)


def test_value_stands_in_the_frame_and_our_decoder_refuses_it() -> None:
    async def test(venue: FaultVenue) -> None:
        async with venue.socket(BBO) as socket:
            for text in ("NaN", "Infinity", "0.0", "-1.0", "1e400", "-0", "0.123456789", "1" * 30, "1.00000000001"):
                await venue.switch("value", channels=["bbo"], parameters={"field": "px", "text": text})
                await socket.drain()
                raw = await socket.text()
                assert json.loads(raw)["data"]["bbo"][0]["px"] == text
                assert isinstance(decoded(raw), FrameMalformed)
                await venue.clear()

    with_fault_venue(test)


def test_snapshot_again_repeats_fills_of_the_past_flagged() -> None:
    async def test(venue: FaultVenue) -> None:
        wallet = Wallet(1)
        async with venue.socket({"type": "userFills", "user": wallet.address}) as socket:
            assert (await socket.next("userFills"))["fills"] == []
            await venue.order(wallet, await venue.item())
            told = (await socket.next("userFills"))["fills"]
            await venue.switch("mute", channels=["userFills"])
            await venue.order(wallet, await venue.item(is_buy=False))
            await venue.clear()
            await venue.switch("snapshot_again", channels=["userFills"])
            again = await socket.next("userFills")
            assert again["isSnapshot"] is True
            tids = {fill["tid"] for fill in again["fills"]}
            assert {fill["tid"] for fill in told} < tids  # the muted one is only here

    with_fault_venue(test)


@pytest.mark.parametrize("shape", ["missing", "partial", "wrong"])
def test_ack_is_broken_and_the_retry_is_answered(shape: str) -> None:
    async def test(venue: FaultVenue) -> None:
        await venue.switch("ack", channels=["bbo"], count=1, parameters={"shape": shape})
        async with venue.socket() as socket:
            await socket.subscribe(is_acked=False, **BBO)
            first = json.loads(await socket.text())
            if shape == "missing":
                assert first["channel"] == "bbo"
            else:
                assert first["data"].get("subscription") == (None if shape == "partial" else "ok")
            await socket.subscribe(is_acked=False, **BBO)
            assert str(await socket.next("error")).startswith("Already subscribed: ")
            await socket.subscribe(type="bbo", coin=TSLA)

    with_fault_venue(test)


def test_subscription_limit_refuses_the_one_beyond() -> None:
    async def test(venue: FaultVenue) -> None:
        await venue.switch("subscription_limit", parameters={"limit": 2})
        async with venue.socket(BBO, CTX) as socket:
            await socket.subscribe(is_acked=False, type="bbo", coin=TSLA)
            assert await socket.next("error") == "Cannot track more than 2 total subscriptions."
            await socket.next("bbo")

    with_fault_venue(test)


@pytest.mark.parametrize("offset_ms", [3_600_000, -3_600_000])
def test_time_moves_for_one_market_only(offset_ms: int) -> None:
    async def test(venue: FaultVenue) -> None:
        async with venue.socket(BBO, {"type": "bbo", "coin": TSLA}) as socket:
            await venue.switch("time", coins=[NVDA], parameters={"offset_ms": offset_ms})
            await socket.drain()
            for _ in range(20):
                data = await socket.next("bbo")
                moved_ms = offset_ms if data["coin"] == NVDA else 0
                assert abs(data["time"] - moved_ms - venue.now_ms()) < 60_000

    with_fault_venue(test)


def test_flood_multiplies_the_rate_with_valid_frames() -> None:
    async def test(venue: FaultVenue) -> None:
        async with venue.socket(BBO) as socket:
            await venue.switch("flood", channels=["bbo"], parameters={"times": 10})
            await socket.drain()
            texts = [await socket.text() for _ in range(40)]
            assert len(set(texts)) == 40
            assert len({json.loads(text)["data"]["time"] for text in texts}) <= 5
            assert not any(isinstance(decoded(text), FrameMalformed) for text in texts)

    with_fault_venue(test)


def test_big_frame_is_as_large_as_said() -> None:
    async def test(venue: FaultVenue) -> None:
        async with venue.socket(BBO) as socket:
            await venue.switch("big_frame", channels=["bbo"], count=1, parameters={"bytes": 3_000_000})
            sizes = [len(await socket.text()) for _ in range(30)]
            assert sum(size > 3_000_000 for size in sizes) == 1

    with_fault_venue(test)


def test_rename_lets_bbo_and_context_disagree() -> None:
    async def test(venue: FaultVenue) -> None:
        async with venue.socket(BBO, CTX) as socket:
            await venue.switch("rename", coins=[NVDA], channels=["bbo"], parameters={"to": "abc:NVDA"})
            await socket.drain()
            assert (await socket.next("bbo"))["coin"] == "abc:NVDA"
            assert (await socket.next("activeAssetCtx"))["coin"] == NVDA

    with_fault_venue(test)


def test_hostile_name_stands_in_every_listing() -> None:
    async def test(venue: FaultVenue) -> None:
        for name, hostile in HOSTILE_NAMES.items():
            await venue.switch("hostile_name", coins=[NVDA], parameters={"name": name})
            meta = await venue.info("meta", dex="xyz")
            assert [entry["name"] for entry in meta["universe"]] == [TSLA, hostile]
            assert (await venue.info("metaAndAssetCtxs", dex="xyz"))[0] == meta
            limits = await venue.info("perpDexLimits", dex="xyz")
            assert hostile in dict(limits["coinToOiCap"])
            assert (await venue.info("meta"))["universe"][0]["name"] == BTC
            await venue.clear()

    with_fault_venue(test)


def test_faults_of_a_file_begin_and_end_by_themselves() -> None:
    async def test(venue: FaultVenue) -> None:
        async with venue.socket(BBO, {"type": "bbo", "coin": TSLA}) as socket:
            await venue.blocks(40)
            await socket.drain()
            seen = {(await socket.next("bbo"))["coin"] for _ in range(10)}
            assert seen == {TSLA}
            while (await socket.next("bbo"))["coin"] != NVDA:
                pass
            _, body = await venue.admin("GET", "faults")
            assert [fault["state"] for fault in body["faults"]] == ["over"]

    with_fault_venue(test, FaultSpec(kind="mute", coins=(NVDA,), channels=("bbo",), at_s=1.0, for_s=12.0))


def test_faults_narrowed_to_a_user_strike_nobody_else() -> None:
    async def test(venue: FaultVenue) -> None:
        mine = {"type": "userFills", "user": USER}
        await venue.switch("ack", users=[USER])
        async with venue.socket() as struck, venue.socket(BBO) as spared:
            await struck.subscribe(is_acked=False, **mine)
            assert json.loads(await struck.text())["channel"] == "userFills"
            await spared.subscribe(type="userFills", user="0x" + "cd" * 20)

    with_fault_venue(test)
