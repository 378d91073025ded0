from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.core.underlyings import session_kind_of
from streaming.sim.markets.sessions import activity, half_days, holidays, is_open, new_york, open_window
from streaming.sim.scenario.demo import DEMO
from streaming.sim.scenario.names import NAMES
from streaming.sim.scenario.universe import Session

# As published by the exchange.
NYSE_HOLIDAYS = {
    2024: "01-01 01-15 02-19 03-29 05-27 06-19 07-04 09-02 11-28 12-25",
    2025: "01-01 01-09 01-20 02-17 04-18 05-26 06-19 07-04 09-01 11-27 12-25",
    2026: "01-01 01-19 02-16 04-03 05-25 06-19 07-03 09-07 11-26 12-25",
    2027: "01-01 01-18 02-15 03-26 05-31 06-18 07-05 09-06 11-25 12-24",
    2028: "01-17 02-21 04-14 05-29 06-19 07-04 09-04 11-23 12-25",
}
NYSE_HALF_DAYS = {
    2024: "07-03 11-29 12-24",
    2025: "07-03 11-28 12-24",
    2026: "11-27 12-24",
    2027: "11-26",
    2028: "07-03 11-24",
}
HOUR_MS = 3_600_000


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def ms_new_york(text: str) -> int:
    """The first instant at which New York's clock shows this."""
    local = datetime.fromisoformat(text)
    for hours in (4, 5):
        ts_ms = ms((local + timedelta(hours=hours)).isoformat())
        if new_york(ts_ms) == local:
            return ts_ms
    raise AssertionError(text)


@pytest.mark.parametrize("year", NYSE_HOLIDAYS)
def test_holidays_every_year_are_those_published(year: int) -> None:
    assert holidays(year) == {date.fromisoformat(f"{year}-{day}") for day in NYSE_HOLIDAYS[year].split()}
    assert half_days(year) == {date.fromisoformat(f"{year}-{day}") for day in NYSE_HALF_DAYS[year].split()}


@pytest.mark.parametrize(
    ("utc", "local"),
    [
        ("2026-03-08T06:59", "2026-03-08T01:59"),
        ("2026-03-08T07:00", "2026-03-08T03:00"),
        ("2026-11-01T05:59", "2026-11-01T01:59"),
        ("2026-11-01T06:00", "2026-11-01T01:00"),
        ("2024-07-01T12:00", "2024-07-01T08:00"),
        ("2028-01-01T00:00", "2027-12-31T19:00"),
    ],
)
def test_new_york_around_clock_changes_shows_the_wall_clock(utc: str, local: str) -> None:
    assert new_york(ms(utc)) == datetime.fromisoformat(local)


@pytest.mark.parametrize(
    ("session", "local", "expected"),
    [
        # 24/5: Sunday 20:00 to Friday 20:00, summer and winter.
        (Session.EQUITY, "2026-06-14T19:59", False),
        (Session.EQUITY, "2026-06-14T20:00", True),
        (Session.EQUITY, "2026-06-17T03:00", True),
        (Session.EQUITY, "2026-06-19T12:00", False),
        (Session.EQUITY, "2026-06-26T19:59", True),
        (Session.EQUITY, "2026-06-26T20:00", False),
        (Session.EQUITY, "2026-01-11T20:00", True),
        (Session.EQUITY, "2026-01-09T20:00", False),
        # A holiday begins the evening before and ends in its own evening.
        (Session.EQUITY, "2025-12-24T16:59", True),
        (Session.EQUITY, "2025-12-24T17:00", False),
        (Session.EQUITY, "2025-12-25T19:59", False),
        (Session.EQUITY, "2025-12-25T20:00", True),
        # Futures pause for an hour a day and trade until 13:00 on most holidays.
        (Session.INDEX, "2026-06-16T16:59", True),
        (Session.INDEX, "2026-06-16T17:00", False),
        (Session.METAL, "2026-06-16T18:00", True),
        (Session.ENERGY, "2026-06-14T17:59", False),
        (Session.ENERGY, "2026-06-14T18:00", True),
        (Session.INDEX, "2026-09-07T12:59", True),
        (Session.INDEX, "2026-09-07T13:00", False),
        (Session.INDEX, "2026-09-07T18:00", True),
        (Session.METAL, "2026-04-03T10:00", False),
        (Session.METAL, "2026-12-25T10:00", False),
        # FX does not pause.
        (Session.FX, "2026-06-14T16:59", False),
        (Session.FX, "2026-06-14T17:00", True),
        (Session.FX, "2026-06-16T17:30", True),
        (Session.FX, "2026-06-19T17:00", False),
        (Session.FX, "2026-07-03T12:00", True),
        (Session.CRYPTO, "2026-06-20T12:00", True),
        (Session.PRE_IPO, "2026-06-17T12:00", False),
    ],
)
def test_is_open_at_edges_follows_the_calendar(session: Session, local: str, expected: bool) -> None:
    assert is_open(session, ms_new_york(local)) is expected


@pytest.mark.parametrize(("session", "hours_min", "hours_max"), [
    (Session.EQUITY, 118, 121),
    (Session.INDEX, 113, 116),
    (Session.FX, 118, 121),
    (Session.CRYPTO, 168, 168),
    (Session.PRE_IPO, 0, 0),
])  # fmt: skip
def test_is_open_ordinary_week_has_the_sessions_hours(session: Session, hours_min: int, hours_max: int) -> None:
    begin_ms = ms("2026-10-12T00:00")
    count = sum(is_open(session, begin_ms + index * HOUR_MS) for index in range(168))
    assert hours_min <= count <= hours_max


@given(session=st.sampled_from(Session), hour=st.integers(ms("2024-01-01") // HOUR_MS, ms("2028-12-31") // HOUR_MS))
def test_activity_any_hour_is_least_when_closed_and_the_open_lies_in_its_hour(session: Session, hour: int) -> None:
    factor = activity(session, hour)
    assert 0.4 <= factor <= 1.2
    if session not in {Session.CRYPTO, Session.PRE_IPO} and not is_open(session, hour * HOUR_MS):
        assert factor == 0.4
    window = open_window(session, hour)
    if window is not None:
        assert 0.0 <= window[0] < window[1] <= 3600.0


@pytest.mark.parametrize(
    ("session", "local"),
    [(Session.EQUITY, "2026-06-16T09:30"), (Session.EQUITY, "2026-12-16T09:30"), (Session.ENERGY, "2026-06-16T09:00")],
)
def test_open_window_trading_day_begins_at_the_open(session: Session, local: str) -> None:
    open_ms = ms_new_york(local)
    window = open_window(session, open_ms // HOUR_MS)
    assert window is not None
    assert open_ms // HOUR_MS * HOUR_MS + window[0] * 1000 == open_ms
    assert window[1] - window[0] == 1800.0


def test_open_window_holiday_and_weekend_have_none() -> None:
    for local in ("2026-06-19T09:30", "2026-06-20T09:30"):
        assert open_window(Session.EQUITY, ms_new_york(local) // HOUR_MS) is None


def test_sessions_of_the_venues_markets_are_those_a_trader_expects_by_name() -> None:
    listed = {market.coin: market.session for market in DEMO.universe.markets}
    drawn = {f"xyz:{name.text}": name.session for name in NAMES}
    for coin, session in (listed | drawn).items():
        assert session_kind_of(coin).value == session.value, coin
