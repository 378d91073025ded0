"""When an outside price of an underlying exists: sessions, holidays and New York's clock by rule, in integers.

While the underlying's own market is closed the oracle is the mean of the book itself, so a gap between the two means
nothing; entries stop then. The simulated venue makes its markets from the same rules.

Rule 1: trade[XYZ] publishes outside prices Sunday 20:00 to Friday 20:00 New York for equities, Sunday 17:00 to Friday
17:00 for FX, Sunday 18:00 to Friday 17:00 with a pause from 17:00 to 18:00 for futures.
Rule 2: holidays are the NYSE's. A trading day begins in the evening before it, at the hour of Rule 1. Futures and FX
rest on three of the holidays; on the others, and on half days, futures stop at 13:00 and FX goes on.
Rule 3: every change falls on a full hour of UTC. Where an exchange closes between hours (CME's 13:15, 13:45, 14:30) the
session ends at the hour before: rounded towards closed, never towards open.
Rule 4: a day is the number of days since 1970-01-01, an hour the number of hours since then: no date type in the core.
Rule 5: the rules hold from 2022 on (Juneteenth). A closure that no rule foresees is in `_MOURNING_DAYS`, or missing.
"""

from enum import StrEnum
from functools import lru_cache

from streaming.core.units import NS_PER_S

NS_PER_HOUR = 3_600 * NS_PER_S
HOURS_PER_DAY = 24
NEVER_TS_NS = 2**63 - 1
"""The next change of what never changes: the last instant that the tables can hold."""

_MONDAY, _THURSDAY, _SATURDAY, _SUNDAY = 0, 3, 5, 6


class SessionKind(StrEnum):
    """Kind of an underlying: it decides when its own market is open."""

    EQUITY = "equity"
    INDEX = "index"
    METAL = "metal"
    ENERGY = "energy"
    FX = "fx"
    CRYPTO = "crypto"
    PRE_IPO = "pre_ipo"


_DAY_BEGIN_HOUR = {
    SessionKind.EQUITY: 20,
    SessionKind.INDEX: 18,
    SessionKind.METAL: 18,
    SessionKind.ENERGY: 18,
    SessionKind.FX: 17,
}
"""Hour of the evening before at which a trading day begins, New York."""
_HALF_DAY_CLOSE_HOUR = 17
"""Equities: four hours after the NYSE's early close, when trading after hours ends."""
_FUTURES_CLOSE_HOUR, _FUTURES_EARLY_CLOSE_HOUR = 17, 13


def day_of(year: int, month: int, day: int) -> int:
    """Return the days from 1970-01-01 to a date of the Gregorian calendar.

    Years are counted from March, so that a leap day is the last of its year and months follow one linear rule.
    """
    march_year = year - (month <= 2)
    era, year_of_era = divmod(march_year, 400)
    day_of_year = (153 * ((month - 3) % 12) + 2) // 5 + day - 1
    return era * 146_097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719_468


