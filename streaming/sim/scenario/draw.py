"""Universes drawn from a seed: markets with facts, a natural mix of labels, and a true edge each.

Rule 1: spreads, depths and their relation are those of public figures: touch spread lognormal with median 4.8 and 90 %
below 26 bps, depth falling with it, a book on 82 % of listed markets, a basis as wide as the book on all of them.
Rule 2: a universe is a pure function of (seed, count); `random.Random` is seeded with text, so no hash takes part.
"""

import math
from random import Random
from statistics import NormalDist
from typing import Any

import msgspec

from streaming.sim.scenario.characters import Character, Label
from streaming.sim.scenario.demo import DEMO
from streaming.sim.scenario.draw_characters import draw_character
from streaming.sim.scenario.names import NAMES, Name
from streaming.sim.scenario.scenario import Scenario
from streaming.sim.scenario.universe import Dex, Market, Session, Universe

UNIVERSE_NAME = "universe"
SHOWCASE_NAME = "showcase"
COUNT_MAX = len(NAMES)

_NO_BOOK_RATIO = 0.145
"""Listed markets that never have a book; those with gaps, halts and delistings make it 18 % at any instant."""
_MIX = {
    Label.STALE_QUOTE: 5.5,
    Label.PULLED_QUOTE: 2.0,
    Label.NOISE: 2.0,
    Label.TOXIC_ORACLE: 1.5,
    Label.LAGGING_ORACLE: 1.5,
    Label.STANDING_BASIS: 1.5,
    Label.SELF_REFERENTIAL: 1.0,
    Label.FROZEN_QUOTE: 1.0,
    Label.THIN_BOOK: 1.0,
    Label.WIDENING_OPEN: 1.0,
    Label.HALTING: 0.8,
    Label.PARAMETER_CHANGING: 0.8,
    Label.DELISTING: 0.8,
    Label.ONE_SIDED: 0.8,
    Label.PRE_IPO: 0.8,
}
_WIDTH = {
    Label.STANDING_BASIS: -1.6,
    Label.SELF_REFERENTIAL: -1.3,
    Label.FROZEN_QUOTE: -1.3,
    Label.TOXIC_ORACLE: -1.5,
    Label.LAGGING_ORACLE: -1.5,
    Label.NOISE: -0.8,
    Label.STALE_QUOTE: -0.3,
    Label.PULLED_QUOTE: -0.3,
    Label.ONE_SIDED: 0.5,
    Label.PRE_IPO: 1.5,
    Label.THIN_BOOK: 0.0,
    Label.DELISTING: 0.6,
    Label.HALTING: 0.6,
    Label.PARAMETER_CHANGING: 0.6,
}
"""Which labels tend to have tight (< 0) or wide books, in standard deviations of the log spread."""
_WITHOUT_EDGE = {
    Label.STANDING_BASIS,
    Label.SELF_REFERENTIAL,
    Label.FROZEN_QUOTE,
    Label.NOISE,
    Label.TOXIC_ORACLE,
    Label.LAGGING_ORACLE,
    Label.PRE_IPO,
}
"""Labels under which taking costs spread and fees: always in growth mode, so that their edges are not far below all."""
_SPREAD_MEDIAN_BPS, _SPREAD_SIGMA = 5.2, 1.2
_VOL_BPS = {
    Session.EQUITY: 0.6,
    Session.INDEX: 0.32,
    Session.METAL: 0.32,
    Session.ENERGY: 0.6,
    Session.FX: 0.12,
    Session.CRYPTO: 0.5,
    Session.PRE_IPO: 0.5,
}


def draw_universe(seed: int, count: int = 24) -> Scenario:
    """Draw a universe of `count` markets of one builder dex, beside BTC and ETH.

    Args:
        seed: Decides everything.
        count: 1 to `COUNT_MAX`.

    Raises:
        ValueError: `count` is out of bounds.
    """
    if not 1 <= count <= COUNT_MAX:
        raise ValueError(f"count: expected 1 to {COUNT_MAX}, found {count}")
    rng = _rng(UNIVERSE_NAME, seed, count)
    dead = min(int(count * _NO_BOOK_RATIO + rng.random()), count - 1)
    labels = _draw_labels(count - dead, rng) + [Label.ONE_SIDED] * dead
    spreads = _draw_spreads(labels, rng)
    names = _draw_names(labels, rng)
    markets, characters = [], {}
    for place, (label, spread_bps, name) in enumerate(zip(labels, spreads, names, strict=True)):
        market = _draw_market(name, label, spread_bps, rng)
        character = draw_character(label, market, rng)
        if place >= count - dead:
            character = msgspec.structs.replace(character, one_sided_ratio=0.0, empty_ratio=1.0)
        markets.append(market)
        characters[market.coin] = character
    rng.shuffle(markets)
    return _scenario(UNIVERSE_NAME, markets, characters)


