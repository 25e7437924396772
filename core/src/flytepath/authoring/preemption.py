"""Preemption: what a worker process does when it is told, by SIGTERM, that its machine is taken away.

Between SIGTERM and the SIGKILL that follows there are seconds in which a task can save what it has. The handler runs
the task's hooks in the main thread and then unwinds the task with :class:`AttemptPreempted`; a thread beside it ends
the process at the deadline, whatever the main thread is stuck in. Where nothing is installed, as in a direct call,
hooks are kept and never called.

For the worker: :func:`install` once, :func:`attempt_begins` and :func:`attempt_ended` around each attempt, and
:class:`shielded` around what must not be cut in the middle, such as the writing of a message.
"""

from __future__ import annotations

import inspect
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, Literal

from flytepath.errors import ConfigError, InputError

if TYPE_CHECKING:
    from flytepath.model.events import ErrorRecord

#: The environment variable that tells a worker the seconds between SIGTERM and SIGKILL.
TERMINATION_VARIABLE: Final = "FLYTEPATH_TERMINATION_SECONDS"
TERMINATION_SECONDS: Final = 5.0
#: The exit status of a worker that was told to go: that of a process which SIGTERM has ended.
EXIT_STATUS: Final = 128 + signal.SIGTERM
#: Signals that follow the first within this time are the same news, told by the engine and by the machine.
_SAME_NEWS: Final = 0.5

#: What a task gives to be called when its machine is taken away: with nothing, or with the seconds that are left.
Hook = Callable[[], Any] | Callable[[float], Any]


class AttemptPreempted(BaseException):
    """Unwinds a task whose machine is taken away.

    It is no ``Exception``, so that ``except Exception`` in a task does not hold it up; catching it changes nothing.
    """


@dataclass(frozen=True, slots=True)
class PreemptedReport:
    """How a preempted attempt came to its end.

    Args:
        has_saved: whether this attempt saved a checkpoint.
        step: of its last checkpoint, where it was saved with one.
        ended: by itself in time, at the ``deadline``, or cut short by a second ``signal``.
        failures: the tracebacks of hooks that raised.
        seconds: between SIGTERM and the end.
    """

    has_saved: bool = False
    step: int | None = None
    ended: Literal["in time", "deadline", "signal"] = "in time"
    failures: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def message(self) -> str:
        """For people.

        Example:
            >>> print(PreemptedReport(has_saved=True, step=7).message)
            the attempt was ended because its worker was told to go; a checkpoint was saved at step 7
            >>> print(PreemptedReport(ended="deadline").message)
            the attempt was ended because its worker was told to go, at the deadline; it saved no checkpoint
        """
        parts = ["the attempt was ended because its worker was told to go"]
        if self.ended != "in time":
            parts.append(", at the deadline" if self.ended == "deadline" else ", at once by a second SIGTERM")
        if not self.has_saved:
            parts.append("; it saved no checkpoint")
        else:
            parts.append("; a checkpoint was saved" + ("" if self.step is None else f" at step {self.step}"))
        if self.failures:
            last = [text.strip().rpartition("\n")[2] for text in self.failures]
            parts.append(f"; a preemption hook failed: {'; '.join(last)}")
        return "".join(parts)

    def record(self, task: str) -> ErrorRecord:
        """The error the attempt ends with."""
        from flytepath.model.events import ErrorRecord

        return ErrorRecord(
            kind="preempted",
            code="FP-PREEMPTED",
            message=self.message,
            place=task,
            hint=None if self.has_saved else "checkpoint.save(state, step=...) keeps what is done for the next attempt",
            traceback="\n".join(self.failures),
        )


OnPreempted = Callable[[PreemptedReport], None]


@dataclass(slots=True, eq=False)
class _Attempt:
    """The attempt that runs in this process."""

    seconds: float
    hooks: list[Hook] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    told_at: float | None = None  # when SIGTERM came, by the monotonic clock
    handled: bool = False  # the main thread has begun to do what SIGTERM asks for
    polls: bool = False  # the task has asked whether it is preempted
    saw: bool = False  # and was told that it is
    unwound: bool = False
    has_saved: bool = False
    step: int | None = None
    finishing: bool = False
    claim: threading.RLock = field(default_factory=threading.RLock)  # of the thread that reports the end

    def tell(self) -> bool:
        """SIGTERM has come. Whether this is news, or the news of just now again; if not, it is to end at once."""
        if self.told_at is None:
            self.told_at = time.monotonic()
        return time.monotonic() < self.told_at + _SAME_NEWS

    def left(self) -> float:
        """Seconds to the deadline."""
        return self.seconds if self.told_at is None else self.told_at + self.seconds - time.monotonic()


