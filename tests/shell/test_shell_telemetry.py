"""Every metric moves: each journey below drives the real parts, and together they must move whatever is registered.

The predecessor shipped fourteen metrics that never moved; the last test of this file is why that can not happen here.
"""

import asyncio
import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, get_args

import msgspec
import pytest
from core_builders import (
    COIN,
    WARM_MS,
    a_bbo,
    a_ctx,
    a_poll,
    a_rotation,
    a_spec,
    a_status,
    a_timer,
    a_trade,
    a_warm_engine,
    an_engine,
    events_until_ready,
    feed,
    limits_with,
    some_trades,
    stamps,
    warm_events,
)
from live_builders import (
    CLOID,
    NOW,
    a_position,
    account_checked,
    action_decided,
    action_ended,
    an_order,
    fill_applied,
    fill_gap_checked,
    order_changed,
    position_changed,
    trade_closed,
)
from loopback_feed import run, websocket_server
from msgspec.structs import replace
from prometheus_client import CollectorRegistry
from shell_parts import FakeClock, a_shell, when
from trading_builders import a_desk
from websockets.asyncio.server import ServerConnection

from streaming.core.effects import AnyOutput, HealthSampled
from streaming.core.engine import step
from streaming.core.events import (
    AnyEvent,
    ArmRequested,
    ConnectionLost,
    ConnectionOpened,
    Phase,
    PhaseRequested,
    ResetRequested,
    SpecsReceived,
    StopRequested,
)
from streaming.core.state import ControlState, EngineState
from streaming.core.trading.account import LiveAccount
from streaming.core.trading.effects import LadderChanged, LossesChanged, MarketStopChanged, TradingReadyChanged
from streaming.core.trading.losses import LossState
from streaming.core.trading.model import OrderStatus
from streaming.core.trading.refusal import RefusalCode
from streaming.hyperliquid.session import Session, Subscription
from streaming.shell.clock import SystemClock
from streaming.shell.control.broadcast import QUEUE_MAX, Broadcast
from streaming.shell.execution.busy_poll import BusyPoll
from streaming.shell.execution.rehearsal import Rehearsals
from streaming.shell.execution.trading import rehearsed
from streaming.shell.feed.connection import Feed
from streaming.shell.feed.transport import transport_factory
from streaming.shell.keys.presignatures import Presignatures
from streaming.shell.process.child import Child, watch_backlog
from streaming.shell.process.faults import Faults
from streaming.shell.process.health import Health
from streaming.shell.telemetry.market_samples import mark_mid_gap_bps
from streaming.shell.telemetry.meter import Telemetry, reconnect_label
from streaming.shell.telemetry.metrics import Metrics

T = WARM_MS


class Engine:
    """The real engine with a telemetry that sees all its outputs."""

    def __init__(self, state: EngineState) -> None:
        self.state = state
        self.metrics = Metrics()
        self.telemetry = Telemetry(self.metrics, state.markets)
        self.outputs: list[AnyOutput] = []

    def feed(self, *events: AnyEvent) -> list[AnyOutput]:
        for event in events:
            outputs = step(self.state, event)
            self.telemetry.outputs_taken(outputs)
            self.outputs += outputs
        return self.outputs

    def tell(self, *outputs: AnyOutput) -> None:
        """Let the telemetry see outputs that no engine made."""
        self.telemetry.outputs_taken(outputs)

    def value(self, name: str, **labels: str) -> float:
        value = self.metrics.registry.get_sample_value(name, labels)
        assert value is not None, f"{name} {labels} does not exist"
        return value


