"""Windows of trouble in an hour: missing sides, locks, crosses, wide books, standstills, strayed quotes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streaming.sim.markets.levels import HOUR_S
from streaming.sim.markets.noise import Floats, Ints
from streaming.sim.scenario.characters import Character

_FREEZE_QUIET_S = 24.0
"""No standstill this long before a full hour: both hours begin with a book that moves."""
_GAP_MEAN_S = 240.0
"""Mean length of a stretch with or without a missing side."""
_GAPS = 60
_WIDE_FACTOR = 8.0

Flags = NDArray[np.bool_]
Trouble = tuple[float, float, str]
"""Begin and end in seconds from the hour's begin, and the kind."""

_TROUBLES: tuple[tuple[str, float, float], ...] = (
    ("no_bid", 0.1, 1.5),
    ("no_ask", 0.1, 1.5),
    ("empty", 0.03, 1.0),
    ("locked", 0.02, 0.1),
    ("crossed", 0.01, 0.1),
    ("wide", 0.1, 15.0),
)
"""Kind, chance in an hour, mean length in seconds."""


@dataclass(frozen=True, slots=True)
class Windows:
    """What is wrong with the touch of an hour, and when."""

    troubles: tuple[Trouble, ...]
    freezes: Floats
    """Begin and end of standstills in turn, increasing."""
    blip_s: Floats
    """Instants at which the quotes stray or come back, increasing."""
    blip_bps: Floats
    """How far the quotes are off from that instant on."""

    @property
    def edges_s(self) -> Floats:
        """Instants at which the touch must change."""
        return np.array([edge for begin, end, _ in self.troubles for edge in (begin, end)] + self.blip_s.tolist())

    def is_frozen(self, ts_s: Floats) -> Flags:
        """Whether the book stands still."""
        return np.asarray(np.searchsorted(self.freezes, ts_s) % 2 == 1)

    def shift_bps(self, ts_s: Floats) -> Floats:
        """How far strayed quotes are off."""
        if not self.blip_s.size:
            return np.zeros(ts_s.size)
        return np.concatenate([[0.0], self.blip_bps])[np.searchsorted(self.blip_s, ts_s, side="right")]

    def spread_factor(self, ts_s: Floats) -> Floats:
        """How much wider than usual the book is."""
        factor = np.ones(ts_s.size)
        for begin, end, kind in self.troubles:
            if kind == "wide":
                factor[(ts_s >= begin) & (ts_s < end)] = _WIDE_FACTOR
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


def make_windows(character: Character, closed: tuple[tuple[float, float], ...], rng: np.random.Generator) -> Windows:
    """Draw the troubles of one hour; they end within it. A market that freezes has no other trouble.

    Args:
        character: Of the market.
        closed: When it is halted, in seconds of the hour; it has no book then.
        rng: Of the hour.
    """
    troubles: list[Trouble] = [(begin, end, "empty") for begin, end in closed]
    freezes = np.empty(0)
    if character.freeze_s:
        freezes = _freezes(character, rng)
    else:
        for kind, chance, mean_s in _TROUBLES:
            draw, begin, length = rng.random(), rng.uniform(60.0, HOUR_S - 120.0), rng.exponential(mean_s)
            if draw < chance:
                troubles.append((begin, begin + min(0.1 + length, 50.0), kind))
    if character.one_sided_ratio + character.empty_ratio > 0.0:
        troubles += _gaps(character, rng)
    blip_s, blip_bps = _blips(character, rng)
    return Windows(troubles=tuple(troubles), freezes=freezes, blip_s=blip_s, blip_bps=blip_bps)


def _freezes(character: Character, rng: np.random.Generator) -> Floats:
    lengths = np.empty(400)
    lengths[0::2] = rng.exponential(character.freeze_s / 2, 200) + 3.0
    lengths[1::2] = np.clip(rng.exponential(character.freeze_s, 200), 8.0, 300.0)
    edges = np.cumsum(lengths)
    count = int(np.searchsorted(edges, HOUR_S - _FREEZE_QUIET_S))
    return edges[: count - count % 2]


def _gaps(character: Character, rng: np.random.Generator) -> list[Trouble]:
    """Cut the hour into stretches, each with its book or without a part of it."""
    if character.empty_ratio == 1.0:
        return [(0.0, float(HOUR_S), "empty")]
    edges = np.minimum(np.concatenate([[0.0], np.cumsum(rng.exponential(_GAP_MEAN_S, _GAPS))]), HOUR_S)
    edges[-1] = HOUR_S
    gaps: list[Trouble] = []
    for begin, end, state, side in zip(
        edges[:-1].tolist(), edges[1:].tolist(), rng.random(_GAPS).tolist(), rng.random(_GAPS).tolist(), strict=True
    ):
        if begin >= end:
            break
        if state < character.empty_ratio:
            gaps.append((begin, end, "empty"))
        elif state < character.empty_ratio + character.one_sided_ratio:
            gaps.append((begin, end, "no_bid" if side < 0.5 else "no_ask"))
    return gaps


def _blips(character: Character, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Draw strayed quotes; where two meet their distances add up."""
    if not character.blip_rate_h:
        return np.empty(0), np.empty(0)
    count = rng.poisson(character.blip_rate_h)
    begins = rng.uniform(1.0, HOUR_S - 30.0, count)
    ends = begins + np.minimum(rng.exponential(character.blip_life_s, count), 20.0)
    sizes = (character.blip_bps_min + rng.exponential(character.blip_bps_scale, count)) * rng.choice([-1.0, 1.0], count)
    at = np.concatenate([begins, ends])
    order = np.argsort(at, kind="stable")
    return at[order], np.cumsum(np.concatenate([sizes, -sizes])[order])
