from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.core import underlyings
from streaming.core.blackout import is_blacked_out, parse_windows
from streaming.core.calendar import (
    NEVER_TS_NS,
    NS_PER_HOUR,
    SessionKind,
    day_of,
    half_days,
    holidays,
    is_session_open,
    new_york_hour_of,
    next_change_ts_ns,
    weekday_of,
    year_of,
)
from streaming.core.underlyings import is_known, session_kind_of

NEW_YORK = ZoneInfo("America/New_York")
EPOCH = date(1970, 1, 1)
EQUITY, INDEX, METAL, ENERGY = SessionKind.EQUITY, SessionKind.INDEX, SessionKind.METAL, SessionKind.ENERGY
FX, CRYPTO, PRE_IPO = SessionKind.FX, SessionKind.CRYPTO, SessionKind.PRE_IPO
CHANGING = (EQUITY, INDEX, METAL, ENERGY, FX)

# As published by the exchange, 2025-01-09 included.
NYSE_HOLIDAYS = """
    2024-01-01 2024-01-15 2024-02-19 2024-03-29 2024-05-27 2024-06-19 2024-07-04 2024-09-02 2024-11-28 2024-12-25
    2025-01-01 2025-01-09 2025-01-20 2025-02-17 2025-04-18 2025-05-26 2025-06-19 2025-07-04 2025-09-01 2025-11-27
    2025-12-25
    2026-01-01 2026-01-19 2026-02-16 2026-04-03 2026-05-25 2026-06-19 2026-07-03 2026-09-07 2026-11-26 2026-12-25
    2027-01-01 2027-01-18 2027-02-15 2027-03-26 2027-05-31 2027-06-18 2027-07-05 2027-09-06 2027-11-25 2027-12-24
    2028-01-17 2028-02-21 2028-04-14 2028-05-29 2028-06-19 2028-07-04 2028-09-04 2028-11-23 2028-12-25
"""
NYSE_HALF_DAYS = """
    2024-07-03 2024-11-29 2024-12-24 2025-07-03 2025-11-28 2025-12-24 2026-11-27 2026-12-24 2027-11-26
    2028-07-03 2028-11-24
"""
# Days on which CME's futures do not trade at all.
CME_CLOSED = """
    2024-01-01 2024-03-29 2024-12-25 2025-01-01 2025-04-18 2025-12-25 2026-01-01 2026-04-03 2026-12-25
    2027-01-01 2027-03-26 2027-12-24 2028-04-14 2028-12-25
"""


def days(text: str) -> frozenset[date]:
    return frozenset(date.fromisoformat(word) for word in text.split())


HOLIDAYS, HALF_DAYS, REST_DAYS = days(NYSE_HOLIDAYS), days(NYSE_HALF_DAYS), days(CME_CLOSED)


def ns(instant: datetime) -> int:
    return int(instant.timestamp()) * 1_000_000_000


def at_new_york(text: str) -> int:
    return ns(datetime.fromisoformat(text).replace(tzinfo=NEW_YORK))


def at_utc(text: str) -> int:
    return ns(datetime.fromisoformat(text).replace(tzinfo=UTC))


def trading_hours(kind: SessionKind, day: date) -> tuple[datetime, datetime] | None:
    """Wall clock in New York at which the trading day `day` begins and ends: the rules said once more, as dates."""
    evening = day - timedelta(days=1)
    if day.weekday() >= 5 or day in (HOLIDAYS if kind is EQUITY else REST_DAYS):
        return None
    if kind is EQUITY:
        return datetime.combine(evening, time(20)), datetime.combine(day, time(17 if day in HALF_DAYS else 20))
    if kind is FX:
        return datetime.combine(evening, time(17)), datetime.combine(day, time(17))
    is_short = day in HOLIDAYS | HALF_DAYS
    return datetime.combine(evening, time(18)), datetime.combine(day, time(13 if is_short else 17))


def is_open_by_dates(kind: SessionKind, instant: datetime) -> bool:
    local = instant.astimezone(NEW_YORK).replace(tzinfo=None)
    spans = (trading_hours(kind, local.date() + timedelta(days=shift)) for shift in (0, 1))
    return any(span is not None and span[0] <= local < span[1] for span in spans)


@given(day=st.dates(date(1970, 1, 1), date(2100, 12, 31)))
@settings(derandomize=True)
def test_day_of_any_date_counts_days_since_1970(day: date) -> None:
    number = day_of(day.year, day.month, day.day)
    assert EPOCH + timedelta(days=number) == day
    assert (year_of(number), weekday_of(number)) == (day.year, day.weekday())


@pytest.mark.parametrize("year", range(2024, 2029))
def test_holidays_every_published_year_are_the_exchanges(year: int) -> None:
    assert {EPOCH + timedelta(days=day) for day in holidays(year)} == {day for day in HOLIDAYS if day.year == year}
    assert {EPOCH + timedelta(days=day) for day in half_days(year)} == {day for day in HALF_DAYS if day.year == year}


