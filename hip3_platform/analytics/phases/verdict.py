"""The verdict of a day: every row and exit judged, as gold/phase_verdict and as the document that an approval cites.

Rule 1: rows and their order are those of the table in the architecture document; `contracts.phase` names what has to be
there, and a test holds both equal.
Rule 2: the document depends on its tables, venue, account and code version only: a re-run writes the same bytes.
"""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl

from hip3_platform.analytics.gold import inputs_digest
from hip3_platform.analytics.phases import go, leak, observe, trading
from hip3_platform.analytics.phases.rule import ExitRule, PhaseRule, Requirement
from hip3_platform.analytics.phases.tables import Tables, read_tables
from hip3_platform.analytics.store import write_bytes, write_frame
from streaming.contracts.paths import gold_path
from streaming.contracts.phase import PHASE_VERDICT, VerdictDoc, VerdictExit, VerdictRow, encode_verdict

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement("paper", "unattended_day", "24 h unattended with at least one self-recovery", observe.unattended_day),
    Requirement(
        "paper", "rate_use_and_degradation", "rate use observed, degradation exercised",
        observe.rate_use_and_degradation,
    ),
    Requirement("paper", "daily_figures", "all daily figures of every market for a week", observe.daily_figures),
    Requirement(
        "paper", "positive_markets", "2 or more markets with a lower bound above 0", observe.positive_markets
    ),
    Requirement(
        "paper", "gate_stop_quality", "share of wrong gate stops known to ± 15 % and stable",
        observe.gate_stop_quality,
    ),
    Requirement(
        "paper", "interval_distributions", "ctx and bbo intervals known for every market",
        observe.interval_distributions,
    ),
    Requirement("paper", "null_rate", "at most 5 % of a market's bbo frames with a null side", observe.null_rate),
    Requirement("paper", "go_spec_questions", "no open specification question", go.go_spec_questions),
    Requirement("paper", "go_preflight", "no session ran that preflight had to refuse", go.go_preflight),
    Requirement("paper", "go_connection", "every lost connection came back by itself", go.go_connection),
    Requirement("paper", "go_spot", "only perps of builder dexes", go.go_spot),
    Requirement("micro", "testnet_trades", "10 successful testnet trades before mainnet", trading.testnet_trades),
    Requirement("micro", "trade_count", "100 or more trades", trading.micro_count),
    Requirement("micro", "edge_after_costs", "lower bound above 0 after fees and slippage", trading.edge_after_costs),
    Requirement("micro", "stop_leak", "no entry left after a stop or a block", leak.stop_leak),
    Requirement("steady", "trade_count", "1,000 or more trades", trading.steady_count),
    Requirement("steady", "tail_losses", "no trade and no day over its loss limit", trading.tail_losses),
    Requirement(
        "steady", "gate_false_positives", "wrong gate stops at most 50 % by their upper bound",
        observe.gate_false_positives,
    ),
)  # fmt: skip
EXITS: tuple[ExitRule, ...] = (
    ExitRule("paper", "no_positive_market", "no proved market in 12 weeks", observe.no_positive_market, "review"),
    ExitRule(
        "micro", "negative_edge", "mean below 0 after 100 trades", trading.negative_edge, "demote", to_phase="paper"
    ),
    ExitRule("steady", "tail_loss", "a trade or day lost over 10 % of the capital", trading.tail_loss, "latch"),
)

SCHEMA: dict[str, Any] = {
    "venue": pl.String,
    "account": pl.String,
    "day": pl.String,
    "phase": pl.String,
    "row": pl.String,
    "kind": pl.String,
    "state": pl.String,
    "figure": pl.String,
    "expected": pl.String,
    "evidence": pl.String,
    "action": pl.String,
    "to_phase": pl.String,
    "key": pl.String,
}
"""Columns of gold/phase_verdict, one row a requirement or exit."""

ABOUT: dict[str, str] = {
    "venue": "venue that is judged",
    "account": "master address the trades are of, or paper",
    "day": "as-of day: last day that counts",
    "phase": "stage that may be left (paper stands for observe and paper), or whose exit it is",
    "row": "name of the row, docs/phases.md",
    "kind": "requirement or exit",
    "state": "PASS, FAIL or NOT YET; an exit acts on FAIL",
    "figure": "what was found",
    "expected": "what has to be; of an exit, when it acts",
    "evidence": "tables and days it comes from, and what is missing",
    "action": "of an exit: review, demote or latch",
    "to_phase": "of demote: the phase it goes back to",
    "key": "of an exit that acts: what made it act; the same key acts once",
}
"""What each column is, for the UI."""


def judge(
    tables: Tables, rule: PhaseRule, *, inputs: dict[str, str] | None = None, code_version: str | None = None
) -> VerdictDoc:
    """Judge every row and exit.

    Args:
        tables: What is known.
        rule: Thresholds.
        inputs: Day → digest of the landing it was judged from.
        code_version: Of this hip3; None reads the installed one.
    """
    rows = []
    for each in REQUIREMENTS:
        found = each.judge(tables, rule)
        rows.append(
            VerdictRow(
                phase=each.phase, row=each.row, state=found.state, figure=found.figure, expected=each.expected,
                evidence=found.evidence,
            )
        )  # fmt: skip
    exits = []
    for exit_rule in EXITS:
        found = exit_rule.judge(tables, rule)
        exits.append(
            VerdictExit(
                phase=exit_rule.phase, row=exit_rule.row, state=found.state, figure=found.figure,
                expected=exit_rule.expected, evidence=found.evidence, action=exit_rule.action,
                to_phase=exit_rule.to_phase, key=found.key,
            )
        )  # fmt: skip
    return VerdictDoc(
        venue=tables.venue,
        account=tables.account,
        day=tables.day,
        code_version=version("hip3") if code_version is None else code_version,
        inputs=inputs or {},
        rows=tuple(rows),
        exits=tuple(exits),
    )


def verdict_frame(doc: VerdictDoc) -> pl.DataFrame:
    """Return a document as one frame with exactly the columns of `SCHEMA`: requirements, then exits."""
    same = {"venue": doc.venue, "account": doc.account, "day": doc.day}
    rows: list[dict[str, Any]] = [
        {**same, "phase": row.phase, "row": row.row, "kind": "requirement", "state": row.state, "figure": row.figure,
         "expected": row.expected, "evidence": row.evidence, "action": "", "to_phase": "", "key": ""}
        for row in doc.rows
    ]  # fmt: skip
    rows += [
        {**same, "phase": each.phase, "row": each.row, "kind": "exit", "state": each.state, "figure": each.figure,
         "expected": each.expected, "evidence": each.evidence, "action": each.action, "to_phase": each.to_phase,
         "key": each.key}
        for each in doc.exits
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def write_phase_verdict(
    root: Path, venue: str, account: str, day: str, rule: PhaseRule | None = None
) -> tuple[VerdictDoc, Path, int]:
    """Judge the phases as of `day` and write gold/phase_verdict (Parquet) and its document (JSON).

    Returns:
        The document, the path of the Parquet file, and its size in bytes; the JSON lies beside it.
    """
    rule = rule or PhaseRule()
    tables = read_tables(root, venue, account, day, rule.review_days)
    inputs = {each: inputs_digest(root, venue, each) for each in tables.days}
    doc = judge(tables, rule, inputs=inputs)
    path = gold_path(root, table=PHASE_VERDICT, venue=venue, day=day)
    write_bytes(path.with_suffix(".json"), encode_verdict(doc))
    return doc, path, write_frame(path, verdict_frame(doc))
