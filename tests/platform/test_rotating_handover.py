"""A document as the platform makes it, judged by the engine as the control API would hand it over."""

from decimal import Decimal

import polars as pl
import pytest
from core_builders import COIN, START_TS_NS, WARM_MS, a_spec, a_warm_engine, feed, of_type

from hip3_platform.analytics.rotating import capacity, score
from hip3_platform.analytics.rotating.allocation import AllocationRule
from hip3_platform.analytics.rotating.document import Identity
from hip3_platform.analytics.rotating.rotate import APPROVALS, Evidence, Rules, rotate
from hip3_platform.analytics.rotating.settings import Own
from hip3_platform.analytics.rotating.standing import StandingRule
from streaming.contracts.paths import day_of
from streaming.contracts.rotation import RotationDoc, decode_rotation, encode_rotation, rotation_sha256
from streaming.core.effects import RotationJudged
from streaming.core.state import EngineState
from streaming.core.units import NS_PER_DAY, NS_PER_MS
from streaming.shell.control.verb import rotation_event

RULES = Rules(StandingRule(confirm_days=1, shadow_days=0), AllocationRule())


def a_day(threshold_bps: int, horizon_s: int, own: Own, *, back: int = 1, state: str = "approved_trade",
          previous: RotationDoc | None = None) -> RotationDoc:  # fmt: skip
    """Make the document of the day `back` days before the engine's."""
    scores = [{"coin": COIN, "mean_usd": 9.0, "se_usd": 1.0, "score_usd": 8.0}]
    approval = {"coin": COIN, "state": state, "theta_bps": 4.0, "se_bps": 1.0, "test_fills": 100, "origin": "any",
                "threshold_bps": threshold_bps, "horizon_s": horizon_s, "reason": "by hand"}  # fmt: skip
    known = Evidence(
        scores=pl.DataFrame(scores, schema={name: score.SCHEMA[name] for name in scores[0]}),
        approvals=pl.DataFrame([approval], schema=APPROVALS),
        sizes=pl.DataFrame([(COIN, 30.0, 40.0, 100)], schema=capacity.SIZES, orient="row"),
        blacklist={}, own={COIN: own}, phase="micro",
    )  # fmt: skip
    day = day_of(START_TS_NS - back * NS_PER_DAY)
    identity = Identity(venue="sim", account="paper", day=day, code_version="1", config_hash="", expiry_hours=72)
    return rotate(identity, known, RULES, previous)


def judged(state: EngineState, doc: RotationDoc) -> RotationJudged:
    raw = encode_rotation(doc)
    held = state.control.rotation
    event = rotation_event(
        decode_rotation(raw), rotation_sha256(raw), held.sha256 if held else "", 1, (WARM_MS + 1) * NS_PER_MS,
        START_TS_NS + (WARM_MS + 1) * NS_PER_MS,
    )  # fmt: skip
    (found,) = of_type(feed(state, event), RotationJudged)
    return found


def own_settings(state: EngineState) -> Own:
    return Own(threshold_bps=state.markets[COIN].threshold_bps, time_stop_ms=state.limits.exits.time_stop_ms)


@pytest.mark.parametrize(("threshold_bps", "horizon_s"), [(30, 1), (3, 10), (3, 1), (30, 10)])
def test_a_document_made_with_the_sidecars_own_settings_is_applied_whatever_the_policy(
    threshold_bps: int, horizon_s: int
) -> None:
    state = a_warm_engine(a_spec())
    own = own_settings(state)
    assert judged(state, a_day(threshold_bps, horizon_s, own)).reasons == ()
    market = state.markets[COIN]
    assert market.threshold_bps == max(own.threshold_bps or 0, Decimal(threshold_bps))
    exits = market.real_exits or state.limits.exits
    assert exits.time_stop_ms == min(own.time_stop_ms or 0, horizon_s * 1_000)


def test_a_document_made_without_knowing_them_is_refused_whole_where_it_would_widen() -> None:
    state = a_warm_engine(a_spec())
    reasons = judged(state, a_day(3, 10, Own())).reasons
    assert [reason.split()[2] for reason in reasons] == ["threshold_bps", "hold_ms_max"]
    assert state.control.rotation is None


def test_a_market_dropped_at_once_may_not_trade_on_until_the_expiry() -> None:
    state = a_warm_engine(a_spec())
    own = own_settings(state)
    before = a_day(8, 3, own, back=2)
    judged(state, before)
    assert state.markets[COIN].allowance_ntl == 60
    judged(state, a_day(8, 3, own, state="rejected", previous=before))
    assert state.markets[COIN].allowance_ntl is None
