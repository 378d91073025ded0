"""What real orders did, what limits cost, and what stands against the next phase."""

import polars as pl
from matplotlib.figure import Figure

from hip3_platform.analytics.counterfactual import ALL_MARKETS
from hip3_platform.analytics.evidence.tables import GATE_PRICES
from hip3_platform.analytics.gold import DAILY_EXECUTION
from hip3_platform.looks import figures
from hip3_platform.looks.files import Files
from hip3_platform.looks.page import Section, Table, drawn
from streaming.contracts.paths import day_begin_ns
from streaming.contracts.phase import PHASE_VERDICT

GATES_DRAWN_MAX = 24
NO_NUMBER = "no number"
"""Stands where the configuration has no number for a filter."""
_PRICES = {
    "coin": "market", "kind": "kind", "name": "filter", "limit_name": "limit", "limit_value": "in force",
    "limit_values": "changed in the window", "state": "it", "blocked_count": "blocked",
    "only_count": "it alone", "only_fill_count": "would have filled", "price_bps": "price, bps",
    "price_bps_low": "low", "price_bps_high": "high",
    "price_usd": "USD a day", "passed_bps": "what it let through, bps", "why": "why",
}  # fmt: skip
_DRAWN = ("price_bps_low", "price_bps", "price_bps_high")
_NO_PRICE = {
    "price_bps": "no fill", "price_bps_low": "too few", "price_bps_high": "too few", "limit_name": NO_NUMBER,
}  # fmt: skip
_EXECUTION = {
    "coin": "market", "order_count": "orders", "entry_fill_ratio": "entries filled", "refused_count": "refused",
    "refusals": "by reason", "fill_count": "fills", "round_trip_count": "round trips", "win_count": "won",
    "entry_slippage_bps_mean": "entry slippage, bps", "exit_slippage_bps_mean": "exit slippage, bps",
    "erosion_bps_mean": "edge lost on the way, bps", "flat_time_ms_p50": "time to flat, ms",
    "sent_to_answer_us_p50": "answer, us", "fees_usd": "fees, USD", "fees_modelled_usd": "modelled fees, USD",
    "funding_usd": "funding, USD", "net_usd": "net, USD", "ledger_difference_usd": "books differ, USD",
}  # fmt: skip
_USD_DIGITS = dict.fromkeys(("fees_usd", "fees_modelled_usd", "funding_usd", "net_usd"), 4) | {
    "ledger_difference_usd": 6
}
_PHASE = {
    "phase": "phase", "row": "row", "kind": "kind", "state": "state", "figure": "found", "expected": "expected",
    "evidence": "from", "action": "action",
}  # fmt: skip


def gates(files: Files) -> Section:
    """The price of every gate and filter, with bounds."""
    note = (
        "What each limit alone blocked, marked out like what it let through: above 0 it cost money, below 0 it saved "
        "some. Bounds are 95 % t intervals with days as clusters; without enough fills nothing is claimed. * is all "
        "markets. The limit is the configured one; a market, a phase or a rotation may have been stricter."
    )
    frame = files.table(GATE_PRICES)
    if frame is None:
        return Section("Limits and their prices", note, missing=[files.missing(GATE_PRICES)])
    if frame.is_empty():
        return Section(
            "Limits and their prices", note, remarks=["No signal of the window was blocked: no limit has a price."]
        )
    no_number = pl.when(pl.col("limit_name").is_null()).then(pl.lit(NO_NUMBER))
    told = by_weight(frame).with_columns(no_number.otherwise("limit_value").alias("limit_value"))
    table = Table.of(told.with_columns(pl.col("limit_values").fill_null("")), _PRICES, nothing=_NO_PRICE)
    return Section("Limits and their prices", note, [table], drawn([prices_figure(frame, files.venue)]))


def by_weight(prices: pl.DataFrame) -> pl.DataFrame:
    """Return rows of gold/gate_prices with all markets first, then those that blocked most."""
    is_all = pl.col("coin") == ALL_MARKETS
    return prices.sort(is_all, "only_count", "coin", "name", descending=[True, True, False, False])


def prices_figure(prices: pl.DataFrame, venue: str) -> Figure:
    """Draw rows of gold/gate_prices with their bounds, those of most weight."""
    known = by_weight(prices.filter(pl.col("price_bps").is_not_null())).head(GATES_DRAWN_MAX)
    rows = [
        (f"{coin} {name} ({fills})", *bounded)
        for coin, name, fills, *bounded in known.select("coin", "name", "only_fill_count", *_DRAWN).iter_rows()
    ]
    title = f"What each limit cost (> 0) or saved, with its fills ({venue})"
    return figures.bounds(rows, title, "bps a fill of what it alone blocked")


def execution(files: Files) -> Section:
    """How real orders did, and the money of the day."""
    note = (
        "Real orders only; paper proves nothing about execution. Slippage is against the touch that was decided on, "
        "the edge lost on the way is that of the signal less that of the fill. Money is the ledger's: what was "
        "realised, less fees, with funding."
    )
    frame, missing, remarks, tables = files.table(DAILY_EXECUTION), [], [], []
    if frame is None:
        missing.append(files.missing(DAILY_EXECUTION))
    elif frame.is_empty():
        remarks.append("No order was sent on this day.")
    else:
        tables.append(Table.of(frame.sort("coin"), _EXECUTION, "By market", _USD_DIGITS))
    closed = money(files)
    if closed is None and frame is not None:
        remarks.append("No position was closed on this day.")
    return Section("Execution and money", note, tables, drawn([closed] if closed else []), missing, remarks)


def money(files: Files) -> Figure | None:
    """Draw the result of the day's closed positions as it grew, after fees and funding; None without one."""
    trips = files.bronze("round_trips", ("ts_ns", "coin", "pnl")).sort("ts_ns", "coin")
    if trips.is_empty():
        return None
    seconds = [0.0, *((trips["ts_ns"] - day_begin_ns(files.day)) / 1e9)]
    # Summed exactly, as the ledger does; a float only when it is drawn.
    sums = [0.0, *trips["pnl"].cum_sum().cast(pl.Float64)]
    title = f"{trips.height} closed positions after fees and funding: {sums[-1]:+.4f} USD ({files.venue})"
    return figures.cumulative(seconds, sums, title)


def phase(files: Files) -> Section:
    """Every row of the phase table, and every exit rule."""
    note = (
        "What stands against leaving a phase, row by row. Missing input is NOT YET and never PASS. Exits act by "
        "themselves when they FAIL; nothing here promotes: an operator does, with hip3 phase approve."
    )
    frame = files.table(PHASE_VERDICT)
    if frame is None:
        return Section("Phase", note, missing=[files.missing(PHASE_VERDICT)])
    requirements = frame.filter(pl.col("kind") == "requirement")
    counts = requirements.group_by("phase", maintain_order=True).agg(
        *((pl.col("state") == state).sum().alias(state) for state in ("PASS", "FAIL", "NOT YET"))
    )
    summary = {"phase": "phase", "PASS": "pass", "FAIL": "fail", "NOT YET": "not yet"}
    tables = [Table.of(counts, summary, "Rows by state"), Table.of(frame, _PHASE, f"Account {frame['account'][0]}")]
    return Section("Phase", note, tables)
