"""The obvious pandas version of a part: two counts, intervals, and one policy of the 56 at one latency of the five.

Crosses of 8 bps, 12 s apart, filled after 200 ms and left after 3 s, before fees. It knows nothing of gaps, halts,
depth, missing sides or episodes, and works in floats: what a notebook has. pandas has one thread.
"""

from pathlib import Path
from typing import Any

import pandas as pd  # type: ignore[import-untyped]

from hip3_platform.bench.ways.files import coins_of, file_of


def work(root: Path, out: Path, day: str) -> None:
    """Write a row a market to `out`."""
    pd.DataFrame([_market(root, day, coin) for coin in coins_of(root, day)]).to_parquet(out / "pandas.parquet")


def _market(root: Path, day: str, coin: str) -> dict[str, Any]:
    frames = {}
    for table, prices in (("bbo", ["bid_px", "ask_px"]), ("ctx", ["oracle_px"])):
        path = file_of(root, table, day, coin)
        columns = ["recv_ts_ns", "recv_mono_ns", "generation", *prices]
        frame = pd.read_parquet(path, columns=columns, dtype_backend="pyarrow", partitioning=None)
        frames[table] = frame.astype(
            dict.fromkeys(prices, "float64") | {"recv_ts_ns": "int64", "recv_mono_ns": "int64"}
        )
    bbo, ctx = frames["bbo"], frames["ctx"]
    figures: dict[str, Any] = {"coin": coin, "bbo_count": len(bbo), "ctx_count": len(ctx)}
    for name, frame in frames.items():
        gaps = frame.groupby("generation")["recv_mono_ns"].diff() / 1e6
        figures |= {f"{name}_interval_p{int(q * 100)}": gaps.quantile(q) for q in (0.5, 0.95, 0.99)}
    books = bbo[["recv_ts_ns", "bid_px", "ask_px"]]
    steps = ctx.loc[ctx["oracle_px"].diff() != 0, ["recv_ts_ns", "oracle_px"]]
    events = pd.merge(books, steps, on="recv_ts_ns", how="outer").ffill()
    for side, px, sign in (("buy", "ask_px", 1), ("sell", "bid_px", -1)):
        is_over = sign * (events["oracle_px"] - events[px]) / events["oracle_px"] * 1e4 > 8.0
        begins = events[is_over & ~is_over.shift(fill_value=False)]
        taken, free_ns = [], 0
        for row in begins.itertuples():
            if row.recv_ts_ns >= free_ns:
                taken.append(row.Index)
                free_ns = row.recv_ts_ns + 12 * 10**9
        orders = begins.loc[taken].rename(columns={px: "limit_px"})[["recv_ts_ns", "limit_px"]]
        for name, later_ns in (("entry", 2 * 10**8), ("exit", 32 * 10**8)):
            orders[f"{name}_ns"] = orders["recv_ts_ns"] + later_ns
            touch = books.rename(columns={"recv_ts_ns": f"{name}_ns", "bid_px": f"{name}_bid", "ask_px": f"{name}_ask"})
            orders = pd.merge_asof(orders, touch, on=f"{name}_ns")
        entry, leave = ("entry_ask", "exit_bid") if side == "buy" else ("entry_bid", "exit_ask")
        orders = orders[sign * (orders[entry] - orders["limit_px"]) <= 0]
        figures[f"{side}_fills"] = len(orders)
        figures[f"{side}_net_bps"] = (sign * (orders[leave] - orders[entry]) / orders[entry] * 1e4).sum()
    return figures