def an_engine_with_everything() -> Engine:
    """Signals on both sides of two markets, paper fills, gates that block, controls, rotation: all of it decided."""
    engine = Engine(a_warm_engine(a_spec(), a_spec("xyz:GOLD")))
    engine.telemetry.control_carried(ControlState())
    engine.feed(
        PhaseRequested(**stamps(T), command_id=1, operator="me", phase=Phase.PAPER, reason="try"),
        ArmRequested(**stamps(T), command_id=1, operator="me", is_armed=True),
        a_rotation(T, account=""),
        some_trades(T, a_trade(T)),
        a_ctx(T, oracle_px="100.20"),  # a buy signal, oracle-led
        a_timer(T + 6_500),  # matched, followed up, closed by the time stop
        a_bbo(T + 6_600),
        a_ctx(T + 6_600),  # the episode ends
        a_bbo(T + 6_700, bid_px=None),
        a_bbo(T + 6_800),
        a_poll(T + 6_900, a_status(is_halted=True)),
        a_ctx(T + 7_000, oracle_px="100.20"),  # blocked
        a_timer(T + 9_000),
        StopRequested(**stamps(T + 9_000), command_id=1, operator="me", reason="test"),
        SpecsReceived(**stamps(T + 9_100), specs=(a_spec(taker_fee_bps="1.8"), a_spec("xyz:GOLD"))),
        ConnectionLost(**stamps(T + 9_200), generation=1, reason="closed_1012"),
        a_timer(T + 11_000),
    )
    return engine


def engine_journey(_tmp_path: Path) -> CollectorRegistry:
    return an_engine_with_everything().metrics.registry


def blocked_gate_journey(_tmp_path: Path) -> CollectorRegistry:
    """A gate that blocks and lets go again, a signal that sizing refuses, and a cross that raises no signal."""
    engine = Engine(
        a_warm_engine(limits=limits_with(sizing={"order_ntl_min": Decimal(40), "order_ntl_max": Decimal(50)}))
    )
    engine.feed(
        a_ctx(T + 50, oracle_px="100.05"),  # crosses, but by less than it costs
        a_timer(T + 12_000),  # ctx and bbo grow too old
        a_ctx(T + 12_100),
        a_bbo(T + 12_100),
        a_timer(T + 14_000),
        a_bbo(T + 14_100, ask_sz="0.1"),
        a_ctx(T + 14_200, oracle_px="100.20"),
        a_bbo(T + 14_300, ask_px="100.03", ask_sz="0.1"),
        a_timer(T + 16_000),
    )
    return engine.metrics.registry


def holding_journey(_tmp_path: Path) -> CollectorRegistry:
    """A market from its first frame to a position that is still held."""
    engine = Engine(an_engine())
    engine.feed(*events_until_ready(0), *warm_events(100))
    engine.feed(
        PhaseRequested(**stamps(T), command_id=1, operator="me", phase=Phase.PAPER, reason="try"),
        ArmRequested(**stamps(T), command_id=2, operator="me", is_armed=True),
        a_ctx(T, oracle_px="100.20"),
        a_timer(T + 1_000),
    )
    return engine.metrics.registry


def feed_journey(tmp_path: Path) -> CollectorRegistry:
    """A connection with more subscriptions than a minute allows, every kind of frame, and its end."""
    plan = tuple(Subscription("bbo", f"xyz:C{i}") for i in range(1_950))
    frames = [
        {"channel": "bbo", "data": {"coin": COIN, "time": 1, "bbo": [None, None]}},
        {"channel": "bbo", "data": {"coin": COIN, "time": 2, "bbo": [None, None]}},
        {"channel": "error", "data": "Invalid subscription"},
        {"channel": "bbo", "data": 5},
        {"channel": "activeSpotAssetCtx", "data": {"coin": "@1", "ctx": json.loads(_SPOT_CTX)}},
    ]

    async def script(server: ServerConnection) -> None:
        for frame in frames:
            await server.send(json.dumps(frame))
        await server.close(1012)

    async def play() -> CollectorRegistry:
        shell = a_shell(tmp_path)
        async with websocket_server(script) as url:
            parts = Feed(
                url=url,
                session=Session(plan, random=Random(1)),
                subscription_count=len(plan),
                new_transport=transport_factory("picows"),
                runtime=shell.runtime,
                clock=shell.clock,
                telemetry=shell.telemetry,
                faults=Faults(),
            )
            lost = when(shell, "reconnect_needed", lambda: True)
            task = asyncio.create_task(parts.run())
            await lost.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        shell.close()
        return shell.metrics.registry

    return run(play())


