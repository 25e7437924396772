"""Workflows as compiled: a closed, static graph that needs none of the user's code to be read."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from flytepath.model.literal import Literal as LiteralValue
from flytepath.model.literal import canonical_json, sha256
from flytepath.model.task import Interface, Record, TaskSpec

SPEC_FORMAT = 1


class InputBinding(Record):
    """The value of a workflow input, or a part of it."""

    kind: Literal["input"] = "input"
    name: str
    path: tuple[str | int, ...] = ()


class OutputBinding(Record):
    """The value of another node's output, or a part of it."""

    kind: Literal["output"] = "output"
    node: str
    name: str
    path: tuple[str | int, ...] = ()


class LiteralBinding(Record):
    """A constant."""

    kind: Literal["literal"] = "literal"
    value: LiteralValue


class ListBinding(Record):
    """A list put together from bindings."""

    kind: Literal["list"] = "list"
    items: tuple[Binding, ...]


class DictBinding(Record):
    """A dict with string keys, or a struct, put together from bindings."""

    kind: Literal["dict"] = "dict"
    items: dict[str, Binding]


Binding = Annotated[
    InputBinding | OutputBinding | LiteralBinding | ListBinding | DictBinding, Field(discriminator="kind")
]


class NodeSpec(Record):
    """One node. ``path`` is unique and the same in every run: ``n3``, or ``n1/n0`` inside a sub-workflow."""

    path: str
    task: str
    inputs: dict[str, Binding] = {}
    upstream: tuple[str, ...] = ()
    name: str = ""
    overrides: dict[str, Any] = {}
    line: str = ""


class WorkflowSpec(Record):
    """A compiled workflow with every task it calls. ``digest`` names its content."""

    format: int = SPEC_FORMAT
    name: str
    interface: Interface
    nodes: tuple[NodeSpec, ...]
    outputs: dict[str, Binding] = {}
    tasks: dict[str, TaskSpec] = {}
    failure_policy: Literal["fail_immediately", "fail_after_executable_nodes_complete"] = "fail_immediately"
    documentation: str = ""

    def digest(self) -> str:
        """The digest of the canonical JSON form."""
        return sha256(canonical_json(self.model_dump(mode="json")))


ListBinding.model_rebuild()
DictBinding.model_rebuild()
NodeSpec.model_rebuild()
WorkflowSpec.model_rebuild()
