import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.core.market import Side
from streaming.core.rounding import floor_sz, is_legal_px, px_tick, round_px_toward_safe, wire_number

VECTORS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "vectors" / "rounding_vectors.json"
PX = st.decimals(min_value=Decimal("0.0000001"), max_value=Decimal(10_000_000), allow_nan=False, places=8)
SZ_DECIMALS = st.integers(0, 6)
EXACT = settings(derandomize=True, max_examples=200, deadline=None)


def vectors() -> dict[str, Any]:
    if not VECTORS.exists():
        pytest.skip("shared/data/vectors absent")
    loaded: dict[str, Any] = json.loads(VECTORS.read_text())
    return loaded


@pytest.mark.parametrize(
    ("side", "px", "sz_decimals", "expected"),
    [
        (Side.BUY, "123456", 0, "123456"),
        (Side.BUY, "123456.7", 0, "123456"),
        (Side.SELL, "123456.7", 0, "123457"),
        (Side.BUY, "12345.67", 2, "12345"),
        (Side.SELL, "12345.67", 2, "12346"),
        (Side.SELL, "99999.5", 0, "100000"),
        (Side.BUY, "29855.5", 4, "29855"),
        (Side.BUY, "188.019", 3, "188.01"),
        (Side.SELL, "188.011", 3, "188.02"),
        (Side.BUY, "0.0012345", 0, "0.001234"),
        (Side.SELL, "9.99996", 0, "10"),
        (Side.BUY, "0.0000009", 0, "0"),
        (Side.SELL, "0.0000009", 0, "0.000001"),
        (Side.BUY, "0", 0, "0"),
        (Side.SELL, "-1", 0, "0"),
    ],
)
def test_round_px_toward_safe_price_off_grid_moves_away_from_aggression(
    side: Side, px: str, sz_decimals: int, expected: str
) -> None:
    assert round_px_toward_safe(side, Decimal(px), sz_decimals) == Decimal(expected)


@EXACT
@given(px=PX, sz_decimals=SZ_DECIMALS)
def test_round_px_toward_safe_any_price_is_legal_and_never_beyond(px: Decimal, sz_decimals: int) -> None:
    buy = round_px_toward_safe(Side.BUY, px, sz_decimals)
    sell = round_px_toward_safe(Side.SELL, px, sz_decimals)
    assert buy <= px <= sell
    assert buy == 0 or is_legal_px(buy, sz_decimals)
    assert is_legal_px(sell, sz_decimals)
    assert px - buy < px_tick(px, sz_decimals)
    assert round_px_toward_safe(Side.BUY, sell, sz_decimals) == sell
    assert buy == 0 or round_px_toward_safe(Side.SELL, buy, sz_decimals) == buy


@EXACT
@given(sz=st.decimals(min_value=0, max_value=1_000_000, allow_nan=False, places=8), sz_decimals=SZ_DECIMALS)
def test_floor_sz_any_size_is_whole_lots_and_never_more(sz: Decimal, sz_decimals: int) -> None:
    floored = floor_sz(sz, sz_decimals)
    lot = Decimal(1).scaleb(-sz_decimals)
    assert floored <= sz < floored + lot
    assert floored % lot == 0


@EXACT
@given(value=st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9, places=8))
def test_wire_number_any_value_reads_back_equal_and_canonical(value: Decimal) -> None:
    text = wire_number(value)
    assert Decimal(text) == value
    assert "e" not in text.lower()
    assert text != "-0"
    assert "." not in text or text[-1] not in "0."


@pytest.mark.parametrize(
    ("value", "text"),
    [("1E+5", "100000"), ("100.00", "100"), ("-0.00", "0"), ("0.10", "0.1"), ("1e-8", "0.00000001"), ("-1.50", "-1.5")],
)
def test_wire_number_spelling_of_python_is_not_the_venues(value: str, text: str) -> None:
    assert wire_number(Decimal(value)) == text


def test_is_legal_px_published_validity_vectors_agree() -> None:
    cases = [case for case in vectors()["price_validity"] if case["market"] == "perp"]
    assert cases
    assert [c for c in cases if is_legal_px(Decimal(c["px"]), c["szDecimals"]) is not c["valid"]] == []


def test_px_tick_published_vectors_agree() -> None:
    cases = vectors()["tick_and_round"]["perp"]
    assert [c for c in cases if px_tick(Decimal(c["px"]), c["szDecimals"]) != Decimal(c["tick"])] == []


def test_round_px_toward_safe_published_truncations_equal_a_floored_buy() -> None:
    cases = [c for c in vectors()["format_price_truncate"]["cases"] if c["market"] == "perp" and c["in"][0] != "-"]
    found = {c["in"]: wire_number(round_px_toward_safe(Side.BUY, Decimal(c["in"]), c["szDecimals"])) for c in cases}
    assert found == {c["in"]: c["out"] for c in cases}


def test_floor_sz_published_truncations_agree() -> None:
    cases = [c for c in vectors()["format_size_truncate"]["cases"] if c["in"][0] != "-"]
    found = {c["in"]: wire_number(floor_sz(Decimal(c["in"]), c["szDecimals"])) for c in cases}
    assert found == {c["in"]: c["out"] for c in cases}