class _Guard:
    """The handler, and the thread that keeps the deadline. One per process."""

    def __init__(self, on_preempted: OnPreempted, on_saved: Callable[[int | None], None] | None) -> None:
        self._on_preempted = on_preempted
        self.on_saved = on_saved
        self._main = threading.get_ident()
        self._process = os.getpid()
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)
        self._depth = 0
        self._put_off = False
        self.attempt: _Attempt | None = None
        self.is_told = False
        self.listen()
        # From its first moment on a child must not write into the worker's pipe.
        os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=self._forked)
        threading.Thread(target=self._watch, name="flytepath-preemption", daemon=True).start()

    def listen(self) -> None:
        """Take SIGTERM, also where a task has taken it before."""
        if signal.getsignal(signal.SIGTERM) != self._on_signal:
            signal.signal(signal.SIGTERM, self._on_signal)
        # Written by the C handler at once, so the watching thread knows while the main thread sits in C code.
        signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)

    def _leave(self) -> None:
        """A forked child is not the worker: SIGTERM ends it, and must not look like the worker's own."""
        signal.set_wakeup_fd(-1)
        if signal.getsignal(signal.SIGTERM) == self._on_signal:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self.attempt = None

    def _forked(self) -> None:
        self._leave()
        _release()

    # --- in the main thread ---

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            self._leave()
            signal.raise_signal(signal.SIGTERM)
            return
        attempt, self.is_told = self.attempt, True
        if self._depth:
            self._put_off = True
        elif attempt is None:
            _flush()
            os._exit(EXIT_STATUS)
        elif not attempt.tell() and attempt.handled:
            self.finish(attempt, "signal")
        elif not attempt.handled:
            self._end(attempt)

    def _end(self, attempt: _Attempt) -> None:
        """Let the task save what it has, then unwind it; one that looks at the flag ends by itself."""
        attempt.tell()
        attempt.handled = True
        _say(f"SIGTERM: this attempt is to end, {attempt.left():.1f} s are left")
        # The children are told too; a library that raises when one of them ends must not do so in a hook.
        of_children = signal.getsignal(signal.SIGCHLD)
        if callable(of_children):
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for hook in tuple(attempt.hooks):
            try:
                hook(*([max(0.0, attempt.left())] if _takes_seconds(hook) else []))
            except (Exception, SystemExit, KeyboardInterrupt):  # noqa: BLE001 - it is reported
                attempt.failures.append(traceback.format_exc())
                _say(f"a preemption hook failed\n{attempt.failures[-1]}")
        if callable(of_children):
            signal.signal(signal.SIGCHLD, of_children)
        if not attempt.polls:
            attempt.unwound = True
            raise AttemptPreempted

    def enter(self) -> None:
        """Put off what SIGTERM does."""
        if threading.get_ident() == self._main:
            self._depth += 1

    def leave(self) -> None:
        """Do now what was put off."""
        if threading.get_ident() != self._main:
            return
        self._depth -= 1
        if self._put_off and not self._depth:
            self._put_off = False
            if self.attempt is None:
                _flush()
                os._exit(EXIT_STATUS)
            self._end(self.attempt)

    def begin(self, seconds: float) -> None:
        """An attempt begins."""
        self.listen()
        self.attempt, self._put_off, self._depth = _Attempt(seconds), False, 0

    def ended(self, failed: bool) -> None:
        """The attempt has ended; if by preemption, this does not return."""
        self._depth += 1  # SIGTERM comes too late for the attempt, and must not raise here
        attempt = self.attempt
        if attempt is not None and (attempt.unwound or attempt.saw or (failed and self.is_told)):
            self.finish(attempt, "in time")
        self.attempt, self._put_off, self._depth = None, False, 0

    # --- in any thread ---

    def finish(self, attempt: _Attempt, ended: Literal["in time", "deadline", "signal"]) -> None:
        """Report, and end the process: once, so the thread that comes second just waits for that."""
        if not attempt.claim.acquire(blocking=False):
            threading.Event().wait()
        if attempt.finishing:
            return  # a signal while this very thread reports
        attempt.finishing = True
        told = time.monotonic() if attempt.told_at is None else attempt.told_at
        report = PreemptedReport(
            attempt.has_saved, attempt.step, ended, tuple(attempt.failures), time.monotonic() - told
        )
        try:
            _flush()
            self._on_preempted(report)
        except BaseException:
            _say(f"the end of the attempt cannot be reported\n{traceback.format_exc()}")
            raise
        finally:
            os._exit(EXIT_STATUS)

    # --- in the watching thread ---

    def _watch(self) -> None:
        while True:
            told = _terms(os.read(self._reading, 64))
            attempt = self.attempt
            if not told or attempt is None or signal.getsignal(signal.SIGTERM) != self._on_signal:
                continue  # or the task has taken SIGTERM over: the end is its own
            attempt.tell()
            while self.attempt is attempt:
                left = attempt.left()
                if left <= 0:
                    self.finish(attempt, "deadline")
                arrived = select.select([self._reading], [], [], left)[0]
                if arrived and _terms(os.read(self._reading, 64)) and not attempt.tell():
                    self.finish(attempt, "signal")


_held = threading.local()


def _hold() -> None:
    _held.before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))


def _release() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _held.before)


def _terms(signals: bytes) -> int:
    return signals.count(bytes([signal.SIGTERM]))


def _say(text: str) -> None:
    """Tell people. Past the buffers of Python's streams and logging: this may run while the task writes to them."""
    with suppress(OSError):
        os.write(2, f"{text}\n".encode("utf-8", "replace"))


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError, RuntimeError):  # it may be closed, none, or being written
            stream.flush()


