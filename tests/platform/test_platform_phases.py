"""Every row of the phase table seen in each of its states, from frames built by hand, with figures worked by hand."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest

from hip3_platform.analytics.evidence import approval
from hip3_platform.analytics.phases import go, leak, observe, trading
from hip3_platform.analytics.phases.rule import Finding, PhaseRule
from hip3_platform.analytics.phases.tables import APPROVAL_SCHEMA, Tables, empty_tables
from hip3_platform.analytics.phases.verdict import EXITS, REQUIREMENTS, SCHEMA, judge, verdict_frame
from streaming.contracts.paths import day_begin_ns
from streaming.contracts.phase import STAGE_ROWS

ACCOUNT = "0x" + "ab" * 20
DAY = "2026-11-20"
RULE = PhaseRule()
SECOND = 10**9
HOUR = 3_600 * SECOND
BEGIN = day_begin_ns(DAY)


def days_back(count: int, last: str = DAY) -> tuple[str, ...]:
    return tuple((date.fromisoformat(last) - timedelta(days=back)).isoformat() for back in reversed(range(count)))


def rows_of(empty: pl.DataFrame, *rows: dict[str, Any]) -> pl.DataFrame:
    """Return rows with the columns of `empty`; what is not named is a legal value of its type."""
    blank = {"String": "", "Int64": 0, "Float64": 0.0, "Boolean": False, "Decimal": 0}
    filled = []
    for row in rows:
        assert not set(row) - set(empty.columns), set(row) - set(empty.columns)
        base = {name: blank.get(str(kind).partition("(")[0]) for name, kind in empty.schema.items()}
        filled.append({**base, **row})
    return pl.DataFrame(filled, schema=empty.schema, orient="row") if filled else empty


NOTHING = empty_tables("sim", ACCOUNT, DAY)


def with_rows(tables: Tables = NOTHING, **frames: list[dict[str, Any]]) -> Tables:
    """Return `tables` with the given rows, and the days they are of."""
    made = {name: rows_of(getattr(NOTHING, name), *rows) for name, rows in frames.items()}
    seen = set(tables.days)
    for frame in made.values():
        seen |= set(frame["day"])
    return replace(tables, **made, days=tuple(sorted(seen)))


def a_config(session: str = "s1", account: str = ACCOUNT, venue: str = "sim", **more: object) -> dict[str, Any]:
    losses = {"day_loss_usd_max": "20", "market_day_loss_usd_max": "10"}
    text = json.dumps({"venue": venue, "account": account, "agent_key_file": "k", "limits": {"losses": losses}} | more)
    return {"session_id": session, "config_json": text, "ts_ns": BEGIN, "day": DAY}


def an_event(kind: str, state: str, at_s: float = 0, **more: object) -> dict[str, Any]:
    seq = more.pop("seq", int(at_s * 10) + 1)
    return {
        "kind": kind, "state": state, "ts_ns": BEGIN + int(at_s * SECOND), "session_id": "s1", "seq": seq, "day": DAY,
    } | more  # fmt: skip


def an_approval(phase: str = "micro", was: str = "paper", at_s: float = 1, **more: object) -> dict[str, Any]:
    return an_event("phase_changed", phase, at_s, detail=f"was {was}; by ann; enough", **more)


def check(judged: Finding, state: str, word: str = "") -> None:
    assert judged.state == state, judged
    assert word in f"{judged.figure} | {judged.evidence}", judged


# --- the whole verdict


def test_verdict_of_nothing_is_not_yet_in_every_row() -> None:
    doc = judge(NOTHING, RULE, code_version="1")
    assert {row.state for row in (*doc.rows, *doc.exits)} == {"NOT YET"}
    assert all(row.expected and row.evidence for row in (*doc.rows, *doc.exits))


def test_verdict_holds_exactly_the_rows_that_an_approval_asks_for() -> None:
    found: dict[str, tuple[str, ...]] = {}
    for each in REQUIREMENTS:
        found[each.phase] = (*found.get(each.phase, ()), each.row)
    assert found == STAGE_ROWS
    assert [(each.phase, each.action, each.to_phase) for each in EXITS] == [
        ("paper", "review", ""), ("micro", "demote", "paper"), ("steady", "latch", "")
    ]  # fmt: skip


def test_verdict_frame_has_a_row_a_requirement_and_exit() -> None:
    frame = verdict_frame(judge(NOTHING, RULE, code_version="1"))
    assert frame.columns == list(SCHEMA)
    assert frame["kind"].to_list() == ["requirement"] * 18 + ["exit"] * 3
    assert set(frame["venue"]) == {"sim"}
    assert set(frame["account"]) == {ACCOUNT}


# --- A: left alone


def a_clock(hours: float, session: str = "s1", begin_s: float = 0) -> list[dict[str, Any]]:
    return [
        {"session_id": session, "ts_ns": BEGIN + int((begin_s + minute * 60) * SECOND), "day": DAY}
        for minute in range(int(hours * 60) + 1)
    ]


def an_outage(at_s: float, length_s: float, session: str = "s1") -> list[dict[str, Any]]:
    return [
        an_event("connection_changed", "lost", at_s, session_id=session),
        an_event("connection_changed", "open", at_s + length_s, session_id=session),
    ]


def test_unattended_day_with_a_recovery_passes() -> None:
    tables = with_rows(clock=a_clock(24), events=an_outage(3_600, 20))
    check(observe.unattended_day(tables, RULE), "PASS", "24.0 h, 1 recoveries, 0 failed")


@pytest.mark.parametrize(
    ("hours", "events"),
    [
        (24, []),
        (23.5, an_outage(3_600, 20)),
        (30, [*an_outage(3_600, 20), an_event("arm_changed", "armed", 12 * 3_600)]),
        (26, [*an_outage(3_600, 20), an_event("latch_changed", "set", 8 * 3_600)]),
    ],
)
def test_unattended_day_too_short_or_without_a_recovery_is_not_yet(hours: float, events: list[dict[str, Any]]) -> None:
    check(observe.unattended_day(with_rows(clock=a_clock(hours), events=events), RULE), "NOT YET")


def test_unattended_day_a_recovery_outside_the_long_span_does_not_count() -> None:
    act = an_event("arm_changed", "armed", 2 * 3_600)
    tables = with_rows(clock=a_clock(27), events=[*an_outage(3_600, 20), act])
    check(observe.unattended_day(tables, RULE), "NOT YET", "25.0 h, 1 recoveries")
    other = [*a_clock(25), *a_clock(2, "s2", begin_s=26 * 3_600)]
    tables = with_rows(clock=other, events=an_outage(26.5 * 3_600, 5, "s2"))
    check(observe.unattended_day(tables, RULE), "NOT YET", "25.0 h, 1 recoveries")


def test_unattended_day_a_silence_or_another_session_ends_the_span() -> None:
    halves = [*a_clock(13), *a_clock(13, begin_s=13.1 * 3_600)]
    tables = with_rows(clock=halves, events=an_outage(3_600, 20))
    check(observe.unattended_day(tables, RULE), "NOT YET", "13.0 h")
    sessions = [*a_clock(13), *a_clock(13, "s2", begin_s=13 * 3_600)]
    check(observe.unattended_day(with_rows(clock=sessions, events=an_outage(3_600, 20)), RULE), "NOT YET", "13.0 h")


def test_unattended_day_an_outage_that_did_not_end_by_itself_fails_until_a_later_day_passes() -> None:
    lost = an_event("connection_changed", "lost", 2 * 3_600)
    check(observe.unattended_day(with_rows(clock=a_clock(25), events=[lost]), RULE), "FAIL", "1 failed")
    slow = an_outage(2 * 3_600, 601)
    check(observe.unattended_day(with_rows(clock=a_clock(25), events=slow), RULE), "FAIL", "1 failed")
    later = [*a_clock(25), *a_clock(24, "s2", begin_s=30 * 3_600)]
    events = [*slow, *an_outage(31 * 3_600, 5, "s2")]
    check(observe.unattended_day(with_rows(clock=later, events=events), RULE), "PASS")


@pytest.mark.parametrize(
    ("events", "state", "word"),
    [
        ([], "NOT YET", "no connection was lost yet"),
        (an_outage(60, 2.5), "PASS", "1 recovered (slowest 2.5 s), 0 not"),
        ([*an_outage(60, 2.5), an_event("connection_changed", "lost", 3_000)], "FAIL", "1 not"),
    ],
)
def test_go_connection(events: list[dict[str, Any]], state: str, word: str) -> None:
    check(go.go_connection(with_rows(clock=a_clock(5), events=events), RULE), state, word)


def test_connection_lost_at_the_end_of_a_session_is_no_failure() -> None:
    events = [*an_outage(60, 1), an_event("connection_changed", "lost", 5 * 3_600 - 5)]
    check(go.go_connection(with_rows(clock=a_clock(5), events=events), RULE), "PASS")


# --- A: figures of the markets


def a_metric(day: str = DAY, coin: str = "xyz:A", **more: object) -> dict[str, Any]:
    figures = {name: 1.0 for name, kind in NOTHING.metrics.schema.items() if kind == pl.Float64}
    counts = {"bbo_count": 1_000, "bbo_null_count": 10, "cross_episode_count": 3}
    return {"venue": "sim", "day": day, "coin": coin, **figures, "rate_use_max": 0.4, **counts} | more


def a_ladder(*steps: float, at_s: float = 100) -> list[dict[str, Any]]:
    return [an_event("ladder_changed", f"step_{step:.0f}", at_s + i, value=float(step)) for i, step in enumerate(steps)]


@pytest.mark.parametrize(
    ("metrics", "events", "state", "word"),
    [
        ([a_metric(rate_use_max=0.85)], a_ladder(1, 0), "PASS", "at most 85%, ladder up and down 1 times"),
        ([a_metric(rate_use_max=0.85)], [], "FAIL", "nothing was shed"),
        ([a_metric()], [], "NOT YET", "never exercised"),
        ([a_metric()], a_ladder(1), "NOT YET", "never exercised"),
        ([a_metric(rate_use_max=None)], a_ladder(1, 0), "NOT YET", "unknown on 1 days"),
        ([], a_ladder(2, 1, 0), "NOT YET", "unknown"),
    ],
)
def test_rate_use_and_degradation(
    metrics: list[dict[str, Any]], events: list[dict[str, Any]], state: str, word: str
) -> None:
    check(observe.rate_use_and_degradation(with_rows(metrics=metrics, events=events), RULE), state, word)


def a_week(count: int = 7, coins: tuple[str, ...] = ("xyz:A", "xyz:B"), **more: object) -> list[dict[str, Any]]:
    return [a_metric(day, coin, **more) for day in days_back(count) for coin in coins]


def test_daily_figures_of_a_whole_week_pass() -> None:
    check(observe.daily_figures(with_rows(metrics=a_week()), RULE), "PASS", "2 markets, 7 days; 0 rows incomplete, 0")


def test_daily_figures_of_six_days_are_not_yet() -> None:
    check(observe.daily_figures(with_rows(metrics=a_week(6)), RULE), "NOT YET", "fewer than 7")


@pytest.mark.parametrize("name", ["bbo_null_rate", "ctx_age_ms_clock_p95", "cross_duration_ms_p50"])
def test_daily_figures_an_unknown_figure_fails(name: str) -> None:
    tables = with_rows(metrics=[*a_week(), a_metric(coin="xyz:C", **{name: None})])
    check(observe.daily_figures(tables, RULE), "FAIL", f"figures of xyz:C on {DAY}")


def test_daily_figures_without_a_cross_need_no_duration_and_a_market_never_ready_none() -> None:
    quiet = a_metric(coin="xyz:C", cross_episode_count=0, cross_duration_ms_p50=None)
    dead = a_metric(coin="xyz:D", ready_rate=0.0, bbo_null_rate=None)
    check(observe.daily_figures(with_rows(metrics=[*a_week(), quiet, dead]), RULE), "PASS")


def test_daily_figures_a_hole_between_days_fails_and_a_new_market_does_not() -> None:
    rows = a_week(8)
    day = days_back(8)[3]
    cut = [row for row in rows if (row["day"], row["coin"]) != (day, "xyz:B")]
    check(observe.daily_figures(with_rows(metrics=cut), RULE), "FAIL", f"no row of xyz:B on {day}")
    check(observe.daily_figures(with_rows(metrics=[r for r in rows if r["day"] != day]), RULE), "FAIL", "1 whole days")
    check(observe.daily_figures(with_rows(metrics=[*rows, a_metric(coin="xyz:NEW")]), RULE), "PASS")


@pytest.mark.parametrize(
    ("metrics", "state", "word"),
    [
        (a_week(), "PASS", "worst xyz:B: 1.00%"),
        (a_week(3), "NOT YET", "fewer than 7 days"),
        (a_week(3, bbo_null_count=51), "FAIL", "worst xyz:B: 5.10%"),
        (a_week(bbo_null_count=50), "PASS", "5.00%"),
        ([], "NOT YET", "no bbo"),
    ],
)
def test_null_rate(metrics: list[dict[str, Any]], state: str, word: str) -> None:
    check(observe.null_rate(with_rows(metrics=metrics), RULE), state, word)


@pytest.mark.parametrize(
    ("metrics", "state", "word"),
    [
        (a_week(3), "PASS", "known for 2 of 2"),
        (a_week(2), "NOT YET", "fewer than 3 days"),
        ([*a_week(3), a_metric(coin="xyz:C")], "NOT YET", "xyz:C has fewer"),
        (a_week(3, ctx_recv_interval_ms_p99=None), "FAIL", "unknown for xyz:A"),
        ([a_metric(days_back(2)[0])], "NOT YET", "no market was ready on"),
    ],
)
def test_interval_distributions(metrics: list[dict[str, Any]], state: str, word: str) -> None:
    check(observe.interval_distributions(with_rows(metrics=metrics), RULE), state, word)


# --- A: an edge, and gates


def an_approved(coin: str, bound_bps: float | None, state: str = "approved_micro", day: str = DAY) -> dict[str, Any]:
    return {"day": day, "coin": coin, "state": state, "bound_bps": bound_bps, "in_sample_days": 14}


GOOD = [an_approved("xyz:A", 1.5), an_approved("xyz:B", 0.2, "approved_trade")]


@pytest.mark.parametrize(
    ("rows", "state", "word"),
    [
        (GOOD, "PASS", "2 of 2 markets: xyz:A +1.50 bps, xyz:B +0.20 bps"),
        (GOOD[:1], "FAIL", "1 of 1"),
        ([GOOD[0], an_approved("xyz:B", 0.0)], "FAIL", "1 of 2"),
        ([GOOD[0], an_approved("xyz:B", 2.0, "latency_fragile")], "FAIL", "1 of 2"),
        ([{**GOOD[0], "in_sample_days": 9}], "NOT YET", "9 of 14 days"),
        ([{**row, "day": days_back(2)[0]} for row in GOOD], "NOT YET", "no rows"),
    ],
)
def test_positive_markets(rows: list[dict[str, Any]], state: str, word: str) -> None:
    check(observe.positive_markets(with_rows(approvals=rows), RULE), state, word)


def a_review(count: int, proved_day: str = "") -> Tables:
    rows = [
        an_approved("xyz:A", 1.0 if day == proved_day else -1.0, "approved_micro" if day == proved_day else "rejected",
                    day)
        for day in days_back(count)
    ]  # fmt: skip
    return with_rows(approvals=rows)


def test_exit_a_acts_after_twelve_weeks_without_a_proved_market() -> None:
    found = observe.no_positive_market(a_review(84), RULE)
    check(found, "FAIL", "none in 84 judged days")
    assert found.key
    check(observe.no_positive_market(a_review(84, days_back(84)[0]), RULE), "PASS", "last proved market")
    check(observe.no_positive_market(a_review(90, days_back(90)[0]), RULE), "FAIL")
    check(observe.no_positive_market(a_review(67), RULE), "NOT YET", "67 of 84")


def gate_stops(wrong: list[int], of: int = 10) -> Tables:
    """One day each: so many wrong stops of `of`."""
    rows = [
        {"day": day, "coin": "xyz:A", "state": "blocked", "net_bps": 2.0 if i < count else -2.0}
        for day, count in zip(days_back(len(wrong)), wrong, strict=True)
        for i in range(of)
    ]
    return with_rows(markouts=rows)


@pytest.mark.parametrize(
    ("wrong", "state", "word"),
    [
        ([2, 3, 2, 3, 3, 2, 3, 2], "PASS", "wrong stops 25% of 80"),
        ([1, 2, 1, 2, 8, 9, 8, 9], "FAIL", "the halves differ"),
        ([0, 9, 0, 9, 9, 0, 9, 0], "NOT YET", "is known to"),
        ([2, 3, 2, 3, 3, 2, 3], "NOT YET", "too few"),
    ],
)
def test_gate_stop_quality(wrong: list[int], state: str, word: str) -> None:
    check(observe.gate_stop_quality(gate_stops(wrong), RULE), state, word)


@pytest.mark.parametrize(
    ("wrong", "state"),
    [
        ([2, 3, 2, 3, 3, 2, 3, 2], "PASS"),
        ([8, 9, 8, 9, 9, 8, 9, 8], "FAIL"),
        ([2, 8, 3, 7, 8, 2, 7, 3], "NOT YET"),
        ([1] * 7, "NOT YET"),
    ],
)
def test_gate_false_positives(wrong: list[int], state: str) -> None:
    check(observe.gate_false_positives(gate_stops(wrong), RULE), state)


def test_gate_stops_count_known_exits_of_blocked_signals_only() -> None:
    tables = gate_stops([2, 3, 2, 3, 3, 2, 3, 2])
    more = rows_of(
        NOTHING.markouts,
        *[{"day": DAY, "coin": "xyz:A", "state": "executable", "net_bps": 9.0}] * 50,
        *[{"day": DAY, "coin": "xyz:A", "state": "blocked", "net_bps": None}] * 50,
    )
    tables = replace(tables, markouts=pl.concat([tables.markouts, more]))
    check(observe.gate_stop_quality(tables, RULE), "PASS", "of 80")


# --- A: Go conditions


def a_spec_row(coin: str = "xyz:A", asset_id: int = 110_003) -> dict[str, Any]:
    return {"session_id": "s1", "coin": coin, "asset_id": asset_id, "ts_ns": BEGIN, "day": DAY}


CHANGED = an_event("param_changed", "needs_operator", 10, coin="xyz:A", subject="spec")
PASSES = an_event("gate_changed", "pass", 20, coin="xyz:A", subject="param_change")


@pytest.mark.parametrize(
    ("specs", "events", "state"),
    [
        ([a_spec_row()], [], "PASS"),
        ([a_spec_row()], [CHANGED, PASSES], "PASS"),
        ([a_spec_row()], [CHANGED], "FAIL"),
        ([a_spec_row()], [PASSES | {"ts_ns": BEGIN}, CHANGED], "FAIL"),
        ([a_spec_row()], [CHANGED, PASSES | {"coin": "xyz:B"}], "FAIL"),
        ([a_spec_row()], [CHANGED, PASSES | {"subject": "halt"}], "FAIL"),
        ([a_spec_row()], [CHANGED, PASSES | {"state": "block"}], "FAIL"),
        ([], [], "NOT YET"),
    ],
)
def test_go_spec_questions(specs: list[dict[str, Any]], events: list[dict[str, Any]], state: str) -> None:
    check(go.go_spec_questions(with_rows(specs=specs, events=events), RULE), state)


@pytest.mark.parametrize(
    ("rows", "state", "word"),
    [
        ([a_spec_row(), a_spec_row("abc:B", 120_001)], "PASS", "2 builder perps, 0 others"),
        ([a_spec_row(), a_spec_row("@107", 10_107)], "FAIL", "@107"),
        ([a_spec_row("PURR/USDC", 110_000)], "FAIL", "PURR/USDC"),
        ([a_spec_row("BTC", 0)], "FAIL", "BTC"),
        ([a_spec_row("xyz:A", 3)], "FAIL", "xyz:A"),
        ([], "NOT YET", "no spec"),
    ],
)
def test_go_spot(rows: list[dict[str, Any]], state: str, word: str) -> None:
    check(go.go_spot(with_rows(specs=rows), RULE), state, word)


def an_order(cloid: str = "c1", seq: int = 100, **more: object) -> dict[str, Any]:
    return {
        "session_id": "s1", "seq": seq, "ordinal": 2, "coin": "xyz:A", "cloid": cloid, "signal_id": f"sig-{cloid}",
        "ts_ns": BEGIN + 10 * SECOND, "decided_ts_ns": BEGIN + 10 * SECOND, "mode": "live", "is_reduce_only": False,
        "status": "sent", "sent_us": 400, "day": DAY,
    } | more  # fmt: skip


@pytest.mark.parametrize(
    ("configs", "orders", "state"),
    [
        ([a_config()], [an_order()], "PASS"),
        ([a_config(account="", agent_key_file="")], [], "PASS"),
        ([a_config(account="")], [an_order()], "FAIL"),
        ([a_config(agent_key_file="")], [an_order()], "FAIL"),
        ([a_config(venue="mainnet")], [], "FAIL"),
        ([a_config()], [an_order(session_id="s2")], "NOT YET"),
        ([], [], "NOT YET"),
    ],
)
def test_go_preflight(configs: list[dict[str, Any]], orders: list[dict[str, Any]], state: str) -> None:
    check(go.go_preflight(with_rows(configs=configs, orders=orders), RULE), state)


# --- B and C: trades


def a_trip(net_bps: float, i: int = 0, day: str = DAY, **more: object) -> dict[str, Any]:
    """A trade of 50 USD that earned `net_bps` of it."""
    return {
        "session_id": "s1", "seq": 1_000 + i, "coin": "xyz:A", "signal_id": "x", "sz": 0.5, "entry_px": 100.0,
        "ts_ns": day_begin_ns(day) + 60 * SECOND + i, "pnl": net_bps * 50 / 1e4, "flat_time_ms": 300, "day": day,
    } | more  # fmt: skip


def trades(results: list[float], *, days: int = 5, phase: str = "micro", of: int = 1) -> Tables:
    """Spread results over the last days; the phase was approved just before the first of them."""
    where = days_back(days)
    trips = [a_trip(result, i, where[i % days]) for i, result in enumerate(results * of)]
    first = day_begin_ns(where[0]) + SECOND
    approvals = [an_approval(ts_ns=first, day=where[0])]
    if phase == "steady":
        approvals.append(an_approval("steady", "micro", ts_ns=first + 1, day=where[0], seq=12))
    return with_rows(trips=trips, events=approvals, configs=[a_config()])


@pytest.mark.parametrize(
    ("judged", "phase", "count"), [(trading.micro_count, "micro", 100), (trading.steady_count, "steady", 1_000)]
)
def test_trade_counts_pass_at_their_number(
    judged: Callable[[Tables, PhaseRule], Finding], phase: str, count: int
) -> None:
    check(judged(trades([1.0], of=count, phase=phase), RULE), "PASS", f"{count} of {count}")
    check(judged(trades([1.0], of=count - 1, phase=phase), RULE), "NOT YET", f"{count - 1} of {count}")


def test_trades_before_the_approval_or_of_another_account_do_not_count() -> None:
    tables = trades([1.0], of=150)
    assert trading.trades_since(tables, "micro").height == 150
    assert trading.trades_since(tables, "steady").height == 0
    later = an_approval(ts_ns=BEGIN + 30 * SECOND, seq=500)
    again = replace(tables, events=pl.concat([tables.events, rows_of(NOTHING.events, later)]))
    assert trading.trades_since(again, "micro").height == 30, "the count begins again with a new approval"
    other = replace(tables, configs=rows_of(NOTHING.configs, a_config(account="0x" + "cd" * 20)))
    assert trading.trades_since(other, "micro").height == 0
    check(trading.micro_count(other, RULE), "NOT YET", "micro was not approved for account")
    assert trading.trades_since(replace(tables, account="paper"), "micro").height == 0


def test_a_step_back_from_steady_to_micro_is_no_new_approval_of_micro() -> None:
    tables = trades([1.0], of=150, phase="steady")
    back = an_event("phase_changed", "micro", 3_600, detail="was steady; by platform; loss", seq=900)
    lowered = replace(tables, events=pl.concat([tables.events, rows_of(NOTHING.events, back)]))
    assert trading.trades_since(lowered, "micro").height == 150


def test_an_approval_of_steady_is_no_new_one_of_micro() -> None:
    tables = trades([1.0], of=150)
    up = an_approval("steady", "micro", at_s=3_600, seq=900)
    raised = replace(tables, events=pl.concat([tables.events, rows_of(NOTHING.events, up)]))
    assert trading.trades_since(raised, "micro").height == 150
    assert trading.trades_since(raised, "steady").height == 0


@pytest.mark.parametrize(
    ("results", "of", "state", "word"),
    [
        ([4.0, 6.0, 5.0, 3.0, 7.0], 24, "PASS", "+5.00 bps a trade, lower bound +3.49, 120 trades"),
        ([4.0, 6.0, 5.0], 33, "NOT YET", "fewer than 100"),
        ([-4.0, 3.0, -2.0, 1.0], 25, "FAIL", "-0.50 bps"),
        ([-60.0, 10.0, 90.0, -40.0, 5.0], 20, "NOT YET", "+1.00 bps"),
    ],
)
def test_edge_after_costs(results: list[float], of: int, state: str, word: str) -> None:
    # First case by hand: five days with means 4, 6, 5, 3, 7; se = sqrt(2.5 / 5), t(.95, 4) = 2.132.
    check(trading.edge_after_costs(trades(results, of=of), RULE), state, word)


def test_edge_of_one_day_or_without_any_variation_is_not_yet() -> None:
    check(trading.edge_after_costs(trades([5.0, 4.0], days=1, of=60), RULE), "NOT YET")
    check(trading.edge_after_costs(trades([5.0], of=120), RULE), "NOT YET")


@pytest.mark.parametrize(
    ("results", "of", "state"),
    [([-4.0, 3.0], 50, "FAIL"), ([4.0, -3.0], 50, "PASS"), ([-9.0], 99, "NOT YET")],
)
def test_exit_b_acts_on_a_negative_mean_after_100_trades(results: list[float], of: int, state: str) -> None:
    found = trading.negative_edge(trades(results, of=of), RULE)
    check(found, state)
    assert bool(found.key) == (state == "FAIL")


def test_exit_b_has_another_key_for_another_approval() -> None:
    keys = {trading.negative_edge(trades([-1.0], days=days, of=100), RULE).key for days in (4, 5)}
    assert len(keys) == 2


def reads(*values: tuple[float, float]) -> list[dict[str, Any]]:
    """(seconds after the first day's begin, account value)."""
    first = day_begin_ns(days_back(5)[0])
    return [
        {"session_id": "s1", "seq": i, "ts_ns": first + int(at_s * SECOND), "dex": "xyz", "venue_cash": usd,
         "is_judged": True, "day": days_back(5)[0]}
        for i, (at_s, usd) in enumerate(values)
    ]  # fmt: skip


def tailed(loss_usd: float, *, of: int = 1, capital: float = 100.0) -> Tables:
    """Steady trades without result, and `of` with a loss on the last day."""
    tables = trades([0.0], of=50, phase="steady")
    losses = [a_trip(0, 500 + i, pnl=-loss_usd) for i in range(of)]
    tables = replace(tables, trips=pl.concat([tables.trips, rows_of(NOTHING.trips, *losses)]))
    return replace(tables, reads=rows_of(NOTHING.reads, *reads((0, capital))))


@pytest.mark.parametrize(
    ("tables", "state", "word"),
    [
        (tailed(10.0), "PASS", "worst trade lost 10.0%"),
        (tailed(10.1), "FAIL", "lost 10.1%"),
        (tailed(6.0, of=2), "FAIL", "worst day lost 12.0%"),
        (tailed(50.0, capital=1_000.0), "PASS", "5.0%"),
        (replace(tailed(50.0), reads=NOTHING.reads), "NOT YET", "unknown"),
        (replace(tailed(50.0), reads=rows_of(NOTHING.reads, *reads((10**6, 100.0)))), "NOT YET", "unknown"),
        (trades([], phase="steady"), "NOT YET", ""),
    ],
)
def test_exit_c_acts_on_a_loss_over_ten_percent_of_the_capital(tables: Tables, state: str, word: str) -> None:
    found = trading.tail_loss(tables, RULE)
    check(found, state, word)
    assert bool(found.key) == (state == "FAIL")


def test_exit_c_counts_in_micro_already_and_a_new_loss_has_a_new_key() -> None:
    first = trading.tail_loss(tailed(15.0), RULE)
    tables = tailed(15.0)
    again = replace(tables, trips=pl.concat([tables.trips, rows_of(NOTHING.trips, a_trip(0, 900, pnl=-11.0))]))
    second = trading.tail_loss(again, RULE)
    assert (first.state, second.state) == ("FAIL", "FAIL")
    assert first.key != second.key
    assert trading.tail_loss(tailed(15.0), RULE).key == first.key


def test_exit_c_an_equal_loss_at_another_time_has_another_key() -> None:
    tables = tailed(15.0)
    moved = replace(tables, trips=tables.trips.with_columns(pl.col("ts_ns") + SECOND))
    assert trading.tail_loss(moved, RULE).figure == trading.tail_loss(tables, RULE).figure
    assert trading.tail_loss(moved, RULE).key != trading.tail_loss(tables, RULE).key


@pytest.mark.parametrize(
    ("pnl", "of", "count", "state", "word"),
    [
        (-9.0, 2, 1_000, "PASS", "worst trade 9.00 USD, worst day 18.00 USD"),
        (-10.5, 1, 1_000, "FAIL", "1 trades and 0 days over"),
        (-9.0, 3, 1_000, "FAIL", "0 trades and 1 days over"),
        (-10.5, 1, 10, "FAIL", "1 trades"),
        (-9.0, 1, 10, "NOT YET", "fewer than 1000"),
    ],
)
def test_tail_losses(pnl: float, of: int, count: int, state: str, word: str) -> None:
    tables = trades([0.0], of=count, phase="steady")
    losses = rows_of(NOTHING.trips, *[a_trip(0, 5_000 + i, pnl=pnl) for i in range(of)])
    check(trading.tail_losses(replace(tables, trips=pl.concat([tables.trips, losses])), RULE), state, word)


def test_tail_losses_without_known_limits_are_not_yet() -> None:
    tables = trades([0.0], of=1_000, phase="steady")
    unknown = replace(tables, configs=rows_of(NOTHING.configs, a_config(limits={})))
    check(trading.tail_losses(unknown, RULE), "NOT YET", "limits of a session are unknown")


def on_mainnet(count: int, order_s: float | None, **more: object) -> Tables:
    trips = [a_trip(1.0, i, **more) for i in range(count)]
    orders = [] if order_s is None else [an_order(decided_ts_ns=BEGIN + int(order_s * SECOND))]
    return replace(with_rows(testnet_trips=trips, orders=orders), venue="mainnet")


@pytest.mark.parametrize(
    ("tables", "state", "word"),
    [
        (on_mainnet(10, None), "PASS", "10 of 10"),
        (on_mainnet(9, None), "NOT YET", "9 of 10"),
        (on_mainnet(10, 3_600), "PASS", "10 of 10"),
        (on_mainnet(10, 1), "FAIL", "came first"),
        (on_mainnet(9, 3_600), "FAIL", "came first"),
        (on_mainnet(10, None, flat_time_ms=None), "NOT YET", "0 of 10"),
        (on_mainnet(10, None, signal_id=""), "NOT YET", "0 of 10"),
        (trades([1.0], of=10), "PASS", "round_trips of sim"),
        (trades([1.0], of=9), "NOT YET", "9 of 10"),
    ],
)
def test_testnet_trades(tables: Tables, state: str, word: str) -> None:
    check(trading.testnet_trades(tables, RULE), state, word)


# --- stop leaks


SET, RESET = an_event("latch_changed", "set", 5, seq=50), an_event("latch_changed", "reset", 6, seq=60)


def block(seq: int, state: str = "block", coin: str = "xyz:A", kind: str = "gate_changed") -> dict[str, Any]:
    return an_event(kind, state, seq / 10, coin=coin, subject="oracle_fresh", seq=seq)


def leaking(*events: dict[str, Any], orders: tuple[dict[str, Any], ...] = (an_order(),), **more: object) -> Tables:
    return with_rows(events=[an_approval(), *events], orders=list(orders), configs=[a_config()], **more)


@pytest.mark.parametrize(
    ("tables", "word"),
    [
        (leaking(SET), "stop latch"),
        (leaking(SET, RESET, an_event("latch_changed", "set", 7, seq=70)), "stop latch"),
        (leaking(block(40)), "gate oracle_fresh"),
        (leaking(block(40, "stopped", kind="market_stop_changed")), "market stop"),
        (leaking(block(40, "shrinking", kind="market_stop_changed")), "market stop"),
        (
            leaking(
                SET, RESET,
                signals=[{"session_id": "s1", "signal_id": "sig-c1", "is_blocked": True, "blocked_by": "halt",
                          "day": DAY}],
            ),
            "signal blocked by halt",
        ),
        (leaking(an_event("latch_changed", "set", 10.1, seq=120), orders=(an_order(sent_us=200_000),)), "sent after"),
    ],
)  # fmt: skip
def test_stop_leak_names_what_was_passed(tables: Tables, word: str) -> None:
    found = leak.stop_leak(tables, RULE)
    check(found, "FAIL", word)
    check(found, "FAIL", "1 of 1 entries")


@pytest.mark.parametrize(
    "tables",
    [
        leaking(SET, RESET),
        leaking(an_event("latch_changed", "set", 20, seq=150)),
        leaking(block(40), block(60, "pass")),
        leaking(block(40), block(100, "pass")),
        leaking(block(100)),
        leaking(block(40, coin="xyz:B")),
        leaking(block(40, "stopped", kind="market_stop_changed"), block(90, "trading", kind="market_stop_changed")),
        leaking(an_event("latch_changed", "set", 10.1, seq=120), orders=(an_order(sent_us=100_500),)),
        leaking(SET, RESET, orders=(an_order(), an_order("c2", 55, status="aborted", sent_us=None))),
        leaking(SET, RESET, orders=(an_order(), an_order("c2", 55, is_reduce_only=True))),
    ],
)
def test_stop_leak_orders_outside_a_stop_pass(tables: Tables) -> None:
    check(leak.stop_leak(tables, RULE), "PASS", "0 of 1 entries")


def test_stop_leak_a_latch_of_the_session_before_holds_on() -> None:
    second = [an_order(session_id="s2", seq=3)]
    configs = [a_config(), a_config("s2") | {"ts_ns": BEGIN + HOUR}]
    tables = with_rows(events=[an_approval(), SET], orders=second, configs=configs)
    check(leak.stop_leak(tables, RULE), "FAIL", "s2 seq 3 xyz:A c1: stop latch")
    cleared = with_rows(events=[an_approval(), SET, RESET], orders=second, configs=configs)
    check(leak.stop_leak(cleared, RULE), "PASS")


@pytest.mark.parametrize(
    ("tables", "word"),
    [
        (leaking(), "nothing stopped"),
        (leaking(SET, RESET, orders=()), "nothing left"),
        (with_rows(events=[SET], orders=[an_order()], configs=[a_config()]), "micro was not approved"),
    ],
)
def test_stop_leak_what_was_never_tried_is_not_yet(tables: Tables, word: str) -> None:
    check(leak.stop_leak(tables, RULE), "NOT YET", word)


def test_columns_read_of_the_approvals_are_theirs() -> None:
    assert {name: approval.SCHEMA[name] for name in APPROVAL_SCHEMA} == APPROVAL_SCHEMA
