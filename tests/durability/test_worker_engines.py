"""Engines that are real processes end at every moment in the life of a worker's job; each attempt runs once."""

from __future__ import annotations

import importlib
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from durable_home import HERE, SCOPE, DurableHome, check_everything
from fake_distributions import Distributions
from flytepath import FlytePath
from flytepath.plugin import manager as managers

Homes = Callable[[str], DurableHome]

MANIFEST = """
    @hookimpl
    def flytepath_backends():
        return [BackendDeclaration(
            name="process", backend="flytepath.testing.process_backend:ProcessBackend",
            settings="flytepath.testing.process_backend:ProcessSettings", idempotency="B", runs_workers=True,
            array_limit=4, name_limit=40, visibility_seconds=0.5, call_seconds=20.0,
            poll=PollPolicy(first=0.05, longest=0.3))]
"""
#: Each event in the life of a job, and of the attempts that end with it.
STEPS = (
    "attempt_started",
    "job_planned",
    "job_submitting",
    "job_submitted",
    "job_observed",
    "job_collected",
    "job_ended",
    "node_succeeded",
)


@contextmanager
def workers_for(home: DurableHome, patch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The process backend installed for the engines of a home, and for this process."""
    fakes = Distributions(home.folder / "site", home.home)
    fakes.add("process", MANIFEST)
    jobs = home.folder / "jobs"
    jobs.mkdir()
    (home.folder / "durable_worker_flow.py").write_text((HERE / "durable_worker_flow.py").read_text())
    (home.folder / "flytepath.toml").write_text(
        f'[store]\nblobs = "{home.folder / "shared"}"\n'
        f'[task_backends]\npython = "process"\n[backends.process]\nfolder = "{jobs}"\n'
    )
    for name, value in fakes.environment().items():
        patch.setenv(name, value)
    patch.syspath_prepend(str(fakes.folder))
    patch.syspath_prepend(str(home.folder))
    patch.chdir(home.folder)
    before = managers.set_current(None)
    try:
        yield importlib.import_module("durable_worker_flow")
    finally:
        sys.modules.pop("durable_worker_flow", None)
        managers.set_current(before)
    home.until(lambda: not list(jobs.iterdir()), "no job is left", 40)


def asked(home: DurableHome, entity: Any, inputs: list[dict[str, Any]]) -> list[str]:
    """Ask for executions that engines elsewhere drive."""
    with FlytePath(home=home.home, engine=False) as platform:
        return [platform.execute(entity, each).id for each in inputs]


def ended(home: DurableHome, executions: list[str], seconds: float = 150) -> None:
    home.until(lambda: all(home.client.store.status(each) != "running" for each in executions), "all ended", seconds)


def outputs(home: DurableHome, executions: list[str]) -> list[Any]:
    views = [home.client.execution(SCOPE, each) for each in executions]
    assert [view.status for view in views] == ["succeeded"] * len(views), home.story()
    return [view.outputs["o0"].data for view in views]


def one_end(home: DurableHome, patch: pytest.MonkeyPatch, kind: str, when: str, number: int = 1) -> None:
    """An engine ends at an event; another goes on from there."""
    with workers_for(home, patch) as flow:
        executions = asked(home, flow.two, [{"x": 1}]) + asked(home, flow.fan, [{"xs": [1, 2, 3, 4, 5]}])
        first = home.engine(CRASH=f"{kind}:{number}:{when}", LEASE_SECONDS="2")
        assert home.ended(first) == -signal.SIGKILL
        second = home.engine(LEASE_SECONDS="2")
        ended(home, executions)
        assert outputs(home, executions) == [3, [2, 3, 4, 5, 6]]
        lines = home.lines()
        assert len(lines) == len(set(lines)) == 7, lines
        home.end(second)
        check_everything(home)


@pytest.mark.parametrize(
    ("kind", "when"), [("job_planned", "after"), ("job_submitted", "before"), ("job_collected", "before")]
)
def test_an_engine_that_ends_in_the_life_of_a_job_is_followed_by_another(
    a_home: Homes, monkeypatch: pytest.MonkeyPatch, kind: str, when: str
) -> None:
    one_end(a_home("sqlite"), monkeypatch, kind, when)


@pytest.mark.proof
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("kind", STEPS)
def test_an_engine_may_end_at_every_step(a_home: Homes, monkeypatch: pytest.MonkeyPatch, kind: str, when: str) -> None:
    one_end(a_home("postgres"), monkeypatch, kind, when, number=2)


@pytest.mark.proof
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_two_engines_of_which_one_is_killed_over_and_over(
    a_home: Homes, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    home, dice = a_home(kind), random.Random(11)
    with workers_for(home, monkeypatch) as flow:
        engines = [home.engine(LEASE_SECONDS="2") for _ in range(2)]
        executions = asked(home, flow.two, [{"x": number} for number in range(6)])
        executions += asked(home, flow.fan, [{"xs": list(range(10))}])
        for kill in range(3):
            home.until(lambda kill=kill: len(home.lines()) > 4 * kill, "tasks run", 120)
            time.sleep(dice.uniform(0, 0.5))  # not to wait for anything, but to hit another moment each time
            engines[0].send_signal(signal.SIGKILL)
            engines.pop(0).wait()
            engines.append(home.engine(LEASE_SECONDS="2"))
        ended(home, executions, 300)
        assert outputs(home, executions) == [*(number + 2 for number in range(6)), [x + 1 for x in range(10)]]
        lines = home.lines()
        assert len(lines) == len(set(lines)) == 22
        home.end(*engines)
        check_everything(home)
