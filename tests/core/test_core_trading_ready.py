"""READY-TRADING and reconciliation: what proves the account, what stops trading, and what a single read can not do."""

from decimal import Decimal

import msgspec
import pytest
from core_builders import COIN, of_type, venue_ms
from trading_builders import (
    OTHER,
    READY_MS,
    Desk,
    VenueDouble,
    a_desk,
    blocked_by,
    latch_reasons,
)

from streaming.core.effects import AnyOutput
from streaming.core.market import Side
from streaming.core.recovery import carry_over
from streaming.core.trading.effects import (
    AccountAsked,
    AccountChecked,
    FillGapChecked,
    FillsAsked,
    LiveFillApplied,
    LivePositionChanged,
    PositionIgnored,
    RecordBegan,
    TradingReadyChanged,
)
from streaming.core.trading.events import AccountRead
from streaming.core.trading.model import VenuePosition
from streaming.core.trading.ready import USER_CHANNELS

D = Decimal


def test_i19_the_way_to_ready_names_what_is_missing_at_each_step() -> None:
    desk = Desk()
    desk.connect()
    desk.run(3_000)
    reasons = [o.reason for o in of_type(desk.outputs, TradingReadyChanged)]
    assert reasons[0] == "user channels, fills snapshot, fills proved, account proved"
    assert reasons[-1] == ""
    assert desk.live.is_ready
    assert [o.fills_from_ts_ms for o in of_type(desk.outputs, RecordBegan)] == [1]


def test_i19_without_one_user_channel_the_account_is_not_ready() -> None:
    desk = Desk()
    desk.generation = 1
    desk.feed(desk.open(), *[desk.ack(channel) for channel in USER_CHANNELS[1:]], desk.snapshot_of_fills())
    desk.run(4_000, is_quoting=False)
    assert desk.live.unready_reason == "user channels"
    desk.feed(desk.ack("orderUpdates"), desk.ack("orderUpdates"), desk.ack("webData2"))
    assert desk.live.is_ready


def test_one_read_of_the_account_proves_nothing_and_two_are_a_second_apart() -> None:
    desk = Desk()
    desk.is_answering = False
    desk.connect()
    desk.feed(desk.truth(desk.asked(FillsAsked)))
    desk.feed(desk.truth(desk.asked(AccountAsked)))
    assert not desk.live.is_ready
    desk.run(1_000)
    assert not desk.queries
    desk.run(200)
    desk.feed(desk.truth(desk.asked(AccountAsked)))
    assert desk.live.is_ready


def test_a_read_that_crossed_a_change_of_ours_is_not_judged() -> None:
    desk = a_desk()
    desk.is_answering = False
    desk.run(6_000)
    query = desk.asked(AccountAsked)
    read = desk.truth(query)  # the venue as it was before the fill
    desk.enter()
    outputs = desk.feed(read)
    assert not of_type(outputs, AccountChecked)
    assert desk.latch == ""


def test_a_read_while_an_order_is_under_way_is_not_judged() -> None:
    desk = a_desk()
    desk.is_answering = False
    desk.cross()
    desk.feed(desk.sent(desk.take_action()))
    desk.run(4_900)
    outputs = desk.feed(*[desk.truth(query) for query in desk.queries])
    assert not of_type(outputs, AccountChecked)


def test_f13_a_snapshot_never_moves_a_position_and_the_gap_is_filled_and_counted() -> None:
    desk = a_desk()
    desk.enter()
    desk.lose()
    desk.at_ms += 300
    missed = desk.foreign(COIN, Side.SELL, "0.499", direction="Settlement").fills[0]
    desk.is_answering = False
    outputs = desk.connect()
    assert not of_type(outputs, LiveFillApplied)
    assert desk.position().sz == D("0.499")
    assert desk.live.snapshot_tids == [missed.tid]
    outputs = desk.feed(desk.truth(desk.asked(FillsAsked)))
    (applied,) = of_type(outputs, LiveFillApplied)
    assert applied.source == "gap"
    (gap,) = of_type(outputs, FillGapChecked)
    assert (gap.venue_count, gap.known_count, gap.applied_count, gap.is_proved) == (2, 1, 1, True)
    assert not desk.live.positions
    desk.is_answering = True
    desk.feed(*[desk.truth(query) for query in desk.queries])
    desk.queries = []
    desk.complete()  # an exit that was decided before finds nothing to reduce
    desk.run(3_000)
    assert desk.live.is_ready


