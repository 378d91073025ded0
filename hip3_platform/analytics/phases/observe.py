"""Stage A (observe, paper): was the process left alone, are the figures there, is there an edge, are the gates known.

Each function judges one row of `Tables` by `PhaseRule` and is pure. What is missing is NOT YET.
"""

from itertools import pairwise

import numpy as np
import polars as pl

from hip3_platform.analytics.phases.rule import (
    FAIL,
    NOT_YET,
    PASS,
    TAIL,
    Finding,
    PhaseRule,
    by_day,
    days_text,
    number,
)
from hip3_platform.analytics.phases.tables import Tables
from streaming.core.units import NS_PER_S

ATTENDED = ("arm_changed", "phase_changed", "latch_changed", "limits_changed")
"""Somebody, or the stop latch, was there: an unattended span ends."""
LOOP = "ladder_changed"
APPROVED = ("approved_micro", "approved_trade")
_INTERVALS = tuple(f"{name}_recv_interval_ms_{q}" for name in ("bbo", "ctx") for q in ("p50", "p95", "p99"))
_FIGURES = (
    "bbo_null_rate", "oracle_stale_rate", "spread_shock_rate", "ready_rate", "rate_use_max",
    *(f"{name}_age_ms_clock_{q}" for name in ("bbo", "ctx") for q in ("p50", "p95", "p99")), *_INTERVALS,
)  # fmt: skip
_CROSS_FIGURES = tuple(f"cross_duration_ms_{q}" for q in ("p50", "p95", "p99"))
"""Known on days with at least one cross."""


def unattended_day(tables: Tables, rule: PhaseRule) -> Finding:
    """24 h in one session without an operator's act, a set latch or a silence, and in it a connection that came back.

    A span reaches from one sample of the fixed clock to the last before a silence of `sample_gap_s_max`, an act
    (`ATTENDED`) or the session's end. A recovery is a `connection_changed` lost and, within `recovery_s_max`, open
    again, both inside the span. PASS: a span of 24 h with a recovery, and no failed recovery since it began. FAIL: a
    connection that was lost and not open again within that time although the session went on, since the last such span.
    """
    recoveries, failures = outages(tables, rule)
    best, longest_ns = None, 0
    for session, begin_ns, end_ns in _spans(tables, rule):
        longest_ns = max(longest_ns, end_ns - begin_ns)
        is_long = end_ns - begin_ns >= rule.unattended_h_min * 3_600 * NS_PER_S
        if is_long and any(s == session and begin_ns <= lost <= back <= end_ns for s, lost, back in recoveries):
            best = begin_ns if best is None else max(best, begin_ns)
    evidence = f"bronze/health, bronze/events, {days_text(tables.window)}"
    failed = [lost for _, lost in failures if best is None or lost >= best]
    hours = longest_ns / NS_PER_S / 3_600
    figure = f"longest unattended span {hours:.1f} h, {len(recoveries)} recoveries, {len(failed)} failed"
    if failed:
        return Finding(FAIL, figure, f"{evidence}: a lost connection did not come back by itself")
    if best is None:
        return Finding(NOT_YET, figure, f"{evidence}: no such span with a recovery in it")
    return Finding(PASS, figure, evidence)


def _spans(tables: Tables, rule: PhaseRule) -> list[tuple[str, int, int]]:
    """Return (session, first sample, last sample) of every stretch without silence and act, in ns."""
    acts = tables.events.filter(pl.col("kind").is_in(ATTENDED))
    spans = []
    for (session,), samples in tables.clock.sort("session_id", "ts_ns").group_by("session_id", maintain_order=True):
        stamps = samples["ts_ns"].to_numpy()
        silences = np.flatnonzero(np.diff(stamps) > rule.sample_gap_s_max * NS_PER_S) + 1
        attended = np.searchsorted(stamps, acts.filter(pl.col("session_id") == session)["ts_ns"].to_numpy())
        begins = np.unique(np.concatenate([[0], silences, attended, [stamps.size]]))
        spans += [(str(session), int(stamps[b]), int(stamps[e - 1])) for b, e in pairwise(begins)]
    return spans


