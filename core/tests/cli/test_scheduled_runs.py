"""A schedule from the file to the outputs of its run."""

from __future__ import annotations

import datetime as dt
import time
from pathlib import Path

from flytepath.engine.schedules import Ticker
from flytepath.store.events import open_store

FLOW = """
import datetime as dt
from flytepath import ConcurrencyPolicy, CronSchedule, LaunchPlan, task, workflow

@task
def say(name: str, times: int, when: dt.datetime | None) -> str:
    return f"{name} {times} {when:%H:%M %Z}"

@workflow
def wf(name: str, when: dt.datetime | None, times: int = 2) -> str:
    return say(name=name, times=times, when=when)

LaunchPlan.create(
    "nightly", wf, fixed_inputs={"name": "ada"}, auto_activate=True, concurrency=ConcurrencyPolicy(1),
    schedule=CronSchedule(schedule="0 3 * * *", timezone="Asia/Tokyo", kickoff_time_input_arg="when"),
)
"""


def test_a_scheduled_run_gives_its_outputs(cli) -> None:
    cli.write("flow.py", FLOW)
    cli.run("register", "flow.py", "--version", "v1")
    (cli.folder / "flow.py").unlink()
    tomorrow = time.time() + 86400
    with open_store(Path(cli.home)) as store:
        (execution,) = Ticker(store).begin(tomorrow)
        assert Ticker(store).begin(tomorrow) == []
        assert Ticker(store).begin(tomorrow + 86400) == []  # the first still runs
    view = cli.json("executions", "resume", execution)
    assert view["status"] == "succeeded", view
    assert [value["data"] for value in view["outputs"].values()] == ["ada 2 18:00 UTC"]
    with open_store(Path(cli.home)) as store:
        created = store.read(execution)[0].payload
        assert (created.plan, created.workflow, created.workflow_version) == ("nightly", "nightly", "v1")
        assert dt.datetime.fromtimestamp(created.scheduled_at, dt.UTC).hour == 18
