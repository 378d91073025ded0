"""Are derived tables made of what has landed? A late part re-opens its day (F-79); until then its figures are stale."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from hip3_platform.analytics.finding import Finding
from hip3_platform.analytics.gold import (
    DAILY_METRICS,
    MARKET_RANKING,
    MARKOUTS,
    inputs_digest,
    judged_days,
    ranking_inputs,
)
from hip3_platform.analytics.landing import Landing
from streaming.contracts.paths import gold_path


class _Made(msgspec.Struct):
    """Head of the figures' JSON form."""

    digest: str


def stale_inputs(root: Path, landing: Landing, venue: str, day: str, window: tuple[str, ...]) -> Iterator[Finding]:
    """Find days of a ranking's window whose tables are missing or older than what has landed.

    Args:
        root: Warehouse.
        landing: What has landed.
        venue: Venue.
        day: Day of the ranking.
        window: Its days, ascending.
    """
    used = ranking_inputs(root, venue, day)
    if used is None:
        yield Finding(day, "freshness", f"gold/{MARKET_RANKING} of the day", "none")
        return
    judged = judged_days(root, venue, window)
    for earlier in sorted(set(window) & set(landing.days)):
        landed = landing.digest(earlier)
        if earlier not in judged:
            expected = f"{DAILY_METRICS} and {MARKOUTS} of every day of the window with data"
            yield Finding(earlier, "freshness", expected, "not judged", is_wrong=earlier == day)
        elif inputs_digest(root, venue, earlier) != landed:
            found = f"bronze of {inputs_digest(root, venue, earlier) or 'an incomplete day'}"
            yield Finding(earlier, "freshness", f"tables made of the parts that landed ({landed})", found)
        elif used.get(earlier) != landed:
            found = used.get(earlier) or "nothing of that day"
            yield Finding(earlier, "freshness", f"a ranking made of {landed}", found)
        elif (made_of := _metrics_digest(root, venue, earlier)) != landed:
            yield Finding(earlier, "freshness", f"{DAILY_METRICS} made of {landed}", made_of or "no digest")


def _metrics_digest(root: Path, venue: str, day: str) -> str:
    """Return the digest that gold/daily_metrics of a day names, in its JSON form."""
    path = gold_path(root, table=DAILY_METRICS, venue=venue, day=day, suffix="json")
    return msgspec.json.decode(path.read_bytes(), type=_Made).digest if path.is_file() else ""
