"""Paths behind the columns of an hour: the underlying, the published oracle, the makers, and windows of trouble."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streaming.sim.markets.noise import Floats, Ints, generator_of, key_of, lattice, smooth
from streaming.sim.scenario.characters import Character, Label
from streaming.sim.scenario.universe import Market

HOUR_S = 3600
_GRID_S = 0.25
_GRID = int(HOUR_S / _GRID_S)
_SLOTS = 1028
"""Oracle updates an hour: every 3.5 s, each up to 0.5 s late."""
_QUIET_S = 12.0
"""No jump this long before a full hour, so that slow makers have arrived when the next hour begins."""
_BIG_STEP_BPS = 4.0
_DAY_S = 24 * HOUR_S
_BASIS_PERIOD_S = 2.5 * HOUR_S

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Path:
    """What drives one market-hour. Logs are bps from the market's price level, `_s` counts from the hour's begin."""

    seed: int
    hour: int
    oracle_ms: Ints
    oracle_px: Ints
    mark_px: Ints
    maker_s: Floats
    maker_bps: Floats
    """Where makers see the price from each instant of `maker_s` on (without basis)."""
    follow_s: Floats
    """Instants at which makers move noticeably, so the touch changes."""
    basis_ts_s: Floats
    basis_bps: Floats
    prev_day_px: float


def session_factor(hour: int) -> float:
    """Activity by UTC hour: 1 in the US session, less before and after, least at weekends."""
    weekday, of_day = (hour // 24 + 3) % 7, hour % 24
    if weekday >= 5:
        return 0.4
    if 13 <= of_day < 21:
        return 1.2 if of_day in {14, 15, 20} else 1.0
    return 0.7 if 8 <= of_day < 13 else 0.5


def anchor_bps(seed: int, coin: str, hours: Ints) -> Floats:
    """Log price at full hours: waves of days and weeks, a kick for every hour, a part common to all markets."""
    ts_s = hours.astype(np.float64) * HOUR_S
    total = np.zeros(hours.size)
    for name, share in ((coin, 1.0), ("common", 0.6)):
        total += share * 220.0 * smooth(key_of(seed, name, "weeks"), ts_s, 9.3 * _DAY_S)
        total += share * 90.0 * smooth(key_of(seed, name, "days"), ts_s, 1.7 * _DAY_S)
        total += share * 18.0 * lattice(key_of(seed, name, "hours"), hours)
    return total


def make_path(seed: int, market: Market, character: Character, hour: int, rng: np.random.Generator) -> Path:
    """Draw one market-hour's underlying, oracle and makers."""
    underlying = _underlying(seed, market, character, hour, rng)
    slot_s: Floats = np.arange(_SLOTS, dtype=np.float64) * (HOUR_S / _SLOTS)
    slot_s[1:] += rng.uniform(0.0, 0.5, _SLOTS - 1)
    oracle = underlying[(slot_s / _GRID_S).astype(np.int64)]
    oracle[1:] += character.oracle_noise_bps * rng.standard_normal(_SLOTS - 1)
    if character.follows_oracle:
        maker_s, maker_bps = _followers(character, slot_s, oracle, rng)
    else:
        # Two grid steps behind the underlying: about a quarter of a second.
        maker_s = np.concatenate([[0.0], (np.arange(_GRID) + 1.5) * _GRID_S])
        maker_bps = np.concatenate([underlying[:1], underlying[:_GRID]])
    basis_ts_s = hour * float(HOUR_S) + np.arange(0.0, HOUR_S + 1.0, 5.0)
    basis = character.basis_bps * 1.6 * smooth(key_of(seed, market.coin, "basis"), basis_ts_s, _BASIS_PERIOD_S)
    seen = maker_bps[np.searchsorted(maker_s, slot_s, side="right") - 1]
    gap = np.interp(slot_s, basis_ts_s - basis_ts_s[0], basis) + seen - oracle
    units = market.px * 10**market.px_decimals
    moves = np.flatnonzero(np.abs(np.diff(maker_bps)) > (0.0 if character.follows_oracle else 3.0)) + 1
    day_before = anchor_bps(seed, market.coin, np.array([hour - 24]))[0]
    return Path(
        seed=seed,
        hour=hour,
        oracle_ms=hour * HOUR_S * 1000 + np.rint(slot_s * 1000.0).astype(np.int64),
        oracle_px=np.rint(units * np.exp(oracle * 1e-4)).astype(np.int64),
        mark_px=np.rint(units * np.exp((oracle + 0.5 * gap) * 1e-4)).astype(np.int64),
        maker_s=maker_s,
        maker_bps=maker_bps,
        follow_s=maker_s[moves],
        basis_ts_s=basis_ts_s,
        basis_bps=basis,
        prev_day_px=np.rint(units * np.exp(day_before * 1e-4)),
    )


