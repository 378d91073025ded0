"""Regimes and waves: what changes slowly in a market, as functions of time.

Rule 1: a regime lasts some days; when it ends and what the next one is like follows from (seed, coin, time) alone.
Rule 2: in about a third of the regimes makers are quicker than usual and quote wider: an edge that was there is gone.
Rule 3: volatility has a part of its own and one that all markets share, by the day, the hour and the minute.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from streaming.sim.markets.noise import Floats, key_of, node_of, smooth, smooth_at, unit_of

HOUR_MS = 3_600_000
_SLOT_H = 96
"""Regimes last four days on average."""
_SHIFT_RATIO = 0.3
_DAY_S = 86_400.0
_MINUTES = 60


@dataclass(frozen=True, slots=True)
class Regime:
    """Factors on a character's parameters in a span of time (whole hours)."""

    begin_ms: int
    end_ms: int
    slow_factor: float = 1.0
    """On the share of steps that makers follow slowly."""
    spread_factor: float = 1.0
    jump_factor: float = 1.0
    """On the rate of jumps."""
    vol_factor: float = 1.0


@lru_cache(maxsize=4096)
def _begin_hour(seed: int, coin: str, slot: int) -> int:
    return slot * _SLOT_H + int(unit_of(seed, coin, "regime", slot) * _SLOT_H)


@lru_cache(maxsize=4096)
def _regime(seed: int, coin: str, strength: float, slot: int) -> Regime:
    shift, slow, wide, jump, vol = (unit_of(seed, coin, "regime", slot, what) for what in range(5))
    is_shifted = shift < _SHIFT_RATIO
    return Regime(
        begin_ms=_begin_hour(seed, coin, slot) * HOUR_MS,
        end_ms=_begin_hour(seed, coin, slot + 1) * HOUR_MS,
        slow_factor=1.0 - 0.75 * strength * slow if is_shifted else 1.0,
        spread_factor=1.0 + 0.3 * strength * wide
        if is_shifted
        else float(np.exp(0.15 * strength * (2.0 * wide - 1.0))),
        jump_factor=float(np.exp(0.4 * strength * (2.0 * jump - 1.0))),
        vol_factor=float(np.exp(0.3 * strength * (2.0 * vol - 1.0))),
    )


def regime_at(seed: int, coin: str, strength: float, hour: int) -> Regime:
    """Return the regime of a market in a UTC hour (hours since 1970)."""
    slot = hour // _SLOT_H
    return _regime(seed, coin, strength, slot if hour >= _begin_hour(seed, coin, slot) else slot - 1)


def regimes_between(seed: int, coin: str, strength: float, begin_ms: int, end_ms: int) -> tuple[Regime, ...]:
    """Return the regimes that touch a span of time, in order."""
    found = [regime_at(seed, coin, strength, begin_ms // HOUR_MS)]
    while found[-1].end_ms < end_ms:
        found.append(regime_at(seed, coin, strength, found[-1].end_ms // HOUR_MS))
    return tuple(found)


def vol_waves(seed: int, coin: str, hour: int) -> Floats:
    """Return the factor on volatility for every minute of an hour: day, hour and minute, own and common."""
    own, common = key_of(seed, coin, "vol"), key_of(seed, "common", "vol")
    at_s = hour * 3600.0
    level = 0.35 * smooth_at(own, at_s, 1.4 * _DAY_S) + 0.3 * smooth_at(common, at_s, 1.4 * _DAY_S)
    level += 0.3 * node_of(own, hour)
    minutes: Floats = hour * 3600.0 + 60.0 * np.arange(_MINUTES, dtype=np.float64)
    wave = 0.4 * smooth(key_of(seed, coin, "minutes"), minutes, 240.0)
    wave += 0.3 * smooth(key_of(seed, "common", "minutes"), minutes, 240.0)
    return np.asarray(np.exp(level + wave))
