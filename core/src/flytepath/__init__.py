"""FlytePath: typed, durable workflows in which every integration is a plugin.

The authoring names are resolved on first use; importing this package imports nothing else and scans nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from flytepath.authoring.context import current_context
    from flytepath.authoring.deck import Deck
    from flytepath.authoring.task import PythonInstanceTask, kwtypes, task
    from flytepath.authoring.workflow import workflow
    from flytepath.errors import FlytePathError, TypeTransformerFailedError
    from flytepath.errors import RecoverableError as FlyteRecoverableException
    from flytepath.model.resources import Resources

_HOME_OF = {
    "task": "flytepath.authoring.task",
    "kwtypes": "flytepath.authoring.task",
    "PythonInstanceTask": "flytepath.authoring.task",
    "workflow": "flytepath.authoring.workflow",
    "current_context": "flytepath.authoring.context",
    "Deck": "flytepath.authoring.deck",
    "Resources": "flytepath.model.resources",
    "FlytePathError": "flytepath.errors",
    "TypeTransformerFailedError": "flytepath.errors",
    "FlyteRecoverableException": "flytepath.errors:RecoverableError",
}

__all__ = [
    "Deck",
    "FlytePathError",
    "FlyteRecoverableException",
    "PythonInstanceTask",
    "Resources",
    "TypeTransformerFailedError",
    "__version__",
    "current_context",
    "kwtypes",
    "task",
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
