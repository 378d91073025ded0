"""Fills into positions and money: once each, balanced, whoever caused them."""

from decimal import Decimal

import msgspec
import pytest
from core_builders import COIN, of_type
from trading_builders import (
    OTHER,
    Desk,
    a_desk,
    account_of,
    fill_part,
    latch_reasons,
    ledger_sums,
)

from streaming.core.effects import AnyOutput, LedgerPosted
from streaming.core.market import Side
from streaming.core.trading.cloids import watchdog_cloid
from streaming.core.trading.effects import LiveFillApplied, LivePositionChanged, LossesChanged, TradeClosed

D = Decimal
OTHER_CURRENCY = "HYPE"


def round_trip(desk: Desk) -> list[AnyOutput]:
    outputs = desk.enter()
    outputs += desk.run(5_100)
    return outputs + desk.complete()


def test_i12_a_position_is_the_fold_of_fills_long_and_flat_again() -> None:
    desk = a_desk()
    outputs = round_trip(desk)
    fills = [output.fill for output in of_type(outputs, LiveFillApplied)]
    assert sum(f.sz if f.side is Side.BUY else -f.sz for f in fills) == 0
    assert not desk.live.positions
    assert not desk.live.tracks
    assert not desk.live.exit_timers


def test_i14_every_posting_balances_and_i15_cash_is_the_venues_to_the_cent() -> None:
    desk = a_desk()
    desk.venue.parts = 3
    outputs = round_trip(desk)
    assert ledger_sums(outputs)
    assert not any(ledger_sums(outputs).values())
    assert account_of(outputs, "position") == 0
    assert abs(desk.live.cash["xyz"] - desk.venue.cash["xyz"]) < D("0.00001")
    assert D(1_000) + account_of(outputs, "cash") == desk.live.cash["xyz"]


def test_a_round_trip_is_written_with_what_it_cost() -> None:
    desk = a_desk()
    outputs = round_trip(desk)
    (closed,) = of_type(outputs, TradeClosed)
    assert closed.entry_px == D("100.02")
    assert closed.exit_reason == "time_stop"
    assert closed.sz == D("0.499")
    assert closed.fill_count == 2
    assert closed.realised - closed.fees == account_of(outputs, "cash")
    assert closed.flat_time_ms == 100
    (losses,) = of_type(outputs, LossesChanged)
    assert losses.losses.total_pnl_usd == closed.realised - closed.fees


def test_i13_entry_time_edge_and_baseline_are_set_once_by_the_first_fill() -> None:
    desk = a_desk()
    desk.venue.parts = 2
    desk.cross()
    action = desk.take_action()
    found = desk.execute(action)
    first, second = [msgspec.structs.replace(found.fills, fills=(fill,)) for fill in found.fills.fills]
    desk.feed(desk.sent(action), first)
    before = desk.position()
    desk.run(400)
    desk.cross(oracle_px="100.5")
    desk.feed(found.answer, second)
    after = desk.position()
    assert after.sz > before.sz
    assert (after.baseline, after.entry_ts_ns, after.signal_id) == (
        before.baseline,
        before.entry_ts_ns,
        before.signal_id,
    )


def test_f115_reconciliation_of_an_existing_position_changes_nothing_of_it() -> None:
    desk = a_desk()
    desk.enter()
    before = desk.position()
    desk.is_answering = True
    desk.feed(desk.snapshot_of_fills())
    desk.run(3_000)
    assert desk.position() == before


def test_f46_a_foreign_fill_is_applied_named_and_stops_trading() -> None:
    desk = a_desk()
    outputs = desk.feed(desk.foreign())
    (applied,) = of_type(outputs, LiveFillApplied)
    assert (applied.reason, applied.signal_id) == ("foreign", "")
    assert latch_reasons(outputs) == [f"foreign_activity: {COIN} buy 0.2 tid {applied.fill.tid}"]
    assert desk.position().sz == D("0.2")
    assert not any(ledger_sums(outputs).values())


