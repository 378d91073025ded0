"""Builders of small truths, outcomes and scenarios for the tests of the score."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hip3_platform.analytics.evidence.family import HORIZONS_S, LATENCIES_MS, ORIGINS, POLICIES, THRESHOLDS_BPS, Policy
from hip3_platform.scoring.truth import Figures, Truth
from hip3_platform.scoring.universe import Claim, Found, Outcome

GROUPS = (len(THRESHOLDS_BPS), len(ORIGINS))
FILLS = (*GROUPS, len(LATENCIES_MS))
NETS = (*FILLS, len(HORIZONS_S))
POLICY = Policy(5, "oracle_led", 3)
OTHER = Policy(11, "any", 5)
NO_CLAIM = Claim(is_tradeable=False, raw_threshold_bps=None, claimed_bps=None)

SCENARIO = """
name = "two"

[[dexes]]
name = "xyz"

[[markets]]
coin = "xyz:GOLD"
sz_decimals = 4
leverage_max = 25
is_growth_mode = true
session = "crypto"
px = 4073.0
spread_bps = 2.0
touch_usd = 12e3
depth_usd = 90e3
vol_bps = 0.3
oi_usd = 4e6
volume_usd = 6e6

[markets.character]
label = "pulled_quote"
jump_rate_h = 20.0
jump_bps_min = 8.0
jump_bps_scale = 2.0
slow_ratio = 0.8
slow_delay_s = 2.0
pull_ratio = 0.98
bbo_rate_s = 0.3

[[markets]]
coin = "xyz:SILVER"
sz_decimals = 2
leverage_max = 25
is_growth_mode = true
session = "crypto"
px = 81.0
spread_bps = 2.0
touch_usd = 12e3
depth_usd = 90e3
vol_bps = 0.3
oi_usd = 4e6
volume_usd = 6e6

[markets.character]
label = "stale_quote"
jump_rate_h = 20.0
jump_bps_min = 8.0
jump_bps_scale = 2.0
slow_ratio = 0.8
slow_delay_s = 2.0
bbo_rate_s = 0.3
"""


def a_scenario(folder: Path) -> str:
    """A scenario of two markets, of which one pulls its quotes; returns its path."""
    path = folder / "two.toml"
    path.write_text(SCENARIO)
    return str(path)


def figures_of(means: Mapping[tuple[Policy, int], float], *, fills: float = 30.0, se_bps: float = 0.1) -> Figures:
    """Figures in which every policy earns -9 bps but those named by (policy, latency); all decide 40 times a day."""
    mean = np.full(NETS, -9.0)
    for (policy, latency_ms), bps in means.items():
        t, o, h = policy.place
        mean[t, o, LATENCIES_MS.index(latency_ms), h] = bps
    return Figures(mean, np.full(NETS, se_bps), np.full(FILLS, fills), np.full(GROUPS, 40.0))


def a_truth(
    coin: str, bps: float, *, late_bps: float | None = None, label: str = "stale_quote", fills: float = 30.0
) -> Truth:
    """A market whose policy `POLICY` earns `bps` at 200 ms, `late_bps` at 500 ms."""
    late = bps if late_bps is None else late_bps
    figures = figures_of({(POLICY, 200): bps, (POLICY, 500): late}, fills=fills)
    return Truth(coin=coin, label=label, true=figures, shown=figures, anytime=figures)


def an_outcome(
    coin: str,
    state: str,
    *,
    theta_bps: float = 3.0,
    half_bps: float = 1.0,
    policy: Policy = POLICY,
    fill_ratio: float = 0.75,
    claim: Claim = NO_CLAIM,
    verdict: str = "stale_quote",
) -> Outcome:
    """An outcome of ten test days with ten fills each."""
    place = POLICIES.index(policy)
    return Outcome(
        coin=coin,
        state=state,
        verdict=verdict,
        is_proved=state not in {"rejected", "insufficient"},
        policy=place,
        theta_bps=theta_bps,
        ci_lower_bps=theta_bps - half_bps,
        ci_upper_bps=theta_bps + half_bps,
        se_bps=half_bps / 1.96,
        df=1e6,
        test_policies=[place] * 10,
        test_fills=[10.0] * 10,
        modelled_fill_ratio=fill_ratio,
        predecessor=claim,
        predecessor_short=NO_CLAIM,
    )


def a_found(*outcomes: Outcome, boundary: tuple[str, ...] = (), name: str = "one") -> Found:
    """A universe of such outcomes."""
    return Found(name=name, row_count=1000, day_count=10, outcomes=list(outcomes), boundary=list(boundary))
