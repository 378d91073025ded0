"""Generated markets beside published figures of real ones.

Rule 1: real figures are marginals of snapshots. No public data has best bid, best ask and oracle of one market over
time, so persistence and follow-through can not be calibrated: delays and what follows a step are assumptions.
Rule 2: like is compared with like: our rows are taken on weekdays between 08 and 20 UTC, as the snapshots were.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from streaming.core.errors import ConfigError
from streaming.sim.markets.generator import BLOCK_MS, HOUR_MS, NONE, Generator, MarketHour
from streaming.sim.markets.noise import Floats

ROW_EVERY_S = 300
_HOURS_UTC = (8, 11, 14, 15, 17, 19)
_WEEKEND = 5
_STEP_MS_MAX = 5_500

Depths = Callable[[MarketHour, int], tuple[float, float]]
"""Hour and row of its touch → notional within 10 bps of the mid, bids and asks."""


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of real markets and ours."""

    key: str
    unit: str
    real: float
    """As published in the notes on the real data; its source is in `text`."""
    low: float
    high: float
    """Where ours should lie."""
    text: str
    ours: float | None = None
    recomputed: float | None = None
    """From the files, when they are there."""

    @property
    def is_met(self) -> bool:
        """Whether ours lies within the tolerance."""
        return self.ours is not None and self.low <= self.ours <= self.high


FIGURES = (
    Figure(
        key="spread_bps_p50", unit="bps", real=4.8, low=3.8, high=6.0, text="touch spread, 483 rows of 84 xyz coins"
    ),
    Figure(key="spread_bps_p90", unit="bps", real=26.0, low=18.0, high=36.0, text="the same, 90 % lie below"),
    Figure(key="depth_10bps_usd_p50", unit="usd", real=48e3, low=25e3, high=90e3, text="one side within 10 bps of mid"),
    Figure(key="impact_cross_ratio", unit="share", real=0.51, low=0.40, high=0.60, text="impact price beyond oracle"),
    Figure(
        key="impact_cross_10bps_ratio", unit="share", real=0.08, low=0.03, high=0.13, text="... by more than 10 bps"
    ),
    Figure(key="no_book_ratio", unit="share", real=0.18, low=0.12, high=0.25, text="listed markets without a book"),
    Figure(key="oracle_step_s", unit="s", real=3.5, low=3.0, high=4.0, text="between changes of the oracle: 3-4 s"),
    Figure(key="ctx_interval_s", unit="s", real=1.0, low=0.98, high=1.02, text="between two activeAssetCtx"),
    Figure(key="block_ms", unit="ms", real=68.0, low=68.0, high=68.0, text="grid of bbo times"),
    Figure(
        key="bbo_rate_s", unit="1/s", real=1.0, low=1.0, high=4.0, text="bbo of a market with a book (the issue: >= 1)"
    ),
)
"""Source of `real`: notes on the shared real data (public snapshots and sweeps of 2026-01 to 2026-08)."""


@dataclass(slots=True)
class _Rows:
    spreads: list[Floats]
    crosses: list[Floats]
    depths: list[float]
    listed: int = 0
    without_book: int = 0


def sample_hours(first_day: date, count: int) -> list[int]:
    """Return `count` UTC hours (since 1970) on weekdays from a day on, one a day, at the hours of the snapshots."""
    hours: list[int] = []
    day = first_day
    while len(hours) < count:
        if day.weekday() < _WEEKEND:
            hours.append((day - date(1970, 1, 1)).days * 24 + _HOURS_UTC[len(hours) % len(_HOURS_UTC)])
        day += timedelta(days=1)
    return hours


