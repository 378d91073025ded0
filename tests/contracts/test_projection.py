from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from core_builders import COIN, START_MONO_NS, START_TS_NS, a_bbo, a_ctx, a_spec, stamps
from hypothesis import given
from hypothesis import strategies as st
from journal_builders import Recorder, record_day
from live_builders import (
    a_fill,
    a_position,
    account_checked,
    action_ended,
    an_order,
    fill_applied,
    fill_gap_checked,
    order_changed,
    position_changed,
    trade_closed,
)

from streaming.contracts.paths import day_of
from streaming.contracts.projection import NOT_PROJECTED, Projector, Rows
from streaming.contracts.tables import SESSION_COLUMNS, TABLES
from streaming.core import effects as fx
from streaming.core import events as ev
from streaming.core.errors import InvariantViolation
from streaming.core.market import Side
from streaming.core.trading import effects as tx
from streaming.core.trading.losses import LossState
from streaming.core.trading.model import OrderStatus
from streaming.core.trading.refusal import RefusalCode
from streaming.shell.tables.seal import PartWriter

DAY_NS = 86_400_000_000_000
ROW_OUTPUTS = {
    fx.EpisodeEnded: "episodes",
    fx.GatesEvaluated: "signals",
    fx.FollowupTaken: "followups",
    fx.OrderChanged: "orders",
    fx.FillApplied: "fills",
    fx.PositionChanged: "positions",
    fx.LedgerPosted: "ledger",
    fx.SpecObserved: "specs",
    fx.RotationJudged: "rotations",
    fx.HealthSampled: "health",
}
"""Output → table with exactly one row for it."""


def _named(table: str, row: tuple[Any, ...]) -> dict[str, Any]:
    names = [name for name in TABLES[table].names if name not in SESSION_COLUMNS]
    return dict(zip(names, row, strict=True))


def _all(rows: Rows, table: str) -> list[dict[str, Any]]:
    return [_named(table, row) for (name, _), body in sorted(rows.items()) if name == table for row in body]


def _book() -> fx.BookSnapshot:
    return fx.BookSnapshot(
        bid_px=Decimal(1), bid_sz=None, ask_px=None, ask_sz=None, oracle_px=None, mark_px=None, spread_bps=None,
        bbo_age_ms=1, confirmation_age_ms=None, ctx_age_ms=None, oracle_age_ms=None,
    )  # fmt: skip


_SAMPLES: dict[str, Any] = {
    "str": "text", "int": 7, "bool": True, "Decimal": Decimal("1.5"), "Side": Side.BUY, "GateId": fx.GateId.HALT,
    "GateStatus": fx.GateStatus.BLOCK, "Phase": ev.Phase.PAPER, "BookSnapshot": _book(), "MarketSpec": a_spec(),
    "LiveOrder": an_order(), "VenueFill": a_fill(), "LossState": LossState(),
}  # fmt: skip


def _sample(kind: type, **changes: object) -> fx.AnyOutput:
    """Build an output with plausible values from its field types."""
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        name = getattr(field.type, "__name__", "")
        if name in _SAMPLES:
            values[field.name] = _SAMPLES[name]
        elif name == "dict":
            values[field.name] = {}
        elif name == "tuple":
            values[field.name] = ()
        else:
            values[field.name] = None
    values |= {"ts_ns": START_TS_NS, "mono_ns": START_MONO_NS}
    names = {field.name for field in msgspec.structs.fields(kind)}
    sample: fx.AnyOutput = kind(**{name: value for name, value in (values | changes).items() if name in names})
    return sample


@pytest.mark.parametrize("kind", get_args(fx.AnyOutput), ids=lambda kind: kind.__name__)
def test_every_output_has_a_place(kind: type) -> None:
    projector = Projector([a_spec()])
    outputs = [_sample(kind, coin=COIN, signal_id="x")]
    if kind is fx.SignalRaised:
        outputs.append(_sample(fx.GatesEvaluated, coin=COIN, signal_id="x"))
    elif kind is fx.GatesEvaluated:
        outputs.insert(0, _sample(fx.SignalRaised, coin=COIN, signal_id="x"))
    elif kind is fx.TradesAccepted:
        trade = ev.Trade(coin=COIN, side="buy", px=Decimal(1), sz=Decimal(1), venue_ts_ms=1, tid=1)
        outputs = [fx.TradesAccepted(ts_ns=START_TS_NS, mono_ns=1, trades=(trade,))]
    projector.feed(1, ev.TimerFired(**stamps(0)), outputs)
    assert bool(projector.take()) is (kind not in NOT_PROJECTED)


