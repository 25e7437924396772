"""Workflows as compiled: a closed, static graph that needs none of the user's code to be read."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from flytepath.model.literal import Literal as LiteralValue
from flytepath.model.literal import canonical_json, sha256
from flytepath.model.task import Interface, Overrides, Record, TaskSpec
from flytepath.model.types import LiteralType

SPEC_FORMAT = 1

FailurePolicy = Literal["fail_immediately", "fail_after_executable_nodes_complete"]


def _tag(kind: str) -> Any:
    """A field that says which class it is: never left out of the stored form, although it has a default."""
    # A default that is made from the other fields is not one that could be left out.
    return Field(default_factory=lambda _others: kind)


class InputBinding(Record):
    """The value of a workflow input, or a part of it."""

    kind: Literal["input"] = _tag("input")
    name: str
    path: tuple[str | int, ...] = ()


class OutputBinding(Record):
    """The value of another node's output, or a part of it."""

    kind: Literal["output"] = _tag("output")
    node: str
    name: str
    path: tuple[str | int, ...] = ()


class LiteralBinding(Record):
    """A constant."""

    kind: Literal["literal"] = _tag("literal")
    value: LiteralValue


class ArgumentBinding(Record):
    """The value of an input of a node around this one, or a part of it: what a graph's inputs become when it runs."""

    kind: Literal["argument"] = _tag("argument")
    node: str
    name: str
    path: tuple[str | int, ...] = ()


class FailureBinding(Record):
    """What went wrong, as a ``FlyteError``: only for the node that handles a failure."""

    kind: Literal["failure"] = _tag("failure")


class ListBinding(Record):
    """A list put together from bindings."""

    kind: Literal["list"] = _tag("list")
    items: tuple[Binding, ...]


class DictBinding(Record):
    """A dict with string keys, or a struct, put together from bindings."""

    kind: Literal["dict"] = _tag("dict")
    items: dict[str, Binding]


Binding = Annotated[
    InputBinding | OutputBinding | LiteralBinding | ListBinding | DictBinding | ArgumentBinding | FailureBinding,
    Field(discriminator="kind"),
]


class Comparison(Record):
    """Two scalars compared; a constant side is a ``LiteralBinding``."""

    kind: Literal["comparison"] = _tag("comparison")
    operator: Literal["==", "!=", "<", "<=", ">", ">="]
    left: Binding
    right: Binding


class Junction(Record):
    """Conditions that must all hold (``and``), or of which one must (``or``)."""

    kind: Literal["and", "or"]
    items: tuple[Condition, ...]


Condition = Annotated[Comparison | Junction, Field(discriminator="kind")]


class CaseSpec(Record):
    """One way a branch can go. ``condition`` is ``None`` for the last, ``else_``; ``error`` is what ``fail`` says.

    Its nodes have paths below the branch's, ``n2/c0/n0``, and may refer to any node around the branch.
    """

    condition: Condition | None = None
    nodes: tuple[NodeSpec, ...] = ()
    outputs: dict[str, Binding] = {}
    error: str | None = None


class MapSpec(Record):
    """How a node runs once per item of its ``mapped`` inputs; the other inputs are the same for every item.

    With a ``min_success_ratio`` under 1, or ``min_successes``, the outputs of items that failed are ``None``.
    """

    mapped: tuple[str, ...]
    concurrency: int | None = Field(default=None, ge=1)
    min_success_ratio: float = Field(default=1.0, ge=0, le=1)
    min_successes: int | None = Field(default=None, ge=0)


class GateSpec(Record):
    """What a node waits for: a person's approval or input under the name ``signal``, or time.

    An approval passes each of its inputs on as the output of the same name; an input has ``type``; ``seconds`` is how
    long to sleep.
    """

    kind: Literal["approve", "input", "sleep"]
    signal: str = ""
    type: LiteralType | None = None
    seconds: float = Field(default=0.0, ge=0)
    timeout_seconds: float | None = Field(default=None, gt=0)


class NodeSpec(Record):
    """One node. ``path`` is unique and the same in every run: ``n3``, or ``n1/n0`` inside a sub-workflow.

    Exactly one field says what it does: ``task`` or ``graph`` names what it runs (once, or for each item where ``map``
    is set), ``cases`` is a branch, ``gate`` a wait. Nodes that run no task carry their own ``interface``.
    """

    path: str
    task: str = ""
    graph: str = ""
    map: MapSpec | None = None
    cases: tuple[CaseSpec, ...] = ()
    gate: GateSpec | None = None
    interface: Interface | None = None
    inputs: dict[str, Binding] = {}
    upstream: tuple[str, ...] = ()
    name: str = ""
    overrides: Overrides | None = None
    line: str = ""

    @property
    def kind(self) -> Literal["task", "graph", "map", "branch", "gate"]:
        """What the node does."""
        if self.map is not None:
            return "map"
        if self.cases:
            return "branch"
        if self.gate is not None:
            return "gate"
        return "graph" if self.graph else "task"

    def task_of(self, tasks: dict[str, TaskSpec]) -> TaskSpec:
        """The task this node runs, with the node's own overrides."""
        task = tasks[self.task]
        return task if self.overrides is None else self.overrides.applied(task)


class GraphSpec(Record):
    """Nodes with inputs and outputs of their own: a sub-workflow or launch plan that is run as one step.

    Node paths are relative; whoever runs the graph puts its own path before them.
    """

    name: str
    interface: Interface
    nodes: tuple[NodeSpec, ...] = ()
    outputs: dict[str, Binding] = {}
    failure_policy: FailurePolicy = "fail_immediately"
    on_failure: NodeSpec | None = None
    documentation: str = ""


class WorkflowSpec(GraphSpec):
    """A compiled workflow with every task and graph it calls. ``digest`` names its content.

    ``timeout_seconds`` is how long an execution of it may take as a whole.
    """

    format: int = SPEC_FORMAT
    timeout_seconds: float | None = Field(default=None, gt=0)
    tasks: dict[str, TaskSpec] = {}
    graphs: dict[str, GraphSpec] = {}

    def digest(self) -> str:
        """The digest of the canonical JSON form."""
        return sha256(canonical_json(self.model_dump(mode="json", exclude_defaults=True)))


for _model in (ListBinding, DictBinding, Comparison, Junction, CaseSpec, NodeSpec, GraphSpec, WorkflowSpec):
    _model.model_rebuild()
