"""What an order would have made of an edge: by latency and horizon, by hour, and beside what was promised."""

from typing import Any

import polars as pl
from matplotlib.figure import Figure

from hip3_platform.analytics.evidence.columns import MissingSpecError
from hip3_platform.analytics.evidence.family import Policy
from hip3_platform.analytics.evidence.reading import read_market_day
from hip3_platform.analytics.evidence.sessions import tradable_rows
from hip3_platform.analytics.evidence.shrinkage import shrinkage_sums, shrinkage_verdict
from hip3_platform.analytics.evidence.tables import APPROVALS, POLICY_FILLS, POLICY_HOURS
from hip3_platform.analytics.gold import MARKOUTS
from hip3_platform.looks import figures
from hip3_platform.looks.files import JUDGE, Files
from hip3_platform.looks.page import Section, Table, drawn
from hip3_platform.looks.sections.evidence import BEST_MAX
from hip3_platform.looks.summaries import (
    USUAL,
    USUAL_LATENCY_MS,
    best_markets,
    policy_of,
    promised_and_had,
    taken_like,
    usual_policy,
)

_SHRINKAGE = {
    "coin": "market", "claim": "predecessor says", "claimed_bps": "claims, bps", "threshold_bps": "raw edge from, bps",
    "signals": "its signals", "taken_bps": "the same crosses taken, bps", "test_bps": "out of sample, bps",
    "state": "approval",
}  # fmt: skip
_TOO_FEW = dict.fromkeys(("claimed_bps", "threshold_bps"), "too few signals") | {"taken_bps": "-"}
_EDGES = {
    "coin": "market", "fills": "fills", "promised": "edge at the decision, bps", "net": "net after fees, bps",
    "kept": "kept, %", "worst": "worst 5 %, bps", "best": "best 5 %, bps",
}  # fmt: skip


def heat(files: Files) -> Section:
    """Mean result by latency and horizon of the best markets, by threshold and origin of their policy."""
    title = "Markouts by latency and horizon"
    note = (
        f"Mean result a fill after fees and depth over the window, of the {BEST_MAX} best markets: rows are the time "
        "from the decision to the match, columns the time from the match to the exit. Below each mean stand fills of "
        "decisions: latency costs fills where it does not cost basis points. In sample: it shows the shape, not what "
        "to expect."
    )
    approved = files.table(APPROVALS)
    if approved is None:
        return Section(title, note, missing=[files.missing(APPROVALS)])
    best = best_markets(approved, BEST_MAX)
    pictures = heat_figures(files, best)
    if pictures is None:
        return Section(title, note, missing=[files.missing_window(POLICY_HOURS)])
    if best.is_empty():
        return Section(title, note, remarks=["No market has a policy: none had fills enough to choose one."])
    return Section(title, note, figures=drawn(pictures))


def heat_figures(files: Files, best: pl.DataFrame) -> list[Figure] | None:
    """Draw the window's heat of markets by their policy; None without gold/policy_hours.

    Args:
        files: Whose window is read.
        best: Rows of gold/approvals with a policy.
    """
    hours = files.window_of(POLICY_HOURS, best["coin"])
    if hours is None:
        return None
    chosen = [(row["coin"], policy_of(row)) for row in best.iter_rows(named=True)]
    return [figures.markout_heat(hours, files.venue, coin, each.threshold_bps, each.origin) for coin, each in chosen]


def hours_figure(files: Files, policy: Policy = USUAL, latency_ms: int = USUAL_LATENCY_MS) -> Figure | None:
    """Draw the mean result by hour of the week over the window; None without gold/policy_hours."""
    hours = files.scan(POLICY_HOURS, files.window)
    if hours is None:
        return None
    chosen = hours.filter(
        (pl.col("threshold_bps") == policy.threshold_bps) & (pl.col("horizon_s") == policy.horizon_s)
        & (pl.col("latency_ms") == latency_ms) & (pl.col("origin") == "oracle_led")
    )  # fmt: skip
    return figures.hour_of_week(
        chosen.collect(), files.venue,
        latency_ms=latency_ms, horizon_s=policy.horizon_s, threshold_bps=policy.threshold_bps,
    )  # fmt: skip