def year_of(day: int) -> int:
    """Return the year in which a day lies; the inverse of `day_of` as far as the rules need it."""
    era, day_of_era = divmod(day + 719_468, 146_097)
    year_of_era = (day_of_era - day_of_era // 1_460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    # Days 306 and later of a year that begins in March are January and February.
    return era * 400 + year_of_era + (day_of_year >= 306)


def weekday_of(day: int) -> int:
    """Return the weekday, Monday is 0."""
    return (day + 3) % 7


_MOURNING_DAYS = frozenset({day_of(2025, 1, 9)})
"""Closures that no rule foresees."""


def _nth_weekday(year: int, month: int, weekday: int, n: int) -> int:
    first = day_of(year, month, 1)
    return first + (weekday - weekday_of(first)) % 7 + 7 * (n - 1)


def _good_friday(year: int) -> int:
    """Two days before Gregorian Easter Sunday (Anonymous algorithm)."""
    a, b, c = year % 19, year // 100, year % 100
    h = (19 * a + b - b // 4 - (b - (b + 8) // 25 + 1) // 3 + 15) % 30
    k = (32 + 2 * (b % 4) + 2 * (c // 4) - h - c % 4) % 7
    m = (a + 11 * h + 22 * k) // 451
    month, day = divmod(h + k - 7 * m + 114, 31)
    return day_of(year, month, day + 1) - 2


def _observed(day: int) -> int:
    weekday = weekday_of(day)
    return day - 1 if weekday == _SATURDAY else day + 1 if weekday == _SUNDAY else day


@lru_cache(maxsize=64)
def holidays(year: int) -> frozenset[int]:
    """Return the days of a year on which the NYSE does not open."""
    new_year = day_of(year, 1, 1)
    days = {
        _nth_weekday(year, 1, _MONDAY, 3),
        _nth_weekday(year, 2, _MONDAY, 3),
        _good_friday(year),
        _nth_weekday(year, 6, _MONDAY, 1) - 7,  # the last Monday of May
        _observed(day_of(year, 6, 19)),
        _observed(day_of(year, 7, 4)),
        _nth_weekday(year, 9, _MONDAY, 1),
        _nth_weekday(year, 11, _THURSDAY, 4),
        _observed(day_of(year, 12, 25)),
    }
    # A New Year's Day on Saturday is not made up for: the books of the year close on Friday.
    if weekday_of(new_year) != _SATURDAY:
        days.add(_observed(new_year))
    return frozenset(days | {day for day in _MOURNING_DAYS if year_of(day) == year})


@lru_cache(maxsize=64)
def half_days(year: int) -> frozenset[int]:
    """Return the days of a year on which the NYSE closes at 13:00."""
    days = {_nth_weekday(year, 11, _THURSDAY, 4) + 1, day_of(year, 12, 24)}
    if weekday_of(day_of(year, 7, 4)) in {1, 2, 3, 4}:
        days.add(day_of(year, 7, 3))
    return frozenset(day for day in days if weekday_of(day) < _SATURDAY and day not in holidays(year))


@lru_cache(maxsize=64)
def _whole_holidays(year: int) -> frozenset[int]:
    """Days on which futures and FX rest as well: New Year's Day, Good Friday, Christmas."""
    return frozenset({_observed(day_of(year, 1, 1)), _good_friday(year), _observed(day_of(year, 12, 25))})


@lru_cache(maxsize=64)
def _summer_time(year: int) -> tuple[int, int]:
    """First UTC hour of New York's summer time and first after it: 02:00 local, by the rule since 2007."""
    begin = HOURS_PER_DAY * _nth_weekday(year, 3, _SUNDAY, 2) + 7
    return begin, HOURS_PER_DAY * _nth_weekday(year, 11, _SUNDAY, 1) + 6


def new_york_hour_of(utc_hour: int) -> int:
    """Return the hour since 1970-01-01 00:00 that New York's wall clock shows during an hour of UTC."""
    begin, end = _summer_time(year_of(utc_hour // HOURS_PER_DAY))
    return utc_hour - (4 if begin <= utc_hour < end else 5)


@lru_cache(maxsize=8192)
def is_hour_open(kind: SessionKind, utc_hour: int) -> bool:
    """Tell whether the market of such an underlying is open during an hour of UTC, all of it (Rule 3)."""
    if kind is SessionKind.CRYPTO or kind is SessionKind.PRE_IPO:
        return kind is SessionKind.CRYPTO
    calendar_day, hour = divmod(new_york_hour_of(utc_hour), HOURS_PER_DAY)
    is_evening = hour >= _DAY_BEGIN_HOUR[kind]
    day = calendar_day + is_evening
    if weekday_of(day) >= _SATURDAY:
        return False
    year = year_of(day)
    is_holiday, is_half = day in holidays(year), day in half_days(year)
    if kind is SessionKind.EQUITY:
        return not is_holiday and (is_evening or not is_half or hour < _HALF_DAY_CLOSE_HOUR)
    if day in _whole_holidays(year):
        return False
    close_hour = _FUTURES_EARLY_CLOSE_HOUR if is_holiday or is_half else _FUTURES_CLOSE_HOUR
    return kind is SessionKind.FX or is_evening or hour < close_hour


def is_session_open(kind: SessionKind, ts_ns: int) -> bool:
    """Tell whether an outside price of such an underlying exists at an instant (ns UTC)."""
    return is_hour_open(kind, ts_ns // NS_PER_HOUR)


@lru_cache(maxsize=1024)
def _next_change_hour(kind: SessionKind, utc_hour: int) -> int:
    is_open = is_hour_open(kind, utc_hour)
    # Ends within days: every week has an open hour and a closed one.
    while is_hour_open(kind, utc_hour) is is_open:
        utc_hour += 1
    return utc_hour


def next_change_ts_ns(kind: SessionKind, ts_ns: int) -> int:
    """Return the first instant after `ts_ns` at which the session opens or closes; `NEVER_TS_NS` if it never does."""
    if kind is SessionKind.CRYPTO or kind is SessionKind.PRE_IPO:
        return NEVER_TS_NS
    return _next_change_hour(kind, ts_ns // NS_PER_HOUR) * NS_PER_HOUR