@pytest.mark.parametrize(
    ("change", "hours_before", "hours_after"),
    [
        ("2024-03-10T07:00", 5, 4),
        ("2024-11-03T06:00", 4, 5),
        ("2025-03-09T07:00", 5, 4),
        ("2025-11-02T06:00", 4, 5),
        ("2026-03-08T07:00", 5, 4),
        ("2026-11-01T06:00", 4, 5),
        ("2027-03-14T07:00", 5, 4),
        ("2027-11-07T06:00", 4, 5),
    ],
)
def test_new_york_hour_clock_changes_on_the_published_days(change: str, hours_before: int, hours_after: int) -> None:
    hour = at_utc(change) // NS_PER_HOUR
    assert hour - 1 - new_york_hour_of(hour - 1) == hours_before
    assert hour - new_york_hour_of(hour) == hours_after


@given(
    instant=st.datetimes(
        datetime.fromisoformat("2024-01-01"), datetime.fromisoformat("2030-12-31"), timezones=st.just(UTC)
    )
)
@settings(derandomize=True, max_examples=500)
def test_new_york_hour_any_instant_is_what_the_zone_database_says(instant: datetime) -> None:
    local = instant.astimezone(NEW_YORK)
    hour = new_york_hour_of(ns(instant) // NS_PER_HOUR)
    assert (EPOCH + timedelta(days=hour // 24), hour % 24) == (local.date(), local.hour)


@given(
    kind=st.sampled_from(CHANGING),
    instant=st.datetimes(
        datetime.fromisoformat("2024-01-01T06:00"), datetime.fromisoformat("2028-12-30"), timezones=st.just(UTC)
    ),
)
@settings(derandomize=True, max_examples=1000)
def test_is_session_open_any_instant_follows_the_published_calendars(kind: SessionKind, instant: datetime) -> None:
    assert is_session_open(kind, ns(instant)) is is_open_by_dates(kind, instant)


@pytest.mark.parametrize("kind", CHANGING)
def test_is_session_open_around_every_holiday_follows_the_published_calendars(kind: SessionKind) -> None:
    for day in sorted(HOLIDAYS | HALF_DAYS):
        begin = datetime.combine(day - timedelta(days=1), time(0), tzinfo=UTC)
        for hours in range(96):
            instant = begin + timedelta(hours=hours)
            assert is_session_open(kind, ns(instant)) is is_open_by_dates(kind, instant), instant


@pytest.mark.parametrize(
    ("kind", "opens", "closes"),
    [
        # Summer and winter weeks, from the first instant to the last.
        (EQUITY, "2026-06-14T20:00", "2026-06-18T20:00"),  # Friday is Juneteenth
        (EQUITY, "2026-01-11T20:00", "2026-01-16T20:00"),
        (INDEX, "2026-06-14T18:00", "2026-06-15T17:00"),
        (METAL, "2026-06-15T18:00", "2026-06-16T17:00"),
        (FX, "2026-06-14T17:00", "2026-06-19T17:00"),
        # The clocks change on the Sunday between Friday's close and the open.
        (EQUITY, "2026-03-08T20:00", "2026-03-13T20:00"),
        (ENERGY, "2026-11-01T18:00", "2026-11-02T17:00"),
        # A half day, the holiday after it, and a holiday on which futures trade until 13:00.
        (EQUITY, "2025-12-21T20:00", "2025-12-24T17:00"),
        (EQUITY, "2025-12-25T20:00", "2025-12-26T20:00"),
        (ENERGY, "2026-09-06T18:00", "2026-09-07T13:00"),
        (INDEX, "2026-11-26T18:00", "2026-11-27T13:00"),
        # Good Friday: nothing until Sunday.
        (METAL, "2026-04-01T18:00", "2026-04-02T17:00"),
        (METAL, "2026-04-05T18:00", "2026-04-06T17:00"),
    ],
)
def test_next_change_session_opens_and_closes_to_the_nanosecond(kind: SessionKind, opens: str, closes: str) -> None:
    open_ts_ns, close_ts_ns = at_new_york(opens), at_new_york(closes)
    assert not is_session_open(kind, open_ts_ns - 1)
    assert is_session_open(kind, open_ts_ns)
    assert is_session_open(kind, close_ts_ns - 1)
    assert not is_session_open(kind, close_ts_ns)
    assert next_change_ts_ns(kind, open_ts_ns - 1) == open_ts_ns
    assert next_change_ts_ns(kind, open_ts_ns) == close_ts_ns == next_change_ts_ns(kind, close_ts_ns - 1)


@given(kind=st.sampled_from(CHANGING), ts_ns=st.integers(at_utc("2024-01-01"), at_utc("2030-12-31")))
@settings(derandomize=True)
def test_next_change_any_instant_is_the_first_later_one(kind: SessionKind, ts_ns: int) -> None:
    change_ts_ns = next_change_ts_ns(kind, ts_ns)
    is_open = is_session_open(kind, ts_ns)
    assert ts_ns < change_ts_ns
    assert is_session_open(kind, change_ts_ns) is not is_open
    between = range(ts_ns, change_ts_ns, NS_PER_HOUR // 2)
    assert all(is_session_open(kind, at) is is_open for at in [*between, change_ts_ns - 1])


@pytest.mark.parametrize(("kind", "expected"), [(CRYPTO, True), (PRE_IPO, False)])
def test_next_change_of_what_never_changes_is_never(kind: SessionKind, expected: bool) -> None:
    for text in ("2026-06-17T12:00", "2026-06-20T12:00", "2026-12-25T12:00"):
        assert is_session_open(kind, at_utc(text)) is expected
        assert next_change_ts_ns(kind, at_utc(text)) == NEVER_TS_NS


@pytest.mark.parametrize(
    ("coin", "kind"),
    [
        ("xyz:NVDA", EQUITY),
        ("flx:TSLA", EQUITY),
        ("xyz:XYZ100", INDEX),
        ("mkts:US500", INDEX),
        ("xyz:GOLD", METAL),
        ("xyz:CL", ENERGY),
        ("xyz:JPY", FX),
        ("hyna:BTC", CRYPTO),
        ("BTC", CRYPTO),
        ("io:OAI", PRE_IPO),
        ("vntl:SPACEX", PRE_IPO),
    ],
)
def test_session_kind_real_names_are_known_by_what_they_track(coin: str, kind: SessionKind) -> None:
    assert session_kind_of(coin) is kind
    assert is_known(coin)


def test_session_kind_table_names_no_underlying_twice_and_no_stranger() -> None:
    names = [name for text in underlyings._NAMES.values() for name in text.split()]
    assert len(names) == len(set(names))
    assert set(names) >= underlyings._OTHER_HOURS


def test_session_kind_validator_market_named_like_a_stock_is_crypto() -> None:
    assert session_kind_of("COIN") is CRYPTO
    assert session_kind_of("xyz:COIN") is EQUITY


@pytest.mark.parametrize("coin", ["xyz:NEWCO", "newdex:NEWCO", "xyz:nvda", "xyz:"])
def test_session_kind_unknown_name_counts_as_an_equity_and_is_reported(coin: str) -> None:
    assert session_kind_of(coin) is EQUITY
    assert not is_known(coin)


@pytest.mark.parametrize("coin", ["xyz:KR200", "xyz:SKHX", "xyz:SOFTBANK"])
def test_is_known_name_of_an_exchange_with_other_hours_is_reported(coin: str) -> None:
    assert not is_known(coin)


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("14:25-14:40", ["14:25:00", "14:39:59"], ["14:24:59", "14:40:00", "02:30:00"]),
        ("22:00-01:30", ["22:00:00", "23:59:59", "00:00:00", "01:29:59"], ["21:59:59", "01:30:00", "12:00:00"]),
        ("20:00-00:00", ["20:00:00", "23:59:59"], ["00:00:00", "19:59:59"]),
        ("00:00-23:59", ["00:00:00", "23:58:59"], ["23:59:00"]),
    ],
)
def test_blackout_window_includes_its_begin_and_not_its_end(text: str, inside: list[str], outside: list[str]) -> None:
    windows = parse_windows((text,))
    for day in ("2026-03-08", "2028-02-29"):
        assert all(is_blacked_out(windows, at_utc(f"{day}T{clock}")) for clock in inside)
        assert not any(is_blacked_out(windows, at_utc(f"{day}T{clock}")) for clock in outside)


def test_blackout_any_of_several_windows_counts_and_none_never() -> None:
    windows = parse_windows(("09:00-09:15", "14:25-14:40"))
    assert windows == ((540, 555), (865, 880))
    assert is_blacked_out(windows, at_utc("2026-06-16T14:30"))
    assert not is_blacked_out(windows, at_utc("2026-06-16T12:00"))
    assert not is_blacked_out(parse_windows(()), at_utc("2026-06-16T14:30"))


@pytest.mark.parametrize(
    "text",
    ["", "9:00-09:15", "09:00", "09:00-24:00", "09:60-10:00", "09:00 - 10:00", "09:00-10:00Z", "10:00-10:00",
     "\u0660\u0669:00-10:00", "09:00-10:00\n"],
)  # fmt: skip
def test_blackout_text_that_is_no_window_is_refused_with_what_was_expected(text: str) -> None:
    with pytest.raises(ValueError, match="HH:MM-HH:MM") as caught:
        parse_windows(("09:00-09:15", text))
    assert repr(text) in str(caught.value)
