"""SIGKILL in the middle of an order: what a restart makes of it, by the venue's count (F-32, F-54, F-55, I-01)."""

import signal
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from children import hip3
from trading_process import ALPHA, BETA, NTL_MAX, Desk, Trader, sim_venue, until

from streaming.contracts.paths import journal_folder
from streaming.core.effects import GatesEvaluated
from streaming.core.trading.effects import AccountChecked, ActionDecided
from streaming.core.trading.model import OrderStatus
from streaming.shell.execution.heartbeat import read_heartbeat
from streaming.shell.journal.format import OutputsRecord
from streaming.shell.journal.reader import list_sessions, read_session
from streaming.shell.process.crashpoint import AFTER_INTENT_WRITTEN, AFTER_SEND, VARIABLE
from streaming.shell.process.lock import tag_of

DIED = -9
OTHER_DEX = "abc:OMEGA"


def die_in_entry(desk: Desk, point: str) -> None:
    """Let the sidecar die at a point of its first entry."""
    with desk.trading(environment={VARIABLE: point}) as trader:
        trader.until_calm()
        desk.venue.shift(ALPHA)
        assert trader.child.process.wait(10) == DIED


def intended(desk: Desk) -> tuple[ActionDecided, str]:
    """Return the one order that was written down before anything left (I-02), and its cloid."""
    [action] = [action for action in desk.outputs(ActionDecided) if action.orders]
    [ticket] = action.orders
    return action, ticket.cloid


def kill(trader: Trader) -> None:
    assert trader.child.end(signal.SIGKILL) == DIED


def duplicates(desk: Desk, *, is_accepted: bool) -> int:
    """Let the venue take or refuse orders with a used cloid; what is returned strikes once for each that reaches it."""
    return desk.venue.switch("cloid", users=[desk.user], parameters={"is_accepted": is_accepted})


def check_entered_once(desk: Desk, cloid: str, *, order_count: int) -> None:
    """The sidecar decided one entry; the venue knows so many orders of its cloid, of which the test sent the others."""
    assert [order.cloid for order in desk.entries()] == [cloid]
    assert [order["cloid"] for order in desk.venue_entries()] == [cloid] * order_count
    assert desk.held_ntl_max() <= NTL_MAX
    desk.check_books()


def test_trading_crash_f54_f32_intent_that_never_left_is_not_sent_again_and_a_resend_stops_us(desk: Desk) -> None:
    """Whatever the venue thinks of duplicates: the first to arrive is a new order to it, and a disproved one to us."""
    die_in_entry(desk, AFTER_INTENT_WRITTEN)
    action, cloid = intended(desk)
    assert desk.venue.orders(desk.user) == []
    with desk.sidecar() as trader:
        assert trader.status().trading.in_doubt_count == 1, "in doubt before anything else"
        trader.until_trading()
        assert desk.statuses(cloid)[-2:] == [OrderStatus.IN_DOUBT, OrderStatus.NEVER_ARRIVED]
        assert desk.venue.orders(desk.user) == []
        assert "filled" in desk.resend(action)
        assert "never_arrived" in trader.until_stopped("evidence_contradicted")
        for is_accepted, answer in ((False, "error"), (True, "filled")):
            until(lambda: not desk.venue.positions(desk.user), what="until the latch has flattened")
            switch = duplicates(desk, is_accepted=is_accepted)
            assert answer in desk.resend(action)
            assert desk.venue.strikes(switch) == 1
            desk.venue.clear(switch)
        until(lambda: len(desk.venue.fills(desk.user)) == 4, what="until two entries and their exits have filled")
        trader.until_flat()
        check_entered_once(desk, cloid, order_count=3)
        assert trader.child.end() == 0


