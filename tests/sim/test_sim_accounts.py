from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sim_accounts import ANN, BOB, Claim, Floor
from sim_market_view import BTC, FOO, GOLD, NVDA, START_MS

from streaming.sim.exchange.accounts.executions import LiquidationMark
from streaming.sim.exchange.accounts.transfers import Transfer, change_class, send, send_usd
from streaming.sim.exchange.requests import refusals

D = Decimal
SIZES = st.integers(-40, 40).filter(bool).map(lambda lots: D(lots) / 10)
PRICES = st.integers(18_000, 20_000).map(lambda ticks: D(ticks) / 100)


def cash(floor: Floor, user: str, dex: str = "xyz") -> Decimal:
    return floor.accounts.of(user).houses[dex].raw_usd


# --- fills


def test_apply_fill_opening_long_gives_the_documented_body() -> None:
    body = Floor().trade(ANN, "0.5", "190.02", cloid="0x00000000000000000000000000000001", tx_hash="0xab")
    assert list(body) == [
        "coin", "px", "sz", "side", "time", "startPosition", "dir", "closedPnl", "hash", "oid", "crossed", "fee",
        "tid", "cloid", "feeToken", "twapId",
    ]  # fmt: skip
    assert (body["px"], body["sz"], body["side"], body["startPosition"]) == ("190.02", "0.5", "B", "0.0")
    assert (body["dir"], body["closedPnl"], body["fee"]) == ("Open Long", "0.0", "0.00855")
    assert (body["feeToken"], body["twapId"], body["crossed"]) == ("USDC", None, True)


@pytest.mark.parametrize(
    ("start", "sz", "direction", "closed_pnl"),
    [
        ("0", "-1", "Open Short", "0.0"),
        ("2", "1", "Open Long", "0.0"),
        ("2", "-1", "Close Long", "10.0"),
        ("2", "-2", "Close Long", "20.0"),
        ("2", "-3", "Long > Short", "20.0"),
        ("-2", "1", "Close Short", "-10.0"),
        ("-2", "3", "Short > Long", "-20.0"),
    ],
)
def test_apply_fill_direction_and_pnl_follow_the_position(start: str, sz: str, direction: str, closed_pnl: str) -> None:
    floor = Floor()
    if D(start):
        floor.trade(ANN, start, "100")
    body = floor.trade(ANN, sz, "110")
    assert (body["dir"], body["closedPnl"]) == (direction, closed_pnl)
    assert floor.accounts.of(ANN).szi(NVDA) == D(start) + D(sz)


def test_apply_fill_real_fill_reproduced_pnl() -> None:
    """BTC 0.01009 sold at 64761 of a long of 0.21726 realised 0.581184 on the wire: entry 64703.4 on average."""
    floor = Floor()
    floor.trade(ANN, "0.21726", "64703.4", BTC)
    assert abs(D(floor.trade(ANN, "-0.01009", "64761.0", BTC)["closedPnl"]) - D("0.581184")) < D("0.00001")


def test_apply_fill_fee_is_cut_like_the_recorded_one() -> None:
    """66.653 of notional at 1.5 bp is 0.00999795; the wire says 0.009997."""
    body = Floor().trade(ANN, "-0.001", "66653.0", BTC, is_taker=False)
    assert body["fee"] == "0.009997"
    assert body["crossed"] is False


def test_apply_fill_liquidation_and_builder_show_up_only_then() -> None:
    mark = LiquidationMark(user=BOB, mark_px=D("66607"), method="market")
    body = Floor().trade(ANN, "1", "100", liquidation=mark, builder=BOB, builder_fee_bps=D(1))
    assert body["liquidation"] == {"liquidatedUser": BOB, "markPx": "66607.0", "method": "market"}
    assert body["builderFee"] == "0.01"
    assert D(body["fee"]) == D("0.01") + D("0.009")


def test_apply_fill_fees_are_shared_with_deployer_and_builder() -> None:
    floor = Floor()
    floor.trade(ANN, "10", "4000", GOLD, builder=BOB, builder_fee_bps=D(1))
    assert floor.accounts.house.fees_usd == {"protocol": D("18"), "xyz": D("18"), BOB: D("4")}


