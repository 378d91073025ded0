"""Stop leaks: a real order that could add risk and left although something forbade it, found by sequence.

Rule 1: an entry is a real order that is not reduce-only and left: it reached a status that needs sent bytes.
Rule 2: it leaks when, in its session, (a) the stop latch was set before it was decided, by (seq, ordinal), and not
reset; a latch of an earlier session of the account holds on, for it survives restarts; (b) a gate of its market blocked
since an earlier seq; (c) its market was stopped or shrinking since an earlier seq; (d) its signal was blocked; or (e)
its bytes left after the latch was set, more than `SLACK_NS` later by the session's own clock.
Rule 3: gates and market stops are compared by seq alone: in one step an order is decided before it is explained.
Source: architecture document, "Phases" ("no stop leak"); invariants I-17 to I-20.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import polars as pl

from hip3_platform.analytics.phases.rule import FAIL, NOT_YET, PASS, Finding, PhaseRule, days_text
from hip3_platform.analytics.phases.tables import Tables
from hip3_platform.analytics.phases.trading import approved_ts_ns

LEFT = ("sent", "resting", "in_doubt", "filled", "partly_filled", "unfilled", "rejected", "canceled", "never_arrived")
SLACK_NS = 1_000_000
"""One turn of the loop: an order handed over while the stop was being read is no leak."""
STOPS = ("latch_changed", "gate_changed", "market_stop_changed")


@dataclass(frozen=True, slots=True)
class _Entry:
    seq: int
    ordinal: int
    coin: str
    cloid: str
    signal_id: str
    sent_ts_ns: int | None


@dataclass(slots=True)
class _Stops:
    """What forbade entries in one session: intervals of (begin, end) by (seq, ordinal); an open one has no end."""

    latches: list[tuple[tuple[int, int], tuple[int, int] | None, int]] = field(default_factory=list)
    """With the instant it was set."""
    blocks: dict[tuple[str, str], list[tuple[int, int | None]]] = field(default_factory=dict)
    """(market, what) → intervals by seq."""

    @property
    def is_latched(self) -> bool:
        return bool(self.latches) and self.latches[-1][1] is None

    @property
    def count(self) -> int:
        return len(self.latches) + sum(len(each) for each in self.blocks.values())

    def why(self, entry: _Entry) -> str:
        at = (entry.seq, entry.ordinal)
        for begin, end, ts_ns in self.latches:
            if begin < at and (end is None or at < end):
                return "stop latch"
            is_late = entry.sent_ts_ns is not None and at < begin and entry.sent_ts_ns > ts_ns + SLACK_NS
            if is_late:
                return "sent after the stop latch"
        for (coin, what), intervals in self.blocks.items():
            if coin == entry.coin and any(b < entry.seq and (e is None or entry.seq < e) for b, e in intervals):
                return what
        return ""


def stop_leak(tables: Tables, rule: PhaseRule) -> Finding:
    """No risk-adding order left after a stop, a gate's block or a latch (rules of this module), since micro's approval.

    PASS: entries left, stops happened, and no entry leaked. FAIL: one leaked. NOT YET: nothing left, or nothing
    stopped: what was never tried is not proved.
    """
    del rule
    since = approved_ts_ns(tables, "micro")
    evidence = f"bronze/orders, bronze/events, bronze/signals of account {tables.account}, {days_text(tables.days)}"
    if since is None:
        return Finding(NOT_YET, "", f"{evidence}: micro was not approved")
    blocked = dict(tables.signals.filter("is_blocked").select("signal_id", "blocked_by").iter_rows())
    entry_count, stop_count, leaks, is_latched = 0, 0, [], False
    for session in tables.our_sessions:
        stops = _stops_of(tables.events.filter(pl.col("session_id") == session), is_latched=is_latched)
        is_latched = stops.is_latched
        stop_count += stops.count
        for entry in _entries(tables.orders.filter(pl.col("session_id") == session), since):
            entry_count += 1
            why = stops.why(entry) or (
                f"signal blocked by {blocked[entry.signal_id]}" if entry.signal_id in blocked else ""
            )
            if why:
                leaks.append(f"{session} seq {entry.seq} {entry.coin} {entry.cloid}: {why}")
    figure = f"{len(leaks)} of {entry_count} entries, {stop_count} stops and blocks"
    if leaks:
        return Finding(FAIL, figure, f"{evidence}: {leaks[0]}")
    if not entry_count or not stop_count:
        return Finding(NOT_YET, figure, f"{evidence}: {'nothing left' if not entry_count else 'nothing stopped'} yet")
    return Finding(PASS, figure, evidence)


def _entries(orders: pl.DataFrame, since_ts_ns: int) -> Iterator[_Entry]:
    rows = orders.filter(~pl.col("is_reduce_only") & (pl.col("decided_ts_ns") >= since_ts_ns))
    for (cloid,), changes in rows.sort("seq", "ordinal").group_by("cloid", maintain_order=True):
        if not changes["status"].is_in(LEFT).any():
            continue
        first = changes.row(0, named=True)
        sent_us: list[int] = changes["sent_us"].drop_nulls().to_list()
        sent_ts_ns = first["decided_ts_ns"] + max(sent_us) * 1_000 if sent_us else None
        yield _Entry(first["seq"], first["ordinal"], first["coin"], str(cloid), first["signal_id"], sent_ts_ns)


def _stops_of(events: pl.DataFrame, *, is_latched: bool) -> _Stops:
    stops = _Stops()
    if is_latched:
        stops.latches.append(((-1, -1), None, -1))
    rows = events.filter(pl.col("kind").is_in(STOPS)).sort("seq", "ordinal")
    columns = ("seq", "ordinal", "ts_ns", "coin", "kind", "subject", "state")
    for seq, ordinal, ts_ns, coin, kind, subject, state in rows.select(columns).iter_rows():
        if kind == "latch_changed":
            if state == "set" and not stops.is_latched:
                stops.latches.append(((seq, ordinal), None, ts_ns))
            elif state == "reset" and stops.is_latched:
                begin, _, set_ts_ns = stops.latches[-1]
                stops.latches[-1] = (begin, (seq, ordinal), set_ts_ns)
            continue
        is_gate = kind == "gate_changed"
        is_block = state == "block" if is_gate else state != "trading"
        intervals = stops.blocks.setdefault((coin, f"gate {subject}" if is_gate else "market stop"), [])
        is_open = bool(intervals) and intervals[-1][1] is None
        if is_block and not is_open:
            intervals.append((seq, None))
        elif not is_block and is_open:
            intervals[-1] = (intervals[-1][0], seq)
    return stops
