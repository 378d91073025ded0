"""Stages B and C (micro, steady): trades of the account since the stage was approved, what they earned and risked.

Rule 1: a trade is a row of round_trips, of a session of this account. B counts those since `micro` was last approved
from below, C those since `steady` was: after a step back the count begins again.
Rule 2: a result is pnl after fees and funding, at the prices that were got, so slippage is in it; per trade in bps of
the notional at entry, as the mean over trades with UTC days as clusters.
"""

import re
from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

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

_ORDER = ("observe", "paper", "micro", "steady", "rotate")
_WAS = re.compile(r"was (\w+);")


def approved_ts_ns(tables: Tables, phase: str) -> int | None:
    """Return when `phase` (or one above it) was last approved from below it; None if the tables do not say."""
    rank = _ORDER.index(phase)
    changes = tables.ours(tables.events.filter(pl.col("kind") == "phase_changed")).sort("ts_ns", "seq", "ordinal")
    found = None
    for ts_ns, state, detail in changes.select("ts_ns", "state", "detail").iter_rows():
        was = _WAS.match(detail)
        if state in _ORDER and was and was[1] in _ORDER and _ORDER.index(was[1]) < rank <= _ORDER.index(state):
            found = int(ts_ns)
    return found


def trades_since(tables: Tables, phase: str) -> pl.DataFrame:
    """Return the account's round trips since `phase` was approved, with `net_bps`; none without an approval."""
    since = approved_ts_ns(tables, phase)
    rows = tables.ours(tables.trips).filter(pl.col("ts_ns") >= since if since is not None else pl.lit(value=False))
    cost = pl.col("entry_px").cast(pl.Float64) * pl.col("sz").cast(pl.Float64)
    return rows.with_columns(
        net_bps=pl.col("pnl").cast(pl.Float64) / cost * 1e4, pnl_usd=pl.col("pnl").cast(pl.Float64)
    )


def _evidence(tables: Tables, phase: str, rows: pl.DataFrame) -> str:
    if approved_ts_ns(tables, phase) is None:
        return f"bronze/events, {days_text(tables.days)}: {phase} was not approved for account {tables.account}"
    return f"bronze/round_trips of account {tables.account}, {days_text(tuple(sorted(set(rows['day']))))}"


def testnet_trades(tables: Tables, rule: PhaseRule) -> Finding:
    """10 successful trades on testnet before the first real order on mainnet.

    Successful: opened by a signal of ours and closed by an order of ours (`flat_time_ms` is known). On mainnet the
    trades are those of venue testnet, whoever's account, for it is the code that is proved; elsewhere the venue's own
    trades of the account. PASS: 10. FAIL: on mainnet, the first real order left before the tenth was closed.
    """
    is_mainnet = tables.venue == "mainnet"
    trips = tables.testnet_trips if is_mainnet else tables.ours(tables.trips)
    good = trips.filter((pl.col("signal_id") != "") & pl.col("flat_time_ms").is_not_null()).sort("ts_ns")
    venue = "testnet" if is_mainnet else tables.venue
    evidence = f"bronze/round_trips of {venue}, {days_text(tuple(sorted(set(good['day']))))}"
    figure = f"{good.height} of {rule.testnet_count_min}"
    is_enough = good.height >= rule.testnet_count_min
    first = tables.orders["decided_ts_ns"].min() if is_mainnet and tables.orders.height else None
    if first is not None and not (is_enough and good["ts_ns"][rule.testnet_count_min - 1] <= first):
        return Finding(FAIL, figure, f"{evidence}: real orders on mainnet came first")
    return Finding(PASS if is_enough else NOT_YET, figure, evidence)


def micro_count(tables: Tables, rule: PhaseRule) -> Finding:
    """100 trades since micro was approved. A count can be too low yet and never fail."""
    return _count(tables, "micro", rule.micro_count_min)


def steady_count(tables: Tables, rule: PhaseRule) -> Finding:
    """1,000 trades since steady was approved. A count can be too low yet and never fail."""
    return _count(tables, "steady", rule.steady_count_min)


def _count(tables: Tables, phase: str, count_min: int) -> Finding:
    rows = trades_since(tables, phase)
    return Finding(
        PASS if rows.height >= count_min else NOT_YET, f"{rows.height} of {count_min}", _evidence(tables, phase, rows)
    )


def edge_after_costs(tables: Tables, rule: PhaseRule) -> Finding:
    """The mean result of a trade after fees and slippage is above 0, by its lower 95 % bound with days as clusters.

    PASS: 100 trades and the bound is above 0. FAIL: 100 trades and the mean is not above 0. NOT YET: fewer trades, all
    on one day, or a bound that is not above 0 under a mean that is.
    """
    rows = trades_since(tables, "micro")
    evidence = _evidence(tables, "micro", rows)
    if rows.is_empty():
        return Finding(NOT_YET, "", evidence)
    mean = by_day(rows, pl.col("net_bps"))
    theta, low = number(mean.theta_bps), number(mean.lower_bps(TAIL))
    figure = f"{theta:+.2f} bps a trade, lower bound {low:+.2f}, {rows.height} trades"
    if rows.height < rule.micro_count_min:
        return Finding(NOT_YET, figure, f"{evidence}: fewer than {rule.micro_count_min} trades")
    if theta <= 0:
        return Finding(FAIL, figure, evidence)
    # p < 5 % says that the bound is above 0, and it is 1 where results do not vary: copies are no evidence.
    return Finding(PASS if number(mean.p) < TAIL else NOT_YET, figure, evidence)


