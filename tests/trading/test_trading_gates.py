"""Each of the 8 gates on markets that are traded for real, through real frames and polls: trips, acts, recovers (I-07).

One sidecar, two markets a gate: one flat, one in which a position is held. Polls come every half minute, so all gates
are tripped at once, in a fixture, and the journal is looked at afterwards. Gate 8 recovers by a reconnect, which
concerns every market, so it has a sidecar of its own.
"""

from collections.abc import Callable, Iterator

import pytest
from trading_process import ALPHA, BETA, Desk, SimVenue, Trader, sim_venue, until

from streaming.core.effects import ConnectionChanged, EntriesChanged, GateChanged, GatesEvaluated, GateStatus
from streaming.core.trading.effects import LiveFillApplied, LiveOrderChanged, MarketStopChanged
from streaming.core.trading.model import LiveOrder, OrderStatus
from streaming.core.units import NS_PER_S

GATES = ("oracle_fresh", "mark_mid_divergence", "spread_shock", "oi_cap", "param_change", "halt", "no_bbo_update")
"""Those whose cause ends by itself: all but the last of the table."""
FLAT = {gate: f"xyz:F{number}" for number, gate in enumerate(GATES, 1)}
HELD = {gate: f"xyz:H{number}" for number, gate in enumerate(GATES, 1)}
WIDE = ("xyz:WIDE1", "xyz:WIDE2")
"""Markets with thirty times the spread, whose quotes are told in another one's name."""
STOPPING = frozenset({"param_change", "halt"})
SHRINKING = STOPPING | {"no_bbo_update"}
POLL_S_MAX = 40
# The average hardly learns: on a slow machine a wide spread that lasts would become the usual one and reopen gate 3.
_LIMITS = {
    "limits.gates": {
        "spread_ewma_count_min": 3, "spread_ewma_alpha": 0.0001, "spread_shock_cooldown_ms": 1_000,
        "halt_cooldown_ms": 1_000, "param_change_cooldown_ms": 1_000, "ctx_age_ms_max": 3_000,
    },
    "limits.sizing": {"position_count_max": 20, "account_ntl_max": 2_000},
    "limits.losses": {"correlation_count_max": 20},
}  # fmt: skip


def trip_all(trader: Trader) -> None:
    """Switch on what trips gates 1 to 7, flat and held, and wait until each has."""
    venue = trader.venue

    def both(gate: str) -> list[str]:
        return [FLAT[gate], HELD[gate]]

    venue.switch("oi_cap", coins=both("oi_cap"))
    venue.switch("parameter", coins=both("param_change"), parameters={"name": "leverage_max", "value": "5"})
    venue.switch("halt", coins=both("halt"))
    venue.switch("mute", channels=["activeAssetCtx"], coins=both("oracle_fresh"))
    venue.switch("oracle", coins=both("mark_mid_divergence"), parameters={"shape": "shifted", "bps": 90.0})
    venue.switch("mute", channels=["bbo"], coins=[*both("spread_shock"), *both("no_bbo_update")])
    for wide, coin in zip(WIDE, both("spread_shock"), strict=True):
        venue.switch("rename", channels=["bbo"], coins=[wide], parameters={"to": coin})
    moved = {"field": "midPx", "text": "1000.0"}
    venue.switch("value", channels=["activeAssetCtx"], coins=both("no_bbo_update"), parameters=moved)
    until(lambda: has_tripped(trader.desk, "spread_shock"), what="until spreads are wide", why=trader.told)
    venue.shift(FLAT["spread_shock"], bps=90.0)  # beyond the wide spread
    until(lambda: all(has_tripped(trader.desk, gate) for gate in GATES), POLL_S_MAX, "trip", why=trader.told)
    for gate in ("oi_cap", "param_change", "no_bbo_update"):
        venue.shift(FLAT[gate])
    wanted = set(FLAT.values()) - {FLAT["oracle_fresh"], FLAT["halt"]}
    until(lambda: wanted <= {s.coin for s in blocked_signals(trader.desk)}, what="signals", why=trader.told)


