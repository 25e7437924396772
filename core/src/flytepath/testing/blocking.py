"""Does a coroutine block the event loop? Told from the calls it makes on the loop's thread, not from their time.

A test that measures time passes on a quick machine and fails on a busy one. Here a blocking call is found although it
returned at once: a file was opened, a socket read that waits, a host name looked up. What a coroutine does in other
threads (``asyncio.to_thread``, :meth:`~flytepath.plugin.Backend.in_thread`) is not seen, as it blocks nobody.
"""

from __future__ import annotations

import asyncio
import io
import socket
import subprocess
import threading
import types
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from flytepath.testing.findings import refuse
from flytepath.testing.watching import ON_BEHALF, Seen, code_of, owner, watch

T = TypeVar("T")

#: Every callback and step of a task is run by this method of the loop; what it does not lead to is the loop's own.
_STEP: Final = code_of(asyncio.Handle._run)
#: How the loop starts threads and processes; it waits for them for a moment, as nobody can do without.
_LOOP_ITSELF: Final = (
    "asyncio.base_events",
    "asyncio.base_subprocess",
    "asyncio.selector_events",
    "asyncio.unix_events",
    "asyncio.windows_events",
    "concurrent.futures.thread",
)

_THREAD_START: Final = code_of(threading.Thread.start)
_SOCKET_CALLS: Final = frozenset({"accept", "connect", "recv", "recv_into", "recvfrom", "send", "sendall", "sendto"})
_LOOKUPS: Final = frozenset({"getaddrinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr", "getnameinfo"})
_FILE_CALLS: Final = frozenset(
    {"open", "read", "write", "pread", "pwrite", "readv", "writev", "sendfile", "fsync", "fdatasync", "truncate"}
    | {"stat", "lstat", "listdir", "scandir", "readlink", "_path_exists", "_path_isfile", "_path_isdir"}
    | {"mkdir", "rmdir", "rename", "replace", "remove", "unlink", "link", "symlink", "ftruncate"}
    | {"waitpid", "wait4", "waitid", "system", "posix_spawn"}
)
_PYTHON_CALLS: Final = {
    code_of(threading.Condition.wait): "a wait for another thread",
    code_of(threading.Thread.join): "a wait for another thread",
    code_of(subprocess.Popen.wait): "a wait for a process",
    code_of(subprocess.Popen.communicate): "a wait for a process",
}


def blocking_call(called: Any) -> str:
    """What makes this call a blocking one; empty for every other.

    Example:
        >>> import time
        >>> blocking_call(time.sleep), blocking_call(len)
        ('time.sleep', '')
    """
    if isinstance(called, types.FrameType):
        what = _PYTHON_CALLS.get(called.f_code, "")
        # A wait of no time is a question, and Thread.start waits only until the new thread runs.
        at_once = called.f_locals.get("timeout") == 0 if what else False
        return "" if at_once or (what and _starts_thread(called)) else what
    module, name = owner(called)
    if module:
        return _blocking_function(module, name, called)
    bound = getattr(called, "__self__", None)
    if isinstance(bound, socket.socket):
        return f"socket.{name} on a socket that waits" if name in _SOCKET_CALLS and _waits(bound) else ""
    kind = type(bound)
    if kind.__module__ == "_ssl" and name in {"read", "write", "do_handshake"}:
        return f"{name} of a TLS connection" if _waits(getattr(bound, "owner", None)) else ""
    if kind.__module__ == "sqlite3" and name in {"execute", "executemany", "executescript", "commit", "fetchall"}:
        return f"sqlite3 {name}"
    if isinstance(bound, io.FileIO) and name in {"read", "readall", "readinto", "write"}:
        return f"{name} of a file"
    return ""


def _starts_thread(frame: types.FrameType) -> bool:
    at: types.FrameType | None = frame
    while at is not None and at.f_globals.get("__name__") == "threading":
        if at.f_code is _THREAD_START:
            return True
        at = at.f_back
    return False


def _blocking_function(module: str, name: str, called: Any) -> str:
    if called is open or (module in {"io", "_io"} and name in {"open", "open_code"}):
        return "open of a file"
    if module == "time" and name == "sleep":
        return "time.sleep"
    if module in {"posix", "nt"} and name in _FILE_CALLS:
        return f"os.{name.removeprefix('_')}"
    if module == "_socket" and name in _LOOKUPS:
        return f"socket.{name}"
    if module == "_sqlite3" and name == "connect":
        return "sqlite3.connect"
    if module == "select" and name in {"select", "poll"}:
        return f"select.{name}"
    return ""


def _waits(connection: Any) -> bool:
    return not isinstance(connection, socket.socket) or connection.gettimeout() != 0


@contextmanager
def watch_loop() -> Iterator[list[Seen]]:
    """Within, blocking calls made by tasks and callbacks of this thread's event loop are added to the list given.

    Example:
        >>> async def careless():
        ...     open("/dev/null").close()
        >>> with watch_loop() as seen:
        ...     asyncio.run(careless())
        >>> [item.what for item in seen]
        ['open of a file']
    """
    with watch(blocking_call, below=_STEP, excused=ON_BEHALF + _LOOP_ITSELF) as seen:
        yield seen


def run_unblocked(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end; what it returns, unless it blocked the loop on the way.

    Raises:
        ConformanceError: it made a blocking call on the loop's thread.

    Example:
        >>> async def careful():
        ...     await asyncio.to_thread(open("/dev/null").close)
        ...     return "done"
        >>> run_unblocked(asyncio.sleep(0, "done"))
        'done'
    """
    with watch_loop() as seen:
        result = asyncio.run(coroutine)
    refuse_blocking(seen)
    return result


def refuse_blocking(seen: list[Seen]) -> None:
    """Raise :class:`ConformanceError` where anything was seen."""
    if seen:
        first = seen[0]
        refuse(
            f"the event loop was blocked by {first.what}"
            + (f", and {len(seen) - 1} more time(s)" if len(seen) > 1 else ""),
            place=first.where,
            expected="no call on the loop's thread that waits for a file, a socket, a process or another thread",
            actual=", ".join(dict.fromkeys(item.what for item in seen)),
            hint="make the call with `await self.in_thread(call, ...)`, or use an asynchronous client",
        )
