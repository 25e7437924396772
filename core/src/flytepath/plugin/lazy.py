"""Names of a package that are imported when they are first used, so that importing the package costs nothing."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def lazy_names(package: str, home_of: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a package whose public names are resolved lazily (PEP 562).

    Args:
        package: its ``__name__``.
        home_of: the module below the package, by the name that it defines.

    Example:
        In ``flyte_plugin_weather/__init__.py``::

            __getattr__, __dir__ = lazy_names(__name__, {"Forecast": "task"})

        >>> get, names = lazy_names("json", {"JSONDecoder": "decoder"})
        >>> get("JSONDecoder").__module__, "JSONDecoder" in names()
        ('json.decoder', True)
    """

    def get(name: str) -> Any:
        room = home_of.get(name)
        if room is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{package}.{room}"), name)
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *home_of})

    return get, names
