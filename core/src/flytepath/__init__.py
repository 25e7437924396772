"""FlytePath: typed, durable workflows in which every integration is a plugin.

The authoring names are resolved on first use; importing this package imports nothing else and scans nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from flytepath.authoring.conditional import conditional
    from flytepath.authoring.context import current_context
    from flytepath.authoring.deck import Deck, DeckField
    from flytepath.authoring.dynamic import dynamic
    from flytepath.authoring.eager import eager
    from flytepath.authoring.entity import Interface
    from flytepath.authoring.environment import Environment
    from flytepath.authoring.gates import approve, sleep, wait_for_input
    from flytepath.authoring.launch_plan import LaunchPlan
    from flytepath.authoring.map_task import map_task
    from flytepath.authoring.mocking import patch, task_mock
    from flytepath.authoring.nodes import NodeOutput, create_node
    from flytepath.authoring.reference import (
        get_reference_entity,
        reference_launch_plan,
        reference_task,
        reference_workflow,
    )
    from flytepath.authoring.settings import TaskMetadata
    from flytepath.authoring.task import PythonFunctionTask, PythonInstanceTask, PythonTask, kwtypes, task
    from flytepath.authoring.workflow import ImperativeWorkflow, workflow
    from flytepath.authoring.workflow import ImperativeWorkflow as Workflow
    from flytepath.errors import AssertionFailedError as FlyteAssertion
    from flytepath.errors import EagerError as EagerException
    from flytepath.errors import FlytePathError, TypeTransformerFailedError
    from flytepath.errors import FlytePathError as FlyteException
    from flytepath.errors import FlytePathError as FlyteUserException
    from flytepath.errors import InputError as FlyteInvalidInputException
    from flytepath.errors import InputError as FlyteValueException
    from flytepath.errors import MissingAnnotationError as FlyteMissingTypeException
    from flytepath.errors import MissingInputError as FlyteMissingInputsException
    from flytepath.errors import MissingReturnError as FlyteMissingReturnValueException
    from flytepath.errors import RecoverableError as FlyteRecoverableException
    from flytepath.errors import TypeTransformerFailedError as FlyteTypeException
    from flytepath.errors import ValidationError as FlyteValidationException
    from flytepath.model.resources import Resources

_HOME_OF = {
    "Deck": "flytepath.authoring.deck",
    "DeckField": "flytepath.authoring.deck",
    "EagerException": "flytepath.errors:EagerError",
    "Environment": "flytepath.authoring.environment",
    "FlyteAssertion": "flytepath.errors:AssertionFailedError",
    "FlyteException": "flytepath.errors:FlytePathError",
    "FlyteInvalidInputException": "flytepath.errors:InputError",
    "FlyteMissingInputsException": "flytepath.errors:MissingInputError",
    "FlyteMissingReturnValueException": "flytepath.errors:MissingReturnError",
    "FlyteMissingTypeException": "flytepath.errors:MissingAnnotationError",
    "FlytePathError": "flytepath.errors",
    "FlyteRecoverableException": "flytepath.errors:RecoverableError",
    "FlyteTypeException": "flytepath.errors:TypeTransformerFailedError",
    "FlyteUserException": "flytepath.errors:FlytePathError",
    "FlyteValidationException": "flytepath.errors:ValidationError",
    "FlyteValueException": "flytepath.errors:InputError",
    "ImperativeWorkflow": "flytepath.authoring.workflow",
    "Interface": "flytepath.authoring.entity",
    "LaunchPlan": "flytepath.authoring.launch_plan",
    "NodeOutput": "flytepath.authoring.nodes",
    "PythonFunctionTask": "flytepath.authoring.task",
    "PythonInstanceTask": "flytepath.authoring.task",
    "PythonTask": "flytepath.authoring.task",
    "Resources": "flytepath.model.resources",
    "TaskMetadata": "flytepath.authoring.settings",
    "TypeTransformerFailedError": "flytepath.errors",
    "Workflow": "flytepath.authoring.workflow:ImperativeWorkflow",
    "approve": "flytepath.authoring.gates",
    "conditional": "flytepath.authoring.conditional",
    "create_node": "flytepath.authoring.nodes",
    "current_context": "flytepath.authoring.context",
    "dynamic": "flytepath.authoring.dynamic",
    "eager": "flytepath.authoring.eager",
    "get_reference_entity": "flytepath.authoring.reference",
    "kwtypes": "flytepath.authoring.task",
    "map_task": "flytepath.authoring.map_task",
    "patch": "flytepath.authoring.mocking",
    "reference_launch_plan": "flytepath.authoring.reference",
    "reference_task": "flytepath.authoring.reference",
    "reference_workflow": "flytepath.authoring.reference",
    "sleep": "flytepath.authoring.gates",
    "task": "flytepath.authoring.task",
    "task_mock": "flytepath.authoring.mocking",
    "wait_for_input": "flytepath.authoring.gates",
    "workflow": "flytepath.authoring.workflow",
}

__all__ = [
    "Deck",
    "DeckField",
    "EagerException",
    "Environment",
    "FlyteAssertion",
    "FlyteException",
    "FlyteInvalidInputException",
    "FlyteMissingInputsException",
    "FlyteMissingReturnValueException",
    "FlyteMissingTypeException",
    "FlytePathError",
    "FlyteRecoverableException",
    "FlyteTypeException",
    "FlyteUserException",
    "FlyteValidationException",
    "FlyteValueException",
    "ImperativeWorkflow",
    "Interface",
    "LaunchPlan",
    "NodeOutput",
    "PythonFunctionTask",
    "PythonInstanceTask",
    "PythonTask",
    "Resources",
    "TaskMetadata",
    "TypeTransformerFailedError",
    "Workflow",
    "__version__",
    "approve",
    "conditional",
    "create_node",
    "current_context",
    "dynamic",
    "eager",
    "get_reference_entity",
    "kwtypes",
    "map_task",
    "patch",
    "reference_launch_plan",
    "reference_task",
    "reference_workflow",
    "sleep",
    "task",
    "task_mock",
    "wait_for_input",
    "workflow",
]


def __getattr__(name: str) -> Any:
    room, _, attribute = _HOME_OF.get(name, "").partition(":")
    if not room:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(room), attribute or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