def test_bbo_row_keeps_null_sides_and_both_clocks() -> None:
    projector = Projector([a_spec()])
    event = a_bbo(5, bid_px=None)
    projector.feed(9, event, ())
    ((key, rows),) = projector.take().items()
    assert key == ("bbo", day_of(START_TS_NS))
    row = _named("bbo", rows[0])
    assert (row["seq"], row["coin"], row["asset_id"], row["spec_version"]) == (9, COIN, 110_002, a_spec().spec_version)
    assert (row["bid_px"], row["bid_sz"], row["ask_px"]) == (None, None, Decimal("100.02"))
    assert (row["recv_ts_ns"], row["recv_mono_ns"]) == (event.recv_ts_ns, event.recv_mono_ns)


def test_ctx_statistics_are_floats_and_may_be_missing() -> None:
    projector = Projector([a_spec()])
    projector.feed(1, msgspec.structs.replace(a_ctx(1, open_interest_sz="12.00000001"), day_ntl_vlm_usd=None), ())
    (row,) = _all(projector.take(), "ctx")
    assert row["open_interest_sz"] == 12.00000001
    assert isinstance(row["open_interest_sz"], float)
    assert row["day_ntl_vlm_usd"] is None


def test_unknown_coin_has_no_row_and_is_counted() -> None:
    projector = Projector([a_spec()])
    projector.feed(1, a_bbo(1, coin="xyz:OTHER"), ())
    projector.feed(2, a_ctx(1, coin="xyz:OTHER"), ())
    assert projector.take() == {}
    assert projector.unknown_coin_count == 2


def test_spec_version_follows_polls_and_returns() -> None:
    projector = Projector([a_spec(spec_version="v1")])
    for seq, version in enumerate(["v2", "v1"], 1):
        spec = a_spec(spec_version=version)
        projector.feed(2 * seq, ev.SpecsReceived(**stamps(0), specs=(spec,)), ())
        projector.feed(2 * seq + 1, a_bbo(seq), ())
    assert [row["spec_version"] for row in _all(projector.take(), "bbo")] == ["v2", "v1"]


def test_signal_carries_the_gates_answer_and_gates_all_eight_rows(recorder: Recorder) -> None:
    projector = Projector(recorder.specs)
    for seq, (event, outputs) in enumerate(zip(recorder.inputs, recorder.outputs, strict=True), 1):
        projector.feed(seq, event, outputs)
    rows = projector.take()
    taken, blocked = _all(rows, "signals")
    for signal in (taken, blocked):
        gates = [gate for gate in _all(rows, "gates") if gate["signal_id"] == signal["signal_id"]]
        assert {gate["gate"] for gate in gates} == set(fx.GateId)
        blocking = [gate["gate"] for gate in gates if gate["status"] == "block"]
        assert signal["is_blocked"] is bool(blocking)
        assert signal["blocked_by"].split(",")[: len(blocking)] == blocking, "gates first, then controls"
    assert blocked["blocked_by"].startswith("mark_mid_divergence")
    assert {row["signal_id"] for row in _all(rows, "orders")} == {taken["signal_id"]}


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Recorder:
    """A whole recorded session."""
    recorder = Recorder(tmp_path_factory.mktemp("recorded"))
    record_day(recorder)
    recorder.close()
    return recorder


@given(data=st.data())
def test_i27_rows_out_are_outputs_in_whatever_the_split(recorder: Recorder, data: st.DataObject) -> None:
    """Conservation: however the stream is cut into parts, every input and output has its rows, once."""
    cuts = data.draw(st.sets(st.integers(1, len(recorder.inputs))))
    projector = Projector(recorder.specs)
    taken: dict[str, list[tuple[Any, ...]]] = {}
    for seq, (event, outputs) in enumerate(zip(recorder.inputs, recorder.outputs, strict=True), 1):
        projector.feed(seq, event, outputs)
        if seq in cuts or seq == len(recorder.inputs):
            for (table, _), body in projector.take().items():
                assert body
                taken.setdefault(table, []).extend(body)
    flat = [output for outputs in recorder.outputs for output in outputs]
    kinds = Counter(map(type, flat))
    counts = {table: len(body) for table, body in taken.items()}
    inputs = Counter(map(type, recorder.inputs))
    assert counts["bbo"] == inputs[ev.BboUpdated]
    assert counts["ctx"] == inputs[ev.CtxUpdated]
    assert counts["gates"] == 8 * kinds[fx.GatesEvaluated]
    assert counts["trades"] == sum(len(o.trades) for o in flat if isinstance(o, fx.TradesAccepted))
    for kind, table in ROW_OUTPUTS.items():
        assert counts.get(table, 0) == kinds[kind], table
    for table, body in taken.items():
        key = [name for name in TABLES[table].primary_key if name not in SESSION_COLUMNS]
        keys = [tuple(_named(table, row)[name] for name in key) for row in body]
        assert len(set(keys)) == len(keys), f"{table}: primary key {key} is not unique"


