"""What surrounds the body of a task in a direct call: variables, secrets, coroutines, generators, notes, context."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from compiled_specs import compiled
from flytepath import (
    FlyteFile,
    FlyteRecoverableException,
    ImperativeWorkflow,
    PythonInstanceTask,
    PythonTask,
    Secret,
    TaskMetadata,
    create_node,
    current_context,
    dynamic,
    eager,
    kwtypes,
    map_task,
    task,
    workflow,
)
from flytepath.authoring.entity import Interface
from flytepath.errors import DefinitionError, FlytePathError, InputError, TypeTransformerFailedError


@task(secret_requests=[Secret(group="db", key="password")])
def read_secret() -> str:
    return current_context().secrets.get("db", "password")


@task(secret_requests=[Secret(group="db", key="password", env_var="DB_PASSWORD")])
def secret_variable() -> str:
    return os.environ["DB_PASSWORD"]


@task(environment={"MODE": "fast"})
def mode() -> str:
    return os.environ.get("MODE", "")


@task
async def later(x: int) -> int:
    await asyncio.sleep(0)
    return x + 1


@task
def squares(n: int) -> Iterator[int]:
    for i in range(n):
        yield i * i


@task
def added(items: Iterator[int]) -> int:
    return sum(items)


@task
def fails(x: int) -> int:
    raise FlyteRecoverableException(f"busy {x}")


@task
def double(x: int) -> int:
    return 2 * x


def test_secrets_come_from_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_FSEC_DB_PASSWORD", "swordfish")
    monkeypatch.delenv("DB_PASSWORD", raising=False)

    @workflow
    def flow() -> tuple[str, str]:
        return read_secret(), secret_variable()

    assert flow() == ("swordfish", "swordfish")
    assert "DB_PASSWORD" not in os.environ
    spec = compiled(flow)
    assert "swordfish" not in spec.model_dump_json()
    assert spec.tasks[secret_variable.name].secrets[0]["env_var"] == "DB_PASSWORD"


def test_a_secret_that_is_nowhere_is_an_error_that_names_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("_FSEC_DB_PASSWORD", raising=False)
    for call in (read_secret, secret_variable):
        with pytest.raises(FlytePathError, match="password") as caught:
            call()
        assert caught.value.code == "FP-SECRET-MISSING"
        assert f"in task {call.name}" in caught.value.__notes__


def test_variables_are_set_for_the_body_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODE", "slow")
    assert mode() == "fast"
    assert os.environ["MODE"] == "slow"


def test_a_coroutine_is_awaited_directly_and_runs_to_its_end_in_graphs() -> None:
    @workflow
    def flow(x: int) -> int:
        return double(x=later(x=x))

    @dynamic
    def grown(n: int) -> list[int]:
        return [later(x=i) for i in range(n)]

    assert asyncio.run(later(x=1)) == 2
    assert flow(x=1) == 4
    assert grown(n=2) == [1, 2]
    assert map_task(later)(x=[1, 2]) == [2, 3]

    async def inside() -> int:
        return flow(x=await later(x=1))

    assert asyncio.run(inside()) == 6


def test_generators_give_iterators() -> None:
    @workflow
    def flow(n: int) -> tuple[int, Iterator[int]]:
        items = squares(n=n)
        return added(items=items), items

    total, items = flow(n=4)
    assert (total, list(items), list(items)) == (14, [0, 1, 4, 9], [0, 1, 4, 9])
    assert list(squares(n=2)) == [0, 1]


def test_an_error_keeps_its_class_and_text_and_names_every_task_it_passed() -> None:
    @dynamic
    def outer(x: int) -> int:
        return fails(x=x)

    with pytest.raises(FlyteRecoverableException) as caught:
        outer(x=1)
    assert caught.value.message == "busy 1"
    assert caught.value.__notes__[0] == f"in task {fails.name}"
    assert caught.value.__notes__[-1] == f"in task {outer.name}"


def test_an_exception_without_attributes_comes_through_too() -> None:
    class Bare(Exception):
        __slots__ = ()

        def __setattr__(self, name: str, value: Any) -> None:
            if name == "flytepath_node":
                raise AttributeError(name)
            super().__setattr__(name, value)

    @task
    def raises(x: int) -> int:
        raise Bare

    @workflow
    def flow(x: int) -> int:
        return raises(x=x)

    with pytest.raises(Bare):
        flow(x=1)


def test_the_context_belongs_to_the_task_that_runs() -> None:
    @task
    def where() -> str:
        Path(current_context().working_directory, "a.txt").write_text("a")
        return str(current_context().working_directory)

    @workflow
    def flow() -> tuple[str, str]:
        return where(), where()

    first, second = flow()
    assert first != second
    assert not Path(first).exists()


def test_tasks_called_by_tasks_and_in_threads() -> None:
    @task
    def calls(n: int) -> list[int]:
        results: list[int] = [0] * n

        def call(i: int) -> None:
            results[i] = double(x=i)

        threads = [threading.Thread(target=call, args=(i,)) for i in range(n)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        return results

    assert calls(n=4) == [0, 2, 4, 6]

    @workflow
    def flow(n: int) -> list[int]:
        return calls(n=n)

    assert flow(n=3) == [0, 2, 4]


def test_files_pass_from_task_to_task(tmp_path: Path) -> None:
    @task
    def write(text: str) -> FlyteFile:
        path = Path(current_context().working_directory, "out.txt")
        path.write_text(text)
        return FlyteFile(str(path))

    @task
    def read(file: FlyteFile) -> str:
        return Path(file).read_text()

    @workflow
    def flow(text: str) -> tuple[str, FlyteFile]:
        file = write(text=text)
        return read(file=file), file

    text, file = flow(text="hello")
    assert text == "hello" == Path(file).read_text()


# --- what tasks are declared with ---


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"colour": "red"}, "no setting 'colour'"),
        ({"retry": 3}, "no setting 'retry'"),
        ({"retries": 1.5}, "retries"),
        ({"timeout": -1}, "timeout"),
        ({"deprecated": True}, "deprecated"),
        ({"secret_requests": ["password"]}, "secret_requests"),
        ({"task_resolver": object()}, "task_resolver"),
        ({"execution_mode": 1}, "execution_mode"),
        ({"environment": {"A": 1}}, "environment"),
        ({"docs": 3}, "docs"),
    ],
)
def test_settings_that_mean_nothing_are_refused_at_definition(settings: dict[str, Any], said: str) -> None:
    for decorate in (task, dynamic, eager):
        with pytest.raises(DefinitionError, match=said) as caught:

            @decorate(**settings)
            async def flow(x: int) -> int:
                return x

        assert caught.value.place


def test_metadata_says_what_was_declared() -> None:
    @task(retries=2, timeout=dt.timedelta(minutes=1), deprecated="use another", interruptible=True)
    def old(x: int) -> int:
        return x

    assert old(x=1) == 1
    metadata = old.metadata
    assert isinstance(metadata, TaskMetadata)
    assert (metadata.retries, metadata.deprecated, metadata.interruptible) == (2, "use another", True)
    assert metadata.timeout == dt.timedelta(minutes=1)


def test_only_functions_become_tasks() -> None:
    for what in (len, object(), double, staticmethod(double.function)):
        with pytest.raises(DefinitionError):
            task(what)
    with pytest.raises(DefinitionError):
        workflow(len)


def test_an_async_generator_is_no_task() -> None:
    with pytest.raises((DefinitionError, TypeTransformerFailedError)):

        @task
        async def stream(n: int) -> AsyncIterator[int]:
            yield n


# --- tasks that are classes ---


class Greeting(PythonTask):
    """Greets."""

    def __init__(self, name: str, word: str, **settings: Any) -> None:
        interface = Interface({"who": str, "times": (int, 1)}, {"o0": str})
        super().__init__("greeting", name, word, interface, **settings)

    def execute(self, **inputs: Any) -> str:
        return " ".join([f"{self.task_config} {inputs['who']}"] * inputs["times"])


class Add(PythonInstanceTask):
    def __init__(self, name: str, amount: int) -> None:
        super().__init__(name, inputs=kwtypes(x=int), outputs=kwtypes(total=int), metadata=TaskMetadata(retries=2))
        self.amount = amount

    def execute(self, **inputs: Any) -> int:
        return int(inputs["x"]) + self.amount


hello = Greeting("greeting.hello", "Hello", retries=1)
add_two = Add("add.two", 2)


def test_classes_are_tasks_like_any_other() -> None:
    @workflow
    def flow(x: int) -> tuple[str, int]:
        return hello(who="Ada"), add_two(x=x)

    assert flow(x=1) == ("Hello Ada", 3)
    assert hello("Bob", times=2) == "Hello Bob Hello Bob"
    spec = compiled(flow)
    assert spec.tasks["greeting.hello"].body.entry == f"{__name__}:hello"
    assert spec.tasks["add.two"].retry.retries == 2
    assert spec.tasks["greeting.hello"].documentation == "Greets."
    assert [v.name for v in spec.tasks["add.two"].interface.outputs] == ["total"]
    with pytest.raises(TypeTransformerFailedError):
        hello(who=3)
    with pytest.raises(InputError):
        add_two(y=1)


def test_a_class_without_a_body_says_so() -> None:
    with pytest.raises(DefinitionError, match="no body"):
        PythonInstanceTask("nobody", inputs=kwtypes(x=int))
    empty = PythonTask("t", "empty.task", interface=Interface({"x": int}, {"o0": int}))
    with pytest.raises(DefinitionError, match="no body"):
        empty(x=1)


def test_inputs_may_have_any_name() -> None:
    @task
    def odd(self: int, entity: int, name: int, graph: int, inputs: int, args: int) -> int:
        return self + entity + name + graph + inputs + args

    @workflow
    def flow(self: int, entity: int) -> int:
        node = create_node(odd, self=self, entity=entity, name=1, graph=1, inputs=1, args=1)
        return node.o0

    assert odd(self=1, entity=1, name=1, graph=1, inputs=1, args=1) == 6
    assert flow(self=2, entity=1) == 7
    again = ImperativeWorkflow("odd_names")
    given = {name: again.add_workflow_input(name, int) for name in odd.inputs}
    again.add_workflow_output("sum", again.add_entity(odd, **given))
    assert again(**dict.fromkeys(odd.inputs, 1)) == 6
