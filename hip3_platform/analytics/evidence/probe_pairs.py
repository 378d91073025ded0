"""Real orders beside what the model says of the same decisions: the rows that `judge_probes` reads.

A probe is an entry that was really sent (mode `live`, IOC) for an oracle-led signal. What it really made is the result
of its round trip after fees and funding; what the model says is the executable markout of the same decision at the
assumed latency, left by the sidecar's own exit rules.

Rule 1: an entry that did not fill is a probe without a real result; one the model misses, without a modelled one.
Rule 2: an entry that never left, whose round trip is not closed yet, or whose decision the model can not know (a feed
gap, the end of the day), is no probe: it says nothing about fills.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import polars as pl

from hip3_platform.analytics.counterfactual import signal_decisions
from hip3_platform.analytics.evidence.columns import MissingSpecError
from hip3_platform.analytics.evidence.exit_markouts import ruled_markouts
from hip3_platform.analytics.evidence.family import Floats
from hip3_platform.analytics.evidence.markouts import State
from hip3_platform.analytics.evidence.probes import ProbeVerdict, judge_probes
from hip3_platform.analytics.evidence.reading import read_market_day
from hip3_platform.analytics.frames import read_market
from streaming.core.limits import ExitLimits
from streaming.core.trading.model import OrderStatus

_ORDERS = ("signal_id", "mode", "is_reduce_only", "applied_sz", "status", "seq", "ordinal", "cloid")
_SIGNALS = ("signal_id", "ts_ns", "side", "origin", "limit_px", "raw_edge_bps")
_TRIPS = ("signal_id", "sz", "entry_px", "pnl")
MISSED = tuple(status.value for status in (OrderStatus.UNFILLED, OrderStatus.CANCELED, OrderStatus.REJECTED))
"""An entry that arrived and got nothing; one that never left is no probe."""


def probes_of(root: Path, venue: str, days: Iterable[str], coin: str, latency_ms: int) -> ProbeVerdict:
    """Judge the real entries of a market over a window."""
    pairs = [_pairs(root, venue, day, coin, latency_ms) for day in days]
    realised, modelled = (np.concatenate(column) for column in zip(*pairs, strict=True))
    return judge_probes(realised, modelled)


def _pairs(root: Path, venue: str, day: str, coin: str, latency_ms: int) -> tuple[Floats, Floats]:
    nothing = np.zeros(0), np.zeros(0)
    orders = read_market(root, "orders", venue, day, coin, _ORDERS)
    entries = orders.filter((pl.col("mode") == "live") & ~pl.col("is_reduce_only"))
    if entries.is_empty():
        return nothing
    last = entries.sort("seq", "ordinal").group_by("cloid", maintain_order=True).last()
    signals = read_market(root, "signals", venue, day, coin, _SIGNALS).filter(pl.col("origin") == "oracle_led")
    sent = signals.join(last.select("signal_id", "status", "applied_sz"), on="signal_id", maintain_order="left")
    trips = read_market(root, "round_trips", venue, day, coin, _TRIPS).with_columns(
        real_bps=pl.col("pnl").cast(pl.Float64)
        / (pl.col("sz").cast(pl.Float64) * pl.col("entry_px").cast(pl.Float64))
        * 1e4
    )
    paired = sent.join(trips.select("signal_id", "real_bps"), on="signal_id", how="left", maintain_order="left")
    is_missed = (pl.col("applied_sz") == 0) & pl.col("status").is_in(list(MISSED))
    known = paired.filter(is_missed | pl.col("real_bps").is_not_null())
    if known.is_empty():
        return nothing
    try:
        market = read_market_day(root, venue, day, coin)
    except MissingSpecError:
        return nothing
    found = ruled_markouts(market, signal_decisions(market, known), ExitLimits(), latency_ms)
    realised = known["real_bps"].fill_null(np.nan).to_numpy()
    modelled = np.where(found.state == State.FILLED, found.net_bps, np.nan)
    is_probe = found.state != State.VOID
    return realised[is_probe], modelled[is_probe]
