"""What a type puts around an attempt holds, in a direct call too, from the check of inputs to that of outputs."""

from __future__ import annotations

import asyncio
import importlib
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest
from fake_distributions import Distributions
from flytepath.errors import TypeTransformerFailedError
from flytepath.plugin.manager import set_current

MANIFEST = """
    @hookimpl
    def flytepath_task_types():
        return [TaskTypeDeclaration(name="held", task_type="flyte_plugin_held.held:HeldType",
                                    config="flyte_plugin_held.held:Held")]

    @hookimpl
    def flytepath_transformers():
        return [TransformerDeclaration(python_types=("flyte_plugin_held.held.Lazy",), format="lazy",
                                       transformer="flyte_plugin_held.held:LazyTransformer")]
"""
HELD = """
    from contextlib import contextmanager
    from flytepath.plugin import Literal, LiteralType, TaskType, TypeTransformer

    SEEN = []

    class Held:
        pass

    class Lazy:
        pass

    class HeldType(TaskType):
        @contextmanager
        def around(self, context):
            SEEN.append("open")
            context.attach("held", "session")
            try:
                yield
            finally:
                SEEN.append("close")

    class LazyTransformer(TypeTransformer):
        format = "lazy"

        def literal_type(self, t):
            return LiteralType("opaque", name="Lazy", format="lazy")

        def encode(self, value, t, sink):
            return Literal.make(self.literal_type(t), None, format="lazy")

        def decode(self, literal, t, source):
            return t()

        def isolate(self, value, t):
            SEEN.append("value")
            return value
"""
FLOW = """
    from flyte_plugin_held.held import SEEN, Held, Lazy
    from flytepath import current_context, task

    @task(task_config=Held())
    def passed(value: Lazy) -> Lazy:
        SEEN.append(current_context().held)
        return value

    @task(task_config=Held())
    async def passed_later(value: Lazy) -> Lazy:
        SEEN.append("body")
        return value

    @task(task_config=Held())
    def failing(value: int) -> int:
        raise ValueError("mine")
"""


@pytest.fixture
def held(distributions: Distributions) -> Iterator[Any]:
    path = distributions.add("held", MANIFEST)
    (path.parent / "held.py").write_text(textwrap.dedent(HELD))
    (path.parent / "flow.py").write_text(textwrap.dedent(FLOW))
    importlib.invalidate_caches()
    before = set_current(None)
    yield importlib.import_module("flyte_plugin_held.flow")
    set_current(before)


def test_inputs_and_outputs_are_checked_inside(held: Any) -> None:
    held.passed(value=held.Lazy())
    assert held.SEEN == ["open", "value", "session", "value", "close"]
    held.SEEN.clear()
    asyncio.run(held.passed_later(value=held.Lazy()))
    assert held.SEEN == ["open", "value", "body", "value", "close"]


def test_it_ends_where_an_input_is_wrong_or_the_body_fails(held: Any) -> None:
    with pytest.raises(TypeTransformerFailedError, match="expected int") as caught:
        held.failing(value="text")
    assert caught.value.place == f"{held.failing.name}(value)"
    with pytest.raises(ValueError, match="mine"):
        held.failing(value=1)
    assert held.SEEN == ["open", "close", "open", "close"]
