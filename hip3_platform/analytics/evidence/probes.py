"""Real orders against the model: only a market whose quotes are really there may trade beyond micro.

A maker who pulls his quote when our order arrives looks, in best bids and offers, exactly like one who does not: no
estimator on public data can tell them apart (false discoveries .12-.19 without probes, .01 with them). So 20 or more
small IOC orders are sent on oracle-led decisions of the final policy, and what came of each is laid beside what the
model said of the same decision.

Rule 1: judged from 20 *modelled fills* on: then the operating characteristic of the method holds, which is the binomial
one (20 fills, passes with probability .99 / .80 / .42 / .02 at a true ratio of .9 / .8 / .7 / .5). Counting orders
sent, some of which the model misses as well, would judge on fewer.
Rule 2: realised fills / modelled fills >= .75.
Rule 3: over decisions both filled, the mean of realised - modelled is not below -1 standard error.
Rule 4: what cannot be judged yet is `not_yet`, never passed.

Pairing order rows with the markouts of their signals is not done here; a row missing on either side is no probe.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from hip3_platform.analytics.evidence.estimate import Floats

MODELLED_FILLS_MIN = 20
FILL_RATIO_MIN = 0.75

ProbeState = Literal["passed", "failed", "not_yet"]


@dataclass(frozen=True, slots=True)
class ProbeVerdict:
    """What a market's probes say, with the figures it was read off."""

    state: ProbeState
    sent: int
    modelled_fills: int
    realised_fills: int
    fill_ratio: float | None
    """Realised / modelled fills; None without a modelled fill."""
    difference_bps: float | None
    """Mean of realised - modelled where both filled; None without such a pair."""
    difference_se_bps: float | None
    """None with fewer than two pairs."""
    reason: str


def judge_probes(realised_bps: Floats, modelled_bps: Floats) -> ProbeVerdict:
    """Judge real probes against the model of the same decisions.

    Args:
        realised_bps: Result after fees of each probe, (probes,); nan where the order did not fill.
        modelled_bps: Modelled result of the same decision at the assumed latency; nan where the model misses it.

    Source:
        Evidence method, section 6, rule 7.
    """
    is_real, is_modelled = ~np.isnan(realised_bps), ~np.isnan(modelled_bps)
    real, modelled = int(is_real.sum()), int(is_modelled.sum())
    differences = (realised_bps - modelled_bps)[is_real & is_modelled]
    mean = float(differences.mean()) if differences.size else None
    se = float(stats.sem(differences)) if differences.size >= 2 else None
    ratio = real / modelled if modelled else None
    state, reason = _verdict(modelled, real, mean, se)
    return ProbeVerdict(
        state=state, sent=len(realised_bps), modelled_fills=modelled, realised_fills=real, fill_ratio=ratio,
        difference_bps=mean, difference_se_bps=se, reason=reason,
    )  # fmt: skip


def _verdict(modelled: int, real: int, mean: float | None, se: float | None) -> tuple[ProbeState, str]:
    if modelled < MODELLED_FILLS_MIN:
        return "not_yet", f"{modelled} of {MODELLED_FILLS_MIN} modelled fills needed"
    filled = f"{real} of {modelled} modelled fills were real ({real / modelled:.2f}, at least {FILL_RATIO_MIN} needed)"
    if real / modelled < FILL_RATIO_MIN:
        return "failed", filled
    if mean is None or se is None:
        return "not_yet", f"{filled}; fewer than two decisions filled in both, so results cannot be compared"
    compared = f"{filled}; real result {mean:+.2f} ± {se:.2f} bps against the model"
    return ("passed", compared) if mean >= -se else ("failed", f"{compared}: more than 1 se below")
