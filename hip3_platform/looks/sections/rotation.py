"""Which markets may trade, what ranked them, and what keeps others out."""

from pathlib import Path

import polars as pl
from matplotlib.figure import Figure

from hip3_platform.analytics.gold import INCIDENTS, MARKET_RANKING, ROTATION, window_days
from hip3_platform.analytics.gold_rotation import rotation_rows
from hip3_platform.looks import figures
from hip3_platform.looks.files import Files
from hip3_platform.looks.page import Section, Table, drawn
from streaming.contracts.rotation import RotationDoc

TIMELINE_DAYS = 28
_ROTATION = {
    "market": "market", "decision": "decision", "ntl_max": "up to, USD", "score_usd": "score, USD a day",
    "against": "against", "against_usd": "its score", "why": "why",
}  # fmt: skip
_RANKING = {
    "rank": "rank", "coin": "market", "score_usd": "score, USD a day", "mean_usd": "mean", "se_usd": "standard error",
    "day_count": "days", "fill_count": "fills", "why": "why it has no score",
}  # fmt: skip


def timeline(root: Path, venue: str, day: str, days: int) -> Figure:
    """Draw which markets the documents of the last `days` days let trade."""
    return _timeline(Files(root, venue, day), days)


def _timeline(files: Files, days: int) -> Figure:
    known = []
    for day in window_days(files.day, days):
        doc = files.rotation(day)
        if doc is not None:
            black = [market.coin for market in doc.excluded if market.is_blacklisted]
            known.append((day, [market.coin for market in doc.markets], black))
    return figures.rotation_timeline(known, files.venue)


def rotation(files: Files) -> Section:
    """Every market of the document: decision, figures, against whom, why; and the documents before it."""
    doc = files.rotation()
    tables, missing, remarks = [], [], []
    if doc is None:
        missing.append(files.missing(ROTATION))
    else:
        against = {told.coin: told.against_score_usd for told in doc.explanations}
        rows = [{**row, "against_usd": against[row["market"]]} for row in rotation_rows(doc)]
        frame = pl.DataFrame(rows, infer_schema_length=None)
        if rows:
            tables.append(
                Table.of(
                    frame, _ROTATION, f"Version {doc.version}, account {doc.account}", nothing={"against_usd": "-"}
                )
            )
        else:
            remarks.append("The document explains no market: none was watched in the window.")
        tables += _proposals(doc)
        if doc.note:
            remarks.append(f"An operator changed this document: {doc.note}")
    return Section(
        "Rotation",
        "Which markets may trade for real, how much, and why every other one may not. The score is a lower bound of "
        "dollars a day; a member is compared with the next in line, a challenger with the one it has to beat.",
        tables,
        drawn([_timeline(files, TIMELINE_DAYS)]),
        missing,
        remarks,
    )


def _proposals(doc: RotationDoc) -> list[Table]:
    rows = [
        {"market": each.market.coin, "usd": each.market.ntl_max, "replaces": each.replaces or "nobody",
         "why": each.market.reason}
        for each in doc.proposed
    ]  # fmt: skip
    names = {"market": "market", "usd": "up to, USD", "replaces": "replaces", "why": "why"}
    return [Table.of(pl.DataFrame(rows), names, "Waits for an operator's approval")] if rows else []


def ranking(files: Files) -> Section:
    """Dollars a day by market, with what they rest on."""
    frame = files.table(MARKET_RANKING)
    note = (
        "Dollars a day by the policy approved, at the assumed latency and with the size both touches showed: mean - 1 "
        "standard error ranks. It says what a market would be worth, not whether it is proved: that is under Approvals."
    )
    if frame is None:
        return Section("Ranking", note, missing=[files.missing(MARKET_RANKING)])
    # A reason repeats the figures of the row where there are some.
    why = pl.when(pl.col("rank").is_null()).then("reason").otherwise(pl.lit(""))
    shown = frame.with_columns(why=why).sort("rank", "coin", nulls_last=True)
    table = Table.of(shown, _RANKING, "Every market watched", nothing={"rank": "none"})
    return Section("Ranking", note, [table], drawn([ranking_figure(frame, files.venue)]))


def ranking_figure(ranking: pl.DataFrame, venue: str) -> Figure:
    """Draw the dollars a day of the markets of gold/market_ranking that have a rank."""
    ranked = ranking.filter(pl.col("rank").is_not_null()).sort("rank")
    rows = [
        (coin, score, mean, 2 * mean - score)
        for coin, score, mean in ranked.select("coin", "score_usd", "mean_usd").iter_rows()
    ]
    return figures.bounds(rows, f"Dollars a day, mean ± 1 standard error ({venue})", "USD a day")


def incidents(files: Files) -> Section:
    """What happened to markets, and until when it keeps them out."""
    note = (
        "Halts, stalled oracles, changed parameters and tail losses keep a market out for days, whatever it earns. "
        "Incidents are those of the window; the list is that of the day's rotation."
    )
    tables, missing, remarks = [], [], []
    doc = files.rotation()
    if doc is None:
        missing.append(files.missing(ROTATION))
    else:
        black = [
            {"market": each.coin, "until": each.blacklisted_until or "for good", "why": each.reason}
            for each in doc.excluded
            if each.is_blacklisted
        ]
        if black:
            names = {"market": "market", "until": "until", "why": "why"}
            tables.append(Table.of(pl.DataFrame(black), names, "Blacklisted"))
        else:
            remarks.append("No market is blacklisted.")
    found = files.scan(INCIDENTS, files.window)
    if found is None:
        missing.append(files.missing_window(INCIDENTS))
    else:
        rows = found.collect().sort("day", "coin", "kind", descending=[True, False, False])
        if rows.height:
            names = {"day": "day", "coin": "market", "kind": "what", "detail": "figures"}
            tables.append(Table.of(rows, names, "Incidents of the window"))
        else:
            remarks.append(f"No incident on the {len(files.days_with(INCIDENTS))} days that were looked at.")
    return Section("Incidents", note, tables, missing=missing, remarks=remarks)