def outages(tables: Tables, rule: PhaseRule) -> tuple[list[tuple[str, int, int]], list[tuple[str, int]]]:
    """Return recoveries (session, lost, back) and failures (session, lost) of the window, in ns."""
    changes = tables.events.filter(
        (pl.col("kind") == "connection_changed") & pl.col("day").is_in(tables.window)
    ).sort("session_id", "seq", "ordinal")  # fmt: skip
    ends = dict(tables.clock.group_by("session_id").agg(pl.col("ts_ns").max()).iter_rows())
    recoveries, failures = [], []
    patience_ns = rule.recovery_s_max * NS_PER_S
    for (session,), rows in changes.group_by("session_id", maintain_order=True):
        lost: int | None = None
        for state, ts_ns in [*rows.select("state", "ts_ns").iter_rows(), ("end", ends.get(session, 0))]:
            if lost is not None and state != "lost":
                if ts_ns - lost > patience_ns:
                    failures.append((str(session), lost))
                elif state == "open":
                    recoveries.append((str(session), lost, ts_ns))
            lost = (lost or ts_ns) if state == "lost" else None
    return recoveries, failures


def rate_use_and_degradation(tables: Tables, rule: PhaseRule) -> Finding:
    """The use of the venue's limits was observed on every day of the window, and the degradation ladder acted.

    PASS: `daily_metrics.rate_use_max` is known on every judged day, and one session moved up the ladder and back to
    step 0. FAIL: on a day the use reached the first step (80 %) and no ladder moved that day: degradation did not act.
    """
    days = tables.window
    seen = tables.metrics.filter(pl.col("day").is_in(days)).group_by("day").agg(pl.col("rate_use_max").max())
    use = {day: value for day, value in seen.iter_rows() if value is not None}
    moves = tables.events.filter(pl.col("kind") == LOOP).sort("session_id", "seq", "ordinal")
    evidence = f"gold/daily_metrics, bronze/events, {days_text(days)}"
    moved_days = set(moves["day"])
    idle = sorted(day for day, value in use.items() if value >= rule.degrade_ratio and day not in moved_days)
    cycles = sum(
        _came_down(rows["value"].to_list()) for _, rows in moves.group_by("session_id", maintain_order=True)
    )  # fmt: skip
    figure = f"rate use at most {max(use.values(), default=0.0):.0%}, ladder up and down {cycles} times"
    if idle:
        return Finding(FAIL, figure, f"{evidence}: {idle[-1]} used {use[idle[-1]]:.0%} and nothing was shed")
    unknown = [day for day in days if day not in use]
    if not days or unknown:
        return Finding(NOT_YET, figure, f"{evidence}: rate use unknown on {len(unknown) or 'all'} days")
    if not cycles:
        return Finding(NOT_YET, figure, f"{evidence}: the ladder was never exercised up and down")
    return Finding(PASS, figure, evidence)


def _came_down(steps: list[float | None]) -> int:
    return sum((before or 0) > 0 and (after or 0) == 0 for before, after in pairwise(steps))


def daily_figures(tables: Tables, rule: PhaseRule) -> Finding:
    """Every figure of every watched market on every day: a week at least, without a hole.

    A market is watched on a day when it was ready at some sample. PASS: at least `figure_days_min` days; no calendar
    day between the first and the last judged one is missing; no figure of a watched market is unknown; no market is
    absent on a day between two of its days. FAIL: any of the last three.
    """
    days = tables.window
    rows = _watched(tables, days)
    evidence = f"gold/daily_metrics, {days_text(days)}"
    markets = rows["coin"].n_unique()
    if rows.is_empty():
        return Finding(NOT_YET, "", f"{evidence}: no market was ready on any day")
    needed = [pl.col(name).is_null() for name in _FIGURES]
    needed += [(pl.col("cross_episode_count") > 0) & pl.col(name).is_null() for name in _CROSS_FIGURES]
    unknown = rows.filter(pl.any_horizontal(needed)).sort("day", "coin")
    holes = _holes(rows, days)
    absent = sum(1 for day in _calendar(days) if day not in days)
    figure = f"{markets} markets, {len(days)} days; {unknown.height} rows incomplete, {len(holes) + absent} holes"
    if unknown.height:
        day, coin = unknown.select("day", "coin").row(-1)
        return Finding(FAIL, figure, f"{evidence}: figures of {coin} on {day} are unknown")
    if holes or absent:
        where = f"{holes[-1][1]} on {holes[-1][0]}" if holes else f"{absent} whole days"
        return Finding(FAIL, figure, f"{evidence}: no row of {where}")
    if len(days) < rule.figure_days_min:
        return Finding(NOT_YET, figure, f"{evidence}: fewer than {rule.figure_days_min} days")
    return Finding(PASS, figure, evidence)


def _watched(tables: Tables, days: tuple[str, ...]) -> pl.DataFrame:
    return tables.metrics.filter(pl.col("day").is_in(days) & (pl.col("ready_rate") > 0))


