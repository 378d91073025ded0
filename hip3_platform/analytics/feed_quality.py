"""Is the recorded feed of one market a feed? Sequence, repeats, late rows, holes, quotes that stand still.

Rule 1: wrong (its table would mislead every as-of join): rows out of sequence, a market recorded by two sessions at
once. Odd (the table is right, the market or the venue is not): repeats, late rows, holes, frozen quotes; whether such a
market has an edge is for its verdict to say, so these never stop a day.
Rule 2: intervals are of CLOCK_BOOTTIME within one session; the wall clock only says where.
Rule 3: pure functions of one market's frames in bronze order (receipt, then seq).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import polars as pl

from hip3_platform.analytics.finding import Finding
from streaming.core.units import BPS, NS_PER_MS, NS_PER_S

BBO_COLUMNS = (
    "session_id", "seq", "recv_ts_ns", "recv_mono_ns", "venue_ts_ms", "generation", "bid_px", "bid_sz", "ask_px",
    "ask_sz",
)  # fmt: skip
CTX_COLUMNS = ("session_id", "seq", "recv_ts_ns", "recv_mono_ns", "generation", "oracle_px")

CTX_HOLE_S_MAX = 30
"""The venue sends a ctx about once a second, changed or not; 30 s is three horizons without a word."""
LATE_MS_MAX = 5_000
FUTURE_MS_MAX = 1_000
"""A venue's stamp ahead of our receipt: one of the two clocks is wrong."""
ODD_SHARE_MAX = 0.01
ODD_ROWS_MIN = 5
"""Late or repeated rows: a share that no reconnect explains, and not one straggler."""
FROZEN_S_MIN = 600
FROZEN_ORACLE_BPS_MIN = 10
"""A touch that stands for ten minutes while the oracle wanders this far is nobody's quote (79 signals of 42.14 bps)."""


@dataclass(frozen=True, slots=True)
class Feed:
    """One market's feed of a day: `BBO_COLUMNS` and `CTX_COLUMNS`."""

    coin: str
    bbo: pl.DataFrame
    ctx: pl.DataFrame