def draw_showcase(seed: int) -> Scenario:
    """Draw one market of every label, named after it; halts, changes and delistings come within hours."""
    rng = _rng(SHOWCASE_NAME, seed)
    markets, characters = [], {}
    for name, label in zip(_draw_names(list(Label), rng), Label, strict=True):
        coin = "xyz:" + label.value.replace("_", "-").upper()
        drawn = _draw_market(name, label, rng.uniform(1.5, 4.0), rng)
        market = msgspec.structs.replace(drawn, coin=coin, is_growth_mode=True)
        character = draw_character(label, market, rng)
        hurry: dict[str, Any] = {}
        if label is Label.HALTING:
            hurry = {"halt_rate_day": 48.0, "halt_s": 240.0}
        if label is Label.PARAMETER_CHANGING:
            hurry = {"change_every_days": 0.1}
        if label is Label.DELISTING:
            hurry = {"cycle_days": 0.25, "delisted_days": 0.09}
        markets.append(market)
        characters[coin] = msgspec.structs.replace(character, **hurry)
    return _scenario(SHOWCASE_NAME, markets, characters)


def _rng(*words: object) -> Random:
    return Random("|".join(map(str, words)))  # noqa: S311 - a seeded draw is the purpose


def _scenario(name: str, markets: list[Market], characters: dict[str, Character]) -> Scenario:
    majors = DEMO.universe.by_dex[""]
    return Scenario(
        name=name,
        universe=Universe(
            dexes=(Dex(name="", full_name="validator"), Dex(name="xyz", full_name="XYZ")),
            markets=(*markets, *majors),
        ),
        characters=characters | {market.coin: DEMO.characters[market.coin] for market in majors},
    )


def _draw_labels(count: int, rng: Random) -> list[Label]:
    """Draw labels by systematic sampling: every universe has about its share of each."""
    step = sum(_MIX.values()) / count
    at = rng.uniform(0.0, step)
    labels: list[Label] = []
    above = 0.0
    order = list(_MIX)
    rng.shuffle(order)
    for label in order:
        above += _MIX[label]
        while at < above and len(labels) < count:
            labels.append(label)
            at += step
    return labels


def _draw_spreads(labels: list[Label], rng: Random) -> list[float]:
    """Draw the touch spread of every market: one from each part of the distribution, tight ones to tight labels."""
    count = len(labels)
    spreads = [
        _SPREAD_MEDIAN_BPS * math.exp(_SPREAD_SIGMA * NormalDist().inv_cdf((place + rng.uniform(0.05, 0.95)) / count))
        for place in range(count)
    ]
    wish = [_WIDTH.get(label, 0.0) + rng.gauss(0.0, 0.6) for label in labels]
    by_wish = sorted(range(count), key=wish.__getitem__)
    drawn = [0.0] * count
    for place, spread_bps in zip(by_wish, spreads, strict=True):
        drawn[place] = min(max(spread_bps, 0.25), 50.0)
    return drawn


def _draw_names(labels: list[Label], rng: Random) -> list[Name]:
    """Draw names; a market whose oracle is its own book (or could never be another) is a company without a listing."""
    private = [name for name in NAMES if name.session is Session.PRE_IPO]
    public = [name for name in NAMES if name.session is not Session.PRE_IPO]
    rng.shuffle(private)
    rng.shuffle(public)
    names = []
    for label in labels:
        is_private = label is Label.PRE_IPO or (label is Label.SELF_REFERENTIAL and rng.random() < 0.5)
        names.append((private if (is_private and private) or not public else public).pop())
    return names


def _draw_market(name: Name, label: Label, spread_bps: float, rng: Random) -> Market:
    px = name.px * rng.lognormvariate(0.0, 0.3)
    decimals = 4 - math.floor(math.log10(px))
    # Five significant figures are a tick of 0.1 to 1 bp; some markets have one decimal less.
    if rng.random() < 0.12:
        decimals -= 1
    px_decimals = min(max(decimals, 1), 6)
    tick_bps = max(10.0**-px_decimals, 10.0 ** (math.floor(math.log10(px)) - 4)) / px * 1e4
    depth_usd = min(max(450e3 * spread_bps**-1.4 * rng.lognormvariate(0.0, 0.8), 800.0), 15e6)
    touch_usd = max(depth_usd * rng.uniform(0.04, 0.15), 300.0)
    if label is Label.THIN_BOOK:
        depth_usd, touch_usd = rng.uniform(1_000.0, 5_000.0), rng.uniform(30.0, 120.0)
    leverage_max = rng.choice((5, 10, 10, 10, 20, 20, 25))
    return Market(
        coin=f"xyz:{name.text}",
        sz_decimals=6 - px_decimals,
        leverage_max=leverage_max,
        margin_mode="cross" if leverage_max >= 20 else "noCross",
        is_growth_mode=rng.random() < 0.85 or label in _WITHOUT_EDGE,
        session=name.session,
        px=round(px, px_decimals),
        spread_bps=round(max(spread_bps, 0.8 * tick_bps), 3),
        touch_usd=round(touch_usd, 1),
        depth_usd=round(depth_usd, 1),
        vol_bps=round(_VOL_BPS[name.session] * (spread_bps / 4.8) ** 0.15 * rng.lognormvariate(0.0, 0.25), 3),
        oi_usd=round(depth_usd * 118.0 * rng.lognormvariate(0.0, 0.7), -2),
        volume_usd=round(depth_usd * 64.0 * rng.lognormvariate(0.0, 0.8), -2),
        oi_cap_usd=round(depth_usd * 118.0 * 8.0 * rng.lognormvariate(0.0, 0.3), -3),
    )
