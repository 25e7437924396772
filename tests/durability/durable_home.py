"""A home whose engines come and go, and what must be true of its executions whatever happened to them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flytepath.client import LocalClient, Scope
from flytepath.engine.fold import fold
from flytepath.engine.state import ExecutionState
from flytepath.errors import FlytePathError
from flytepath.model.events import Event
from flytepath.model.identity import Tenant
from flytepath.model.literal import Literal
from flytepath.model.types import INTEGER

HERE = Path(__file__).parent
SECONDS = 90.0
SCOPE = Scope(Tenant("default", "development"), "tester")


@dataclass
class DurableHome:
    """A home, its database, and the processes that work on it; every wait has a deadline and says what hung."""

    folder: Path
    database: str = ""
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    _client: LocalClient | None = None

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "durable_flow.py").write_text((HERE / "durable_flow.py").read_text())

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def client(self) -> LocalClient:
        """The one door, from this process; the environment says which database."""
        if self._client is None:
            self._client = LocalClient(self.home, slots=2)
        return self._client

    def environment(self, **more: str) -> dict[str, str]:
        known = {
            "FLYTEPATH_HOME": str(self.home),
            "RAN": str(self.folder / "ran"),
            "DURABILITY_TOKEN": self.token,
            "PYTHONWARNINGS": "",
        }
        if self.database:
            known["FLYTEPATH_DATABASE"] = self.database
        return {**os.environ, **known, **more}

    # --- processes ---

    def start(self, *arguments: str, **tricks: str) -> subprocess.Popen[bytes]:
        """Begin a ``flytepath`` process; ``tricks`` are those of ``crashing.py``."""
        command = [sys.executable, str(HERE / "crashing.py"), *arguments]
        with (self.folder / f"said-{len(self.processes)}").open("wb") as said:
            process = subprocess.Popen(
                command, cwd=self.folder, env=self.environment(**tricks), stdout=said, stderr=said,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        self.processes.append(process)
        return process

    def engine(self, *arguments: str, **tricks: str) -> subprocess.Popen[bytes]:
        """Begin an engine."""
        return self.start("engine", "start", "--slots", "2", *arguments, **tricks)

    def said(self, process: subprocess.Popen[bytes]) -> str:
        """What a process has printed so far."""
        return (self.folder / f"said-{self.processes.index(process)}").read_text(errors="replace")

    def ended(self, process: subprocess.Popen[bytes], seconds: float = SECONDS) -> int:
        """Wait for the end of a process; its status."""
        self.until(lambda: process.poll() is not None, f"process {process.args} ends", seconds)
        return int(process.returncode)

    def end(self, *engines: subprocess.Popen[bytes]) -> None:
        """Tell engines to end, and see that they end well and leave nobody behind."""
        for engine in engines:
            self.until(lambda engine=engine: "slots, store" in self.said(engine), "the engine is up")
            engine.terminate()
        for engine in engines:
            assert self.ended(engine) == 0, self.said(engine)
            assert "Traceback" not in self.said(engine)
        self.gone(self.workers())

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """Kill a process, and only it, and see that its workers do not outlive it."""
        mine = self.workers(process.pid)
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.gone(mine)

    def workers(self, parent: int | None = None) -> set[int]:
        """Every process that stems from one of ours, but is none of those we started; or those of one parent."""
        token = f"DURABILITY_TOKEN={self.token}".encode()
        ours = {process.pid for process in self.processes}
        found = set()
        for each in Path("/proc").iterdir():
            if not each.name.isdigit() or int(each.name) in ours:
                continue
            try:
                stat = (each / "stat").read_text().rpartition(")")[2].split()
                mine = stat[0] != "Z" and token in (each / "environ").read_bytes()
                if mine and parent in (None, int(stat[1])):
                    found.add(int(each.name))
            except OSError:
                continue
        return found

    def gone(self, processes: set[int]) -> None:
        """Wait until none of these processes lives."""
        self.until(lambda: not processes & self.workers(), f"the workers {processes} have died with their engine", 20)

    def close(self) -> None:
        """Leave nothing behind."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()
        for worker in self.workers():
            try:
                os.kill(worker, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if self._client is not None:
            self._client.close()

    # --- waiting ---

    def until(self, condition: Callable[[], Any], what: str, seconds: float = SECONDS) -> Any:
        """Poll until ``condition`` holds; where it does not in time, say how things stand."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = condition()
            if found:
                return found
            time.sleep(0.03)
        raise AssertionError(f"not within {seconds:g} s: {what}\n{self.story()}")

    def story(self) -> str:
        """Everything that may tell why something hangs."""
        told = []
        for process in self.processes[-6:]:
            told.append(f"--- {' '.join(map(str, process.args[2:]))}: {process.poll()}\n{self.said(process)[-1500:]}")
        try:
            for row in [row for row in self.client.store.executions(limit=1000) if row.state == "running"][:3]:
                state = self.state(row.id)
                live = {path: node.status for path, node in state.nodes.items() if not node.status.is_final}
                told.append(f"--- {row.id}: {state.status}, paused {state.paused}, {live}")
                told += [f"{event.seq} {event.payload.model_dump_json()}"[:300] for event in self.events(row.id)[-12:]]
                told.append(f"inbox {self.client.store.inbox(row.id)}, owner {self.client.store.owner(row.id)}")
                explained = subprocess.run(
                    [sys.executable, "-m", "flytepath", "executions", "explain", row.id],
                    env=self.environment(), capture_output=True, text=True, timeout=30,
                )  # fmt: skip
                told.append(explained.stdout + explained.stderr)
        except Exception as error:  # noqa: BLE001 - what can be told is told
            told.append(f"--- the store cannot be asked: {error!r}")
        return "\n".join(told)

    # --- executions ---

    def executions(self) -> list[str]:
        """Every execution, the oldest first."""
        return sorted(row.id for row in self.client.store.executions(limit=100_000))

    def events(self, execution: str) -> list[Event]:
        """The log of an execution."""
        return self.client.store.read(execution)

    def state(self, execution: str) -> ExecutionState:
        """What its log folds to."""
        return folded(self.client, execution)

    def answer_gates(self, execution: str) -> None:
        """Answer what waits for a person, once."""
        for name, answer in (("given", {"value": Literal.make(INTEGER, 6)}), ("right", {"approve": True})):
            try:
                self.client.signal(SCOPE, execution, name, **answer)  # type: ignore[arg-type]
            except FlytePathError:
                continue

    def lines(self) -> list[tuple[str, str, int]]:
        """The attempts that did their work, in the order they did it: execution, node, attempt."""
        path = self.folder / "ran"
        rows = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
        return [(execution, node, int(attempt)) for execution, node, attempt, _ in rows]


def folded(client: LocalClient, execution: str) -> ExecutionState:
    """What a log folds to, from its very beginning."""
    events = client.store.read(execution)
    created: Any = events[0].payload
    return fold(client._histories.spec(created.spec), events, client._histories.spec)


def started(events: Iterable[Event]) -> list[tuple[str, int]]:
    """Every attempt that was recorded as started."""
    found = []
    for payload in (event.payload for event in events):
        if payload.type == "attempt_started":
            found.append((payload.node, payload.attempt))
        elif payload.type == "items_started":
            found += [(f"{payload.node}/{index}", attempt) for index, attempt in payload.items]
    return found


def succeeded(events: Iterable[Event]) -> list[str]:
    """Every node that was recorded as succeeded."""
    found = []
    for payload in (event.payload for event in events):
        if payload.type == "node_succeeded":
            found.append(payload.node)
        elif payload.type == "items_succeeded":
            found += [f"{payload.node}/{index}" for index, *_ in payload.items]
    return found


@dataclass
class Moment:
    """What was true when an engine died."""

    events: dict[str, list[Event]]
    lines: int

    @classmethod
    def of(cls, home: DurableHome) -> Moment:
        return cls({execution: home.events(execution) for execution in home.executions()}, len(home.lines()))

    def check_after(self, home: DurableHome) -> None:
        """Nothing of it was lost, and nothing that had succeeded has run since."""
        since = home.lines()[self.lines :]
        for execution, before in self.events.items():
            assert home.events(execution)[: len(before)] == before, f"the log of {execution} has another beginning"
            done = set(succeeded(before))
            again = [(node, attempt) for name, node, attempt in since if name == execution and node in done]
            assert not again, f"{again} of {execution} ran again after they were recorded as succeeded"


def check_everything(home: DurableHome) -> None:
    """What is true of a home where everything has ended."""
    lines = home.lines()
    twice = [line for line, times in Counter(lines).items() if times > 1]
    assert not twice, f"attempts that ran twice: {twice}"
    attempts: set[tuple[str, str, int]] = set()
    for execution in home.executions():
        events = home.events(execution)
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        begun = started(events)
        assert len(begun) == len(set(begun)), f"{execution}: an attempt was recorded as started twice"
        attempts |= {(execution, *each) for each in begun}
        ends = [node for node, times in Counter(succeeded(events)).items() if times > 1]
        assert not ends, f"{execution}: {ends} succeeded twice"
        epochs = [event.payload.epoch for event in events if event.payload.type == "execution_owned"]
        assert epochs == sorted(set(epochs)), f"{execution}: epochs {epochs}"
        state = home.state(execution)
        assert state.status == home.client.store.status(execution)
        assert home.client._histories.state(execution) == state
        assert not home.client.store.inbox(execution)
    unknown = set(lines) - attempts
    assert not unknown, f"ran without being recorded as started: {unknown}"
    before = home.client.store.executions(limit=100_000)
    home.client.store.rebuild_projections()
    assert home.client.store.executions(limit=100_000) == before


def outputs(home: DurableHome, execution: str) -> list[Any]:
    """The outputs of an execution that succeeded."""
    view = home.client.execution(SCOPE, execution)
    assert view.status == "succeeded", f"{execution} {view.status}: {view.error}\n{home.story()}"
    return [literal.data for literal in view.outputs.values()]