def health_journey(tmp_path: Path) -> CollectorRegistry:
    async def play() -> CollectorRegistry:
        shell = a_shell(tmp_path)
        shell.runtime.apply(ConnectionOpened(**stamps(0), generation=1))
        health = Health(
            runtime=shell.runtime,
            journal=_LateJournal(),  # type: ignore[arg-type]
            clock=shell.clock,
            metrics=shell.metrics,
            rate_uses=lambda _: {"messages": Decimal("0.5")},
        )
        shell.runtime.state.venue_clock.offset_ns = 7 * 10**6
        health.sample(loop_lag_ms=12)
        shell.close()
        return shell.metrics.registry

    return run(play())


class _LateJournal:
    """A journal on a slow disk."""

    sync_lag_ms = 40
    is_healthy = True


class _Log:
    """A logger that tells when something was logged."""

    def __init__(self, logged: asyncio.Event) -> None:
        self._logged = logged

    def error(self, *_: object, **__: object) -> None:
        self._logged.set()


def process_journey(tmp_path: Path) -> CollectorRegistry:
    """What the supervisor shows: identity, backlog, a child that dies, lost log lines, readers of events."""
    metrics = Metrics()

    async def play() -> None:
        dying = Child(["-c", "raise SystemExit(3)"], metrics)
        died = asyncio.Event()
        dying._log = _Log(died)  # type: ignore[assignment] # its one line is written after the restart was counted
        child = asyncio.create_task(dying.run())
        (tmp_path / "000001.jnl").write_bytes(b"")
        watch_backlog(metrics, tmp_path, now_ts_s=(tmp_path / "000001.jnl").stat().st_mtime + 5, dropped_line_count=2)
        metrics.info.labels("1", "sim", "s1").set(1)
        is_done = asyncio.Event()
        rehearsals = Rehearsals(
            a_desk().state,
            is_done.set,
            interval_ms=1,
            clock=SystemClock(),
            on_done=partial(rehearsed, metrics, Presignatures(b"\x01" * 32, 1)),
        )
        rehearsals.turn_ended(0)
        await is_done.wait()
        rehearsals.close()
        clock = FakeClock()
        poll = BusyPoll(a_desk().state, poll_ms=10, clock=clock, on_crowded=metrics.busy_poll_crowded.inc)
        poll.turn_ended()
        clock.advance(5)
        await asyncio.sleep(0)
        poll.close()
        metrics.control_requests.labels("/v1/status", "200").inc()
        broadcast = Broadcast(metrics)
        broadcast.join()
        engine = an_engine_with_everything()
        for _ in range(QUEUE_MAX):
            broadcast.publish(engine.outputs[:40])
        broadcast.join()
        await died.wait()
        child.cancel()
        await asyncio.gather(child, return_exceptions=True)

    run(play())
    return metrics.registry


def trading_engine() -> Engine:
    """Real trading by hand: a round trip, a refusal, an order in doubt, a gap, a wrong account, a stop."""
    engine = Engine(an_engine())
    losses = LossState(day_pnl_usd=Decimal(-2), total_pnl_usd=Decimal(1), peak_pnl_usd=Decimal(4), loss_count=3)
    engine.tell(
        TradingReadyChanged(**NOW, is_ready=True, reason=""),
        action_decided(),
        order_changed(),
        order_changed(OrderStatus.SENT),
        action_ended(),
        fill_applied(),
        order_changed(OrderStatus.FILLED, filled_sz=Decimal("0.3"), applied_sz=Decimal("0.3")),
        position_changed(a_position()),
        position_changed(None, "0.03", "quick_profit"),
        trade_closed(),
        LossesChanged(**NOW, losses=losses),
        order_changed(OrderStatus.REJECTED, cloid="0x2", code=RefusalCode.MARGIN),
        action_decided(5),
        order_changed(OrderStatus.IN_DOUBT, cloid="0x3"),
        position_changed(a_position()),
        fill_gap_checked(is_proved=True),
        fill_gap_checked(is_proved=False, applied_count=0),
        account_checked("-0.5"),
        account_checked("9", is_judged=False),
        MarketStopChanged(**NOW, coin=COIN, state="shrinking", gate="halt", reason="tripped"),
        LadderChanged(**NOW, step=3, reason="address_limit"),
    )  # fmt: skip
    return engine


