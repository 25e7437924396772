"""A long import in parentheses keeps its comments."""

from flytekit import (  # what we use
    # running
    LaunchPlan,
    CronSchedule,  # every day
    task,
    workflow as flow,  # a shorter name
)


@task
def now(kickoff: str) -> str:
    return kickoff


@flow
def daily(kickoff: str) -> str:
    return now(kickoff=kickoff)


PLAN = LaunchPlan.get_or_create(
    daily, name="daily", fixed_inputs={"kickoff": "x"}, schedule=CronSchedule(schedule="0 0 * * *")
)
