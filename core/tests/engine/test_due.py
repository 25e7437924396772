from __future__ import annotations

import datetime as dt
import zoneinfo
from typing import Any

import pytest
from flytepath.authoring.declared.schedules import CronSchedule, FixedRate
from flytepath.engine.schedules.due import CATCH_UP_LIMIT, due_between, read_timing
from flytepath.errors import DefinitionError, UsageError
from flytepath.model.schedule import cron_fields
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

UTC = dt.UTC
ZONES = [
    *("UTC", "Europe/Berlin", "America/New_York", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kolkata"),
    *("Africa/Casablanca", "America/Havana", "Pacific/Apia", "Asia/Beirut", "Pacific/Chatham"),
]


def at(*parts: int) -> dt.datetime:
    return dt.datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


def cron(expression: str, **settings: Any) -> dict[str, Any]:
    return CronSchedule(schedule=expression, **settings).to_json()


def walls(schedule: dict[str, Any], after: dt.datetime, until: dt.datetime) -> list[str]:
    zone = zoneinfo.ZoneInfo(schedule["timezone"])
    return [moment.astimezone(zone).strftime("%d %H:%M%z") for moment in due_between(schedule, after, until)]


def by_the_minute(expression: str, zone: dt.tzinfo, after: dt.datetime, until: dt.datetime) -> list[dt.datetime]:
    """What a watchman does who looks at the wall clock every minute, and knows when it was changed."""
    minutes, hours, days, months, weekdays = cron_fields(expression)

    def named(wall: dt.datetime) -> bool:
        if wall.minute not in minutes or wall.hour not in hours or wall.month not in months:
            return False
        by_date, by_weekday = wall.day in days, wall.isoweekday() % 7 in weekdays
        return by_date or by_weekday if len(days) < 31 and len(weekdays) < 7 else by_date and by_weekday

    minute, found = dt.timedelta(minutes=1), []
    moment = after.replace(second=0, microsecond=0)
    while moment <= until:
        wall, before = moment.astimezone(zone), (moment - minute).astimezone(zone)
        left_out = (wall.replace(tzinfo=None) - before.replace(tzinfo=None)) // minute - 1
        due = named(wall) and (wall.fold == 0 or len(hours) == 24)
        if left_out > 0 and len(hours) < 24:
            due = due or any(named(wall - minute * (number + 1)) for number in range(left_out))
        if due and moment > after:
            found.append(moment)
        moment += minute
    return found


expressions = st.builds(
    lambda minute, hour, day, month, weekday: " ".join((minute, hour, day, month, weekday)),
    st.sampled_from(["0", "30", "*/20", "5,59", "*", "1"]),
    st.sampled_from(["*", "0", "1", "2", "3", "0-3", "*/2", "23", "2,3", "1-23"]),
    st.sampled_from(["*", "*", "1", "25-31", "29", "*/2"]),
    st.sampled_from(["*", "*", "3", "10", "2-4"]),
    st.sampled_from(["*", "*", "sun", "mon-fri", "6"]),
)
moments = st.one_of(
    st.datetimes(dt.datetime(2005, 1, 1), dt.datetime(2028, 1, 1)),
    # around the days on which clocks change somewhere
    st.builds(
        lambda day, minutes: day + dt.timedelta(minutes=minutes),
        st.sampled_from(
            [
                *(
                    dt.datetime(2026, 3, 28),
                    dt.datetime(2026, 10, 24),
                    dt.datetime(2026, 3, 7),
                    dt.datetime(2026, 10, 31),
                ),
                *(
                    dt.datetime(2011, 3, 12),
                    dt.datetime(2011, 11, 5),
                    dt.datetime(2026, 4, 4),
                    dt.datetime(2026, 10, 3),
                ),
                *(dt.datetime(2011, 12, 29), dt.datetime(2026, 2, 14), dt.datetime(2026, 3, 21)),
            ]
        ),
        st.integers(0, 3000),
    ),
).map(lambda moment: moment.replace(tzinfo=UTC))


@settings(max_examples=150, deadline=None)
@given(expressions, st.sampled_from(ZONES), moments, st.integers(0, 4000))
@example("0 0 * * *", "Pacific/Apia", at(2011, 12, 29), 4000)
@example("*/20 * * * *", "America/St_Johns", at(2010, 11, 6, 12), 1500)
@example("*/20 * * * *", "America/St_Johns", at(2010, 11, 7, 2, 30), 60)
@example("*/20 * * * *", "America/St_Johns", at(2010, 11, 7, 2, 0), 50)
@example("30 0-3 * * *", "America/Havana", at(2026, 3, 8), 1500)
@example("*/20 0 * * *", "America/Havana", at(2026, 11, 1), 1500)
@example("0 2 * * *", "Australia/Lord_Howe", at(2026, 10, 3), 1500)
def test_schedules_are_due_when_the_wall_clock_says_so(
    expression: str, zone: str, after: dt.datetime, minutes: int
) -> None:
    try:
        schedule = cron(expression, timezone=zone)
    except DefinitionError:
        assume(False)
    until = after + dt.timedelta(minutes=minutes)
    assert due_between(schedule, after, until) == by_the_minute(expression, zoneinfo.ZoneInfo(zone), after, until)


@settings(max_examples=100, deadline=None)
@given(expressions, st.sampled_from(ZONES), moments, st.integers(1, 5))
def test_the_next_and_the_latest_are_those_of_the_list(
    expression: str, zone: str, after: dt.datetime, count: int
) -> None:
    try:
        timing = read_timing(cron(expression, timezone=zone), 0)
    except DefinitionError:
        assume(False)
    begin, end = after.timestamp(), after.timestamp() + 40 * 86400
    between = timing.between(begin, end)
    following = timing.next(begin)
    assert following is not None
    assert following == between[0] if between else following > end
    assert timing.latest(begin, end, count) == between[-count:]
    cut = begin + 20 * 86400
    assert timing.between(begin, cut) + timing.between(cut, end) == between


@settings(max_examples=150, deadline=None)
@given(expressions, st.integers(1_100_000_000, 1_900_000_000))
def test_in_utc_croniter_agrees(expression: str, start: int) -> None:
    croniter = pytest.importorskip("croniter").croniter
    try:
        timing = read_timing(cron(expression), 0)
    except DefinitionError:
        assume(False)
    other, mine = croniter(expression, float(start)), float(start)
    for _ in range(5):
        following = timing.next(mine)
        assert following == other.get_next(float)
        mine = following


def test_a_time_that_the_clocks_leave_out_means_the_first_moment_after_it() -> None:
    daily = cron("30 2 * * *", timezone="Europe/Berlin")
    assert walls(daily, at(2026, 3, 28), at(2026, 3, 31)) == ["28 02:30+0100", "29 03:00+0200", "30 02:30+0200"]
    each_minute = cron("* 2 * * *", timezone="Europe/Berlin")
    assert walls(each_minute, at(2026, 3, 28, 12), at(2026, 3, 29, 12)) == ["29 03:00+0200"]


def test_a_time_that_comes_twice_means_the_first() -> None:
    daily = cron("30 2 * * *", timezone="Europe/Berlin")
    assert walls(daily, at(2026, 10, 24, 12), at(2026, 10, 26)) == ["25 02:30+0200"]


def test_every_hour_is_each_hour_there_is() -> None:
    hourly = cron("30 * * * *", timezone="Europe/Berlin")
    assert walls(hourly, at(2026, 3, 29, 0), at(2026, 3, 29, 2)) == ["29 01:30+0100", "29 03:30+0200"]
    assert walls(hourly, at(2026, 10, 24, 23), at(2026, 10, 25, 3)) == [
        *("25 01:30+0200", "25 02:30+0200", "25 02:30+0100", "25 03:30+0100"),
    ]


def test_the_29th_of_february_is_waited_for() -> None:
    timing = read_timing(cron("0 0 29 2 *"), 0)
    assert timing.next(at(2096, 3, 1).timestamp()) == at(2104, 2, 29).timestamp()
    assert timing.latest(at(2090, 1, 1).timestamp(), at(2104, 1, 1).timestamp(), 3) == [
        at(2092, 2, 29).timestamp(),
        at(2096, 2, 29).timestamp(),
    ]


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        ("PT5M", ["2026-02-01T00:05:00", "2026-03-01T00:05:00"]),
        ("-PT0.5S", ["2026-01-31T23:59:59.500000", "2026-02-28T23:59:59.500000"]),
        ("P1D", ["2026-02-02T00:00:00", "2026-03-02T00:00:00"]),
        ("-P1D", ["2026-01-31T00:00:00", "2026-02-28T00:00:00"]),
        ("P1M1DT1H", ["2026-02-02T01:00:00", "2026-03-02T01:00:00"]),
        ("-P1Y", ["2026-02-01T00:00:00", "2026-03-01T00:00:00"]),
    ],
)
def test_an_offset_moves_each_moment(offset: str, expected: list[str]) -> None:
    found = due_between(cron("0 0 1 * *", offset=offset), at(2026, 1, 20), at(2026, 3, 15))
    assert [moment.replace(tzinfo=None).isoformat() for moment in found] == expected


