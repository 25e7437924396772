"""Python tasks on a backend that runs workers: code, inputs, outputs, decks, errors and checkpoints go through blobs."""

from __future__ import annotations

import importlib
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flytepath import FlytePath

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "core" / "tests" / "plugin"))

from fake_distributions import Distributions
from flytepath.plugin import manager as managers

DEADLINE = 120.0

MANIFEST = """
    @hookimpl
    def flytepath_backends():
        return [BackendDeclaration(
            name="process", backend="flytepath.testing.process_backend:ProcessBackend",
            settings="flytepath.testing.process_backend:ProcessSettings", idempotency="B", runs_workers=True,
            array_limit=100, name_limit=40, poll=PollPolicy(first=0.05, longest=0.5))]
"""

FLOW = """
    from __future__ import annotations

    import os
    import signal
    from dataclasses import dataclass
    from pathlib import Path

    from flytepath import (
        Deck, FlyteFile, Secret, current_context, dynamic, eager, map_task, task, workflow
    )
    from worker_steps import times


    @dataclass
    class Point:
        x: int
        y: float


    @task(environment={"FACTOR": "3"})
    def scaled(x: int) -> int:
        return times(x, int(os.environ["FACTOR"]))

    @task
    def where(x: int) -> list[str]:
        context = current_context()
        return [str(os.getppid()), context.execution_id.name, context.node_path, str(context.code_path)]

    @task
    def broken(x: int) -> int:
        print("about to break")
        raise ValueError(f"no {x} today")

    @task(enable_deck=True)
    def decked(x: int) -> int:
        Deck("report", f"<p>seen {x}</p>")
        if x < 0:
            raise ValueError("negative")
        return x

    @task(retries=1)
    def once_more(x: int) -> int:
        if current_context().attempt == 1:
            raise ValueError("not yet")
        return x

    @task(retries=1)
    def goes_on(x: int) -> int:
        checkpoint = current_context().checkpoint
        found = checkpoint.load()
        if found is None:
            checkpoint.save({"step": 7}, step=7)
            raise ValueError("broke at 7")
        return found["step"]

    @task
    def killed(x: int) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return x

    @task
    def file_of(text: str) -> FlyteFile:
        path = Path(current_context().working_directory) / "a.txt"
        path.write_text(text)
        return FlyteFile(path)

    @task(backend="local")
    def read_here(file: FlyteFile) -> str:
        return Path(file).read_text()

    @task
    def read_there(file: FlyteFile, point: Point) -> Point:
        return Point(len(Path(file).read_text()), point.y / 2)

    @task
    def odd_only(x: int) -> int:
        if x % 2 == 0:
            raise ValueError(f"{x} is even")
        return x * 10

    @task
    def leaves(x: int) -> int:
        os._exit(0)
        return x

    @task(secret_requests=[Secret("db", "password")])
    def tells(x: int) -> int:
        password = current_context().secrets.get("db", "password")
        print("the password is", password)
        raise ValueError(f"refused: {password}")

    @task
    def sleeps(seconds: float) -> float:
        import time
        time.sleep(seconds)
        return seconds

    @workflow
    def chain(x: int) -> int:
        return scaled(x=scaled(x=x))

    @workflow
    def files(text: str) -> tuple[str, Point]:
        made = file_of(text=text)
        return read_here(file=made), read_there(file=made, point=Point(1, 5.0))

    @workflow
    def over(xs: list[int]) -> list[int]:
        return map_task(scaled)(x=xs)

    @workflow
    def over_odd(xs: list[int]) -> list[int | None]:
        return map_task(odd_only, min_success_ratio=0.5)(x=xs)

    @dynamic
    def grown(n: int) -> list[int]:
        return [scaled(x=x) for x in range(n)]

    @workflow
    def growing(n: int) -> list[int]:
        return grown(n=n)

    @eager
    async def eagerly(x: int) -> int:
        return scaled(x=x) + 1

    @workflow
    def here(x: int) -> int:
        return scaled(x=x).with_overrides(backend="local")

    @workflow
    def limited(seconds: float) -> float:
        return sleeps(seconds=seconds).with_overrides(timeout=2)
"""
STEPS = """
    def times(x: int, factor: int) -> int:
        return x * factor
"""


class Platform:
    """A platform of this process whose Python tasks run as jobs of the process backend."""

    def __init__(self, api: FlytePath, flows: Any, jobs: Path, work: Path) -> None:
        self.api, self.flows, self.jobs, self.work = api, flows, jobs, work

    def run(self, name: str, **inputs: Any) -> Any:
        return self.api.wait(self.begin(name, **inputs), DEADLINE)

    def begin(self, name: str, **inputs: Any) -> Any:
        return self.api.execute(getattr(self.flows, name), inputs)

    def kinds(self, execution: Any) -> list[str]:
        return [event.payload.type for event in self.api.events(execution)]


def until(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    home, jobs = tmp_path / "home", tmp_path / "jobs"
    home.mkdir()
    jobs.mkdir()
    fakes = Distributions(tmp_path / "site", home)
    fakes.add("process", MANIFEST)
    fakes.configure(
        f"""
        [store]
        blobs = "{tmp_path / "shared"}"
        [task_backends]
        python = "process"
        [backends.process]
        folder = "{jobs}"
        """
    )
    for name, text in (("worker_flow", FLOW), ("worker_steps", STEPS)):
        (fakes.work / f"{name}.py").write_text(textwrap.dedent(text))
    for name, value in fakes.environment(FLYTEPATH_SECRET_DB_PASSWORD="swordfish-42").items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(str(fakes.folder))
    monkeypatch.syspath_prepend(str(fakes.work))
    monkeypatch.chdir(fakes.work)
    before = managers.set_current(None)
    try:
        flows = importlib.import_module("worker_flow")
        with FlytePath(home=home) as api:
            yield Platform(api, flows, jobs, fakes.work)
    finally:
        managers.set_current(before)
        for name in ("worker_flow", "worker_steps"):
            monkeypatch.delitem(sys.modules, name, raising=False)
    until(lambda: not list(jobs.iterdir()))


def test_code_inputs_and_outputs_go_there_and_back(platform: Platform) -> None:
    assert platform.run("chain", x=7).outputs == {"o0": 63}
    assert platform.flows.chain(x=7) == 63


def test_files_and_values_pass_between_here_and_there(platform: Platform) -> None:
    ended = platform.run("files", text="hello")
    assert ended.outputs["o0"] == "hello"
    assert ended.outputs["o1"] == platform.flows.Point(5, 2.5)
