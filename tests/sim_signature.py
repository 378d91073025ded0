"""How crosses of a market end: the shares of section 5 of the evidence method, from generated columns."""

from dataclasses import dataclass

import numpy as np

from streaming.sim.markets.generator import HOUR_MS, NONE, Generator
from streaming.sim.markets.scan import THRESHOLDS_BPS, Columns, scan
from streaming.sim.markets.truth_days import terms_of

LATER_MS = 5_000


@dataclass(frozen=True)
class Signature:
    """Medians over the oracle-led decisions of one threshold."""

    count: int
    led_ratio: float
    """Oracle-led decisions to all of them."""
    quote_share: float
    """Share of the entry edge that the quote closed within 5 s."""
    oracle_share: float
    open_ratio: float
    """Share of episodes with more than half of the entry edge left after 5 s."""
    age_s: float
    """Age of the quote at the decision."""
    exit_spread_ratio: float
    """Spread after 5 s to that at the decision."""
    touch_usd: float


def signature(
    generator: Generator, coin: str, hours: range, threshold_bps: int = 5, *, is_led: bool = True
) -> Signature:
    columns = Columns.of([generator.hour(coin, hour) for hour in hours])
    begin_ms, end_ms = hours.start * HOUR_MS, hours.stop * HOUR_MS
    decisions = scan(columns, terms_of(generator, coin, begin_ms, end_ms), begin_ms, end_ms - 15_000)
    mine = decisions.threshold == THRESHOLDS_BPS.index(threshold_bps)
    led = mine & (decisions.is_oracle_led if is_led else True)
    ts_ms, side, edge = decisions.ts_ms[led], decisions.side[led], decisions.edge_bps[led]
    now = np.searchsorted(columns.bbo_ts_ms, ts_ms, side="right") - 1
    later = np.searchsorted(columns.bbo_ts_ms, ts_ms + LATER_MS, side="right") - 1
    bid, ask = columns.bid_px, columns.ask_px
    there = (bid[later] != NONE) & (ask[later] != NONE)
    now, later, ts_ms, side, edge = now[there], later[there], ts_ms[there], side[there], edge[there]
    entry = np.where(side > 0, ask[now], bid[now]).astype(float)
    after = np.where(side > 0, ask[later], bid[later]).astype(float)
    seen = columns.oracle_px[np.searchsorted(columns.ctx_ts_ms, ts_ms, side="right") - 1].astype(float)
    then = columns.oracle_px[np.searchsorted(columns.ctx_ts_ms, ts_ms + LATER_MS, side="right") - 1].astype(float)
    left = side * (then - after) / then * 1e4
    quote_share = side * (after - entry) / entry * 1e4 / edge
    oracle_share = -side * (then - seen) / seen * 1e4 / edge
    spread_now = (ask[now] - bid[now]) / entry
    spread_later = (ask[later] - bid[later]) / after
    market = generator.scenario.universe.by_coin[coin]
    shown = np.where(side > 0, columns.ask_sz[now], columns.bid_sz[now]) * entry
    if not ts_ms.size:
        return Signature(0, 0.0, *[float("nan")] * 6)
    return Signature(
        count=int(ts_ms.size),
        led_ratio=float(led.sum() / max(1, mine.sum())),
        quote_share=float(np.median(quote_share)),
        oracle_share=float(np.median(oracle_share)),
        open_ratio=float(np.mean(left > 0.5 * edge)),
        age_s=float(np.median(ts_ms - columns.bbo_ts_ms[now])) / 1000.0,
        exit_spread_ratio=float(np.median(spread_later / spread_now)),
        touch_usd=float(np.median(shown)) * 10.0 ** -(market.px_decimals + market.sz_decimals),
    )
