"""What every gate and filter costs or saves: what it blocked, marked out like what it let through.

A signal is followed up whether it was taken or not, so a limit has a price: what the orders it alone forbade would have
earned. Results are the executable ones of the evidence (`evidence/markouts.py`): an IOC at the touch of the decision,
met after `latency_ms`, left after `horizon_s`, fees of both sides and depth paid; a missed order earns nothing.

Rule 1: a filter is a gate, a control beside the gates (position open, session closed, ...), or a refusal: the reason
why no order came of a signal that nothing blocked (size below the least, caps reached, ...).
Rule 2: the price is that of signals blocked by this filter only: they are what lifting it would add. What others
blocked as well is counted and shown beside it, and is no price.
Rule 3: > 0 is what the limit cost, < 0 what it saved. Bounds are 95 % t intervals over UTC days as clusters; dollars
are a mean over all days of the window, those without a signal included.
Rule 4: below `fills_min` fills or `days_min` days with fills the state is `insufficient`, and no bound is claimed.
Rule 5: what can not be known (a feed gap, the end of the data, a spec that nothing resolves) is void and counted.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from hip3_platform.analytics.evidence.columns import MarketDay, MissingSpecError
from hip3_platform.analytics.evidence.episodes import BUY, SELL, Decisions
from hip3_platform.analytics.evidence.estimate import Estimate, estimate
from hip3_platform.analytics.evidence.family import Floats
from hip3_platform.analytics.evidence.markouts import ORDER_USD, State, markouts_of
from hip3_platform.analytics.evidence.reading import read_market_day
from hip3_platform.analytics.evidence.tables import GATE_OUTCOMES, GATE_PRICES, WINDOW_DAYS
from hip3_platform.analytics.frames import markets_of, read_market
from hip3_platform.analytics.gold import Written, window_days
from hip3_platform.analytics.limits_in_force import FilterLimit, Limits, in_force, read_limits
from hip3_platform.analytics.metrics import GATES
from hip3_platform.analytics.store import write_frame
from streaming.contracts.paths import gold_path

ALL_MARKETS = "*"
"""Stands for all markets together in `coin` of gold/gate_prices."""
PASSED = "passed"


@dataclass(frozen=True, slots=True)
class GateRule:
    """How a filter is priced."""

    latency_ms: int = 200
    """Decision to match: what the evidence assumes (`resources/evidence.py`), p90 and never the median."""
    horizon_s: int = 5
    """Match to exit: the time stop."""
    order_usd: float = ORDER_USD
    window_days: int = WINDOW_DAYS
    fills_min: int = 30
    days_min: int = 5


OUTCOME_SCHEMA: dict[str, Any] = {
    "venue": pl.String,
    "day": pl.String,
    "coin": pl.String,
    "signal_id": pl.String,
    "ts_ns": pl.Int64,
    "side": pl.String,
    "origin": pl.String,
    "raw_edge_bps": pl.Float64,
    "blocked_by": pl.String,
    "refused_by": pl.String,
    "reduced_by": pl.String,
    "state": pl.String,
    "net_bps": pl.Float64,
    "ntl_usd": pl.Float64,
    "config_hash": pl.String,
}
"""Columns of gold/gate_outcomes, one row a signal."""

OUTCOME_ABOUT: dict[str, str] = {
    "venue": "venue of the signal",
    "day": "UTC day of the signal",
    "coin": "market",
    "signal_id": "table signals",
    "ts_ns": "ns UTC, instant of the decision",
    "side": "buy or sell, the side we would take",
    "origin": "oracle_led or quote_led",
    "raw_edge_bps": "edge against the oracle at the decision, bps",
    "blocked_by": "gates, then controls, comma separated; empty when nothing blocked",
    "refused_by": "why no order came of it although nothing blocked; empty otherwise",
    "reduced_by": "gates that shrank it, comma separated",
    "state": "filled, missed or void: what would have become of the order",
    "net_bps": "result of the fill after fees and depth, bps; null unless filled",
    "ntl_usd": "size of the order, at most what the touch showed",
    "config_hash": "configuration it was decided under; bronze/configs resolves it",
}
"""What each column is, for the UI."""

_BOUNDED = ("blocked_bps", "price_bps", "price_usd", "passed_bps")
PRICE_SCHEMA: dict[str, Any] = {
    "venue": pl.String,
    "day": pl.String,
    "day_count": pl.Int64,
    "coin": pl.String,
    "kind": pl.String,
    "name": pl.String,
    "blocked_count": pl.Int64,
    "only_count": pl.Int64,
    "reduced_count": pl.Int64,
    "only_fill_count": pl.Int64,
    "only_missed_count": pl.Int64,
    "only_void_count": pl.Int64,
    "only_fill_days": pl.Int64,
    "passed_count": pl.Int64,
    "passed_fill_count": pl.Int64,
    **{name: pl.Float64 for each in _BOUNDED for name in (each, f"{each}_low", f"{each}_high")},
    "state": pl.String,
    "why": pl.String,
    "limit_name": pl.String,
    "limit_value": pl.String,
    "limit_values": pl.String,
}
"""Columns of gold/gate_prices, one row a market and filter."""

_MEANS = {
    "blocked_bps": "mean result of everything it blocked, whoever else did, per fill",
    "price_bps": "mean result of what it alone blocked, per fill: > 0 is what it cost, < 0 what it saved",
    "price_usd": "result of what it alone blocked, dollars a day: > 0 is what it cost, < 0 what it saved",
    "passed_bps": "mean result of what was let through beside it, per fill",
}
PRICE_ABOUT: dict[str, str] = {
    "venue": "venue of the signals",
    "day": "last UTC day of the window",
    "day_count": "days of the window with figures",
    "coin": "market; * is all of them together",
    "kind": "gate, control or refusal",
    "name": "of the filter",
    "blocked_count": "signals it blocked, alone or with others",
    "only_count": "signals it alone blocked",
    "reduced_count": "signals it let through smaller (gates only)",
    "only_fill_count": "of what it alone blocked: orders that would have filled",
    "only_missed_count": "likewise: that would have missed",
    "only_void_count": "likewise: of which nothing can be known",
    "only_fill_days": "UTC days with such fills: the clusters",
    "passed_count": "signals that became an order",
    "passed_fill_count": "of these that would have filled by the same rules",
    **_MEANS,
    **{f"{each}_low": f"lower 95 % bound of {each}, day clusters; null when nothing can be claimed" for each in _MEANS},
    **{f"{each}_high": f"upper 95 % bound of {each}, likewise" for each in _MEANS},
    "state": "costs, saves, unclear or insufficient",
    "why": "the state in words",
    "limit_name": "number of the configuration behind it, as hip3 replay --set takes it; null where there is none",
    "limit_value": "what it was at the last signal of the window, or disabled; null is not known, or no limit",
    "limit_values": "each value with the day of its first signal, if it changed in the window; empty if it did not",
}
"""What each column is, for the UI."""

_SIGNALS = (
    "signal_id", "ts_ns", "side", "origin", "raw_edge_bps", "blocked_by", "limit_px", "touch_sz", "config_hash",
)  # fmt: skip


def outcomes_of(root: Path, venue: str, day: str, coin: str, rule: GateRule) -> pl.DataFrame:
    """Return the signals of one market and day with what would have become of each, see `OUTCOME_SCHEMA`."""
    signals = read_market(root, "signals", venue, day, coin, _SIGNALS)
    if not signals.height:
        return pl.DataFrame(schema=OUTCOME_SCHEMA)
    joined = signals.join(_refusals(root, venue, day, coin), on="signal_id", how="left", maintain_order="left").join(
        _reductions(root, venue, day, coin), on="signal_id", how="left", maintain_order="left"
    )
    state, net_bps = _results(root, venue, day, coin, signals, rule)
    touch_usd = pl.col("limit_px").cast(pl.Float64) * pl.col("touch_sz").cast(pl.Float64)
    framed = joined.with_columns(
        pl.col("refused_by", "reduced_by").fill_null(""),
        venue=pl.lit(venue),
        day=pl.lit(day),
        coin=pl.lit(coin),
        state=pl.Series(state, dtype=pl.String),
        net_bps=pl.Series(net_bps, dtype=pl.Float64, nan_to_null=True),
        ntl_usd=pl.min_horizontal(touch_usd, pl.lit(rule.order_usd)),
    )
    return framed.select(pl.col(name).cast(kind) for name, kind in OUTCOME_SCHEMA.items())


def _refusals(root: Path, venue: str, day: str, coin: str) -> pl.DataFrame:
    events = read_market(root, "events", venue, day, coin, ("kind", "subject", "detail"))
    found = events.filter(pl.col("kind") == "entry_refused").select(signal_id="subject", refused_by="detail")
    return found.unique("signal_id", keep="first", maintain_order=True)


def _reductions(root: Path, venue: str, day: str, coin: str) -> pl.DataFrame:
    gates = read_market(root, "gates", venue, day, coin, ("signal_id", "gate", "status"))
    reducing = gates.filter(pl.col("status") == "reduce").sort("signal_id", "gate")
    return reducing.group_by("signal_id", maintain_order=True).agg(reduced_by=pl.col("gate").str.join(","))


def _results(
    root: Path, venue: str, day: str, coin: str, signals: pl.DataFrame, rule: GateRule
) -> tuple[list[str], Floats]:
    names = [state.name.lower() for state in State]
    unknown = [State.VOID.name.lower()] * signals.height, np.full(signals.height, np.nan)
    try:
        market = read_market_day(root, venue, day, coin)
    except MissingSpecError:
        return unknown
    if not market.bbo_ts_ns.size or not market.ctx_ts_ns.size:
        return unknown
    found = markouts_of(
        market, signal_decisions(market, signals), order_usd=rule.order_usd, latencies_ms=(rule.latency_ms,),
        horizons_s=(rule.horizon_s,),
    )  # fmt: skip
    state = found.state[:, 0]
    net = np.where(state == State.FILLED, found.net_bps[:, 0, 0], np.nan)
    return [names[each] for each in state.tolist()], net


def signal_decisions(market: MarketDay, signals: pl.DataFrame) -> Decisions:
    """Return recorded signals as decisions on the columns of their day.

    Args:
        market: The day's columns.
        signals: Columns ts_ns, side, origin, limit_px and raw_edge_bps, in the order of the table.
    """
    ts_ns = signals["ts_ns"].to_numpy()
    return Decisions(
        ts_ns=ts_ns,
        threshold=np.zeros(ts_ns.size, dtype=np.int64),
        side=np.where((signals["side"].cast(pl.String) == "buy").to_numpy(), BUY, SELL),
        is_oracle_led=(signals["origin"].cast(pl.String) == "oracle_led").to_numpy(),
        row=np.searchsorted(market.bbo_ts_ns, ts_ns, side="right") - 1,
        step=np.searchsorted(market.ctx_ts_ns, ts_ns, side="right") - 1,
        limit_px=signals["limit_px"].to_physical().cast(pl.Int64).to_numpy(),
        edge_bps=signals["raw_edge_bps"].cast(pl.Float64).to_numpy(),
    )


def gate_prices(
    outcomes: pl.DataFrame, venue: str, days: Sequence[str], rule: GateRule, limits: Mapping[str, Limits]
) -> pl.DataFrame:
    """Return what every filter cost or saved over a window, by market and over all, see `PRICE_SCHEMA`.

    Args:
        outcomes: Rows of `OUTCOME_SCHEMA` of those days.
        venue: Of the rows.
        days: Days of the window with figures, ascending; days without a signal belong to it.
        rule: How a filter is priced.
        limits: config_hash → limits, of those that are known.
    """
    rows: list[dict[str, Any]] = []
    tagged = outcomes.with_columns(filters=_filters())
    names = sorted(set(tagged["filters"].explode().drop_nulls()) | _reducing(tagged))
    numbers = in_force(outcomes, {name.rpartition(":")[2] for name in names}, limits)
    for coin in (*sorted(set(outcomes["coin"])), ALL_MARKETS):
        mine = tagged if coin == ALL_MARKETS else tagged.filter(pl.col("coin") == coin)
        passed = mine.filter(pl.col("filters").list.len() == 0)
        for name in sorted(set(mine["filters"].explode().drop_nulls()) | _reducing(mine)):
            head = {"venue": venue, "day": days[-1], "day_count": len(days), "coin": coin}
            rows.append(head | _priced(mine, passed, name, days, rule) | _limit(numbers[name.rpartition(":")[2]]))
    return pl.DataFrame(rows, schema=PRICE_SCHEMA, orient="row")


def _limit(found: FilterLimit) -> dict[str, str | None]:
    return {"limit_name": found.name, "limit_value": found.value, "limit_values": found.values}


def _filters() -> pl.Expr:
    """Return the names of everything that stood against a signal; a refusal is `refusal:<reason>`."""
    blocked = pl.col("blocked_by").str.split(",").list.eval(pl.element().str.strip_chars())
    refused = pl.when(pl.col("refused_by") != "").then(pl.concat_str(pl.lit("refusal:"), "refused_by"))
    return (
        pl.concat_list(blocked, refused.otherwise(pl.lit("")))
        .list.eval(pl.element().filter(pl.element() != ""))
        .list.unique(maintain_order=True)
    )


def _reducing(frame: pl.DataFrame) -> set[str]:
    return {name for text in set(frame["reduced_by"]) for name in text.split(",") if name}


def _priced(mine: pl.DataFrame, passed: pl.DataFrame, name: str, days: Sequence[str], rule: GateRule) -> dict[str, Any]:
    blocked = mine.filter(pl.col("filters").list.contains(name))
    only = blocked.filter(pl.col("filters").list.len() == 1)
    kind, _, reason = name.rpartition(":")
    price = _by_day(only, days)
    is_enough = price.fills >= rule.fills_min and price.clusters >= rule.days_min
    usd = _usd_a_day(only, days)
    row: dict[str, Any] = {
        "kind": kind or ("gate" if name in GATES else "control"),
        "name": reason,
        "blocked_count": blocked.height,
        "only_count": only.height,
        "reduced_count": mine.filter(pl.col("reduced_by").str.split(",").list.contains(name)).height,
        "only_fill_count": int(price.fills),
        "only_missed_count": only.filter(pl.col("state") == "missed").height,
        "only_void_count": only.filter(pl.col("state") == "void").height,
        "only_fill_days": int(price.clusters),
        "passed_count": passed.height,
        "passed_fill_count": passed["net_bps"].drop_nulls().len(),
        **_bounded("blocked_bps", _by_day(blocked, days), rule),
        **_bounded("price_bps", price, rule),
        **_bounded("price_usd", usd, rule, is_enough=bool(is_enough)),
        **_bounded("passed_bps", _by_day(passed, days), rule),
    }
    return row | _verdict(row, rule)


def _by_day(frame: pl.DataFrame, days: Sequence[str]) -> Estimate:
    filled = frame.filter(pl.col("net_bps").is_not_null())
    sums = filled.group_by("day").agg(net=pl.col("net_bps").sum(), fills=pl.len())
    known = {day: (net, fills) for day, net, fills in sums.iter_rows()}
    pairs = [known.get(day, (0.0, 0)) for day in days]
    return estimate(np.array([net for net, _ in pairs]), np.array([fills for _, fills in pairs], dtype=np.int64))


def _usd_a_day(frame: pl.DataFrame, days: Sequence[str]) -> Estimate:
    """Return the mean of daily sums: with one "fill" a day the cluster estimator is that of a mean."""
    usd = frame.group_by("day").agg(usd=(pl.col("net_bps") * pl.col("ntl_usd")).sum() / 1e4)
    known: dict[str, float] = dict(usd.iter_rows())
    return estimate(np.array([known.get(day, 0.0) for day in days]), np.ones(len(days), dtype=np.int64))


def _bounded(name: str, found: Estimate, rule: GateRule, *, is_enough: bool | None = None) -> dict[str, float | None]:
    if is_enough is None:
        is_enough = bool(found.fills >= rule.fills_min and found.clusters >= rule.days_min)
    low, high = found.interval_bps()
    values = (found.theta_bps, low if is_enough else np.nan, high if is_enough else np.nan)
    names = (name, f"{name}_low", f"{name}_high")
    return {each: None if np.isnan(value) else float(value) for each, value in zip(names, values, strict=True)}


def _verdict(row: dict[str, Any], rule: GateRule) -> dict[str, str]:
    low, high = row["price_bps_low"], row["price_bps_high"]
    if low is None or high is None:
        fills, days = row["only_fill_count"], row["only_fill_days"]
        why = (
            f"{fills} fills on {days} days of what it alone blocked; "
            f"a bound needs {rule.fills_min} fills on {rule.days_min} days"
        )
        return {"state": "insufficient", "why": why}
    interval = f"{low:+.2f} to {high:+.2f} bps a fill"
    if low > 0:
        return {"state": "costs", "why": f"what it alone blocked would have earned {interval}"}
    if high < 0:
        return {"state": "saves", "why": f"what it alone blocked would have lost: {interval}"}
    return {"state": "unclear", "why": f"{interval}: 0 lies between"}


def write_gate_outcomes(root: Path, venue: str, day: str, rule: GateRule) -> Written:
    """Compute and write gold/gate_outcomes of one day."""
    coins = markets_of(root, venue, day, ("signals",))
    frames = (outcomes_of(root, venue, day, coin, rule) for coin in coins)
    frame = pl.concat([pl.DataFrame(schema=OUTCOME_SCHEMA), *frames])
    path = gold_path(root, table=GATE_OUTCOMES, venue=venue, day=day)
    return Written(frame, path, write_frame(path, frame))


def write_gate_prices(root: Path, venue: str, day: str, rule: GateRule) -> Written:
    """Price every filter over the window that ends with `day` and write gold/gate_prices."""
    found = dict(_stored(root, venue, window_days(day, rule.window_days)))
    # A day that an older version judged has no `config_hash`: what its limits were is not known.
    outcomes = pl.concat([pl.DataFrame(schema=OUTCOME_SCHEMA), *found.values()], how="diagonal")
    limits = read_limits(root, venue, day, outcomes["config_hash"].drop_nulls().unique())
    frame = gate_prices(outcomes, venue, tuple(found), rule, limits) if found else pl.DataFrame(schema=PRICE_SCHEMA)
    path = gold_path(root, table=GATE_PRICES, venue=venue, day=day)
    return Written(frame, path, write_frame(path, frame))


def _stored(root: Path, venue: str, days: Sequence[str]) -> Iterator[tuple[str, pl.DataFrame]]:
    for day in days:
        path = gold_path(root, table=GATE_OUTCOMES, venue=venue, day=day)
        if path.is_file():
            yield day, pl.read_parquet(path)
