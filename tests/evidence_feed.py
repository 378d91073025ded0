"""Market feeds for the evidence tests: rows by hand, random days full of edge cases, and a slow, plain reference."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from hip3_platform.analytics.evidence.columns import MISSING, Feed, MarketDay, Spec, market_day
from streaming.contracts.paths import day_begin_ns
from streaming.contracts.tables import TABLES
from streaming.core.units import NS_PER_MS

DAY = "2026-06-15"
BEGIN_NS = day_begin_ns(DAY)
COIN = "xyz:NVDA"
SPECS = {"a": Spec(1.0, False), "b": Spec(9.0, False), "halted": Spec(1.0, True)}
FAR = 2**62

Row = dict[str, Any]


def bbo(ms: float, bid: object, ask: object, bid_sz: object = 100, ask_sz: object = 100, **more: object) -> Row:
    """A row of bbo `ms` after the day's begin; None is a missing side."""
    return {
        "recv_ts_ns": BEGIN_NS + int(ms * NS_PER_MS),
        "bid_px": bid, "bid_sz": None if bid is None else bid_sz,
        "ask_px": ask, "ask_sz": None if ask is None else ask_sz,
        **more,
    }  # fmt: skip


def ctx(ms: float, oracle: object, mark: object = None, **more: object) -> Row:
    """A row of ctx; the mark is the oracle if left out."""
    return {
        "recv_ts_ns": BEGIN_NS + int(ms * NS_PER_MS), "oracle_px": oracle, "mark_px": oracle if mark is None else mark,
        **more,
    }  # fmt: skip


def every_second(first_s: int, last_s: int, oracle: object) -> list[Row]:
    """Ctx rows that say the same once a second, both ends included: a feed without a gap."""
    return [ctx(1000 * s, oracle) for s in range(first_s, last_s + 1)]


def table(name: str, rows: Sequence[Row]) -> pa.Table:
    """Rows as a table of the contract; `seq` counts them if a row names none."""
    columns: dict[str, pa.Array] = {}
    defaults: Row = {"coin": COIN, "spec_version": "a", "generation": 1, "session_id": "s"}
    for column in TABLES[name].columns:
        if column.name == "seq":
            values: list[object] = [row.get("seq", at) for at, row in enumerate(rows)]
        elif column.name in defaults or not rows or any(column.name in row for row in rows):
            values = [row.get(column.name, defaults.get(column.name)) for row in rows]
        else:
            continue
        if pa.types.is_decimal(column.type):
            values = [None if value is None else Decimal(str(value)) for value in values]
        columns[column.name] = pa.array(values, column.type)
    for missing in ("impact_bid_px", "impact_ask_px") if name == "ctx" else ():
        columns.setdefault(missing, pa.nulls(len(rows), TABLES[name].schema.field(missing).type))
    return pa.table(columns)


def feed(books: Sequence[Row], contexts: Sequence[Row]) -> Feed:
    """Both tables; rows get `seq` in the order of time, bbo before ctx at one instant, unless they name it."""
    order = sorted([(row["recv_ts_ns"], 0, at) for at, row in enumerate(books)])
    order += [(row["recv_ts_ns"], 1, at) for at, row in enumerate(contexts)]
    both = (list(map(dict, books)), list(map(dict, contexts)))
    for seq, (_, which, at) in enumerate(sorted(order), start=1):
        both[which][at].setdefault("seq", seq)
    return Feed(table("bbo", both[0]), table("ctx", both[1]))


def day_of_rows(
    books: Sequence[Row], contexts: Sequence[Row], before: Feed | None = None, after: Feed | None = None
) -> MarketDay:
    """The market-day of rows by hand."""
    return market_day(
        venue="sim", day=DAY, coin=COIN, feed=feed(books, contexts), specs=SPECS, before=before, after=after
    )


@st.composite
def market_days(draw: st.DrawFn, *, has_holes: bool = True) -> MarketDay:
    """The market-day of `feeds`."""
    return market_day(venue="sim", day=DAY, coin=COIN, feed=draw(feeds(has_holes=has_holes)), specs=SPECS)


