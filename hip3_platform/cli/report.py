"""The one JSON object of `hip3 up --json`: what was judged, what was traded, and how the books compare."""

from importlib.metadata import version
from typing import Any

import msgspec

from hip3_platform.cli.audit import Audit, usd_text
from hip3_platform.cli.findings import Findings
from hip3_platform.cli.truth import Judged

PACKAGES = ("hip3", "dagster", "polars", "pyarrow", "duckdb")


def report_json(findings: Findings, judged: tuple[Judged, ...], found: Audit | None, seconds: dict[str, float]) -> str:
    """Return the report of a start that got this far: the rotation was accepted, the audit found no disagreement.

    Args:
        findings: Days, ranking and the rotation that the sidecar accepted.
        judged: What the evidence said of every market of the history, and what is true.
        found: The audit; None when nothing was traded (`--trades 0`).
        seconds: Stage → how long it took.
    """
    report = {
        "versions": {name: version(name) for name in PACKAGES},
        "venue": "sim",
        "days": findings.days,
        "events": findings.event_count,
        "markets_ranked": findings.ranked_count,
        "rotation_accepted": True,
        "rotation": {"version": findings.doc.version, "markets": [market.coin for market in findings.doc.markets]},
        "approved": {each.coin: each.true_bps for each in judged if each.is_approved},
        "approved_wrongly": [each.coin for each in judged if each.is_wrong],
        "truly_good": [each.coin for each in judged if (each.best_true_bps or 0.0) > 0],
        **({} if found is None else _trading(found)),
        "seconds": seconds,
    }
    return msgspec.json.encode(report).decode()


def _trading(found: Audit) -> dict[str, Any]:
    figures = found.figures
    return {
        "trades": found.trades,
        "venue_trades": found.venue_trades,
        "fills_equal": found.fills_equal,
        "ledger_usd": usd_text(found.ledger_usd),
        "venue_usd": usd_text(found.venue_usd),
        "ledger_difference_usd": usd_text(found.ledger_difference_usd),
        "reconciliations": found.reconciliations,
        "reconciliation_difference_usd": usd_text(found.reconciliation_difference_usd),
        "orders_open": found.orders_open,
        "positions_left": found.positions_left,
        "replay_differences": 0,
        "round_trips": figures["round_trip_count"],
        "round_trips_won": figures["win_count"],
        "orders": figures["order_count"],
        "fill_ratio": figures["entry_fill_ratio"],
        "turnover_usd": usd_text(figures["turnover_usd"]),
        "realised_usd": usd_text(figures["realised_usd"]),
        "fees_usd": usd_text(figures["fees_usd"]),
        "funding_usd": usd_text(figures["funding_usd"]),
        "entry_slippage_bps_mean": figures["entry_slippage_bps_mean"],
        "exit_slippage_bps_mean": figures["exit_slippage_bps_mean"],
        "signal_to_order_us_p50": figures["received_to_sent_us_p50"],
        "signal_to_order_us_p99": figures["received_to_sent_us_p99"],
        "order_to_answer_us_p50": figures["sent_to_answer_us_p50"],
        "flat_time_ms_p50": figures["flat_time_ms_p50"],
    }
