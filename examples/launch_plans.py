"""Launch plans: a workflow with inputs that are given, and when and how it is to be run.

    flytepath run examples/launch_plans.py in_oslo
    flytepath run examples/launch_plans.py nightly --city Lima
    flytepath run examples/launch_plans.py all_cities
    flytepath register examples/launch_plans.py

What it shows:

- ``fixed_inputs`` that nobody can change, and ``default_inputs`` in place of the workflow's own;
- schedules: ``CronSchedule``, which hands the moment to an input, and ``FixedRate``;
- who is told how a run ended, labels, and how many runs may overlap;
- a launch plan is called in a workflow, and mapped, like a task.

A schedule is kept with the registered launch plan; a later version of FlytePath will start runs by it.
"""

from __future__ import annotations

import datetime as dt
import math
from functools import partial

from flytepath import (
    ConcurrencyPolicy,
    CronSchedule,
    Email,
    FixedRate,
    Labels,
    LaunchPlan,
    Slack,
    WorkflowExecutionPhase,
    map_task,
    task,
    workflow,
)

#: Degrees of latitude.
LATITUDES = {"Oslo": 59.91, "Lima": -12.05, "Nairobi": -1.29}


@task
def daylight(city: str, day: dt.datetime) -> float:
    """Hours of daylight, by the usual approximation."""
    tilt = math.radians(-23.44) * math.cos(2 * math.pi * (day.timetuple().tm_yday + 10) / 365)
    across = -math.tan(math.radians(LATITUDES[city])) * math.tan(tilt)
    return round(24 / math.pi * math.acos(max(-1.0, min(1.0, across))), 2)


@workflow
def report(city: str = "Nairobi", day: dt.datetime = dt.datetime(2024, 6, 20)) -> float:
    """Daylight in a city."""
    return daylight(city=city, day=day)


in_oslo = LaunchPlan.get_or_create(report, "in_oslo", fixed_inputs={"city": "Oslo"})

nightly = LaunchPlan.get_or_create(
    report,
    "nightly",
    default_inputs={"city": "Oslo"},
    schedule=CronSchedule(schedule="0 3 * * *", kickoff_time_input_arg="day"),
    notifications=[
        Email(phases=[WorkflowExecutionPhase.FAILED], recipients_email=["garden@example.com"]),
        Slack(phases=[WorkflowExecutionPhase.SUCCEEDED], recipients_email=["channel@example.com"]),
    ],
    labels=Labels({"team": "garden"}),
    concurrency=ConcurrencyPolicy(max_concurrency=1),
)

every_hour = LaunchPlan.get_or_create(report, "every_hour", schedule=FixedRate(duration=dt.timedelta(hours=1)))


@workflow
def all_cities() -> tuple[float, list[float]]:
    """The launch plan once by itself, and another for every city."""
    return in_oslo(), map_task(partial(nightly, day=dt.datetime(2024, 12, 21)))(city=list(LATITUDES))
