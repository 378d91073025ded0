"""What the calendar means for a simulated market: when an outside price exists, and how much happens.

Rule 1: sessions, holidays and New York's clock are the core's (`core.calendar`); a trader and the venue it is tested
against must not know two calendars. Here are dates and milliseconds, and the rhythm of a day.
Rule 2: every change falls on a full hour, so an hour of a market is open or closed as a whole.
"""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

from streaming.core import calendar
from streaming.core.calendar import SessionKind
from streaming.sim.scenario.universe import Session

_HOUR_MS = 3_600_000
_EPOCH = date(1970, 1, 1)
_KINDS = {session: SessionKind(session.value) for session in Session}
_MAIN_OPEN_MIN = {
    Session.EQUITY: 570,
    Session.INDEX: 570,
    Session.METAL: 510,
    Session.ENERGY: 540,
    Session.FX: 180,
    Session.CRYPTO: 570,
    Session.PRE_IPO: 570,
}
"""Minute of the day at which most begins to happen, New York; a half hour from it never crosses a full hour."""
_OPEN_WINDOW_S = 1800.0


def _dates(days: frozenset[int]) -> frozenset[date]:
    return frozenset(_EPOCH + timedelta(days=day) for day in days)


@lru_cache(maxsize=64)
def holidays(year: int) -> frozenset[date]:
    """Return the days of a year on which the NYSE does not open."""
    return _dates(calendar.holidays(year))


@lru_cache(maxsize=64)
def half_days(year: int) -> frozenset[date]:
    """Return the days of a year on which the NYSE closes at 13:00."""
    return _dates(calendar.half_days(year))


def new_york(ts_ms: int) -> datetime:
    """Return New York's wall clock as a datetime without zone (daylight saving by the rule since 2007)."""
    utc_hour = ts_ms // _HOUR_MS
    utc = datetime.fromtimestamp(ts_ms // 1000, UTC).replace(tzinfo=None)
    return utc + timedelta(hours=calendar.new_york_hour_of(utc_hour) - utc_hour)


def is_open(session: Session, ts_ms: int) -> bool:
    """Tell whether an outside price of such an underlying exists at an instant (ms UTC)."""
    return calendar.is_hour_open(_KINDS[session], ts_ms // _HOUR_MS)


@lru_cache(maxsize=8192)
def activity(session: Session, hour: int) -> float:
    """Return how much happens in a UTC hour: 1 in the main session, less before and after, least when it is closed."""
    local = new_york(hour * _HOUR_MS)
    if (
        session is not Session.CRYPTO
        and session is not Session.PRE_IPO
        and not calendar.is_hour_open(_KINDS[session], hour)
    ):
        return 0.4
    if local.weekday() >= 5:
        return 0.4
    if local.date() in holidays(local.year):
        return 0.5
    if 9 <= local.hour < 16:
        return 1.2 if local.hour in {9, 15} else 1.0
    return 0.7 if 4 <= local.hour < 20 else 0.5


def open_window(session: Session, hour: int) -> tuple[float, float] | None:
    """Return where in a UTC hour the half hour after the main session's open lies, in seconds, if it does."""
    local = new_york(hour * _HOUR_MS)
    minute = _MAIN_OPEN_MIN[session]
    if local.hour != minute // 60 or local.weekday() >= 5 or local.date() in holidays(local.year):
        return None
    begin_s = float(minute % 60 * 60)
    return begin_s, begin_s + _OPEN_WINDOW_S
