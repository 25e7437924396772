"""A schedule from the file to the outputs of its run."""

from __future__ import annotations

import asyncio
import datetime as dt
import signal
import time
from pathlib import Path

from flytepath.engine.schedules import Ticker
from flytepath.model.identity import Tenant
from flytepath.store.activations import Activations
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
    begun: list[str] = []
    with open_store(Path(cli.home)) as store:
        for now in (tomorrow, tomorrow, tomorrow + 86400):  # the first still runs when the second is due
            asyncio.run(Ticker(store, started=begun.append).tick(now))
    (execution,) = begun
    view = cli.json("executions", "resume", execution)
    assert view["status"] == "succeeded", view
    assert [value["data"] for value in view["outputs"].values()] == ["ada 2 18:00 UTC"]
    with open_store(Path(cli.home)) as store:
        created = store.read(execution)[0].payload
        assert (created.plan, created.workflow, created.workflow_version) == ("nightly", "nightly", "v1")
        assert dt.datetime.fromtimestamp(created.scheduled_at, dt.UTC).hour == 18


def test_engines_start_what_schedules_say_and_drive_it_to_its_end(cli, until) -> None:
    cli.write("flow.py", FLOW)
    cli.run("register", "flow.py", "--version", "v1")
    with open_store(Path(cli.home)) as store:
        # as if it had been activated two days ago, and no engine had run since
        activations = Activations(store.database, lambda: time.time() - 2 * 86400)
        activations.deactivate(Tenant(), "nightly", "ada")
        activations.activate(Tenant(), "nightly", "v1", "ada")
        engines = [cli.start("engine", "start", "--slots", "1") for _ in range(2)]
        try:
            until(lambda: store.executions(state="succeeded"), "a scheduled run succeeds")
            until(
                lambda: (Activations(store.database).done_until(Tenant(), "nightly") or 0) > time.time() - 86400, "it"
            )
        finally:
            for engine in engines:
                engine.send_signal(signal.SIGTERM)
            ends = [engine.communicate(timeout=60)[1] for engine in engines]
        (row,) = store.executions()
        created = store.read(row.id)[0].payload
        assert created.plan == "nightly" and time.time() - 86400 < created.scheduled_at < time.time()
    assert not any("Traceback" in said for said in ends), ends
