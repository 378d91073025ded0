"""Verdicts: each is reached by the market it describes, and a figure that is missing never makes one."""

import math

import polars as pl
import pytest

from hip3_platform.analytics.evidence import basis
from hip3_platform.analytics.evidence.verdict import SCHEMA, VerdictRule, deciding, verdicts_of

STALE = {
    "origin": "oracle_led", "session": "open", "entry_edge_bps": 8.0, "quote_age_ms": 2_400.0, "depth_usd": 2_000.0,
    "spread_bps": 4.0, "quote_share_5s": 1.2, "oracle_share_5s": 0.0, "spread_ratio_5s": 1.0,
}  # fmt: skip


def _rows(count: int, **changed) -> pl.DataFrame:
    row = {**STALE, "coin": "xyz:NVDA", "side": "buy", **changed}
    return pl.DataFrame([row] * count, schema_overrides=basis.SCHEMA)


def _gaps(autocorrelation: float | None, session: str = "closed") -> pl.DataFrame:
    row = {"coin": "xyz:NVDA", "session": session, "sample_count": 5_000, "autocorrelation_60s": autocorrelation}
    return pl.DataFrame([row], schema={name: basis.GAP_SCHEMA[name] for name in row})


def _verdict(rows: pl.DataFrame, gaps: pl.DataFrame | None = None) -> dict:
    found = verdicts_of(rows, _gaps(None) if gaps is None else gaps, ("xyz:NVDA",), VerdictRule())
    return found.filter(pl.col("session") == "all").to_dicts()[0]


@pytest.mark.parametrize(
    ("verdict", "changed"),
    [
        ("stale_quote", {}),
        ("thin", {"depth_usd": 58.0}),
        ("standing_basis", {"quote_share_5s": 0.0}),
        ("frozen", {"quote_share_5s": 0.0, "quote_age_ms": 56_000.0}),
        ("toxic", {"quote_share_5s": 0.0, "oracle_share_5s": 1.2}),
        ("widening", {"quote_share_5s": 2.0, "spread_ratio_5s": 1.5}),
        ("stale_quote", {"quote_share_5s": 2.0}),
        ("unclear", {"quote_share_5s": 0.6}),
        ("unclear", {"oracle_share_5s": 0.35}),
    ],
)
def test_a_market_gets_the_verdict_that_describes_it(verdict: str, changed: dict) -> None:
    assert _verdict(_rows(30, **changed))["verdict"] == verdict


@pytest.mark.parametrize(
    ("half_life_s", "session", "led_share", "verdict"),
    [
        (3_900.0, "open", 0.3, "standing_basis"),
        (3_900.0, "closed", 0.3, "standing_basis"),
        (830.0, "closed", 0.15, "self_referential"),
        (830.0, "open", 0.15, "unclear"),
        (400.0, "closed", 0.1, "unclear"),
        (285.0, "closed", 0.04, "noise"),
    ],
)
def test_gaps_that_stay_open_are_told_apart_by_how_long_they_last(
    half_life_s: float, session: str, led_share: float, verdict: str
) -> None:
    led = _rows(40, session=session, quote_share_5s=0.0)
    rest = _rows(round(40 / led_share) - 40, session=session, origin="quote_led")
    autocorrelation = math.exp(-math.log(2) * 60 / half_life_s)
    assert _verdict(pl.concat([led, rest]), _gaps(autocorrelation))["verdict"] == verdict


def test_a_fifth_of_old_quotes_is_frozen_although_the_median_is_young() -> None:
    young, old = _rows(29, quote_share_5s=0.0), _rows(8, quote_share_5s=0.0, quote_age_ms=10_001.0)
    assert _verdict(pl.concat([young, old]))["verdict"] == "frozen"
    assert _verdict(pl.concat([young, old.head(7)]))["verdict"] == "standing_basis"


def test_an_oracle_that_follows_the_book_off_hours_is_self_referential_if_the_gap_persists() -> None:
    rows = _rows(40, session="closed", quote_share_5s=0.1, oracle_share_5s=0.7)
    halves_in_90_s = math.exp(-math.log(2) * 60 / 90)
    found = _verdict(rows, _gaps(halves_in_90_s))
    assert (found["verdict"], found["gap_half_life_s"]) == ("self_referential", pytest.approx(90.0))
    assert _verdict(rows, _gaps(math.exp(-math.log(2) * 60 / 50)))["verdict"] == "toxic"
    assert _verdict(rows.with_columns(session=pl.lit("open")), _gaps(halves_in_90_s))["verdict"] == "toxic"


def test_a_book_that_crosses_by_itself_is_noise_even_with_few_oracle_led_decisions() -> None:
    rows = pl.concat([_rows(3), _rows(200, origin="quote_led")])
    assert _verdict(rows)["verdict"] == "noise"
    assert _verdict(pl.concat([_rows(29), _rows(200, origin="quote_led")]))["verdict"] == "insufficient"


def test_decisions_without_a_known_end_do_not_count() -> None:
    rows = pl.concat([_rows(29), _rows(40, quote_share_5s=None, oracle_share_5s=None)])
    found = _verdict(rows)
    assert (found["verdict"], found["led_count"]) == ("insufficient", 29)


def test_a_watched_market_without_a_decision_has_a_row() -> None:
    found = verdicts_of(_rows(30), _gaps(None), ("xyz:GOLD", "xyz:NVDA"), VerdictRule())
    assert found.filter(pl.col("coin") == "xyz:GOLD")["verdict"].to_list() == ["insufficient"]
    assert set(found.columns) == set(SCHEMA) - {"venue", "day"}


def test_sessions_are_judged_apart() -> None:
    rows = pl.concat([_rows(30), _rows(30, session="closed", quote_share_5s=0.0, oracle_share_5s=1.0)])
    found = verdicts_of(rows, _gaps(None), ("xyz:NVDA",), VerdictRule())
    assert dict(found.select("session", "verdict").iter_rows())["open"] == "stale_quote"
    assert dict(found.select("session", "verdict").iter_rows())["closed"] == "toxic"


def _deciding(rows: pl.DataFrame) -> str:
    return deciding(verdicts_of(rows, _gaps(None), ("xyz:NVDA",), VerdictRule()))["xyz:NVDA"]


def test_what_explains_a_weekend_vetoes_no_week() -> None:
    weekend = _rows(200, session="closed", quote_share_5s=0.0)
    assert _verdict(pl.concat([weekend, _rows(40)]))["verdict"] == "standing_basis"
    assert _deciding(pl.concat([weekend, _rows(40)])) == "stale_quote"
    assert _deciding(pl.concat([weekend, _rows(29)])) == "standing_basis"  # too few to explain a week by
    assert _deciding(pl.concat([_rows(200, session="closed"), _rows(40, quote_share_5s=0.0)])) == "standing_basis"


def test_a_market_without_known_hours_is_vetoed_by_all_of_them() -> None:
    assert _deciding(_rows(40, session="", quote_share_5s=0.0)) == "standing_basis"
    assert deciding(verdicts_of(_rows(1)[:0], _gaps(None), ("xyz:NVDA",), VerdictRule())) == {
        "xyz:NVDA": "insufficient"
    }
