"""What a piece of code does to the world outside: seen from the calls it makes, without replacing anything.

The interpreter's profiling hook reports every call into C: a file that is opened, a clock that is read, a socket that
something waits for. Nothing is patched, so nothing can be imported too early to be seen; and what is seen is only
written down, so no ``except`` of the watched code can swallow it. Only the thread that watches is watched.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any, Final

#: Names a call that matters, and returns "" for any other. It is given the built-in, or the frame of a Python function.
Judge = Callable[[Any], str]

#: What Python itself does on behalf of code that only imports, logs or warns.
ON_BEHALF: Final = ("importlib", "logging", "warnings", "linecache", "traceback")
_SHOWN_FRAMES: Final = 4


@dataclass(frozen=True, slots=True)
class Seen:
    """One call that mattered: what it was, and the lines that led to it, innermost first."""

    what: str
    where: str


@contextmanager
def watch(judge: Judge, *, below: CodeType | None = None, excused: tuple[str, ...] = ON_BEHALF) -> Iterator[list[Seen]]:
    """Within, every call of this thread that ``judge`` names is added to the list that is given.

    Args:
        judge: tells what matters.
        below: only calls that a function of this code leads to count.
        excused: modules (with what is under them) whose own calls, and those they lead to, do not count.

    Example:
        >>> import os
        >>> with watch(lambda called: "a list" if called is os.listdir else "") as seen:
        ...     names = os.listdir(".")
        >>> [item.what for item in seen]
        ['a list']
    """
    seen: list[Seen] = []

    def on_event(frame: FrameType, event: str, argument: Any) -> None:
        if event == "c_call":
            what = judge(argument)
        elif event == "call":
            what = judge(frame)
        else:
            return
        if what and (lines := _lines_to(frame, below, excused)):
            seen.append(Seen(what, " < ".join(lines[:_SHOWN_FRAMES])))

    before = sys.getprofile()
    sys.setprofile(on_event)
    try:
        yield seen
    finally:
        sys.setprofile(before)


def owner(called: Any) -> tuple[str, str]:
    """The (module, name) of a built-in function, or ``("", name)`` for a method.

    Example:
        >>> import time
        >>> owner(time.time), owner([].append)
        (('time', 'time'), ('', 'append'))
    """
    bound = getattr(called, "__self__", None)
    name = getattr(called, "__name__", "")
    return (getattr(bound, "__name__", "") if type(bound) is type(sys) else "", name)


def code_of(function: Any) -> CodeType:
    """The code that a Python function, or the function behind a method, runs."""
    code: CodeType = getattr(function, "__func__", function).__code__
    return code


def _lines_to(frame: FrameType, below: CodeType | None, excused: tuple[str, ...]) -> list[str]:
    """The lines that led to a call; none where the call does not count."""
    lines: list[str] = []
    at: FrameType | None = frame
    while at is not None:
        code, module = at.f_code, str(at.f_globals.get("__name__", ""))
        if code is below:
            return lines
        # The import system's own modules have other names while they are frozen.
        if f"{module}.".startswith(tuple(f"{name}." for name in excused)) or "<frozen importlib" in code.co_filename:
            return []
        lines.append(f"{code.co_qualname} ({code.co_filename}:{at.f_lineno})")
        at = at.f_back
    return lines if below is None else []
