"""A day under many settings: signals, what the gates leave of them, and what those would have earned.

Rule 1: sessions of the day are read with the day before, so that mean spread and k are warm. A session that began even
earlier is no longer exact in gate 3, and is counted (`cold_count`).
Rule 2: what a setting lets through is marked out as every decision is (`counterfactual.GateRule`): an IOC at the touch,
met after a latency, left after a horizon, fees and depth paid. Positions do not exclude each other here: `hip3 replay
--set` decides that.
"""

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl

from hip3_platform.analytics.bronze import NO_MARKET
from hip3_platform.analytics.counterfactual import GateRule
from hip3_platform.analytics.evidence.columns import MissingSpecError
from hip3_platform.analytics.evidence.episodes import BUY, SELL, Decisions
from hip3_platform.analytics.evidence.estimate import estimate
from hip3_platform.analytics.evidence.markouts import State, markouts_of
from hip3_platform.analytics.evidence.reading import read_market_day
from hip3_platform.analytics.frames import markets_of, read_market
from hip3_platform.analytics.sweep import sweep
from hip3_platform.analytics.sweep_tape import SOURCE_TABLES, tape_of
from streaming.contracts.paths import day_begin_ns
from streaming.contracts.tables import TABLES
from streaming.core.limits import Limits
from streaming.core.units import NS_PER_DAY

SCHEMA: dict[str, Any] = {
    "setting": pl.Int64,
    "coin": pl.String,
    "signal_count": pl.Int64,
    "passed_count": pl.Int64,
    "uncertain_count": pl.Int64,
    "cold_count": pl.Int64,
    "fill_count": pl.Int64,
    "missed_count": pl.Int64,
    "void_count": pl.Int64,
    "net_bps": pl.Float64,
    "net_usd": pl.Float64,
}
"""Columns of a day's sweep, one row a setting and market; results are those of what the setting lets through."""


def recorded_limits(root: Path, venue: str, day: str) -> dict[str, Limits]:
    """Return session → the limits it ran with, of sessions that wrote their configuration on `day` or the day before.

    A configuration without limits (a session of another kind) is left out.
    """
    found: dict[str, Limits] = {}
    for each in (_day_before(day), day):
        rows = read_market(root, "configs", venue, each, NO_MARKET, ("session_id", "config_json"))
        for session_id, text in rows.iter_rows():
            limits = msgspec.json.decode(text).get("limits")
            if limits is not None:
                found[session_id] = msgspec.convert(limits, Limits, strict=False)
    return found


def sweep_day(
    root: Path,
    venue: str,
    day: str,
    change: Callable[[Limits], Sequence[Limits]],
    *,
    rule: GateRule,
    tell: Callable[[str], None],
) -> pl.DataFrame:
    """Return the results of every setting for every market of a day, see `SCHEMA`.

    Args:
        root: Warehouse with bronze of the day.
        venue: Of the rows.
        day: UTC day.
        change: Limits of a session → the settings to try, always as many.
        rule: How results are worked out.
        tell: Takes how far it is.

    Raises:
        NotSweptError: A setting changes a limit that columns can not answer.
    """
    limits = recorded_limits(root, venue, day)
    coins = markets_of(root, venue, day, ("bbo",))
    frames = [pl.DataFrame(schema=SCHEMA)]
    for number, coin in enumerate(coins, 1):
        tell(f"{number} of {len(coins)} markets, {coin}")
        swept = [
            sweep(tape_of(tables, coin, session_id), limits[session_id], change(limits[session_id])).with_columns(
                is_cold=pl.lit(not _has_beginning(tables, session_id))
            )
            for tables, session_id in _sessions(root, venue, day, coin)
            if session_id in limits
        ]
        if swept:
            frames.append(_summed(root, venue, day, coin, pl.concat(swept), rule))
    return pl.concat(frames).sort("setting", "coin")


def _day_before(day: str) -> str:
    return (date.fromisoformat(day) - timedelta(days=1)).isoformat()


