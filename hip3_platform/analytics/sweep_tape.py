"""One market of one recorded session as columns: what the detector and the gates saw at every bbo and ctx.

Rule 1: rows that the engine dropped are dropped here: an older connection, venue time that ran backwards.
Rule 2: the session is read from its beginning: mean spread and learned k are sums over all of it.
Rule 3: prices stay the whole numbers that are stored (1e-8); the mean spread is rounded as the engine does.
Rule 4: what no table holds is taken from what the sidecar wrote about itself: readiness, entries, and the gates that
depend on polls. Between two of its looks (one a second) such a gate is not known, and the row says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import polars as pl

from hip3_platform.analytics.evidence.family import Flags, Ints
from streaming.core.effects import GateId
from streaming.core.units import NS_PER_MS

SOURCE_TABLES = ("bbo", "ctx", "health", "events", "specs", "gates", "configs")
RECORDED_GATES = (GateId.OI_CAP, GateId.PARAM_CHANGE, GateId.HALT, GateId.TIME_REGRESSION)
"""Gates whose inputs are in no table."""
NONE = -1
VENUE_JUMP_MS_MAX = 60_000
"""As `streaming.core.feed`: a venue time further ahead earns no freshness (F-16)."""
_CONFIRMED_EARLIER_NS = 2 * NS_PER_MS
"""Ages in health rows are whole milliseconds: what a fast book confirmed shows beyond this."""


@dataclass(frozen=True, slots=True)
class Tape:
    """Every bbo and ctx that counted, in the order of receipt; index arrays point into the other columns."""

    coin: str
    session_id: str
    seq: Ints
    ts_ns: Ints
    mono_ns: Ints
    is_ctx: Flags
    is_oracle_led: Flags
    is_judged: Flags
    """A valid book, a known oracle, and the market was ready or not: an event that may arm or cross."""
    is_ready: Flags
    bid_px: Ints
    """Touch in force, 1e-8; meaningful where judged."""
    ask_px: Ints
    oracle_px: Ints
    mark_px: Ints
    ctx_mono_ns: Ints
    confirmation_mono_ns: Ints
    """Last confirmation of the book (gate 7); NONE before the first."""
    spec: Ints
    """Place in `specs`."""
    specs: tuple[tuple[Decimal, int], ...]
    """(taker fee of a side in bps, size decimals)."""
    valid: Ints
    """Number of valid books up to and with this event, over the whole session."""
    valid_seq: Ints
    valid_mono_ns: Ints
    spread_px: Ints
    """Spread of every valid book, 1e-8."""
    sweep_seq: Ints
    """Looks of the fixed clock."""
    is_sweep_valid: Flags
    has_fast_books: bool
    """Fast books confirmed the touch, which no table shows between two looks."""
    changes: Mapping[str, tuple[Ints, list[str]]]
    """Recorded gate → (seq, status) of every look and signal that found another status."""
    observed: Mapping[int, Mapping[str, str]]
    """Seq of a recorded signal → status of the recorded gates then."""
    controls: Mapping[str, tuple[Ints, Flags]]
    """Account-wide control → (seq, is closed)."""


def tape_of(tables: Mapping[str, pl.DataFrame], coin: str, session_id: str) -> Tape:
    """Return the tape of one market and session.

    Args:
        tables: Table → rows of that session, of this market and of no market, from the session's first input on.
        coin: Market.
        session_id: Session.
    """
    mine = {
        name: frame.filter((pl.col("session_id") == session_id) & pl.col("coin").is_in([coin, ""]))
        for name, frame in tables.items()
    }
    bbo, ctx = mine["bbo"].sort("seq"), mine["ctx"].sort("seq")
    events = mine["events"].sort("seq", "ordinal")
    health = mine["health"].sort("seq", "ts_ns")
    specs, versions = _specs(mine["specs"])
    rows = _merged(bbo, ctx, events, versions)
    return _tape(rows, specs, health, events, mine["gates"], coin=coin, session_id=session_id)


def _specs(frame: pl.DataFrame) -> tuple[tuple[tuple[Decimal, int], ...], dict[str, int]]:
    kept = frame.unique("spec_version", keep="first", maintain_order=True)
    rows = kept.select("taker_fee_bps", "sz_decimals").rows()
    return tuple(rows), {version: place for place, version in enumerate(kept["spec_version"])}


def _scaled(frame: pl.DataFrame, name: str) -> Ints:
    return frame[name].to_physical().cast(pl.Int64).fill_null(NONE).to_numpy()


def _ints(frame: pl.DataFrame, name: str) -> Ints:
    return frame[name].cast(pl.Int64).to_numpy()


def _merged(bbo: pl.DataFrame, ctx: pl.DataFrame, events: pl.DataFrame, versions: dict[str, int]) -> dict[str, Ints]:
    """Put both feeds in the order of receipt and drop what did not count; columns are NONE where a row has none."""
    names = ("seq", "recv_ts_ns", "recv_mono_ns", "generation")
    columns = {name: np.concatenate([_ints(bbo, name), _ints(ctx, name)]) for name in names}
    count, other = bbo.height, ctx.height
    columns["is_ctx"] = np.repeat([0, 1], [count, other])
    version = pl.concat([bbo["spec_version"].cast(pl.String), ctx["spec_version"].cast(pl.String)])
    columns["spec"] = version.replace_strict(versions, default=NONE, return_dtype=pl.Int64).to_numpy()
    for name in ("bid_px", "bid_sz", "ask_px", "ask_sz"):
        columns[name] = np.concatenate([_scaled(bbo, name), np.full(other, NONE)])
    columns["venue_ts_ms"] = np.concatenate([_ints(bbo, "venue_ts_ms"), np.full(other, NONE)])
    for name in ("oracle_px", "mark_px", "mid_px"):
        columns[name] = np.concatenate([np.full(count, NONE), _scaled(ctx, name)])
    order = np.argsort(columns["seq"], kind="stable")
    columns = {name: values[order] for name, values in columns.items()}
    generation = columns["generation"]
    kept = generation == np.maximum.accumulate(generation) if generation.size else np.zeros(0, dtype=bool)
    lost = events.filter((pl.col("kind") == "connection_changed") & (pl.col("state") == "lost"))
    for seq, number in zip(_ints(lost, "seq").tolist(), lost["value"].to_list(), strict=True):
        kept &= ~((generation == int(number)) & (columns["seq"] > seq))
    return {name: values[kept] for name, values in columns.items()}


def _tape(
    rows: dict[str, Ints],
    specs: tuple[tuple[Decimal, int], ...],
    health: pl.DataFrame,
    events: pl.DataFrame,
    gates: pl.DataFrame,
    *,
    coin: str,
    session_id: str,
) -> Tape:
    dropped, trusted = _venue_time(rows)
    rows["trusted"] = trusted
    rows = {name: values[~dropped] for name, values in rows.items()}
    is_ctx, generation, seq = rows["is_ctx"] == 1, rows["generation"], rows["seq"]
    mono_ns = np.maximum.accumulate(rows["recv_mono_ns"]) if seq.size else rows["recv_mono_ns"]
    book = _last(~is_ctx, generation)
    context = _last(is_ctx, generation)
    is_two_sided = (rows["bid_px"] != NONE) & (rows["ask_px"] != NONE) & (rows["bid_px"] < rows["ask_px"])
    is_valid_row = ~is_ctx & is_two_sided & (rows["bid_sz"] > 0) & (rows["ask_sz"] > 0)
    bid_px, ask_px = rows["bid_px"][book], rows["ask_px"][book]
    has_book = (book != NONE) & is_valid_row[book]
    previous = np.concatenate([[NONE], context[:-1]]) if seq.size else context
    previous = np.where(_is_first(generation), NONE, previous)
    is_stepped = is_ctx & (previous != NONE) & (rows["oracle_px"] != rows["oracle_px"][previous])
    is_confirmed = is_ctx & has_book & (rows["mid_px"] != NONE) & (2 * rows["mid_px"] == bid_px + ask_px)
    is_confirmed |= is_valid_row & (rows["trusted"] == 1)
    confirmed = _last(is_confirmed, generation)
    confirmation = np.where(confirmed == NONE, NONE, mono_ns[confirmed])
    sweep_seq = _ints(health, "seq")
    by_health, has_fast_books = _seen_confirmations(health, seq, mono_ns, rows["recv_ts_ns"], confirmation)
    changes, observed = _recorded_gates(events, gates)
    return Tape(
        coin=coin,
        session_id=session_id,
        seq=seq,
        ts_ns=rows["recv_ts_ns"],
        mono_ns=mono_ns,
        is_ctx=is_ctx,
        is_oracle_led=is_stepped,
        is_judged=has_book & (context != NONE),
        is_ready=_readiness(events, health, seq),
        bid_px=bid_px,
        ask_px=ask_px,
        oracle_px=rows["oracle_px"][context],
        mark_px=rows["mark_px"][context],
        ctx_mono_ns=rows["recv_mono_ns"][context],
        confirmation_mono_ns=np.maximum(confirmation, by_health),
        spec=rows["spec"],
        specs=specs,
        valid=np.cumsum(is_valid_row),
        valid_seq=seq[is_valid_row],
        valid_mono_ns=mono_ns[is_valid_row],
        spread_px=(rows["ask_px"] - rows["bid_px"])[is_valid_row],
        sweep_seq=sweep_seq,
        is_sweep_valid=(health["book_class"].cast(pl.String) == "valid").to_numpy(),
        has_fast_books=has_fast_books,
        changes=changes,
        observed=observed,
        controls=_controls(events),
    )


def _is_first(generation: Ints) -> Flags:
    return np.concatenate([[True], generation[1:] != generation[:-1]]) if generation.size else np.zeros(0, dtype=bool)


def _last(flags: Flags, generation: Ints) -> Ints:
    """Return for every row the last one with the flag, itself included, of the same connection; NONE without one."""
    places = np.arange(flags.size)
    last = np.maximum.accumulate(np.where(flags, places, NONE)) if flags.size else places
    begin = np.maximum.accumulate(np.where(_is_first(generation), places, 0)) if flags.size else places
    return np.where(last >= begin, last, NONE)


def _venue_time(rows: dict[str, Ints]) -> tuple[Flags, Ints]:
    """Return which rows were dropped because venue time ran backwards, and which of the others earn freshness."""
    dropped = np.zeros(rows["seq"].size, dtype=bool)
    trusted = np.ones(rows["seq"].size, dtype=np.int64)
    for number in np.unique(rows["generation"]):
        places = np.flatnonzero((rows["generation"] == number) & (rows["is_ctx"] == 0))
        times = rows["venue_ts_ms"][places]
        if not times.size:
            continue
        before = np.concatenate([[0], np.maximum.accumulate(times)[:-1]])
        if not ((times < before).any() or (times[1:] - before[1:] > VENUE_JUMP_MS_MAX).any()):
            continue  # nearly every connection
        _walk_venue_time(rows, places, dropped, trusted)
    return dropped, trusted


def _walk_venue_time(rows: dict[str, Ints], places: Ints, dropped: Flags, trusted: Ints) -> None:
    last_ms, last_mono_ns = 0, None
    for place in places.tolist():
        time_ms, mono_ns = int(rows["venue_ts_ms"][place]), int(rows["recv_mono_ns"][place])
        ahead_ms = time_ms - last_ms
        if ahead_ms < 0:
            dropped[place] = True
            continue
        passed_ms = 0 if last_mono_ns is None else (mono_ns - last_mono_ns) // NS_PER_MS
        is_jump = last_mono_ns is not None and ahead_ms - passed_ms > VENUE_JUMP_MS_MAX
        if ahead_ms > VENUE_JUMP_MS_MAX and is_jump:
            trusted[place] = 0
        else:
            last_ms = time_ms
        last_mono_ns = mono_ns


def _seen_confirmations(
    health: pl.DataFrame, seq: Ints, mono_ns: Ints, ts_ns: Ints, confirmation: Ints
) -> tuple[Ints, bool]:
    """Return what health rows know of confirmations up to every event, and whether they know more than the feeds."""
    known = health.filter(pl.col("confirmation_age_ms").is_not_null())
    if not known.height or not seq.size:
        return np.full(seq.size, NONE), False
    at = np.clip(np.searchsorted(seq, _ints(known, "seq")) - 1, 0, None)
    look_ns = _ints(known, "ts_ns") - (ts_ns[at] - mono_ns[at])
    seen = look_ns - (_ints(known, "confirmation_age_ms") + 1) * NS_PER_MS
    is_new = seen > confirmation[at] + _CONFIRMED_EARLIER_NS
    best = np.maximum.accumulate(np.where(is_new, seen, NONE))
    place = np.searchsorted(_ints(known, "seq"), seq, side="right") - 1
    return np.where(place >= 0, best[np.maximum(place, 0)], NONE), bool(is_new.any())


def _readiness(events: pl.DataFrame, health: pl.DataFrame, seq: Ints) -> Flags:
    rows = events.filter(pl.col("kind") == "market_ready_changed")
    at = np.searchsorted(_ints(rows, "seq"), seq, side="right") - 1
    is_ready = (rows["state"] == "ready").to_numpy()
    begin = bool(health["is_ready"][0]) if health.height and not rows.height else False
    return np.where(at >= 0, is_ready[np.maximum(at, 0)], begin) if is_ready.size else np.full(seq.size, begin)


def _recorded_gates(
    events: pl.DataFrame, gates: pl.DataFrame
) -> tuple[dict[str, tuple[Ints, list[str]]], dict[int, dict[str, str]]]:
    changed = events.filter(pl.col("kind") == "gate_changed").select("seq", "subject", "state")
    observed: dict[int, dict[str, str]] = {}
    for seq, gate, status in gates.select("seq", "gate", "status").iter_rows():
        observed.setdefault(seq, {})[gate] = status
    changes = {}
    for gate in RECORDED_GATES:
        rows = [(seq, state) for seq, subject, state in changed.iter_rows() if subject == gate.value]
        rows += [(seq, known[gate.value]) for seq, known in observed.items() if gate.value in known]
        rows.sort(key=lambda row: row[0])
        changes[gate.value] = (np.array([seq for seq, _ in rows], dtype=np.int64), [state for _, state in rows])
    return changes, observed


def _controls(events: pl.DataFrame) -> dict[str, tuple[Ints, Flags]]:
    rows = events.filter(pl.col("kind") == "entries_changed")
    return {
        str(name): (_ints(group, "seq"), (group["state"] == "closed").to_numpy())
        for (name,), group in rows.group_by("subject", maintain_order=True)
    }
