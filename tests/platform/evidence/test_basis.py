"""Who closed the gap: hand-worked decisions, one a case."""

import math

import numpy as np
import polars as pl
import pytest
from evidence_feed import bbo, ctx, day_of_rows, every_second
from statsmodels.tsa.arima_process import arma_generate_sample

from hip3_platform.analytics.evidence.basis import GAP_SCHEMA, SCHEMA, basis_of, gaps_of

# Book 100 / 100.02 under oracle 100; at 30 s the oracle steps to 100.12: buying at 100.02 is 9.99 bps beyond.
QUIET = [bbo(1_000, 100, "100.02")]
STEP = [*every_second(0, 29, "100"), *every_second(30, 60, "100.12")]
EDGE = (100.12 - 100.02) / 100.12 * 1e4


def _row(bbos: list, ctxs: list) -> dict:
    rows = basis_of(day_of_rows(bbos, ctxs)).to_dicts()
    assert len(rows) == 1
    return rows[0]


def test_a_quote_that_follows_closes_the_edge_and_the_oracle_none_of_it() -> None:
    row = _row([*QUIET, bbo(32_000, "100.10", "100.12")], STEP)
    assert (row["side"], row["origin"], row["ts_ns"]) == ("buy", "oracle_led", row["ts_ns"])
    assert row["entry_edge_bps"] == pytest.approx(EDGE)
    assert row["quote_age_ms"] == 29_000
    assert (row["quote_share_1s"], row["oracle_share_1s"]) == (0.0, 0.0)
    assert (row["quote_share_5s"], row["oracle_share_5s"]) == (pytest.approx(1.0), 0.0)


def test_an_oracle_that_comes_back_takes_the_edge_away() -> None:
    ctxs = [*every_second(0, 29, "100"), *every_second(30, 32, "100.12"), *every_second(33, 60, "100")]
    row = _row(QUIET, ctxs)
    assert row["quote_share_5s"] == 0.0
    assert row["oracle_share_5s"] == pytest.approx(1.2)


def test_a_book_that_goes_wider_moves_the_quote_beyond_the_edge() -> None:
    row = _row([*QUIET, bbo(31_000, "99.90", "100.30")], STEP)
    assert row["quote_share_5s"] == pytest.approx(2.8)
    assert row["spread_ratio_5s"] == pytest.approx((0.40 / 100.10) / (0.02 / 100.01))


def test_selling_is_the_mirror() -> None:
    ctxs = [*every_second(0, 29, "100"), *every_second(30, 60, "99.90")]
    row = _row([*QUIET, bbo(32_000, "99.95", "99.97")], ctxs)
    assert row["side"] == "sell"
    assert row["quote_share_5s"] == pytest.approx(0.5)


@pytest.mark.parametrize("lost", [bbo(32_000, None, "100.02"), bbo(32_000, "100.02", "100.02")])
def test_an_end_without_a_two_sided_book_is_not_known(lost: dict) -> None:
    row = _row([*QUIET, lost], STEP)
    assert row["quote_share_1s"] == 0.0
    assert row["quote_share_5s"] is None
    assert row["oracle_share_5s"] is None


def test_an_end_behind_a_feed_gap_is_not_known() -> None:
    row = _row([*QUIET, bbo(34_000, "100.10", "100.12", generation=2)], [*STEP[:31], ctx(58_000, "100.12")])
    assert row["quote_share_10s"] is None


def test_depth_is_that_of_the_side_we_would_take() -> None:
    row = _row([bbo(1_000, 100, "100.02", 7, 3)], STEP)
    assert row["depth_usd"] == pytest.approx(300.06)


def test_a_day_without_a_cross_has_the_columns_and_no_row() -> None:
    frame = basis_of(day_of_rows(QUIET, every_second(0, 60, "100")))
    assert frame.schema == pl.DataFrame(schema=SCHEMA).schema
    assert frame.is_empty()


def _gap_row(gaps_bps: np.ndarray) -> dict:
    """A book whose mid is off the oracle 1,000 by these bps, one value in 10 s."""
    begin = 10_000
    mids = [round(1_000 + gap / 10, 4) for gap in gaps_bps]
    bbos = [bbo(begin * k, f"{mid - 0.5:.4f}", f"{mid + 0.5:.4f}") for k, mid in enumerate(mids)]
    frame = gaps_of(day_of_rows(bbos, every_second(0, 10 * len(mids), "1000")))
    assert frame.schema == pl.DataFrame(schema=GAP_SCHEMA).schema
    return frame.to_dicts()[0]


def test_a_gap_that_persists_has_the_autocorrelation_it_was_made_with() -> None:
    phi_10s = 0.5 ** (1 / 30)  # halves in 300 s
    gaps = arma_generate_sample([1, -phi_10s], [1], 8_000, distrvs=np.random.default_rng(5).standard_normal)
    row = _gap_row(gaps)
    half_life_s = -60 * math.log(2) / math.log(row["autocorrelation_60s"])
    assert 200 < half_life_s < 450


def test_a_gap_that_never_moves_has_no_autocorrelation() -> None:
    row = _gap_row(np.full(100, 3.0))
    assert row["gap_bps_mean"] == pytest.approx(3.0)
    assert row["autocorrelation_60s"] is None
