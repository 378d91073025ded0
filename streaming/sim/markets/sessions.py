"""When an outside price of an underlying exists: exchange sessions and holidays by rule, in New York time.

Rule 1: trade[XYZ] publishes outside prices Sunday 20:00 to Friday 20:00 for equities (24/5), Sunday 17:00 to Friday
17:00 for FX, and the exchange's sessions for futures; otherwise its oracle is the EMA of its own book.
Rule 2: holidays are the NYSE's. An equity's trading day begins the evening before at 20:00, a future's at 18:00.
Futures pause from 17:00 to 18:00; of their holidays three are whole days off, on the others they stop at 13:00.
Rule 3: every change falls on a full hour (CME's 13:15 and 14:30 are rounded), so an hour is open or closed as a whole.
"""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

from streaming.sim.scenario.universe import Session

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
_DAY = timedelta(days=1)
_MOURNING_DAYS = frozenset({date(2025, 1, 9)})
"""Closures that no rule foresees."""

_DAY_BEGINS = {Session.EQUITY: 20, Session.INDEX: 18, Session.METAL: 18, Session.ENERGY: 18, Session.FX: 17}
"""Hour of the evening before at which a trading day begins, New York."""
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


def _nth_weekday(year: int, month: int, weekday: int, n: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (n - 1))


def _last_monday(year: int, month: int) -> date:
    last = date(year, month + 1, 1) - _DAY
    return last - timedelta(days=last.weekday())


def _easter(year: int) -> date:
    """Gregorian Easter Sunday (Anonymous algorithm)."""
    a, b, c = year % 19, year // 100, year % 100
    h = (19 * a + b - b // 4 - (b - (b + 8) // 25 + 1) // 3 + 15) % 30
    k = (32 + 2 * (b % 4) + 2 * (c // 4) - h - c % 4) % 7
    m = (a + 11 * h + 22 * k) // 451
    month, day = divmod(h + k - 7 * m + 114, 31)
    return date(year, month, day + 1)


def _observed(day: date) -> date:
    return day - _DAY if day.weekday() == 5 else day + _DAY if day.weekday() == 6 else day


@lru_cache(maxsize=64)
def holidays(year: int) -> frozenset[date]:
    """Return the days of a year on which the NYSE does not open."""
    new_year = date(year, 1, 1)
    days = {
        _nth_weekday(year, 1, 0, 3),
        _nth_weekday(year, 2, 0, 3),
        _easter(year) - 2 * _DAY,
        _last_monday(year, 5),
        _observed(date(year, 6, 19)),
        _observed(date(year, 7, 4)),
        _nth_weekday(year, 9, 0, 1),
        _nth_weekday(year, 11, 3, 4),
        _observed(date(year, 12, 25)),
    }
    if (
        new_year.weekday() != 5
    ):  # a New Year's Day on Saturday is not made up for: the books of the year close on Friday
        days.add(_observed(new_year))
    return frozenset(days | {day for day in _MOURNING_DAYS if day.year == year})


@lru_cache(maxsize=64)
def half_days(year: int) -> frozenset[date]:
    """Return the days of a year on which the NYSE closes at 13:00."""
    days = {_nth_weekday(year, 11, 3, 4) + _DAY, date(year, 12, 24)}
    if date(year, 7, 4).weekday() in {1, 2, 3, 4}:
        days.add(date(year, 7, 3))
    return frozenset(day for day in days if day.weekday() < 5 and day not in holidays(year))


def _is_whole_holiday(day: date) -> bool:
    """Whether futures do not trade at all: New Year's Day, Good Friday, Christmas."""
    year = day.year
    return day in {_observed(date(year, 1, 1)), _easter(year) - 2 * _DAY, _observed(date(year, 12, 25))}


def new_york(ts_ms: int) -> datetime:
    """Return New York's wall clock as a datetime without zone (daylight saving by the rule since 2007)."""
    utc = datetime.fromtimestamp(ts_ms // 1000, UTC).replace(tzinfo=None)
    summer = datetime.combine(_nth_weekday(utc.year, 3, 6, 2), datetime.min.time()) + timedelta(hours=7)
    winter = datetime.combine(_nth_weekday(utc.year, 11, 6, 1), datetime.min.time()) + timedelta(hours=6)
    return utc - timedelta(hours=4 if summer <= utc < winter else 5)


@lru_cache(maxsize=8192)
def _is_open_in(session: Session, hour: int) -> bool:
    if session is Session.CRYPTO or session is Session.PRE_IPO:
        return session is Session.CRYPTO
    local = new_york(hour * _HOUR_MS)
    is_evening = local.hour >= _DAY_BEGINS[session]
    day = local.date() + (_DAY if is_evening else timedelta(0))
    if day.weekday() >= 5:
        return False
    is_holiday, is_half = day in holidays(day.year), day in half_days(day.year)
    if session is Session.EQUITY:
        return not is_holiday and (is_evening or not is_half or local.hour < 17)
    if _is_whole_holiday(day):
        return False
    return session is Session.FX or is_evening or local.hour < (13 if is_holiday or is_half else 17)


def is_open(session: Session, ts_ms: int) -> bool:
    """Tell whether an outside price of such an underlying exists at an instant (ms UTC)."""
    return _is_open_in(session, ts_ms // _HOUR_MS)


@lru_cache(maxsize=8192)
def activity(session: Session, hour: int) -> float:
    """Return how much happens in a UTC hour: 1 in the main session, less before and after, least when it is closed."""
    local = new_york(hour * _HOUR_MS)
    if session is not Session.CRYPTO and session is not Session.PRE_IPO and not _is_open_in(session, hour):
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