def _underlying(seed: int, market: Market, character: Character, hour: int, rng: np.random.Generator) -> Floats:
    """Fair log price every 0.25 s, from this hour's anchor to the next one's: diffusion, jumps, common shocks."""
    begin, end = anchor_bps(seed, market.coin, np.array([hour, hour + 1]))
    factor = session_factor(hour)
    calm = np.exp(0.5 * lattice(key_of(seed, market.coin, "vol"), np.array([hour]))[0])
    steps = market.vol_bps * factor * calm * np.sqrt(_GRID_S) * rng.standard_normal(_GRID)
    jumps = rng.poisson(character.jump_rate_h * max(factor, 0.6))
    sizes = character.jump_bps_min + rng.exponential(character.jump_bps_scale, jumps)
    places = rng.integers(16, int((HOUR_S - _QUIET_S) / _GRID_S), jumps)
    np.add.at(steps, places, sizes * rng.choice([-1.0, 1.0], jumps))
    shocks = generator_of(seed, "common", hour)
    common = shocks.poisson(0.5)
    np.add.at(
        steps,
        shocks.integers(16, int((HOUR_S - _QUIET_S) / _GRID_S), common),
        7.0 * shocks.standard_normal(common) * (0.6 if market.vol_bps < 0.5 else 1.0),
    )
    walk = np.concatenate([[0.0], np.cumsum(steps)])
    # A bridge: the drift that closes it is hundredths of a bp in 5 s, too small to be an edge.
    return np.asarray(begin + walk + np.linspace(0.0, 1.0, _GRID + 1) * (end - begin - walk[-1]))


def _followers(character: Character, slot_s: Floats, oracle: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Makers that quote around the oracle: quick after small steps, often slow after big ones, then in two moves."""
    step = np.diff(oracle, prepend=oracle[0])
    is_slow = (np.abs(step) >= _BIG_STEP_BPS) & (rng.random(step.size) < character.slow_ratio)
    slow = np.clip(character.slow_delay_s * np.exp(0.35 * rng.standard_normal(step.size)), 0.9, 6.0)
    delay = np.where(is_slow, slow, rng.uniform(0.06, 0.26, step.size))
    delay[0] = 0.0
    rest = np.where(is_slow, rng.uniform(0.3, 0.8, step.size), 0.0)
    rank = np.arange(step.size)
    at = np.concatenate([(slot_s + delay)[is_slow], slot_s + delay + rest])
    target = np.concatenate([(oracle - 0.3 * step)[is_slow], oracle])
    ranks = np.concatenate([2 * rank[is_slow], 2 * rank + 1])
    order = np.argsort(at, kind="stable")
    ranks = ranks[order]
    # A move that a later step has overtaken does not happen.
    alive = ranks >= np.maximum.accumulate(ranks)
    return at[order][alive], target[order][alive]


@dataclass(frozen=True, slots=True)
class Windows:
    """Short troubles of an hour: (begin_s, end_s, kind), and standstills of the book."""

    troubles: tuple[tuple[float, float, str], ...]
    freezes: Floats
    """Begin and end in turn, increasing."""

    @property
    def edges_s(self) -> Floats:
        """Instants at which the touch must change."""
        return np.array([edge for begin, end, _ in self.troubles for edge in (begin, end)])

    def is_frozen(self, ts_s: Floats) -> Flags:
        """Whether the book stands still."""
        return np.asarray(np.searchsorted(self.freezes, ts_s) % 2 == 1)

    def spread_factor(self, ts_s: Floats) -> Floats:
        """How much wider than usual the book is."""
        factor = np.ones(ts_s.size)
        for begin, end, kind in self.troubles:
            if kind == "wide":
                factor[(ts_s >= begin) & (ts_s < end)] = 8.0
        return factor

    def apply(self, ts_s: Floats, bid: Ints, ask: Ints) -> tuple[Ints, Ints, Flags, Flags]:
        """Return prices with locks and crosses, and where bid and ask are missing."""
        bid_gone, ask_gone = np.zeros(ts_s.size, dtype=np.bool_), np.zeros(ts_s.size, dtype=np.bool_)
        for begin, end, kind in self.troubles:
            inside = (ts_s >= begin) & (ts_s < end)
            if kind in {"no_bid", "empty"}:
                bid_gone |= inside
            if kind in {"no_ask", "empty"}:
                ask_gone |= inside
            if kind == "locked":
                bid = np.where(inside, ask, bid)
            if kind == "crossed":
                bid, ask = np.where(inside, ask, bid), np.where(inside, bid, ask)
        return bid, ask, bid_gone, ask_gone


_TROUBLES: tuple[tuple[str, float, float], ...] = (
    ("no_bid", 0.1, 1.5),
    ("no_ask", 0.1, 1.5),
    ("empty", 0.03, 1.0),
    ("locked", 0.02, 0.1),
    ("crossed", 0.01, 0.1),
    ("wide", 0.1, 15.0),
)
"""Kind, chance in an hour, mean length in seconds."""


def make_windows(character: Character, rng: np.random.Generator) -> Windows:
    """Draw the troubles of one hour; they end within it. A market that freezes has no other trouble."""
    if character.label is Label.FROZEN_QUOTE:
        lengths = np.empty(400)
        lengths[0::2] = rng.exponential(character.freeze_s / 2, 200) + 3.0
        lengths[1::2] = np.clip(rng.exponential(character.freeze_s, 200), 8.0, 300.0)
        edges = np.cumsum(lengths)
        count = int(np.searchsorted(edges, HOUR_S - 2 * _QUIET_S))
        return Windows(troubles=(), freezes=edges[: count - count % 2])
    troubles = []
    for kind, chance, mean_s in _TROUBLES:
        draw, begin, length = rng.random(), rng.uniform(60.0, HOUR_S - 120.0), rng.exponential(mean_s)
        if draw < chance:
            troubles.append((begin, begin + min(0.1 + length, 50.0), kind))
    return Windows(troubles=tuple(troubles), freezes=np.empty(0))
