import asyncio
import json
from decimal import Decimal

import aiohttp
import pytest
from fault_venue import BTC, NOW_MS, NVDA, TSLA, FaultVenue, with_fault_venue
from sim_requests import Wallet, order_action

from streaming.sim.exchange.requests import refusals
from streaming.sim.scenario.fault_kinds_exchange import REJECT_CODES
from streaming.sim.venue.faults.exchange import REJECT_TEXTS


async def answer_of(venue: FaultVenue, wallet: Wallet, **item: object) -> tuple[int, bytes]:
    body = wallet.sign(order_action(await venue.item(**item)), nonce=venue.nonce(wallet))
    return await venue.raw_exchange(body)


def test_reject_refuses_each_order_with_the_documented_text() -> None:
    async def test(venue: FaultVenue) -> None:
        wallet = Wallet(1)
        struck, spared = await venue.item(), await venue.item(TSLA, sz="0.1")
        for code in REJECT_CODES:
            await venue.switch("reject", coins=[NVDA], count=1, parameters={"code": code})
            refused, filled = await venue.order(wallet, struck, spared)
            assert refused["error"] == f"{REJECT_TEXTS[code]} asset={venue.asset_ids[NVDA]}"
            assert "filled" in filled
        assert await venue.szi(wallet) == 0

    with_fault_venue(test)


def test_reject_text_is_any_text_and_counts_are_exact() -> None:
    async def test(venue: FaultVenue) -> None:
        await venue.switch("reject_text", count=2, parameters={"text": "Moon in the wrong phase."})
        items = [await venue.item() for _ in range(3)]
        statuses = await venue.order(Wallet(1), *items)
        assert [("error" in status) for status in statuses] == [True, True, False]
        assert statuses[0]["error"].startswith("Moon in the wrong phase.")

    with_fault_venue(test)


@pytest.mark.parametrize("shape", ["single", "top"])
def test_batch_error_answers_all_orders_with_one_text(shape: str) -> None:
    async def test(venue: FaultVenue) -> None:
        wallet = Wallet(1)
        await venue.switch("batch_error", parameters={"shape": shape})
        body = await venue.act(wallet, order_action(*[await venue.item() for _ in range(3)]))
        text = "Order price cannot be more than 80% away from the reference price"
        if shape == "top":
            assert body == {"status": "err", "response": text}
        else:
            [status] = body["response"]["data"]["statuses"]
            assert status["error"].startswith(text)
        assert await venue.fills(wallet) == []

    with_fault_venue(test)


@pytest.mark.parametrize(("shape", "count"), [("short", 2), ("long", 4), ("shuffled", 3)])
def test_statuses_are_not_those_of_the_orders_that_were_executed(shape: str, count: int) -> None:
    async def test(venue: FaultVenue) -> None:
        wallet = Wallet(1)
        await venue.switch("statuses", parameters={"shape": shape})
        items = [await venue.item(sz=sz) for sz in ("1", "2", "3")]
        statuses = await venue.order(wallet, *items)
        assert len(statuses) == count
        assert await venue.szi(wallet) == 6
        if shape == "shuffled":
            assert [Decimal(status["filled"]["totalSz"]) for status in statuses] == [2, 3, 1]

    with_fault_venue(test)


