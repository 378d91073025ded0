"""What others do to our account: trades, transfers, funding, fees, liquidations, halts, reads that flap."""

from decimal import Decimal

from trading_process import ALPHA, Desk, SimVenue, until

from streaming.core.effects import LedgerPosted
from streaming.core.trading.effects import AccountAsked, AccountChecked, LiveFillApplied

CENT = Decimal("0.01")


def last_checks(desk: Desk) -> list[AccountChecked]:
    """Return the judged reads of the account."""
    return [check for check in desk.outputs(AccountChecked) if check.is_judged]


def until_checked(desk: Desk) -> AccountChecked:
    """Wait for a judged read that was asked for after now, and return it."""
    asked = len(desk.outputs(AccountAsked))
    until(lambda: len(desk.outputs(AccountAsked)) > asked, what="until the account is asked for")
    count = len(last_checks(desk))
    until(lambda: len(last_checks(desk)) > count, what="until the account is read")
    return last_checks(desk)[-1]


def test_trading_account_f46_i12_trade_of_somebody_else_stops_and_is_taken_over_by_a_reset(
    desk: Desk, venue: SimVenue
) -> None:
    with desk.trading() as trader:
        venue.happen("trade", users=[desk.user], coins=[ALPHA])
        reason = trader.until_stopped("foreign_activity")
        assert ALPHA in reason
        trader.until_flat()
        assert venue.positions(desk.user) == {}, "what stopping means for a position of ours, whoever opened it"
        assert {fill.reason for fill in desk.outputs(LiveFillApplied)} >= {"foreign"}
        desk.check_books()
        trader.reset()
        trader.until_trading()
        trader.enter()
        assert trader.child.end() == 0
    desk.check_books()


def test_trading_account_f46_f49_f118_money_that_moves_is_booked_and_conserved(desk: Desk, venue: SimVenue) -> None:
    """Money in and out, funding of a position and of one that has just been closed: I-14, I-15."""
    with desk.trading() as trader:
        venue.happen("transfer", users=[desk.user], parameters={"usd": 70.0})  # to a dex that is not ours to count
        venue.send(desk.master, "", "xyz", "250")
        venue.send(desk.master, "xyz", "", "100")
        for usd in (30.0, -20.0):
            venue.happen("transfer", users=[desk.user], parameters={"usd": usd, "dex": "xyz"})
        until(lambda: len(postings(desk, "transfers")) == 4, why=trader.told)
        trader.until_trading()
        trader.enter()
        venue.happen("funding", users=[desk.user])
        until(lambda: len(postings(desk, "funding")) == 1)
        venue.clear()
        trader.until_flat()
        venue.happen("funding", users=[desk.user], parameters={"flat_usd": 3.0})
        until(lambda: len(postings(desk, "funding")) == 2)
        check = until_checked(desk)
        assert abs(check.difference) < CENT
        assert check.venue_cash == venue.cash(desk.user)
        assert trader.status().stop_reason is None
        assert trader.child.end() == 0
    assert sorted(postings(desk, "transfers")) == [-250, -30, 20, 100]
    assert sum(leg.amount for leg in desk.outputs(LedgerPosted)) == 0


def postings(desk: Desk, account: str) -> list[Decimal]:
    return [leg.amount for leg in desk.outputs(LedgerPosted) if leg.account == account]


def test_trading_account_f48_f118_fee_in_another_token_stops_and_balances_in_it(desk: Desk, venue: SimVenue) -> None:
    with desk.trading() as trader:
        venue.switch("fee", parameters={"factor": 1.0, "token": "HYPE"})
        trader.until_calm()
        venue.shift(ALPHA)
        trader.until_stopped("fee_token")
        trader.until_flat()
        legs = [leg for leg in desk.outputs(LedgerPosted) if leg.currency == "HYPE"]
        assert legs, "the fee is posted in its own token"
        assert sum(leg.amount for leg in legs) == 0
        assert venue.positions(desk.user) == {}


