"""Tasks by direct call: signatures, types, isolation, errors."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import pytest
from flytepath import Deck, PythonInstanceTask, Resources, current_context, kwtypes, task
from flytepath.errors import (
    DefaultValueError,
    DefinitionError,
    InputError,
    PluginNotFoundError,
    TypeTransformerFailedError,
)


@task
def add(x: int, y: int = 1) -> int:
    """Add."""
    return x + y


class Pair(NamedTuple):
    low: int
    high: int


@task
def bounds(values: list[int]) -> Pair:
    return Pair(min(values), max(values))


@task
def divide(x: int, y: int) -> tuple[int, int]:
    return x // y, x % y


def test_a_direct_call_takes_positions_names_and_defaults() -> None:
    assert add(2) == 3
    assert add(2, 5) == 7
    assert add(y=5, x=2) == 7


def test_several_outputs_come_as_a_tuple_and_named_ones_keep_their_names() -> None:
    assert divide(7, 2) == (3, 1)
    assert bounds(values=[3, 1, 2]).high == 3


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (add, "missing input 'x'"),
        (lambda: add(1, 2, 3), "takes 2 inputs"),
        (lambda: add(1, x=2), "got input 'x' twice"),
        (lambda: add(1, z=2), "has no input 'z'"),
    ],
)
def test_wrong_arguments_are_input_errors_that_are_type_errors(call: Any, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        call()
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("value", ["1", 1.0, True, None])
def test_a_value_of_another_type_is_refused_with_the_argument_it_was_for(value: Any) -> None:
    with pytest.raises(TypeTransformerFailedError) as caught:
        add(x=value)
    assert caught.value.place is not None
    assert caught.value.place.endswith("add(x)")
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, ValueError)


def test_a_returned_value_of_another_type_is_refused() -> None:
    @task
    def wrong() -> int:
        return "three"  # type: ignore[return-value]

    with pytest.raises(TypeTransformerFailedError) as caught:
        wrong()
    assert "wrong() -> o0" in str(caught.value.place)


def test_the_path_inside_a_value_is_named() -> None:
    @dataclasses.dataclass
    class Layer:
        units: int

    @dataclasses.dataclass
    class Config:
        layers: list[Layer]

    @task
    def build(config: Config) -> int:
        return len(config.layers)

    with pytest.raises(TypeTransformerFailedError) as caught:
        build(config=Config([Layer(1), Layer("2")]))  # type: ignore[arg-type]
    assert str(caught.value.place).endswith("build(config.layers[1].units)")


def test_a_task_never_sees_the_callers_later_changes() -> None:
    @task
    def append(values: list[int]) -> list[int]:
        values.append(4)
        return values

    given = [1, 2, 3]
    assert append(values=given) == [1, 2, 3, 4]
    assert given == [1, 2, 3]


def test_a_tasks_exception_keeps_its_type_and_gains_the_tasks_name() -> None:
    @task
    def fail() -> int:
        raise KeyError("gone")

    with pytest.raises(KeyError) as caught:
        fail()
    assert any("fail" in note for note in caught.value.__notes__)


def test_an_unannotated_input_is_refused_at_definition() -> None:
    with pytest.raises(DefinitionError, match="'x' of the task has no type"):

        @task
        def loose(x) -> int:  # type: ignore[no-untyped-def]
            return 1


def test_a_return_annotation_without_a_return_is_refused() -> None:
    with pytest.raises(DefinitionError, match="no return statement"):

        @task
        def forgets(x: int) -> int:  # type: ignore[return]
            x + 1


def test_a_returned_value_without_annotation_is_refused() -> None:
    with pytest.raises(DefinitionError, match="declares no return type"):

        @task
        def silent(x: int):  # type: ignore[no-untyped-def]
            return x


def test_a_task_that_only_raises_may_declare_what_it_returns() -> None:
    @task
    def later() -> int:
        raise NotImplementedError

    with pytest.raises(NotImplementedError):
        later()


def test_star_arguments_are_refused() -> None:
    with pytest.raises(DefinitionError, match=r"cannot take \*args"):

        @task
        def many(*args: int) -> int:
            return 1


@pytest.mark.parametrize(
    "options", [{"retries": -1}, {"retries": True}, {"timeout": "soon"}, {"requests": {"cpu": 1}}, {"timeout": -1}]
)
def test_bad_metadata_is_refused_at_definition(options: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError):

        @task(**options)
        def nothing() -> None: ...


def test_a_default_of_another_type_is_refused_at_definition() -> None:
    with pytest.raises(DefaultValueError, match=r"int"):

        @task
        def off(x: int = "1") -> int:  # type: ignore[assignment]
            return x


def test_an_unknown_task_config_says_what_to_do() -> None:
    class Mystery:
        pass

    with pytest.raises(PluginNotFoundError) as caught:
        PythonInstanceTask("x", Mystery(), kwtypes(a=int))
    assert caught.value.hint


def test_a_resource_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(DefinitionError, match="mem"):
        Resources(mem="lots")


def test_the_context_of_a_running_task_is_its_own() -> None:
    @task
    def where() -> str:
        context = current_context()
        assert context.working_directory.is_dir()
        Deck("note", "<p>hi</p>")
        assert [(deck.name, deck.html) for deck in context.decks] == [("note", "<p>hi</p>")]
        return context.node_path

    assert where().endswith("where")
    assert current_context().node_path == ""
