"""``flytepath engine start``: what nobody drives is driven; a signal hands it on, a second one ends it at once."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from flytepath import FlytePath
from flytepath.store.events import open_store

FLOW = """
    import pathlib, time
    from flytepath import eager, task, workflow

    @task
    def double(x: int) -> int:
        print("doubling", x)
        return 2 * x

    @task
    def wait(mark: str, x: int) -> int:
        pathlib.Path(mark + ".began").open("a").write("x")
        print("waiting for", x)
        while not pathlib.Path(mark).exists():
            time.sleep(0.01)
        return x

    @eager
    async def calling(mark: str, x: int) -> int:
        return double(x=wait(mark=mark, x=x))

    @workflow
    def wf(x: int = 3) -> int:
        return double(x=x)

    @workflow
    def waiting(mark: str, x: int = 1) -> int:
        return double(x=wait(mark=mark, x=x))

    @workflow
    def eagerly(mark: str, x: int = 1) -> int:
        return calling(mark=mark, x=x)
"""


class Engines:
    """Engine processes on one home, ended with the test however that ends."""

    def __init__(self, cli: Any, until: Any) -> None:
        self.cli = cli
        self.until = until
        self.running: list[subprocess.Popen[str]] = []
        cli.write("flow.py", FLOW)

    def start(self, *options: str) -> subprocess.Popen[str]:
        engine: subprocess.Popen[str] = self.cli.start("engine", "start", "--slots", "2", *options)
        self.running.append(engine)
        assert engine.stderr is not None
        assert "slots" in engine.stderr.readline()
        return engine

    def begin(self, *arguments: str) -> str:
        return str(self.cli.run("run", "--detach", "flow.py", *arguments).stdout.strip().splitlines()[-1])

    def end(self, engine: subprocess.Popen[str], *signals: int) -> tuple[int, str]:
        """Send signals and wait for the end; its status and what it said."""
        for number in signals:
            engine.send_signal(number)
        _, said = engine.communicate(timeout=60)
        return engine.returncode, said

    def status(self, execution: str) -> str:
        with FlytePath(home=self.cli.home, engine=False) as platform:
            return platform.get(execution).status

    def outputs(self, execution: str) -> Any:
        """The outputs of an execution that some engine drives to its end."""
        with FlytePath(home=self.cli.home, engine=False) as platform:
            return platform.wait(execution, 60).outputs

    def events(self, execution: str) -> list[str]:
        with open_store(self.cli.home) as store:
            return [event.payload.type for event in store.read(execution)]


@pytest.fixture
def engines(cli: Any, until: Any) -> Iterator[Engines]:
    made = Engines(cli, until)
    yield made
    for engine in made.running:
        if engine.poll() is None:
            engine.kill()
        engine.communicate(timeout=60)


def test_what_is_begun_elsewhere_is_driven_and_what_runs_beside_is_shown(engines: Engines) -> None:
    engine = engines.start()
    execution = engines.begin("wf", "--x", "4")
    assert engines.outputs(execution) == {"o0": 8}
    done = engines.cli.run("run", "flow.py", "wf", "--x", "5")
    assert "doubling 5" in done.stdout + done.stderr
    assert "10" in done.stdout
    status, said = engines.end(engine, signal.SIGTERM)
    assert status == 0
    assert "draining: 0 executions" in said
    assert said.endswith("the engine has drained\n")


@pytest.mark.parametrize("workflow", ["waiting", pytest.param("eagerly", marks=pytest.mark.proof)])
def test_a_signal_lets_what_runs_end_and_another_engine_goes_on(engines: Engines, workflow: str) -> None:
    """An eager task, which waits for its calls, is handed on with what its calls gave."""
    mark = engines.cli.folder / "mark"
    first = engines.start()
    execution = engines.begin(workflow, "--mark", str(mark))
    engines.until(lambda: mark.with_name("mark.began").exists(), "the task began")
    first.send_signal(signal.SIGTERM)
    assert first.stderr is not None
    assert "draining: 1 execution to be handed on" in first.stderr.readline()
    second = engines.start()
    mark.touch()
    status, said = engines.end(first)
    assert status == 0, said
    assert "the engine has drained" in said
    assert engines.outputs(execution) == {"o0": 2}
    assert mark.with_name("mark.began").read_text() == "x"
    assert engines.events(execution).count("attempt_lost") == (workflow == "eagerly")
    assert engines.events(execution).count("execution_owned") == 2
    assert engines.end(second, signal.SIGINT)[0] == 0


def test_a_second_signal_ends_it_and_nothing_is_lost(engines: Engines) -> None:
    mark = engines.cli.folder / "mark"
    engine = engines.start()
    execution = engines.begin("waiting", "--mark", str(mark))
    engines.until(lambda: mark.with_name("mark.began").exists(), "the task began")
    engine.send_signal(signal.SIGTERM)
    assert engine.stderr is not None
    assert "draining" in engine.stderr.readline()
    status, said = engines.end(engine, signal.SIGTERM)
    assert status == 1
    assert "goes on elsewhere" in said
    assert "Traceback" not in said
    assert "attempt_failed" not in engines.events(execution)
    mark.touch()
    engines.cli.run("executions", "resume", execution)
    assert engines.outputs(execution) == {"o0": 2}
    assert engines.events(execution).count("attempt_lost") == 1


@pytest.mark.proof
def test_the_time_to_drain_is_limited(engines: Engines) -> None:
    mark = engines.cli.folder / "mark"
    engine = engines.start("--grace", "0.2")
    execution = engines.begin("waiting", "--mark", str(mark))
    engines.until(lambda: mark.with_name("mark.began").exists(), "the task began")
    assert engines.end(engine, signal.SIGTERM)[0] == 1
    assert engines.status(execution) == "running"
