"""Why the cache served a node or did not, told part by part, and what is in it."""

from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flytepath.bundle import collect
from flytepath.client import LocalClient, Scope, SilentListener
from flytepath.client.cache_explaining import CacheExplanation, Caches
from flytepath.compiler import compile_entity, parse_inputs
from flytepath.errors import NotFoundError
from flytepath.model.identity import Tenant

SOURCE = """
    from pathlib import Path
    from flytepath import Cache, FlyteFile, current_context, dynamic, map_task, task, workflow

    @task(cache=Cache(version="1", ignored_inputs=("note",)))
    def double(x: int, note: str = "") -> int:
        if x == 0:
            raise ValueError("no")
        return 2 * x

    @task
    def plain(x: int) -> int:
        return x

    @task(cache=True, cache_version="1")
    def written(x: int) -> FlyteFile:
        path = Path(current_context().working_directory, "made.txt")
        path.write_text(str(x))
        return FlyteFile(str(path))

    @task(cache=True, cache_version="1")
    def item(x: int) -> int:
        return x + 1

    @dynamic(cache=True, cache_version="1")
    def grown(n: int) -> list[int]:
        return [item(x=i) for i in range(n)]

    @workflow
    def wf(x: int, note: str = "") -> int:
        return plain(x=double(x=x, note=note))

    @workflow
    def files(x: int) -> FlyteFile:
        return written(x=x)

    @workflow
    def mapped(n: int) -> list[int]:
        return map_task(item)(x=grown(n=n))
"""


class Desk:
    """Runs versions of one module in this process, and asks about the cache."""

    def __init__(self, client: LocalClient, folder: Path) -> None:
        self.client = client
        self.caches = Caches(client)
        self.scope = Scope(Tenant(), "ada")
        self._folder = folder
        self._made = 0
        self.load()

    def load(self, old: str = "", new: str = "") -> None:
        """Take a version of the module whose text has ``new`` in place of ``old``; ``|`` stands between several."""
        source = textwrap.dedent(SOURCE)
        for before, after in zip(old.split("|"), new.split("|"), strict=True):
            assert before in source
            source = source.replace(before, after) if before else source
        self._made += 1
        self._root = self._folder / f"v{self._made}"
        self._root.mkdir()
        (self._root / "explained_flow.py").write_text(source)
        sys.modules.pop("explained_flow", None)
        sys.path.insert(0, str(self._root))
        importlib.invalidate_caches()
        try:
            self.module = importlib.import_module("explained_flow")
        finally:
            sys.path.remove(str(self._root))

    def run(self, name: str, expected: str = "succeeded", **inputs: Any) -> str:
        blobs, entity = self.client.blobs(self.scope), getattr(self.module, name)
        overwrite = inputs.pop("overwrite_cache", False)
        spec = compile_entity(entity, self.scope.tenant, blobs)
        identity = self.client.register(self.scope, spec, collect(self._root / "explained_flow.py", self._root))
        literals = parse_inputs(entity, {key: str(value) for key, value in inputs.items()}, {}, blobs)
        execution = self.client.create_execution(self.scope, identity, literals, overwrite_cache=overwrite)
        view = self.client.wait(self.scope, execution, SilentListener())
        assert view.status == expected, view.error
        return execution

    def explain(self, execution: str, node: str = "n0") -> CacheExplanation:
        return self.caches.explanation(self.scope, execution, node)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with LocalClient(tmp_path / "home", slots=2) as client:
        yield Desk(client, tmp_path)
    sys.modules.pop("explained_flow", None)


def parts(found: CacheExplanation) -> list[tuple[str, str]]:
    return [(each.part, each.name) for each in found.differences]


def test_the_first_run_finds_nothing_and_the_next_one_its_result(desk: Desk) -> None:
    first = desk.run("wf", x=3)
    assert desk.explain(first).verdict == "no_entry"
    assert desk.explain(first, "n1").verdict == "not_cached"
    again = desk.explain(desk.run("wf", x=3, note="ignored"))
    assert again.verdict == "hit"
    assert again.source is not None
    assert (again.source.execution, again.source.node, again.source.task) == (first, "n0", "explained_flow.double")
    assert again.key == again.source.key
    assert first in again.reason


def test_an_input_that_differs_is_shown_on_both_sides(desk: Desk) -> None:
    first, second = desk.run("wf", x=3), desk.run("wf", x=4)
    found = desk.explain(second)
    assert (found.verdict, parts(found)) == ("miss", [("input", "x")])
    assert found.source is not None
    assert found.source.execution == first
    assert (found.differences[0].here.split()[0], found.differences[0].there.split()[0]) == ("4", "3")