def _sessions(root: Path, venue: str, day: str, coin: str) -> list[tuple[dict[str, pl.DataFrame], str]]:
    tables = {name: _rows(root, name, venue, day, coin) for name in SOURCE_TABLES}
    begin_ns = day_begin_ns(day)
    today = tables["bbo"].filter(pl.col("recv_ts_ns") >= begin_ns)
    return [(tables, str(session_id)) for session_id in today["session_id"].unique(maintain_order=True)]


def _rows(root: Path, table: str, venue: str, day: str, coin: str) -> pl.DataFrame:
    names = TABLES[table].names
    places = (coin, NO_MARKET) if table in {"events", "configs"} else (coin,)
    frames = [read_market(root, table, venue, each, at, names) for each in (_day_before(day), day) for at in places]
    texts = [name for name, kind in frames[0].schema.items() if kind in {pl.String, pl.Categorical}]
    return pl.concat([frame.with_columns(pl.col(texts).cast(pl.String)) for frame in frames])


def _has_beginning(tables: dict[str, pl.DataFrame], session_id: str) -> bool:
    return bool((tables["configs"]["session_id"] == session_id).any())


def _summed(root: Path, venue: str, day: str, coin: str, swept: pl.DataFrame, rule: GateRule) -> pl.DataFrame:
    begin_ns = day_begin_ns(day)
    inside = swept.filter(pl.col("ts_ns").is_between(begin_ns, begin_ns + NS_PER_DAY, closed="left"))
    state, net = _results(root, venue, day, coin, inside, rule)
    judged = inside.with_columns(state=pl.Series(state, dtype=pl.Int64), net=pl.Series(net, dtype=pl.Float64))
    rows = []
    for number in sorted(set(swept["setting"])):
        mine = judged.filter(pl.col("setting") == number)
        passed = mine.filter(pl.col("blocked_by") == "")
        filled = passed.filter(pl.col("state") == State.FILLED)
        mean = estimate(np.array([filled["net"].sum()]), np.array([filled.height])).theta_bps
        net_usd = float(filled["net"].cast(pl.Float64).to_numpy().sum()) * rule.order_usd / 1e4
        rows.append({
            "setting": number, "coin": coin, "signal_count": mine.height, "passed_count": passed.height,
            "uncertain_count": int(mine["is_uncertain"].sum()), "cold_count": int(mine["is_cold"].sum()),
            "fill_count": filled.height, "missed_count": int((passed["state"] == State.MISSED).sum()),
            "void_count": int((passed["state"] == State.VOID).sum()),
            "net_bps": None if np.isnan(mean) else float(mean), "net_usd": net_usd,
        })  # fmt: skip
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def _results(
    root: Path, venue: str, day: str, coin: str, signals: pl.DataFrame, rule: GateRule
) -> tuple[np.ndarray, np.ndarray]:
    unknown = np.full(signals.height, int(State.VOID)), np.zeros(signals.height)
    try:
        market = read_market_day(root, venue, day, coin)
    except MissingSpecError:
        return unknown
    if not signals.height or not market.bbo_ts_ns.size or not market.ctx_ts_ns.size:
        return unknown
    ts_ns = signals["ts_ns"].to_numpy()
    decisions = Decisions(
        ts_ns=ts_ns,
        threshold=signals["setting"].to_numpy(),
        side=np.where((signals["side"] == "buy").to_numpy(), BUY, SELL),
        is_oracle_led=(signals["origin"] == "oracle_led").to_numpy(),
        row=np.searchsorted(market.bbo_ts_ns, ts_ns, side="right") - 1,
        step=np.searchsorted(market.ctx_ts_ns, ts_ns, side="right") - 1,
        limit_px=np.rint(signals["limit_px"].to_numpy() * 1e8).astype(np.int64),
        edge_bps=signals["raw_edge_bps"].to_numpy(),
    )
    found = markouts_of(
        market, decisions, order_usd=rule.order_usd, latencies_ms=(rule.latency_ms,), horizons_s=(rule.horizon_s,)
    )
    return found.state[:, 0].astype(np.int64), found.net_bps[:, 0, 0]