@st.composite
def feeds(draw: st.DrawFn, *, has_holes: bool = True) -> Feed:
    """Minutes in which crosses, ties, holes, locked books, gaps, halts and fee changes are all frequent."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    count = draw(st.integers(2, 120))
    pace = draw(st.sampled_from([40, 400, 3000]))
    ts = np.cumsum(rng.integers(0, pace, count))
    ctx_count = max(2, int(ts[-1] // 700))
    ctx_ts = np.sort(rng.integers(0, ts[-1] + 1000, ctx_count))
    if draw(st.booleans()):
        ctx_ts[: ctx_count // 2] = rng.choice(ts, ctx_count // 2)  # the same instants
        ctx_ts.sort()
    unit = draw(st.sampled_from([100, 2_000, 250_000]))
    wild = draw(st.sampled_from([0.0004, 0.002]))
    mid = unit * (1 + wild * rng.standard_normal(count))
    oracle = np.rint(unit * (1 + wild * np.repeat(rng.standard_normal(ctx_count), 3)[:ctx_count])).astype(int)
    half = unit * rng.choice([0.0, 1e-4, 5e-4], count)
    bid, ask = np.floor(mid - half).astype(int).tolist(), np.ceil(mid + half).astype(int).tolist()
    hole = draw(st.sampled_from([0.0, 0.2, 0.5])) if has_holes else 0.0
    changes = draw(st.booleans())
    generation = np.sort(rng.integers(1, 3, count + ctx_count)) if draw(st.booleans()) else np.ones(count + ctx_count)
    instants = np.concatenate([ts, ctx_ts])
    order = np.lexsort((rng.random(instants.size), instants))  # of equal instants any may come first
    seq = np.empty(instants.size, dtype=int)
    seq[order] = np.arange(1, instants.size + 1)
    versions = np.repeat(rng.choice(["a", "b", "halted"] if changes else ["a"], 8), instants.size // 8 + 1)

    def more(at: int) -> Row:
        place = int(seq[at])
        return {"seq": place, "generation": int(generation[place - 1]), "spec_version": str(versions[place - 1])}

    books = []
    for at in range(count):
        locked = rng.random() < 0.1
        sides = [None if rng.random() < hole else px for px in (bid[at], bid[at] if locked else ask[at])]
        sizes = rng.integers(1, 50, 2).tolist()
        books.append(
            bbo(int(ts[at]), _px(sides[0]), _px(sides[1]), _sz(sizes[0], unit), _sz(sizes[1], unit), **more(at))
        )
    contexts = [
        ctx(int(ctx_ts[at]), _px(int(oracle[at])), _px(int(oracle[at] + rng.integers(-3, 4))), **more(count + at))
        for at in range(ctx_count)
    ]
    by_seq = [sorted(rows, key=lambda row: row["seq"]) for rows in (books, contexts)]
    return Feed(table("bbo", by_seq[0]), table("ctx", by_seq[1]))


def _px(units: int | None) -> Decimal | None:
    return None if units is None else Decimal(units) / 100


def _sz(count: int, unit: int) -> Decimal:
    return (Decimal(count) * 100 / unit).quantize(Decimal("0.0001"))  # $1 a count: orders of $20 often walk


@dataclass
class Event:
    place: int
    ts: int
    row: int
    oracle: int
    step: int
    is_led: bool
    is_bbo: bool
    gaps: int


@dataclass
class Begin:
    event: Event
    side: int
    px: int
    is_decided: bool


class Reference:
    """One market, one event at a time, in fractions: written from the definitions, not from the kernel."""

    def __init__(self, day: MarketDay) -> None:
        self.day = day
        names = ("bbo_ts_ns", "bid_px", "bid_sz", "ask_px", "ask_sz")
        self.books = list(zip(*(getattr(day, name).tolist() for name in names), strict=True))
        self.book_ts = day.bbo_ts_ns.tolist()
        self.ctx_ts = day.ctx_ts_ns.tolist()
        self.oracles, self.marks = day.oracle_px.tolist(), day.mark_px.tolist()
        self.closed, self.gaps = day.closed_ns.tolist(), day.gap_ns.tolist()
        self.received = self._received()
        self.events = [event for event in self.received if self.is_event(event)]

    def _received(self) -> list[Event]:
        merged = [(ts, int(self.day.bbo_seq[at]), 1, at) for at, ts in enumerate(self.book_ts)]
        merged += [(ts, int(self.day.ctx_seq[at]), 0, at) for at, ts in enumerate(self.ctx_ts)]
        out: list[Event] = []
        row = step = -1
        for ts, _, is_bbo, at in sorted(merged):
            led = False
            if is_bbo:
                row = at
            else:
                if step >= 0 and self.oracles[at] == self.oracles[step]:
                    continue
                led, step = step >= 0, at
            oracle = self.oracles[step] if step >= 0 else 0
            gaps = sum(end <= ts for _, end in self.gaps)
            out.append(Event(len(out), ts, row, oracle, step, led, bool(is_bbo), gaps))
        return out

    def is_closed(self, ts: int) -> bool:
        return any(begin <= ts < end for begin, end in self.closed)

    def is_book(self, row: int) -> bool:
        _, bid, _, ask, _ = self.books[row]
        return MISSING not in (bid, ask) and bid < ask

    def is_event(self, event: Event) -> bool:
        return event.row >= 0 and event.step >= 0 and self.is_book(event.row) and not self.is_closed(event.ts)

    def px(self, row: int, side: int) -> int:
        """Where an order of `side` meets the book."""
        return self.books[row][3] if side > 0 else self.books[row][1]

    def edge(self, event: Event, side: int) -> Fraction:
        return Fraction(side * (event.oracle - self.px(event.row, side)) * 10_000, event.oracle)

    def begins(self, threshold: int) -> list[Begin]:
        out: list[Begin] = []
        armed = {1: False, -1: False}
        free, gaps = -FAR, 0
        for event in self.events:
            if event.gaps != gaps:
                armed, gaps = {1: False, -1: False}, event.gaps
            for side in (1, -1):
                edge = self.edge(event, side)
                if edge <= Fraction(threshold, 2):
                    armed[side] = True
                elif edge > threshold and armed[side]:
                    armed[side] = False
                    out.append(Begin(event, side, self.px(event.row, side), event.ts >= free))
                    free = max(free, event.ts + 12_000_000_000) if event.ts >= free else free
        return [begin for begin in out if self.day.begin_ns <= begin.event.ts < self.day.end_ns]

    def end(self, begin: Begin, threshold: int) -> tuple[int, str, int, Fraction]:
        """End, reason, ticks and peak of an episode."""
        ticks, peak = 0, Fraction(-(10**9))
        closes = [at for at, _ in self.closed if at > begin.event.ts]
        gaps = [at for at, _ in self.gaps if at >= begin.event.ts]
        stops = [(at, 0, "market_stopped") for at in closes[:1]] + [(at, 2, "feed_gap") for at in gaps[:1]]
        for event in self.received[begin.event.place :]:
            passed = [s for s in stops if s[0] < event.ts or (s[0] == event.ts and s[2] == "market_stopped")]
            if passed:
                return min(passed)[0], min(passed)[2], ticks, peak
            if event.is_bbo and not self.is_book(event.row):
                name = "side_vanished" if self.px(event.row, begin.side) == MISSING else "book_void"
                return event.ts, name, ticks, peak
            if self.is_event(event):
                edge = self.edge(event, begin.side)
                if edge <= Fraction(threshold, 2):
                    return event.ts, "quote_moved" if event.is_bbo else "oracle_moved", ticks, peak
                ticks, peak = ticks + 1, max(peak, edge)
        rest = min([*stops, (self.day.data_end_ns, 3, "data_end")])
        return rest[0], rest[2], ticks, peak

    def fee(self, ts: int) -> float:
        at = bisect_right(self.day.spec_from_ns.tolist(), ts) - 1
        return float(self.day.fee_bps[max(at, 0)])

    def is_hidden(self, begin: int, end: int) -> bool:
        return end > self.day.data_end_ns or any(a < end and b > begin for a, b in self.gaps)

    def markouts(self, begin: Begin, latency_ms: int, horizons_s: Sequence[int], usd: float) -> tuple[str, list[float]]:
        """State at a latency, and the results by horizon if it filled."""
        ts, side, at = begin.event.ts, begin.side, begin.event.ts + latency_ms * NS_PER_MS
        if self.is_hidden(ts, at):
            return "void", []
        row = bisect_right(self.book_ts, at) - 1
        px = self.px(row, side)
        if px == MISSING or side * px > side * begin.px or self.is_closed(at):
            return "missed", []
        shown = self.books[row][4] if side > 0 else self.books[row][2]
        size = min(usd * 1e16 / begin.px, shown)
        results = [self.leave(begin, at, at + s * 1_000_000_000, px, size) for s in horizons_s]
        known = [result for result in results if result is not None]
        return ("filled", known) if len(known) == len(results) else ("void", [])

    def leave(self, begin: Begin, at: int, due: int, entry: int, size: float) -> float | None:
        side = begin.side
        close = min([a for a, _ in self.closed if a > at], default=FAR)
        leave, exit_px, cost = max(due, self.day.data_end_ns), None, 0.0
        for row in range(bisect_right(self.book_ts, due) - 1, len(self.books)):
            if self.px(row, -side) == MISSING:
                continue
            leave = max(due, self.book_ts[row])
            if leave < close:
                book = self.books[row if self.is_book(row) else begin.event.row]
                half = (book[3] - book[1]) / (book[3] + book[1]) * 1e4
                shown = self.books[row][2] if side > 0 else self.books[row][4]
                exit_px = self.px(row, -side)
                cost = self.fee(leave) + min(60.0, 3 * half * max(size / max(shown, 1) - 1, 0.0))
            break
        leave = min(leave, close)
        if self.is_hidden(begin.event.ts, leave):
            return None
        if exit_px is None:
            exit_px = self.marks[bisect_right(self.ctx_ts, leave) - 1]
        return side * (exit_px - entry) / entry * 1e4 - self.fee(at) - cost