def test_apply_fill_of_nothing_leaves_no_trace_but_a_body() -> None:
    floor = Floor()
    assert floor.trade(ANN, "0", "190")["sz"] == "0.0"
    assert floor.accounts.of(ANN).position(NVDA) is None
    assert list(floor.accounts.holders()) == []


def test_fee_faults_change_amount_and_token() -> None:
    floor = Floor()
    plain = floor.trade(ANN, "1", "100")
    floor.accounts.fee_factor, floor.accounts.fee_token = D(2), "USDH"
    broken = floor.trade(ANN, "1", "100")
    assert D(broken["fee"]) == 2 * D(plain["fee"])
    assert broken["feeToken"] == "USDH"
    floor.check_books()


def test_entry_px_averages_and_survives_partial_closes() -> None:
    floor = Floor()
    floor.trade(ANN, "1", "100")
    floor.trade(ANN, "3", "104")
    floor.trade(ANN, "-2", "90")
    position = floor.accounts.of(ANN).position(NVDA)
    assert position is not None
    assert position.entry_px(3) == D("103")


def test_holders_are_those_with_a_position() -> None:
    floor = Floor()
    floor.accounts.of(BOB)
    floor.trade(ANN, "1", "190")
    assert [account.user for account in floor.accounts.holders()] == [ANN]
    floor.trade(ANN, "-1", "190")
    assert list(floor.accounts.holders()) == []


# --- invariants over many fills


@settings(max_examples=60)
@given(
    trades=st.lists(
        st.tuples(st.sampled_from([ANN, BOB]), st.sampled_from([NVDA, GOLD, FOO]), SIZES, PRICES), max_size=25
    )
)
def test_fills_conserve_money_and_positions(trades: list[tuple[str, str, Decimal, Decimal]]) -> None:
    floor = Floor()
    sums: dict[tuple[str, str], Decimal] = {}
    for user, coin, sz, px in trades:
        body = floor.trade(user, sz, px, coin)
        assert D(body["startPosition"]) == sums.get((user, coin), D(0))
        sums[user, coin] = sums.get((user, coin), D(0)) + sz
    for (user, coin), szi in sums.items():
        assert floor.accounts.of(user).szi(coin) == szi
    floor.check_books()


@settings(max_examples=60)
@given(trades=st.lists(st.tuples(SIZES, PRICES), min_size=1, max_size=25))
def test_closed_pnl_equals_cash_flow_once_flat(trades: list[tuple[Decimal, Decimal]]) -> None:
    """Independent of averages: flat again, the realised pnl is what was received less what was paid."""
    floor = Floor(balance_usd=D(10_000_000))
    bodies = [floor.trade(ANN, sz, px) for sz, px in trades]
    left = sum((sz for sz, _ in trades), start=D(0))
    if left:
        bodies.append(floor.trade(ANN, -left, "190"))
    flow = -sum((sz * px for sz, px in [*trades, (-left, D(190))]), start=D(0))
    assert sum(D(body["closedPnl"]) for body in bodies) == pytest.approx(flow, abs=len(bodies) * D("2e-6"))
    fees = sum((D(body["fee"]) for body in bodies), start=D(0))
    assert cash(floor, ANN) == 10_000_000 + flow - fees


@settings(max_examples=60)
@given(trades=st.lists(st.tuples(SIZES, PRICES), min_size=1, max_size=25))
def test_closed_pnl_equals_average_cost_in_fractions(trades: list[tuple[Decimal, Decimal]]) -> None:
    floor = Floor(balance_usd=D(10_000_000))
    held, cost = Fraction(0), Fraction(0)
    for sz, px in trades:
        body = floor.trade(ANN, sz, px, GOLD)
        signed, at = Fraction(sz), Fraction(px)
        pnl = Fraction(0)
        if held and (held > 0) != (signed > 0):
            closed = min(abs(signed), abs(held)) * (1 if held > 0 else -1)
            pnl = closed * (at - cost / held)
            cost -= cost * closed / held
            held -= closed
            signed += closed
        held, cost = held + signed, cost + signed * at
        assert abs(Fraction(D(body["closedPnl"])) - pnl) <= Fraction(len(trades), 500_000)


