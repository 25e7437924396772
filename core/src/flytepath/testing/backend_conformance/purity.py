"""What a plan must not be made from: files, sockets, clocks, chance, the environment, other threads and processes."""

from __future__ import annotations

import gc
import os
import random
import socket
import types
from collections.abc import Callable
from typing import Any, Final, TypeVar

from flytepath.testing.watching import Seen, code_of, owner, watch

T = TypeVar("T")

_CLOCKS: Final = ("time", "monotonic", "perf_counter", "process_time", "thread_time", "clock_gettime")
_CLOCK_NAMES: Final = {
    *_CLOCKS,
    *(f"{name}_ns" for name in _CLOCKS),
    "sleep",
    "localtime",
    "gmtime",
    "ctime",
    "strftime",
}
_NOW: Final = frozenset({"now", "utcnow", "today"})
_CHANCE: Final = frozenset({"random", "getrandbits", "randbytes"})
_HARMLESS_OF_SYSTEM: Final = frozenset(
    {"fspath", "fsencode", "fsdecode", "_path_normpath", "_path_splitroot", "_path_splitroot_ex"}
)
_ENVIRONMENT: Final = {code_of(type(os.environ).__getitem__), code_of(type(os.environ).__iter__)}


def impurity(called: Any) -> str:
    """Why this call has no place in a plan; empty for every other.

    Example:
        >>> import time, random
        >>> impurity(time.time), impurity(random.getrandbits), impurity(random.Random(7).random)
        ('the clock (time.time)', 'chance (random.getrandbits)', '')
    """
    if isinstance(called, types.FrameType):
        return "the environment (os.environ)" if called.f_code in _ENVIRONMENT else ""
    module, name = owner(called)
    if module:
        return _impure_function(module, name, called)
    bound = getattr(called, "__self__", None)
    if isinstance(bound, type) and bound.__module__ == "datetime" and name in _NOW:
        return f"the clock ({bound.__name__}.{name})"
    # A generator that was given its seed is as good as a table; the module's own one was given the clock.
    if name in _CHANCE and bound is getattr(random, "_inst", None):
        return f"chance (random.{name})"
    if isinstance(bound, socket.socket):
        return f"a socket ({name})"
    if type(bound).__module__ in {"sqlite3", "_ssl"}:
        return f"{type(bound).__module__.lstrip('_')} ({name})"
    return ""


def _impure_function(module: str, name: str, called: Any) -> str:
    if called is open or (module in {"io", "_io"} and name in {"open", "open_code"}):
        return "a file (open)"
    if module == "time" and name in _CLOCK_NAMES:
        return f"the clock (time.{name})"
    if name in {"urandom", "getrandom"} or module == "_uuid":
        return f"chance ({module.removeprefix('posix') or 'os'}.{name})".replace("(.", "(")
    if module in {"posix", "nt"} and name not in _HARMLESS_OF_SYSTEM:
        return f"the system (os.{name.lstrip('_')})"
    if module == "_socket":
        return f"the network (socket.{name})"
    if module == "_sqlite3":
        return f"a database (sqlite3.{name})"
    if module == "_thread" and name in {"start_new_thread", "start_joinable_thread"}:
        return "another thread"
    if module == "_posixsubprocess":
        return "another process"
    return ""


def observed(call: Callable[[], T]) -> tuple[T, list[Seen]]:
    """What ``call`` returns, and everything impure that it did; imports of modules are excused."""
    collects = gc.isenabled()
    gc.disable()  # what others hang on a collection, such as a clock, would be told of whoever allocates just then
    try:
        with watch(impurity) as seen:
            result = call()
    finally:
        if collects:
            gc.enable()
    return result, seen
