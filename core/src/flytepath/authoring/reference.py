"""References: tasks, workflows and launch plans that were registered by somebody else, called by their identity."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from flytepath.authoring.entity import Entity
from flytepath.authoring.signature import read_signature
from flytepath.authoring.task import take_names
from flytepath.errors import DefinitionError, EntityReferenceError
from flytepath.model.identity import Identity


class ReferenceEntity(Entity):
    """A registered entity, by its identity and the interface it is expected to have.

    Attributes:
        kind: what it is a reference to.
        reference: project, domain, name and version.
    """

    def __init__(
        self, kind: Literal["task", "workflow", "launch_plan"], reference: Identity, function: Callable[..., Any]
    ) -> None:
        self.kind = kind
        self.reference = reference
        signature = read_signature(function, f"reference {kind.replace('_', ' ')}", is_stub=True)
        take_names(self, function)
        super().__init__(
            reference.name, signature.inputs, signature.outputs, signature.defaults, signature.output_tuple
        )

    def run_here(self, inputs: dict[str, Any]) -> Any:
        """Only a stand-in can run here: the code of the real one is not at hand.

        Raises:
            EntityReferenceError: there is no stand-in.
        """
        if self.stand_in is None:
            raise EntityReferenceError(
                f"the {self.kind.replace('_', ' ')} {self.reference} runs where it is registered, not in a direct call",
                place=self.name,
                hint="use `flytepath run`, or give it a stand-in in a test: with task_mock(...) as mock",
            )
        return self.answered(inputs)

    def __repr__(self) -> str:
        return f"<reference to {self.kind.replace('_', ' ')} {self.reference}>"


Decorator = Callable[[Callable[..., Any]], ReferenceEntity]


def _reference(kind: Any, project: str, domain: str, name: str, version: str) -> Decorator:
    for what, text in (("project", project), ("domain", domain), ("name", name), ("version", version)):
        if not isinstance(text, str) or not text:
            raise DefinitionError(f"a reference needs a {what}", place=f"reference_{kind}({what})", actual=repr(text))
    identity = Identity(project, domain, name, version)

    def decorate(function: Callable[..., Any]) -> ReferenceEntity:
        if not hasattr(function, "__code__"):
            raise DefinitionError(f"@reference_{kind} takes a plain function", actual=repr(function))
        return ReferenceEntity(kind, identity, function)

    return decorate


def reference_task(project: str, domain: str, name: str, version: str) -> Decorator:
    """Refer to a registered task; the decorated function gives the interface, its body is never run.

    Example:
        >>> from flytepath import reference_task
        >>> @reference_task(project="default", domain="development", name="lib.clean", version="v1")
        ... def clean(rows: int) -> int: ...
        >>> clean.reference.version
        'v1'
    """
    return _reference("task", project, domain, name, version)


def reference_workflow(project: str, domain: str, name: str, version: str) -> Decorator:
    """Refer to a registered workflow; see :func:`reference_task`."""
    return _reference("workflow", project, domain, name, version)


def reference_launch_plan(project: str, domain: str, name: str, version: str) -> Decorator:
    """Refer to a registered launch plan; see :func:`reference_task`."""
    return _reference("launch_plan", project, domain, name, version)


def get_reference_entity(
    kind: str, project: str, domain: str, name: str, version: str, inputs: dict[str, Any], outputs: dict[str, Any]
) -> ReferenceEntity:
    """A reference whose interface is given as dicts of Python types.

    Raises:
        DefinitionError: ``kind`` is none of ``task``, ``workflow``, ``launch_plan``.
    """
    if kind not in ("task", "workflow", "launch_plan"):
        raise DefinitionError("nothing of this kind can be referred to", place=f"kind={kind!r}")

    def stub() -> None: ...

    entity = _reference(kind, project, domain, name, version)(stub)
    Entity.__init__(entity, name, inputs, outputs, {}, None)
    return entity