@given(start=SIZES, part=st.integers(1, 100), px=PRICES)
def test_closing_at_most_the_position_never_flips(start: Decimal, part: int, px: Decimal) -> None:
    floor = Floor()
    floor.trade(ANN, start, "190", GOLD)
    body = floor.trade(ANN, -start * part / 100, px, GOLD)
    left = floor.accounts.of(ANN).szi(GOLD)
    assert left == start * (100 - part) / 100
    assert not left or (left > 0) == (start > 0)
    assert body["dir"].startswith("Close")


# --- isolated margin


def test_isolated_opening_moves_margin_out_of_the_cash_and_pays_its_fee() -> None:
    floor = Floor()
    floor.trade(ANN, "1", "4000", GOLD)
    position = floor.accounts.of(ANN).position(GOLD)
    assert position is not None
    assert cash(floor, ANN) == 10_000 - 200
    assert position.equity(D(4000)) == 200 - D("3.6")


def test_isolated_partial_close_gives_back_its_part() -> None:
    floor = Floor()
    floor.trade(ANN, "1", "4000", GOLD, is_free=True)
    floor.trade(ANN, "-0.25", "4080", GOLD, is_free=True)
    position = floor.accounts.of(ANN).position(GOLD)
    assert position is not None
    assert cash(floor, ANN) == 9_800 + 70
    assert position.equity(D(4080)) == 210


def test_isolated_loss_beyond_the_margin_is_the_houses() -> None:
    floor = Floor()
    floor.trade(ANN, "1", "4000", GOLD, is_free=True)
    body = floor.trade(ANN, "-1", "3000", GOLD)
    assert body["closedPnl"] == "-1000.0"
    assert cash(floor, ANN) == 9_800
    floor.check_books()


def test_cross_loss_beyond_the_balance_is_the_houses() -> None:
    floor = Floor(balance_usd=D(100))
    floor.trade(ANN, "10", "190")
    floor.trade(ANN, "-10", "100")
    assert cash(floor, ANN) == 0
    floor.check_books()


def test_default_leverage_is_20_or_the_maximum_and_cross_where_allowed() -> None:
    accounts = Floor().accounts
    found = {coin: accounts.setting(accounts.of(ANN), coin, START_MS) for coin in (BTC, NVDA, GOLD, FOO)}
    assert {coin: (s.leverage, s.is_cross) for coin, s in found.items()} == {
        BTC: (20, True), NVDA: (20, True), GOLD: (20, False), FOO: (10, False),
    }  # fmt: skip


def test_leverage_set_is_held_to_what_the_market_allows_now() -> None:
    floor = Floor()
    floor.trade(ANN, "1", "190")
    changed = msgspec.structs.replace(floor.view.listed(NVDA, START_MS).market, leverage_max=5, margin_mode="noCross")
    floor.view.set_listed(NVDA, market=changed)
    accounts = floor.accounts
    held, fresh = (accounts.setting(accounts.of(user), NVDA, START_MS) for user in (ANN, BOB))
    assert (held.leverage, held.is_cross) == (20, True)
    assert (fresh.leverage, fresh.is_cross) == (5, False)


# --- placing


def test_can_place_up_to_the_balance_at_the_leverage() -> None:
    floor = Floor(balance_usd=D(190))
    assert floor.accounts.can_place(ANN, Claim(True, D(190), D(20)), [], START_MS) is None
    assert floor.accounts.can_place(ANN, Claim(True, D(190), D("20.001")), [], START_MS) == refusals.MARGIN


def test_can_place_counts_resting_orders_of_all_markets() -> None:
    floor = Floor(balance_usd=D(190))
    resting = [Claim(True, D(190), D(5)), Claim(True, D(4000), D("0.25"), coin=GOLD)]
    assert floor.accounts.can_place(ANN, Claim(True, D(190), D("9.7")), resting, START_MS) is None
    assert floor.accounts.can_place(ANN, Claim(True, D(190), D("9.8")), resting, START_MS) == refusals.MARGIN


def test_can_place_reducing_is_always_allowed() -> None:
    floor = Floor(balance_usd=D(200))
    floor.trade(ANN, "20", "190")
    floor.view.set_px(NVDA, "181")
    assert floor.accounts.can_place(ANN, Claim(True, D(181), D("0.1")), [], START_MS) == refusals.MARGIN
    assert floor.accounts.can_place(ANN, Claim(False, D(181), D(20)), [], START_MS) is None
    assert floor.accounts.can_place(ANN, Claim(False, D(181), D(90), is_reduce_only=True), [], START_MS) is None


