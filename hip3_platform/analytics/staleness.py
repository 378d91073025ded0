"""Are derived tables made of what has landed? A late part re-opens its day (F-79); until then its figures are stale.

Rule 1: every table of a day that a ranking or its rotation reads is judged, on each day of its window: no figure may
rest on a table that is gone, or older than its day.
Rule 2: what looks back over a window says which days it read, and of which landing; it is stale when one of them was
made again since.
Rule 3: a table that does not say what it was made of counts as stale.
Rule 4: a day of which no table was made is no part of the window. That is odd, unless it is the ranking's own day.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from hip3_platform.analytics.evidence.tables import (
    APPROVALS,
    BASIS,
    BASIS_GAPS,
    POLICY_FILLS,
    POLICY_HOURS,
    STANDINGS,
    VERDICTS,
    WINDOW_DAYS,
)
from hip3_platform.analytics.finding import Finding
from hip3_platform.analytics.gold import (
    DAILY_METRICS,
    INCIDENTS,
    MARKET_RANKING,
    days_made_of,
    inputs_digest,
    ranking_inputs,
    window_days,
)
from hip3_platform.analytics.landing import Landing
from hip3_platform.analytics.rotating.blacklist import BlacklistRule
from hip3_platform.analytics.rotating.score import ScoreRule
from hip3_platform.analytics.store import read_made_of
from streaming.contracts.paths import gold_path

RANKED_DAYS = ScoreRule().window_days
OF_A_DAY: Mapping[str, int] = {
    DAILY_METRICS: RANKED_DAYS,
    POLICY_FILLS: RANKED_DAYS,
    POLICY_HOURS: WINDOW_DAYS,
    BASIS: WINDOW_DAYS,
    BASIS_GAPS: WINDOW_DAYS,
    INCIDENTS: BlacklistRule().window_days,
}
"""Table of a day → days of it that a ranking or its rotation reads, the ranking's own included."""
OF_A_WINDOW: Mapping[str, tuple[str, int]] = {
    VERDICTS: (BASIS, WINDOW_DAYS),
    APPROVALS: (POLICY_HOURS, WINDOW_DAYS),
    STANDINGS: (POLICY_HOURS, WINDOW_DAYS),
    MARKET_RANKING: (POLICY_FILLS, RANKED_DAYS),
}
"""Table as of the ranking's day → what it was made of, and how many days of that."""
_AGAIN = "one that does not say: judge the day again"


def stale_inputs(root: Path, landing: Landing, venue: str, day: str) -> Iterator[Finding]:
    """Find what a ranking rests on that is missing or older than what has landed.

    Args:
        root: Warehouse.
        landing: What has landed.
        venue: Venue.
        day: Day of the ranking.
    """
    used = ranking_inputs(root, venue, day)
    if used is None:
        yield Finding(day, "freshness", f"gold/{MARKET_RANKING} of the day", "none")
        return
    for earlier in sorted(set(window_days(day, RANKED_DAYS)) & set(landing.days)):
        landed = landing.digest(earlier)
        paths = {
            table: gold_path(root, table=table, venue=venue, day=earlier)
            for table, count in OF_A_DAY.items()
            if earlier in window_days(day, count)
        }
        if not any(path.is_file() for path in paths.values()):
            expected = f"{', '.join(paths)} of every day of the window with data"
            yield Finding(earlier, "freshness", expected, "not judged", is_wrong=earlier == day)
        elif inputs_digest(root, venue, earlier) != landed:
            found = f"bronze of {inputs_digest(root, venue, earlier) or 'an incomplete day'}"
            yield Finding(earlier, "freshness", f"tables made of the parts that landed ({landed})", found)
        elif used.get(earlier) != landed:
            found = used.get(earlier) or "nothing of that day"
            yield Finding(earlier, "freshness", f"a ranking made of {landed}", found)
        else:
            for table, path in paths.items():
                if (found := _made_of(path, earlier)) != landed:
                    yield Finding(earlier, "freshness", f"gold/{table} made of {landed}", found)
    yield from _stale_windows(root, venue, day)


def _made_of(path: Path, day: str) -> str:
    if not path.is_file():
        return "none"
    return read_made_of(path).get(day) or _AGAIN


def _stale_windows(root: Path, venue: str, day: str) -> Iterator[Finding]:
    for table, (source, count) in OF_A_WINDOW.items():
        path = gold_path(root, table=table, venue=venue, day=day)
        now = days_made_of(root, source, venue, window_days(day, count))
        made_of = read_made_of(path) if path.is_file() else {}
        if made_of != now:
            changed = sorted(each for each in now.keys() | made_of.keys() if now.get(each) != made_of.get(each))
            found = f"one of before, without {', '.join(changed)}" if made_of else _AGAIN if path.is_file() else "none"
            yield Finding(day, "freshness", f"gold/{table} made of {source} as it is now", found)