def test_trading_account_f48_fee_that_doubles_is_what_is_booked(desk: Desk, venue: SimVenue) -> None:
    """The ledger takes fees from fills, never from the model; a rebate is a negative one."""
    with desk.trading() as trader:
        for factor in (2.0, -1.0):
            venue.switch("fee", parameters={"factor": factor})
            trader.enter()
            venue.clear()
            trader.until_flat()
            trader.until_trading()
        assert abs(until_checked(desk).difference) < CENT
        fees = [output.fill.fee for output in desk.outputs(LiveFillApplied)]
        assert min(fees) < 0 < max(fees)
        assert sorted(fees) == sorted(Decimal(fill["fee"]) for fill in venue.fills(desk.user))
        assert trader.status().stop_reason is None
        assert trader.child.end() == 0


def test_trading_account_f42_liquidation_stops_and_the_rest_leaves(desk: Desk, venue: SimVenue) -> None:
    """Half is liquidated: fills are flagged and applied, the exit is sized by what is left."""
    with desk.trading() as trader:
        trader.enter()
        before = venue.positions(desk.user)[ALPHA]
        venue.happen("liquidate", users=[desk.user], parameters={"ratio": 0.5, "method": "market"})
        trader.until_stopped("liquidated")
        trader.until_flat()
        [liquidated] = [output for output in desk.outputs(LiveFillApplied) if output.reason == "liquidation"]
        assert sum(order.applied_sz for order in desk.exits()) == before - liquidated.fill.sz
        assert venue.positions(desk.user) == {}
        desk.check_books()
        assert abs(until_checked(desk).difference) < CENT


def test_trading_account_f42_deleveraging_is_named_and_leaves_no_loop_of_exits(desk: Desk, venue: SimVenue) -> None:
    with desk.trading() as trader:
        trader.enter()
        venue.happen("liquidate", users=[desk.user], parameters={"ratio": 1.0, "method": "adl"})
        trader.until_stopped("liquidated")
        trader.until_flat()
        until_checked(desk)
        assert desk.exits() == []
        desk.check_books()


def test_trading_account_f38_halt_settles_the_position_and_nobody_chases_it(desk: Desk, venue: SimVenue) -> None:
    """The venue closes it at mark: a settlement in the books, no exit order, conserved, and no stop latch."""
    with desk.trading() as trader:
        trader.enter()
        venue.switch("halt", coins=[ALPHA])
        trader.until_flat()
        [settled] = [output for output in desk.outputs(LiveFillApplied) if output.reason == "settlement"]
        assert settled.fill.coin == ALPHA
        assert venue.positions(desk.user) == {}
        check = until_checked(desk)
        assert abs(check.difference) < CENT
        assert len(desk.exits()) <= 1
        assert trader.status().stop_reason is None
        desk.check_books()
        assert trader.child.end() == 0


def test_trading_account_f45_one_read_that_says_flat_changes_nothing_two_that_agree_stop(
    desk: Desk, venue: SimVenue
) -> None:
    with desk.trading() as trader:
        trader.enter()
        held = trader.held()
        venue.switch("positions", users=[desk.user], count=1, parameters={"shape": "empty"})
        until(lambda: any(check.position_mismatches for check in last_checks(desk)))
        until_checked(desk)
        wrong = [check for check in last_checks(desk) if check.position_mismatches]
        assert len(wrong) == 1
        assert trader.status().stop_reason is None
        assert trader.held() == held, "one read is no evidence"
        venue.switch("positions", users=[desk.user], parameters={"shape": "empty"})
        trader.until_stopped("foreign_activity")
        venue.clear()
        trader.until_flat()
        assert venue.positions(desk.user) == {}, "stopped, and closed: never taken for flat"
        desk.check_books()


def test_trading_account_f118_fill_of_nothing_changes_nothing(desk: Desk, venue: SimVenue) -> None:
    with desk.trading() as trader:
        venue.happen("zero_fill", users=[desk.user], coins=[ALPHA])
        trader.enter()
        assert trader.held() == venue.positions(desk.user)
        venue.clear()
        trader.until_flat()
        assert abs(until_checked(desk).difference) < CENT
        assert trader.status().stop_reason is None
        assert trader.child.end() == 0