def test_can_place_dexes_have_separate_balances() -> None:
    floor = Floor(balance_usd=D(190))
    floor.trade(ANN, "20", "190")
    assert floor.accounts.can_place(ANN, Claim(True, D(190), D(1)), [], START_MS) == refusals.MARGIN
    assert floor.accounts.can_place(ANN, Claim(True, D(84_000), D("0.04"), coin=BTC), [], START_MS) is None


# --- money in and out


def test_deposit_and_withdraw_are_on_record() -> None:
    floor = Floor()
    floor.accounts.deposit(ANN, "xyz", D("12.5"), START_MS)
    assert floor.accounts.withdraw(ANN, "xyz", D(13), [], START_MS + 1) is None
    assert floor.accounts.withdraw(ANN, "xyz", D(10_000), [], START_MS) == refusals.WITHDRAWAL_BALANCE
    assert [item["delta"]["type"] for item in floor.accounts.of(ANN).ledger] == ["deposit", "withdraw"]
    assert cash(floor, ANN) == D("9999.5")
    floor.check_books()


def test_charge_pays_the_venue() -> None:
    floor = Floor(balance_usd=D(1))
    assert floor.accounts.charge(ANN, "", D("0.5"), [], START_MS) is None
    assert floor.accounts.charge(ANN, "", D("0.6"), [], START_MS) == refusals.WITHDRAWAL_BALANCE
    assert floor.accounts.house.fees_usd == {"protocol": D("0.5")}
    floor.check_books()


def transfer(source: str, target: str, usd: str, destination: str = ANN) -> Transfer:
    return Transfer(user=ANN, destination=destination, source=source, target=target, usd=D(usd), nonce=1)


def test_transfers_move_money_and_stand_in_both_ledgers() -> None:
    floor = Floor()
    assert send(floor.accounts, transfer("", "xyz", "100"), START_MS) is None
    assert send_usd(floor.accounts, transfer("", "", "50", BOB), START_MS) is None
    assert change_class(floor.accounts, transfer("", "spot", "25"), START_MS) is None
    assert (cash(floor, ANN, ""), cash(floor, ANN), cash(floor, BOB, "")) == (9_825, 10_100, 10_050)
    assert floor.accounts.of(ANN).spot_usd == 25
    assert [item["delta"]["type"] for item in floor.accounts.of(ANN).ledger] == [
        "send", "internalTransfer", "accountClassTransfer",
    ]  # fmt: skip
    assert len(floor.accounts.of(BOB).ledger) == 1
    floor.check_books()


@pytest.mark.parametrize(
    ("source", "target", "usd", "refusal"),
    [
        ("", "nope", "1", refusals.DEX_UNKNOWN),
        ("", "xyz", "0", refusals.AMOUNT_INVALID),
        ("", "xyz", "10001", refusals.TRANSFER_BALANCE),
        ("spot", "xyz", "1", refusals.TRANSFER_BALANCE),
    ],
)
def test_transfer_refused_changes_nothing(source: str, target: str, usd: str, refusal: str) -> None:
    floor = Floor()
    assert send(floor.accounts, transfer(source, target, usd), START_MS) == refusal
    assert cash(floor, ANN, "") == 10_000
    assert not floor.accounts.of(ANN).ledger


def test_ledger_items_have_hashes_of_their_own_both_sides_of_a_transfer_the_same() -> None:
    accounts = Floor().accounts
    for nonce in (1, 2):
        transfer = Transfer(user=ANN, destination=BOB, source="", target="", usd=D(5), nonce=nonce)
        assert send_usd(accounts, transfer, START_MS) is None
    hashes = [[item["hash"] for item in accounts.of(user).ledger] for user in (ANN, BOB)]
    assert hashes[0] == hashes[1]
    assert len(set(hashes[0])) == 2


@pytest.mark.parametrize("usd", ["0", "-1", "0.0000001", "1.0000005", "9" * 18 + "." + "9" * 18])
def test_transfer_of_no_amount_changes_nothing(usd: str) -> None:
    floor = Floor()
    transfer = Transfer(user=ANN, destination=BOB, source="", target="", usd=D(usd), nonce=1)
    assert send_usd(floor.accounts, transfer, START_MS) == refusals.AMOUNT_INVALID
    floor.check_books()