def measure(generators: Iterable[Generator], hours: Iterable[int], depths: Depths) -> dict[str, float]:
    """Return our figures by key, over builder markets of some generators and hours."""
    rows = _Rows([], [], [])
    steps, ctx_gaps, bbo_rates, off_grid = [], [], [], 0
    hours = tuple(hours)
    for generator in generators:
        for market in generator.scenario.universe.builder_markets:
            for hour in hours:
                if generator.listed(market.coin, hour * HOUR_MS).is_delisted:
                    continue
                columns = generator.hour(market.coin, hour)
                _sample(columns, rows, depths)
                changed = np.flatnonzero(np.diff(columns.oracle_px)) + 1
                gaps = np.diff(columns.ctx_ts_ms[changed])
                # A longer gap is an update that changed nothing, or an oracle that stands.
                steps.append(gaps[gaps < _STEP_MS_MAX])
                ctx_gaps.append(np.diff(columns.ctx_ts_ms))
                off_grid += int((columns.bbo_ts_ms % BLOCK_MS != 0).sum())
                if (columns.bid_px != NONE).mean() > 0.5:
                    bbo_rates.append(columns.bbo_ts_ms.size / (HOUR_MS / 1000))
    spread, cross = np.concatenate(rows.spreads), np.concatenate(rows.crosses)
    return {
        "spread_bps_p50": float(np.median(spread)),
        "spread_bps_p90": float(np.quantile(spread, 0.9)),
        "depth_10bps_usd_p50": float(np.median(rows.depths)),
        "impact_cross_ratio": float((cross > 0.0).mean()),
        "impact_cross_10bps_ratio": float((cross > 10.0).mean()),
        "no_book_ratio": rows.without_book / rows.listed,
        "oracle_step_s": float(np.concatenate(steps).mean() / 1000.0),
        "ctx_interval_s": float(np.concatenate(ctx_gaps).mean() / 1000.0),
        "block_ms": float(BLOCK_MS if not off_grid else 0),
        "bbo_rate_s": float(np.mean(bbo_rates)),
    }


def _sample(columns: MarketHour, rows: _Rows, depths: Depths) -> None:
    """Take over what a sweep over all markets would see every five minutes."""
    at = np.arange(ROW_EVERY_S // 2, columns.ctx_ts_ms.size, ROW_EVERY_S)
    touch = np.searchsorted(columns.bbo_ts_ms, columns.ctx_ts_ms[at], side="right") - 1
    bid, ask = columns.bid_px[touch], columns.ask_px[touch]
    has_book = (bid != NONE) & (ask != NONE)
    rows.listed += at.size
    rows.without_book += int((~has_book).sum())
    bid, ask = bid[has_book], ask[has_book]
    rows.spreads.append((ask - bid) / (ask + bid) * 2e4)
    impact_bid, impact_ask = columns.impact_bid_px[at], columns.impact_ask_px[at]
    quoted = (impact_bid != NONE) & (impact_ask != NONE)
    oracle = columns.oracle_px[at][quoted]
    rows.crosses.append(np.maximum(impact_bid[quoted] - oracle, oracle - impact_ask[quoted]) / oracle * 1e4)
    for row in touch[has_book].tolist():
        rows.depths += depths(columns, row)


def published(folder: Path) -> dict[str, float]:
    """Recompute the real figures that the files can tell; `folder` is `markets` or what it lies in.

    Raises:
        ConfigError: A file is absent or not what is expected.
    """
    if (folder / "markets").is_dir():
        folder /= "markets"

    def rows_of(name: str) -> list[dict[str, Any]]:
        try:
            return [row for row in pq.read_table(folder / name).to_pylist() if ":" in row["coin"]]
        except (OSError, pa.ArrowException, KeyError) as error:
            raise ConfigError(f"--data {folder}: expected {name} as described in its README, found {error}") from error

    sweeps = np.array([row["spr"] for row in rows_of("touch_sweeps.parquet")])
    snapshots = rows_of("oracle_snapshots.parquet")
    quoted = [row for row in snapshots if row["impact_bid_px"] and row["impact_ask_px"]]
    bid, ask, oracle = (
        np.array([row[key] for row in quoted]) for key in ("impact_bid_px", "impact_ask_px", "oracle_px")
    )
    cross = np.maximum(bid - oracle, oracle - ask) / oracle * 1e4
    depth = [row["depth10"] for row in rows_of("daily_liquidity.parquet") if row["depth10"] is not None]
    return {
        "spread_bps_p50": float(np.median(sweeps)),
        "spread_bps_p90": float(np.quantile(sweeps, 0.9)),
        "depth_10bps_usd_p50": float(np.median(depth)),
        "impact_cross_ratio": float((cross > 0.0).mean()),
        "impact_cross_10bps_ratio": float((cross > 10.0).mean()),
        "no_book_ratio": 1.0 - len(quoted) / len(snapshots),
    }
