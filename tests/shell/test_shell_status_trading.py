"""What an operator sees of real trading: the status, its text, and that the live page knows the same names."""

import re
from decimal import Decimal
from pathlib import Path
from typing import get_args

import msgspec
from core_builders import COIN, START_MONO_NS, START_TS_NS, a_bbo, a_warm_engine, feed
from core_builders import WARM_MS as T
from live_builders import CLOID, a_position, an_order

from streaming.contracts.control import StatusView, TradingView
from streaming.core.effects import AnyOutput
from streaming.core.state import EngineState
from streaming.core.trading.losses import LossState
from streaming.core.trading.model import OrderStatus
from streaming.core.units import NS_PER_DAY, NS_PER_MS, NS_PER_S, utc_day_of
from streaming.shell.control.status import status_view
from streaming.shell.control.status_text import status_text
from streaming.shell.telemetry.meter import Telemetry
from streaming.shell.telemetry.metrics import Metrics

WEB = Path(__file__).resolve().parent.parent.parent / "streaming" / "web"
D = Decimal


def a_trading_engine() -> EngineState:
    """A long position under a touch of 99.98 / 100.02, one order in doubt, one whose fills are all applied."""
    state = a_warm_engine()
    feed(state, a_bbo(T))
    live = state.live
    live.positions[COIN] = a_position(entry_ts_ns=state.ts_ns - 2_000 * NS_PER_MS, entry_px=D(300) / 3 + D(1) / 3)
    live.orders = {
        CLOID: an_order(OrderStatus.IN_DOUBT, decided_mono_ns=state.mono_ns - 700 * NS_PER_MS),
        "0x2": an_order(OrderStatus.UNFILLED, cloid="0x2"),
    }
    live.losses = LossState(
        day=utc_day_of(state.ts_ns), day_pnl_usd=D("-2.5"), total_pnl_usd=D(1), peak_pnl_usd=D(4), loss_count=2
    )
    live.is_ready, live.unready_reason = False, "fills are not proved"
    live.stops[COIN] = "halt"
    return state


def view_of(state: EngineState) -> StatusView:
    return status_view(
        state,
        Telemetry(Metrics(), state.markets),
        version="1",
        config_hash="c",
        now_mono_ns=state.mono_ns,
        started_mono_ns=START_MONO_NS - NS_PER_S,
    )


def test_status_names_position_and_orders_that_bind() -> None:
    trading = view_of(a_trading_engine()).trading
    (position,), (order,) = trading.positions, trading.orders
    assert (position.coin, position.sz, position.held_ms) == (COIN, D("0.3"), 2_000)
    assert str(position.entry_px) == "100.33333333"
    assert (order.cloid, order.status, order.age_ms) == (CLOID, "in_doubt", 700)
    assert trading.in_doubt_count == 1


def test_status_values_a_position_at_the_side_it_would_leave_by() -> None:
    state = a_trading_engine()
    state.live.positions[COIN] = a_position(entry_px=D(100))
    assert view_of(state).trading.positions[0].unrealised_pnl == D("-0.006"), "long: 0.3 x (99.98 - 100)"
    state.live.positions[COIN] = a_position(entry_px=D(100), sz=D("-0.3"))
    assert view_of(state).trading.positions[0].unrealised_pnl == D("-0.006"), "short: -0.3 x (100.02 - 100)"
    feed(state, a_bbo(T + 100, ask_px=None))
    assert view_of(state).trading.positions[0].unrealised_pnl is None


def test_status_result_of_the_day_ends_with_the_day() -> None:
    state = a_trading_engine()
    assert view_of(state).trading.day_pnl_usd == D("-2.5")
    assert view_of(state).trading.drawdown_usd == 3
    state.ts_ns = START_TS_NS + NS_PER_DAY
    assert view_of(state).trading.day_pnl_usd == 0


def test_status_tells_readiness_ladder_and_stopped_markets() -> None:
    state = a_trading_engine()
    state.live.ladder_step = 3
    view = view_of(state)
    assert (view.trading.is_ready, view.trading.unready_reason) == (False, "fills are not proved")
    assert view.trading.ladder_name == "no entries"
    assert view.markets[0].stopped_by == "halt"
    state.live.is_ready = True
    assert view_of(state).trading.unready_reason == ""


def test_status_of_an_older_sidecar_can_be_read() -> None:
    raw = msgspec.json.decode(msgspec.json.encode(view_of(a_warm_engine())))
    del raw["trading"]
    assert msgspec.json.decode(msgspec.json.encode(raw), type=StatusView).trading == TradingView()


def test_status_text_shouts_what_must_not_be_missed() -> None:
    state = a_trading_engine()
    state.live.is_flattening = True
    text = status_text(view_of(state))
    assert "NOT READY: fills are not proved, CLOSING EVERYTHING" in text
    assert "1 open, 1 IN DOUBT, 0 actions in flight" in text
    assert "-2.5, drawdown 3, 2 losses in a row" in text
    order = next(line for line in text.splitlines() if CLOID in line)
    assert "IN_DOUBT" in order
    assert "100.33333333" in text


def test_status_names_positions_that_an_operator_said_are_not_ours() -> None:
    state = a_trading_engine()
    assert "not ours" not in status_text(view_of(state))
    state.live.ignored_coins = ["xyz:MSFT", "xyz:META"]
    view = view_of(state)
    assert view.trading.ignored_coins == ("xyz:MSFT", "xyz:META")
    [line] = [line for line in status_text(view).splitlines() if line.startswith("not ours")]
    assert "xyz:MSFT, xyz:META" in line


def test_status_text_without_positions_has_no_empty_tables() -> None:
    text = status_text(view_of(a_warm_engine()))
    assert "closing" not in text
    assert "cloid" not in text


def test_page_asks_for_elements_and_outputs_that_exist() -> None:
    script, page = (WEB / "page.js").read_text(), (WEB / "page.html").read_text()
    asked = set(re.findall(r'byId\("([a-z-]+)"\)', script)) | {"positions", "orders", "positions-block", "orders-block"}
    assert asked <= set(re.findall(r'id="([a-z-]+)"', page))
    kinds = re.findall(r'"(\w+)"', script[script.index("const KINDS = [") : script.index("const stream")])
    assert set(kinds) <= {kind.__name__ for kind in get_args(AnyOutput)}
    assert {"LiveOrderChanged", "TradeClosed", "TradingReadyChanged"} <= set(kinds)


def test_page_reads_fields_that_the_status_has() -> None:
    script = (WEB / "page.js").read_text()
    trading = view_of(a_trading_engine()).trading
    for name, value in (("trading", trading), ("position", trading.positions[0]), ("order", trading.orders[0])):
        read = set(re.findall(rf"\b{name}\.([a-z_]+)", script))
        assert read
        assert read <= set(value.__struct_fields__)