def _calendar(days: tuple[str, ...]) -> list[str]:
    begin, end = pl.Series([days[0], days[-1]]).str.to_date().to_list()
    return [str(day) for day in pl.date_range(begin, end, "1d", eager=True)]


def _holes(rows: pl.DataFrame, days: tuple[str, ...]) -> list[tuple[str, str]]:
    found = []
    for (coin,), own in rows.group_by("coin", maintain_order=True):
        seen = set(own["day"])
        first, last = min(seen), max(seen)
        found += [(day, str(coin)) for day in days if first < day < last and day not in seen]
    return sorted(found)


def positive_markets(tables: Tables, rule: PhaseRule) -> Finding:
    """2 or more markets whose executable edge is proved above 0 as of the day: approved, with a bound above 0.

    Read from gold/approvals (walk-forward, false discovery rate 5 % over all markets). PASS: at least two. FAIL: fewer,
    although the evidence had its full window of 14 days. NOT YET: fewer days, or no approvals of this day.
    """
    today = tables.approvals.filter(pl.col("day") == tables.day)
    evidence = f"gold/approvals of {tables.day}"
    if today.is_empty():
        return Finding(NOT_YET, "", f"{evidence}: no rows")
    proved = _proved(today).sort("bound_bps", descending=True)
    names = ", ".join(f"{coin} {bound:+.2f} bps" for coin, bound in proved.select("coin", "bound_bps").iter_rows())
    figure = f"{proved.height} of {today.height} markets" + (f": {names}" if names else "")
    if proved.height >= rule.positive_count_min:
        return Finding(PASS, figure[:900], evidence)
    day_count = max(today["in_sample_days"].to_list())
    if day_count < rule.window_days:
        return Finding(NOT_YET, figure, f"{evidence}: {day_count} of {rule.window_days} days")
    return Finding(FAIL, figure, evidence)


