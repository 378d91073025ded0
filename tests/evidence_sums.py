"""Builders of hour sums with a planted edge: what the statistics of approval are tested on."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np

from hip3_platform.analytics.evidence.approval import MarketEvidence
from hip3_platform.analytics.evidence.family import HORIZONS_S, HOURS, LATENCIES_MS, ORIGINS, THRESHOLDS_BPS, HourSums

SD_BPS = 4.7
INTRACLASS = 0.008


def day_names(count: int, first: str = "2026-11-01") -> tuple[str, ...]:
    """Consecutive UTC days."""
    begin = date.fromisoformat(first)
    return tuple((begin + timedelta(days=i)).isoformat() for i in range(count))


def one_policy_sums(net_bps: np.ndarray, fills: np.ndarray, *, late_shift_bps: float = 0.0) -> HourSums:
    """Sums of a market that decides at the lowest threshold only, oracle-led only, alike at every horizon.

    `net_bps` and `fills` are (days, 24); results at latencies above 200 ms are shifted by `late_shift_bps` a fill.
    """
    empty = HourSums.empty(day_names(len(fills)))
    decisions, many, net = empty.decisions.copy(), empty.fills.copy(), empty.net_bps.copy()
    decisions[:, :, 0, :] = fills[..., None]
    many[:, :, 0, :, :] = fills[..., None, None]
    net[:, :, 0, :, :, :] = net_bps[..., None, None, None]
    late = [i for i, latency in enumerate(LATENCIES_MS) if latency > 200]
    net[:, :, 0, :, late, :] += (late_shift_bps * fills)[None, ..., None, None]
    return replace(empty, decisions=decisions, fills=many, net_bps=net)


def steady_market(
    rng: np.random.Generator, edge_bps: float, *, rate: float = 40.0, days: int = 14, late_shift_bps: float = 0.0
) -> HourSums:
    """A one-policy market with `rate` fills a day and day effects."""
    fills = rng.poisson(rate / HOURS, size=(days, HOURS))
    day = rng.normal(0, SD_BPS * np.sqrt(INTRACLASS), size=(days, 1))
    net = fills * (edge_bps + day) + np.sqrt(fills) * rng.normal(0, SD_BPS, size=(days, HOURS))
    return one_policy_sums(net, fills, late_shift_bps=late_shift_bps)


def full_market(rng: np.random.Generator, edge_bps: float, *, days: int = 14) -> HourSums:
    """A market with all 56 policies, every one with the same true edge; rates from 5 to 200 fills a day."""
    rate = np.exp(rng.uniform(np.log(5), np.log(200))) / HOURS
    shares = np.array([1, 0.8, 0.6, 0.45, 0.3, 0.2, 0.1])
    met = rng.poisson(rate * shares, size=(days, HOURS, len(THRESHOLDS_BPS)))
    led = rng.binomial(met, 0.7)
    kept = np.array([0.95, 0.9, 0.8, 0.7, 0.5])
    led_fills = rng.binomial(led[..., None], kept)
    other_fills = rng.binomial((met - led)[..., None], kept)
    shape = (*led_fills.shape, len(HORIZONS_S))
    day = rng.normal(0, SD_BPS * np.sqrt(INTRACLASS), size=(days, 1, 1, 1, 1))

    def results(fills: np.ndarray) -> np.ndarray:
        return fills[..., None] * (edge_bps + day) + np.sqrt(fills[..., None]) * rng.normal(0, SD_BPS, size=shape)

    led_net = results(led_fills)
    net = np.stack([led_net + results(other_fills), led_net], axis=3)
    fills = np.stack([led_fills + other_fills, led_fills], axis=3)
    assert net.shape[3] == len(ORIGINS)
    return HourSums(day_names(days), np.stack([met, led], axis=3), fills, net, net**2)


def universe(seed: int, edges_bps: tuple[float, ...], *, days: int = 14) -> dict[str, MarketEvidence]:
    """One full market an edge, all explained by a stale quote."""
    rng = np.random.default_rng(seed)
    return {
        f"xyz:M{i:02d}": MarketEvidence(full_market(rng, edge, days=days), "stale_quote")
        for i, edge in enumerate(edges_bps)
    }
