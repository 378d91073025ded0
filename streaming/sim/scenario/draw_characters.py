"""Characters drawn for a market: what is true about it, in parameters.

Rule 1: what taking a stale quote earns (`theta_bps`) is drawn first, without gaps and mostly near zero; the sizes of
steps and the share of steps without a cause follow from it and from what a round trip costs.
Rule 2: a pulled quote is drawn as a stale one; nothing but its pull ratio is added.
"""

from collections.abc import Callable
from math import exp, log
from random import Random
from typing import Any

from streaming.sim.scenario.characters import Character, Label
from streaming.sim.scenario.universe import Market

_TOUCH_FACTOR = 1.06
"""Mean spread of the touch to its level: books are wider now and then."""


def draw_character(label: Label, market: Market, rng: Random) -> Character:
    """Draw the character of a market with such a label."""
    draw = _DRAWS.get(label, _draw_stale)
    parameters = {"bbo_rate_s": rng.uniform(0.75, 1.7), "regime_strength": rng.uniform(0.3, 1.0)} | draw(market, rng)
    parameters.setdefault("basis_bps", _basis_bps(market, rng, 1.0, 2.5))
    return Character(label=label, **parameters)


def _basis_bps(market: Market, rng: Random, least_bps: float, most_bps: float) -> float:
    """Draw how far the book may stand across the oracle at its touch; the basis of wide books stays inside them."""
    return min(0.5 * market.spread_bps + rng.uniform(least_bps, most_bps), rng.uniform(6.0, 9.0))


def _cost_bps(market: Market) -> float:
    """Cost of a round trip of takers: the spread once, the fee twice."""
    return _TOUCH_FACTOR * market.spread_bps + 2.0 * (0.9 if market.is_growth_mode else 9.0)


def _theta_bps(rng: Random) -> float:
    """Draw what taking earns after cost: without gaps from -5 to 10, more than half within 3 of zero."""
    theta_bps = rng.gauss(0.2, 1.7) if rng.random() < 0.5 else rng.uniform(-3.0, 11.0)
    return min(max(theta_bps, -5.0), 10.0)


def _draw_stale(market: Market, rng: Random) -> dict[str, Any]:
    """Steps that makers follow late, and few without a cause."""
    return _stale(market, rng, cost_bps=_cost_bps(market), spike_share_max=0.4)


def _stale(market: Market, rng: Random, *, cost_bps: float, spike_share_max: float) -> dict[str, Any]:
    """Size steps so that a round trip earns `theta`: mean step x share of true ones - cost."""
    target_bps = max(_theta_bps(rng) + cost_bps, 0.5)
    scale_bps = min(max(target_bps * rng.uniform(0.08, 0.22), 0.6), 4.5)
    seen_bps = 0.5 * market.spread_bps + rng.uniform(3.6, 5.5)
    floor_bps = max(target_bps - scale_bps, seen_bps)
    spike_share = min(max(1.0 - target_bps / (floor_bps + scale_bps), rng.uniform(0.05, 0.12)), spike_share_max)
    rate_h = exp(rng.uniform(log(5.0), log(22.0)))
    slow_ratio = rng.uniform(0.3, 0.85)
    return {
        "jump_rate_h": rate_h,
        "jump_bps_min": floor_bps,
        "jump_bps_scale": scale_bps,
        "slow_ratio": slow_ratio,
        "slow_delay_s": rng.uniform(1.4, 2.8),
        "spike_rate_h": rate_h * slow_ratio * spike_share / (1.0 - spike_share),
        "spike_bps_min": floor_bps,
        "spike_bps_scale": scale_bps,
    }


def _draw_pulled(market: Market, rng: Random) -> dict[str, Any]:
    return _draw_stale(market, rng) | {"pull_ratio": rng.uniform(0.97, 1.0)}


def _quiet(market: Market, rng: Random) -> dict[str, Any]:
    """A market whose makers know: some small jumps, nothing to take."""
    return {
        "maker": "underlying",
        "basis_bps": _basis_bps(market, rng, 1.8, 2.8),
        "jump_rate_h": rng.uniform(0.5, 2.0),
        "jump_bps_min": 0.5 * market.spread_bps + rng.uniform(1.0, 3.0),
        "jump_bps_scale": rng.uniform(0.5, 2.0),
    }


def _draw_basis(market: Market, rng: Random) -> dict[str, Any]:
    return _quiet(market, rng) | {
        "maker": "oracle",
        "basis_bps": 0.6 * market.spread_bps + rng.uniform(8.0, 22.0),
        "oracle_noise_bps": rng.uniform(0.2, 0.6),
    }


def _draw_self_referential(market: Market, rng: Random) -> dict[str, Any]:
    return _quiet(market, rng) | {"oracle_noise_bps": rng.uniform(0.05, 0.3)}


def _draw_frozen(market: Market, rng: Random) -> dict[str, Any]:
    return _quiet(market, rng) | {
        "maker": "oracle",
        "freeze_s": rng.uniform(45.0, 90.0),
        "bbo_rate_s": rng.uniform(2.4, 4.0),
    }