def negative_edge(tables: Tables, rule: PhaseRule) -> Finding:
    """Exit of B: acts (FAIL) when the mean result of 100 or more trades since micro was approved is below 0."""
    rows = trades_since(tables, "micro")
    evidence = _evidence(tables, "micro", rows)
    if rows.height < rule.micro_count_min:
        return Finding(NOT_YET, f"{rows.height} trades", f"{evidence}: fewer than {rule.micro_count_min} trades")
    theta = number(by_day(rows, pl.col("net_bps")).theta_bps)
    figure = f"{theta:+.2f} bps a trade over {rows.height} trades"
    if theta < 0:
        return Finding(FAIL, figure, evidence, key=f"micro of {approved_ts_ns(tables, 'micro')}")
    return Finding(PASS, figure, evidence)


def tail_losses(tables: Tables, rule: PhaseRule) -> Finding:
    """No trade and no UTC day lost more than the plan: the limits that were in force.

    The plan is `limits.losses` of the session's configuration: a trade at most `market_day_loss_usd_max`, a day at
    most `day_loss_usd_max` (the least of that day's sessions). PASS: 1,000 trades since steady was approved, all
    within. FAIL: one trade or day is not, however few there are. NOT YET: fewer trades, or a limit is unknown.
    """
    rows = trades_since(tables, "steady")
    evidence = _evidence(tables, "steady", rows) + ", bronze/configs"
    if rows.is_empty():
        return Finding(NOT_YET, "", evidence)
    limits = {session: _losses(config) for session, config in tables.config_of_session.items()}
    planned = [limits.get(session) for session in rows["session_id"]]
    if any(each is None for each in planned):
        return Finding(NOT_YET, "", f"{evidence}: the limits of a session are unknown")
    rows = rows.with_columns(
        trade_max=pl.Series([each[0] for each in planned if each]),
        day_max=pl.Series([each[1] for each in planned if each]),
    )
    days = rows.group_by("day").agg(pl.col("pnl_usd").sum(), pl.col("day_max").min()).sort("day")
    over = rows.filter(-pl.col("pnl_usd") > pl.col("trade_max")).height
    over_days = days.filter(-pl.col("pnl_usd") > pl.col("day_max")).height
    worst, worst_day = (-min(each["pnl_usd"].to_list()) for each in (rows, days))
    figure = (
        f"worst trade {max(worst, 0.0):.2f} USD, worst day {max(worst_day, 0.0):.2f} USD; {over} trades and "
        f"{over_days} days over the limits"
    )
    if over or over_days:
        return Finding(FAIL, figure, evidence)
    if rows.height < rule.steady_count_min:
        return Finding(NOT_YET, figure, f"{evidence}: fewer than {rule.steady_count_min} trades")
    return Finding(PASS, figure, evidence)


def _losses(config: Mapping[str, Any]) -> tuple[float, float] | None:
    losses = config.get("limits", {}).get("losses", {})
    found = losses.get("market_day_loss_usd_max"), losses.get("day_loss_usd_max")
    return None if None in found else (float(found[0]), float(found[1]))


def tail_loss(tables: Tables, rule: PhaseRule) -> Finding:
    """Exit of C: acts (FAIL) when one trade or one UTC day lost more than 10 % of the capital.

    Judged on all real trades since micro was approved: a loss of that size waits for no phase. The capital is what the
    venue said the account was worth (table reconciliations, judged reads, all dexes) at the last read before that
    trade, or before the first trade of that day. The newest such loss is the key: it acts once. NOT YET: no trade, or
    no read of the account before one.
    """
    rows = trades_since(tables, "micro").sort("ts_ns", "seq", "ordinal")
    evidence = _evidence(tables, "micro", rows) + ", bronze/reconciliations"
    if rows.is_empty():
        return Finding(NOT_YET, "", evidence)
    days = rows.group_by("day", maintain_order=True).agg(pl.col("ts_ns").min(), pl.col("pnl_usd").sum())
    losses = [("trade", ts, pnl) for ts, pnl in rows.select("ts_ns", "pnl_usd").iter_rows()]
    losses += [("day", ts, pnl) for ts, pnl in days.select("ts_ns", "pnl_usd").iter_rows()]
    capital = _capital(tables)
    ratios = [(_before(capital, ts), what, ts, pnl) for what, ts, pnl in losses]
    if any(before is None or before <= 0 for before, *_ in ratios):
        return Finding(NOT_YET, "", f"{evidence}: what the account was worth before a trade is unknown")
    shares = sorted((-pnl / before, what, ts) for before, what, ts, pnl in ratios if before)
    worst, what, _ = shares[-1]
    figure = f"worst {what} lost {max(worst, 0.0):.1%} of the capital"
    acting = [each for each in shares if each[0] > rule.tail_capital_ratio]
    if acting:
        newest = max(acting, key=lambda each: (each[2], each[1]))
        return Finding(FAIL, figure, evidence, key=f"{newest[1]} of {newest[2]}: {newest[0]:.4f}")
    return Finding(PASS, figure, evidence)


def _capital(tables: Tables) -> list[tuple[int, float]]:
    """Return (ts_ns, value of the account over all dexes) after each judged read, ascending."""
    reads = tables.ours(tables.reads).filter("is_judged").sort("ts_ns", "seq", "ordinal")
    worth: dict[str, float] = {}
    found = []
    for ts_ns, dex, cash in reads.select("ts_ns", "dex", pl.col("venue_cash").cast(pl.Float64)).iter_rows():
        worth[dex] = cash
        found.append((int(ts_ns), sum(worth.values())))
    return found


def _before(capital: list[tuple[int, float]], ts_ns: int) -> float | None:
    place = bisect_right(capital, ts_ns, key=lambda each: each[0])
    return capital[place - 1][1] if place else None
