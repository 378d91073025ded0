"""Rows of `bbo`, `ctx` and `trades` straight from market hours: Arrow columns, without an object per row.

Rule 1: the values are those of `feed` and the projector, in every column; a test compares the sealed files.
Rule 2: rows stand in the tables' sort key if the runs do: markets in the order of their names, hours rising.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from streaming.contracts.tables import PX
from streaming.core.market import MarketSpec
from streaming.core.units import NS_PER_MS
from streaming.sim.history.feed import GENERATION
from streaming.sim.markets.generator import NONE, MarketHour
from streaming.sim.markets.noise import Floats, Ints

Columns = dict[str, pa.Array]
"""Column → array, as `PartWriter.seal_columns` takes them."""

Flags = NDArray[np.bool_]
_E6, _E10 = 1e6, 1e10


class Run(NamedTuple):
    """Consecutive rows of one channel of a market hour under one spec."""

    hour: MarketHour
    rows: slice
    seq: Ints
    """Sequence number of every row."""
    spec: MarketSpec


Specs = Mapping[str, MarketSpec]
Steps = Sequence[tuple[int, Specs]]
"""(ms, specs by market in force from then on); the first is not after the first row."""


def runs_of(hour: MarketHour, ts_ms: Ints, seq: Ints, steps: Steps) -> list[Run]:
    """Return the runs of a channel of a market hour; its row belongs to the last step at or before it."""
    edges = [*np.searchsorted(ts_ms, [at_ms for at_ms, _ in steps]).tolist(), ts_ms.size]
    return [
        Run(hour, slice(begin, end), seq[begin:end], specs[hour.market.coin])
        for (_, specs), begin, end in zip(steps, edges, edges[1:], strict=False)
        if begin < end
    ]


def bbo_columns(runs: Sequence[Run]) -> Columns:
    """Return the rows of the table `bbo`."""
    ts_ms = _joined(runs, "bbo_ts_ms")
    return _head(runs, ts_ms) | {
        "recv_mono_ns": pa.array(ts_ms * NS_PER_MS),
        "venue_ts_ms": pa.array(ts_ms),
        "generation": pa.array(np.full(ts_ms.size, GENERATION, dtype=np.int64)),
        "bid_px": _prices(runs, "bid_px"),
        "bid_sz": _sizes(runs, "bid_sz"),
        "ask_px": _prices(runs, "ask_px"),
        "ask_sz": _sizes(runs, "ask_sz"),
    }


def ctx_columns(runs: Sequence[Run]) -> Columns:
    """Return the rows of the table `ctx`."""
    ts_ms = _joined(runs, "ctx_ts_ms")
    lots = np.concatenate([run.hour.open_interest_sz[run.rows] / 10**run.hour.market.sz_decimals for run in runs])
    premium = _joined(runs, "premium_e10")
    return _head(runs, ts_ms) | {
        "recv_mono_ns": pa.array(ts_ms * NS_PER_MS),
        "generation": pa.array(np.full(ts_ms.size, GENERATION, dtype=np.int64)),
        "oracle_px": _prices(runs, "oracle_px"),
        "mark_px": _prices(runs, "mark_px"),
        "mid_px": _decimals(runs, "mid2_px", [5 * 10 ** (PX.scale - run.hour.market.px_decimals - 1) for run in runs]),
        "impact_bid_px": _prices(runs, "impact_bid_px"),
        "impact_ask_px": _prices(runs, "impact_ask_px"),
        "open_interest_sz": pa.array(lots),
        "funding_ratio": pa.array(_joined(runs, "funding_e10") / _E10),
        "premium_ratio": _statistics(premium / _E10, premium == NONE),
        "day_ntl_vlm_usd": pa.array(_joined(runs, "volume_e6") / _E6),
    }


def trade_columns(runs: Sequence[Run]) -> Columns:
    """Return the rows of the table `trades`."""
    ts_ms = _joined(runs, "trade_ts_ms")
    return _head(runs, ts_ms) | {
        "venue_ts_ms": pa.array(ts_ms),
        "tid": pa.array(_joined(runs, "trade_tid")),
        "side": _coded(_joined(runs, "trade_is_buy").astype(np.int32), ["sell", "buy"]),
        "px": _prices(runs, "trade_px"),
        "sz": _sizes(runs, "trade_sz"),
    }


def _head(runs: Sequence[Run], ts_ms: Ints) -> Columns:
    counts = [run.seq.size for run in runs]
    return {
        "seq": pa.array(np.concatenate([run.seq for run in runs])),
        "coin": _texts([run.hour.market.coin for run in runs], counts),
        "asset_id": pa.array(np.repeat(np.array([run.spec.asset_id for run in runs], dtype=np.int64), counts)),
        "spec_version": _texts([run.spec.spec_version for run in runs], counts),
        "recv_ts_ns": pa.array(ts_ms * NS_PER_MS),
    }


def _joined(runs: Sequence[Run], name: str) -> Ints:
    return np.concatenate([getattr(run.hour, name)[run.rows] for run in runs])


def _prices(runs: Sequence[Run], name: str) -> pa.Array:
    return _decimals(runs, name, [10 ** (PX.scale - run.hour.market.px_decimals) for run in runs])


def _sizes(runs: Sequence[Run], name: str) -> pa.Array:
    return _decimals(runs, name, [10 ** (PX.scale - run.hour.market.sz_decimals) for run in runs])


def _decimals(runs: Sequence[Run], name: str, factors: Sequence[int]) -> pa.Array:
    """Return scaled integers x factor as decimals with `PX.scale` digits behind the point; NONE becomes null."""
    # A decimal is two words, the low one first; the high one is the sign's.
    words = np.empty((sum(run.seq.size for run in runs), 2), dtype=np.int64)
    missing: list[tuple[int, Ints]] = []
    begin = 0
    for run, factor in zip(runs, factors, strict=True):
        units: Ints = getattr(run.hour, name)[run.rows]
        if units.size and units.min() == NONE:
            missing.append((begin, np.flatnonzero(units == NONE)))
            units = np.where(units == NONE, 0, units)
        np.multiply(units, factor, out=words[begin : begin + units.size, 0])
        begin += units.size
    np.right_shift(words[:, 0], 63, out=words[:, 1])
    is_there = np.ones(begin, dtype=np.bool_)
    for first, rows in missing:
        is_there[first + rows] = False
    return pa.Array.from_buffers(PX, begin, [_bitmap(is_there) if missing else None, pa.py_buffer(words)])


def _statistics(values: Floats, is_missing: Flags) -> pa.Array:
    validity = _bitmap(~is_missing) if is_missing.any() else None
    return pa.Array.from_buffers(pa.float64(), values.size, [validity, pa.py_buffer(values)])


def _bitmap(flags: Flags) -> pa.Buffer:
    return pa.py_buffer(np.packbits(flags, bitorder="little"))


def _texts(texts: Sequence[str], counts: Sequence[int]) -> pa.Array:
    codes = {text: code for code, text in enumerate(dict.fromkeys(texts))}
    return _coded(np.repeat(np.array([codes[text] for text in texts], dtype=np.int32), counts), list(codes))


def _coded(codes: Ints, texts: list[str]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(texts))
