"""Commands in any order, sensible or not: the state stays consistent, and the log alone gives it back."""

from __future__ import annotations

from typing import Any

import pytest
from fake_machine import USER, number
from flytepath.engine import commands
from flytepath.engine.decisions import decide
from flytepath.engine.fold import apply, fold
from flytepath.engine.snapshots import restored, taken
from flytepath.engine.state import ExecutionState, ExecutionStatus, Frame, NodeStatus
from flytepath.errors import ExecutionStateError
from flytepath.model.events import ErrorRecord, Event, ExecutionCreated, Usage, read_event
from flytepath.model.workflow import WorkflowSpec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_graphs import TASKS, bodies, workflows

KINDS = ("user", "system", "preempted", "timeout")


class Player:
    """Deals commands to an execution and keeps what came of them."""

    def __init__(self, spec: WorkflowSpec, draw: Any) -> None:
        self.draw = draw
        self.spec = spec
        self.graphs = {
            "callee": WorkflowSpec(
                name="callee",
                interface=TASKS["inc"].interface,
                nodes=spec.nodes[:1],
                outputs={},
                tasks=TASKS,
                graphs=spec.graphs,
            ),
            "made": bodies()["dyn"](None, 2),
        }
        created = ExecutionCreated(
            project="p", domain="d", workflow="w", workflow_version="v", spec="s", bundle="b", timeout_seconds=500.0
        )
        self.state = ExecutionState.of(spec, self.graphs.__getitem__)
        self.events: list[Event] = []
        self.now = 1.0
        self.epoch = 0
        self.record(created)

    def record(self, payload: Any) -> None:
        seq = self.state.seq + 1
        event = Event(execution="x", seq=seq, at=self.now, actor=USER, cause=seq - 1, payload=payload)
        apply(self.state, event)  # whatever a decision gave, the fold takes
        self.events.append(event)

    def paths(self) -> list[str]:
        items = [
            f"{path}/{index}"
            for path, node in self.state.nodes.items()
            if node.frame is not None and node.frame.items is not None
            for index in range(node.frame.items.size)
        ]
        return [*self.state.nodes, *items]

    def node(self) -> str:
        """A node that something can be asked of; mostly one that is due or runs."""
        state = self.state
        near = [*state.ready, *state.urgent, *state.instant, *state.running, *state.settled, *state.timers]
        return str(self.draw(st.sampled_from(near if near and self.draw(st.integers(0, 9)) else self.paths())))

    def error(self) -> ErrorRecord:
        kind: Any = self.draw(st.sampled_from(KINDS))
        return ErrorRecord(kind=kind, code="E", message="no", recoverable=self.draw(st.booleans()))

    def command(self) -> Any:
        path = self.node()
        attempt = self.state.running.get(path, 1) if self.draw(st.integers(0, 9)) else 7
        outputs = {"o0": number(1).digest}
        parent, _, last = path.rpartition("/")
        index = int(last) if last.isdigit() else 0
        self.epoch += 1
        make = {
            "own": lambda: commands.Own("e", self.epoch),
            "start": lambda: commands.Start(path, {"x": number(1).digest}),
            "start_items": lambda: commands.StartItems(parent, (index,)),
            "reuse": lambda: commands.Reuse(path, outputs, key="k"),
            "succeed": lambda: commands.Succeed(path, attempt, outputs),
            "succeed_items": lambda: commands.SucceedItems(
                parent, ("o0",), ((index, attempt, (number(1).digest,)),), (Usage(),)
            ),
            "fail": lambda: commands.Fail(path, attempt, self.error(), jitter=0.5),
            "stop": lambda: commands.Stop(path, attempt),
            "refuse": lambda: commands.Refuse(path, self.error()),
            "expand": lambda: commands.Expand(path, {}, case=0, items=None),
            "expand_map": lambda: commands.Expand(path, {}, items=self.draw(st.integers(0, 4))),
            "expand_graph": lambda: commands.Expand(path, {}),
            "produce": lambda: commands.Produce(path, attempt, "made"),
            "call": lambda: commands.Call(path, attempt, str(self.draw(st.integers(0, 2))), "callee", "callee", {}),
            "open": lambda: commands.Open(path, {}),
            "signal": lambda: commands.Signal(path, approved=self.draw(st.booleans())),
            "ring": lambda: commands.Ring(path),
            "expire": lambda: commands.Expire(path),
            "settle": lambda: commands.Settle(path, outputs),
            "abort": lambda: commands.Abort("enough"),
            "pause": lambda: commands.Pause("lunch"),
            "continue": commands.Continue,
            "timeout": commands.TimeOut,
            "finish": lambda: commands.Finish(outputs),
        }
        if self.draw(st.integers(0, 4)):
            return make[self.draw(st.sampled_from(self.sensible(path)))]()
        return make[self.draw(st.sampled_from(sorted(make)))]()

    def sensible(self, path: str) -> list[str]:
        """What an engine would ask of a node as it is, an item of a map among others."""
        state = self.state
        if self.state.paused is not None:
            return ["continue"]
        if path in state.settled:
            return ["settle"]
        if path in state.timers:
            return ["signal", "ring"]
        node = state.find(path)
        is_item = node is not None and bool(node.parent) and state.nodes[node.parent].kind == "map"
        if path in state.running and node is not None:
            ends = {"dynamic": ["produce"], "eager": ["call", "succeed"]}.get(node.kind, ["succeed", "succeed"])
            return [*ends, "fail", *(["succeed_items"] * 3 if is_item else [])]
        if path in state.ready or path in state.urgent:
            return ["start", *(["start_items"] * 2 if is_item else [])]
        if path in state.instant and node is not None:
            kinds = {"branch": ["expand"], "map": ["expand_map"], "gate": ["open"]}
            return kinds.get(node.kind, ["expand_graph"])
        return ["finish" if state.root.unfinished == 0 else "own"]

    def play(self, moves: int) -> None:
        for _ in range(moves):
            self.now += self.draw(st.sampled_from([0.0, 0.001, 1.0, 60.0]))
            command = self.command()
            if not fits(self.state, command):
                continue
            before = len(self.events)
            try:
                payloads = decide(self.state, command, self.now)
            except (ExecutionStateError, KeyError):
                assert len(self.events) == before
                continue
            for payload in payloads:
                self.record(payload)
            consistent(self.state)