def test_f13_a_read_that_lacks_what_the_snapshot_holds_proves_nothing_and_is_asked_again() -> None:
    desk = a_desk()
    desk.lose()
    desk.at_ms += 300
    desk.foreign(direction="Settlement")
    desk.is_answering = False
    desk.connect()
    read = desk.truth(desk.asked(FillsAsked))
    outputs = desk.feed(msgspec.structs.replace(read, fills=()))
    assert [gap.is_proved for gap in of_type(outputs, FillGapChecked)] == [False]
    assert not desk.live.is_fills_proved
    desk.run(1_100)
    desk.feed(desk.truth(desk.asked(FillsAsked)))
    assert desk.live.is_fills_proved


def test_a_query_for_fills_that_fails_is_repeated_until_the_fills_are_proved() -> None:
    desk = Desk()
    desk.is_answering = False
    desk.connect()
    for _ in range(3):
        desk.feed(desk.fail(desk.asked(FillsAsked)))
        desk.run(1_100)
    desk.feed(desk.truth(desk.asked(FillsAsked)))
    assert desk.live.is_fills_proved
    for _ in range(3):
        desk.feed(desk.fail(desk.asked(AccountAsked)))
        desk.run(1_100)
    assert desk.asked(AccountAsked)


def test_a_question_that_was_never_answered_is_forgotten_and_asked_anew() -> None:
    desk = a_desk()
    desk.lose()
    desk.is_answering = False
    desk.connect()
    lost = desk.asked(FillsAsked)
    desk.at_ms += 16_000
    desk.feed(desk.snapshot_of_fills())
    again = desk.asked(FillsAsked)
    assert again.query_id != lost.query_id


def test_f31_what_was_on_the_account_before_our_record_is_known_and_none_of_ours() -> None:
    venue = VenueDouble()
    venue.fill(COIN, Side.BUY, D("0.3"), D(90), 0)
    venue.fill(COIN, Side.SELL, D("0.3"), D(91), 1)
    desk = Desk(venue=venue, at_ms=0)
    desk.at_ms = 10
    desk.connect()
    desk.control()
    desk.run(READY_MS)
    assert desk.live.is_ready
    assert not desk.live.positions
    assert not of_type(desk.outputs, LiveFillApplied)
    assert desk.live.fills_from_ts_ms == venue_ms(1) + 1


def test_i12_a_position_from_before_our_record_stops_trading_after_two_reads() -> None:
    venue = VenueDouble()
    venue.fill(COIN, Side.BUY, D("0.3"), D(90), 0)
    desk = Desk(venue=venue)
    desk.at_ms = 10
    desk.connect()
    desk.control()
    desk.run(READY_MS)
    assert desk.latch.startswith("foreign_activity: positions xyz:NVDA: ours 0, venue 0.3")
    assert not desk.live.positions
    assert "trading_not_ready" in blocked_by(desk.cross())


def wrong(read: AccountRead, *, sz: str = "0", cash: str = "0") -> AccountRead:
    """What the venue would say if it held another position, or other money."""
    (account,) = read.accounts
    kept = [position for position in account.positions if position.coin != COIN]
    if D(sz):
        kept.append(
            VenuePosition(
                coin=COIN,
                sz=D(sz),
                entry_px=D(100),
                unrealised_pnl=D(0),
                margin_used=D(1),
                liquidation_px=None,
                leverage=1,
                is_isolated=True,
            )
        )
    unrealised = sum((position.unrealised_pnl for position in kept), D(0))
    changed = msgspec.structs.replace(account, positions=tuple(kept), account_value=account.cash + unrealised + D(cash))
    return msgspec.structs.replace(read, accounts=(changed,))


def next_read(desk: Desk, *, is_fills_answered: bool = True, **changes: str) -> list[AnyOutput]:
    """Let the next read come, wrong as told, and answer for fills in between."""
    desk.is_answering = False
    for _ in range(80):
        if any(isinstance(query, AccountAsked) for query in desk.queries):
            break
        desk.run(100)
    read = desk.truth(desk.asked(AccountAsked))
    assert isinstance(read, AccountRead)
    outputs = desk.feed(wrong(read, **changes) if changes else read)
    for query in list(desk.queries):
        if isinstance(query, FillsAsked):
            desk.queries.remove(query)
            desk.feed(desk.truth(query) if is_fills_answered else desk.fail(query))
    return outputs


def test_f45_one_wrong_read_has_no_effect() -> None:
    desk = a_desk()
    desk.enter()
    desk.calm()  # keep the position: nothing here is about its exit
    held = desk.position().sz
    next_read(desk, sz="0")
    assert desk.latch == ""
    assert desk.position().sz == held
    next_read(desk)
    next_read(desk, sz="0")
    assert desk.latch == ""


