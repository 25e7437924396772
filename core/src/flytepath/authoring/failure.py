"""``on_failure``: what runs when a workflow fails, with its inputs and with the error."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flytepath.authoring.entity import Entity
from flytepath.authoring.signature import REQUIRED
from flytepath.errors import DefinitionError, FlytePathError
from flytepath.model.fitting import fits

if TYPE_CHECKING:
    from flytepath.authoring.workflow import Workflow

log = logging.getLogger("flytepath")

#: The handler's input that gets the error.
ERROR_INPUT = "err"


def check_handler(workflow: Workflow, handler: Entity) -> None:
    """Refuse a handler whose inputs the workflow cannot give.

    Raises:
        DefinitionError: it is no entity, or an input is neither one of the workflow's, nor ``err``, nor has a default.
    """
    place = f"{workflow.name}(on_failure)"
    if not isinstance(handler, Entity):
        raise DefinitionError("on_failure takes a task or a workflow", place=place, actual=repr(handler))
    for name, codec in handler.input_codecs.items():
        if name == ERROR_INPUT and name not in workflow.inputs:
            continue
        own = workflow.input_codecs.get(name)
        if own is None:
            if handler.defaults.get(name, REQUIRED) is REQUIRED:
                raise DefinitionError(
                    f"the failure handler {handler.name} needs an input {name!r} that the workflow does not have",
                    place=place,
                    expected=", ".join([*workflow.inputs, ERROR_INPUT]),
                )
        elif not fits(own.literal_type, codec.literal_type):
            raise DefinitionError(
                f"input {name!r} of the failure handler {handler.name} has another type than the workflow's",
                place=place,
                expected=str(codec.literal_type),
                actual=str(own.literal_type),
            )


def handler_inputs(workflow: Workflow, handler: Entity) -> dict[str, str | None]:
    """For each input of the handler the workflow's input of that name, or ``None`` for the error; without defaults."""
    out: dict[str, str | None] = {}
    for name in handler.inputs:
        if name in workflow.inputs:
            out[name] = name
        elif name == ERROR_INPUT:
            out[name] = None
    return out


def handle_here(workflow: Workflow, handler: Entity, inputs: Mapping[str, Any], error: Exception) -> None:
    """Run the handler in this process. What it raises is noted on ``error``, which stays the workflow's failure."""
    from flytepath.types.failures import FlyteError

    given: dict[str, Any] = {}
    for name, source in handler_inputs(workflow, handler).items():
        given[name] = (
            FlyteError(message=message_of(error), failed_node_id=_node(error)) if source is None else inputs[source]
        )
    try:
        handler.run_here(handler.bind((), given))
    except Exception as lost:
        log.warning("the failure handler %s failed", handler.name, exc_info=True)
        error.add_note(f"the failure handler {handler.name} failed too: {lost}")


def message_of(error: BaseException) -> str:
    """What an error says, with its class where it is not one of ours; the same as a durable run records."""
    if isinstance(error, FlytePathError):
        return error.message
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return f"{name}: {error}" if str(error) else name


def _node(error: Exception) -> str:
    return getattr(error, "flytepath_node", "")
