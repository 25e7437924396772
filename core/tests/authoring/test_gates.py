"""Gates in direct calls, where a person answers on the terminal, and as nodes of compiled graphs."""

from __future__ import annotations

import asyncio
import datetime as dt
import io
import warnings
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from compiled_specs import compiled
from flytepath import FlyteFile, approve, create_node, dynamic, eager, sleep, task, wait_for_input, workflow
from flytepath.authoring.conducting import conducted
from flytepath.errors import CompileError, DefinitionError, FlytePathError, GateError, OverrideError
from flytepath.model.types import LiteralType
from flytepath.model.workflow import WorkflowSpec


@dataclass
class Settings:
    name: str
    rate: float


log: list[str] = []


@task
def double(x: int) -> int:
    log.append(f"double {x}")
    return 2 * x


@task
def both(x: int) -> tuple[int, str]:
    return x, str(x)


@task
def note() -> None:
    log.append("note")


@task
def show(settings: Settings) -> str:
    return f"{settings.name} {settings.rate}"


@task
def make(path: str) -> FlyteFile:
    return FlyteFile(path)


@task
def read(file: FlyteFile) -> str:
    return Path(file).read_text()


@pytest.fixture(autouse=True)
def _empty_log() -> None:
    log.clear()


def answers(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))


@workflow
def reviewed(x: int) -> int:
    return double(x=approve(double(x=x), "review", timeout=dt.timedelta(hours=2)))


@workflow
def asked() -> int:
    return double(x=wait_for_input("number", timeout=60, expected_type=int))


@workflow
def late() -> int:
    first = double(x=1)
    pause = sleep(dt.timedelta(milliseconds=1))
    second = double(x=2)
    first >> pause
    pause >> second
    return second


# --- approve ---


@pytest.mark.parametrize("answer", ["y", "YES", " yes "])
def test_what_is_approved_passes_unchanged(
    answer: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers(monkeypatch, answer)
    assert reviewed(x=1) == 4
    captured = capsys.readouterr()
    assert "review: approve 2?" in captured.err
    assert captured.out == ""


@pytest.mark.parametrize("answer", ["n", "", "yess"])
def test_what_is_not_approved_stops_the_workflow(answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, answer)
    with pytest.raises(GateError, match="not approved") as caught:
        reviewed(x=1)
    assert caught.value.code == "FP-GATE"
    assert log == ["double 1"]


def test_nobody_there_to_answer_is_an_error_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch)
    with pytest.raises(GateError, match="nobody is there") as caught:
        reviewed(x=1)
    assert "flytepath executions signal" in str(caught.value.hint)


def test_an_approval_is_a_node_that_passes_its_inputs_on() -> None:
    spec = compiled(reviewed)
    gate = spec.nodes[1]
    assert gate.kind == "gate"
    assert gate.gate is not None
    assert (gate.gate.kind, gate.gate.signal, gate.gate.timeout_seconds) == ("approve", "review", 7200.0)
    assert gate.interface is not None
    assert gate.interface.inputs[0].type == LiteralType("integer") == gate.interface.outputs[0].type
    assert spec.nodes[2].inputs["x"].node == "n1"  # type: ignore[union-attr]


def test_what_is_approved_may_be_a_file_a_struct_several_values_or_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("hello")
    with warnings.catch_warnings():
        warnings.simplefilter("error")

        @workflow
        def flow(path: str, settings: Settings) -> tuple[str, str, int, str, int]:
            text = read(file=approve(make(path=path), "file"))
            given = approve(settings, "settings")
            number, word = approve(both(x=1), "both")
            done = approve(note(), "note")
            approve(settings.rate, "rate")
            last = double(x=5)
            done >> last
            return text, show(settings=given), number, word, last

        answers(monkeypatch, *"yyyyy")
        assert flow(path=str(tmp_path / "a.txt"), settings=Settings("a", 0.5)) == ("hello", "a 0.5", 1, "1", 10)
        spec = compiled(flow)
    assert [v.name for v in gate_of(spec, "both").interface.outputs] == ["o0", "o1"]
    assert gate_of(spec, "note").upstream == ("n6",)
    assert gate_of(spec, "note").interface.outputs == ()
    assert str(gate_of(spec, "rate").interface.outputs[0].type) == "float"


def gate_of(spec: WorkflowSpec, signal: str) -> Any:
    return next(node for node in spec.nodes if node.gate is not None and node.gate.signal == signal)


def test_the_type_is_checked_behind_a_gate() -> None:
    @workflow
    def flow(x: int) -> str:
        return show(settings=approve(double(x=x), "ok"))

    with pytest.raises(CompileError) as caught:
        flow(x=1)
    assert "integer from" in str(caught.value.actual)


def test_approve_of_a_value_outside_of_a_workflow(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, "y", "n")
    assert approve(5, "five") == 5
    with pytest.raises(GateError):
        approve([1], "list")


# --- input ---