def test_f45_two_agreeing_wrong_reads_stop_trading_and_never_mean_flat() -> None:
    desk = a_desk()
    next_read(desk, sz="0.4")
    assert not desk.live.is_ready
    outputs = next_read(desk, sz="0.4")
    assert latch_reasons(outputs) == ["foreign_activity: positions xyz:NVDA: ours 0, venue 0.4"]
    assert not desk.live.positions


def test_f45_two_wrong_reads_that_differ_are_two_single_ones() -> None:
    desk = a_desk()
    for sz in ("0.4", "0.5", "0.4", "0.5"):
        next_read(desk, sz=sz)
    assert desk.latch == ""


def test_f45_no_verdict_before_missed_fills_were_asked_for() -> None:
    desk = a_desk()
    next_read(desk, sz="0.4", is_fills_answered=False)
    next_read(desk, sz="0.4", is_fills_answered=False)
    assert desk.latch == ""
    assert not desk.live.is_ready
    next_read(desk, sz="0.4")
    next_read(desk, sz="0.4")
    assert desk.latch.startswith("foreign_activity")


def test_a_fill_that_the_stream_lost_is_found_by_the_query_and_nothing_stops() -> None:
    desk = a_desk()
    desk.enter()
    desk.foreign(COIN, Side.SELL, "0.499", direction="Settlement")  # told to nobody
    desk.run(4_000)
    assert not desk.live.positions
    assert desk.latch == ""
    assert desk.live.is_ready


@pytest.mark.parametrize(("cash", "is_stopped"), [("0.005", False), ("0.02", True), ("-0.02", True)])
def test_i15_money_that_nothing_explains_stops_trading(cash: str, *, is_stopped: bool) -> None:
    desk = a_desk()
    next_read(desk, cash=cash)
    next_read(desk, cash=cash)
    assert desk.latch.startswith("conservation") is is_stopped


def test_i15_what_rounding_explains_grows_with_turnover_and_not_more() -> None:
    desk = a_desk()
    desk.live.turnover["xyz"] = D(1_000)
    next_read(desk, cash="0.09")
    next_read(desk, cash="0.09")
    assert desk.latch == ""
    next_read(desk, cash="0.11")
    next_read(desk, cash="0.11")
    assert desk.latch.startswith("conservation")


def test_unrealised_results_are_no_money() -> None:
    desk = a_desk()
    desk.enter()
    next_read(desk)
    next_read(desk)
    assert desk.live.is_ready
    checked = of_type(desk.outputs, AccountChecked)[-1]
    assert checked.difference == 0
    assert checked.venue_cash == desk.venue.cash["xyz"]


def test_an_operators_reset_takes_over_what_the_venue_said_twice() -> None:
    desk = a_desk(COIN, OTHER)
    foreign = desk.foreign(COIN, Side.BUY, "0.4", direction="Open Long")
    desk.venue.fills.remove(foreign.fills[0])  # a position without a fill: no query explains it
    desk.venue.fill("xyz:MSFT", Side.BUY, D(1), D(50), desk.at_ms)
    desk.venue.fills.pop()
    desk.run(12_000)
    assert desk.latch.startswith("foreign_activity")
    outputs = desk.reset()
    assert [o.reason for o in of_type(outputs, LivePositionChanged)] == ["adopted"]
    assert desk.position().sz == D("0.4")
    assert [(o.coin, o.sz) for o in of_type(outputs, PositionIgnored)] == [("xyz:MSFT", D(1))]
    assert desk.live.ignored_coins == ["xyz:MSFT"]
    assert desk.live.cash == {}
    desk.is_executing = True
    desk.run(9_000)  # held by us from now on: our rules close it
    assert not desk.live.positions
    assert desk.live.is_ready
    assert desk.latch == ""


def not_ours(desk: Desk) -> None:
    """Somebody holds what this session does not watch, and an operator says that it is none of ours."""
    desk.venue.positions["xyz:MSFT"], desk.venue.entry_ntl["xyz:MSFT"] = D(1), D(50)
    desk.run(12_000)
    assert desk.latch.startswith("foreign_activity: positions xyz:MSFT")
    desk.reset()


def test_a_position_that_is_not_ours_is_accepted_once_whatever_else_is_reset_later() -> None:
    desk = a_desk()
    not_ours(desk)
    desk.run(9_000)
    assert desk.latch == ""
    desk.venue.positions[COIN], desk.venue.entry_ntl[COIN] = D("0.4"), D(40)
    desk.run(12_000)
    assert desk.latch.startswith("foreign_activity")
    outputs = desk.reset()
    assert not of_type(outputs, PositionIgnored), "it was told already"
    assert desk.live.ignored_coins == ["xyz:MSFT"]


