"""What the attempts of a warm worker share, put back after each: the next finds it as this one did."""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, TextIO

if TYPE_CHECKING:
    from flytepath.worker.log_filter import LogFilter

log = logging.getLogger("flytepath")

#: Those whose handlers a task may change; the others are not a program's to handle.
_SIGNALS: Final = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGALRM", "SIGCHLD", "SIGPIPE", "SIGUSR1", "SIGUSR2")
    if hasattr(signal, name)
)


class Surroundings:
    """Environment variables, folder, import path, signal handlers, umask, and what runs beside the main thread.

    What a module does when it is imported happens once in a worker, and stays: see :meth:`changing`.
    """

    def __init__(self) -> None:
        self.note()

    def note(self) -> None:
        """Take everything as it is for what every attempt is to find."""
        self._variables = _variables()
        self._note_all_but_variables()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """What happens inside is to stay, but for the variables that were set for this attempt before."""
        before = _variables()
        try:
            yield
        finally:
            now = _variables()
            self._variables |= {name: value for name, value in now.items() if before.get(name) != value}
            for name in before.keys() - now.keys():
                self._variables.pop(name, None)
            self._note_all_but_variables()

    def _note_all_but_variables(self) -> None:
        self._folder = os.getcwd()  # noqa: PTH109 - as text, to compare and to go back to
        self._path = list(sys.path)
        self._handlers = tuple(map(signal.getsignal, _SIGNALS))
        self._umask = _umask()
        self._threads = frozenset(threading.enumerate())
        self._had_children = _has_children()

    def restore(self) -> bool:
        """Put everything back; whether something was left running, so that no attempt can follow here."""
        if _variables() != self._variables:
            _put_back(self._variables)
        self._go_back()
        if sys.path != self._path:
            sys.path[:] = self._path
        if _umask() != self._umask:
            os.umask(self._umask)
        self._restore_signals()
        if not self._had_children and _has_children():
            return True
        return any(not thread.daemon and thread not in self._threads for thread in threading.enumerate())

    def _go_back(self) -> None:
        with suppress(OSError):  # the folder may be gone, and was then the task's to remove
            try:
                if os.getcwd() == self._folder:  # noqa: PTH109
                    return
            except FileNotFoundError:
                pass
            os.chdir(self._folder)

    def _restore_signals(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        now = tuple(map(signal.getsignal, _SIGNALS))
        if now == self._handlers:
            return
        for number, handler, current in zip(_SIGNALS, self._handlers, now, strict=True):
            if handler != current and handler is not None:
                signal.signal(number, handler)


def _variables() -> dict[Any, Any]:
    """The environment variables, to compare: as they are kept, because decoding them costs as much as an attempt."""
    kept = getattr(os.environ, "_data", None)
    return dict(os.environ if kept is None else kept)


def _put_back(variables: dict[Any, Any]) -> None:
    wanted = {os.fsdecode(name): os.fsdecode(value) for name, value in variables.items()}
    for name in [name for name in os.environ if name not in wanted]:
        del os.environ[name]
    for name, value in wanted.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _has_children() -> bool:
    """Whether there are processes that this one has started and not waited for."""
    if not hasattr(os, "waitid"):
        return False
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


class Streams:
    """Standard output and error of a worker, one file of its own that becomes the log of an attempt that prints.

    The engine opens it, under the name that :attr:`file` is set to once that is known. Once a task was given a secret,
    what is printed passes a filter on its way there, from then on.
    """

    def __init__(self) -> None:
        self.file = ""
        self._filter: LogFilter | None = None
        self._starting = threading.Lock()
        self._own = os.dup(2)
        sys.stdout, sys.stderr = self._out, self._err = _stream(1), _stream(2)

    def begin(self) -> None:
        """What comes from now on is the attempt's; what was printed before belongs to none."""
        if self._filter is not None:
            self._filter.finish()
        if self.file and os.fstat(self._own).st_size:
            os.ftruncate(self._own, 0)

    def end(self, path: str) -> int:
        """Keep what was printed at ``path``; the bytes of it, and no file if there are none.

        What a library or another process wrote is in it, and all in the order in which it was written.
        """
        self.finish()
        size = os.fstat(self._own).st_size
        if size and path and self.file:
            try:
                self._keep(path)
            except OSError as error:  # the disk is full: the outcome counts for more than what was printed
                log.warning("the log %s cannot be kept: %s", path, error)
                size = 0
        self._send_to(self._own if self._filter is None else self._filter.descriptor)
        return size if path else 0

    def keep_out(self, label: str, value: bytes) -> None:
        """Keep the value of a secret out of all that is printed from now on, by whatever the task starts too.

        Raises:
            WorkerError: that cannot be done, so the value must not be given.
        """
        if not self.file:
            return  # nobody keeps what is printed
        with self._starting:
            if self._filter is None:
                from flytepath.engine.secrets.environment import all_values
                from flytepath.worker.log_filter import LogFilter

                self._filter = LogFilter(self.file)
                self._send_to(self._filter.descriptor)
                # A task that is trusted with a secret may print its variables, and there are those of others.
                for name, other in all_values().items():
                    self._filter.add(name, other)
            self._filter.add(label, value)

    def finish(self) -> None:
        """Wait until all that was printed is written."""
        self.flush()
        if self._filter is not None:
            self._filter.finish()

    @property
    def are_lost(self) -> bool:
        """Whether the filter is gone, so that nothing can be printed here any more."""
        return self._filter is not None and self._filter.is_broken

    def _keep(self, path: str) -> None:
        try:
            os.rename(self.file, path)  # noqa: PTH104
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120 - rarely
            os.rename(self.file, path)  # noqa: PTH104
        # Where the engine has shown the log already, both are names of one file, and the renaming does nothing.
        with suppress(FileNotFoundError):
            os.unlink(self.file)  # noqa: PTH108
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(self.file, flags, 0o600)
        os.dup2(descriptor, self._own, inheritable=False)
        os.close(descriptor)
        if self._filter is not None:
            self._filter.move_to(self.file)

    def flush(self) -> None:
        """Write what Python holds back, and take the task's own streams out of the place of ours."""
        for stream in {id(item): item for item in (sys.stdout, sys.stderr, self._out, self._err)}.values():
            _flush(stream)
        if self._out.closed:
            self._out = _stream(1)
        if self._err.closed:
            self._err = _stream(2)
        sys.stdout, sys.stderr = self._out, self._err

    @staticmethod
    def _send_to(descriptor: int) -> None:
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)


def _flush(stream: Any) -> None:
    with suppress(OSError, ValueError, AttributeError):  # a full disk, a closed stream, or none
        stream.flush()


def _stream(descriptor: int) -> TextIO:
    """A stream that writes line by line, so that both stand in order, and never fails over a character.

    Closing it, as a task may do, does not close the descriptor.
    """
    raw = io.FileIO(descriptor, "wb", closefd=False)
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8", errors="backslashreplace", line_buffering=True)