@pytest.mark.parametrize(("is_accepted", "answer"), [(True, "filled"), (False, "error")])
def test_trading_crash_f32_duplicates_of_a_dead_sidecars_order_end_safe(
    desk: Desk, *, is_accepted: bool, answer: str
) -> None:
    """The test sends them, before the next start and beside it: a refusal takes nothing back, a fill is too much."""
    switch = duplicates(desk, is_accepted=is_accepted)
    die_in_entry(desk, AFTER_SEND)
    until(lambda: desk.venue.positions(desk.user))
    action, cloid = intended(desk)
    assert answer in desk.resend(action)
    with desk.sidecar() as trader:
        if is_accepted:
            trader.until_stopped("evidence_contradicted")
            until(lambda: not desk.venue.positions(desk.user), what="until the latch has flattened")
        else:
            trader.until_trading()
            assert trader.held() == desk.venue.positions(desk.user) == {ALPHA: action.orders[0].sz}
        assert answer in desk.resend(action)
        assert desk.venue.strikes(switch) == 2, "no other duplicate has reached the venue"
        desk.venue.clear()
        until(lambda: not desk.venue.positions(desk.user), what="until it is closed")
        trader.until_flat()
        assert desk.statuses(cloid)[-2:] == [OrderStatus.IN_DOUBT, OrderStatus.FILLED]
        assert (trader.status().stop_reason is not None) is is_accepted
        check_entered_once(desk, cloid, order_count=3)
        assert trader.child.end() == 0


def test_trading_crash_f55_executed_order_becomes_a_position_whose_exits_run(desk: Desk) -> None:
    with desk.trading() as trader:
        trader.until_calm()
        desk.venue.switch("lost_answer", channels=["order"], users=[desk.user])
        desk.venue.switch("mute", channels=["userFills", "orderUpdates"], users=[desk.user])
        desk.venue.shift(ALPHA)
        until(lambda: desk.venue.positions(desk.user))
        kill(trader)
    [intent] = desk.entries()
    assert (intent.status, intent.applied_sz) == (OrderStatus.SENT, 0), "nobody heard of the fill"
    desk.venue.clear()
    desk.venue.shift(ALPHA)
    with desk.sidecar() as trader:
        assert trader.until_held() == desk.venue.positions(desk.user)[ALPHA]
        assert OrderStatus.IN_DOUBT in desk.statuses(intent.cloid)
        trader.until_trading()
        desk.venue.clear()
        trader.until_flat()
        assert desk.our_orders()[intent.cloid].status is OrderStatus.FILLED
        assert [order["cloid"] for order in desk.venue_entries()] == [intent.cloid], "one entry, ever"
        assert desk.venue.positions(desk.user) == {}
        desk.check_books()
        assert trader.child.end() == 0


def test_trading_crash_f55_lost_order_is_proved_never_to_have_arrived(desk: Desk) -> None:
    desk.venue.switch("lost_request", channels=["order"], users=[desk.user])
    die_in_entry(desk, AFTER_SEND)
    _, cloid = intended(desk)
    with desk.sidecar() as trader:
        trader.until_trading()
        assert desk.statuses(cloid)[-2:] == [OrderStatus.IN_DOUBT, OrderStatus.NEVER_ARRIVED]
        assert desk.venue.orders(desk.user) == []
        desk.venue.clear()
        trader.until_calm()
        trader.enter()
        assert desk.venue.positions(desk.user)[ALPHA] > 0, "and trading goes on"
        assert trader.child.end() == 0
    assert [order["cloid"] for order in desk.venue_entries()] == [order.cloid for order in desk.entries()][1:]


def test_trading_crash_f55_late_execution_of_a_dead_sidecars_order_is_found(make_desk: Callable[..., Desk]) -> None:
    """The order enters its block while the next sidecar is already there: neither may be wrong about it."""
    desk = make_desk(limits__actions={"entry_expiry_ms": 4_000})
    slow = desk.venue.switch("latency", channels=["order"], users=[desk.user], parameters={"arrival_ms": 3_000})
    with desk.trading() as trader:
        trader.until_calm()
        desk.venue.shift(ALPHA)
        until(lambda: desk.venue.strikes(slow))
        kill(trader)
    with desk.sidecar() as trader:
        assert desk.venue.fills(desk.user) == []
        desk.venue.clear()
        until(lambda: desk.venue.fills(desk.user), 5)
        trader.until_flat()
        [intent] = desk.entries()
        assert intent.applied_sz == Decimal(desk.venue_entries()[0]["origSz"])
        assert len(desk.venue_entries()) == 1
        desk.check_books()
        assert trader.child.end() == 0