def test_months_end_where_they_end() -> None:
    monthly = cron("0 0 29,30,31 1 *", offset="P1M")
    assert due_between(monthly, at(2026, 1, 1), at(2026, 12, 1)) == [at(2026, 2, 28)]
    assert due_between(monthly, at(2024, 1, 1), at(2024, 12, 1)) == [at(2024, 2, 29)]


@given(st.integers(1, 5000), st.integers(0, 10**9), st.integers(0, 10**6), st.integers(0, 10**7))
def test_a_rate_counts_from_its_start(minutes: int, start: int, wait: int, length: int) -> None:
    timing = read_timing(FixedRate(dt.timedelta(minutes=minutes)).to_json(), float(start))
    begin, end = float(start + wait), float(start + wait + length)
    step = minutes * 60
    expected = [float(m) for m in range(start + step, int(end) + 1, step) if m > begin] if length < 10**6 else None
    if expected is not None:
        assert timing.between(begin, end) == expected
        assert timing.latest(begin, end, 3) == expected[-3:]
    following = timing.next(begin)
    assert following is not None and begin < following <= max(begin, float(start)) + step


def test_catching_up() -> None:
    day, hour = 86400.0, 3600.0
    none, latest, every = (
        read_timing(cron("0 * * * *", catch_up=how), 0)
        for how in ("none", "latest", "all")  # type: ignore[arg-type]
    )
    now = 10 * day + 0.5 * hour
    assert none.to_run(now - 5 * hour, now) == []
    assert latest.to_run(now - 5 * hour, now) == [10 * day]
    assert every.to_run(now - 5 * hour, now) == [10 * day - number * hour for number in (4, 3, 2, 1, 0)]
    assert len(every.to_run(0, now)) == CATCH_UP_LIMIT
    # what is late by seconds was not missed
    assert none.to_run(now - 5 * hour, 10 * day + 5) == [10 * day]
    minutely = read_timing(cron("* * * * *"), 0)
    assert minutely.to_run(day + 30, day + 125) == [day + 120]
    assert minutely.to_run(day + 30, day + 119) == [day + 60]
    assert minutely.to_run(day, day) == minutely.to_run(day, day - 600) == []