def test_a_position_that_was_not_ours_counts_again_where_its_market_is_watched() -> None:
    """Beside it nothing of ours could be told apart: every read would contradict us, whatever an operator does."""
    desk = a_desk()
    not_ours(desk)
    carried = carry_over(desk.folded())
    watching = Desk(COIN, "xyz:MSFT", session_id="s2", at_ms=desk.at_ms + 100, venue=desk.venue, carried=carried)
    assert watching.live.ignored_coins == []
    watching.connect()
    watching.run(12_000)
    assert watching.latch.startswith("foreign_activity: positions xyz:MSFT")
    watching.reset()
    assert watching.position("xyz:MSFT").sz == D(1), "ours to close"


def test_an_operators_reset_takes_over_that_a_position_is_gone() -> None:
    desk = a_desk()
    desk.enter()
    gone = desk.foreign(COIN, Side.SELL, "0.499").fills[0]
    desk.venue.fills.remove(gone)
    desk.run(4_900)
    assert desk.latch.startswith("foreign_activity")
    desk.actions = []
    desk.run(20_000)
    desk.actions = []
    desk.run(1_000)
    outputs = desk.reset()
    assert of_type(outputs, LivePositionChanged)[0].position is None
    assert not desk.live.positions


def test_a_reset_of_conservation_begins_the_account_of_cash_anew() -> None:
    desk = a_desk()
    desk.venue.cash["xyz"] += 5
    desk.run(12_000)
    assert desk.latch.startswith("conservation")
    desk.reset()
    desk.run(5_000)
    assert desk.live.cash["xyz"] == D(1_005)
    assert desk.live.is_ready
    assert desk.latch == ""


def test_a_lost_connection_proves_nothing_any_more_and_late_frames_of_it_are_dropped() -> None:
    desk = a_desk()
    late = desk.foreign()
    outputs = desk.lose()
    assert of_type(outputs, TradingReadyChanged)[-1].is_ready is False
    stale = desk.state.stale_frame_count
    event = desk.snapshot_of_fundings()
    desk.feed(late, event, desk.snapshot_of_transfers())
    assert desk.state.stale_frame_count == stale + 3
    assert not desk.live.positions


def test_polling_rests_at_its_usual_pace_while_everything_agrees() -> None:
    desk = a_desk()
    desk.is_answering = False
    asked = 0
    for _ in range(300):
        desk.run(100)
        asked += len(desk.queries)
        desk.feed(*[desk.truth(query) for query in desk.queries])
        desk.queries = []
    assert 5 <= asked <= 7


def test_two_dexes_are_read_and_judged_each_for_itself() -> None:
    venue = VenueDouble()
    venue.cash["flx"] = D(50)
    desk = a_desk(venue=venue)
    assert desk.live.cash == {"xyz": D(1_000), "flx": D(50)}
    venue.cash["flx"] += 1
    desk.run(12_000)
    assert desk.latch == "conservation: cash of flx differs by 1.000000"


def test_a_read_while_the_stream_is_away_judges_nothing() -> None:
    desk = a_desk()
    desk.cross()
    desk.feed(desk.sent(desk.take_action()))
    desk.lose()
    desk.funding("-3", is_told=False)
    desk.run(30_000)  # the doubt asks for the account all along
    assert desk.latch == ""
    assert not desk.live.orders
    desk.connect()
    desk.run(6_000)
    assert desk.latch == ""
    assert desk.live.cash == desk.venue.cash


def test_i12_a_reset_takes_over_no_read_of_before_our_own_fill() -> None:
    desk = a_desk(COIN, OTHER)
    desk.enter(COIN)
    desk.feed(desk.foreign(OTHER, Side.BUY, "0.2"))
    assert desk.latch.startswith("foreign_activity")
    outputs = desk.reset()
    assert not of_type(outputs, LivePositionChanged)
    assert set(desk.live.positions) == {COIN, OTHER}


def test_answers_that_come_after_the_connection_was_lost_prove_and_judge_nothing() -> None:
    desk = Desk()
    desk.is_answering = False
    desk.connect()
    fills = desk.asked(FillsAsked)
    desk.lose()
    desk.feed(desk.truth(fills))
    assert not desk.live.is_fills_proved
    ready = a_desk()
    ready.is_answering = False
    ready.run(6_000)
    account = ready.asked(AccountAsked)
    ready.lose()
    assert not of_type(ready.feed(ready.truth(account)), AccountChecked)
