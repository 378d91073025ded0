"""Why a market looks as if it had an edge: one verdict a market and session, with the figures it rests on.

Source: section 5 of the evidence method. A verdict explains, and prunes on training days; it never approves.
First match, over the oracle-led decisions of a window (medians of rows of gold/basis):

    insufficient     fewer than 30 oracle-led decisions (noise, if there are 30 of any origin and under 3 % of them are)
    thin             touch under twice the notional of an order
    frozen           half the edges still open after 5 s, the quote old: median 10 s, or a fifth of them over 10 s
    standing_basis   half the edges still open after 5 s, and the gap halves in half an hour or more (or is constant)
    self_referential underlying closed, and the gap halves in ten minutes or more; or the oracle closed it and the quote
                     did not, and it halves in a minute or more
    noise, unclear   half the edges still open after 5 s, but gaps come and go: noise where under 5 % are oracle-led
    toxic, noise     the oracle closed the gap and the quote did not: a reversal; noise where under 3 % are oracle-led
    widening         the quote moved by 1.7 times the edge, and the spread grew by 30 %: it went wider, not over
    stale_quote      the quote closed the gap, the oracle stayed
    unclear          none of these
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

Verdict = Literal[
    "stale_quote", "standing_basis", "self_referential", "frozen", "thin", "widening", "noise", "toxic", "insufficient",
    "unclear",
]  # fmt: skip
STALE_QUOTE: Verdict = "stale_quote"
STANDING_BASIS: Verdict = "standing_basis"
SELF_REFERENTIAL: Verdict = "self_referential"
FROZEN: Verdict = "frozen"
THIN: Verdict = "thin"
WIDENING: Verdict = "widening"
NOISE: Verdict = "noise"
TOXIC: Verdict = "toxic"
INSUFFICIENT: Verdict = "insufficient"
UNCLEAR: Verdict = "unclear"
ALL_SESSIONS, OPEN = "all", "open"
OLD_QUOTE_MS = 10_000.0
GAP_LAG_S = 60.0


@dataclass(frozen=True, slots=True)
class VerdictRule:
    """Limits of the verdicts; read off a prototype's table, and scored on held-out markets by `hip3 evidence score`."""

    order_usd: float = 50.0
    decisions_min: int = 30
    led_share_min: float = 0.03
    depth_orders_min: float = 2.0
    open_share_min: float = 0.5
    old_share_min: float = 0.2
    oracle_share_min: float = 0.5
    quote_share_low: float = 0.5
    half_life_s_min: float = 60.0
    self_half_life_s_min: float = 600.0
    basis_half_life_s_min: float = 1_800.0
    """Read off two simulated universes (seeds 61, 62): standing bases halved in 3,900 s and more, oracles that follow
    their own book in about 830 s, crosses that come and go in 100 to 470 s."""
    open_led_share_min: float = 0.05
    widening_share_min: float = 1.7
    widening_ratio_min: float = 1.3
    stale_share_min: float = 0.7
    stale_oracle_max: float = 0.3


SCHEMA: dict[str, Any] = {
    "venue": pl.String,
    "day": pl.String,
    "coin": pl.String,
    "session": pl.String,
    "verdict": pl.String,
    "decision_count": pl.Int64,
    "led_count": pl.Int64,
    "led_share": pl.Float64,
    "quote_share": pl.Float64,
    "oracle_share": pl.Float64,
    "open_share": pl.Float64,
    "quote_age_ms": pl.Float64,
    "old_quote_share": pl.Float64,
    "depth_usd": pl.Float64,
    "spread_ratio": pl.Float64,
    "closed_share": pl.Float64,
    "gap_half_life_s": pl.Float64,
    "reason": pl.String,
}
"""Columns of gold/verdicts, one row a market and session."""