def test_trading_crash_with_a_position_is_managed_by_the_next_start(desk: Desk) -> None:
    """I-13: entry baselines are those of the first fill, whoever looks after the position now."""
    with desk.trading() as trader:
        trader.enter()
        [before] = trader.status().trading.positions
        trader.child.end(9)
    with desk.sidecar() as trader:
        trader.until_trading()
        [after] = trader.status().trading.positions
        assert (after.sz, after.entry_px, after.cost_ntl) == (before.sz, before.entry_px, before.cost_ntl)
        desk.venue.clear()
        trader.until_flat()
        assert desk.venue.positions(desk.user) == {}
        desk.check_books()
        assert trader.child.end() == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_trading_crash_f92_position_in_a_market_that_is_configured_no_more_is_closed(
    make_desk: Callable[..., Desk], number: int
) -> None:
    """The rotation in force still names it and the sidecar is armed: nothing but the configuration keeps it out."""
    leave = {"": {"shutdown_policy": "leave"}}
    desk = make_desk(ALPHA, BETA, **leave)
    with desk.trading() as trader:
        trader.enter()
        trader.child.process.send_signal(number)
        trader.child.process.wait(15)
    desk.venue.clear()
    desk.coins = (BETA,)
    desk.write_config(leave)
    with desk.sidecar() as trader:
        assert trader.held() == {ALPHA: desk.venue.positions(desk.user)[ALPHA]}
        trader.until_flat()
        assert desk.venue.positions(desk.user) == {}
        trader.until_trading()
        trader.until_calm()
        desk.venue.shift(ALPHA)
        until(lambda: blocks(desk, ALPHA)[-1] == ("not_configured",), what="until a signal", why=trader.told)
        found = {market.coin: (market.is_allowed, market.stopped_by) for market in trader.status().markets}
        assert found == {ALPHA: (False, "not_configured"), BETA: (True, "")}
        assert trader.child.end() == 0
    assert [entry.coin for entry in desk.entries()] == [ALPHA]
    assert [line["market_count"] for line in trader.log() if line["event"] == "session_began"] == [2]
    with desk.sidecar() as trader:
        assert [market.coin for market in trader.status().markets] == [BETA], "it is flat, and is watched no more"
        assert trader.child.end() == 0


def test_trading_crash_f92_position_on_a_dex_that_is_configured_no_more_is_closed_and_proved(tmp_path: Path) -> None:
    """Specs, subscriptions and the account of a dex that no other market is watched on."""
    leave = {"shutdown_policy": "leave"}
    with sim_venue(tmp_path, (BETA, OTHER_DEX)) as venue:
        desk = Desk(venue, tmp_path, (BETA, OTHER_DEX), {"": leave | {"dexes": ["xyz", "abc"]}})
        with desk.trading() as trader:
            trader.enter(OTHER_DEX)
            kill(trader)
        venue.clear()
        desk.coins = (BETA,)
        desk.write_config({"": leave})
        with desk.sidecar() as trader:
            beat = read_heartbeat(desk.root / "w", tag_of("sim", desk.user))
            assert beat is not None
            assert beat.exit_only_coins == (OTHER_DEX,), "the watchdog would close it too"
            trader.until_flat()
            assert venue.positions(desk.user, "abc") == {}
            trader.until_trading()
            until(lambda: proves(desk) >= {"xyz", "abc"}, what="until both accounts agree", why=trader.told)
            assert trader.status().stop_reason is None
            assert trader.child.end() == 0
        desk.check_books()


def proves(desk: Desk) -> set[str]:
    """Return the dexes whose account agreed with ours in the newest session."""
    session = list_sessions(desk.root / "w", "sim")[-1]
    records = read_session(journal_folder(desk.root / "w", "sim", session))
    outputs = [output for record in records if isinstance(record, OutputsRecord) for output in record.outputs]
    return {o.dex for o in outputs if isinstance(o, AccountChecked) and o.is_judged and not o.position_mismatches}


def blocks(desk: Desk, coin: str) -> list[tuple[str, ...]]:
    """Return what blocked the signals of a market."""
    return [report.blocked_by for report in desk.outputs(GatesEvaluated) if report.coin == coin]


@pytest.mark.parametrize(("venue_name", "point"), [("testnet", AFTER_SEND), ("sim", "before_lunch")])
def test_trading_crash_point_is_refused_with_another_venue_or_an_unknown_name(
    make_desk: Callable[..., Desk], venue_name: str, point: str
) -> None:
    desk = make_desk(**{"": {"venue": venue_name}})
    with pytest.raises(AssertionError, match=f"exit 3.*{VARIABLE}"), desk.sidecar(environment={VARIABLE: point}):
        pass
    assert hip3("status", "--config", str(desk.config_file)).returncode == 1