@given(offset_ns=st.integers(-3 * DAY_NS, 3 * DAY_NS))
def test_i29_f81_day_is_that_of_the_rows_own_stamp(offset_ns: int) -> None:
    midnight = (START_TS_NS // DAY_NS) * DAY_NS
    projector = Projector([a_spec()])
    for seq, ts_ns in enumerate((midnight - 1, midnight, midnight + offset_ns), 1):
        projector.feed(seq, msgspec.structs.replace(a_bbo(seq), recv_ts_ns=ts_ns), ())
    for (_, day), rows in projector.take().items():
        assert {day_of(_named("bbo", row)["recv_ts_ns"]) for row in rows} == {day}


def test_episode_belongs_to_the_day_it_began() -> None:
    midnight = (START_TS_NS // DAY_NS) * DAY_NS
    ended = _sample(fx.EpisodeEnded, coin=COIN, ts_ns=midnight + 5, begin_ts_ns=midnight - 5)
    projector = Projector([a_spec()])
    projector.feed(1, ev.TimerFired(**stamps(0)), [ended])
    assert list(projector.take()) == [("episodes", day_of(midnight - 5))]


def test_filter_day_keeps_only_that_day() -> None:
    midnight = (START_TS_NS // DAY_NS) * DAY_NS
    projector = Projector([a_spec()], filter_day=day_of(midnight))
    for seq, ts_ns in enumerate((midnight - 1, midnight, midnight + DAY_NS - 1, midnight + DAY_NS), 1):
        projector.feed(seq, msgspec.structs.replace(a_bbo(seq), recv_ts_ns=ts_ns), ())
    assert [row["seq"] for row in _all(projector.take(), "bbo")] == [2, 3]


def test_two_transitions_of_one_gate_in_one_step_are_two_rows() -> None:
    changed = _sample(fx.GateChanged, coin=COIN)
    projector = Projector([a_spec()])
    projector.feed(3, ev.TimerFired(**stamps(0)), [changed, changed])
    rows = _all(projector.take(), "events")
    assert [(row["seq"], row["ordinal"], row["kind"]) for row in rows] == [
        (3, 0, "gate_changed"),
        (3, 1, "gate_changed"),
    ]


def test_malformed_frame_is_a_row_before_the_outputs_of_its_step() -> None:
    event = ev.FrameMalformed(**stamps(0), generation=1, channel="bbo", reason="x" * 500)
    projector = Projector([a_spec()])
    projector.feed(3, event, [_sample(fx.LatchChanged)])
    first, second = _all(projector.take(), "events")
    assert (first["ordinal"], first["kind"], first["subject"], len(first["detail"])) == (
        -1,
        "malformed_frame",
        "bbo",
        200,
    )
    assert (second["ordinal"], second["kind"]) == (0, "latch_changed")


def test_i07_signal_without_gates_is_our_bug() -> None:
    projector = Projector([a_spec()])
    with pytest.raises(InvariantViolation, match="I-07"):
        projector.feed(1, ev.TimerFired(**stamps(0)), [_sample(fx.SignalRaised, coin=COIN)])
    with pytest.raises(InvariantViolation, match="I-07"):
        Projector([a_spec()]).feed(1, ev.TimerFired(**stamps(0)), [_sample(fx.GatesEvaluated, coin=COIN)])


def test_session_began_resolves_the_configuration() -> None:
    projector = Projector([a_spec()])
    projector.session_began(START_TS_NS, "0.1.0", "{}", 0)
    (row,) = _all(projector.take(), "configs")
    assert (row["coin"], row["asset_id"], row["code_version"], row["config_json"]) == ("", -1, "0.1.0", "{}")


def test_rotation_is_a_row_and_an_event() -> None:
    judged = _sample(
        fx.RotationJudged, markets=(ev.MarketAllowance(coin=COIN, ntl_max=Decimal(50)),), reasons=(), is_accepted=True
    )
    projector = Projector([a_spec()])
    projector.feed(1, ev.TimerFired(**stamps(0)), [judged])
    rows = projector.take()
    (rotation,), (event,) = _all(rows, "rotations"), _all(rows, "events")
    assert (rotation["market_count"], rotation["markets_json"]) == (1, '{"xyz:NVDA": "50"}')
    assert (event["kind"], event["state"], event["value"]) == ("rotation_judged", "applied", 7.0)


# Real trading: what each row says, and what it must not pretend to know.


def _one(table: str, *outputs: fx.AnyOutput) -> dict[str, Any]:
    projector = Projector([a_spec()])
    projector.feed(5, ev.TimerFired(**stamps(0)), outputs)
    (row,) = _all(projector.take(), table)
    return row


def test_live_order_row_knows_only_what_has_happened() -> None:
    row = _one("orders", order_changed())
    assert (row["mode"], row["status"], row["tif"], row["reason"]) == ("live", "intent", "Ioc", "entry")
    assert (row["action_id"], row["nonce"], row["expires_ts_ms"]) == (4, 1_790_000_000_000, 1_790_000_003_000)
    assert [row[name] for name in ("oid", "avg_px", "sent_us", "answered_us")] == [None] * 4


def test_live_order_row_of_a_filled_order_has_mean_price_and_latencies() -> None:
    filled = order_changed(
        OrderStatus.FILLED, oid=77, filled_sz=Decimal("0.3"), applied_sz=Decimal("0.3"), applied_ntl=Decimal("30.01"),
        sent_mono_ns=START_MONO_NS + 150_000, answered_mono_ns=START_MONO_NS + 400_000_000,
    )  # fmt: skip
    row = _one("orders", filled)
    assert row["avg_px"] == Decimal("100.03333333"), "a mean is rounded to what the column holds"
    assert (row["oid"], row["sent_us"], row["answered_us"]) == (77, 150, 400_000)


def test_live_order_carried_over_a_reboot_has_no_latency_from_two_clocks() -> None:
    row = _one("orders", order_changed(OrderStatus.IN_DOUBT, sent_mono_ns=START_MONO_NS - 1))
    assert row["sent_us"] is None


def test_live_order_row_keeps_the_refusal_and_cuts_the_venues_words() -> None:
    row = _one("orders", order_changed(OrderStatus.REJECTED, code=RefusalCode.MARGIN, text="m" * 500))
    assert (row["code"], len(row["text"])) == ("margin", 200)


def test_live_order_told_twice_with_the_same_status_is_two_rows() -> None:
    projector = Projector([a_spec()])
    projector.feed(
        5, ev.TimerFired(**stamps(0)), [order_changed(OrderStatus.FILLED), order_changed(OrderStatus.FILLED)]
    )
    assert [(row["seq"], row["ordinal"]) for row in _all(projector.take(), "orders")] == [(5, 0), (5, 1)]


def test_paper_rows_do_not_invent_what_only_the_venue_knows() -> None:
    order = _one("orders", _sample(fx.OrderChanged, coin=COIN, mode="paper"))
    unknown = ("expected_px", "avg_px", "oid", "action_id", "nonce", "expires_ts_ms", "sent_us", "answered_us")
    assert [order[name] for name in unknown] == [None] * len(unknown)
    fill = _one("fills", _sample(fx.FillApplied, coin=COIN, mode="paper"))
    assert [fill[name] for name in ("oid", "fee_token", "slippage_bps", "flight_ms")] == [None] * 4
    assert fill["source"] == "paper"


def test_live_fill_row_is_the_venues_fill_with_our_reason() -> None:
    row = _one("fills", fill_applied(source="gap", builder_fee=Decimal("0.001"), is_liquidation=True))
    assert (row["tid"], row["oid"], row["venue_ts_ms"]) == (1_045_359, 77, 1_790_000_000_412)
    assert (row["mode"], row["source"], row["reason"], row["signal_id"]) == ("live", "gap", "entry", "s1")
    assert (row["fee"], row["builder_fee"], row["fee_token"]) == (Decimal("0.009"), Decimal("0.001"), "USDC")
    assert (row["slippage_bps"], row["flight_ms"], row["is_liquidation"]) == (Decimal("1.5"), 412, True)


def test_live_position_row_is_flat_without_an_entry() -> None:
    held = _one("positions", position_changed(a_position()))
    assert (held["mode"], held["sz"], held["entry_px"]) == ("live", Decimal("0.3"), Decimal("100.03"))
    assert held["entry_edge_bps"] == 18
    flat = _one("positions", position_changed(None, "0.03", "quick_profit"))
    assert (flat["sz"], flat["entry_px"], flat["entry_ts_ns"]) == (0, None, None)
    assert (flat["realised_pnl"], flat["reason"]) == (Decimal("0.03"), "quick_profit")


@pytest.mark.parametrize(("side", "slippage_bps"), [(Side.BUY, 1), (Side.SELL, -1)])
def test_round_trip_nets_fees_and_funding_and_slippage_is_worse_when_positive(side: Side, slippage_bps: int) -> None:
    row = _one("round_trips", trade_closed(side=side))
    assert row["pnl"] == Decimal("0.03") - Decimal("0.018") - Decimal("0.001")
    assert (row["entry_slippage_bps"], row["held_ms"], row["flat_time_ms"]) == (slippage_bps, 2_500, 412)
    assert _one("round_trips", trade_closed(expected_px=Decimal(0)))["entry_slippage_bps"] is None


def test_action_row_splits_the_way_into_its_parts() -> None:
    row = _one("actions", action_ended())
    assert (row["received_to_decided_us"], row["decided_to_sent_us"], row["sent_to_ended_us"]) == (80, 150, 399_850)
    never = _one("actions", action_ended("not_sent", is_sent=False, detail="stop_latch"))
    assert (never["decided_to_sent_us"], never["sent_to_ended_us"], never["detail"]) == (None, None, "stop_latch")


def test_proofs_about_the_account_are_rows_of_no_market() -> None:
    checked = _one("reconciliations", account_checked("-0.5", "xyz:NVDA: ours 1, venue 0", "xyz:GOLD: ours 0, venue 2"))
    assert (checked["coin"], checked["dex"], checked["difference"]) == ("", "xyz", Decimal("-0.5"))
    assert checked["position_mismatches"] == "xyz:NVDA: ours 1, venue 0; xyz:GOLD: ours 0, venue 2"
    gap = _one("fill_gaps", fill_gap_checked(is_proved=False))
    assert (gap["venue_count"], gap["known_count"], gap["applied_count"], gap["is_proved"]) == (3, 1, 2, False)


def test_trading_transitions_are_events() -> None:
    now = {"ts_ns": START_TS_NS, "mono_ns": START_MONO_NS}
    ready = _one("events", tx.TradingReadyChanged(**now, is_ready=False, reason="no_account_read"))
    assert (ready["kind"], ready["state"], ready["detail"]) == ("trading_ready_changed", "not_ready", "no_account_read")
    stop = _one("events", tx.MarketStopChanged(**now, coin=COIN, state="shrinking", gate="halt", reason="tripped"))
    assert (stop["coin"], stop["subject"], stop["state"]) == (COIN, "halt", "shrinking")
    ignored = _one("events", tx.PositionIgnored(**now, coin="xyz:FOREIGN", sz=Decimal("-1.5")))
    assert (ignored["kind"], ignored["coin"], ignored["state"]) == ("position_ignored", "", "ignored")
    assert ignored["detail"].startswith("xyz:FOREIGN -1.5: ")
    ladder = _one("events", tx.LadderChanged(**now, step=3, reason="rate_limit"))
    assert (ladder["subject"], ladder["state"], ladder["value"]) == ("ladder", "step_3", 3.0)


def test_every_row_of_real_trading_fits_its_table(tmp_path: Path) -> None:
    """The types of the file, not only the count of columns: what does not fit is refused when the part is sealed."""
    outputs = [
        order_changed(), order_changed(OrderStatus.FILLED, applied_sz=Decimal("0.7"), applied_ntl=Decimal(71)),
        fill_applied(), fill_applied(tid=2, slippage_bps=None, flight_ms=None), position_changed(None),
        position_changed(a_position(entry_px=Decimal(100) / 3)), trade_closed(exit_px=Decimal(100) / 7),
        action_ended(), action_ended("not_sent", is_sent=False), account_checked("0.01", "x"),
        fill_gap_checked(is_proved=True), _sample(fx.FillApplied, coin=COIN),
        _sample(fx.OrderChanged, coin=COIN, decided_ts_ns=START_TS_NS),
        _sample(fx.LedgerPosted, coin=COIN), _sample(fx.PositionChanged, coin=COIN, entry_px=Decimal(1)),
    ]  # fmt: skip
    projector = Projector([a_spec()])
    projector.feed(1, ev.TimerFired(**stamps(0)), outputs)
    writer = PartWriter(tmp_path, venue="sim", session_id="s1", config_hash="c")
    counts = {table: writer.seal(table, day, rows).row_count for (table, day), rows in projector.take().items()}
    assert counts == {
        "orders": 3, "fills": 3, "positions": 3, "round_trips": 1, "actions": 2, "reconciliations": 1, "fill_gaps": 1,
        "ledger": 1,
    }  # fmt: skip
