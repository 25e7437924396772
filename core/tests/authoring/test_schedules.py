from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from flytepath.authoring.declared.schedules import CronSchedule, FixedRate, cron_fields, schedule_from_json
from flytepath.authoring.launch_plan import LaunchPlan
from flytepath.authoring.workflow import workflow
from flytepath.errors import DefinitionError, LaunchPlanError
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    "expression",
    [
        *("* * * * *", "*/5 * * * *", "0 0 1,15 * *", "0 9-17/2 * * MON-FRI", "0 0 ? * fri-sun", "5/20 * * * *"),
        *("0 0 29 2 *", "0 0 31 2 mon", "0 0 * jan,dec 7", "59 23 31 12 *", "hourly", "@daily", "weeks", "@annually"),
        *("@midnight", "  daily  ", "Months"),
    ],
)
def test_expressions_of_cron_are_taken(expression: str) -> None:
    schedule = CronSchedule(schedule=expression)
    assert schedule_from_json(schedule.to_json()) == schedule


@pytest.mark.parametrize(
    "expression",
    [
        *(
            "",
            "   ",
            "* * * *",
            "* * * * * *",
            "0 0 * * * * 2026",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * 32 * *",
        ),
        *(
            "* * * 13 *",
            "* * * * 8",
            "*/0 * * * *",
            "5-1 * * * *",
            "1- * * * *",
            "a * * * *",
            "@reboot",
            "week",
            "?? * * * *",
        ),
        *(
            "? * * * *",
            "0 0 31 2 *",
            "0 0 31 4,6,9,11 *",
            "* * * foo *",
            "-1 * * * *",
            "1,,2 * * * *",
            "*-5 * * * *",
            "٣ * * * *",
        ),
    ],
)
def test_what_is_not_cron_is_refused(expression: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        CronSchedule(schedule=expression)
    assert caught.value.place == "CronSchedule(schedule)"


@pytest.mark.parametrize("expression", [None, 5, ["* * * * *"]])
def test_an_expression_is_text(expression: Any) -> None:
    with pytest.raises(DefinitionError, match="schedule"):
        CronSchedule(schedule=expression)


def test_the_old_dialect_has_a_hint() -> None:
    with pytest.raises(DefinitionError, match="five fields"):
        CronSchedule(cron_expression="0 10 * * ? *")
    with pytest.raises(DefinitionError, match="no seconds"):
        CronSchedule(schedule="0 0 10 * * *")


def test_fields_name_the_moments() -> None:
    minutes, hours, days, months, weekdays = cron_fields("10-20/5 */12 1 feb,3 sun,5-7")
    assert sorted(minutes) == [10, 15, 20]
    assert sorted(hours) == [0, 12]
    assert (sorted(days), sorted(months), sorted(weekdays)) == ([1], [2, 3], [0, 5, 6])
    assert sorted(cron_fields("0 0 * * fri-sun")[4]) == [0, 5, 6]
    assert sorted(cron_fields("0 0 * * 3/2")[4]) == [3, 5]


@pytest.mark.parametrize("offset", ["PT5M", "P1D", "P1DT2H", "-PT30S", "P2W", "PT0.5S"])
def test_an_offset_is_a_duration(offset: str) -> None:
    assert CronSchedule(schedule="daily", offset=offset).to_json()["offset"] == offset


@pytest.mark.parametrize("offset", ["1D", "P", "PT", "5 minutes", "", 5, "P1DT"])
def test_what_is_no_duration_is_refused(offset: Any) -> None:
    with pytest.raises(DefinitionError, match="offset"):
        CronSchedule(schedule="daily", offset=offset)


@given(st.integers(1, 10**6), st.one_of(st.none(), st.just("kickoff")))
def test_json_keeps_a_rate(minutes: int, argument: str | None) -> None:
    rate = FixedRate(dt.timedelta(minutes=minutes), argument)
    assert schedule_from_json(rate.to_json()) == rate


@pytest.mark.parametrize(
    "duration",
    [
        dt.timedelta(),
        dt.timedelta(seconds=90),
        dt.timedelta(minutes=-1),
        60,
        "1h",
        dt.timedelta(minutes=1, microseconds=1),
    ],
)
def test_a_rate_is_whole_minutes(duration: Any) -> None:
    with pytest.raises(DefinitionError, match="duration"):
        FixedRate(duration)


def test_an_unknown_kind_of_schedule_is_refused() -> None:
    with pytest.raises(DefinitionError, match="moon"):
        schedule_from_json({"kind": "moon"})


@workflow
def dated(day: dt.date = dt.date(2026, 1, 1), when: dt.datetime | None = None) -> None: ...


def test_the_input_that_is_given_the_time_is_a_datetime() -> None:
    rate = FixedRate(dt.timedelta(hours=1), "when")
    assert LaunchPlan("timely", dated, schedule=rate).schedule == rate
    with pytest.raises(LaunchPlanError, match="no datetime") as caught:
        LaunchPlan("untimely", dated, schedule=FixedRate(dt.timedelta(hours=1), "day"))
    assert caught.value.place == "untimely(day)"
