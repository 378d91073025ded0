import json
from decimal import Decimal
from pathlib import Path

import pytest
from sim_market_view import market

from streaming.core.units import BPS
from streaming.sim.exchange.accounts.fees import (
    DAY_MS,
    Volumes,
    builder_fee_usd,
    deployer_share,
    market_rate,
    tier_of,
    user_fees_body,
)

D = Decimal
TODAY = 20_750
NOW_MS = TODAY * DAY_MS + 5_000


@pytest.mark.parametrize(
    ("scale", "is_growth", "discount", "referral", "taker_bps", "maker_bps"),
    [
        ("1", True, "0", "0", "0.9", "0.3"),
        ("1", False, "0", "0", "9", "3"),
        ("0.5", False, "0", "0", "6.75", "2.25"),
        ("0", True, "0", "0", "0.45", "0.15"),
        ("1", True, "0.4", "0", "0.54", "0.18"),
        ("1", True, "0", "0.04", "0.864", "0.288"),
    ],
)
def test_market_rate_documented_examples_reproduced(
    scale: str, is_growth: bool, discount: str, referral: str, taker_bps: str, maker_bps: str
) -> None:
    listed = market("xyz:A", 100, 2, is_growth_mode=is_growth, fee_scale=scale)
    rest = 1 - D(discount)
    rates = [market_rate(D(rate) * rest, listed, referral_discount=D(referral)) for rate in ("0.00045", "0.00015")]
    assert [rate * BPS for rate in rates] == [D(taker_bps), D(maker_bps)]


def test_market_rate_validator_dex_has_no_scale() -> None:
    listed = market("A", 100, 2, fee_scale="3")
    assert market_rate(D("0.00045"), listed) == D("0.00045")
    assert deployer_share(listed) == 0


def test_market_rate_rebate_is_not_scaled_up() -> None:
    assert market_rate(D("-0.00001"), market("xyz:A", 100, 2, fee_scale="2")) == D("-0.00001")
    assert market_rate(D("-0.00001"), market("xyz:A", 100, 2, is_growth_mode=True)) == D("-0.000001")


@pytest.mark.parametrize(("scale", "share"), [("0", "0"), ("0.25", "0.2"), ("1", "0.5"), ("3", "0.5")])
def test_deployer_share_follows_scale(scale: str, share: str) -> None:
    assert deployer_share(market("xyz:A", 100, 2, fee_scale=scale)) == D(share)


@pytest.mark.parametrize(
    ("volume", "cross", "add"),
    [
        ("0", "0.00045", "0.00015"),
        ("5000000", "0.00045", "0.00015"),
        ("5000000.01", "0.0004", "0.00012"),
        ("600000000", "0.00028", "0"),
        ("99e9", "0.00024", "0"),
    ],
)
def test_tier_begins_above_its_cutoff(volume: str, cross: str, add: str) -> None:
    tier = tier_of(D(volume))
    assert (tier.cross, tier.add) == (D(cross), D(add))


def test_volumes_window_is_fourteen_whole_days_and_weighs_growth_mode() -> None:
    volumes = Volumes()
    for day, ntl, is_growth in (
        (TODAY - 15, 7, False),
        (TODAY - 14, 100, False),
        (TODAY - 1, 100, True),
        (TODAY, 9, False),
    ):
        volumes.add(D(ntl), now_ms=day * DAY_MS, is_taker=True, is_growth_mode=is_growth)
    assert volumes.window_usd(NOW_MS) == 110
    assert volumes.weighted_usd == 126
    assert volumes.total_usd == 216


def test_builder_fee_is_cut_to_a_millionth() -> None:
    assert builder_fee_usd(D("66.6539"), D("1")) == D("0.006665")


def test_user_fees_days_reach_today_and_keep_sides_apart() -> None:
    volumes = Volumes()
    volumes.add(D("12.5"), now_ms=NOW_MS, is_taker=True, is_growth_mode=True)
    volumes.add(D("7"), now_ms=NOW_MS, is_taker=False, is_growth_mode=False)
    body = user_fees_body(volumes, NOW_MS, {TODAY: D("19.5")})
    assert len(body["dailyUserVlm"]) == 15
    assert body["dailyUserVlm"][-1] == {"date": "2026-10-24", "userCross": "12.5", "userAdd": "7.0", "exchange": "19.5"}
    assert (body["userCrossRate"], body["userAddRate"]) == ("0.00045", "0.00015")


def test_user_fees_schedule_equals_the_recorded_one(shared_data: Path) -> None:
    recorded = json.loads((shared_data / "wire/minnzen-2026-07-19/2026-07-19-mainnet-m2.json").read_text())
    real = recorded["selection"]["userFees"]["feeSchedule"]
    ours = user_fees_body(Volumes(), NOW_MS, {})["feeSchedule"]
    assert ours["tiers"]["vip"] == real["vip"]
    assert ours["tiers"]["mm"] == real["mm"]
    assert {key: ours[key] for key in ("cross", "add", "spotCross", "spotAdd")} == {
        key: real[key] for key in ("cross", "add", "spotCross", "spotAdd")
    }