@pytest.mark.parametrize(
    ("old", "new", "part", "here", "there"),
    [
        ('version="1", ig', 'version="2", ig', "version", "2", "1"),
        (
            'note: str = "") -> int:\n    if|double(x=x, note=note)',
            "note: int = 0) -> int:\n    if|double(x=x)",
            "interface",
            "(x: integer, note: integer) -> (o0: integer)",
            "(x: integer, note: string) -> (o0: integer)",
        ),
        (', ignored_inputs=("note",)', "", "ignored", "none", "note"),
    ],
)
def test_a_changed_declaration_is_named(desk: Desk, old: str, new: str, part: str, here: str, there: str) -> None:
    desk.run("wf", x=3)
    desk.load(old=old, new=new)
    found = desk.explain(desk.run("wf", x=3))
    assert found.verdict == "miss"
    assert [(each.part, each.here, each.there) for each in found.differences] == [(part, here, there)]


def test_the_nearest_result_is_compared(desk: Desk) -> None:
    near = desk.run("wf", x=3)
    desk.load(old='version="1", ig', new='version="2", ig')
    desk.run("wf", x=5)
    desk.load(old='version="1", ig', new='version="3", ig')
    found = desk.explain(desk.run("wf", x=3))
    assert parts(found) == [("version", "")]
    assert found.source is not None
    assert found.source.execution == near


def test_what_was_overwritten_says_so(desk: Desk) -> None:
    desk.run("wf", x=3)
    assert desk.explain(desk.run("wf", x=3, overwrite_cache=True)).verdict == "overwritten"


def test_an_artifact_that_was_gone_is_named(desk: Desk) -> None:
    desk.run("files", x=3)
    for path in (desk.client.home / "blobs").rglob("*"):
        if path.is_file() and path.read_bytes() == b"3":
            path.unlink()
    found = desk.explain(desk.run("files", x=3))
    assert found.verdict == "artifact_missing"
    assert found.missing.startswith("file://")
    assert desk.explain(desk.run("files", x=3)).verdict == "hit"


def test_a_node_that_failed_is_compared_too(desk: Desk) -> None:
    first = desk.run("wf", x=3)
    found = desk.explain(desk.run("wf", "failed", x=0))
    assert (found.verdict, parts(found)) == ("miss", [("input", "x")])
    assert found.source is not None
    assert found.source.execution == first


def test_a_hit_whose_result_was_dropped_since_is_still_one(desk: Desk) -> None:
    desk.run("wf", x=3)
    execution = desk.run("wf", x=3)
    assert desk.caches.clear(desk.scope) == 1
    found = desk.explain(execution)
    assert (found.verdict, found.source) == ("hit", None)
    assert "dropped" in found.reason


def test_items_of_maps_and_dynamic_tasks(desk: Desk) -> None:
    first = desk.run("mapped", n=3)
    nodes = {node.path: node for node in desk.client.execution(desk.scope, first).nodes}
    maps = next(path for path, node in nodes.items() if node.kind == "map")
    grown = next(path for path, node in nodes.items() if node.task == "explained_flow.grown")
    assert (desk.explain(first, maps).verdict, desk.explain(first, f"{maps}/2").verdict) == ("not_cached", "miss")
    second = desk.run("mapped", n=3)
    assert [desk.explain(second, path).verdict for path in (grown, f"{maps}/0", f"{maps}/2")] == ["hit"] * 3


def test_results_are_listed_and_dropped_by_task_and_age(desk: Desk) -> None:
    execution = desk.run("wf", x=3)
    desk.run("files", x=3)
    listed = desk.caches.entries(desk.scope)
    assert [each.task for each in listed] == ["explained_flow.written", "explained_flow.double"]
    (double,) = desk.caches.entries(desk.scope, "double")
    assert (double.execution, double.node, double.version) == (execution, "n0", "1")
    assert double.inputs["x"] == "3"
    with pytest.raises(NotFoundError, match="holds nothing of a task triple"):
        desk.caches.clear(desk.scope, "triple")
    assert desk.caches.clear(desk.scope, "double", before=double.stored_at) == 0
    assert desk.caches.clear(desk.scope, "double") == 1
    assert desk.caches.clear(Scope(Tenant("other", "development"), "ada")) == 0
    assert desk.caches.clear(desk.scope) == 1


def test_there_is_nothing_to_say_of_what_does_not_exist(desk: Desk) -> None:
    with pytest.raises(NotFoundError):
        desk.explain("x")
    with pytest.raises(NotFoundError):
        desk.explain(desk.run("wf", x=3), "n7")
