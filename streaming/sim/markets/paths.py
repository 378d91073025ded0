"""Paths behind the columns of an hour: the underlying, the published oracle, and where makers see the price.

Rule 1: logs are bps from the market's price level; `_s` counts from the hour's begin.
Rule 2: at a full hour underlying, oracle and makers stand on an anchor that both hours can compute.
Rule 3: without an outside price the oracle is the EMA of its own book that section 9 documents, and makers, who have
nothing to follow, quote around what they think the underlying is worth.
"""

from dataclasses import dataclass

import numpy as np

from streaming.sim.markets.levels import BOOK_STEP_S, HOUR_S, Books, Place, anchor_bps, basis_at, internal_oracle
from streaming.sim.markets.noise import Floats, Ints, generator_of
from streaming.sim.markets.regimes import vol_waves
from streaming.sim.markets.sessions import activity, open_window
from streaming.sim.scenario.universe import Session

QUIET_S = 12.0
"""No jump this long before a full hour, so that slow makers have arrived when the next hour begins."""
_GRID_S = 0.25
_GRID = int(HOUR_S / _GRID_S)
_SLOTS = 1028
"""Oracle updates an hour: every 3.5 s, each up to 0.5 s late."""
_BIG_STEP_BPS = 4.0
_MOVE_BPS = 3.0
_LEAD_MOVE_BPS = 1.2
"""What makers who watch the underlying answer at once; smaller moves wait for their next quote."""
_CLOSED_FACTOR = 0.15
"""Jumps and shocks while there is no outside price, to those while there is one."""
_KINDS = (
    {Session.EQUITY, Session.INDEX, Session.PRE_IPO},
    {Session.METAL, Session.ENERGY},
    {Session.FX},
    {Session.CRYPTO},
)
_SPIKE_LONG_RATIO = 0.15
_SHARED_RATIO = 0.4
"""Shocks that every kind of underlying feels; the others hit one kind."""


@dataclass(frozen=True, slots=True)
class Path:
    """What drives one market-hour."""

    oracle_ms: Ints
    oracle_px: Ints
    mark_px: Ints
    maker_s: Floats
    maker_bps: Floats
    """Where makers see the price from each instant of `maker_s` on (without basis)."""
    follow_s: Floats
    """Instants at which makers move noticeably, so the touch changes."""
    big_s: Floats
    """Those of them that answer a big step."""
    late_s: tuple[Floats, Floats]
    """Begin and end of the times in which makers still have to follow a true step."""
    basis_ts_s: Floats
    basis_bps: Floats
    """Slow difference between book and oracle, without the lasting one."""


def book_of(place: Place, rng: np.random.Generator) -> Floats:
    """Return where makers who look at the underlying quote after every `BOOK_STEP_S` of an hour."""
    step = int(BOOK_STEP_S / _GRID_S)
    ts_s = place.hour * float(HOUR_S) + BOOK_STEP_S * np.arange(1.0, HOUR_S / BOOK_STEP_S + 1.0)
    return _underlying(place, rng)[step::step] + basis_at(place, ts_s)


def make_path(place: Place, books: Books, rng: np.random.Generator) -> Path:
    """Draw one market-hour's underlying, oracle and makers.

    Args:
        place: The hour.
        books: Other hours of the market, for an oracle that follows its own book.
        rng: Of the hour, as `book_of` had it.
    """
    market, character = place.market, place.character
    underlying = _underlying(place, rng)
    slot_s: Floats = np.arange(_SLOTS, dtype=np.float64) * (HOUR_S / _SLOTS)
    slot_s[1:] += rng.uniform(0.0, 0.5, _SLOTS - 1)
    basis_ts_s = place.hour * float(HOUR_S) + np.arange(0.0, HOUR_S + 1.0, 5.0)
    basis = basis_at(place, basis_ts_s)
    basis_at_slot = np.interp(slot_s, basis_ts_s - basis_ts_s[0], basis)
    late = (np.empty(0), np.empty(0))
    if not place.is_external:
        maker_s, maker_bps = _leaders(underlying)
        seen = underlying[(slot_s / _GRID_S).astype(np.int64)] + basis_at_slot
        oracle = internal_oracle(place, slot_s, seen, books)
        oracle[1:] += character.oracle_noise_bps * rng.standard_normal(_SLOTS - 1)
    else:
        published_s = np.maximum(slot_s - character.oracle_lag_s, 0.0)
        oracle = underlying[(published_s / _GRID_S).astype(np.int64)]
        oracle[1:] += character.oracle_noise_bps * rng.standard_normal(_SLOTS - 1)
        if character.maker == "oracle":
            maker_s, maker_bps, late = _followers(place, slot_s, oracle, rng)
        else:
            maker_s, maker_bps = _leaders(underlying)
        oracle = oracle + _spikes(place, slot_s, rng)
    gap = basis_at_slot + maker_bps[np.searchsorted(maker_s, slot_s, side="right") - 1] - oracle
    # The median of oracle, oracle + its EMA distance to the book, and the book.
    lasting = basis_at_slot + character.offset_bps
    gap = gap + character.offset_bps
    mark = oracle + np.clip(gap, np.minimum(lasting, 0.0), np.maximum(lasting, 0.0))
    units = market.px * 10**market.px_decimals
    moved = np.abs(np.diff(maker_bps))
    moves = np.flatnonzero(moved > (_LEAD_MOVE_BPS if maker_s.size > _GRID else 0.0)) + 1
    return Path(
        oracle_ms=place.hour * HOUR_S * 1000 + np.rint(slot_s * 1000.0).astype(np.int64),
        oracle_px=np.rint(units * np.exp(oracle * 1e-4)).astype(np.int64),
        mark_px=np.rint(units * np.exp(mark * 1e-4)).astype(np.int64),
        maker_s=maker_s,
        maker_bps=maker_bps,
        follow_s=maker_s[moves],
        big_s=maker_s[moves[moved[moves - 1] >= _MOVE_BPS]],
        late_s=late,
        basis_ts_s=basis_ts_s,
        basis_bps=basis,
    )


