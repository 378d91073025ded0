"""One market and day as columns: whole numbers in the order of receipt, ready for the scan.

Rule 1: a day decides on [begin, end) of its UTC day. It warms up from the last state of the day before (last touch and
ctx, and its last 60 s); given 60 s of the next, every markout of the day can end, else the last ones are void.
Rule 2: prices and sizes are the stored decimals' own integers (1e-8); nothing passes through a float.
Rule 3: of rows with one receipt time the lower `seq` came first.
Rule 4: a feed gap is a time in which we can not know the market: between two connections or sessions, and while no ctx
came for longer than gate 1 allows. A side that is missing is no gap: the venue said so.
Rule 5: nobody can trade while the spec says delisted (a halt shows as that). The registry is polled, so the book knows
the instant better: the time begins where the book lost both sides, and ends where one of them is back.
Rule 6: a `spec_version` that no spec resolves is an error: without it the fee is not known.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from hip3_platform.analytics.evidence.family import Flags, Floats, Ints
from streaming.contracts.paths import day_begin_ns
from streaming.contracts.tables import PX
from streaming.core.calendar import NS_PER_HOUR, is_hour_open
from streaming.core.limits import GateLimits
from streaming.core.underlyings import is_known, session_kind_of
from streaming.core.units import NS_PER_MS, NS_PER_S

MISSING = -1
"""Price of a side that is not there; its size is 0."""
E8 = 100_000_000
"""Prices and sizes are whole multiples of 1 / E8."""
DAY_NS = 86_400 * NS_PER_S
MARGIN_NS = 60 * NS_PER_S
"""Rule 1: how much of the neighbouring days is read."""
CTX_SILENCE_NS = GateLimits().ctx_age_ms_max * NS_PER_MS
FAR_NS = 2**62

BBO_COLUMNS = ("recv_ts_ns", "seq", "bid_px", "bid_sz", "ask_px", "ask_sz", "generation", "spec_version", "session_id")
CTX_COLUMNS = (
    "recv_ts_ns", "seq", "oracle_px", "mark_px", "impact_bid_px", "impact_ask_px", "generation", "spec_version",
    "session_id",
)  # fmt: skip
"""What is read. `session_id` may be missing in tables in memory: they are of one session then."""


class MissingSpecError(ValueError):
    """Rows name a `spec_version` that no spec resolves."""


class Spec(NamedTuple):
    """What a `spec_version` stands for, as far as results depend on it."""

    taker_fee_bps: float
    """Of one side."""
    is_delisted: bool


Specs = Mapping[str, Spec]


class Feed(NamedTuple):
    """Rows of one market in the tables' sort key; `BBO_COLUMNS` and `CTX_COLUMNS` are used, others ignored."""

    bbo: pa.Table
    ctx: pa.Table


