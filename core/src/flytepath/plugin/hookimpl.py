"""The mark on a manifest's hook implementations, readable by pluggy and free of its import cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

#: The pluggy project name; hook functions carry it as prefix and mark.
PROJECT: Final = "flytepath"

F = TypeVar("F", bound=Callable[..., Any])


def hookimpl(function: F) -> F:
    """Mark a manifest function as the implementation of the hook of the same name.

    It leaves the mark that ``pluggy.HookimplMarker("flytepath")`` leaves without options, so pluggy collects the
    function; pluggy itself is imported only where plugins are collected. The conformance kit and core's tests hold
    this against pluggy's own marker.

    Example:
        >>> @hookimpl
        ... def flytepath_task_types():
        ...     return []
    """
    mark = {
        "wrapper": False,
        "hookwrapper": False,
        "optionalhook": False,
        "tryfirst": False,
        "trylast": False,
        "specname": None,
    }
    setattr(function, f"{PROJECT}_impl", mark)
    return function
