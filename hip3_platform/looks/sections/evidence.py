"""What is proved, what explains a market, and how much of an edge is left when an order arrives."""

from typing import Any

import polars as pl
from matplotlib.figure import Figure

from hip3_platform.analytics.evidence.tables import APPROVALS, BASIS, POLICY_HOURS, STANDINGS, VERDICTS
from hip3_platform.looks import figures
from hip3_platform.looks.files import Files
from hip3_platform.looks.page import Section, Table, drawn
from hip3_platform.looks.summaries import best_markets, decay_of, policy_of, threshold_bounds

BEST_MAX = 6
"""Markets that get figures of their own."""
_APPROVALS = {
    "coin": "market", "state": "by today's window", "in_force": "in force", "verdict": "verdict",
    "policy": "policy for tomorrow", "test_theta_bps": "out of sample, bps", "test_se_bps": "± se",
    "bound_bps": "bound, bps", "p_adjusted": "p adjusted", "test_fills": "fills", "test_fill_days": "days with fills",
    "in_sample_theta_bps": "in sample, bps", "in_sample_se_bps": "± se (in sample)",
    "in_sample_fills": "fills (in sample)",
    "stressed_theta_bps": "at the stressed latency, bps", "guard_theta_bps": "last 4 days, bps",
}  # fmt: skip
_STANDINGS = {
    "coin": "market", "state": "in force", "today": "by today's look", "since": "approved since", "e_value": "e-value",
    "reason": "why",
}  # fmt: skip
_VERDICTS = {
    "coin": "market", "session": "session", "verdict": "verdict", "decision_count": "decisions",
    "led_count": "oracle-led",
    "quote_share": "closed by the quote", "oracle_share": "closed by the oracle", "open_share": "still open at 5 s",
    "quote_age_ms": "age of the quote, ms", "depth_usd": "depth, USD", "reason": "why",
}  # fmt: skip
_DECAY = {
    "coin": "market", "offset_s": "after, s", "episode_count": "decisions", "open_share": "open",
    "quote_share": "by the quote",
    "oracle_share": "by the oracle",
}  # fmt: skip
_THRESHOLDS = {
    "coin": "market", "what": "threshold", "origin": "origin", "horizon": "horizon", "fills": "fills", "low": "low",
    "mean": "mean, bps", "high": "high", "kind": "what it is",
}  # fmt: skip


def intervals(approvals: pl.DataFrame, venue: str) -> Figure:
    """Draw the out-of-sample result a fill of every market with its 95 % interval."""
    rows = approvals.select("coin", "test_ci_lower_bps", "test_theta_bps", "test_ci_upper_bps").sort("coin").rows()
    return figures.bounds(rows, f"Out-of-sample result a fill with 95 % interval ({venue})", "bps after fees")


def approvals(files: Files) -> Section:
    """Out-of-sample figures with their in-sample twins, and what is in force after today's look."""
    note = (
        "Walk-forward: each test day is traded by the policy that the days before it would have chosen; only these "
        "figures decide. In-sample figures are of the same window that chose the policy and stand beside them to show "
        "the difference. A market is proved where its bound is above 0, corrected for all markets watched."
    )
    frame, standings = files.table(APPROVALS), files.table(STANDINGS)
    missing = [files.missing(name) for name, each in ((APPROVALS, frame), (STANDINGS, standings)) if each is None]
    tables, pictures = [], []
    if frame is not None:
        held = dict(standings.select("coin", "state").iter_rows()) if standings is not None else {}
        in_force = pl.col("coin").replace_strict(held, default=None, return_dtype=pl.String)
        shown = frame.with_columns(in_force=in_force).sort("coin")
        counted = f"{frame.height} markets tested together at {_latency_text(frame)}"
        # Re-approval says why in its own words; today's window speaks where there is none.
        names = _APPROVALS if standings is not None else _APPROVALS | {"reason": "why"}
        nothing = {"bound_bps": "out before the test", "policy": "too few fills"}
        tables.append(Table.of(shown, names, counted, {"p_adjusted": 6}, nothing))
        pictures = [intervals(frame, files.venue)]
    if standings is not None:
        tables.append(
            Table.of(
                standings.sort("coin"), _STANDINGS, "What each market may do after today's look", nothing={"since": "-"}
            )
        )
    return Section("Approvals", note, tables, drawn(pictures), missing)


def _latency_text(frame: pl.DataFrame) -> str:
    texts = [f"{latency} ms" for latency in sorted(set(frame["latency_ms"].drop_nulls()))]
    return " and ".join(texts) + " from decision to match" if texts else "no latency"


