"""Levels of edges are exact, although they are computed in floats first."""

from fractions import Fraction
from math import ceil

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hip3_platform.analytics.evidence.episodes import ORACLE_PX_MAX, _level

LOW, HIGH = 3, 75
ORACLES = st.one_of(
    st.integers(1, 10**6), st.integers(10**8, 10**12), st.integers(ORACLE_PX_MAX - 10**6, ORACLE_PX_MAX - 1)
)


@given(oracle=ORACLES, half_bps=st.integers(-10, 170), off=st.integers(-2, 2))
def test_the_level_is_the_largest_whole_number_below_twice_the_edge(oracle: int, half_bps: int, off: int) -> None:
    beyond = oracle * half_bps // 20_000 + off  # on a bound, and the whole numbers around it
    twice = Fraction(20_000 * beyond, oracle)
    expected = min(max(ceil(twice) - 1, LOW - 1), 2 * HIGH)
    assert _level(np.array([beyond]), np.array([oracle]), LOW, HIGH).tolist() == [expected]


@given(oracle=ORACLES.filter(lambda px: px % 20_000 == 0 or px > 10**6), half_bps=st.integers(3, 149))
def test_an_edge_on_the_bound_is_not_over_it(oracle: int, half_bps: int) -> None:
    whole = max(oracle // 20_000, 1) * 20_000
    level = _level(np.array([whole // 20_000 * half_bps]), np.array([whole]), LOW, HIGH)
    assert level.tolist() == [max(half_bps - 1, LOW - 1)]
