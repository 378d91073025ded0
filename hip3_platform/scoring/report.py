"""A score for people: every bar, what stands beside it, and where the power is."""

from collections.abc import Iterator, Mapping
from typing import Any

_WIDTH = 14


def report_lines(score: Mapping[str, Any]) -> Iterator[str]:
    """Return the lines of a report; the last ones say what is missed."""
    yield (
        f"{score['universes']} universes, {score['markets']} markets ({score['distinct_markets']} distinct), venue "
        f"{score['venue']}: simulated, no market result. {score['seconds']:.0f} s"
    )
    for bar in score["bars"]:
        found = _figure(bar["value"])
        detail = _counts(score, bar["name"])
        word = "reached" if bar["reached"] else "MISSED"
        yield f"  {word:8}{bar['name']:{_WIDTH}}{found:>7}  bar {bar['low']:g} to {bar['high']:g}  {detail}"
    counts, coverage, before = score["counts"], score["coverage_detail"], score["predecessor"]
    yield (
        f"  beside: fdr without probes {_ratio(counts['fdr_without_probes'])}, "
        f"beyond micro {_ratio(counts['probe_fdr'])}, "
        f"late with fragile markets {_ratio(counts['fdr_latency_with_fragile'])}"
    )
    yield (
        f"  bias {_bps(score['bias_bps'])}; intervals claim too much {_figure(coverage['claimed_too_high'])}, "
        f"too little {_figure(coverage['claimed_too_low'])}"
    )
    yield (
        f"  predecessor: fdr {_figure(before['fdr'])}, power {_figure(before['power'])}, "
        f"claims {_bps(before['claim_error_bps'])} more than is true"
    )
    yield from _table(score["power_by_edge"], "edge_bps", "true edge, bps")
    yield from _table(score["power_by_rate"], "fills_per_day", "fills a day at 3 bps or more")
    heavy = score.get("heavy")
    if heavy:
        yield (
            f"  heavier days and shocks ({heavy['universes']} universes): fdr {_ratio(heavy['counts']['fdr'])}, power "
            f"{_ratio(heavy['counts']['power'])}, coverage {_figure(heavy['coverage'])}, bias {_bps(heavy['bias_bps'])}"
        )


def _table(rows: list[dict[str, Any]], name: str, title: str) -> Iterator[str]:
    cells = []
    for row in rows:
        low, high = row[name]["from"], row[name]["to"]
        span = f"<{high:g}" if low is None else f">={low:g}" if high is None else f"{low:g}-{high:g}"
        cells.append(f"{span}: {row['approved']}/{row['markets']}")
    yield f"  approved by {title}: {', '.join(cells)}"


def _counts(score: Mapping[str, Any], name: str) -> str:
    found = score["coverage_detail"] if name == "coverage" else score["counts"][name]
    if not found["of"]:
        return "nothing to count"
    return f"{found['count']}/{found['of']}, 95 % interval {found['low']:.3f} to {found['high']:.3f}"


def _ratio(found: Mapping[str, Any]) -> str:
    return f"{_figure(found['value'])} ({found['count']}/{found['of']})"


def _figure(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


def _bps(value: float | None) -> str:
    return "none" if value is None else f"{value:+.2f} bps"
