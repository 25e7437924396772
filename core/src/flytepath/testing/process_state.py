"""What a process-wide registration would change: a snapshot of the interpreter, and the difference of two."""

from __future__ import annotations

import atexit
import builtins
import copyreg
import logging
import os
import pickle
import random
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Mapping

#: Snapshots are texts by subject, so that they can be compared and shown.
Snapshot = Mapping[str, tuple[str, ...]]


def snapshot() -> Snapshot:
    """The state of this process that every other plugin shares."""
    return {subject: take() for subject, take in _SUBJECTS.items()}


def differences(before: Snapshot, after: Snapshot) -> list[str]:
    """One line for each subject that changed.

    Example:
        >>> differences({"sys.path": ("a",)}, {"sys.path": ("a", "b")})
        ["sys.path: added 'b'"]
    """
    lines = []
    for subject, old in before.items():
        new = after[subject]
        if old == new:
            continue
        added = [item for item in new if item not in old]
        removed = [item for item in old if item not in new]
        parts = [f"added {item!r}" for item in added] + [f"removed {item!r}" for item in removed]
        lines.append(f"{subject}: {', '.join(parts[:5]) or 'changed order'}")
    return lines


def _log_handlers() -> tuple[str, ...]:
    loggers: list[tuple[str, logging.Logger]] = [("root", logging.getLogger())]
    loggers += [
        (name, logger) for name, logger in logging.root.manager.loggerDict.items() if isinstance(logger, logging.Logger)
    ]
    # A NullHandler is what the standard library's documentation asks libraries to add to their own logger.
    return tuple(
        f"{name}: {type(handler).__name__}"
        for name, logger in sorted(loggers, key=lambda pair: pair[0])
        for handler in logger.handlers
        if not isinstance(handler, logging.NullHandler)
    )


def _log_configuration() -> tuple[str, ...]:
    return (f"root level {logging.root.level}", f"logger class {logging.getLoggerClass().__qualname__}")


def _signals() -> tuple[str, ...]:
    return tuple(f"{number.name}: {signal.getsignal(number)!r}" for number in sorted(signal.Signals))


def _pickling() -> tuple[str, ...]:
    reducers = {**copyreg.dispatch_table}
    pure = getattr(pickle, "_Pickler").dispatch  # noqa: B009 - private, and the only place it can be seen
    return tuple(sorted(f"{kind.__module__}.{kind.__qualname__}" for kind in [*reducers, *pure]))


def _fsspec() -> tuple[str, ...]:
    registry = sys.modules.get("fsspec.registry")
    if registry is None:
        return ()
    return tuple(sorted({*registry.registry, *registry.known_implementations}))


def _hooks() -> tuple[str, ...]:
    return (
        f"sys.excepthook {sys.excepthook!r}",
        f"threading.excepthook {threading.excepthook!r}",
        f"sys.displayhook {sys.displayhook!r}",
        f"builtins.__import__ {builtins.__import__!r}",
    )


_SUBJECTS: dict[str, Callable[[], tuple[str, ...]]] = {
    "logging handlers": _log_handlers,
    "logging configuration": _log_configuration,
    "signal handlers": _signals,
    "warnings filters": lambda: tuple(repr(item) for item in warnings.filters),
    "sys.path": lambda: tuple(sys.path),
    "import hooks": lambda: tuple(repr(item) for item in [*sys.meta_path, *sys.path_hooks]),
    # Only names and a hash of values, because an environment holds secrets.
    "os.environ": lambda: tuple(sorted(f"{name} ({hash(value) & 0xFFFF:04x})" for name, value in os.environ.items())),
    "the working directory": lambda: (os.getcwd(),),  # noqa: PTH109 - as text, like all of a snapshot
    "pickle and copyreg tables": _pickling,
    "fsspec registry": _fsspec,
    "atexit callbacks": lambda: (f"{getattr(atexit, '_ncallbacks')()} registered",),  # noqa: B009 - private
    "hooks of the interpreter": _hooks,
    "builtins": lambda: tuple(sorted(vars(builtins))),
    "threads": lambda: tuple(sorted(thread.name for thread in threading.enumerate())),
    "random state": lambda: (f"{hash(random.getstate()):x}",),
    "default socket timeout": lambda: (str(socket.getdefaulttimeout()),),
}