def test_input_is_read_as_its_type(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    answers(monkeypatch, "21")
    assert asked() == 42
    assert "number (int):" in capsys.readouterr().err
    spec = compiled(asked)
    gate = spec.nodes[0].gate
    assert gate is not None
    assert (gate.kind, gate.signal, gate.timeout_seconds) == ("input", "number", 60.0)
    assert gate.type == LiteralType("integer")


def test_input_of_another_type_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, "many")
    with pytest.raises(FlytePathError, match="many") as caught:
        asked()
    assert "number" in str(caught.value.place)


def test_structs_texts_and_booleans_are_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    @workflow
    def flow() -> tuple[str, str, bool]:
        return (
            show(settings=wait_for_input("settings", expected_type=Settings)),
            wait_for_input("text"),
            wait_for_input("sure", expected_type=bool),
        )

    answers(monkeypatch, '{"name": "a", "rate": 0.5}', "some words", "true")
    assert flow() == ("a 0.5", "some words", True)
    compiled(flow)


# --- sleep ---


def test_sleep_is_ordered_like_any_node() -> None:
    assert late() == 4
    assert log == ["double 1", "double 2"]
    spec = compiled(late)
    gate = spec.nodes[1]
    assert gate.gate is not None
    assert (gate.gate.kind, gate.gate.signal, gate.gate.seconds) == ("sleep", "", 0.001)
    assert gate.upstream == ("n0",)
    assert spec.nodes[2].upstream == ("n1",)


def test_gates_outside_of_workflows_and_in_dynamics(monkeypatch: pytest.MonkeyPatch) -> None:
    @dynamic
    def flow(n: int) -> list[int]:
        sleep(0)
        return [approve(double(x=i), f"item {i}") for i in range(n)]

    answers(monkeypatch, "y", "y", "7")
    assert flow(n=2) == [0, 2]
    assert wait_for_input("number", expected_type=int) == 7
    assert sleep(0.0) is None


def test_gates_in_eager_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    @eager
    async def flow(x: int) -> int:
        sleep(0)
        return approve(double(x=x), "ok") + wait_for_input("more", expected_type=int)

    answers(monkeypatch, "y", "3")
    assert asyncio.run(flow(x=1)) == 5


def test_gates_of_a_durable_eager_task_go_to_the_engine() -> None:
    made: list[str] = []

    class Recorder:
        def call(self, entity: Any, inputs: Any) -> Future[dict[str, Any]]:
            made.append(f"{entity.kind} {entity.name}")
            assert compiled(entity).nodes[0].kind == "gate"
            future: Future[dict[str, Any]] = Future()
            future.set_result({"o0": 3} if entity.kind == "input" else {})
            return future

    @eager
    async def flow(x: int) -> int:
        sleep(0)
        return approve(x, "ok") + wait_for_input("more", expected_type=int)

    with conducted(Recorder()):
        assert asyncio.run(flow.call_body({"x": 1})) == 4
    assert made == ["sleep sleep", "approve ok", "input more"]


def test_create_node_orders_gates() -> None:
    @workflow
    def flow() -> int:
        node = create_node(double, x=1)
        sleep(0) >> node
        return node.o0

    assert flow() == 2


# --- errors ---


@pytest.mark.parametrize(
    ("make", "place"),
    [
        (lambda: sleep("long"), "sleep(duration)"),
        (lambda: sleep(-1), "sleep(duration)"),
        (lambda: sleep(True), "sleep(duration)"),
        (lambda: sleep(float("nan")), "sleep(duration)"),
        (lambda: sleep(float("inf")), "sleep(duration)"),
        (lambda: wait_for_input(""), "wait_for_input"),
        (lambda: wait_for_input("a", timeout="1h"), "wait_for_input(timeout)"),
        (lambda: approve(1, "  "), "approve"),
        (lambda: approve(1, None), "approve"),
        (lambda: approve(1, "a", timeout=-5), "approve(timeout)"),
    ],
)
def test_wrong_arguments_are_refused_at_once(make: Any, place: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        make()
    assert caught.value.place == place


def test_a_constant_cannot_be_approved_in_a_workflow() -> None:
    @workflow
    def flow() -> int:
        return approve(3, "ok")

    with pytest.raises(DefinitionError, match="what a task returned") as caught:
        flow()
    assert "test_gates.py:" in str(caught.value.place)


@pytest.mark.parametrize("override", [{"retries": 1}, {"timeout": 5}, {"interruptible": True}, {"cache": False}])
def test_gates_honour_no_overrides_but_a_name(override: dict[str, Any]) -> None:
    @workflow
    def named() -> str:
        return wait_for_input("a").with_overrides(name="the question")

    assert named.nodes[0].name == "the question"

    @workflow
    def flow() -> str:
        return wait_for_input("a").with_overrides(**override)

    with pytest.raises(OverrideError, match=next(iter(override))):
        _ = flow.nodes
