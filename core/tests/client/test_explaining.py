"""Why an execution or a node is where it is: each fact with its event, down to the cause."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flytepath.client import LocalClient
from flytepath.client.explanations import Explanation
from flytepath.engine.commands import Expand, Open, Reuse, Signal
from flytepath.engine.reuse import parts_of
from flytepath.errors import ExecutionStateError, NotFoundError
from flytepath.model.events import AttemptLost, ErrorRecord, ExecutionContinued, ExecutionPaused, GateOpened
from flytepath.model.literal import Literal
from flytepath.model.task import CacheSpec, Interface, Variable
from flytepath.model.types import INTEGER, LiteralType
from flytepath.model.workflow import (
    CaseSpec,
    Comparison,
    GateSpec,
    InputBinding,
    LiteralBinding,
    NodeSpec,
)
from flytepath.store.shared_outputs import outputs_in
from recorded import ADA, SCOPE, Recorded, chain, mapped, node, number, task, workflow


class Case:
    def __init__(self, home: Path) -> None:
        self.home = home
        self.made: list[Recorded] = []

    def record(self, spec: Any, **facts: Any) -> Recorded:
        made = Recorded(self.home, spec, **facts)
        self.made.append(made)
        return made

    def explain(self, path: str = "", id: str = "x1", at: str | None = None) -> Explanation:
        with LocalClient(self.home) as client:
            return client.explain(SCOPE, id, path, at=at)


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    made = Case(tmp_path / "home")
    yield made
    for each in made.made:
        each.close()


def facts(explanation: Explanation) -> dict[int, str]:
    return {fact.seq: fact.text for fact in explanation.facts}


def test_a_waiting_node_is_led_back_to_what_runs(case: Case) -> None:
    run = case.record(chain("flow.a", "flow.b", "flow.c"))
    run.start("n0", x=number(3))
    told = case.explain("n2")
    assert told.status == "waiting"
    assert "n1 (waiting)" in told.summary
    [second] = told.causes
    [root] = second.causes
    assert root.node == "n0"
    assert root.status == "running"
    assert root.facts[0].seq == 3


def test_a_skipped_node_names_the_failure_and_its_attempts(case: Case) -> None:
    run = case.record(chain("flow.a", "flow.b", "flow.c", retries=1))
    run.start("n0", x=number(3))
    run.fail("n0", "first trouble")
    run.now += 4
    run.start("n0", x=number(3))
    run.fail("n0", "second trouble")
    run.finish()
    told = case.explain("n2")
    assert told.status == "skipped"
    cause = told.causes[0]
    while cause.causes:
        cause = cause.causes[0]
    assert cause.node == "n0"
    said = facts(cause)
    assert "first trouble" in said[4]
    assert "user failure 1, 1 retries allowed" in said[4]
    assert "user failure 2" in said[6]
    assert "retries are used up" in cause.summary
    assert case.explain().causes[0].node == "n0"


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"recoverable": False}, "another attempt could not help"),
        ({}, "allows no retries"),
        ({"kind": "timeout", "message": "took more than 3 s"}, "took too long"),
    ],
)
def test_why_a_failure_was_not_tried_again(case: Case, record: dict[str, Any], said: str) -> None:
    run = case.record(chain("flow.a"))
    run.start("n0", x=number(3))
    run.fail("n0", **{"message": "trouble", **record})
    told = case.explain("n0")
    assert said in " ".join([told.summary, *facts(told).values()])


def test_failures_of_the_system_have_a_budget_of_their_own_and_lost_attempts_none(case: Case) -> None:
    run = case.record(chain("flow.a"))
    run.start("n0", x=number(3))
    run.fail("n0", "worker died", kind="system")
    run.start("n0", x=number(3))
    error = ErrorRecord(kind="system", code="FP-ENGINE-LOST", message="the engine is gone")
    run.note(AttemptLost(node="n0", attempt=2, error=error))
    run.start("n0", x=number(3))
    run.succeed("n0")
    told = case.explain("n0")
    said = facts(told)
    assert "system failure 1, 3 retries allowed" in said[4]
    assert "charged to no budget" in said[6]
    assert "attempt 3" in told.summary


def test_nobody_drives_it(case: Case) -> None:
    run = case.record(chain("flow.a", "flow.b"))
    run.start("n0", x=number(3))
    run.leave()
    told = case.explain("n1")
    [cause] = told.causes
    assert cause.command == "flytepath executions resume x1"
    assert 2 in facts(cause)
    whole = case.explain()
    assert "no engine drives it" in whole.summary
    assert whole.command == "flytepath executions resume x1"


def test_an_execution_that_no_engine_has_taken(case: Case) -> None:
    case.record(chain("flow.a"), own=False)
    assert "no engine has taken it yet" in case.explain().summary
    assert "no engine drives" in case.explain("n0").summary


def test_a_paused_execution_says_by_whom_and_how_it_goes_on(case: Case) -> None:
    run = case.record(chain("flow.a"))
    run.note(ExecutionPaused(reason="the disk is full"), ADA)
    told = case.explain("n0")
    assert "paused: the disk is full" in told.summary
    assert facts(told)[3] == "ada paused it: the disk is full"
    assert told.command == "flytepath executions continue x1"
    run.note(ExecutionContinued(), ADA)
    assert "about to start" in case.explain("n0").summary
    assert "let it go on" in facts(case.explain())[4]


def test_a_ready_node_names_what_takes_the_slots(case: Case) -> None:
    tasks = {name: task(name, "x") for name in ("flow.a", "flow.b")}
    run = case.record(workflow([node("n0", "flow.a", x=None), node("n1", "flow.b", x=None)], tasks))
    run.start("n0", x=number(3))
    told = case.explain("n1")
    assert "free slot" in told.summary
    assert any("n0" in fact.text for fact in told.facts)


def test_outputs_that_somebody_else_computes_are_waited_for(case: Case) -> None:
    kept = task("flow.a", "x", cache=CacheSpec(enabled=True, version="1"))
    run = case.record(workflow([node("n0", "flow.a", x=None)], {"flow.a": kept}))
    key = parts_of(kept, {"x": number(3)}).key
    outputs = outputs_in(case.home, run.store.database, "shop", "development")
    assert outputs.reserve(key, "another engine", execution="x7", node="n4") is None
    assert case.explain("n0").summary == "its outputs are being computed by n4 of execution x7"
    outputs.release(key, "another engine")
    assert outputs.reserve(key, "this engine", execution="x1", node="n0") is None
    assert "about to start" in case.explain("n0").summary
    outputs.close()


def gate(kind: str, **facts: Any) -> Any:
    spec = GateSpec(kind=kind, signal="release", **facts)  # type: ignore[arg-type]
    outputs = (Variable(name="o0", type=INTEGER),) if kind == "input" else ()
    waiting = NodeSpec(path="n0", gate=spec, interface=Interface(outputs=outputs))
    after = NodeSpec(path="n1", task="flow.a", inputs={"x": InputBinding(name="x")}, upstream=("n0",))
    return workflow([waiting, after], {"flow.a": task("flow.a", "x")})


def test_a_gate_says_how_it_is_answered_and_later_who_did(case: Case) -> None:
    run = case.record(gate("approve", timeout_seconds=60.0))
    run.do(Open("n0", {}))
    [cause] = case.explain("n1").causes
    assert cause.command == "flytepath executions signal x1 release --approve (or --reject)"
    assert any("nobody answers within" in fact.text for fact in cause.facts)
    run.do(Signal("n0", approved=True), ADA)
    assert "ada approved it" in facts(case.explain("n0")).values()


def test_a_rejected_gate(case: Case) -> None:
    run = case.record(gate("approve"))
    run.do(Open("n0", {}))
    run.do(Signal("n0", approved=False), ADA)
    told = case.explain("n0")
    assert told.status == "failed"
    assert "ada rejected it" in facts(told).values()


def test_a_value_that_is_waited_for_names_its_type(case: Case) -> None:
    run = case.record(gate("input", type=INTEGER))
    run.note(GateOpened(node="n0", kind="input", signal="release"))
    assert case.explain("n0").command == "flytepath executions signal x1 release VALUE (integer)"


def test_outputs_from_the_cache_and_from_another_execution(case: Case) -> None:
    run = case.record(chain("flow.a", "flow.b"))
    run.do(Reuse("n0", {"o0": number(7).digest}, key="sha256:key"), literals=[number(7)])
    run.do(Reuse("n1", {"o0": number(8).digest}, recovered="x0"), literals=[number(8)])
    cached = case.explain("n0")
    assert "sha256:key" in cached.summary
    assert "cache explain x1 n0" in cached.command
    assert "execution x0" in case.explain("n1").summary


def test_an_aborted_execution_says_who_and_why(case: Case) -> None:
    run = case.record(chain("flow.a"))
    run.abort("enough")
    run.finish()
    whole = case.explain()
    assert "enough" in whole.summary
    assert facts(whole)[3] == "ada asked for its end: enough"
    assert 3 in facts(case.explain("n0"))


def test_a_map_is_explained_by_numbers_and_by_its_slowest_items(case: Case) -> None:
    xs = Literal.make(LiteralType.list_of(INTEGER), list(range(50)))
    run = case.record(mapped(50, concurrency=4, ratio=0.5), inputs={"xs": xs})
    run.expand("n0", 50, {"x": xs})
    run.start_items("n0", 0, 1, 2)
    run.succeed_items("n0", 0)
    told = case.explain("n0")
    assert told.summary.startswith("1 of 50 items have succeeded")
    assert {cause.node for cause in told.causes} == {"n0/1", "n0/2"}
    assert "has not begun" in case.explain("n0/40").summary
    assert facts(case.explain("n0/0")) == {5: "it has its outputs"}


def test_the_past_is_explained_as_it_was(case: Case) -> None:
    run = case.record(chain("flow.a", "flow.b"))
    run.start("n0", x=number(3))
    run.succeed("n0")
    run.leave()
    then = case.explain("n1", at="3")
    assert then.past
    assert then.seq == 3
    assert "n0 (running)" in then.summary
    assert not then.command


def branched() -> Any:
    def taken(name: str, condition: Any) -> CaseSpec:
        number_of = 0 if condition else 1
        return CaseSpec(condition=condition, nodes=(NodeSpec(path=f"n0/c{number_of}/n0", task=name),))

    condition = Comparison(operator=">", left=InputBinding(name="x"), right=LiteralBinding(value=number(5)))
    cases = (taken("flow.big", condition), taken("flow.small", None))
    branch = NodeSpec(path="n0", cases=cases, interface=Interface())
    return workflow([branch], {name: task(name) for name in ("flow.big", "flow.small")})


def test_a_node_of_a_case_that_was_not_taken_says_so(case: Case) -> None:
    run = case.record(branched())
    with pytest.raises(ExecutionStateError, match="not decided yet"):
        case.explain("n0/c0/n0")
    run.do(Expand("n0", case=1))
    with pytest.raises(ExecutionStateError, match="case 0 of the conditional n0: n0 took another"):
        case.explain("n0/c0/n0")
    assert case.explain("n0/c1/n0").name == "flow.small"
    assert "case 1 of it was taken" in facts(case.explain("n0")).values()


@pytest.mark.parametrize(("path", "hint"), [("n5", None), ("flow.b", "n1"), ("b", "n1"), ("n0/0", None), ("n", None)])
def test_an_unknown_node_is_refused_with_near_ones(case: Case, path: str, hint: str | None) -> None:
    case.record(chain("flow.a", "flow.b"))
    with pytest.raises(NotFoundError) as caught:
        case.explain(path)
    if hint:
        assert hint in (caught.value.hint or "")


def test_an_unknown_execution_is_refused_with_near_ones(case: Case) -> None:
    case.record(chain("flow.a"), id="nightly-2026")
    with pytest.raises(NotFoundError) as caught:
        case.explain(id="nightly-2062")
    assert "nightly-2026" in (caught.value.hint or "")