def hour_of_week(files: Files) -> Section:
    """When results were earned."""
    note = (
        "Mean result a fill by hour of the week, UTC, oracle-led decisions of all markets together, by the threshold "
        "and horizon that most of the best markets have. White: no fill. A window of two weeks has two days of each "
        "weekday: read blocks of colour, not single cells."
    )
    approved = files.table(APPROVALS)
    missing = [] if approved is not None else [files.missing(APPROVALS) + " A usual policy stands in."]
    best = best_markets(approved, BEST_MAX) if approved is not None else pl.DataFrame()
    latency_ms = int(best["latency_ms"][0]) if best.height else USUAL_LATENCY_MS
    figure = hours_figure(files, usual_policy(best), latency_ms)
    if figure is None:
        return Section("Hours of the week", note, missing=[*missing, files.missing_window(POLICY_HOURS)])
    return Section("Hours of the week", note, figures=drawn([figure]), missing=missing)


def edges(files: Files) -> Section:
    """What was promised, what could be had, and what the predecessor would have claimed."""
    note = (
        "Signals of the day: what the sidecar saw, and what leaving 5 s later would have earned. Modelled fills of "
        "the window by the best markets' policies: edge at the decision against the result after latency, fees and "
        "depth. In the table what the predecessor's shrinkage claims of the day's ticks, all in sample, beside what "
        "the same crosses earn when they are taken (any origin, 5 s) and beside the out-of-sample figure. It decides "
        "nothing."
    )
    pictures, tables, missing, remarks = [], [], [], []
    signals = files.table(MARKOUTS)
    if signals is None:
        missing.append(files.missing(MARKOUTS))
    elif signals.is_empty():
        remarks.append(
            "No signal was recorded on this day: no sidecar decided. What follows is modelled from the book."
        )
    else:
        pictures.append(figures.edge_distribution(signals, files.venue))
    approved, fills = files.table(APPROVALS), files.scan(POLICY_FILLS, files.window)
    if approved is None:
        missing.append(files.missing(APPROVALS))
    elif fills is None:
        missing.append(files.missing_window(POLICY_FILLS))
    else:
        best = best_markets(approved, BEST_MAX)
        had = promised_and_had(tradable_rows(fills, best["coin"], files.window), best)
        pictures.append(figures.edge_distribution(had, files.venue, of="modelled fills", had="net"))
        if had.height:
            tables.append(Table.of(_edge_rows(had), _EDGES, "Modelled fills by the policy for tomorrow, in sample"))
    claims = _claims(files, approved)
    if claims is None:
        missing.append(
            f"bronze/bbo and bronze/ctx of {files.day} are missing, so the predecessor's claim is not known: {JUDGE}."
        )
    else:
        tables.append(Table.of(claims, _SHRINKAGE, f"The predecessor's claim of {files.day}", nothing=_TOO_FEW))
    return Section("Edges, promised and had", note, tables, drawn(pictures), missing, remarks)


def _edge_rows(had: pl.DataFrame) -> pl.DataFrame:
    promised, net = pl.col("raw_edge_bps").mean(), pl.col("net_bps").mean()
    rows = had.group_by("coin", maintain_order=True).agg(
        fills=pl.len(), promised=promised, net=net, kept=net / promised * 100,
        worst=pl.col("net_bps").quantile(0.05), best=pl.col("net_bps").quantile(0.95),
    )  # fmt: skip
    return rows.sort("coin")


def _claims(files: Files, approved: pl.DataFrame | None) -> pl.DataFrame | None:
    coins = files.markets("bbo", "ctx")
    if not coins:
        return None
    hours = files.scan(POLICY_HOURS, (files.day,))
    taken = hours.collect() if hours is not None else None
    said = {row["coin"]: row for row in approved.iter_rows(named=True)} if approved is not None else {}
    return pl.DataFrame([_claim(files, coin, taken, said.get(coin, {})) for coin in coins], infer_schema_length=None)


def _claim(files: Files, coin: str, hours: pl.DataFrame | None, approved: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "coin": coin, "claim": None, "claimed_bps": None, "threshold_bps": None, "signals": None, "taken_bps": None,
        "test_bps": approved.get("test_theta_bps"), "state": approved.get("state"),
    }  # fmt: skip
    try:
        found = shrinkage_verdict([shrinkage_sums(read_market_day(files.root, files.venue, files.day, coin))])
    except MissingSpecError:
        return row  # a market without its specification is not known, here as elsewhere
    row["claim"] = "tradeable" if found.is_tradeable else "not tradeable"
    row["claimed_bps"], row["threshold_bps"] = found.claimed_bps, found.raw_threshold_bps
    row["signals"] = found.signals
    if hours is not None and found.raw_threshold_bps is not None:
        latency_ms = int(approved.get("latency_ms", USUAL_LATENCY_MS))
        row["taken_bps"] = taken_like(hours, coin, found.raw_threshold_bps, latency_ms)
    return row
