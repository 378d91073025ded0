"""Many settings on columns: which signals each would have raised, and what each gate would have said.

The thresholds of the production detector and gates are evaluated on recorded rows. A test decides misbehaving sessions
with the engine itself under each setting, and compares signals and gate vectors row by row.

Rule 1: a setting is a whole `Limits`; those of the detector's edge and of gates 1, 2, 3 and 7 may differ from what was
recorded. Gates 4, 5, 6 and 8 are as recorded (see `sweep_tape`), and so are the controls of the whole account.
Rule 2: what depends on being in the market (open position, order in flight, caps) is not decided here: `hip3 replay
--set` does that. A sweep says which signals there are and what their gates say.
Rule 3: a row whose recorded gates or fast books can not be known exactly says so (`is_uncertain`).

    edge of a side >= 2 x taker fee + slippage + least edge begins an episode; <= rearm ratio x that arms the side again
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import polars as pl

from hip3_platform.analytics.evidence.family import Flags, Ints
from hip3_platform.analytics.sweep_exact import exceeds, reaches
from hip3_platform.analytics.sweep_spread import Shocks, learned_of, levels_at, shocks_of
from hip3_platform.analytics.sweep_tape import NONE, RECORDED_GATES, Tape
from streaming.core.detector import raw_edge_bps
from streaming.core.effects import GateId, GateStatus
from streaming.core.limits import DetectorLimits, GateLimits, Limits
from streaming.core.market import Side
from streaming.core.rounding import round_px_toward_safe
from streaming.core.trigger import threshold_bps_of
from streaming.core.units import BPS, NS_PER_MS, quantize_bps

SWEPT = (
    "detector.slippage_bps", "detector.edge_bps_min", "detector.rearm_ratio", "gates.ctx_age_ms_max",
    "gates.mark_mid_divergence_bps_max", "gates.spread_shock_ratio_max", "gates.spread_shock_ratio_min",
    "gates.spread_shock_margin_ratio", "gates.spread_ewma_alpha", "gates.spread_ewma_count_min",
    "gates.spread_shock_cooldown_ms", "gates.bbo_confirmation_age_ms_max",
)  # fmt: skip
"""Limits that may differ from those of the recording."""
CONTROLS = ("stop_latch", "rate_limit", "writer", "venue_post_only", "venue_clock", "venue_lag")
"""Account-wide controls in the order in which a signal names them (`streaming.core.stop.entries_closed_by`)."""
_PASS, _REDUCE, _BLOCK = (status.value for status in (GateStatus.PASS, GateStatus.REDUCE, GateStatus.BLOCK))

SCHEMA: dict[str, Any] = {
    "setting": pl.Int64,
    "session_id": pl.String,
    "coin": pl.String,
    "seq": pl.Int64,
    "ts_ns": pl.Int64,
    "side": pl.String,
    "origin": pl.String,
    "limit_px": pl.Float64,
    "raw_edge_bps": pl.Float64,
    **{gate.value: pl.String for gate in GateId},
    "blocked_by": pl.String,
    "is_uncertain": pl.Boolean,
}
"""Columns of a sweep, one row a signal and setting; gates hold pass, reduce or block."""


class NotSweptError(ValueError):
    """A setting differs from the recording in a limit that columns can not answer."""


@dataclass(frozen=True, slots=True)
class _Signals:
    """Places on the tape at which one side raises a signal."""

    side: Side
    places: Ints
    limit_px: list[Decimal]


def sweep(tape: Tape, recorded: Limits, settings: Sequence[Limits]) -> pl.DataFrame:
    """Return the signals and gate vectors of one market and session under every setting, see `SCHEMA`.

    Args:
        tape: The session as columns.
        recorded: Limits it ran with.
        settings: What to try; setting i has the rows with `setting` = i.

    Raises:
        NotSweptError: A setting changes a limit outside of `SWEPT`.
    """
    for setting in settings:
        _check(recorded, setting)
    signals: dict[tuple[Decimal, Decimal], list[_Signals]] = {}
    shocks: dict[tuple[object, ...], Shocks] = {}
    frames = [pl.DataFrame(schema=SCHEMA)]
    for number, setting in enumerate(settings):
        detector, gates = setting.detector, setting.gates
        key = (detector.slippage_bps + detector.edge_bps_min, detector.rearm_ratio)
        if key not in signals:
            signals[key] = [_signals(tape, side, detector) for side in Side]
        mark = (gates.spread_ewma_alpha, gates.spread_shock_ratio_max, gates.spread_shock_ratio_min,
                gates.spread_shock_margin_ratio, gates.spread_ewma_count_min,
                gates.spread_shock_cooldown_ms)  # fmt: skip
        if mark not in shocks:
            shocks[mark] = shocks_of(tape, learned_of(tape, gates), gates)
        frames += [_judged(tape, found, gates, shocks[mark], number) for found in signals[key]]
    return pl.concat(frames).sort("setting", "seq", "side")


def _check(recorded: Limits, setting: Limits) -> None:
    other = [name for name in _differing(recorded, setting) if name not in SWEPT]
    if other:
        raise NotSweptError(
            f"expected changes of {', '.join(SWEPT)}; found {', '.join(other)}: use `hip3 replay --set` for these"
        )


def _differing(recorded: Limits, setting: Limits) -> list[str]:
    one, two = (msgspec.to_builtins(limits, builtin_types=(Decimal,)) for limits in (recorded, setting))
    return [
        name if not isinstance(value, dict) else f"{name}.{leaf}"
        for name, value in one.items()
        for leaf in (value if isinstance(value, dict) else [name])
        if (value[leaf] if isinstance(value, dict) else value)
        != (two[name][leaf] if isinstance(value, dict) else two[name])
    ]


def _signals(tape: Tape, side: Side, limits: DetectorLimits) -> _Signals:
    """Walk the crosses of one side: a signal, then nothing until the edge is back, then the next cross."""
    px = tape.ask_px if side is Side.BUY else tape.bid_px
    distance = tape.oracle_px - px if side is Side.BUY else px - tape.oracle_px
    is_crossed, is_rearmed = np.zeros(px.size, dtype=bool), np.zeros(px.size, dtype=bool)
    for place, (fee_bps, _) in enumerate(tape.specs):
        rows = np.flatnonzero(tape.is_judged & (tape.spec == place))
        threshold = threshold_bps_of(fee_bps, limits)
        is_crossed[rows] = reaches(distance[rows], tape.oracle_px[rows], threshold / BPS)
        # <= the threshold to arm is >= from the other side.
        is_rearmed[rows] = reaches(-distance[rows], tape.oracle_px[rows], -threshold * limits.rearm_ratio / BPS)
    crosses, arms = np.flatnonzero(is_crossed & tape.is_ready), np.flatnonzero(is_rearmed)
    places: list[int] = []
    prices: list[Decimal] = []
    at = 0
    while at < crosses.size:
        place = int(crosses[at])
        limit_px = _limit_px(tape, side, place, int(px[place]))
        if not limit_px:
            at += 1  # no legal price: no episode, and the side stays armed
            continue
        places.append(place)
        prices.append(limit_px)
        arm = int(np.searchsorted(arms, place, side="right"))
        if arm == arms.size:
            break
        at = int(np.searchsorted(crosses, arms[arm], side="right"))
    return _Signals(side, np.array(places, dtype=np.int64), prices)


def _limit_px(tape: Tape, side: Side, place: int, px: int) -> Decimal:
    _, sz_decimals = tape.specs[int(tape.spec[place])]
    return round_px_toward_safe(side, Decimal(px).scaleb(-8), sz_decimals)


def _judged(tape: Tape, found: _Signals, gates: GateLimits, shocks: Shocks, number: int) -> pl.DataFrame:
    places = found.places
    statuses, is_uncertain = _statuses(tape, places, gates, shocks)
    closed = {name: _closed(tape, name, places) for name in CONTROLS}
    oracles = (Decimal(px).scaleb(-8) for px in tape.oracle_px[places].tolist())
    edges = [
        float(quantize_bps(raw_edge_bps(found.side, px, oracle)))
        for px, oracle in zip(found.limit_px, oracles, strict=True)
    ]
    names = [gate.value for gate in GateId]
    blocked = [
        ",".join([*(n for n in names if statuses[n][row] == _BLOCK), *(n for n in CONTROLS if closed[n][row])])
        for row in range(places.size)
    ]
    return pl.DataFrame(
        {
            "setting": np.full(places.size, number),
            "session_id": [tape.session_id] * places.size,
            "coin": [tape.coin] * places.size,
            "seq": tape.seq[places],
            "ts_ns": tape.ts_ns[places],
            "side": [found.side.value] * places.size,
            "origin": np.where(tape.is_oracle_led[places], "oracle_led", "quote_led").tolist(),
            "limit_px": [float(px) for px in found.limit_px],
            "raw_edge_bps": edges,
            **statuses,
            "blocked_by": blocked,
            "is_uncertain": is_uncertain,
        },
        schema=SCHEMA,
    )


def _statuses(tape: Tape, places: Ints, limits: GateLimits, shocks: Shocks) -> tuple[dict[str, list[str]], Flags]:
    now = tape.mono_ns[places]
    mid_twice = tape.bid_px[places] + tape.ask_px[places]
    gap = np.abs(2 * tape.mark_px[places] - mid_twice)
    divergence = limits.mark_mid_divergence_bps_max / BPS
    confirmation = tape.confirmation_mono_ns[places]
    is_unconfirmed = (confirmation == NONE) | (now - confirmation > limits.bbo_confirmation_age_ms_max * NS_PER_MS)
    level = levels_at(tape, shocks, places, limits)
    level = np.where(tape.valid[places] < limits.spread_ewma_count_min, 2, level)
    blocked = {
        GateId.ORACLE_FRESH: now - tape.ctx_mono_ns[places] > limits.ctx_age_ms_max * NS_PER_MS,
        GateId.MARK_MID_DIVERGENCE: exceeds(
            gap, mid_twice, np.full(places.size, float(divergence)), lambda _place: divergence
        ),
        GateId.NO_BBO_UPDATE: is_unconfirmed,
    }
    statuses = {gate.value: np.where(flags, _BLOCK, _PASS).tolist() for gate, flags in blocked.items()}
    statuses[GateId.SPREAD_SHOCK.value] = [(_PASS, _REDUCE, _BLOCK)[int(each)] for each in level]
    is_uncertain = is_unconfirmed & tape.has_fast_books
    for gate in RECORDED_GATES:
        seen, is_open = _recorded(tape, gate, places)
        statuses[gate.value] = seen
        is_uncertain = is_uncertain | is_open
    for gate in GateId:
        if gate in limits.disabled_gates:
            statuses[gate.value] = [_PASS] * places.size
    return statuses, np.asarray(is_uncertain, dtype=bool)


def _recorded(tape: Tape, gate: GateId, places: Ints) -> tuple[list[str], Flags]:
    """Return what was last seen of a gate, and where the next look saw something else."""
    seqs, states = tape.changes[gate.value]
    seq = tape.seq[places]
    last = np.searchsorted(seqs, seq, side="right") - 1
    seen = [states[at] if at >= 0 else _BLOCK for at in last.tolist()]
    look = np.searchsorted(tape.sweep_seq, seq, side="right")
    next_look = np.where(look < tape.sweep_seq.size, tape.sweep_seq[np.minimum(look, tape.sweep_seq.size - 1)], NONE)
    upto = np.searchsorted(seqs, next_look, side="right") - 1
    is_open = [
        status != (states[at] if at >= 0 else _BLOCK) or follow == NONE
        for status, at, follow in zip(seen, upto.tolist(), next_look.tolist(), strict=True)
    ]
    known = np.array([int(each) in tape.observed for each in seq], dtype=bool)
    return seen, np.array(is_open, dtype=bool) & ~known


def _closed(tape: Tape, name: str, places: Ints) -> Flags:
    seqs, flags = tape.controls.get(name, (np.empty(0, dtype=np.int64), np.empty(0, dtype=bool)))
    at = np.searchsorted(seqs, tape.seq[places], side="right") - 1
    return np.where(at >= 0, flags[np.maximum(at, 0)], False) if flags.size else np.zeros(places.size, dtype=bool)
