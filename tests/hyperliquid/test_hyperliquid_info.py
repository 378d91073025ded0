import json
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.core.errors import OutcomeUnknown
from streaming.core.registry import ListedDex, ListedMarket
from streaming.hyperliquid import info

BODIES = msgspec.json.decode(
    (Path(__file__).resolve().parents[1] / "fixtures" / "wire" / "info.json").read_bytes(), type=dict[str, msgspec.Raw]
)
PARSERS: dict[str, Callable[[bytes], object]] = {
    "perpDexs": info.parse_perp_dexs,
    "meta": info.parse_meta,
    "metaAndAssetCtxs": info.parse_meta_and_asset_ctxs,
    "perpDexLimits": info.parse_perp_dex_limits,
    "perpDexStatus": info.parse_perp_dex_status,
    "perpsAtOpenInterestCap": info.parse_perps_at_open_interest_cap,
    "userFees": info.parse_user_fees,
    "exchangeStatus": info.parse_exchange_status,
    "spotMeta": info.parse_spot_names,
}


def parsed(name: str) -> object:
    return PARSERS[name](bytes(BODIES[name]))


def test_parse_perp_dexs_keeps_the_leading_null_and_the_older_fee_scale() -> None:
    assert parsed("perpDexs") == (
        None,
        ListedDex(name="xyz"),
        ListedDex(name="old", deployer_fee_scale=Decimal("0.5")),
    )


def test_parse_meta_gives_absent_keys_their_documented_meaning() -> None:
    meta = info.parse_meta(bytes(BODIES["meta"]))

    assert meta.collateral_token == 0
    assert meta.universe == (
        ListedMarket(
            name="xyz:ALPHA", sz_decimals=4, leverage_max=20, is_growth_mode=True, deployer_fee_scale=Decimal("1.0")
        ),
        ListedMarket(name="xyz:GONE", sz_decimals=1, leverage_max=5, is_delisted=True),
        ListedMarket(
            name="xyz:BETA",
            sz_decimals=2,
            leverage_max=10,
            margin_mode="strictIsolated",
            deployer_fee_scale=Decimal("1.0"),
        ),
        ListedMarket(name="xyz:GAMMA", sz_decimals=2, leverage_max=10, margin_mode="noCross"),
    )


def test_parse_meta_and_asset_ctxs_pairs_by_position_and_refuses_a_difference() -> None:
    _, ctxs = info.parse_meta_and_asset_ctxs(bytes(BODIES["metaAndAssetCtxs"]))
    meta, _ = json.loads(bytes(BODIES["metaAndAssetCtxs"]))

    assert [(ctx.coin, ctx.oracle_px, ctx.mid_px) for ctx in ctxs] == [("xyz:ALPHA", Decimal("101.4"), None)]
    with pytest.raises(OutcomeUnknown, match="0 contexts for 1 markets"):
        info.parse_meta_and_asset_ctxs(json.dumps([meta, []]).encode())


def test_parse_limits_fees_and_statuses() -> None:
    assert parsed("perpDexLimits") == info.DexLimits(
        oi_cap_ntl_by_coin={"xyz:ALPHA": Decimal("250000.0")}, total_oi_cap_ntl=Decimal(10_000_000_000)
    )
    assert info.parse_perp_dex_limits(b"null") is None
    assert parsed("perpDexStatus") == Decimal("1234.5")
    assert parsed("perpsAtOpenInterestCap") == frozenset({"xyz:BETA"})
    assert parsed("userFees") == info.UserFees(user_cross_rate=Decimal("0.0004"), referral_discount=Decimal("0.04"))
    assert parsed("spotMeta") == frozenset({"ALPHA/USDC", "@1", "USDC", "ALPHA"})


@pytest.mark.parametrize(
    ("body", "is_special"),
    [
        (b'{"specialStatuses":null,"time":5}', False),
        (b'{"time":5}', False),
        (b'{"specialStatuses":["x"],"time":5}', True),
    ],
)
def test_parse_exchange_status_is_special_unless_null(body: bytes, is_special: bool) -> None:
    assert info.parse_exchange_status(body) == info.ExchangeStatus(is_special=is_special, venue_ts_ms=5)


@pytest.mark.parametrize("name", sorted(PARSERS))
@pytest.mark.parametrize("body", [b"", b"<html>502</html>", b"\xff\xfe", b'{"a":1}', b"[" * 100_000, b"7"])
def test_parse_garbage_is_an_unknown_outcome_with_a_short_excerpt(name: str, body: bytes) -> None:
    with pytest.raises(OutcomeUnknown) as caught:
        PARSERS[name](body)

    assert name in str(caught.value)
    assert str(caught.value).isascii()
    assert len(str(caught.value)) < 420


@pytest.mark.parametrize("number", ["NaN", "1e400", "-0.00045", "", "0.1.2"])
def test_parse_user_fees_with_a_hostile_rate_is_an_unknown_outcome(number: str) -> None:
    with pytest.raises(OutcomeUnknown):
        info.parse_user_fees(json.dumps({"userCrossRate": number}).encode())


@given(body=st.binary(max_size=100), name=st.sampled_from(sorted(PARSERS)))
def test_parse_any_bytes_gives_an_answer_or_an_unknown_outcome(body: bytes, name: str) -> None:
    with suppress(OutcomeUnknown):
        PARSERS[name](body)


def test_parse_recorded_answers_of_the_venue(shared_data: Path) -> None:
    lines = (shared_data / "wire" / "rest_responses.jsonl").read_bytes().splitlines()
    seen = set()
    for line in lines:
        row = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
        request = msgspec.json.decode(row["request"])
        name = request["type"] if isinstance(request, dict) else ""
        if name in PARSERS and "status" not in row:
            PARSERS[name](bytes(row["body"]))
            seen.add(name)
    assert seen >= {"perpDexStatus", "perpDexLimits", "perpsAtOpenInterestCap", "userFees", "metaAndAssetCtxs"}


def test_parse_recorded_selection_of_perp_dexs_and_meta(shared_data: Path) -> None:
    path = shared_data / "wire" / "minnzen-2026-07-19" / "2026-07-19-mainnet-m1.json"
    selection = json.loads(path.read_text())["selection"]

    dexes = info.parse_perp_dexs(json.dumps([None, *selection["perpDexs"]]).encode())
    meta = info.parse_meta(json.dumps({"universe": selection["hip3Universe"], "collateralToken": 0}).encode())

    assert dexes[1] == ListedDex(name="xyz")
    assert meta.universe[2].name == "xyz:NVDA"
    assert all(market.sz_decimals is not None and market.leverage_max for market in meta.universe)


@pytest.mark.parametrize(
    "body",
    [
        b'{"universe":[{"name":"xyz:A","szDecimals":%d,"maxLeverage":10}],"collateralToken":0}',
        b'{"universe":[{"name":"xyz:A","szDecimals":2,"maxLeverage":%d}],"collateralToken":0}',
        b'{"universe":[{"name":"xyz:A","szDecimals":2,"maxLeverage":10}],"collateralToken":%d}',
    ],
)
def test_meta_number_no_journal_could_hold_is_no_answer(body: bytes) -> None:
    """The poll's specs are journaled: an integer beyond 64 bits would end the process."""
    with pytest.raises(OutcomeUnknown):
        info.parse_meta(body % 2**70)
    assert info.parse_meta(body % 3).universe