def decay_figure(files: Files) -> tuple[Figure, pl.DataFrame] | None:
    """Draw what is left of the edge over time in the window, with its frame; None without gold/basis."""
    rows = files.scan(BASIS, files.window)
    if rows is None:
        return None
    decay = decay_of(rows.collect())
    return figures.decay_curves(decay, files.venue), decay


def verdicts(files: Files) -> Section:
    """Why each market looks as if it had an edge, and the curves of what is left of it."""
    note = (
        "A verdict explains and prunes, it never approves. What the quote closes can be earned; what the oracle takes "
        "back can not: there the oracle was wrong, and a shrinking edge is no money. A curve that stays up is a "
        "standing basis or a frozen quote; one that falls below 0 went past the oracle."
    )
    frame, tables, pictures, missing, remarks = files.table(VERDICTS), [], [], [], []
    if frame is None:
        missing.append(files.missing(VERDICTS))
    else:
        tables.append(Table.of(frame.sort("coin", "session"), _VERDICTS, "By market and session of the underlying"))
    found = decay_figure(files)
    if found is None:
        missing.append(files.missing_window(BASIS))
    else:
        pictures.append(found[0])
        if found[1].height:
            seconds = found[1].with_columns(offset_s=pl.col("offset_ms") // 1_000)
            tables.append(
                Table.of(seconds, _DECAY, "Mean shares of the entry edge after oracle-led decisions of T > 5 bps")
            )
        else:
            remarks.append("No oracle-led decision of the window has a known end, so there is no decay to show.")
    return Section("Verdicts and decay", note, tables, drawn(pictures), missing, remarks)


def thresholds(files: Files) -> Section:
    """The best markets' results by threshold, in sample, beside the walk-forward figure."""
    note = (
        f"The {BEST_MAX} best markets, by the origin and horizon of their policy at the assumed latency. Every "
        "threshold was looked at on all days: in sample, and the highest of seven is high by luck as well. What may "
        "be claimed is the walk-forward figure beside them. Intervals are t intervals with days as clusters."
    )
    title, approved = "Bounds by threshold", files.table(APPROVALS)
    if approved is None:
        return Section(title, note, missing=[files.missing(APPROVALS)])
    best = best_markets(approved, BEST_MAX)
    found = threshold_figures(files, best)
    if found is None:
        return Section(title, note, missing=[files.missing_window(POLICY_HOURS)])
    if best.is_empty():
        return Section(title, note, remarks=["No market has a policy: none had fills enough to choose one."])
    pictures, rows = found
    nothing = {"mean": "no fill", "low": "-", "high": "-"}
    table = Table.of(pl.DataFrame(rows, infer_schema_length=None), _THRESHOLDS, "By market", nothing=nothing)
    return Section(title, note, [table], drawn(pictures))


def threshold_figures(files: Files, best: pl.DataFrame) -> tuple[list[Figure], list[dict[str, Any]]] | None:
    """Draw the results by threshold of markets, with the rows they are drawn from; None without gold/policy_hours.

    Args:
        files: Whose window is read.
        best: Rows of gold/approvals with a policy.
    """
    hours = files.window_of(POLICY_HOURS, best["coin"])
    if hours is None:
        return None
    pictures: list[Figure] = []
    rows: list[dict[str, Any]] = []
    for row in best.iter_rows(named=True):
        figure, told = _market_thresholds(row, hours.filter(pl.col("coin") == row["coin"]), files)
        pictures.append(figure)
        rows += told
    return pictures, rows


def _market_thresholds(row: dict[str, Any], hours: pl.DataFrame, files: Files) -> tuple[Figure, list[dict[str, Any]]]:
    policy, latency_ms = policy_of(row), int(row["latency_ms"])
    found = threshold_bounds(hours, row["coin"], files.window, policy, latency_ms)
    stream = (row["test_fills"], row["test_ci_lower_bps"], row["test_theta_bps"], row["test_ci_upper_bps"])
    title = f"{row['coin']}: {policy.origin}, {policy.horizon_s} s, {latency_ms} ms ({files.venue})"
    figure = figures.threshold_bounds(found, policy.threshold_bps, stream, title)
    names = ("fills", "low", "mean", "high")
    same = {"coin": row["coin"], "origin": policy.origin, "horizon": f"{policy.horizon_s} s", "kind": "in sample"}
    chosen = {policy.threshold_bps: ", chosen"}
    rows = [
        {**same, "what": f"> {threshold} bps{chosen.get(threshold, '')}", **dict(zip(names, each, strict=True))}
        for threshold, each in found.items()
    ]
    walked = {"coin": row["coin"], "what": "chosen anew each day", "origin": "its own", "horizon": "its own"}
    rows.append({**walked, "kind": "walk-forward", **dict(zip(names, stream, strict=True))})
    return figure, rows
