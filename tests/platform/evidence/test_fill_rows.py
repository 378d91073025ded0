"""Modelled fills as rows: one for one with the sums, and the touches are those of match and exit."""

import polars as pl
from evidence_feed import bbo, day_of_rows, every_second, market_days
from hypothesis import given, settings

from hip3_platform.analytics.evidence.columns import MarketDay
from hip3_platform.analytics.evidence.episodes import decisions_of
from hip3_platform.analytics.evidence.fill_rows import SCHEMA, fill_rows
from hip3_platform.analytics.evidence.markouts import markouts_of
from hip3_platform.analytics.evidence.sums import sums_of, to_frame


def _rows(day: MarketDay) -> pl.DataFrame:
    decisions = decisions_of(day)
    return fill_rows(day, decisions, markouts_of(day, decisions))


def test_touches_are_those_of_match_and_exit() -> None:
    # Decided at 30.0 s on 100 / 100.02; at 30.15 s the ask shows 3 instead of 9; at 32 s the bid shows 5.
    books = [bbo(1_000, 100, "100.02", 8, 9), bbo(30_150, 100, "100.02", 8, 3), bbo(32_000, "100.05", "100.07", 5, 9)]
    contexts = [*every_second(0, 29, "100"), *every_second(30, 60, "100.12")]
    rows = _rows(day_of_rows(books, contexts)).filter((pl.col("threshold_bps") == 5) & (pl.col("horizon_s") == 3))
    by_latency = {row["latency_ms"]: row for row in rows.iter_rows(named=True)}
    assert round(by_latency[100]["entry_touch_usd"], 6) == 900.18
    assert round(by_latency[200]["entry_touch_usd"], 6) == 300.06
    assert round(by_latency[200]["exit_touch_usd"], 6) == 500.25


def test_a_side_that_is_gone_at_the_exit_has_no_touch() -> None:
    books = [bbo(1_000, 100, "100.02"), bbo(31_000, None, "100.12"), bbo(50_000, 100, "100.02")]
    contexts = [*every_second(0, 29, "100"), *every_second(30, 60, "100.12")]
    rows = _rows(day_of_rows(books, contexts)).filter((pl.col("threshold_bps") == 5) & (pl.col("latency_ms") == 200))
    assert dict(rows.select("horizon_s", "exit_touch_usd").iter_rows())[5] == 0.0


@settings(max_examples=30, deadline=None)
@given(market_days())
def test_rows_add_up_to_the_sums_by_hour(day: MarketDay) -> None:
    decisions = decisions_of(day)
    markouts = markouts_of(day, decisions)
    sums = to_frame(sums_of(day, decisions, markouts), day.venue, day.coin).filter(pl.col("fills") > 0)
    rows = fill_rows(day, decisions, markouts)
    assert rows.schema == pl.DataFrame(schema=SCHEMA).schema
    keys = ["threshold_bps", "latency_ms", "horizon_s"]
    for origin, of_origin in (("any", rows), ("oracle_led", rows.filter("is_oracle_led"))):
        added = of_origin.group_by(keys).agg(fills=pl.len(), net_bps=pl.col("net_bps").sum())
        asked = sums.filter(pl.col("origin") == origin).group_by(keys).agg(pl.col("fills", "net_bps").sum())
        both = asked.join(added, on=keys, how="full", suffix="_rows").fill_null(0)
        assert (both["fills"] == both["fills_rows"]).all()
        assert ((both["net_bps"] - both["net_bps_rows"]).abs() < 1e-6).all()
