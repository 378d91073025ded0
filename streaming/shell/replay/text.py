"""The replay's reports as text for a terminal."""

import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from streaming.shell.replay.frame_stats import MarketDay, Quantiles
from streaming.shell.replay.frames import FramesReport
from streaming.shell.replay.outcome import Outcome
from streaming.shell.replay.parity import Difference, ParityReport
from streaming.shell.replay.whatif import Compared, WhatIfReport


def parity_text(report: ParityReport) -> str:
    """Return a parity report, one session a line, then the first difference in full."""
    return "\n".join(_parity_lines(report)) + "\n"


def what_if_text(report: WhatIfReport) -> str:
    """Return both runs side by side, in all and by market, then the signals that changed."""
    return "\n".join(_what_if_lines(report)) + "\n"


def frames_text(report: FramesReport) -> str:
    """Return what a recording held: channels, markets by day, tables, and what was assumed."""
    return "\n".join(_frames_lines(report)) + "\n"


def _parity_lines(report: ParityReport) -> Iterator[str]:
    for session in report.sessions:
        yield (
            f"{session.session_id}: {session.segment_count} segments, {session.input_count} inputs, "
            f"{session.decision_count} decisions, {session.difference_count} differences, "
            f"{session.state_difference_count} state differences"
        )
        if session.code_version != report.code_version:
            yield f"  recorded by {session.code_version}, decided again by {report.code_version}"
        if session.torn_byte_count:
            yield f"  torn tail: {session.torn_byte_count} bytes were never acted on and are left out"
    if report.first_difference is not None:
        yield from _difference_lines(report.first_difference)
    verdict = "no difference" if report.is_equal else "DIFFERENT"
    yield (
        f"{verdict}: {report.session_count} sessions, {report.input_count} inputs, {report.decision_count} decisions, "
        f"{report.difference_count} differences, {report.state_difference_count} state differences"
    )
    if not report.is_same_code:
        said = "all the same" if report.is_equal else "a difference may be the change of code, not an error"
        yield f"the code is not the one that recorded (above); {said}"


def _what_if_lines(report: WhatIfReport) -> Iterator[str]:
    yield f"what-if: {', '.join(report.settings)}; {report.session_count} sessions, {report.input_count} inputs"
    for session in report.sessions:
        if session.widened:
            yield f"{session.session_id}: wider than it ran with: {', '.join(session.widened)}"
        if session.is_paper_only:
            yield f"{session.session_id}: could sign, so both runs are decided on paper"
    total = report.total
    yield from _table(("", "before", "after"), list(_outcome_rows(total.before, total.after)))
    yield (
        f"signals: {total.same_count} alike, {total.changed_count} judged otherwise, {total.only_before_count} gone, "
        f"{total.only_after_count} new"
    )
    if report.markets:
        yield ""
        head = ("market", "signals", "passed", "entries", "filled", "round trips", "net usd")
        yield from _table(head, [_compared_row(coin, compared) for coin, compared in report.markets.items()])
    changes = [change for session in report.sessions for change in session.changes]
    if changes:
        yield ""
        rows = [(str(c.seq), c.coin, c.side, _blocked_text(c.before), _blocked_text(c.after)) for c in changes]
        yield from _table(("seq", "market", "side", "before", "after"), rows)
    if not report.is_same_code:
        yield "the code is not the one that recorded: a part of what changed may be the change of code"


def _outcome_rows(before: Outcome, after: Outcome) -> Iterator[tuple[str, ...]]:
    for name in Outcome.__struct_fields__:
        old, new = getattr(before, name), getattr(after, name)
        if isinstance(old, dict):
            label = name.replace("_", " ")
            yield from ((f"{label} {key}", str(old.get(key, 0)), str(new.get(key, 0))) for key in sorted(old | new))
        else:
            yield name.removesuffix("_count").replace("_", " "), _figure(old), _figure(new)