def fits(state: ExecutionState, command: Any) -> bool:
    """Whether the scheduler could ask it of a node of this kind; more than that is for the decider to refuse."""
    path = getattr(command, "node", "")
    node = state.find(path) if path else None
    match command:
        case commands.Expand(case=case, items=items):
            kind = node.kind if node is not None else ""
            wanted = "branch" if case is not None else "map" if items is not None else "graph"
            return kind == wanted
        case commands.Produce():
            return node is not None and node.kind == "dynamic"
        case commands.Call():
            return node is not None and node.kind == "eager"
        case commands.Open():
            return node is not None and node.kind == "gate"
        case commands.Start() | commands.Refuse() | commands.Reuse():
            return node is not None and (node.is_attempted or not isinstance(command, commands.Start))
        case commands.StartItems() | commands.SucceedItems():
            return node is not None and node.kind == "map" and node.frame is not None and node.spec.graph == ""
        case commands.Finish():
            return not state.running
    return True


def consistent(state: ExecutionState) -> None:
    """Counters say what is there, queues hold what they are for, and an end is an end."""
    assert state.root.active == len(state.running)
    for path in state.running:
        assert state.nodes[path].status is NodeStatus.RUNNING or state.nodes[path].status.is_final
    for queue in (state.ready, state.urgent, state.instant):
        assert all(state.nodes[path].status is NodeStatus.READY for path in queue)
    assert all(state.nodes[path].status is NodeStatus.RETRYING for path in state.retrying)
    assert all(state.nodes[path].status is NodeStatus.PAUSED for path in state.timers)
    assert not set(state.ready) & set(state.running)
    counted(state, state.root)
    for node in state.nodes.values():
        if node.frame is not None:
            counted(state, node.frame)
    if state.status is not ExecutionStatus.RUNNING:
        assert not state.running


def counted(state: ExecutionState, frame: Frame) -> None:
    below = [node for path, node in state.nodes.items() if frame.path == "" or path.startswith(f"{frame.path}/")]
    assert frame.active == sum(1 for node in below if node.path in state.running)
    if frame.items is None:
        assert frame.unfinished == sum(1 for path in frame.children if not state.nodes[path].status.is_final)
    elif not state.nodes[frame.path].status.is_final:
        assert frame.unfinished == frame.items.size - len(frame.items.ended)
        assert frame.items.live == sum(1 for _ in frame.items.under_way())
        assert frame.items.live <= frame.items.limit + len(state.running)


def rounds(data: Any, spec: WorkflowSpec, moves: int) -> None:
    player = Player(spec, data.draw)
    player.play(moves)
    state = player.state
    stored = [read_event(event.to_json()) for event in player.events]
    again = fold(spec, stored, player.graphs.__getitem__)
    assert again == state
    assert restored(taken(state), spec, state.specs) == state


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), spec=workflows())
def test_any_commands_keep_the_state_consistent_and_the_log_gives_it_back(data: Any, spec: WorkflowSpec) -> None:
    rounds(data, spec, 60)


@pytest.mark.proof
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), spec=workflows())
def test_any_commands_keep_the_state_consistent_over_and_over(data: Any, spec: WorkflowSpec) -> None:
    rounds(data, spec, 200)
