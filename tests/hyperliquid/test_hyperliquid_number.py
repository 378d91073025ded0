from decimal import ROUND_CEILING, Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.hyperliquid.number import (
    WireNumberError,
    is_positive_decimal,
    plain_decimal,
    positive_decimal,
    px_decimal,
    statistic,
    sz_rounded_up,
    unsigned_decimal,
)


@pytest.mark.parametrize("text", ["0.00000001", "9999999999.99999999", "007.50", "1"])
def test_positive_decimal_in_the_table_range_is_exact(text: str) -> None:
    assert positive_decimal(text) == px_decimal(text) == Decimal(text)
    assert is_positive_decimal(text)


@pytest.mark.parametrize(
    "text", ["0", "0.00000", "000", "-1", "", ".", "1.", ".5", "1e3", "10000000000", "0.123456789", "NaN"]
)
def test_positive_decimal_refuses_and_remembers_no_refusal(text: str) -> None:
    assert not is_positive_decimal(text)
    for parse in (positive_decimal, px_decimal, px_decimal):
        with pytest.raises(WireNumberError):
            parse(text)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(value=st.decimals(0, 10**14, places=12))
def test_sz_rounded_up_is_never_below_the_wire_and_at_most_one_quantum_above(value: Decimal) -> None:
    rounded = sz_rounded_up(f"{value:f}")

    assert value <= rounded < value + Decimal("1e-8")
    assert rounded == value.quantize(Decimal("1e-8"), rounding=ROUND_CEILING)


def test_plain_decimal_keeps_a_sign_and_unsigned_refuses_it() -> None:
    assert plain_decimal("-12.5") == Decimal("-12.5")
    assert unsigned_decimal("0.0") == 0
    for text in ("-12.5", "-0.0"):
        with pytest.raises(WireNumberError):
            unsigned_decimal(text)


def test_statistic_is_a_float_and_refuses_what_is_no_plain_number() -> None:
    assert statistic("-0.0001") == -0.0001
    with pytest.raises(WireNumberError):
        statistic("nan")
