"""Figures: what they must show, that they are the same text twice, and that a page needs nothing from outside."""

import base64
import re

import numpy as np
import polars as pl
import pytest

from hip3_platform.looks import figures
from hip3_platform.looks.render import markdown_image, svg

MARKOUTS = pl.DataFrame(
    {
        "raw_edge_bps": [12.0, 15.0, 18.0, 22.0],
        "net_bps": [4.0, -3.0, None, 9.0],
        "state": ["executable", "executable", "void", "blocked"],
    }
)


def _hours(**changed) -> pl.DataFrame:
    row = {
        "venue": "sim", "day": "2026-11-23", "coin": "xyz:NVDA", "hour": 14, "threshold_bps": 8, "origin": "oracle_led",
        "latency_ms": 200, "horizon_s": 3, "decisions": 5, "fills": 4, "net_bps": 10.0,
    }  # fmt: skip
    return pl.DataFrame([{**row, **changed}])


def _texts(drawn: str) -> list[str]:
    return [re.sub(r"\s+", " ", text).strip() for text in re.findall(r"<text[^>]*>([^<]*)</text>", drawn)]


def test_a_figure_names_the_venue_of_its_rows_and_is_the_same_text_twice() -> None:
    first, second = (svg(figures.edge_distribution(MARKOUTS, "sim")) for _ in range(2))
    assert first == second
    assert any("(sim)" in text for text in _texts(first))


def test_a_figure_needs_nothing_from_outside() -> None:
    drawn = svg(figures.edge_distribution(MARKOUTS, "sim"))
    assert drawn.startswith("<svg")
    assert not re.search(r'(href|src)="(?!#)', drawn)


def test_only_executable_signals_are_drawn() -> None:
    # One executable pair is left when the second is blocked, none when both are: then the figure says so.
    none = MARKOUTS.with_columns(state=pl.lit("blocked"))
    assert "no executable one among 4 signals" in _texts(svg(figures.edge_distribution(none, "sim")))


def test_the_heat_of_markouts_shows_mean_and_fills_of_decisions() -> None:
    texts = _texts(svg(figures.markout_heat(_hours(), "sim", "xyz:NVDA", 8, "oracle_led")))
    assert "+2.5" in texts
    assert "4/5" in texts


@pytest.mark.parametrize("changed", [{"coin": "xyz:GOLD"}, {"fills": 0, "net_bps": 0.0}, {"origin": "any"}])
def test_a_heat_without_fills_says_so(changed) -> None:
    assert "no fill" in _texts(svg(figures.markout_heat(_hours(**changed), "sim", "xyz:NVDA", 8, "oracle_led")))


def test_hours_of_the_week_fall_on_their_weekday() -> None:
    # 2026-11-23 is a Monday. The one filled cell is the only one that is not transparent.
    figure = figures.hour_of_week(_hours(), "sim", latency_ms=200, horizon_s=3, threshold_bps=8)
    values = np.asarray(figure.axes[0].images[0].get_array())
    masked = np.ma.getmaskarray(np.ma.masked_invalid(values))
    assert [tuple(place) for place in np.argwhere(~masked)] == [(0, 14)]
    assert values[0, 14] == 2.5


def test_bounds_above_zero_are_green_those_that_touch_it_are_not() -> None:
    figure = figures.bounds([("sure", 0.1, 2.0, 3.9), ("open", -1.0, 1.0, 3.0), ("lost", -5.0, -3.0, -1.0)], "t", "bps")
    colours = [line.get_color() for line in figure.axes[0].lines[:6:2]]
    assert colours == [figures.GOOD, figures.CALM, figures.BAD]


def test_a_timeline_has_a_bar_for_every_day_of_a_market() -> None:
    days = [("2026-11-23", ["a"], []), ("2026-11-24", ["a", "b"], []), ("2026-11-25", ["b"], ["a"])]
    figure = figures.rotation_timeline(days, "sim")
    bars = [(round(p.get_x()), round(p.get_y() + p.get_height() / 2)) for p in figure.axes[0].patches]
    assert sorted(bars) == [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1)]


def test_an_image_in_metadata_holds_the_figure_itself() -> None:
    figure = figures.cumulative([0.0, 3600.0], [0.0, 1.5], "PnL (sim)")
    text = markdown_image(figure, "PnL")
    assert text.startswith("![PnL](data:image/svg+xml;base64,")
    assert base64.b64decode(text.split("base64,")[1].rstrip(")")).decode() == svg(figure)


def test_thresholds_are_hollow_and_only_the_walk_forward_figure_may_be_green() -> None:
    in_sample = {3: (400, 1.0, 2.0, 3.0), 8: (29, 4.0, 9.0, 14.0), 20: (0, None, None, None)}
    figure = figures.threshold_bounds(in_sample, 3, (200, 0.5, 1.5, 2.5), "t")
    marks = [line for line in figure.axes[0].lines if line.get_marker() in {"o", "D"}]
    assert [(line.get_marker(), line.get_markerfacecolor()) for line in marks] == [
        ("o", "white"), ("o", "white"), ("D", figures.GOOD),
    ]  # fmt: skip
    assert [line.get_color() for line in marks] == [figures.INK, figures.FAINT, figures.GOOD]
    assert "> 3 *" in "".join(label.get_text() for label in figure.axes[0].get_xticklabels())


@pytest.mark.parametrize(("low", "colour"), [(-0.1, figures.CALM), (None, figures.CALM), (0.1, figures.GOOD)])
def test_a_walk_forward_figure_that_is_not_above_zero_is_not_green(low: float | None, colour: str) -> None:
    figure = figures.threshold_bounds({3: (40, 1.0, 2.0, 3.0)}, 3, (200, low, 1.0, 3.0), "t")
    assert [line.get_color() for line in figure.axes[0].lines if line.get_marker() == "D"] == [colour]


def test_an_interval_of_two_days_does_not_flatten_the_others() -> None:
    rows = {3: (400, 1.0, 2.0, 3.0), 30: (2, -500.0, 4.0, 508.0)}
    low, high = figures.threshold_bounds(rows, 3, (200, 0.5, 1.5, 2.5), "t").axes[0].get_ylim()
    assert -10 < low < 0
    assert 4 < high < 15


def test_no_fill_at_any_threshold_is_said() -> None:
    nothing = (0, None, None, None)
    assert "no fill" in _texts(svg(figures.threshold_bounds({3: nothing}, 3, nothing, "t")))


def test_figures_of_one_page_share_no_names() -> None:
    drawn = svg(figures.bounds([("a", 0.1, 2.0, 3.9)], "t", "bps"))
    assert not re.search(r'id="[A-Za-z0-9.]+_\d+"', drawn)
    named, used = set(re.findall(r'id="([^"]+)"', drawn)), set(re.findall(r'(?:href="|url\()#([^")]+)', drawn))
    assert used <= named
