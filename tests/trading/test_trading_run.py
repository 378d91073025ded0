"""Trading as it should be: trades happen and end flat, and our books are the venue's to the cent."""

from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal

from trading_process import ALPHA, LIVELY, Desk, SimVenue, until

from streaming.core.effects import LedgerPosted
from streaming.core.trading.effects import (
    AccountChecked,
    ActionDecided,
    FillGapChecked,
    LiveFillApplied,
    TradeClosed,
)
from streaming.core.units import NS_PER_MS

CENT = Decimal("0.01")


def test_trading_run_trades_and_every_book_agrees_with_the_venue(make_desk: Callable[..., Desk]) -> None:
    """I-04, I-05, I-12, I-14, I-15, I-16, and that a cloid names one order (I-01)."""
    desk = make_desk(*LIVELY, limits__exits={"time_stop_ms": 3_000, "quick_profit_bps": 10})
    with desk.trading() as trader:
        until(lambda: len(desk.outputs(TradeClosed)) >= 5, 40)
        # It signs ahead, and the venue took what it signed so.
        until(lambda: trader.metric('hip3_presignatures{state="ready"}') == 8)
        assert trader.metric('hip3_presignatures{state="used"}') >= 5
        trader.post("/v1/arm", {"is_armed": False, "operator": "test"})
        trader.until_flat()
        until(lambda: any(check.is_judged for check in desk.outputs(AccountChecked)[-1:]))
        assert trader.child.end() == 0
    check_fills(desk)
    check_ledger(desk)
    check_actions(desk)
    assert all(trade.held_ms < 10_000 and trade.flat_time_ms < 2_000 for trade in desk.outputs(TradeClosed))
    assert desk.venue.positions(desk.user) == {}


def check_fills(desk: Desk) -> None:
    """Ours are the venue's by tid, with what they say."""
    theirs = {
        fill["tid"]: (fill["coin"], fill["side"], Decimal(fill["px"]), Decimal(fill["sz"]), Decimal(fill["fee"]))
        for fill in desk.venue.fills(desk.user)
    }
    ours = {
        fill.tid: (fill.coin, "B" if fill.side == "buy" else "A", fill.px, fill.sz, fill.fee)
        for fill in (output.fill for output in desk.outputs(LiveFillApplied))
    }
    assert ours == theirs
    desk.check_books()


def check_ledger(desk: Desk) -> None:
    """Every posting balances; what is left in cash is what the venue says."""
    postings, cash = defaultdict[tuple[str, str], Decimal](Decimal), Decimal(10_000)
    for leg in desk.outputs(LedgerPosted):
        postings[leg.posting_id, leg.currency] += leg.amount
        cash += leg.amount if leg.account == "cash" else 0
    assert set(postings.values()) == {Decimal(0)}
    assert abs(cash - desk.venue.cash(desk.user)) < CENT
    judged = [check for check in desk.outputs(AccountChecked) if check.is_judged]
    assert all(abs(check.difference) < CENT for check in judged), "at every moment, not only at the end"


def check_actions(desk: Desk) -> None:
    """Nonces rise, deadlines are set, and the venue has every order once."""
    decided = desk.outputs(ActionDecided)
    nonces = [action.nonce for action in decided]
    assert nonces == sorted(set(nonces))
    assert all(0 < action.expires_ts_ms - action.ts_ns // NS_PER_MS <= 2_000 for action in decided)
    cloids = [order["cloid"] for order in desk.venue.orders(desk.user)]
    assert sorted(cloids) == sorted(ticket.cloid for action in decided for ticket in action.orders)


def test_trading_run_f01_f02_position_is_managed_over_rest_while_the_websocket_is_gone(
    make_desk: Callable[..., Desk], venue: SimVenue
) -> None:
    """It leaves over REST while nothing is heard; its fill is applied once afterwards, and that is proved."""
    desk = make_desk(limits__exits={"time_stop_ms": 2_500})
    with desk.trading() as trader:
        trader.enter()
        until(lambda: trader.status().trading.positions[0].held_ms > 2_000)
        venue.switch("close", users=[desk.user], parameters={"code": 1006})
        until(lambda: not trader.status().is_connected)
        assert not trader.status().trading.is_ready
        until(lambda: not venue.positions(desk.user))
        trader.until_flat()
        until(lambda: trader.status().trading.is_ready)
        [closing] = [output for output in desk.outputs(LiveFillApplied) if output.is_reduce_only]
        assert closing.source == "gap"
        assert closing.reason in {"time_stop", "gate_no_bbo_update"}, "whichever comes first without a websocket"
        gap = next(check for check in desk.outputs(FillGapChecked) if check.applied_count)
        assert (gap.applied_count, gap.is_proved) == (1, True)
        desk.check_books()
        venue.clear()
        trader.until_calm()
        trader.until_trading()
        trader.enter(ALPHA)
        assert trader.status().generation == 2
        assert trader.child.end() == 0
    desk.check_books()