def test_f46_a_foreign_fill_of_a_market_that_we_do_not_watch_moves_money_and_stops_trading() -> None:
    desk = a_desk()
    outputs = desk.feed(desk.foreign("xyz:MSFT", Side.SELL, closed_pnl=D("-3.5")))
    assert "foreign_activity" in desk.latch
    assert not desk.live.positions
    assert account_of(outputs, "realised_pnl") == D("3.5")
    assert desk.live.cash["xyz"] < D(997)
    assert not any(ledger_sums(outputs).values())


def test_f46_somebody_turns_our_position_over_in_one_fill() -> None:
    desk = a_desk()
    desk.enter()
    outputs = desk.feed(desk.foreign(COIN, Side.SELL, "0.699"))
    assert desk.position().sz == D("-0.200")
    assert desk.position().signal_id == ""
    assert len(of_type(outputs, TradeClosed)) == 1
    assert not any(ledger_sums(outputs).values())
    assert abs(desk.live.cash["xyz"] - desk.venue.cash["xyz"]) < D("0.00001")
    assert "foreign_activity" in desk.latch


def test_the_watchdog_may_close_beside_us_and_stops_nothing() -> None:
    desk = a_desk()
    desk.enter()
    outputs = desk.feed(desk.foreign(COIN, Side.SELL, "0.499", cloid=watchdog_cloid(1_790_000_000_000, 0)))
    assert of_type(outputs, LiveFillApplied)[0].reason == "watchdog"
    assert not desk.live.positions
    assert desk.latch == ""


def test_the_watchdog_takes_a_part_that_our_exit_can_not_have_and_the_exit_still_ends() -> None:
    desk = a_desk()
    desk.enter()
    desk.run(5_100)
    action = desk.take_action()
    desk.feed(desk.sent(action))
    theirs = desk.foreign(COIN, Side.SELL, "0.3", cloid=watchdog_cloid(1_790_000_000_000, 0))
    found = desk.execute(action)  # shrunk to 0.199 by the venue, and reported as if it had got all
    desk.feed(found.updates, theirs, found.fills)
    assert not desk.live.positions
    assert not desk.live.orders
    desk.run(61_000)
    assert desk.latch == ""


def test_f38_a_settlement_closes_the_position_by_its_own_ledger_entry_and_exits_stop() -> None:
    desk = a_desk()
    desk.enter()
    outputs = desk.feed(desk.foreign(COIN, Side.SELL, "0.499", px="99", direction="Settlement"))
    assert not desk.live.positions
    assert {leg.reason for leg in of_type(outputs, LedgerPosted)} == {"settlement", "fee"}
    assert of_type(outputs, TradeClosed)[0].exit_reason == "settlement"
    assert desk.latch == ""
    desk.run(6_000)
    assert not desk.actions
    assert abs(desk.live.cash["xyz"] - desk.venue.cash["xyz"]) < D("0.00001")


@pytest.mark.parametrize(
    "changes",
    [
        {"direction": "Liquidated Isolated Long"},
        {"direction": "Auto-Deleveraging"},
        {"is_liquidation": True, "direction": "Close Long"},
    ],
)
def test_f42_a_liquidation_is_flagged_applied_and_stops_trading_and_exits_are_resized(
    changes: dict[str, object],
) -> None:
    desk = a_desk()
    desk.enter()
    outputs = desk.feed(desk.foreign(COIN, Side.SELL, "0.2", **changes))
    assert of_type(outputs, LiveFillApplied)[0].reason == "liquidation"
    assert desk.latch.startswith("liquidated")
    (ticket,) = desk.take_action().orders
    assert (ticket.sz, ticket.is_reduce_only) == (D("0.299"), True)


