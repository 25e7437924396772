"""What differs between two executions, and that nothing does where they are alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flytepath.bundle import Bundle, unpack
from flytepath.client import LocalClient
from flytepath.errors import NotFoundError
from flytepath.model.literal import Literal
from flytepath.model.types import STRING
from recorded import SCOPE, Recorded, chain, number

Record = Callable[..., Recorded]


@pytest.fixture
def record(tmp_path: Path) -> Iterator[Record]:
    made: list[Recorded] = []

    def make(id: str, spec: Any = None, **facts: Any) -> Recorded:
        made.append(Recorded(tmp_path / "home", spec or chain("flow.a", "flow.b"), id=id, **facts))
        return made[-1]

    yield make
    for each in made:
        each.close()


def changes(home: Path, a: str = "a1", b: str = "b1") -> dict[str, tuple[str | None, str | None]]:
    with LocalClient(home) as client:
        found = client.diff(SCOPE, a, b).changes
    return {f"{change.part}: {change.name}": (change.before, change.after) for change in found}


def succeed(run: Recorded, seconds: float = 1.0) -> None:
    for path in ("n0", "n1"):
        run.start(path, x=number(3))
        run.now += seconds
        run.succeed(path, 4)
    run.finish()


def test_alike_executions_do_not_differ(record: Record) -> None:
    for name in ("a1", "b1"):
        succeed(record(name))
    home = record("c1").home
    assert changes(home) == {}
    assert changes(home, "a1", "a1") == {}


def test_what_went_in_and_where_it_ran(record: Record) -> None:
    record("a1", environment={"python": "3.11", "plugin:flyte-plugin-x": "1.0", "plugin:y": "1"}, labels={"team": "a"})
    home = record(
        "b1",
        inputs={"x": number(4), "extra": Literal.make(STRING, "new")},
        workflow_version="v2",
        environment={"python": "3.12", "plugin:flyte-plugin-x": "1.1"},
        variables={"MODE": "fast"},
        overwrite_cache=True,
    ).home
    assert changes(home) == {
        "inputs: x": ("3", "4"),
        "inputs: extra": (None, '"new"'),
        "workflow: version": ("v1", "v2"),
        "environment: python": ("3.11", "3.12"),
        "plugins: flyte-plugin-x": ("1.0", "1.1"),
        "plugins: y": ("1", None),
        "settings: variable MODE": (None, "fast"),
        "settings: overwrite_cache": (None, "true"),
        "labels: team": ("a", None),
    }


def test_long_values_are_cut_where_they_differ(record: Record) -> None:
    record("a1", inputs={"x": Literal.make(STRING, "a" * 500 + "1")})
    home = record("b1", inputs={"x": Literal.make(STRING, "a" * 500 + "2")}).home
    [(before, after)] = changes(home).values()
    assert before is not None
    assert after is not None
    assert before != after
    assert len(before) < 200


def test_code_is_compared_file_by_file_where_it_is_here(record: Record) -> None:
    old = Bundle.of({"flow.py": b"x = 1", "gone.py": b"", "same.py": b"1"})
    new = Bundle.of({"flow.py": b"x = 2", "new.py": b"", "same.py": b"1"})
    run = record("a1", bundle=old.digest)
    record("b1", bundle=new.digest)
    assert set(changes(run.home)) == {"code: bundle"}
    unpack(old, run.home)
    unpack(new, run.home)
    found = changes(run.home)
    assert set(found) == {"code: bundle", "code: flow.py", "code: gone.py", "code: new.py"}
    assert found["code: gone.py"][1] is None
    assert found["code: new.py"][0] is None


def test_graphs_are_compared_node_by_node_and_task_by_task(record: Record) -> None:
    record("a1", chain("flow.a", "flow.b", retries=1))
    home = record("b1", chain("flow.a", "flow.c", "flow.d")).home
    found = changes(home)
    assert found["graph: node n1"] == ("flow.b", "flow.c")
    assert found["graph: node n2"] == (None, "flow.d")
    assert found["graph: task flow.b"] == ("there", None)
    assert found["graph: task flow.a: retry"][1] is None
    assert "graph: node n2: inputs" not in found


def test_outcomes_and_long_durations(record: Record) -> None:
    succeed(record("a1"), seconds=1.0)
    slow = record("b1")
    slow.start("n0", x=number(3))
    slow.now += 5
    slow.succeed("n0", 4)
    slow.start("n1", x=number(3))
    slow.fail("n1", "trouble")
    slow.finish()
    found = changes(slow.home)
    assert found["outcome: status"] == ("succeeded", "failed")
    assert found["outcome: error"] == (None, "trouble")
    assert found["nodes: n1"] == ("succeeded", "failed")
    assert found["nodes: n0: duration"] == ("1.0 s", "5.0 s")


def test_an_unknown_execution_is_refused(record: Record) -> None:
    home = record("a1").home
    with LocalClient(home) as client, pytest.raises(NotFoundError):
        client.diff(SCOPE, "a1", "zzz")
