"""An engine that dies at any moment costs nothing: same outputs, no event lost, nothing that succeeded runs again."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from durable_flow import EVERYTHING
from durable_home import SCOPE, DurableHome, Moment, check_everything, outputs
from flytepath.errors import FlytePathError

Homes = Callable[[str], DurableHome]


def answered(home: DurableHome, execution: str) -> None:
    home.answer_gates(execution)


def aborted(home: DurableHome, execution: str) -> None:
    """Ask once, when the slow task runs."""
    payloads = [event.payload for event in home.events(execution)]
    runs = any(each.type == "attempt_started" and each.node == "n1" for each in payloads)
    asked = any(each.type == "abort_requested" for each in payloads) or home.client.store.inbox(execution)
    if runs and not asked:
        home.client.abort(SCOPE, execution, "enough")


def paused(home: DurableHome, execution: str) -> None:
    """Pause once, when the slow task runs, and go on when it is paused."""
    state = home.state(execution)
    if state.status.is_final or home.client.store.inbox(execution):
        return
    payloads = [event.payload for event in home.events(execution)]
    runs = any(each.type == "attempt_started" and each.node == "n1" for each in payloads)
    try:
        if state.paused is not None:
            home.client.unpause(SCOPE, execution)
        elif runs and not any(each.type == "execution_paused" for each in payloads):
            home.client.pause(SCOPE, execution, "lunch")
    except FlytePathError:
        return  # it was quicker


def left_alone(home: DurableHome, execution: str) -> None:
    """Nobody asks for anything."""


@dataclass(frozen=True)
class Scenario:
    """A run, what people do meanwhile, and how it ends."""

    arguments: tuple[str, ...]
    meanwhile: Callable[[DurableHome, str], None]
    status: str
    outputs: tuple[int, ...] = ()
    kinds: tuple[str, ...] = ()


SCENARIOS = {
    "everything": Scenario(
        ("durable_flow.py", "everything", "--x", "5"),
        answered,
        "succeeded",
        EVERYTHING,
        (
            "execution_created",
            "execution_owned",
            "attempt_started",
            "items_started",
            "items_succeeded",
            "attempt_failed",
            "node_expanded",
            "call_started",
            "gate_opened",
            "signal_received",
            "handler_started",
            "node_succeeded",
            "node_failed",
            "node_skipped",
            "deck_written",
            "log_written",
            "execution_succeeded",
        ),
    ),
    "unlucky": Scenario(
        ("durable_flow.py", "unlucky", "--x", "1"),
        left_alone,
        "failed",
        kinds=("attempt_failed", "node_failed", "handler_started", "node_skipped", "execution_failed"),
    ),
    "aborted": Scenario(
        ("durable_flow.py", "lasting", "--x", "1", "--seconds", "60"),
        aborted,
        "aborted",
        kinds=("abort_requested", "execution_aborted"),
    ),
    "paused": Scenario(
        ("durable_flow.py", "lasting", "--x", "1", "--seconds", "1"),
        paused,
        "succeeded",
        (4,),
        kinds=("execution_paused", "execution_continued"),
    ),
    "overdue": Scenario(
        ("--timeout", "3", "durable_flow.py", "lasting", "--x", "1", "--seconds", "60"),
        left_alone,
        "failed",
        kinds=("deadline_passed", "execution_failed"),
    ),
}

EFFECTS = ("launch", "attempt", "log", "log_file", "cache", "reserve", "command", "graph", "answer", "sweep", "release")


@dataclass
class Run:
    """A scenario on its way through crashes."""

    home: DurableHome
    scenario: Scenario
    execution: str = ""

    def __post_init__(self) -> None:
        self.moments: list[Moment] = []
        self.alone = False

    def crash(self, point: str, how: str = "resume", *, alone: bool = False, **tricks: str) -> None:
        """Drive it until ``point``, where the engine dies; see that its workers die with it."""
        self.alone = alone
        process = self._drive(how, CRASH=point, **tricks)
        assert process.returncode == -signal.SIGKILL, f"it came through without {point}\n{self.home.story()}"
        self.home.gone(self.home.workers())
        self.moments.append(Moment.of(self.home))

    def finish(self, how: str = "resume", *, alone: bool = False) -> None:
        """Drive it to its end, and check everything."""
        self.alone = alone
        process = self._drive(how)
        self.check()
        wanted = 0 if how == "engine" or self.scenario.status == "succeeded" else 1
        assert process.returncode == wanted, self.home.said(process)

    def check(self) -> None:
        """The end is the right one, and nothing was lost or done twice on the way."""
        view = self.home.client.execution(SCOPE, self.execution)
        assert view.status == self.scenario.status, f"{view.error}\n{self.home.story()}"
        if self.scenario.outputs:
            assert tuple(outputs(self.home, self.execution)) == self.scenario.outputs
        for moment in self.moments:
            moment.check_after(self.home)
        self.home.gone(self.home.workers())
        check_everything(self.home)

    def _drive(self, how: str, **tricks: str) -> subprocess.Popen[bytes]:
        if not self.execution:
            process = self.home.start("run", *self.scenario.arguments, **tricks)
        elif how == "engine":
            process = self.home.engine("--no-schedules", **tricks)
        else:
            process = self.home.start("executions", "resume", self.execution, **tricks)
        self.home.until(lambda: self._has_ended(process, how), f"{self.scenario.arguments} with {tricks}")
        return process

    def _has_ended(self, process: subprocess.Popen[bytes], how: str) -> bool:
        if process.poll() is not None:
            self._known()
            return True
        if self._known() and not self.home.client.has_ended(self.execution):
            if not self.alone:
                self.scenario.meanwhile(self.home, self.execution)
        elif self.execution and how == "engine":
            process.terminate()
            self.home.ended(process)
            return True
        return False

    def _known(self) -> str:
        if not self.execution:
            self.execution = next(iter(self.home.executions()), "")
        return self.execution


# A run that is killed again and again, each time at another moment; its gates are answered at LAST.
CHAINS = {
    "sqlite": (
        "execution_created:1:after",
        "execution_owned:1:before",
        "attempt_started:1:after",
        "attempt_lost:1:before",
        "items_succeeded:1:after",  # before anything else can have let all items succeed
        "node_succeeded:1:before",
        "call_started:1:after",
        "effect:log:3:after",
        "execution_succeeded:1:before",
    ),
    "postgres": (
        "execution_owned:1:after",
        "attempt_started:1:before",
        "node_expanded:1:before",
        "items_started:1:after",
        "effect:command:1:before",
    ),
}
LAST = ("signal_received", "effect:command", "execution_succeeded")


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_run_that_is_killed_at_one_moment_after_the_other_ends_right(a_home: Homes, kind: str) -> None:
    run = Run(a_home(kind), SCENARIOS["everything"])
    for point in CHAINS[kind]:
        run.crash(point, alone=not point.startswith(LAST))
    run.finish("engine" if kind == "postgres" else "resume")


def points() -> list[tuple[str, str]]:
    """Every kind of event and every effect, before and after: scenario, moment."""
    whens = ("before", "after")
    events = [(name, f"{kind}:1:{when}") for name, each in SCENARIOS.items() for kind in each.kinds for when in whens]
    later = [("everything", f"{kind}:{number}:{when}") for kind, number in LATER for when in whens]
    return events + later + [("everything", f"effect:{name}:1:{when}") for name in EFFECTS for when in whens]


#: Moments further on, where much is under way.
LATER = (("attempt_started", 8), ("node_succeeded", 10), ("node_succeeded", 25), ("items_succeeded", 3))


@pytest.mark.proof
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
@pytest.mark.parametrize(("name", "point"), points())
def test_a_run_that_is_killed_at_any_moment_ends_right(a_home: Homes, kind: str, name: str, point: str) -> None:
    run = Run(a_home(kind), SCENARIOS[name])
    if kind == "postgres":  # where engines share the server, they share its cache
        point = point.replace("effect:cache", "effect:shared_cache").replace("effect:reserve", "effect:shared_reserve")
    run.crash(point)
    if not run.execution:  # it was never begun: whoever asked asks again
        assert point == "execution_created:1:before"
        run.finish("run")
    elif run.home.client.has_ended(run.execution):
        assert point.startswith(FINAL)
        run.check()
    else:
        run.finish("engine" if kind == "postgres" else "resume")


#: After these, nothing is left to be driven.
FINAL = ("execution_succeeded", "execution_failed", "execution_aborted", "effect:sweep", "effect:release")


@pytest.mark.proof
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_the_loss_of_an_attempt_may_be_lost_itself(a_home: Homes, kind: str, when: str) -> None:
    run = Run(a_home(kind), SCENARIOS["everything"])
    run.crash("attempt_started:3:after")
    run.crash(f"attempt_lost:1:{when}")
    run.finish("engine" if kind == "postgres" else "resume")


@pytest.mark.proof
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
@pytest.mark.parametrize("how", ["resume", "engine"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_an_engine_may_die_while_it_takes_over(a_home: Homes, kind: str, how: str, when: str) -> None:
    run = Run(a_home(kind), SCENARIOS["everything"])
    run.crash("attempt_started:3:after")
    run.crash(f"effect:{'acquire' if how == 'resume' else 'claim'}:1:{when}", how)
    run.finish(how)


@pytest.mark.parametrize(
    ("kind", "when"),
    [
        ("sqlite", "after"),
        pytest.param("sqlite", "before", marks=pytest.mark.proof),
        pytest.param("postgres", "before", marks=pytest.mark.proof),
        pytest.param("postgres", "after", marks=pytest.mark.proof),
    ],
)
def test_an_engine_may_die_around_a_snapshot(a_home: Homes, kind: str, when: str) -> None:
    run = Run(a_home(kind), SCENARIOS["everything"])
    run.crash(f"effect:snapshot:1:{when}", FIRST_AFTER="20")
    assert bool(run.home.client.store.snapshot(run.execution)) == (when == "after")
    run.finish("engine" if kind == "postgres" else "resume")


def test_a_pause_that_was_carried_out_is_not_carried_out_again(a_home: Homes) -> None:
    """The engine dies when the pause is durable, and before the command has left the inbox."""
    run = Run(a_home("sqlite"), SCENARIOS["paused"])
    run.crash("execution_paused:1:after")
    assert run.home.client.store.inbox(run.execution)
    run.finish("resume", alone=True)
    kinds = [event.payload.type for event in run.home.events(run.execution)]
    assert (kinds.count("execution_paused"), kinds.count("execution_continued")) == (1, 1)