ABOUT: dict[str, str] = {
    "venue": "venue of the window",
    "day": "as-of day: last day of the window",
    "coin": "market",
    "session": "all, or that of the underlying's own market: open, closed",
    "verdict": "why the market looks as if it had an edge",
    "decision_count": "decisions of T = 5 bps in the window, any origin",
    "led_count": "of these oracle-led, with a known end after 5 s",
    "led_share": "oracle-led share of all decisions",
    "quote_share": "median share of the entry edge that the quote closed within 5 s",
    "oracle_share": "median share of the entry edge that the oracle closed within 5 s",
    "open_share": "share of decisions with more than half the entry edge left after 5 s",
    "quote_age_ms": "median ms since the last bbo, at the decision",
    "old_quote_share": "share of decisions on a quote older than 10 s",
    "depth_usd": "median notional of the touch",
    "spread_ratio": "median spread after 5 s over that at the decision",
    "closed_share": "share of decisions while the underlying's own market is closed",
    "gap_half_life_s": "half-life of the gap of mid to oracle, by its autocorrelation at 60 s; null where it has none",
    "reason": "the figures that decided",
}
"""What each column is, for the UI."""


def verdicts_of(basis: pl.DataFrame, gaps: pl.DataFrame, markets: tuple[str, ...], rule: VerdictRule) -> pl.DataFrame:
    """Judge every market over a window, as a whole and by session of its underlying.

    Args:
        basis: Rows of gold/basis of the window.
        gaps: Rows of gold/basis_gaps of the window.
        markets: All that were watched; one without a decision is `insufficient`.
        rule: Limits.

    Returns:
        Columns of `SCHEMA` but venue and day, by market; session `all` first, then by name.
    """
    rows = []
    for coin in markets:
        mine, own_gaps = basis.filter(pl.col("coin") == coin), gaps.filter(pl.col("coin") == coin)
        rows.append(_row(coin, ALL_SESSIONS, mine, own_gaps, rule))
        for session in sorted(set(mine["session"].to_list()) - {""}):
            of_session = pl.col("session") == session
            rows.append(_row(coin, session, mine.filter(of_session), own_gaps.filter(of_session), rule))
    schema = {name: kind for name, kind in SCHEMA.items() if name not in {"venue", "day"}}
    return pl.DataFrame(rows, schema=schema, orient="row")


def deciding(verdicts: pl.DataFrame) -> dict[str, Verdict]:
    """Return market → the verdict that may veto it.

    That of the open session of its underlying, as entries are made then; that of all hours where the session is not
    known, or too few decisions were made in it. What explains a weekend does not explain a week.

    Args:
        verdicts: Rows with the columns of `SCHEMA`, at least coin, session and verdict.
    """
    found: dict[str, Verdict] = dict(verdicts.filter(pl.col("session") == ALL_SESSIONS)["coin", "verdict"].iter_rows())
    known = (pl.col("session") == OPEN) & (pl.col("verdict") != INSUFFICIENT)
    return found | dict(verdicts.filter(known)["coin", "verdict"].iter_rows())


def _row(coin: str, session: str, basis: pl.DataFrame, gaps: pl.DataFrame, rule: VerdictRule) -> dict[str, Any]:
    led = basis.filter((pl.col("origin") == "oracle_led") & pl.col("quote_share_5s").is_not_null())
    open_share = 1.0 - pl.col("quote_share_5s") - pl.col("oracle_share_5s")
    figures = led.select(
        quote_share=pl.col("quote_share_5s").median(),
        oracle_share=pl.col("oracle_share_5s").median(),
        open_share=(open_share > 0.5).mean(),
        quote_age_ms=pl.col("quote_age_ms").median(),
        old_quote_share=(pl.col("quote_age_ms") > OLD_QUOTE_MS).mean(),
        depth_usd=pl.col("depth_usd").median(),
        spread_ratio=pl.col("spread_ratio_5s").median(),
        closed_share=(pl.col("session") == "closed").mean(),
    ).row(0, named=True)
    led_count = basis.filter(pl.col("origin") == "oracle_led").height
    row = {
        "coin": coin,
        "session": session,
        "decision_count": basis.height,
        "led_count": led.height,
        "led_share": led_count / basis.height if basis.height else None,
        **figures,
        "gap_half_life_s": _half_life_s(gaps),
    }
    verdict, reason = _judge(row, rule)
    return {**row, "verdict": verdict, "reason": reason}