def test_f118_a_fee_in_another_token_is_posted_in_it_and_stops_trading() -> None:
    desk = a_desk()
    desk.venue.fee_token = OTHER_CURRENCY
    desk.cross()
    action = desk.take_action()
    outputs = desk.feed(desk.sent(action), *desk.execute(action).all())
    assert desk.latch.startswith("fee_token")
    assert not any(ledger_sums(outputs).values())
    assert account_of(outputs, "fees", "HYPE") > 0
    assert account_of(outputs, "fees") == 0
    assert desk.live.cash["xyz"] == D(1_000)


def test_the_builders_part_of_a_fee_has_an_account_of_its_own() -> None:
    desk = a_desk()
    outputs = desk.feed(desk.foreign(fee=D("0.003"), builder_fee=D("0.001")))
    assert account_of(outputs, "fees") == D("0.002")
    assert account_of(outputs, "builder_fees") == D("0.001")


def test_a_fill_without_a_fee_posts_none() -> None:
    desk = a_desk()
    desk.venue.fee_ratio = D(0)
    outputs = desk.enter()
    assert {leg.account for leg in of_type(outputs, LedgerPosted)} == {"cash", "position"}


def test_f49_funding_of_a_position_is_a_line_counts_in_its_result_and_conserves() -> None:
    desk = a_desk()
    desk.enter()
    outputs = desk.funding("-0.25")
    assert account_of(outputs, "funding") == D("0.25")
    assert desk.position().funding == D("-0.25")
    assert not any(ledger_sums(outputs).values())
    desk.run(5_100)
    closed = of_type(desk.complete(), TradeClosed)[0]
    assert closed.funding == D("-0.25")
    assert desk.live.losses.total_pnl_usd == closed.realised - closed.fees - D("0.25")
    desk.run(6_000)
    assert desk.latch == ""


def test_f49_the_same_funding_counts_once() -> None:
    desk = a_desk()
    desk.enter()
    desk.funding("-0.25")
    desk.feed(desk.snapshot_of_fundings())
    desk.run(3_000)
    assert desk.position().funding == D("-0.25")
    assert desk.latch == ""


def test_f118_funding_for_a_position_that_was_closed_in_the_same_hour_counts_in_the_day() -> None:
    desk = a_desk()
    round_trip(desk)
    before = desk.live.losses.day_pnl_usd
    outputs = desk.funding("-0.4")
    assert not any(ledger_sums(outputs).values())
    assert desk.live.losses.day_pnl_usd == before - D("0.4")
    desk.run(6_000)
    assert desk.latch == ""


def test_funding_that_takes_the_day_over_its_limit_sets_the_latch() -> None:
    desk = a_desk()
    outputs = desk.funding("-25")
    assert latch_reasons(outputs) == ["day_loss"]


def test_f46_a_deposit_is_a_transfer_and_conservation_holds() -> None:
    desk = a_desk()
    outputs = desk.transfer("500")
    assert account_of(outputs, "transfers") == D(-500)
    desk.run(12_000)
    assert desk.latch == ""
    assert desk.live.cash["xyz"] == D(1_500)
    again = desk.feed(desk.snapshot_of_transfers())
    assert not of_type(again, LedgerPosted)


def test_f46_a_transfer_on_a_dex_that_we_do_not_watch_is_not_ours_to_book() -> None:
    desk = a_desk()
    transfer = desk.transfer("5", is_told=False)
    assert transfer == []
    event = desk.snapshot_of_transfers()
    (known,) = event.transfers
    other = msgspec.structs.replace(known, dex="flx")
    outputs = desk.feed(msgspec.structs.replace(event, transfers=(other,), is_snapshot=False))
    assert outputs == []


@pytest.mark.parametrize("what", ["funding", "transfer"])
def test_f01_money_that_moved_while_we_were_away_is_booked_from_the_snapshot_once(what: str) -> None:
    desk = a_desk()
    desk.enter()
    desk.is_executing = True
    desk.lose()
    desk.at_ms += 200
    getattr(desk, what)("-3", is_told=False)
    desk.at_ms += 200
    desk.connect()
    desk.run(20_000)
    assert desk.latch == ""
    assert abs(desk.live.cash["xyz"] - desk.venue.cash["xyz"]) < D("0.00001")