@dataclass(frozen=True, slots=True)
class MarketDay:
    """Columns of one market and UTC day, with the margins of Rule 1. Times are ns UTC and do not decrease."""

    venue: str
    day: str
    coin: str
    begin_ns: int
    """First instant that may decide."""
    end_ns: int
    """First instant that may not any more."""
    bbo_ts_ns: Ints
    bbo_seq: Ints
    bid_px: Ints
    """1e-8 quote per unit; `MISSING` where the side is not there."""
    bid_sz: Ints
    """1e-8 base units."""
    ask_px: Ints
    ask_sz: Ints
    ctx_ts_ns: Ints
    ctx_seq: Ints
    oracle_px: Ints
    mark_px: Ints
    impact_bid_px: Ints
    impact_ask_px: Ints
    spec_from_ns: Ints
    """From when on the spec of the same place is in force; the first holds before as well."""
    spec_versions: tuple[str, ...]
    fee_bps: Floats
    """Taker fee of one side under each of them."""
    closed_ns: Ints
    """Begin and end of every time in which nobody can trade, in order, shape (n, 2)."""
    gap_ns: Ints
    """Begin and end of every feed gap, likewise."""
    data_end_ns: int
    """Last receipt: what comes after is not known."""

    def spec_at(self, ts_ns: Ints) -> Ints:
        """Return the place in `spec_versions` of what is in force at instants."""
        return np.maximum(np.searchsorted(self.spec_from_ns, ts_ns, side="right") - 1, 0)

    def fee_at(self, ts_ns: Ints) -> Floats:
        """Return the taker fee of one side, bps, in force at instants."""
        return self.fee_bps[self.spec_at(ts_ns)]

    def is_closed(self, ts_ns: Ints) -> Flags:
        """Tell whether nobody can trade at instants."""
        return np.asarray(np.searchsorted(self.closed_ns.ravel(), ts_ns, side="right") % 2 == 1)

    def next_close_ns(self, ts_ns: Ints) -> Ints:
        """Return the begin of the first closed time that begins after an instant; `FAR_NS` when there is none."""
        begins = np.append(self.closed_ns[:, 0], FAR_NS)
        return np.asarray(begins[np.searchsorted(begins[:-1], ts_ns, side="right")])

    def touches_gap(self, from_ns: Ints, to_ns: Ints) -> Flags:
        """Tell whether any of [from, to] lies in a feed gap, or beyond the last receipt."""
        first = np.searchsorted(self.gap_ns[:, 1], from_ns, side="right")
        begins = np.append(self.gap_ns[:, 0], FAR_NS)
        return np.asarray((begins[first] < to_ns) | (to_ns > self.data_end_ns))

    @property
    def session_kind(self) -> str:
        """Kind of the underlying, such as `equity`; empty where its hours are not known."""
        return str(session_kind_of(self.coin)) if is_known(self.coin) else ""

    def sessions_at(self, ts_ns: Ints) -> list[str]:
        """Return `open` or `closed` for the underlying's own market at instants; empty where not known."""
        if not self.session_kind:
            return [""] * ts_ns.size
        kind = session_kind_of(self.coin)
        return ["open" if is_hour_open(kind, hour) else "closed" for hour in (ts_ns // NS_PER_HOUR).tolist()]


def specs_of(tables: Iterable[pa.Table]) -> dict[str, Spec]:
    """Return `spec_version` → spec of rows of the table `specs`."""
    names = ("spec_version", "taker_fee_bps", "is_delisted")
    rows = (row for table in tables for row in zip(*(table.column(name).to_pylist() for name in names), strict=True))
    return {version: Spec(float(fee), delisted) for version, fee, delisted in rows}


def feeds_of(bbo: pa.Table, ctx: pa.Table) -> dict[str, Feed]:
    """Split tables of many markets, in the tables' sort key, into market → feed; nothing is copied."""
    books, contexts = _by_market(bbo), _by_market(ctx)
    coins = sorted({*books, *contexts})
    return {coin: Feed(books.get(coin, bbo[:0]), contexts.get(coin, ctx[:0])) for coin in coins}


def tail_of(feed: Feed, day: str) -> Feed:
    """Return a copy of what the next day needs of `feed`, the rows of `day`: last 60 s and last state before."""
    from_ns = day_begin_ns(day) + DAY_NS - MARGIN_NS
    return Feed(*(_copied(table, _rows_from(table, from_ns), table.num_rows) for table in feed))


def head_of(feed: Feed, day: str) -> Feed:
    """Return a copy of what the day before needs of `feed`, the rows of `day`: its first 60 s."""
    to_ns = day_begin_ns(day) + MARGIN_NS
    return Feed(*(_copied(table, 0, int(np.searchsorted(_times(table), to_ns))) for table in feed))


def market_day(
    *, venue: str, day: str, coin: str, feed: Feed, specs: Specs, before: Feed | None = None, after: Feed | None = None
) -> MarketDay:
    """Return the columns of one market and day.

    Args:
        venue: Of the rows.
        day: UTC day, YYYY-MM-DD.
        coin: The venue's full name.
        feed: Rows of that day.
        specs: Resolves every `spec_version` of the rows, see `specs_of`.
        before: Rows of the day before, all or `tail_of` them. Without them a day begins knowing nothing.
        after: Rows of the next day, all or `head_of` them. Without them the last markouts of the day are void.

    Raises:
        MissingSpecError: A row's spec is not in `specs`.
        ValueError: A table is not in the order of receipt, or a price has another type than the contract's.
    """
    begin_ns = day_begin_ns(day)
    end_ns = begin_ns + DAY_NS
    span = (begin_ns, end_ns)
    bbo = _joined(before.bbo if before else None, feed.bbo, after.bbo if after else None, span)
    ctx = _joined(before.ctx if before else None, feed.ctx, after.ctx if after else None, span)
    bbo_ts_ns, ctx_ts_ns = _checked_times(bbo, f"bbo of {coin}"), _checked_times(ctx, f"ctx of {coin}")
    bid_px, ask_px = scaled(bbo.column("bid_px"), MISSING), scaled(bbo.column("ask_px"), MISSING)
    spec_from_ns, versions = _spec_steps(bbo, ctx, bbo_ts_ns, ctx_ts_ns)
    unknown = sorted({*versions} - {*specs})
    if unknown:
        raise MissingSpecError(
            f"{venue} {coin} {day}: expected a spec for every spec_version, found none for {', '.join(unknown)}; "
            "add the rows of table specs that resolve them"
        )
    known = [specs[version] for version in versions]
    is_empty = (bid_px == MISSING) & (ask_px == MISSING)
    return MarketDay(
        venue=venue,
        day=day,
        coin=coin,
        begin_ns=begin_ns,
        end_ns=end_ns,
        bbo_ts_ns=bbo_ts_ns,
        bbo_seq=_whole(bbo.column("seq")),
        bid_px=bid_px,
        bid_sz=scaled(bbo.column("bid_sz"), 0),
        ask_px=ask_px,
        ask_sz=scaled(bbo.column("ask_sz"), 0),
        ctx_ts_ns=ctx_ts_ns,
        ctx_seq=_whole(ctx.column("seq")),
        oracle_px=scaled(ctx.column("oracle_px"), MISSING),
        mark_px=scaled(ctx.column("mark_px"), MISSING),
        impact_bid_px=scaled(ctx.column("impact_bid_px"), MISSING),
        impact_ask_px=scaled(ctx.column("impact_ask_px"), MISSING),
        spec_from_ns=spec_from_ns,
        spec_versions=versions,
        fee_bps=np.array([spec.taker_fee_bps for spec in known]),
        closed_ns=_closed(spec_from_ns, [spec.is_delisted for spec in known], bbo_ts_ns, is_empty),
        gap_ns=_merged([*_reconnects(bbo, bbo_ts_ns), *_reconnects(ctx, ctx_ts_ns), *_silences(ctx_ts_ns)]),
        data_end_ns=max((int(ts[-1]) for ts in (bbo_ts_ns, ctx_ts_ns) if ts.size), default=begin_ns),
    )


def scaled(column: pa.ChunkedArray, missing: int) -> Ints:
    """Return the stored integers of a decimal128(18, 8) column, `missing` for null; ValueError if another type."""
    if column.type != PX:
        raise ValueError(f"expected {PX}, found {column.type}; cast the column as the contract has it")
    parts = [_low_words(chunk, missing) for chunk in column.chunks]
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


def _low_words(chunk: pa.Array, missing: int) -> Ints:
    # A decimal of at most 18 digits is two words, the low one first, of which the high one only repeats the sign.
    words = np.frombuffer(chunk.buffers()[1], dtype=np.int64)[2 * chunk.offset : 2 * (chunk.offset + len(chunk)) : 2]
    if not chunk.null_count:
        return words
    return np.where(chunk.is_null().to_numpy(zero_copy_only=False), missing, words)


def _by_market(table: pa.Table) -> dict[str, pa.Table]:
    begins, coins = _text_runs(table.column("coin"))
    ends = [*begins[1:], table.num_rows]
    return {coin: table[begin:end] for begin, end, coin in zip(begins, ends, coins, strict=True)}


def _text_runs(column: pa.ChunkedArray) -> tuple[list[int], list[str]]:
    """Begin and text of every run of equal texts."""
    begins: list[int] = []
    texts: list[str] = []
    offset = 0
    for chunk in column.chunks:
        codes = chunk if pa.types.is_dictionary(chunk.type) else chunk.dictionary_encode()
        places = codes.indices.to_numpy()
        for begin in [0, *(np.flatnonzero(places[1:] != places[:-1]) + 1).tolist()] if places.size else []:
            text = codes.dictionary[int(places[begin])].as_py()
            if not texts or texts[-1] != text:
                begins.append(offset + begin)
                texts.append(text)
        offset += len(chunk)
    return begins, texts


def _whole(column: pa.ChunkedArray) -> Ints:
    return np.asarray(column.to_numpy(), dtype=np.int64)


def _times(table: pa.Table) -> Ints:
    return _whole(table.column("recv_ts_ns"))


def _rows_from(table: pa.Table, from_ns: int) -> int:
    """First row at or after an instant, less one: the last state before it."""
    return max(int(np.searchsorted(_times(table), from_ns)) - 1, 0)


def _copied(table: pa.Table, first: int, last: int) -> pa.Table:
    return table.take(np.arange(first, last))


def _joined(before: pa.Table | None, today: pa.Table, after: pa.Table | None, day: tuple[int, int]) -> pa.Table:
    begin_ns, end_ns = day
    parts = [today]
    if before is not None:
        parts.insert(0, before[_rows_from(before, begin_ns - MARGIN_NS) :])
    if after is not None:
        parts.append(after[: int(np.searchsorted(_times(after), end_ns + MARGIN_NS))])
    parts = [part for part in parts if part.num_rows]
    if len(parts) < 2:
        return parts[0] if parts else today
    names = [name for name in today.column_names if name in {*BBO_COLUMNS, *CTX_COLUMNS}]
    return pa.concat_tables([part.select(names) for part in parts], promote_options="default")


def _checked_times(table: pa.Table, name: str) -> Ints:
    ts_ns = _times(table)
    if (ts_ns[1:] < ts_ns[:-1]).any():
        raise ValueError(f"{name}: expected rows in the order of receipt, found recv_ts_ns decreasing; sort the table")
    return ts_ns


def _spec_steps(bbo: pa.Table, ctx: pa.Table, bbo_ts_ns: Ints, ctx_ts_ns: Ints) -> tuple[Ints, tuple[str, ...]]:
    steps: list[tuple[int, int, str]] = []
    for table, ts_ns in ((bbo, bbo_ts_ns), (ctx, ctx_ts_ns)):
        begins, versions = _text_runs(table.column("spec_version"))
        seq = _whole(table.column("seq"))
        steps += [(int(ts_ns[at]), int(seq[at]), version) for at, version in zip(begins, versions, strict=True)]
    steps.sort()
    kept = [step for at, step in enumerate(steps) if not at or step[2] != steps[at - 1][2]]
    return np.array([ts for ts, _, _ in kept], dtype=np.int64), tuple(version for _, _, version in kept)


def _closed(spec_from_ns: Ints, is_delisted: list[bool], bbo_ts_ns: Ints, is_empty: Flags) -> Ints:
    if not any(is_delisted):
        return np.empty((0, 2), dtype=np.int64)
    spans = []
    ends = [*spec_from_ns.tolist()[1:], FAR_NS]
    for begin_ns, end_ns, delisted in zip(spec_from_ns.tolist(), ends, is_delisted, strict=True):
        if delisted:
            spans.append(_closed_span(begin_ns, end_ns, bbo_ts_ns, is_empty))
    return _merged(spans)


def _closed_span(begin_ns: int, end_ns: int, bbo_ts_ns: Ints, is_empty: Flags) -> tuple[int, int]:
    """Move the ends of a time of being delisted to where the book was emptied and filled again (Rule 5)."""
    row = int(np.searchsorted(bbo_ts_ns, begin_ns, side="right")) - 1
    if row >= 0 and is_empty[row]:
        filled = np.flatnonzero(~is_empty[:row])
        begin_ns = int(bbo_ts_ns[filled[-1] + 1 if filled.size else 0])
    else:
        emptied = np.flatnonzero(is_empty[row + 1 :])
        if not emptied.size:
            return begin_ns, end_ns
        row += 1 + int(emptied[0])
    back = np.flatnonzero(~is_empty[row:])
    return begin_ns, min(end_ns, int(bbo_ts_ns[row + back[0]])) if back.size else end_ns


def _reconnects(table: pa.Table, ts_ns: Ints) -> list[tuple[int, int]]:
    """Times between the last row of one connection and the first of the next."""
    generation = _whole(table.column("generation"))
    firsts = set((np.flatnonzero(generation[1:] != generation[:-1]) + 1).tolist())
    if "session_id" in table.column_names:
        firsts |= {at for at in _text_runs(table.column("session_id"))[0] if at}
    return [(int(ts_ns[at - 1]), int(ts_ns[at])) for at in sorted(firsts)]


def _silences(ctx_ts_ns: Ints) -> list[tuple[int, int]]:
    silent = np.flatnonzero(ctx_ts_ns[1:] - ctx_ts_ns[:-1] > CTX_SILENCE_NS)
    return [(int(ctx_ts_ns[at]), int(ctx_ts_ns[at + 1])) for at in silent]


def _merged(spans: list[tuple[int, int]]) -> Ints:
    merged: list[list[int]] = []
    for begin_ns, end_ns in sorted(spans):
        if merged and begin_ns <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end_ns)
        else:
            merged.append([begin_ns, end_ns])
    return np.array(merged, dtype=np.int64).reshape(-1, 2)