def _half_life_s(gaps: pl.DataFrame) -> float | None:
    """Half-life of an AR(1) gap from its mean autocorrelation at 60 s, weighted by samples; None without any."""
    known = gaps.filter(pl.col("autocorrelation_60s").is_not_null())
    weight = int(known["sample_count"].sum())
    if not weight:
        return None
    mean = float((known["autocorrelation_60s"] * known["sample_count"]).sum()) / weight
    if mean <= 0.0:
        return 0.0
    return math.inf if mean >= 1.0 else -GAP_LAG_S * math.log(2.0) / math.log(mean)


def _judge(row: dict[str, Any], rule: VerdictRule) -> tuple[Verdict, str]:
    is_quote_led = row["led_share"] is not None and row["led_share"] < rule.led_share_min
    if row["led_count"] < rule.decisions_min:
        if is_quote_led and row["decision_count"] >= rule.decisions_min:
            share = f"{row['led_share']:.1%} of {row['decision_count']} decisions"
            return NOISE, f"{share} are oracle-led: the book crosses, not the oracle"
        return INSUFFICIENT, f"{row['led_count']} oracle-led decisions with a known end, under {rule.decisions_min}"
    if row["depth_usd"] < rule.depth_orders_min * rule.order_usd:
        orders = f"under {rule.depth_orders_min:g} orders of {rule.order_usd:g}"
        return THIN, f"the touch holds {row['depth_usd']:.0f} USD, {orders}"
    if row["open_share"] >= rule.open_share_min:
        return _standing(row, rule)
    return _closing(row, rule, is_quote_led=is_quote_led)


def _standing(row: dict[str, Any], rule: VerdictRule) -> tuple[Verdict, str]:
    """Judge a market whose gaps stay open by how old the quote is, and how long the gap lasts."""
    half_life_s = row["gap_half_life_s"]
    lasts = "a constant gap" if half_life_s is None else f"a gap that halves in {half_life_s:.0f} s"
    age_s = row["quote_age_ms"] / 1000.0
    text = f"{row['open_share']:.0%} still open after 5 s, quote {age_s:.1f} s old, {lasts}"
    if row["quote_age_ms"] >= OLD_QUOTE_MS or row["old_quote_share"] > rule.old_share_min:
        return FROZEN, text
    # A gap of which nothing is known counts as one that stays: what is missing blocks.
    if half_life_s is None or half_life_s >= rule.basis_half_life_s_min:
        return STANDING_BASIS, text
    if row["closed_share"] > 0.5 and half_life_s >= rule.self_half_life_s_min:
        return SELF_REFERENTIAL, f"{text}; underlying closed"
    return (NOISE if row["led_share"] < rule.open_led_share_min else UNCLEAR), text


def _closing(row: dict[str, Any], rule: VerdictRule, *, is_quote_led: bool) -> tuple[Verdict, str]:
    """Judge a market whose gaps close by who closes them."""
    quote, oracle = row["quote_share"], row["oracle_share"]
    closed_by = f"after 5 s the quote closed {quote:.2f} of the edge, the oracle {oracle:.2f}"
    if oracle >= rule.oracle_share_min and quote < rule.quote_share_low:
        return _reversal(row, closed_by, rule, is_quote_led=is_quote_led)
    if quote >= rule.widening_share_min and row["spread_ratio"] >= rule.widening_ratio_min:
        return WIDENING, f"{closed_by}; the spread grew {row['spread_ratio']:.2f} times"
    if quote >= rule.stale_share_min and abs(oracle) < rule.stale_oracle_max:
        return STALE_QUOTE, closed_by
    return UNCLEAR, closed_by


def _reversal(row: dict[str, Any], closed_by: str, rule: VerdictRule, *, is_quote_led: bool) -> tuple[Verdict, str]:
    half_life_s = row["gap_half_life_s"]
    is_persistent = half_life_s is not None and half_life_s > rule.half_life_s_min
    if row["closed_share"] is not None and row["closed_share"] > 0.5 and is_persistent:
        return SELF_REFERENTIAL, f"{closed_by}; underlying closed, the gap halves in {half_life_s:.0f} s"
    return (NOISE if is_quote_led else TOXIC), closed_by