def has_tripped(desk: Desk, gate: str) -> bool:
    return {change.coin for change in trips(desk, gate)} >= {FLAT[gate], HELD[gate]}


def blocked_signals(desk: Desk) -> list[GatesEvaluated]:
    return [signal for signal in desk.outputs(GatesEvaluated) if signal.is_blocked]


def trips(desk: Desk, gate: str) -> list[GateChanged]:
    """Return when a gate began to block after it had passed."""
    return [
        change
        for change in desk.outputs(GateChanged)
        if change.gate == gate and change.current is GateStatus.BLOCK and change.previous is not GateStatus.BLOCK
    ]


def enter_each(trader: Trader, coins: list[str]) -> None:
    """Make an opportunity in each market, and wait until all are held."""
    trader.until_calm(*coins)
    trader.venue.switch("oracle", coins=coins, parameters={"shape": "shifted", "bps": 30.0})
    until(lambda: set(coins) <= set(trader.held()), 20, "until all are held", why=trader.told)


@pytest.fixture(scope="module")
def drilled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A desk whose markets have been through everything: what happened is in its journal."""
    folder = tmp_path_factory.mktemp("gates")
    coins = (*FLAT.values(), *HELD.values())
    with sim_venue(folder, coins, wide=WIDE) as venue:
        desk = Desk(venue, folder, (*coins, *WIDE), _LIMITS)
        with desk.trading() as trader:
            enter_each(trader, list(HELD.values()))
            trip_all(trader)
            venue.clear_all_but("parameter")
            trader.until_flat(POLL_S_MAX)
            trader.until_trading(POLL_S_MAX)
            enter_each(trader, list(FLAT.values()))
            assert trader.status().stop_reason is None
            assert trader.child.end() == 0
        yield desk


def orders_of(desk: Desk, coin: str) -> list[LiveOrder]:
    return [order for order in desk.our_orders().values() if order.coin == coin]


@pytest.mark.parametrize("gate", GATES)
def test_trading_gates_trip_flat_without_an_entry_and_recover(drilled: Desk, gate: str) -> None:
    coin = FLAT[gate]
    first = next(change for change in trips(drilled, gate) if change.coin == coin)
    passed = next(
        change
        for change in drilled.outputs(GateChanged)
        if (change.coin, change.gate) == (coin, gate) and change.ts_ns > first.ts_ns
    )
    assert passed.current is GateStatus.PASS
    entries = [order for order in orders_of(drilled, coin) if not order.is_reduce_only]
    assert entries, "it trades again"
    assert all(order.decided_ts_ns > passed.ts_ns for order in entries), "and did not while the gate blocked"
    blockers = [s.blocked_by for s in blocked_signals(drilled) if s.coin == coin and s.ts_ns < passed.ts_ns]
    assert all(gate in names for names in blockers)
    assert blockers or gate in {"oracle_fresh", "halt"}, "nothing could signal there"


@pytest.mark.parametrize("gate", GATES)
def test_trading_gates_in_a_position_let_exits_go_at_full_size(drilled: Desk, gate: str) -> None:
    """Four gates shrink the position themselves, the others leave it to its own exit; a halt settles it."""
    coin = HELD[gate]
    [entry] = [order for order in orders_of(drilled, coin) if not order.is_reduce_only]
    tripped = next(change for change in trips(drilled, gate) if change.coin == coin)
    assert entry.decided_ts_ns < tripped.ts_ns
    exits = [order for order in orders_of(drilled, coin) if order.is_reduce_only]
    closing = [output for output in drilled.outputs(LiveFillApplied) if output.fill.coin == coin][1:]
    assert sum(output.fill.sz for output in closing) == entry.applied_sz
    if gate == "halt":
        assert [output.reason for output in closing] == ["settlement"]
        return
    assert exits[0].sz == entry.applied_sz
    assert exits[-1].status is OrderStatus.FILLED
    assert (exits[0].reason == f"gate_{gate}") is (gate in SHRINKING)
    assert exits[0].decided_ts_ns >= tripped.ts_ns - NS_PER_S, "what changed is told once a second"


@pytest.mark.parametrize("gate", sorted(STOPPING))
def test_trading_gates_that_stop_say_so_and_let_the_market_go_again(drilled: Desk, gate: str) -> None:
    flat, held = (
        [stop.state for stop in drilled.outputs(MarketStopChanged) if stop.coin == coin]
        for coin in (FLAT[gate], HELD[gate])
    )
    assert flat == ["stopped", "trading"]
    assert held[-1] == "trading"
    assert held in (["shrinking", "stopped", "trading"], ["stopped", "trading"]), "a halt may have settled it before"


def test_trading_gates_leave_the_books_right(drilled: Desk) -> None:
    """I-12, I-16, I-22: whatever came of the gates, the venue agrees; no market but those struck was stopped."""
    drilled.check_books()
    struck = {*FLAT.values(), *HELD.values()}
    assert {stop.coin for stop in drilled.outputs(MarketStopChanged)} <= struck | set(WIDE)
    assert drilled.venue.positions(drilled.user) == {}
    sent = {output.order.cloid for output in drilled.outputs(LiveOrderChanged)}
    assert {order["cloid"] for order in drilled.venue.orders(drilled.user)} <= sent


def test_trading_gates_time_regression_stops_until_the_connection_is_another_one(desk: Desk, venue: SimVenue) -> None:
    """Gate 8, in a position and flat: a reconnect is asked for at once, and nothing is entered before it is proved."""
    with desk.trading() as trader:
        trader.enter()
        [entry] = desk.entries()
        regress(trader)
        venue.clear()
        trader.until_flat()
        assert desk.exits()[0].sz == entry.applied_sz
        assert venue.positions(desk.user) == {}
        trader.until_calm()
        trader.until_trading()
        shift = venue.switch("oracle", at_s=1, coins=[ALPHA], parameters={"shape": "shifted", "bps": 30.0})
        regress(trader)
        trader.until_trading()
        until(lambda: len(desk.outputs(GatesEvaluated)) >= 2 or trader.held(), what="until it was judged again")
        assert all(order.decided_ts_ns > reconnected_ts_ns(desk) for order in desk.entries()[1:])
        venue.clear(shift)
        trader.until_flat()
        trader.until_calm()
        trader.enter()
        assert trader.child.end() == 0
    regressions = [c.reason for c in desk.outputs(ConnectionChanged) if not c.is_open and "time_regression" in c.reason]
    assert regressions == [f"time_regression {ALPHA} bbo"] * 2
    desk.check_books()


def test_trading_gates_f16_time_an_hour_ahead_in_one_market_stops_no_other_one_over_a_reconnect(
    make_desk: Callable[..., Desk], venue: SimVenue
) -> None:
    """I-22: the moved times begin before a connection ends and end after the next one has begun."""
    desk = make_desk(ALPHA, BETA)
    with desk.trading() as trader:
        moved = venue.switch("time", coins=[ALPHA], parameters={"offset_ms": 3_600_000})
        generation = trader.status().generation
        venue.happen("close", coins=[ALPHA])
        until(lambda: trader.status().generation > generation, what="until reconnected", why=trader.told)
        trader.until_trading()
        trader.enter(BETA)
        venue.clear(moved)
        trader.enter(ALPHA)
        assert trader.child.end() == 0
    assert [change for change in desk.outputs(EntriesChanged) if change.control.startswith("venue_")] == []
    ends = [change.reason for change in desk.outputs(ConnectionChanged) if not change.is_open]
    assert not any("time_regression" in reason for reason in ends), ends
    desk.check_books()


def regress(trader: Trader) -> None:
    """Let venue time go back an hour in one frame, and wait until the sidecar has another connection."""
    generation = trader.status().generation
    past = {"offset_ms": -3_600_000}
    trader.venue.switch("time", channels=["bbo"], coins=[ALPHA], count=1, parameters=past)
    until(lambda: trader.status().generation > generation, what="until reconnected", why=trader.told)


def reconnected_ts_ns(desk: Desk) -> int:
    return max(change.ts_ns for change in desk.outputs(ConnectionChanged) if change.is_open)
