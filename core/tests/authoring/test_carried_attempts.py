"""An attempt that another process enters: the body, the context, and what is told back."""

from __future__ import annotations

import pickle
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from flytepath.authoring.carried import CheckpointSaved, DeckKept, SecretGiven, carried, hear
from flytepath.authoring.context import ExecutionContext, current_context, entered
from flytepath.authoring.task import task
from flytepath.errors import WorkerError

MODULE = """
    from flytepath import current_context, task


    @task
    def saving(x: int) -> str:
        context = current_context()
        before = context.checkpoint.load()
        context.checkpoint.save({"x": x}, step=x)
        context.add_deck("report", f"<p>{x}</p>")
        secret = context.secrets.get("db", "password")
        return f"{context.node_path} {context.attempt} {context.execution_id} {context.task_id.name} {before} {secret}"


    @task
    async def waiting(x: int) -> int:
        return x + 1
"""

MEMBER = """
    import pickle, sys
    attempt = pickle.load(open(sys.argv[1], "rb"))
    told = []
    with attempt.entered(told.append, member=sys.argv[3]) as (context, body):
        result = body({"x": int(sys.argv[4])})
    pickle.dump((told, result), open(sys.argv[2], "wb"))
"""


def member(attempt: Any, folder: Path, x: int, name: str = "") -> tuple[list[Any], Any]:
    """What another process tells and returns."""
    sent, got = folder / "attempt", folder / "answer"
    sent.write_bytes(pickle.dumps(attempt))
    command = [sys.executable, "-c", textwrap.dedent(MEMBER), str(sent), str(got), name, str(x)]
    subprocess.run(command, check=True, env={"FLYTEPATH_SECRET_DB_PASSWORD": "swordfish"}, timeout=60)
    found: tuple[list[Any], Any] = pickle.loads(got.read_bytes())
    return found


@pytest.fixture
def flow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    import importlib

    (tmp_path / "carried_flow.py").write_text(textwrap.dedent(MODULE))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("carried_flow")
    sys.modules.pop("carried_flow", None)


def context_of(made: Any, folder: Path, **facts: Any) -> ExecutionContext:
    return ExecutionContext(
        node_path="n0", execution_id="run", attempt=2, declare=made.declaration, working_directory=folder, **facts
    )


def test_another_process_has_the_body_and_the_facts_of_the_attempt(flow: Any, tmp_path: Path) -> None:
    attempt = carried(context_of(flow.saving, tmp_path, checkpoint_destination=str(tmp_path / "saves")))
    told, result = member(attempt, tmp_path, 3, "rank 1")
    assert result == "n0 2 run carried_flow.saving None swordfish"
    assert [type(news) for news in told] == [CheckpointSaved, DeckKept, SecretGiven]
    assert told[0].step == 3 and told[1].name == "report (rank 1)" and told[2].value == b"swordfish"
    assert "swordfish" not in repr(told[2])


def test_one_that_enters_later_finds_what_the_first_one_saved(flow: Any, tmp_path: Path) -> None:
    attempt = carried(context_of(flow.saving, tmp_path))
    member(attempt, tmp_path, 3)
    assert "{'x': 3}" in member(attempt, tmp_path, 4)[1]


def test_a_coroutine_is_run_to_its_end(flow: Any, tmp_path: Path) -> None:
    assert member(carried(context_of(flow.waiting, tmp_path)), tmp_path, 3)[1] == 4


def test_a_function_that_no_module_holds_travels_itself(tmp_path: Path) -> None:
    factor = 5

    @task
    def nested(x: int) -> int:
        return x * factor

    attempt = carried(context_of(nested, tmp_path))
    assert attempt.module == ""
    # The function is pickled by value only where its module cannot be imported there.
    assert member(attempt, tmp_path, 3)[1] == 15


def test_what_cannot_travel_is_refused_here(tmp_path: Path) -> None:
    import threading

    lock = threading.Lock()

    @task
    def locked(x: int) -> int:
        with lock:
            return x

    with pytest.raises(WorkerError, match="cannot be given to another process"):
        carried(context_of(locked, tmp_path))


def test_outside_a_task_there_is_nothing_to_carry() -> None:
    with pytest.raises(WorkerError, match="no attempt"):
        carried(current_context())


def test_a_deck_that_is_heard_is_the_attempts(flow: Any, tmp_path: Path) -> None:
    kept: dict[str, str] = {}
    context = context_of(flow.saving, tmp_path, on_deck=kept.__setitem__)
    with entered(context):
        hear(context, DeckKept("report", "<p>there</p>"))
        hear(context, CheckpointSaved(3))
        hear(context, SecretGiven("db/password", b"swordfish"))
    assert kept == {"report": "<p>there</p>"}