@pytest.mark.parametrize(("kind", "szi"), [("lost_answer", 1), ("lost_request", 0)])
def test_lost_answers_time_out_executed_or_not(kind: str, szi: int) -> None:
    async def test(venue: FaultVenue) -> None:
        wallet = Wallet(1)
        await venue.switch(kind, users=[wallet.address], count=1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                await answer_of(venue, wallet)
        assert await venue.szi(wallet) == szi
        assert len(await venue.fills(wallet)) == szi
        status, _ = await answer_of(venue, wallet)
        assert status == 200

    with_fault_venue(test)


@pytest.mark.parametrize("shape", ["html", "cut", "gzip"])
def test_garbage_is_answered_after_execution(shape: str) -> None:
    async def test(venue: FaultVenue) -> None:
        wallet = Wallet(1)
        await venue.switch("garbage", channels=["order"], parameters={"shape": shape})
        status, raw = await answer_of(venue, wallet)
        assert status == (502 if shape == "html" else 200)
        with pytest.raises(ValueError, match=r".*"):
            json.loads(raw)
        assert await venue.szi(wallet) == 1

    with_fault_venue(test)


def test_partial_fills_a_part_and_cancels_the_rest() -> None:
    async def test(venue: FaultVenue) -> None:
        wallet = Wallet(1)
        await venue.switch("partial", users=[wallet.address], parameters={"ratio": 0.25})
        [status] = await venue.order(wallet, await venue.item(sz="8"))
        assert Decimal(status["filled"]["totalSz"]) == 2
        assert await venue.szi(wallet) == 2
        other = Wallet(2)
        [status] = await venue.order(other, await venue.item(sz="8"))
        assert Decimal(status["filled"]["totalSz"]) == 8

    with_fault_venue(test)


def test_fill_comes_by_post_feed_and_rest_and_once_more() -> None:
    async def test(venue: FaultVenue) -> None:
        wallet = Wallet(1)
        async with venue.socket({"type": "userFills", "user": wallet.address}) as socket:
            await socket.next("userFills")
            await venue.switch("duplicate", channels=["userFills"])
            payload = wallet.sign(order_action(await venue.item()), nonce=venue.nonce(wallet))
            request = {"type": "action", "payload": payload}
            await socket.send({"method": "post", "id": 1, "request": request})
            frames = [json.loads(await socket.text()) for _ in range(3)]
            posted = [f["data"]["response"]["payload"]["response"]["data"] for f in frames if f["channel"] == "post"]
            told = [fill for f in frames if f["channel"] == "userFills" for fill in f["data"]["fills"]]
            [rest] = await venue.fills(wallet)
            assert len(told) == 2
            assert {fill["tid"] for fill in told} == {rest["tid"]}
            assert posted[0]["statuses"][0]["filled"]["oid"] == rest["oid"]

    with_fault_venue(test)


@pytest.mark.parametrize("is_accepted", [True, False])
def test_known_cloid_is_refused_or_taken_as_the_switch_says(is_accepted: bool) -> None:
    async def test(venue: FaultVenue) -> None:
        wallet, cloid = Wallet(1), "0x" + "0" * 31 + "1"
        await venue.switch("cloid", parameters={"is_accepted": is_accepted})
        first, second = [(await venue.order(wallet, await venue.item(cloid=cloid)))[0] for _ in range(2)]
        assert "filled" in first
        assert ("filled" in second) is is_accepted
        assert await venue.szi(wallet) == (2 if is_accepted else 1)

    with_fault_venue(test)


def test_post_only_window_refuses_what_may_take_and_is_announced() -> None:
    async def test(venue: FaultVenue) -> None:
        wallet = Wallet(1)
        await venue.switch("post_only")
        taking, resting = await venue.order(wallet, await venue.item(), await venue.item(tif="Alo"))
        assert taking["error"].startswith("Only post-only orders allowed")
        assert "resting" in resting
        assert (await venue.info("exchangeStatus"))["specialStatuses"] is not None
        await venue.clear()
        assert (await venue.info("exchangeStatus"))["specialStatuses"] is None

    with_fault_venue(test)


@pytest.mark.parametrize(
    ("reason", "text"), [("low", "nonce too low"), ("duplicate", "duplicate nonce"), ("window", "too far")]
)
def test_nonce_is_refused_with_its_number(reason: str, text: str) -> None:
    async def test(venue: FaultVenue) -> None:
        wallet = Wallet(1)
        await venue.switch("nonce", count=1, parameters={"reason": reason})
        request = wallet.sign(order_action(await venue.item()), nonce=venue.nonce(wallet))
        _, raw = await venue.raw_exchange(request)
        body = json.loads(raw)
        assert body["status"] == "err"
        assert text in body["response"]
        assert str(request["nonce"]) in body["response"]
        _, raw = await venue.raw_exchange(request)
        assert json.loads(raw)["status"] == "ok"

    with_fault_venue(test)


def test_rate_limit_of_a_scope_answers_429_there_only() -> None:
    async def test(venue: FaultVenue) -> None:
        wallet = Wallet(1)
        order = wallet.sign(order_action(await venue.item()), nonce=venue.nonce(wallet))
        number = await venue.switch("rate_limit", channels=["exchange"])
        assert (await venue.raw_exchange(order))[0] == 429
        assert (await venue.raw_info({"type": "exchangeStatus"}))[0] == 200
        await venue.admin("DELETE", f"faults/{number}")
        await venue.switch("rate_limit", channels=["meta"])
        assert (await venue.raw_info({"type": "meta"}))[0] == 429
        assert (await venue.raw_exchange(order))[0] == 200
        async with venue.socket() as socket:
            request = {"type": "info", "payload": {"type": "meta"}}
            await socket.send({"method": "post", "id": 1, "request": request})
            response = (await socket.next("post"))["response"]
            assert response["type"] == "error"
            assert response["payload"].startswith("429")

    with_fault_venue(test)


def test_budget_is_used_up_and_one_action_in_ten_seconds_passes() -> None:
    async def test(venue: FaultVenue) -> None:
        wallet, other = Wallet(1), Wallet(2)
        await venue.order(wallet, await venue.item())
        await venue.order(other, await venue.item())
        await venue.switch("budget", users=[wallet.address])
        use = await venue.info("userRateLimit", user=wallet.address)
        assert use["nRequestsUsed"] == use["nRequestsCap"]
        bodies = [await venue.act(wallet, {"type": "noop"}) for _ in range(3)]
        assert [body["status"] for body in bodies] == ["ok", "err", "err"]
        assert bodies[1]["response"].startswith("Too many cumulative requests sent (")
        assert (await venue.act(other, {"type": "noop"}))["status"] == "ok"

    with_fault_venue(test)


def test_latency_delays_what_is_executed() -> None:
    async def test(venue: FaultVenue) -> None:
        wallet = Wallet(1)
        sent_ms = venue.now_ms()
        await venue.switch("latency", parameters={"arrival_ms": 6_000, "answer_ms": 3_000})
        await venue.order(wallet, await venue.item())
        [fill] = await venue.fills(wallet)
        assert fill["time"] >= sent_ms + 6_000
        assert venue.now_ms() >= fill["time"] + 3_000

    with_fault_venue(test)


async def approve(venue: FaultVenue, master: Wallet, agent: Wallet) -> None:
    nonce = venue.nonce(master)
    action = {
        "type": "approveAgent",
        "signatureChainId": "0x66eee",
        "hyperliquidChain": "Testnet",
        "agentAddress": agent.address,
        "agentName": "bot",
        "nonce": nonce,
    }
    _, raw = await venue.raw_exchange(master.sign_user(action, nonce))
    assert json.loads(raw)["status"] == "ok", raw


@pytest.mark.parametrize("kind", ["agents_revoked", "agents_pruned"])
def test_agent_that_is_gone_is_unknown_and_its_old_requests_come_alive_with_it(kind: str) -> None:
    async def test(venue: FaultVenue) -> None:
        master, agent = Wallet(1), Wallet(2)
        await approve(venue, master, agent)
        old = agent.sign(order_action(await venue.item()), nonce=venue.nonce(agent))
        assert json.loads((await venue.raw_exchange(old))[1])["status"] == "ok"
        assert "duplicate nonce" in json.loads((await venue.raw_exchange(old))[1])["response"]
        await venue.switch(kind)
        body = await venue.act(agent, order_action(await venue.item()))
        assert body == {"status": "err", "response": refusals.unknown_signer(agent.address)}
        assert await venue.info("extraAgents", user=master.address) == []
        async with venue.socket({"type": "bbo", "coin": NVDA}) as socket:
            await socket.next("bbo")  # market data stays
        await approve(venue, master, agent)
        assert json.loads((await venue.raw_exchange(old))[1])["status"] == "ok"
        assert await venue.szi(master) == 2

    with_fault_venue(test)


def test_unknown_signer_is_refused_as_on_another_network() -> None:
    async def test(venue: FaultVenue) -> None:
        await venue.switch("signer_unknown")
        body = await venue.act(Wallet(1), order_action(await venue.item()))
        assert body["status"] == "err"
        assert "does not exist." in body["response"]

    with_fault_venue(test)


def test_mainnet_venue_refuses_a_signature_for_testnet() -> None:
    async def test(venue: FaultVenue) -> None:
        body = [await venue.act(Wallet(1), order_action(await venue.item())) for _ in range(2)][-1]
        assert body["status"] == "err"
        assert "does not exist." in body["response"]
        assert await venue.fills(Wallet(1)) == []

    with_fault_venue(test, network="mainnet")


def test_outage_fails_requests_and_silences_sockets_until_it_is_over() -> None:
    async def test(venue: FaultVenue) -> None:
        wallet = Wallet(1)
        order = await venue.item()
        async with venue.socket({"type": "bbo", "coin": NVDA}) as socket:
            await venue.switch("outage", parameters={"status": 503})
            assert (await venue.raw_info({"type": "meta"}))[0] == 503
            signed = wallet.sign(order_action(order), nonce=venue.nonce(wallet))
            assert (await venue.raw_exchange(signed))[0] == 503
            with pytest.raises(aiohttp.WSServerHandshakeError):
                async with venue.socket():
                    pass
            await venue.blocks(10)
            seen_ms = venue.now_ms()
            await venue.blocks(60)
            await venue.clear()
            began_ms = venue.now_ms() - 20 * 68
            assert (await venue.raw_info({"type": "meta"}))[0] == 200
            while (time_ms := (await socket.next("bbo"))["time"]) < began_ms:
                assert time_ms < seen_ms
            async with venue.socket({"type": "bbo", "coin": NVDA}) as again:
                await again.next("bbo")
        assert await venue.fills(wallet) == []

    with_fault_venue(test)


def test_pull_leaves_an_order_without_a_match_and_the_book_as_it_was() -> None:
    async def test(venue: FaultVenue) -> None:
        wallet = Wallet(1)
        await venue.switch("pull", coins=[NVDA], count=1)
        first, second = [(await venue.order(wallet, await venue.item()))[0] for _ in range(2)]
        assert first["error"].startswith(refusals.IOC_NO_MATCH)
        assert "filled" in second
        assert (await venue.info("l2Book", coin=NVDA))["levels"][1]

    with_fault_venue(test)


# Accounts


@pytest.mark.parametrize("method", ["market", "backstop", "adl"])
def test_liquidation_closes_a_part_with_flagged_fills(method: str) -> None:
    async def test(venue: FaultVenue) -> None:
        wallet = Wallet(1)
        await venue.order(wallet, await venue.item(sz="4"))
        topics = ({"type": channel, "user": wallet.address} for channel in ("userEvents", "notification"))
        async with venue.socket(*topics) as socket:
            await venue.switch("liquidate", users=[wallet.address], parameters={"ratio": 0.25, "method": method})
            assert await venue.szi(wallet) == 3
            fill = (await venue.fills(wallet))[0]
            if method == "adl":
                assert (fill["dir"], "liquidation" in fill) == ("Auto-Deleveraging", False)
            else:
                assert fill["liquidation"]["method"] == method
                while "liquidation" not in (data := await socket.next("user")):
                    pass
                assert data["liquidation"]["liquidated_user"] == wallet.address
                assert "liquidated" in (await socket.next("notification"))["notification"]

    with_fault_venue(test)


@pytest.mark.parametrize("shape", ["empty", "stale", "other_dex"])
def test_positions_flap_while_the_truth_stays(shape: str) -> None:
    async def test(venue: FaultVenue) -> None:
        wallet = Wallet(1)
        await venue.order(wallet, await venue.item(sz="2"))
        number = await venue.switch("positions", users=[wallet.address], parameters={"shape": shape})
        assert await venue.szi(wallet) == (2 if shape == "stale" else 0)
        await venue.order(wallet, await venue.item(sz="1"))
        assert await venue.szi(wallet) == (2 if shape == "stale" else 0)
        state = await venue.info("clearinghouseState", user=wallet.address, dex="xyz")
        coins = [item["position"]["coin"] for item in state["assetPositions"]]
        assert coins == {"empty": [], "stale": [NVDA], "other_dex": ["othr:NVDA"]}[shape]
        await venue.admin("DELETE", f"faults/{number}")
        assert await venue.szi(wallet) == 3

    with_fault_venue(test)


def test_foreign_trade_fills_with_an_order_the_client_never_sent() -> None:
    async def test(venue: FaultVenue) -> None:
        wallet = Wallet(1)
        [status] = await venue.order(wallet, await venue.item(sz="1"))
        await venue.switch("trade", users=[wallet.address], coins=[NVDA], parameters={"sz": 2.5, "is_buy": False})
        assert await venue.szi(wallet) == Decimal("-1.5")
        newest = (await venue.fills(wallet))[0]
        assert newest["oid"] != status["filled"]["oid"]
        assert "cloid" not in newest

    with_fault_venue(test)


@pytest.mark.parametrize(
    ("usd", "dex", "kinds"),
    [
        (250.0, "", ["deposit"]),
        (-250.0, "", ["withdraw"]),
        (250.0, "xyz", ["deposit", "send"]),
        (-250.0, "xyz", ["send", "withdraw"]),
    ],
)
def test_transfer_moves_money_of_one_dex_and_is_on_record(usd: float, dex: str, kinds: list[str]) -> None:
    async def test(venue: FaultVenue) -> None:
        wallet = Wallet(1)
        dexes = ("", "xyz")
        await venue.order(wallet, await venue.item(tif="Gtc"))

        async def values() -> dict[str, Decimal]:
            states = {name: await venue.info("clearinghouseState", user=wallet.address, dex=name) for name in dexes}
            return {name: Decimal(state["marginSummary"]["accountValue"]) for name, state in states.items()}

        before = await values()
        await venue.switch("transfer", users=[wallet.address], parameters={"usd": usd, "dex": dex})
        after = await values()
        assert {name: after[name] - before[name] for name in dexes} == dict.fromkeys(dexes, 0) | {dex: usd}
        updates = await venue.info("userNonFundingLedgerUpdates", user=wallet.address, startTime=0)
        assert [update["delta"]["type"] for update in updates] == kinds

    with_fault_venue(test)


@pytest.mark.parametrize(("factor", "token"), [(2.0, ""), (-1.0, "HYPE")])
def test_fee_is_another_one_in_another_token(factor: float, token: str) -> None:
    async def test(venue: FaultVenue) -> None:
        wallet = Wallet(1)

        async def rate() -> Decimal:
            await venue.order(wallet, await venue.item(sz="10"))
            fills = await venue.fills(wallet)
            newest = [fill for fill in fills if fill["oid"] == fills[0]["oid"]]
            ntl = sum(Decimal(fill["px"]) * Decimal(fill["sz"]) for fill in newest)
            assert {fill["feeToken"] for fill in newest} == {tokens[-1]}
            return sum(Decimal(fill["fee"]) for fill in newest) / ntl

        tokens = ["USDC"]
        true_rate = await rate()
        tokens.append(token or "USDC")
        await venue.switch("fee", parameters={"factor": factor} | ({"token": token} if token else {}))
        assert abs(await rate() / true_rate - Decimal(str(factor))) < Decimal("0.01")
        await venue.clear()
        tokens.append("USDC")
        assert abs(await rate() / true_rate - 1) < Decimal("0.01")

    with_fault_venue(test)


def test_funding_is_charged_now_and_on_record() -> None:
    async def test(venue: FaultVenue) -> None:
        wallet = Wallet(1)
        await venue.order(wallet, await venue.item(sz="10"))
        async with venue.socket({"type": "userEvents", "user": wallet.address}) as socket:
            await venue.switch("funding")
            while "funding" not in (data := await socket.next("user")):
                pass
            assert data["funding"]["coin"] == NVDA
            [item] = await venue.info("userFunding", user=wallet.address, startTime=0)
            assert item["delta"]["szi"] == "10.0"

    with_fault_venue(test)


def test_funding_strikes_an_account_that_has_just_closed() -> None:
    async def test(venue: FaultVenue) -> None:
        wallet = Wallet(1)
        await venue.order(wallet, await venue.item())
        await venue.order(wallet, await venue.item(is_buy=False))
        assert await venue.szi(wallet) == 0
        await venue.switch("funding", users=[wallet.address], parameters={"flat_usd": 0.25})
        [item] = await venue.info("userFunding", user=wallet.address, startTime=0)
        assert (item["delta"]["usdc"], item["delta"]["szi"]) == ("-0.25", "0.0")

    with_fault_venue(test)


def test_zero_fill_is_told() -> None:
    async def test(venue: FaultVenue) -> None:
        wallet = Wallet(1)
        async with venue.socket({"type": "userFills", "user": wallet.address}) as socket:
            await socket.next("userFills")
            await venue.switch("zero_fill", users=[wallet.address], coins=[NVDA])
            [fill] = (await socket.next("userFills"))["fills"]
            assert Decimal(fill["sz"]) == 0
            assert await venue.szi(wallet) == 0

    with_fault_venue(test)


def test_fills_of_faults_have_other_ids_after_another_start() -> None:
    """Two sessions of a day that shared a tid would post the same fill twice."""
    tids: list[int] = []

    async def test(venue: FaultVenue) -> None:
        wallet = Wallet(1)
        async with venue.socket({"type": "userFills", "user": wallet.address}) as socket:
            await socket.next("userFills")
            await venue.switch("zero_fill", users=[wallet.address], coins=[NVDA])
            tids.extend(fill["tid"] for fill in (await socket.next("userFills"))["fills"])

    for begin_ms in (NOW_MS, NOW_MS + 60_000):
        with_fault_venue(test, begin_ms=begin_ms)
    assert len(set(tids)) == len(tids) == 2


def test_account_faults_conserve_money() -> None:
    async def test(venue: FaultVenue) -> None:
        wallets = [Wallet(1), Wallet(2)]
        for wallet in wallets:
            await venue.order(wallet, await venue.item(sz="5"), await venue.item(BTC, sz="0.1"))
        await venue.switch("fee", parameters={"factor": -3.0, "token": "HYPE"})
        await venue.switch("liquidate", parameters={"ratio": 0.4, "method": "backstop"})
        await venue.switch("trade", parameters={"is_buy": False})
        await venue.switch("transfer", parameters={"usd": 77.5, "dex": "xyz"})
        await venue.switch("funding")
        await venue.switch("zero_fill", coins=[NVDA])
        await venue.switch("halt", coins=[BTC])
        await venue.switch("liquidate", parameters={"method": "adl"})
        await venue.switch("funding", parameters={"flat_usd": 1.0})
        accounts = venue.faults._accounts
        assert accounts is not None
        books = accounts._accounts
        cash = sum(house.raw_usd for account in books.all() for house in account.houses.values())
        assert not any(house.positions for account in books.all() for house in account.houses.values())
        total = cash + books.house.cash_usd + sum(books.house.fees_usd.values())
        assert abs(total - books.house.deposited_usd) < Decimal("1e-6")

    with_fault_venue(test)
