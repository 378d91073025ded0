"""What the page is about: markets, days, rows, account, phase, and how the markets did that day."""

import polars as pl

from hip3_platform.analytics.evidence.tables import APPROVALS, POLICY_HOURS, WINDOW_DAYS
from hip3_platform.analytics.gold import DAILY_METRICS
from hip3_platform.analytics.gold_rotation import phase_in_force
from hip3_platform.looks.files import Files
from hip3_platform.looks.page import Section, Table
from streaming.contracts.rotation import RotationDoc

_METRICS = {
    "coin": "market", "bbo_count": "bbo rows", "ctx_count": "ctx rows", "bbo_null_rate": "null sides",
    "cross_episode_count": "crosses", "oracle_led_count": "oracle-led", "signal_count": "signals",
    "blocked_count": "blocked", "edge_bps_p50": "edge P50, bps", "cross_duration_ms_p50": "cross P50, ms",
    "bbo_recv_interval_ms_p50": "bbo every, ms", "ctx_age_ms_clock_p95": "age of ctx P95, ms",
    "reconnect_count": "reconnects",
}  # fmt: skip
_NOTHING = {"edge_bps_p50": "no cross", "cross_duration_ms_p50": "no cross"}


def overview(files: Files) -> Section:
    """Facts of the day, and the day's figures by market."""
    metrics, approved, doc = files.table(DAILY_METRICS), files.table(APPROVALS), files.rotation()
    missing, remarks = [] if metrics is not None else [files.missing(DAILY_METRICS)], []
    judged = files.days_with(POLICY_HOURS)
    gone = [day for day in files.window if day not in judged]
    if gone:
        missing.append(
            f"{len(gone)} of {WINDOW_DAYS} days of the window have no gold/{POLICY_HOURS} and count as days on which "
            f"nothing was decided: {', '.join(gone)}."
        )
    facts: dict[str, object] = {
        "venue": files.venue,
        "window": f"{files.window[0]} to {files.day}, {len(judged)} of {WINDOW_DAYS} days judged",
        "markets of the day": None if metrics is None else metrics.height,
        "bbo rows of the day": None if metrics is None else int(metrics["bbo_count"].sum()),
        "ctx rows of the day": None if metrics is None else int(metrics["ctx_count"].sum()),
        "markets tested": None if approved is None else approved.height,
        "approved by today's window": None if approved is None else _approved(approved),
        "phase in force": phase_in_force(files.root, files.venue, files.day),
        "account": None if doc is None else doc.account,
        "rotation": None if doc is None else f"version {doc.version}: {_members(doc)}",
    }  # fmt: skip
    tables = [Table.of_facts(facts)]
    if metrics is not None and metrics.height:
        caption = "The day by market, as the sidecar saw it"
        tables.append(Table.of(metrics.sort("coin"), _METRICS, caption, {"bbo_null_rate": 4}, _NOTHING))
    elif metrics is not None:
        remarks.append("No market has a row on this day.")
    return Section(
        "Overview",
        "Everything is computed from the files named at the end of the page; nothing here decides. Days are UTC. "
        '"Not known" is a figure that can not be computed, never 0.',
        tables,
        missing=missing,
        remarks=remarks,
    )


def _members(doc: RotationDoc) -> str:
    return ", ".join(market.coin for market in doc.markets) or "no market"


def _approved(approved: pl.DataFrame) -> str:
    names = approved.filter(~pl.col("state").is_in(["insufficient", "rejected"])).sort("coin")
    return ", ".join(f"{coin} ({state})" for coin, state in names.select("coin", "state").iter_rows()) or "none"