def _proved(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter(pl.col("state").is_in(APPROVED) & (pl.col("bound_bps") > 0))


def no_positive_market(tables: Tables, rule: PhaseRule) -> Finding:
    """Exit of A: acts (FAIL) when 12 weeks of approvals hold no proved market.

    Needs judged days on at least `review_coverage_min` of the 84 calendar days; with fewer, silence says nothing.
    """
    days = tables.last_days(rule.review_days)
    rows = tables.approvals.filter(pl.col("day").is_in(days))
    judged, proved = rows["day"].n_unique(), _proved(rows)
    evidence = f"gold/approvals, {days_text(days)}"
    if proved.height:
        last = str(proved["day"].max())
        return Finding(PASS, f"last proved market {last}", evidence)
    if judged < rule.review_coverage_min * rule.review_days:
        return Finding(NOT_YET, f"none in {judged} judged days", f"{evidence}: {judged} of {rule.review_days} days")
    return Finding(FAIL, f"none in {judged} judged days", evidence, key=f"no proved market since {days[0]}")


def _stopped(tables: Tables) -> pl.DataFrame:
    """Return signals that a gate stopped and whose exit is known, with whether it would have paid."""
    rows = tables.markouts.filter(
        (pl.col("state") == "blocked") & pl.col("net_bps").is_not_null() & pl.col("day").is_in(tables.window)
    )
    return rows.with_columns(is_false=(pl.col("net_bps") > 0).cast(pl.Int64))


def gate_stop_quality(tables: Tables, rule: PhaseRule) -> Finding:
    """The share of gate stops that were wrong is known, and did not change over the window.

    A stop is wrong when the signal would have paid after fees at +5 s (gold/markouts, state `blocked`). PASS: at least
    `gate_days_min` days with stops and `gate_count_min` stops, a 95 % half-width by day of at most
    `gate_halfwidth_max`, and the intervals of the older and the newer half of the days overlap. FAIL: they do not.
    """
    rows = _stopped(tables)
    days = sorted(set(rows["day"]))
    evidence = f"gold/markouts, {days_text(tuple(days))}"
    if len(days) < rule.gate_days_min or rows.height < rule.gate_count_min:
        return Finding(NOT_YET, f"{rows.height} stops on {len(days)} days", f"{evidence}: too few")
    is_false, middle = pl.col("is_false"), days[len(days) // 2]
    older, newer = rows.filter(pl.col("day") < middle), rows.filter(pl.col("day") >= middle)
    (low_1, high_1), (low_2, high_2) = (
        tuple(number(end) for end in by_day(half, is_false).interval_bps()) for half in (older, newer)
    )
    low, high = (number(end) for end in by_day(rows, is_false).interval_bps())
    share = rows["is_false"].sum() / rows.height
    figure = (
        f"wrong stops {share:.0%} of {rows.height}; older half {low_1:.0%} to {high_1:.0%}, "
        f"newer half {low_2:.0%} to {high_2:.0%}"
    )
    if high_1 < low_2 or high_2 < low_1:
        return Finding(FAIL, figure, f"{evidence}: the halves differ")
    if not (high - low) / 2 <= rule.gate_halfwidth_max:
        return Finding(NOT_YET, figure, f"{evidence}: the share is known to ± {(high - low) / 2:.0%} only")
    return Finding(PASS, figure, evidence)


def gate_false_positives(tables: Tables, rule: PhaseRule) -> Finding:
    """Stage C: the share of wrong gate stops is in bound: its upper 95 % bound is at most `gate_false_ratio_max`.

    FAIL: its lower bound is above it. NOT YET: the bound lies between, or there are too few stops or days.
    """
    rows = _stopped(tables)
    days = tuple(sorted(set(rows["day"])))
    evidence = f"gold/markouts, {days_text(days)}"
    if len(days) < rule.gate_days_min or rows.height < rule.gate_count_min:
        return Finding(NOT_YET, f"{rows.height} stops on {len(days)} days", f"{evidence}: too few")
    share = by_day(rows, pl.col("is_false"))
    theta, low = number(share.theta_bps), number(share.lower_bps(TAIL))
    high = 2 * theta - low
    figure = f"wrong stops {theta:.0%}, 95 % bounds {low:.0%} and {high:.0%}, of {rows.height}"
    if high <= rule.gate_false_ratio_max:
        return Finding(PASS, figure, evidence)
    return Finding(FAIL if low > rule.gate_false_ratio_max else NOT_YET, figure, evidence)


def interval_distributions(tables: Tables, rule: PhaseRule) -> Finding:
    """P50, P95 and P99 of the receipt intervals of bbo and ctx are known for every market watched on the last day.

    PASS: each has all six on at least `interval_days_min` days of the window. FAIL: one was watched on that many days
    and has not. NOT YET: one was watched on fewer days.
    """
    days = tables.window
    rows = _watched(tables, days).with_columns(
        is_known=pl.all_horizontal([pl.col(name).is_not_null() for name in _INTERVALS])
    )
    evidence = f"gold/daily_metrics, {days_text(days)}"
    now = set(rows.filter(pl.col("day") == tables.day)["coin"])
    if not now:
        return Finding(NOT_YET, "", f"{evidence}: no market was ready on {tables.day}")
    counts = rows.filter(pl.col("coin").is_in(now)).group_by("coin").agg(n=pl.len(), known=pl.col("is_known").sum())
    short = counts.filter(pl.col("known") < rule.interval_days_min).sort("coin")
    silent = short.filter(pl.col("n") >= rule.interval_days_min)
    figure = f"known for {counts.height - short.height} of {counts.height} markets"
    if silent.height:
        return Finding(FAIL, figure, f"{evidence}: unknown for {silent['coin'][0]}")
    if short.height:
        return Finding(NOT_YET, figure, f"{evidence}: {short['coin'][0]} has fewer than {rule.interval_days_min} days")
    return Finding(PASS, figure, evidence)


def null_rate(tables: Tables, rule: PhaseRule) -> Finding:
    """The share of bbo frames with a null side is at most `null_ratio_max` in every market over the window.

    PASS needs `figure_days_min` days. FAIL: a market is above.
    """
    days = tables.window
    rows = tables.metrics.filter(pl.col("day").is_in(days)).group_by("coin").agg(
        nulls=pl.col("bbo_null_count").sum(), count=pl.col("bbo_count").sum()
    ).filter(pl.col("count") > 0).with_columns(rate=pl.col("nulls") / pl.col("count")).sort("rate", "coin")  # fmt: skip
    evidence = f"gold/daily_metrics, {days_text(days)}"
    if rows.is_empty():
        return Finding(NOT_YET, "", f"{evidence}: no bbo frame")
    coin, rate = rows.select("coin", "rate").row(-1)
    figure = f"worst {coin}: {rate:.2%}"
    if rate > rule.null_ratio_max:
        return Finding(FAIL, figure, evidence)
    if len(days) < rule.figure_days_min:
        return Finding(NOT_YET, figure, f"{evidence}: fewer than {rule.figure_days_min} days")
    return Finding(PASS, figure, evidence)
