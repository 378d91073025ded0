"""Figures of the evidence, each a pure function of frames. What is simulated says so: titles carry the venue.

`policy_hours` below is the frame of gold/policy_hours (see `evidence/sums.py`), `markouts` that of gold/markouts.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from hip3_platform.analytics.evidence.family import HORIZONS_S, HOURS, LATENCIES_MS, Floats
from hip3_platform.analytics.evidence.walk_forward import CHOICE_FILLS_MIN
from hip3_platform.looks.render import BAD, CALM, GOOD, GRID, INK, SEQUENCE, drawing, empty

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_HEAT, FAINT = "RdYlGn", "#a6aeb8"


def edge_distribution(markouts: pl.DataFrame, venue: str, *, of: str = "signals", had: str = "net at +5 s") -> Figure:
    """Draw what was promised beside what could be had: raw edge at the decision, and the executable net result.

    Args:
        markouts: Columns raw_edge_bps, net_bps (null where void), state.
        venue: Where the rows come from.
        of: What a row is, in the plural.
        had: What `net_bps` is, before "after fees".
    """
    title = f"Promised and executable edge of {of}, bps ({venue})"
    taken = markouts.filter((pl.col("state") == "executable") & pl.col("net_bps").is_not_null())
    if taken.is_empty():
        return empty(title, f"no executable one among {markouts.height} {of}" if markouts.height else f"no {of}")
    promised, net = taken["raw_edge_bps"].to_numpy(), taken["net_bps"].to_numpy()
    low, high = np.quantile(np.concatenate([promised, net]), (0.005, 0.995))
    edges = np.linspace(low, max(high, low + 1.0), 61).tolist()
    with drawing(title) as (figure, axes):
        for values, colour, label in ((promised, CALM, "edge at the decision"), (net, GOOD, f"{had} after fees")):
            axes.hist(
                np.clip(values, low, high), bins=edges, histtype="stepfilled", alpha=0.35, color=colour, label=label
            )
            axes.axvline(float(values.mean()), color=colour, linewidth=1.2)
        axes.axvline(0.0, color=INK, linewidth=0.8)
        axes.set(xlabel="bps; upright lines are means", ylabel=of)
        axes.legend()
    return figure


def decay_curves(decay: pl.DataFrame, venue: str, markets: int = 8) -> Figure:
    """Draw how much of the entry edge is left after each offset, for the markets with the most episodes.

    Args:
        decay: Columns coin, offset_ms, episode_count, open_share (mean share of the entry edge; `summaries.decay_of`).
        venue: Where the rows come from.
        markets: How many markets at most.
    """
    title = f"Share of the entry edge still open ({venue})"
    if decay.is_empty():
        return empty(title, "no episode with a known way back")
    most = (
        decay.group_by("coin")
        .agg(pl.col("episode_count").max())
        .sort(["episode_count", "coin"], descending=[True, False])
    )
    with drawing(title) as (figure, axes):
        for colour, coin in zip(SEQUENCE, most["coin"].head(markets), strict=False):
            rows = decay.filter(pl.col("coin") == coin).sort("offset_ms")
            x = [0.0, *(rows["offset_ms"] / 1000.0)]
            axes.plot(x, [1.0, *rows["open_share"]], marker="o", markersize=3, color=colour, label=coin)
        axes.axhline(0.0, color=INK, linewidth=0.8)
        axes.set(xlabel="seconds after the decision", ylabel="open share")
        axes.legend(ncols=2)
    return figure


def markout_heat(policy_hours: pl.DataFrame, venue: str, coin: str, threshold_bps: int, origin: str) -> Figure:
    """Draw the mean net result by latency (rows) and horizon (columns) of one market, threshold and origin."""
    title = f"{coin}: mean net bps, T > {threshold_bps} {origin} ({venue})"
    chosen = policy_hours.filter(
        (pl.col("coin") == coin) & (pl.col("threshold_bps") == threshold_bps) & (pl.col("origin") == origin)
    )
    sums = chosen.group_by("latency_ms", "horizon_s").agg(pl.col("net_bps", "fills", "decisions").sum())
    if sums.filter(pl.col("fills") > 0).is_empty():
        return empty(title, "no fill")
    cells = {(row["latency_ms"], row["horizon_s"]): row for row in sums.iter_rows(named=True)}
    mean = np.full((len(LATENCIES_MS), len(HORIZONS_S)), np.nan)
    with drawing(title, width=4.6, height=3.0) as (figure, axes):
        for y, latency in enumerate(LATENCIES_MS):
            for x, horizon in enumerate(HORIZONS_S):
                row = cells.get((latency, horizon))
                if row is not None and row["fills"]:
                    mean[y, x] = row["net_bps"] / row["fills"]
                    text = f"{mean[y, x]:+.1f}\n{row['fills']}/{row['decisions']}"
                    axes.text(x, y, text, ha="center", va="center", fontsize=7.5)
        _heat(axes, mean)
        axes.set_xticks(range(len(HORIZONS_S)), [f"{h} s" for h in HORIZONS_S])
        axes.set_yticks(range(len(LATENCIES_MS)), [f"{each} ms" for each in LATENCIES_MS])
        axes.set(xlabel="horizon; below the mean: fills of decisions", ylabel="latency")
    return figure


def hour_of_week(
    policy_hours: pl.DataFrame, venue: str, *, latency_ms: int, horizon_s: int, threshold_bps: int
) -> Figure:
    """Draw the mean net result by weekday and UTC hour over all markets of a window, oracle-led decisions."""
    title = f"Mean net bps by hour of the week, UTC: T > {threshold_bps}, {latency_ms} ms, {horizon_s} s ({venue})"
    rows = policy_hours.filter(
        (pl.col("latency_ms") == latency_ms)
        & (pl.col("horizon_s") == horizon_s)
        & (pl.col("threshold_bps") == threshold_bps)
        & (pl.col("origin") == "oracle_led")
    )
    if rows.filter(pl.col("fills") > 0).is_empty():
        return empty(title, "no fill")
    net, fills = np.zeros((7, HOURS)), np.zeros((7, HOURS))
    # In the order of time: floats are added in one order, so that the same rows are the same picture.
    hourly = rows.sort("day", "hour", "coin").group_by("day", "hour", maintain_order=True)
    for row in hourly.agg(pl.col("net_bps", "fills").sum()).iter_rows(named=True):
        weekday = date.fromisoformat(row["day"]).weekday()
        net[weekday, row["hour"]] += row["net_bps"]
        fills[weekday, row["hour"]] += row["fills"]
    with np.errstate(invalid="ignore"):
        mean = np.where(fills > 0, net / fills, np.nan)
    with drawing(title, height=2.6) as (figure, axes):
        figure.colorbar(_heat(axes, mean), ax=axes, label="bps a fill", pad=0.01)
        axes.set_xticks(range(0, HOURS, 2), [f"{hour:02}" for hour in range(0, HOURS, 2)])
        axes.set_yticks(range(7), WEEKDAYS)
    return figure


def _heat(axes: Axes, values: Floats) -> AxesImage:
    """Fill the cells: red below zero, green above, the same distance equally strong; pale, for texts stand on it."""
    reach = max(float(np.nanquantile(np.abs(values), 0.95)), 0.5)
    axes.grid(visible=False)
    return axes.imshow(values, cmap=_HEAT, norm=TwoSlopeNorm(0.0, -reach, reach), aspect="auto", alpha=0.55)


def bounds(rows: Sequence[tuple[str, float | None, float | None, float | None]], title: str, unit: str) -> Figure:
    """Draw point estimates with their bounds, one line each: (name, low, mean, high); None is not known.

    Used for results by threshold, approvals by market, and prices of gates.
    """
    known = [(name, low, mean, high) for name, low, mean, high in rows if mean is not None]
    if not known:
        return empty(title, "no figure with bounds")
    with drawing(title, height=0.9 + 0.26 * len(known)) as (figure, axes):
        for y, (_, low, mean, high) in enumerate(known):
            colour = INK if low is None or high is None else GOOD if low > 0 else BAD if high < 0 else CALM
            if low is not None and high is not None:
                axes.plot([low, high], [y, y], color=colour, linewidth=2.0, solid_capstyle="butt")
            axes.plot([mean], [y], marker="o", markersize=4.5, color=colour)
        axes.axvline(0.0, color=INK, linewidth=0.8)
        axes.set_yticks(range(len(known)), [name for name, *_ in known])
        axes.set(xlabel=unit, ylim=(len(known) - 0.5, -0.5))
    return figure


Bounded = tuple[int, float | None, float | None, float | None]
"""Fills, lower bound, mean, upper bound; None is not known."""


def threshold_bounds(in_sample: Mapping[int, Bounded], chosen_bps: int, stream: Bounded, title: str) -> Figure:
    """Draw the result a fill by threshold, hollow because all of it is in sample, and apart the walk-forward figure.

    Args:
        in_sample: Threshold → figures of a window on which every threshold was looked at.
        chosen_bps: Threshold of the policy for tomorrow.
        stream: The same of days that were traded by the policy chosen before them: it alone may claim something.
        title: Heading.
    """
    columns = [*(in_sample[each] for each in sorted(in_sample)), stream]
    if all(mean is None for _, _, mean, _ in columns):
        return empty(title, "no fill")
    names = [f"> {each}" + (" *" if each == chosen_bps else "") for each in sorted(in_sample)] + ["walk-\nforward"]
    with drawing(title, width=5.6, height=3.0) as (figure, axes):
        for x, (fills, low, mean, high) in enumerate(columns):
            is_stream = x == len(in_sample)
            claimed = GOOD if low is not None and low > 0 else CALM
            colour = claimed if is_stream else INK if fills >= CHOICE_FILLS_MIN else FAINT
            if low is not None and high is not None:
                axes.plot([x, x], [low, high], color=colour, linewidth=2.0 if is_stream else 1.0)
            if mean is not None:
                axes.plot([x], [mean], marker="D" if is_stream else "o", color=colour, markersize=5,
                          markerfacecolor=colour if is_stream else "white")  # fmt: skip
        axes.axhline(0.0, color=INK, linewidth=0.8)
        axes.axvline(len(in_sample) - 0.5, color=GRID, linewidth=1.5)
        ticks = [f"{name}\n{fills:,}" for name, (fills, *_) in zip(names, columns, strict=True)]
        axes.set_xticks(range(len(columns)), ticks)
        axes.set_ylim(_reach(columns))
        text = f"threshold in bps (* chosen), below it fills; hollow: in sample, grey: under {CHOICE_FILLS_MIN} fills"
        axes.set(xlabel=text, ylabel="bps a fill")
    return figure


def _reach(columns: Sequence[Bounded]) -> tuple[float, float]:
    """Limits that show every mean and the bounds near them: an interval of two days must not flatten the others."""
    means = [mean for _, _, mean, _ in columns if mean is not None]
    span = max(max(means) - min(means), 4.0)
    floor, ceiling = min([0.0, *means]) - span, max([0.0, *means]) + span
    lows = [low for _, low, _, _ in columns if low is not None]
    highs = [high for _, _, _, high in columns if high is not None]
    return max(min([*lows, *means, 0.0]), floor) - 0.05 * span, min(max([*highs, *means, 0.0]), ceiling) + 0.05 * span


def rotation_timeline(days: Iterable[tuple[str, Iterable[str], Iterable[str]]], venue: str) -> Figure:
    """Draw which markets were in the rotation of each day: (day, markets, blacklisted ones), days ascending."""
    title = f"Rotation, by day ({venue})"
    known = [(day, set(kept), set(black)) for day, kept, black in days]
    coins = sorted({coin for _, kept, black in known for coin in kept | black})
    if not coins:
        return empty(title, "no market was in a rotation")
    with drawing(title, height=0.9 + 0.24 * len(coins)) as (figure, axes):
        for x, (_, kept, black) in enumerate(known):
            for y, coin in enumerate(coins):
                if coin in kept or coin in black:
                    axes.barh(y, 1.0, left=x, height=0.7, color=GOOD if coin in kept else BAD, edgecolor="white")
        axes.set_xticks([x + 0.5 for x in range(len(known))], [day[5:] for day, *_ in known], rotation=45)
        axes.set_yticks(range(len(coins)), coins)
        axes.set(xlim=(0, len(known)), ylim=(len(coins) - 0.5, -0.5), xlabel="green: may trade; red: blacklisted")
    return figure


def cumulative(times_s: Sequence[float], usd: Sequence[float], title: str) -> Figure:
    """Draw money over a day: seconds since its begin, and the sum so far in USD after each step."""
    if not times_s:
        return empty(title, "nothing was traded")
    with drawing(title) as (figure, axes):
        axes.step([each / 3600.0 for each in times_s], usd, where="post", color=CALM)
        axes.axhline(0.0, color=GRID)
        axes.set(xlabel="hours, UTC", ylabel="USD", xlim=(0, 24))
    return figure