def trading_journey(_tmp_path: Path) -> CollectorRegistry:
    return trading_engine().metrics.registry


_SPOT_CTX = '{"dayNtlVlm":"1","prevDayPx":"1","markPx":"1","midPx":"1","circulatingSupply":"1"}'
JOURNEYS: tuple[Callable[[Path], CollectorRegistry], ...] = (
    engine_journey,
    trading_journey,
    blocked_gate_journey,
    holding_journey,
    feed_journey,
    health_journey,
    process_journey,
)


def samples(registry: CollectorRegistry) -> Iterator[tuple[str, str, float]]:
    for family in registry.collect():
        for sample in family.samples:
            yield family.name, f"{sample.name}{sorted(sample.labels.items())}", sample.value


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names of all metrics that any journey moved away from where they begin."""
    began = {key: value for _, key, value in samples(Metrics().registry)}
    return {
        name
        for journey in JOURNEYS
        for name, key, value in samples(journey(tmp_path_factory.mktemp(journey.__name__)))
        if value != began.get(key, 0.0)
    }


@pytest.mark.parametrize("name", sorted({name for name, _, _ in samples(Metrics().registry)} | {
    family.name for family in Metrics().registry.collect()
}))  # fmt: skip
def test_telemetry_every_registered_metric_moves(moved: set[str], name: str) -> None:
    assert name in moved


def test_metrics_page_names_whatever_is_registered() -> None:
    metrics = Metrics()
    served = {family.name for family in metrics.registry.collect()}
    assert {declared.name.removesuffix("_total") for declared in metrics.declared} == served


def test_telemetry_counts_what_the_engine_decided() -> None:
    engine = an_engine_with_everything()
    side = {"coin": COIN, "side": "buy"}
    assert engine.value("hip3_signals_total", **side, origin="oracle_led") == 2
    assert engine.value("hip3_cross_count_total", **side) == 2
    assert engine.value("hip3_edge_bps_count", **side) == 2
    assert engine.value("hip3_gate_blocked_total", gate="halt", coin=COIN) == 1
    assert engine.value("hip3_followups_total", offset_ms="1000", is_missing="false") == 2
    assert engine.value("hip3_fills_total", mode="paper", coin=COIN, side="buy") == 1
    assert engine.value("hip3_stop_latch") == 1
    assert engine.value("hip3_rotation_version") == 1
    assert engine.value("hip3_phase", phase="paper") == 1
    assert engine.value("hip3_ws_connected") == 0
    assert engine.value("hip3_bbo_null_total", coin=COIN) == 1


def test_telemetry_ages_are_measured_away_from_updates() -> None:
    """An age taken at an update is always 0: the fixed clock of the engine makes it honest."""
    engine = Engine(a_warm_engine())
    engine.feed(a_bbo(T + 100), a_ctx(T + 200), a_timer(T + 3_000))
    assert engine.value("hip3_bbo_age_ms", coin=COIN) >= 1_000
    assert engine.value("hip3_ctx_age_ms", coin=COIN) >= 1_000


def test_telemetry_sample_adds_up_and_what_is_not_known_any_more_has_no_series() -> None:
    state = a_warm_engine()
    sample = next(output for output in feed(state, a_timer(T + 3_000)) if isinstance(output, HealthSampled))
    known = replace(sample, bbo_count=3, bbo_null_count=1, is_oracle_stale=True)
    unknown = replace(known, book=replace(known.book, spread_bps=None, bbo_age_ms=None), is_oracle_stale=False)
    metrics = Metrics()
    telemetry = Telemetry(metrics, (COIN,))
    telemetry.outputs_taken([known])
    assert metrics.registry.get_sample_value("hip3_spread_bps", {"coin": COIN}) == float(known.book.spread_bps or 0)
    telemetry.outputs_taken([unknown])
    served = {name: metrics.registry.get_sample_value(f"hip3_{name}", {"coin": COIN}) for name in (
        "spread_bps", "bbo_age_ms", "bbo_update_total", "bbo_null_ratio", "oracle_stale_ratio"
    )}  # fmt: skip
    assert served["spread_bps"] is None
    assert served["bbo_age_ms"] is None
    assert (served["bbo_update_total"], served["bbo_null_ratio"], served["oracle_stale_ratio"]) == (6, 1 / 3, 0.5)
    assert metrics.registry.get_sample_value("hip3_bbo_age_hist_ms_count") == 1
    assert metrics.registry.get_sample_value("hip3_bbo_age_hist_ms_sum") == known.book.bbo_age_ms


def test_telemetry_latch_goes_back_after_reset() -> None:
    engine = an_engine_with_everything()
    engine.feed(ResetRequested(**stamps(T + 12_000), command_id=2, reason="looked", operator="me"))
    assert engine.value("hip3_stop_latch") == 0
    assert engine.value("hip3_entries_closed", control="stop_latch") == 0


def test_telemetry_carried_control_shows_before_any_change() -> None:
    state = a_warm_engine()
    feed(state, StopRequested(**stamps(T), command_id=1, reason="test", operator="me"), a_rotation(T, account=""))
    metrics = Metrics()
    Telemetry(metrics, state.markets).control_carried(state.control)
    assert metrics.registry.get_sample_value("hip3_stop_latch") == 1
    assert metrics.registry.get_sample_value("hip3_rotation_version") == 1


def test_telemetry_coin_outside_the_registry_gets_no_label_of_its_own() -> None:
    metrics = Metrics()
    telemetry = Telemetry(metrics, ("xyz:OTHER",))
    state = a_warm_engine()
    telemetry.outputs_taken(feed(state, a_ctx(T, oracle_px="100.20")))
    assert COIN not in metrics.render().decode()
    assert metrics.registry.get_sample_value(
        "hip3_signals_total", {"coin": "other", "side": "buy", "origin": "oracle_led"}
    )


def test_telemetry_counts_a_frame_of_every_kind_that_a_connection_brings() -> None:
    """A kind without a channel would end the process at its first frame."""
    metrics = Metrics()
    telemetry = Telemetry(metrics, (COIN,))
    not_frames = (ConnectionOpened, ConnectionLost)
    kinds = [kind for kind in get_args(AnyEvent) if "generation" in kind.__struct_fields__ and kind not in not_frames]
    for kind in kinds:
        values: dict[str, Any] = {"int": 1, "str": "", "tuple": (), "bool": False}
        required = {
            field.name: values.get(getattr(field.type, "__name__", ""))
            for field in msgspec.structs.fields(kind)
            if field.required
        }
        telemetry.frame_received(kind(**required))
    assert sum(metrics.frame_counts.frames.values()) == len(kinds)
    assert {"userFills", "orderUpdates", "post"} <= {
        name for name, count in metrics.frame_counts.frames.items() if count
    }


def test_telemetry_first_frame_of_a_subscription_is_no_latency() -> None:
    metrics = Metrics()
    telemetry = Telemetry(metrics, (COIN,))
    for _ in range(3):
        telemetry.frame_received(a_bbo(0))
    assert metrics.registry.get_sample_value("hip3_feed_latency_ms_count", {"channel": "bbo"}) == 2


@pytest.mark.parametrize(
    ("reason", "label"),
    [
        ("closed_1012", "closed"),
        ("connection_ended", "ended"),
        ("not_sent", "not_opened"),
        ("ping_timeout", "ping_timeout"),
        ("data_silence", "data_silence"),
        ("malformed_frames", "malformed"),
        ("time_regression xyz:NVDA bbo", "time_regression"),
        ("{hostile}\n", "other"),
    ],
)
def test_telemetry_reconnect_reasons_are_a_closed_set(reason: str, label: str) -> None:
    assert reconnect_label(reason) == label


def test_telemetry_mark_mid_gap_needs_both_sides_and_mark() -> None:
    assert mark_mid_gap_bps(Decimal(99), Decimal(101), Decimal(101)) == 100
    assert mark_mid_gap_bps(None, Decimal(101), Decimal(101)) is None
    assert mark_mid_gap_bps(Decimal(99), Decimal(101), None) is None


def test_metrics_names_have_prefix_and_counters_their_suffix() -> None:
    text = Metrics().render().decode()
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert all(name.startswith("hip3_") for name in names)
    assert "_created" not in text


# Real trading.


def test_telemetry_real_order_counts_once_for_each_status() -> None:
    engine = Engine(an_engine())
    filled = order_changed(OrderStatus.FILLED, filled_sz=Decimal("0.3"))
    applied = order_changed(OrderStatus.FILLED, filled_sz=Decimal("0.3"), applied_sz=Decimal("0.3"))
    engine.tell(order_changed(), order_changed(OrderStatus.SENT), order_changed(OrderStatus.SENT, oid=7), filled)
    assert engine.value("hip3_orders_total", mode="live", status="sent") == 1
    assert engine.value("hip3_orders_open") == 1, "its fill is still to come"
    engine.tell(applied)
    assert engine.value("hip3_orders_total", mode="live", status="filled") == 1
    assert engine.value("hip3_order_fill_ratio_count", leg="entry") == 1
    assert engine.value("hip3_orders_open") == 0


def test_telemetry_fill_ratio_is_filled_over_asked() -> None:
    engine = Engine(an_engine())
    engine.tell(
        order_changed(OrderStatus.PARTLY_FILLED, filled_sz=Decimal("0.15")),
        order_changed(OrderStatus.UNFILLED, cloid="0x2", is_reduce_only=True),
    )
    assert engine.value("hip3_order_fill_ratio_sum", leg="entry") == 0.5
    assert engine.value("hip3_order_fill_ratio_bucket", leg="exit", le="0.0") == 1


def test_telemetry_doubt_is_a_gauge_that_goes_back() -> None:
    engine = Engine(an_engine())
    engine.tell(order_changed(OrderStatus.IN_DOUBT))
    assert engine.value("hip3_orders_in_doubt") == 1
    engine.tell(order_changed(OrderStatus.NEVER_ARRIVED))
    assert engine.value("hip3_orders_in_doubt") == 0


def test_telemetry_latencies_of_an_action_are_those_of_its_stamps() -> None:
    engine = trading_engine()
    assert engine.value("hip3_signal_to_sent_ms_sum", kind="order") == pytest.approx(0.23)
    assert engine.value("hip3_sent_to_answer_ms_sum", kind="order") == pytest.approx(399.85)
    assert engine.value("hip3_decision_to_fill_ms_sum", leg="entry") == 412
    assert engine.value("hip3_slippage_bps_bucket", leg="entry", le="1.0") == 0
    assert engine.value("hip3_slippage_bps_bucket", leg="entry", le="2.0") == 1
    assert engine.value("hip3_flat_time_ms_sum") == 412
    assert engine.value("hip3_actions_in_flight") == 1


def test_telemetry_time_out_is_no_answer_and_what_never_left_has_no_latency() -> None:
    engine = Engine(an_engine())
    engine.tell(action_ended("unknown"), action_ended("not_sent", is_sent=False))
    assert engine.value("hip3_actions_total", kind="order", outcome="unknown") == 1
    assert engine.value("hip3_actions_total", kind="order", outcome="not_sent") == 1
    assert engine.value("hip3_signal_to_sent_ms_count", kind="order") == 1
    assert "hip3_sent_to_answer_ms_count" not in engine.metrics.render().decode()


def test_telemetry_positions_results_and_losses_follow_the_account() -> None:
    engine = trading_engine()
    assert engine.value("hip3_positions") == 1
    assert engine.value("hip3_position_ntl_usd", coin=COIN) == pytest.approx(30.009)
    assert engine.value("hip3_realised_pnl_usd", mode="live", coin=COIN) == pytest.approx(0.03)
    assert engine.value("hip3_day_pnl_usd") == -2
    assert engine.value("hip3_drawdown_usd") == 3
    engine.tell(position_changed(None, "-0.5"))
    assert engine.value("hip3_positions") == 0
    assert engine.value("hip3_position_ntl_usd", coin=COIN) == 0
    assert engine.value("hip3_realised_pnl_usd", mode="live", coin=COIN) == pytest.approx(-0.47), "of the session"


def test_telemetry_paper_result_adds_up_and_the_ledger_sums_to_zero() -> None:
    engine = an_engine_with_everything()
    balances = {
        sample.labels["account"]: sample.value
        for family in engine.metrics.registry.collect()
        for sample in family.samples
        if sample.name == "hip3_ledger_balance_usd"
    }
    assert {"cash", "fees"} <= set(balances)
    assert sum(balances.values()) == pytest.approx(0)
    assert engine.value("hip3_realised_pnl_usd", mode="paper", coin=COIN) == pytest.approx(-balances["realised_pnl"])


def test_telemetry_proofs_are_counted_by_verdict() -> None:
    engine = trading_engine()
    assert engine.value("hip3_fill_gap_checks_total", verdict="unproved") == 1
    assert engine.value("hip3_fills_missed_total") == 4
    assert engine.value("hip3_fills_recovered_total") == 2
    assert engine.value("hip3_account_checks_total", verdict="wrong") == 1
    assert engine.value("hip3_account_checks_total", verdict="not_judged") == 1
    assert engine.value("hip3_account_difference_usd", dex="xyz") == -0.5, "a read that proves nothing is not shown"


def test_telemetry_labels_of_real_trading_are_closed_sets() -> None:
    metrics = Metrics()
    telemetry = Telemetry(metrics, ("abc:OTHER",))
    telemetry.outputs_taken([
        fill_applied(), position_changed(a_position()), trade_closed(exit_reason="{hostile}"), account_checked("1"),
        MarketStopChanged(**NOW, coin=COIN, state="{odd}", gate="{odd}", reason=""),
    ])  # fmt: skip
    text = metrics.render().decode()
    assert 'hip3_round_trips_total{coin="other",exit_reason="other"} 1.0' in text
    assert 'hip3_market_stops_total{gate="other",state="other"} 1.0' in text
    assert not [word for word in (COIN, "hostile", "odd", '"xyz"') if word in text]


def test_telemetry_carried_account_shows_before_any_change() -> None:
    live = LiveAccount(
        orders={CLOID: an_order(OrderStatus.IN_DOUBT)}, positions={COIN: a_position()},
        losses=LossState(day_pnl_usd=Decimal(-7)), ladder_step=2, is_ready=False,
    )  # fmt: skip
    engine = Engine(an_engine())
    engine.telemetry.trading.account_carried(live)
    assert engine.value("hip3_orders_in_doubt") == 1
    assert engine.value("hip3_position_sz", mode="live", coin=COIN) == pytest.approx(0.3)
    assert engine.value("hip3_day_pnl_usd") == -7
    assert engine.value("hip3_ladder_step") == 2
    assert "hip3_orders_total{" not in engine.metrics.render().decode(), "nothing was decided yet"