_guard: _Guard | None = None


# --- for the worker ---


def install(on_preempted: OnPreempted, on_saved: Callable[[int | None], None] | None = None) -> None:
    """Take SIGTERM in this process. Called once, from the main thread, in which the attempts run too.

    Args:
        on_preempted: told once, when a preempted attempt is over, from the main thread or from the one that keeps the
            deadline: sends ``AttemptErred(error=report.record(task))``. The process ends when it returns.
        on_saved: told of every checkpoint that an attempt saves here, with its step.
    """
    global _guard
    _guard = _Guard(on_preempted, on_saved)


def deadline(termination_seconds: float | None = None) -> float:
    """How long a task may take after SIGTERM: the time until SIGKILL, less what it takes to report the end.

    Args:
        termination_seconds: between SIGTERM and SIGKILL; by default what :data:`TERMINATION_VARIABLE` says, else 5.

    Raises:
        ConfigError: the variable is no number.

    Example:
        >>> deadline(5), deadline(0.5)
        (4.0, 0.4)
    """
    if termination_seconds is None:
        text = os.environ.get(TERMINATION_VARIABLE, "") or str(TERMINATION_SECONDS)
        try:
            termination_seconds = float(text)
        except ValueError:
            raise ConfigError(
                "not a number of seconds", place=TERMINATION_VARIABLE, expected="a number", actual=text
            ) from None
    return termination_seconds - min(1.0, 0.2 * termination_seconds)


def attempt_begins(deadline_seconds: float | None = None) -> None:
    """An attempt begins in this process: from now on SIGTERM is for it.

    Args:
        deadline_seconds: how long it may take after SIGTERM; by default what :func:`deadline` gives.
    """
    if _guard is not None:
        _guard.begin(deadline() if deadline_seconds is None else deadline_seconds)


def attempt_ended(failed: bool = False) -> None:
    """The attempt is over, well or badly; call it in a ``finally``, before its outcome is sent.

    If it was preempted, this reports so and ends the process. From now on SIGTERM just ends the process.

    Args:
        failed: whether it ended with an error. If SIGTERM has come, that is why: what it needs was told to go too.
    """
    if _guard is not None:
        _guard.ended(failed)


def is_told_to_go() -> bool:
    """Whether SIGTERM has come: a worker whose attempt ended well all the same goes when it has said so."""
    return _guard is not None and _guard.is_told


class shielded:
    """What runs inside is not cut in the middle by SIGTERM: hooks and unwinding wait for its end."""

    __slots__ = ("_entered",)

    def __enter__(self) -> None:
        self._entered = _guard
        if self._entered is not None:
            self._entered.enter()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if self._entered is not None:
            self._entered.leave()


# --- for checkpoints ---


def add_hook(hook: Hook) -> None:
    """Call ``hook`` when the attempt is preempted, with the seconds left if it takes an argument.

    Raises:
        InputError: it cannot be called so.
    """
    _takes_seconds(hook)
    if _guard is not None and _guard.attempt is not None:
        _guard.attempt.hooks.append(hook)


def remove_hook(hook: Hook) -> None:
    """Call ``hook`` no more."""
    if _guard is not None and _guard.attempt is not None:
        with suppress(ValueError):
            _guard.attempt.hooks.remove(hook)


def is_preempted() -> bool:
    """Whether the attempt has been told to end. One that asks ends by itself, until the deadline."""
    attempt = None if _guard is None else _guard.attempt
    if attempt is None:
        return False
    attempt.polls = True
    if attempt.told_at is not None:
        attempt.saw = True
    return attempt.saw


def saved_step() -> int | None:
    """The step of the last checkpoint that this attempt has saved; ``None`` where it saved none, or without a step."""
    attempt = None if _guard is None else _guard.attempt
    return attempt.step if attempt is not None else None


def note_saved(step: int | None) -> None:
    """The attempt has saved a checkpoint."""
    attempt = None if _guard is None else _guard.attempt
    if attempt is not None:
        attempt.has_saved, attempt.step = True, step
    if attempt is not None and _guard is not None and _guard.on_saved is not None:
        _guard.on_saved(step)


def _takes_seconds(hook: Hook) -> bool:
    """Whether the hook is called with the seconds left."""
    try:
        signature = inspect.signature(hook)
    except (TypeError, ValueError):
        if not callable(hook):
            raise _no_hook(hook) from None
        return False  # one written in C that does not say what it takes
    for arguments in ((), (0.0,)):
        try:
            signature.bind(*arguments)
        except TypeError:
            continue
        # With a default for its only argument it may still be about the seconds.
        return bool(arguments) or any(
            parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
            and parameter.name == "seconds_left"
            for parameter in signature.parameters.values()
        )
    raise _no_hook(hook)


def _no_hook(hook: Any) -> InputError:
    return InputError(
        "a preemption hook is called with nothing, or with the seconds that are left",
        place="checkpoint.on_preemption()",
        expected="hook() or hook(seconds_left)",
        actual=repr(hook)[:100],
    )