def utc_text(ts_ns: int) -> str:
    """Return a wall-clock instant for a person, to the millisecond."""
    at = datetime.fromtimestamp(ts_ns // NS_PER_S, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{ts_ns % NS_PER_S // NS_PER_MS:03d}Z"


def _row_text(rows: pl.DataFrame, at: int) -> str:
    row = rows.row(at, named=True)
    return f"{row['session_id']} seq {row['seq']} at {utc_text(row['recv_ts_ns'])}"


def _same(rows: pl.DataFrame, *columns: str) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return for each row but the first whether it equals the row before it in `columns`; null equals null."""
    equal = np.ones(max(0, rows.height - 1), dtype=np.bool_)
    for name in columns:
        equal &= rows[name].eq_missing(rows[name].shift(1)).to_numpy()[1:]
    return equal


def sequence(coin: str, rows: pl.DataFrame) -> Iterator[Finding]:
    """Find rows whose seq, receipt and place in the file contradict each other.

    A wall clock that was set back reorders the file and is odd; a seq that runs against CLOCK_BOOTTIME is wrong.
    """
    inside = _same(rows, "session_id")
    seq = rows["seq"].to_numpy()
    bad = np.flatnonzero(inside & (np.diff(seq) <= 0))
    if not bad.size and not np.any(inside & (np.diff(rows["recv_mono_ns"].to_numpy()) < 0)):
        return
    ordered = rows.sort("session_id", "seq")
    against = np.flatnonzero(
        _same(ordered, "session_id")
        & ((np.diff(ordered["recv_mono_ns"].to_numpy()) < 0) | (np.diff(ordered["seq"].to_numpy()) == 0))
    )
    if against.size:
        found = f"{against.size} rows whose seq runs against the order of receipt"
        yield Finding(coin, "sequence", "seq grows as receipt does", found, _row_text(ordered, int(against[0]) + 1))
    else:
        found = f"the wall clock was set back: {bad.size} rows lie before their predecessor"
        yield Finding(coin, "sequence", "seq grows as receipt does", found, _row_text(rows, int(bad[0]) + 1), False)


def duplicates(feed: Feed) -> Iterator[Finding]:
    """Find a market that two sessions recorded at once, and frames that stand in the table twice."""
    bbo = feed.bbo
    spans = bbo.group_by("session_id").agg(first=pl.col("recv_ts_ns").min(), last=pl.col("recv_ts_ns").max())
    for before, after in _pairs(spans.sort("first", "session_id")):
        if after[1] <= before[2]:
            found = f"{after[0]} begins {(before[2] - after[1]) / NS_PER_S:.1f} s before {before[0]} ends"
            yield Finding(feed.coin, "one recorder", "sessions one after the other", found, utc_text(after[1]))
    book = ("venue_ts_ms", "bid_px", "bid_sz", "ask_px", "ask_sz")
    again = np.flatnonzero(_same(bbo, "session_id", "generation", *book))
    if again.size >= ODD_ROWS_MIN and again.size > ODD_SHARE_MAX * bbo.height:
        yield Finding(
            feed.coin, "repeats", f"at most {ODD_SHARE_MAX:.0%} of frames twice", f"{again.size} of {bbo.height}",
            _row_text(bbo, int(again[0]) + 1), is_wrong=False,
        )  # fmt: skip


def _pairs(spans: pl.DataFrame) -> Iterator[tuple[tuple[str, int, int], tuple[str, int, int]]]:
    """Yield each span with the one that reached furthest before it."""
    furthest: tuple[str, int, int] | None = None
    for session_id, first, last in spans.iter_rows():
        here = (session_id, first, last)
        if furthest is not None:
            yield furthest, here
        if furthest is None or last > furthest[2]:
            furthest = here


def late_rows(feed: Feed) -> Iterator[Finding]:
    """Find frames that reached us long after the venue stamped them, or before."""
    bbo = feed.bbo
    if bbo.is_empty():
        return
    late_ms = bbo["recv_ts_ns"].to_numpy() // NS_PER_MS - bbo["venue_ts_ms"].to_numpy()
    # What a connection brings first is the touch as it stands, however old.
    is_first = np.concatenate(([True], ~_same(bbo, "session_id", "generation")))
    bad = np.flatnonzero(~is_first & ((late_ms > LATE_MS_MAX) | (late_ms < -FUTURE_MS_MAX)))
    if bad.size >= ODD_ROWS_MIN and bad.size > ODD_SHARE_MAX * bbo.height:
        yield Finding(
            feed.coin, "late rows", f"receipt {-FUTURE_MS_MAX} to {LATE_MS_MAX} ms after the venue's stamp",
            f"{bad.size} of {bbo.height} outside, up to {int(np.abs(late_ms[bad]).max())} ms",
            _row_text(bbo, int(bad[0])), is_wrong=False,
        )  # fmt: skip


def holes(feed: Feed) -> Iterator[Finding]:
    """Find silences of the ctx feed within one connection."""
    ctx = feed.ctx
    mono = ctx["recv_mono_ns"].to_numpy()
    bad = np.flatnonzero(_same(ctx, "session_id", "generation") & (np.diff(mono) > CTX_HOLE_S_MAX * NS_PER_S))
    if bad.size:
        longest_s = float(np.diff(mono)[bad].max()) / NS_PER_S
        yield Finding(
            feed.coin, "holes", f"a ctx at least every {CTX_HOLE_S_MAX} s of a connection",
            f"{bad.size} holes, up to {longest_s:.0f} s", f"after {_row_text(ctx, int(bad[0]))}", is_wrong=False,
        )  # fmt: skip


def frozen_quotes(feed: Feed) -> Iterator[Finding]:
    """Find touches that stood still while the oracle moved away."""
    frozen = [
        stretch
        for (session_id,), bbo in feed.bbo.group_by("session_id", maintain_order=True)
        for stretch in _frozen(bbo, feed.ctx.filter(pl.col("session_id") == session_id))
    ]
    if frozen:
        begin_ns, seconds, moved_bps = max(frozen, key=lambda stretch: stretch[1])
        yield Finding(
            feed.coin, "frozen quotes",
            f"a touch that moves within {FROZEN_S_MIN} s when the oracle moves {FROZEN_ORACLE_BPS_MIN} bps",
            f"{len(frozen)} stretches, the longest {seconds:.0f} s while the oracle moved {moved_bps:.1f} bps",
            f"at {utc_text(begin_ns)}", is_wrong=False,
        )  # fmt: skip


def _frozen(bbo: pl.DataFrame, ctx: pl.DataFrame) -> Iterator[tuple[int, float, float]]:
    """Yield (begin in ns UTC, seconds, oracle's range in bps) of each stretch without a new touch of two sides."""
    bbo = bbo.drop_nulls(["bid_px", "ask_px"])
    recv, heard = bbo["recv_ts_ns"].to_numpy(), ctx["recv_ts_ns"].to_numpy()
    if not (recv.size and heard.size):
        return
    begins = np.concatenate(([0], np.flatnonzero(~_same(bbo, "bid_px", "ask_px")) + 1))
    starts = recv[begins]
    ends = np.concatenate((starts[1:], [max(recv[-1], heard[-1])]))  # after the last bbo the oracle still speaks
    for at in np.flatnonzero(ends - starts >= FROZEN_S_MIN * NS_PER_S):
        low, high = np.searchsorted(heard, (starts[at], ends[at]))
        oracle = ctx["oracle_px"][int(low) : int(high)].cast(pl.Float64).to_numpy()
        if oracle.size:
            moved_bps = float((oracle.max() - oracle.min()) / oracle.min()) * float(BPS)
            if moved_bps >= FROZEN_ORACLE_BPS_MIN:
                yield int(starts[at]), float(ends[at] - starts[at]) / NS_PER_S, moved_bps
