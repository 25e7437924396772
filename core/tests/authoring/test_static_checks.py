"""What is told before anything runs: each kind of mistake with its class, code, place, expected, actual and hint."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from compiled_specs import compiled
from flytepath import FlyteFile, dynamic, task, workflow
from flytepath.errors import (
    AmbiguousUnionError,
    AssertionFailedError,
    CompileError,
    CycleError,
    DefaultValueError,
    DefinitionError,
    FlytePathError,
    ForeignPromiseError,
    InputError,
    MissingAnnotationError,
    MissingInputError,
    MissingReturnError,
    NestedTaskError,
    PromiseBranchError,
    PromiseError,
    TypeMismatchError,
    TypeTransformerFailedError,
    UnboundOutputError,
    UnknownInputError,
)

ran: list[Any] = []


class Pair(NamedTuple):
    low: int
    high: str


@dataclass
class Layer:
    units: int


@dataclass
class Config:
    name: str
    layers: list[Layer]
    extra: dict[str, float]


@task
def double(x: int) -> int:
    ran.append(x)
    return 2 * x


@task
def say(text: str) -> str:
    ran.append(text)
    return text


@task
def halve(x: float) -> float:
    return x / 2


@task
def total(values: list[int]) -> int:
    return sum(values)


@task
def weights(values: dict[str, int]) -> int:
    return sum(values.values())


@task
def maybe(x: int | None = None) -> int | None:
    return x


@task
def configure(name: str) -> Config:
    return Config(name, [Layer(1)], {"a": 0.5})


@task
def build(config: Config) -> int:
    return len(config.layers)


@task
def nothing(x: int) -> None:
    ran.append(x)


@task
def triple(x: tuple[int, str, list[int]]) -> int:
    return x[0] + len(x[2])


@task
def summed(items: tuple[int, ...]) -> int:
    return sum(items)


@task
def pair(x: int) -> Pair:
    return Pair(x, str(x))


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    ran.clear()


def _refused(body: Any, kind: type[FlytePathError], returns: Any = int) -> Any:
    def flow(x: int) -> Any:
        return body(x)

    flow.__annotations__["return"] = returns
    made = workflow(flow)
    with pytest.raises(kind) as caught:
        made(x=1)
    assert ran == []
    return caught.value


# --- what one node gives another ---


@pytest.mark.parametrize(
    ("body", "expected", "actual", "place"),
    [
        (lambda x: double(x=say(text="a")), "integer", "string from <promise of n0.o0>", "double(x)  ["),
        (lambda x: (halve(x=x), x)[1], "float", "integer from <promise of x>", "halve(x)  ["),
        (lambda x: double(x=maybe(x=x)), "integer", "integer | none from <promise of n0.o0>", "double(x)  ["),
        (lambda x: total(values=[x, say(text="a")]), "integer", "string from", "total(values[1])  ["),
        (lambda x: total(values=[x, "a"]), "int", "str", "total(values[1])  ["),
        (lambda x: total(values=[x, 1.5]), "int", "float", "total(values[1])  ["),
        (lambda x: weights(values={"a": x, "b": say(text="a")}), "integer", "string from", "weights(values['b'])  ["),
        (lambda x: total(values=x), "list[integer]", "integer from", "total(values)  ["),
        (lambda x: total(values={"a": x}), "list[integer]", "dict", "total(values)  ["),
        (lambda x: weights(values={1: x}), "dict[string, integer]", "dict", "weights(values)  ["),
        (lambda x: triple(x=(x, "a", [x, say(text="b")])), "integer", "string from", "triple(x[2][1])  ["),
        (lambda x: triple(x=(x, "a")), "tuple[integer, string, list[integer]]", "tuple", "triple(x)  ["),
        (lambda x: double(x=nothing(x=x)), "integer", "nothing, from n0", "double(x)  ["),
        (lambda x: build(config=configure(name="a").layers), "Config", "list[", "build(config)  ["),
        (
            lambda x: double(x=configure(name="a").layers[0]),
            "integer",
            "from <promise of n0.o0.layers[0]>",
            "double(x)",
        ),
        (lambda x: double(x="two"), "int", "str", "double(x)  ["),
        (lambda x: double(x=True), "int", "bool", "double(x)  ["),
        (lambda x: (halve(x=1), x)[1], "float", "int", "halve(x)  ["),
        (lambda x: build(config=Config("a", [Layer("b")], {})), "int", "str", "build(config.layers[0].units)  ["),  # type: ignore[arg-type]
        (lambda x: say(text="a"), "integer", "string from", "flow() -> o0"),
    ],
)
def test_another_type_is_a_mismatch_at_its_place(body: Any, expected: str, actual: str, place: str) -> None:
    error = _refused(body, TypeMismatchError)
    assert error.code == "FP-TYPE-MISMATCH"
    assert expected in error.expected
    assert actual in error.actual
    assert place in error.place
    if "[" in place[-2:]:
        assert "test_static_checks.py:" in error.place
    assert isinstance(error, TypeError)
    assert isinstance(error, ValueError)
    assert isinstance(error, AssertionFailedError)


def test_tuples_of_any_length_and_bare_containers_hold_promises() -> None:
    @workflow
    def flow(x: int) -> tuple[int, dict, list]:  # type: ignore[type-arg]
        return summed(items=(x, double(x=x), 3)), {"a": double(x=x), "b": [1, 2]}, [x, "b", None]

    assert flow(x=1) == (6, {"a": 2, "b": [1, 2]}, [1, "b", None])
    compiled(flow)

    @workflow
    def mixed_up(x: int) -> int:
        return summed(items=[x, 3])

    with pytest.raises(TypeMismatchError) as caught:
        mixed_up(x=1)
    assert caught.value.actual == "list"


def test_wider_places_take_narrower_values() -> None:
    @workflow
    def flow(x: int) -> tuple[int | None, list[int | None], dict[str, int | None]]:
        return double(x=x), [maybe(x=double(x=x)), x, None, 3], {"a": x, "b": None}

    assert flow(x=1) == (2, [2, 1, None, 3], {"a": 1, "b": None})


def test_parts_that_do_not_exist() -> None:
    for body in (
        lambda x: double(x=configure(name="a").layers[0].unit),
        lambda x: double(x=configure(name="a").layer),
        lambda x: double(x=x.real),
        lambda x: double(x=x[0]),
        lambda x: double(x=pair(x=x).high.low),
    ):
        error = _refused(body, ForeignPromiseError)
        assert "no such part" in error.message
        assert error.hint


def test_parts_of_parts_are_typed() -> None:
    @workflow
    def flow(name: str) -> tuple[int, float, str]:
        made = configure(name=name)
        return double(x=made.layers[0].units), halve(x=made.extra["a"]), made.name

    assert flow(name="a") == (2, 0.25, "a")
    compiled(flow)


def test_a_part_a_value_turns_out_not_to_have() -> None:
    @workflow
    def flow(name: str) -> int:
        return double(x=configure(name=name).layers[3].units)

    with pytest.raises(LookupError, match=r"\[3\]|3") as caught:
        flow(name="a")
    assert isinstance(caught.value, FlytePathError)
    assert caught.value.code == "FP-MISSING-PART"


# --- arguments ---


def test_unknown_missing_and_doubled_inputs_are_type_errors_with_the_line() -> None:
    for body, kind, code in (
        (lambda x: double(y=x), UnknownInputError, "FP-UNKNOWN-INPUT"),
        (lambda x: double(), MissingInputError, "FP-MISSING-INPUT"),
        (lambda x: double(x, x=x), UnknownInputError, "FP-UNKNOWN-INPUT"),
        (lambda x: double(x, x), UnknownInputError, "FP-UNKNOWN-INPUT"),
    ):
        error = _refused(body, kind)
        assert error.code == code
        assert "test_static_checks.py:" in error.place
        assert isinstance(error, TypeError)
        assert isinstance(error, InputError)


def test_a_misspelt_input_is_recognised() -> None:
    assert "'text'" in _refused(lambda x: say(texd="a"), UnknownInputError, str).hint


# --- outputs ---


def test_an_output_without_a_value_and_outputs_too_many() -> None:
    assert _refused(lambda x: nothing(x=x), UnboundOutputError).code == "FP-UNBOUND-OUTPUT"
    assert _refused(lambda x: None, UnboundOutputError)
    assert "'o1'" in _refused(lambda x: (x, nothing(x=x)), UnboundOutputError, tuple[int, int]).message
    assert "declares 2 outputs" in _refused(lambda x: double(x=x), CompileError, tuple[int, int]).message
    assert "declares 2 outputs" in _refused(lambda x: (x, x, x), CompileError, tuple[int, int]).message
    assert "declares no output" in _refused(lambda x: double(x=x), CompileError, None).message


# --- promises ---


def test_branching_and_computing() -> None:
    assert _refused(lambda x: double(x=x) if x else 1, PromiseBranchError).code == "FP-PROMISE-BRANCH"
    assert _refused(lambda x: double(x=x) if x == 1 else 1, PromiseBranchError).hint
    assert _refused(lambda x: x + 1, PromiseError).code == "FP-PROMISE"
    assert _refused(lambda x: say(text=f"{x}"), PromiseError, str).hint
    for text in (str, "%s".__mod__, "{}".format, print):
        assert "repr(x)" in _refused(lambda x, text=text: text(x), PromiseError, str).hint
    assert "@dynamic" in _refused(lambda x: [double(x=i) for i in range(x)][0], PromiseError).hint  # noqa: RUF015
    assert _refused(lambda x: max(x, 1), PromiseBranchError)
    assert _refused(lambda x: sum(x), PromiseError)  # noqa: PLW0108
    assert _refused(lambda x: x in (1, 2), PromiseBranchError)


def test_a_promise_shows_what_it_stands_for() -> None:
    shown: list[str] = []

    @workflow
    def flow(x: int) -> int:
        made = configure(name="a")
        shown.extend([repr(x), repr(made.layers[0].units), f"{made!r}", repr((x > 1) & (x < 3))])
        return double(x=x)

    _ = flow.nodes
    assert shown == [
        "<promise of x>",
        "<promise of n0.o0.layers[0].units>",
        "<promise of n0.o0>",
        "(<promise of x> > 1 & <promise of x> < 3)",
    ]


# --- definitions ---


def test_each_definition_mistake_has_a_class_of_its_own() -> None:
    def untyped(x) -> int:  # type: ignore[no-untyped-def]
        return x  # type: ignore[no-any-return]

    def silent(x: int) -> int:
        double(x=x)

    def unannotated(x: int):  # type: ignore[no-untyped-def]
        return x

    def wrong_default(x: int = "1") -> int:  # type: ignore[assignment]
        return x

    def star(*x: int) -> int:
        return x[0]

    def positional(x: int, /) -> int:
        return x

    def unknown(x: Nowhere) -> int:  # type: ignore[name-defined]  # noqa: F821
        return 1

    def ambiguous(x: list[int] | list[str]) -> int:
        return 1

    for decorate in (task, workflow, dynamic):
        for function, kind, code in (
            (untyped, MissingAnnotationError, "FP-MISSING-ANNOTATION"),
            (unannotated, MissingAnnotationError, "FP-MISSING-ANNOTATION"),
            (silent, MissingReturnError, "FP-MISSING-RETURN"),
            (wrong_default, DefaultValueError, "FP-DEFAULT"),
            (star, DefinitionError, "FP-DEFINITION"),
            (positional, DefinitionError, "FP-DEFINITION"),
            (unknown, DefinitionError, "FP-DEFINITION"),
            (ambiguous, AmbiguousUnionError, "FP-AMBIGUOUS-UNION"),
        ):
            with pytest.raises(kind) as caught:
                decorate(function)
            assert caught.value.code == code
            assert "test_static_checks" in str(caught.value.place)


def test_a_return_is_missing_where_only_some_paths_raise() -> None:
    with pytest.raises(MissingReturnError):

        @task
        def half(x: int) -> int:
            if x:
                raise ValueError

    @task
    def stub(x: int) -> int:
        raise NotImplementedError

    @task
    def optional(x: int) -> int | None:
        return None

    assert optional(x=1) is None
    with pytest.raises(NotImplementedError):
        stub(x=1)


def test_a_default_that_cannot_be_kept_is_told_when_it_is_compiled(tmp_path: Path) -> None:
    @workflow
    def flow(x: int = 1) -> int:
        return double(x=x)

    assert compiled(flow).interface.inputs[0].default is not None

    def with_file(file: FlyteFile = FlyteFile(str(tmp_path / "missing.txt"))) -> int:
        return double(x=1)

    with pytest.raises(DefaultValueError, match="cannot be kept"):
        compiled(workflow(with_file))


def test_a_task_nested_in_a_function_runs_here_and_cannot_be_compiled() -> None:
    @task
    def nested(x: int) -> int:
        return x + 1

    @workflow
    def flow(x: int) -> int:
        return nested(x=x)

    assert flow(x=1) == 2
    with pytest.raises(NestedTaskError) as caught:
        compiled(flow)
    assert caught.value.code == "FP-NESTED-TASK"
    assert "move it out" in str(caught.value.hint)


def test_untyped_inputs_are_pickled_where_that_is_asked_for() -> None:
    with pytest.warns(UserWarning, match="pickled"):

        @task(pickle_untyped=True)
        def anything(x, y: int = 1):  # type: ignore[no-untyped-def]
            return x, y

        @workflow(pickle_untyped=True)
        def flow(x):  # type: ignore[no-untyped-def]
            return anything(x=x)

    assert anything(x={1, "a"}) == ({1, "a"}, 1)
    assert flow(x=3) == (3, 1)


# --- all at once ---


def test_all_findings_are_told_each_on_its_line() -> None:
    @workflow
    def flow(x: int) -> str:
        double(y=x)
        say(text=x)
        double(x=say(text="a"))
        return double(x=x)

    with pytest.raises(CompileError, match="4 problems") as caught:
        flow(x=1)
    kinds = [type(finding) for finding in caught.value.findings]
    assert kinds == [UnknownInputError, TypeMismatchError, TypeMismatchError, TypeMismatchError]
    assert str(caught.value).count("test_static_checks.py:") == 3
    assert caught.value.code == "FP-COMPILE"


def test_an_output_that_is_missing_is_told_with_the_rest() -> None:
    @workflow
    def flow(x: int) -> int:
        say(text=x)
        return nothing(x=x)

    with pytest.raises(CompileError, match="2 problems"):
        flow(x=1)


def test_what_python_cannot_do_is_told_with_what_was_wrong_before() -> None:
    @workflow
    def flow(x: int) -> int:
        double(y=x)
        return x + 1

    with pytest.raises(CompileError, match="2 problems") as caught:
        flow(x=1)
    assert isinstance(caught.value.__cause__, PromiseError)


def test_sub_workflows_are_checked_with_the_workflow_that_calls_them() -> None:
    @workflow
    def inner(x: int) -> int:
        say(text=x)
        return double(x="a")

    @workflow
    def outer(x: int) -> int:
        first = double(x=x)
        return double(y=inner(x=first))

    with pytest.raises(CompileError, match="3 problems"):
        outer(x=1)
    assert ran == []


def test_workflows_that_call_each_other_have_no_end() -> None:
    made: dict[str, Any] = {}

    @workflow
    def ping(x: int) -> int:
        return made["pong"](x=x)

    @workflow
    def pong(x: int) -> int:
        return ping(x=x)

    made["pong"] = pong
    with pytest.raises(CycleError, match="calls itself"):
        ping(x=1)


def test_a_body_is_compiled_once_whatever_the_number_of_threads() -> None:
    built: list[int] = []
    both = threading.Barrier(8, timeout=10)

    @workflow
    def flow(x: int) -> int:
        built.append(1)
        return double(x=x)

    results: list[int] = []

    def call(number: int) -> None:
        both.wait()
        results.append(flow(x=number))

    threads = [threading.Thread(target=call, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(results) == [2 * number for number in range(8)]
    assert built == [1]


def test_a_body_that_failed_is_read_again() -> None:
    tries: list[int] = []

    @workflow
    def flow(x: int) -> int:
        tries.append(1)
        if len(tries) == 1:
            raise RuntimeError("not yet")
        return double(x=x)

    with pytest.raises(RuntimeError):
        flow(x=1)
    assert flow(x=1) == 2
    assert double(x=2) == 4


def test_nodes_interface_and_bindings_compile_without_a_run() -> None:
    @workflow
    def flow(x: int, y: str = "a") -> tuple[int, list[str]]:
        return double(x=x), [y, say(text=y)]

    assert [node.entity for node in flow.nodes] == [double, say]
    assert repr(flow.output_bindings) == "{'o0': <promise of n0.o0>, 'o1': [<promise of y>, <promise of n1.o0>]}"
    assert flow.interface.inputs == {"x": int, "y": str}
    assert flow.interface.defaults == {"y": "a"}
    assert ran == []


@pytest.mark.parametrize("look", ["nodes", "interface", "output_bindings", "graph"])
def test_whatever_is_looked_at_first_tells_what_is_wrong(look: str) -> None:
    @workflow
    def flow(x: int) -> int:
        return double(x="a")

    for _ in range(2):
        with pytest.raises(TypeMismatchError):
            getattr(flow, look)


def test_constants_inputs_lists_and_dicts_are_outputs() -> None:
    @workflow
    def flow(x: int) -> tuple[int, int, list[int], dict[str, list[int]], Pair, int | None]:
        return x, 7, [x, double(x=x), 3], {"a": [x], "b": [], "c": [4]}, Pair(1, "b"), None

    assert flow(x=2) == (2, 7, [2, 4, 3], {"a": [2], "b": [], "c": [4]}, Pair(1, "b"), None)
    kinds = {name: binding.kind for name, binding in compiled(flow).outputs.items()}
    assert kinds == {"o0": "input", "o1": "literal", "o2": "list", "o3": "dict", "o4": "literal", "o5": "literal"}


def test_a_value_of_another_type_inside_a_task_is_no_static_error() -> None:
    with pytest.raises(TypeTransformerFailedError):
        double(x="a")