def _underlying(place: Place, rng: np.random.Generator) -> Floats:
    """Fair log price every 0.25 s, from this hour's anchor to the next one's: diffusion, jumps, common shocks."""
    market, character, hour = place.market, place.character, place.hour
    begin, end = (anchor_bps(place.seed, market.coin, each) for each in (hour, hour + 1))
    factor = activity(market.session, hour)
    news = 1.0 if place.is_external else _CLOSED_FACTOR
    vol = market.vol_bps * factor * place.regime.vol_factor * np.sqrt(_GRID_S)
    steps = np.repeat(vol * vol_waves(place.seed, market.coin, hour), _GRID // 60) * rng.standard_normal(_GRID)
    places = _jump_places(place, max(factor, 0.6) * news, rng)
    sizes = character.jump_bps_min + rng.exponential(character.jump_bps_scale, places.size)
    np.add.at(steps, places, sizes * rng.choice([-1.0, 1.0], places.size))
    shock_places, shocks = _shocks(place, news)
    np.add.at(steps, shock_places, shocks)
    walk = np.concatenate([[0.0], np.cumsum(steps)])
    # A bridge: the drift that closes it is hundredths of a bp in 5 s, too small to be an edge.
    return np.asarray(begin + walk + np.linspace(0.0, 1.0, _GRID + 1) * (end - begin - walk[-1]))


def _jump_places(place: Place, factor: float, rng: np.random.Generator) -> Ints:
    """Draw when the underlying jumps: all over the hour, and once more in the half hour after the open."""
    character = place.character
    rate_h = character.jump_rate_h * factor * place.regime.jump_factor
    last = int((HOUR_S - QUIET_S) / _GRID_S)
    places = rng.integers(16, last, rng.poisson(rate_h))
    window = open_window(place.market.session, place.hour)
    if window is None or character.open_factor == 1.0:
        return places
    begin, end = (int(edge_s / _GRID_S) for edge_s in window)
    extra = rng.poisson(rate_h * (character.open_factor - 1.0) * (window[1] - window[0]) / HOUR_S)
    return np.concatenate([places, rng.integers(max(begin, 16), min(end, last), extra)])


def _shocks(place: Place, news: float) -> tuple[Ints, Floats]:
    """Draw the shocks of an hour, the same for all markets of the seed, as far as this market feels them."""
    common = generator_of(place.seed, "common", place.hour)
    count = common.poisson(0.5)
    places = common.integers(16, int((HOUR_S - QUIET_S) / _GRID_S), count)
    sizes = common.standard_normal(count)
    is_shared = common.random(count) < _SHARED_RATIO
    kinds = common.integers(0, len(_KINDS), count)
    kind = next(at for at, sessions in enumerate(_KINDS) if place.market.session in sessions)
    is_hit = is_shared | (kinds == kind)
    beta = 0.6 if place.market.vol_bps < 0.5 else 1.0
    return places[is_hit], place.character.shock_bps * beta * news * sizes[is_hit]


def _leaders(underlying: Floats) -> tuple[Floats, Floats]:
    """Makers that look at the underlying itself: two grid steps behind it, about a quarter of a second."""
    maker_s = np.concatenate([[0.0], (np.arange(_GRID) + 1.5) * _GRID_S])
    return maker_s, np.concatenate([underlying[:1], underlying[:_GRID]])


def _followers(
    place: Place, slot_s: Floats, oracle: Floats, rng: np.random.Generator
) -> tuple[Floats, Floats, tuple[Floats, Floats]]:
    """Makers that quote around the oracle: quick after small steps, often slow after big ones, then in two moves."""
    character = place.character
    step = np.diff(oracle, prepend=oracle[0])
    slow_ratio = character.slow_ratio * place.regime.slow_factor
    is_slow = (np.abs(step) >= _BIG_STEP_BPS) & (rng.random(step.size) < slow_ratio)
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
    late = (slot_s[is_slow], (slot_s + delay + rest)[is_slow])
    return at[order][alive], target[order][alive], late


def _spikes(place: Place, slot_s: Floats, rng: np.random.Generator) -> Floats:
    """Steps of the oracle without a cause, each taken back with the next update or the one after."""
    character = place.character
    spikes = np.zeros(slot_s.size)
    if not character.spike_rate_h:
        return spikes
    rate_h = character.spike_rate_h * max(activity(place.market.session, place.hour), 0.6) * place.regime.jump_factor
    last = int(np.searchsorted(slot_s, HOUR_S - QUIET_S)) - 3
    begins = rng.integers(4, last, rng.poisson(rate_h))
    sizes = character.spike_bps_min + rng.exponential(character.spike_bps_scale, begins.size)
    sizes *= rng.choice([-1.0, 1.0], begins.size)
    ends = begins + 1 + (rng.random(begins.size) < _SPIKE_LONG_RATIO)
    np.add.at(spikes, begins, sizes)
    np.add.at(spikes, ends, -sizes)
    return np.cumsum(spikes)