def _draw_noise(market: Market, rng: Random) -> dict[str, Any]:
    """Strayed quotes, and makers who move first for a reason, in such a share that taking earns about `theta`."""
    cost_bps = _cost_bps(market)
    life_s = rng.uniform(0.15, 0.5)
    size_bps = max(0.5 * market.spread_bps + rng.uniform(3.6, 6.0), cost_bps + rng.uniform(-2.0, 6.0))
    scale_bps = rng.uniform(0.5, 2.0)
    caught = exp(-0.23 / life_s)
    true_share = min(max((_theta_bps(rng) + cost_bps) / (size_bps + scale_bps), 0.1), 0.9)
    blip_rate_h = exp(rng.uniform(log(10.0), log(50.0)))
    return {
        "maker": "underlying",
        "jump_rate_h": min(blip_rate_h * caught * (1.0 - true_share) / true_share, 12.0),
        "jump_bps_min": size_bps,
        "jump_bps_scale": scale_bps,
        "oracle_noise_bps": rng.uniform(0.1, 0.4),
        "blip_rate_h": blip_rate_h,
        "blip_bps_min": size_bps,
        "blip_bps_scale": scale_bps,
        "blip_life_s": life_s,
    }


def _draw_toxic(market: Market, rng: Random) -> dict[str, Any]:
    """Steps of which few are true: some of the loss comes back."""
    size_bps = 0.5 * market.spread_bps + rng.uniform(3.6, 7.0)
    rate_h = rng.uniform(12.0, 40.0)
    return {
        "jump_rate_h": rate_h * rng.uniform(0.0, 0.35),
        "jump_bps_min": size_bps,
        "jump_bps_scale": rng.uniform(1.0, 3.0),
        "slow_ratio": 0.8,
        "slow_delay_s": rng.uniform(1.4, 2.4),
        "oracle_noise_bps": rng.uniform(0.1, 0.5),
        "spike_rate_h": rate_h,
        "spike_bps_min": size_bps,
        "spike_bps_scale": rng.uniform(1.0, 3.0),
    }


def _draw_lagging(market: Market, rng: Random) -> dict[str, Any]:
    return _quiet(market, rng) | {
        "jump_rate_h": rng.uniform(1.0, 4.0),
        "jump_bps_min": 0.5 * market.spread_bps + rng.uniform(3.0, 5.0),
        "jump_bps_scale": rng.uniform(1.0, 3.0),
        "oracle_lag_s": rng.uniform(0.3, 3.0),
        "oracle_noise_bps": rng.uniform(0.1, 0.5),
    }


def _draw_widening(market: Market, rng: Random) -> dict[str, Any]:
    """Steps as of a stale market; the way out costs the wider half spread."""
    factor = rng.uniform(2.5, 4.5)
    cost_bps = _cost_bps(market) + 0.5 * market.spread_bps * (factor - 1.0)
    return _stale(market, rng, cost_bps=cost_bps, spike_share_max=0.4) | {
        "widen_factor": factor,
        "widen_s": rng.uniform(8.0, 20.0),
        "open_factor": rng.uniform(3.0, 9.0),
        "open_widen_factor": rng.uniform(1.2, 1.8),
    }


def _draw_one_sided(market: Market, rng: Random) -> dict[str, Any]:
    return _draw_stale(market, rng) | {
        "one_sided_ratio": rng.uniform(0.2, 0.5),
        "empty_ratio": rng.uniform(0.1, 0.4),
    }


def _draw_halting(market: Market, rng: Random) -> dict[str, Any]:
    return _draw_stale(market, rng) | {"halt_rate_day": rng.uniform(0.5, 4.0), "halt_s": rng.uniform(300.0, 3_000.0)}


def _draw_changing(market: Market, rng: Random) -> dict[str, Any]:
    return _draw_stale(market, rng) | {"change_every_days": rng.uniform(1.0, 6.0)}


def _draw_delisting(market: Market, rng: Random) -> dict[str, Any]:
    return _draw_stale(market, rng) | {"cycle_days": rng.uniform(20.0, 45.0), "delisted_days": rng.uniform(4.0, 12.0)}


def _draw_pre_ipo(market: Market, rng: Random) -> dict[str, Any]:
    return _quiet(market, rng) | {
        "offset_bps": rng.choice((-1.0, 1.0)) * rng.uniform(150.0, 1_500.0),
        "oracle_noise_bps": rng.uniform(0.1, 0.4),
    }


_DRAWS: dict[Label, Callable[[Market, Random], dict[str, Any]]] = {
    Label.PULLED_QUOTE: _draw_pulled,
    Label.STANDING_BASIS: _draw_basis,
    Label.SELF_REFERENTIAL: _draw_self_referential,
    Label.FROZEN_QUOTE: _draw_frozen,
    Label.NOISE: _draw_noise,
    Label.TOXIC_ORACLE: _draw_toxic,
    Label.LAGGING_ORACLE: _draw_lagging,
    Label.WIDENING_OPEN: _draw_widening,
    Label.ONE_SIDED: _draw_one_sided,
    Label.HALTING: _draw_halting,
    Label.PARAMETER_CHANGING: _draw_changing,
    Label.DELISTING: _draw_delisting,
    Label.PRE_IPO: _draw_pre_ipo,
}