@pytest.mark.parametrize("what", ["funding", "transfer"])
def test_money_of_before_our_first_read_of_the_account_is_not_booked_again(what: str) -> None:
    desk = Desk()
    getattr(desk, what)("-3", is_told=False)
    desk.at_ms += 10
    desk.connect()
    desk.control()
    desk.run(12_000)
    assert desk.live.is_ready
    assert desk.latch == ""
    assert desk.live.cash["xyz"] == D(997)
    desk.lose()
    desk.at_ms += 100
    desk.connect()
    desk.run(12_000)
    assert desk.latch == ""
    assert desk.live.cash["xyz"] == D(997)


def test_slices_of_an_exit_reduce_cost_in_proportion_and_nothing_is_left_over() -> None:
    desk = a_desk()
    desk.enter()
    desk.venue.plan = fill_part("0.3")
    desk.is_executing = True
    outputs: list[AnyOutput] = []
    for _ in range(20):
        outputs += desk.run(1_000)
    desk.venue.plan = lambda ticket: ("filled", ticket.sz)
    outputs += desk.run(3_000)
    assert not desk.live.positions
    assert account_of(desk.outputs, "position") == 0
    assert of_type(outputs, LivePositionChanged)[-1].position is None
    assert abs(desk.live.cash["xyz"] - desk.venue.cash["xyz"]) < D("0.0001")
    assert desk.latch == ""


def test_a_short_is_the_mirror_of_a_long() -> None:
    desk = a_desk()
    outputs = desk.cross(oracle_px="99.7") + desk.complete()
    assert desk.position().sz == D("-0.500")
    assert desk.position().baseline.side is Side.SELL
    outputs += desk.run(5_100) + desk.complete()
    assert not desk.live.positions
    assert not any(ledger_sums(outputs).values())
    assert abs(desk.live.cash["xyz"] - desk.venue.cash["xyz"]) < D("0.00001")


def test_i22_a_fill_of_one_market_leaves_the_position_of_another_alone() -> None:
    desk = a_desk(COIN, OTHER)
    desk.enter(OTHER)
    before = desk.position(OTHER)
    desk.enter(COIN)
    assert desk.position(OTHER) == before


def test_the_day_loss_sets_the_latch_and_names_it() -> None:
    desk = a_desk()
    desk.enter()
    outputs = desk.feed(desk.foreign(COIN, Side.SELL, "0.499", px="50", direction="Settlement"))
    assert latch_reasons(outputs) == ["day_loss"]


def test_i16_known_trade_ids_are_bounded_and_forgotten_ones_count_as_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streaming.core.trading.account.TID_COUNT_MAX", 20)
    desk = a_desk(COIN)
    desk.venue.parts = 4
    old = None
    desk.is_executing = True
    for _ in range(8):
        desk.enter()
        old = old or desk.venue.fills[0]
        desk.calm()
        desk.run(6_000)
        desk.live.losses.loss_count = 0
        desk.live.losses.reentry_until_mono_ns.clear()
    assert len(desk.live.tids) <= 20
    assert old is not None
    assert old.tid not in desk.live.tids
    before = dict(desk.live.positions)
    desk.feed(msgspec.structs.replace(desk.snapshot_of_fills(old), is_snapshot=False))
    assert desk.live.positions == before
    assert desk.latch == ""


def test_money_that_was_seen_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streaming.core.trading.account.MONEY_COUNT_MAX", 3)
    desk = a_desk()
    for index in range(6):
        desk.at_ms += 1
        desk.transfer("1", f"0xt{index}")
    assert len(desk.live.money_keys) == 3
    assert desk.live.cash["xyz"] == D(1_006)