@pytest.mark.parametrize(
    "zone", ["Mars/Olympus", "europe", "", "../../etc/passwd", "/etc/localtime", "localtime", "\0", 5]
)
def test_a_zone_must_exist(zone: Any) -> None:
    with pytest.raises(DefinitionError, match="timezone"):
        CronSchedule(schedule="daily", timezone=zone)


@pytest.mark.parametrize("how", ["every", None, True, "ALL"])
def test_a_way_to_catch_up_must_exist(how: Any) -> None:
    with pytest.raises(DefinitionError, match="none or latest or all"):
        CronSchedule(schedule="daily", catch_up=how)
    with pytest.raises(DefinitionError, match="none or latest or all"):
        FixedRate(dt.timedelta(hours=1), catch_up=how)


def test_what_was_said_is_kept() -> None:
    schedule = CronSchedule(schedule="daily", timezone="Asia/Tokyo", catch_up="all")
    assert schedule.to_json() == {"kind": "cron", "schedule": "daily", "timezone": "Asia/Tokyo", "catch_up": "all"}
    assert FixedRate(dt.timedelta(hours=1), catch_up="none").to_json() == {
        "kind": "rate",
        "minutes": 60,
        "catch_up": "none",
    }


@pytest.mark.parametrize("offset", ["P11Y", "P4000D", "PT99999999999999H", "P1Y9999999999999999999M"])
def test_an_offset_has_an_end(offset: str) -> None:
    with pytest.raises(DefinitionError, match="ten years"):
        CronSchedule(schedule="daily", offset=offset)


def test_an_expression_that_never_comes_true_is_refused_however_it_is_written() -> None:
    with pytest.raises(DefinitionError, match="no such day"):
        CronSchedule(schedule="0 0 31 2 0-6")


@pytest.mark.parametrize(
    "schedule",
    [
        *({}, {"kind": "moon"}, {"kind": "rate"}, {"kind": "rate", "minutes": 0}, {"kind": "cron"}),
        *({"kind": "cron", "schedule": "daily", "catch_up": "some"}, {"kind": "rate", "minutes": "5"}),
        *({"kind": "cron", "schedule": "daily", "timezone": "No/Where"},),
    ],
)
def test_a_schedule_of_another_release_is_refused(schedule: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError):
        read_timing(schedule, 0)


def test_times_have_zones() -> None:
    with pytest.raises(UsageError, match="time zone"):
        due_between(cron("daily"), dt.datetime(2026, 1, 1), at(2026, 1, 2))