def _compared_row(coin: str, compared: Compared) -> tuple[str, ...]:
    names = ("signal_count", "passed_count", "entry_count", "entry_filled_count", "round_trip_count", "net_usd")
    pairs = [(getattr(compared.before, name), getattr(compared.after, name)) for name in names]
    return (coin, *(_figure(old) if old == new else f"{_figure(old)} → {_figure(new)}" for old, new in pairs))


def _figure(value: int | Decimal) -> str:
    return f"{value:.4f}" if isinstance(value, Decimal) else str(value)


def _blocked_text(blocked_by: tuple[str, ...] | None) -> str:
    return "-" if blocked_by is None else ",".join(blocked_by) or "passed"


def _difference_lines(difference: Difference) -> Iterator[str]:
    yield (
        f"first difference: session {difference.session_id}, seq {difference.seq}, {difference.event} "
        f"{difference.coin} at {difference.recv_ts_ns} ns"
    )
    for title, outputs in (("recorded", difference.recorded), ("decided now", difference.decided)):
        yield f"  {title}:"
        yield from (f"    {json.dumps(output, ensure_ascii=True)}" for output in outputs or ["(nothing)"])
    for title, gates in (("recorded gates", difference.recorded_gates), ("gates now", difference.decided_gates)):
        for vector in gates:
            yield f"  {title}: " + ", ".join(_gate_text(gate) for gate in vector)
    if difference.differing_gates:
        yield f"  differing: {', '.join(difference.differing_gates)}"


def _gate_text(gate: dict[str, Any]) -> str:
    return f"{gate['gate']}={gate['status']} ({gate['observed']} against {gate['limit']})"


def _frames_lines(report: FramesReport) -> Iterator[str]:
    yield (
        f"{report.file}: {report.frame_count} frames, {report.read_count} read, {report.unreadable_count} unreadable, "
        f"{report.unknown_count} of unknown channels"
    )
    counts = ("frame_count", "read_count", "unreadable_count", "unknown_count")
    rows = [(name, *(str(stats[count]) for count in counts)) for name, stats in report.channels.items()]
    yield from _table(("channel", "frames", "read", "unreadable", "unknown"), rows)
    for name, stats in report.channels.items():
        yield from (f"  {name}: {count} x {reason}" for reason, count in stats["reasons"].items())
    yield ""
    yield from _table(
        ("day", "market", "bbo", "null", "bbo ms p50/95/99", "ctx", "ctx ms p50/95/99", "cross buy/sell", "episodes",
         "signals", "blocked"),
        [_market_row(market) for market in report.markets],
    )  # fmt: skip
    yield ""
    if report.warehouse is not None:
        rows_text = ", ".join(f"{table} {count}" for table, count in report.row_counts.items())
        yield f"tables: {report.part_count} parts in {report.warehouse}, session {report.session_id}: {rows_text}"
    sources = ", ".join(f"{count} {name}" for name, count in report.stamp_sources.items() if count)
    yield f"receive times: {sources or 'none'}; {report.hole_count} holes, {report.reconnect_count} reconnects"
    yield from (f"assumed: {text}" for text in report.assumptions)


def _market_row(market: MarketDay) -> tuple[str, ...]:
    null_ratio = "-" if market.bbo_null_ratio is None else f"{market.bbo_null_ratio:.1%}"
    return (
        market.day,
        market.coin,
        str(market.bbo_count),
        null_ratio,
        _quantiles_text(market.bbo_interval_ms),
        str(market.ctx_count),
        _quantiles_text(market.ctx_interval_ms),
        f"{market.cross_buy_count}/{market.cross_sell_count}",
        str(market.episode_count),
        str(market.signal_count),
        str(market.blocked_count),
    )


def _quantiles_text(quantiles: Quantiles | None) -> str:
    return "-" if quantiles is None else f"{quantiles.p50:.0f}/{quantiles.p95:.0f}/{quantiles.p99:.0f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(cell) for cell in column) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
