"""A body that is a text: it travels in the compiled task where its class says so, and counts for version and cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from compiled_specs import compiled
from flytepath import PythonInstanceTask, current_context, workflow
from flytepath.compiler import compile_task
from flytepath.model.identity import Tenant
from flytepath.testing import MemoryBlobs

calls: list[str] = []


class TextTask(PythonInstanceTask):
    """Gives its text back, as it was compiled."""

    body = "notebook"
    source_is_compiled = True

    def __init__(self, name: str, text: str, **settings: Any) -> None:
        self.source = text
        super().__init__(name, None, {"x": int}, {"said": str}, **settings)

    def execute(self, **inputs: Any) -> str:
        calls.append(self.source)
        return f"{current_context().declaration.source} {inputs['x']}"


class UncompiledTask(TextTask):
    """The same, whose text is its own affair."""

    source_is_compiled = False


one = TextTask("text.task", "one", cache=True, cache_version="1")
other = TextTask("text.task", "other", cache=True, cache_version="1")
kept = UncompiledTask("text.kept", "one", cache=True, cache_version="1")


@workflow
def flow(x: int = 1) -> str:
    return one(x=x)


def _spec(task: TextTask) -> Any:
    return compile_task(task, Tenant(), MemoryBlobs())


def test_the_text_is_in_the_compiled_task() -> None:
    assert _spec(one).body.source == "one"
    assert _spec(kept).body.source == ""
    assert next(iter(compiled(flow).tasks.values())).body.source == "one"


def test_another_text_is_another_version_for_the_cache() -> None:
    assert _spec(one).cache.version != _spec(other).cache.version
    assert _spec(one).cache.version.startswith("1+sha256:")
    assert _spec(kept).cache.version == "1"


def test_a_direct_call_of_another_text_misses_the_cache(flytepath_home: Path) -> None:
    calls.clear()
    assert [one(x=3), one(x=3), other(x=3)] == ["one 3", "one 3", "other 3"]
    assert calls == ["one", "other"]


def test_an_override_of_the_cache_counts_the_text_too() -> None:
    @workflow
    def overridden(x: int = 1) -> str:
        return one(x=x).with_overrides(cache=True, cache_version="2")

    (node,) = compiled(overridden).nodes
    assert node.overrides is not None
    assert node.overrides.cache.version.startswith("2+sha256:")


def test_the_declaration_is_told_what_was_compiled() -> None:
    assert one.declaration("local", "compiled").source == "compiled"
    assert one.declaration().source == "one"
