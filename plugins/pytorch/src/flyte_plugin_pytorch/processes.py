"""How the process of a rank comes to be: a new interpreter (``spawn``), or a copy of this one (``fork``)."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Final

from flytepath.plugin import DefinitionError

from flyte_plugin_pytorch.channel import RankEnd
from flyte_plugin_pytorch.gang import Pipes, Place, Started
from flyte_plugin_pytorch.rank import RAISED, Opening, leave, run

_PROGRAM: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop()); from flyte_plugin_pytorch.rank import main; main()"
)


def spawned(place: Place, pipes: Pipes) -> Started:
    """Start a rank in a new interpreter; it is told everything through its channel."""
    channel = pipes.channel.fileno()
    command = [sys.executable, *_flags(), "-c", _PROGRAM, str(channel), json.dumps(sys.path)]
    process = subprocess.Popen(
        command,
        env={**os.environ, **place.variables},
        stdin=subprocess.DEVNULL,
        stdout=pipes.out,
        stderr=pipes.err,
        pass_fds=(channel,),
    )
    return Started(process.pid, process.poll)


def _flags() -> list[str]:
    """The flags of this interpreter that its children must have too."""
    return subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined, no-any-return]


class Forked:
    """Starts ranks as copies of this process, which have the inputs and every imported module already.

    Args:
        opening: what a rank is told.
        inputs: the inputs; each rank has its own copy of them, made page by page as it writes.
    """

    def __init__(self, opening: Opening, inputs: Mapping[str, Any]) -> None:
        self._opening = opening
        self._inputs = inputs

    def __call__(self, place: Place, pipes: Pipes) -> Started:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        with warnings.catch_warnings():
            # Python 3.12 warns of threads; that is what the documentation of start_method="fork" is about.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            self._be(place, pipes)
        return Started(pid, _poll(pid))

    def _be(self, place: Place, pipes: Pipes) -> None:
        status = RAISED
        try:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.dup2(pipes.out, 1)
            os.dup2(pipes.err, 2)
            null = os.open(os.devnull, os.O_RDONLY)
            os.dup2(null, 0)
            sys.stdout, sys.stderr = _stream(1), _stream(2)
            os.environ.update(place.variables)
            _use_threads(place.variables)
            end = RankEnd(pipes.channel)
            end.receive()
            status = run(end, self._opening, lambda: self._inputs)
        finally:
            leave(status)


def check_fork(name: str) -> None:
    """Refuse to copy a process whose copies could not go on.

    Raises:
        DefinitionError: it has used a GPU, or this is not its main thread: what other threads hold stays held for ever.
    """
    if threading.current_thread() is not threading.main_thread():
        raise DefinitionError(
            "ranks can only be forked from the main thread",
            place=name,
            actual=threading.current_thread().name,
            hint='use start_method="spawn" for tasks that are called in threads',
        )
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        raise DefinitionError(
            "ranks cannot be forked from a process that has used a GPU",
            place=name,
            hint='use start_method="spawn", or do not touch torch.cuda where the module is imported',
        )


def _use_threads(variables: Mapping[str, str]) -> None:
    """What ``OMP_NUM_THREADS`` says to a library that is loaded when it is set: nothing."""
    torch = sys.modules.get("torch")
    wanted = variables.get("OMP_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS", "")
    if torch is not None and wanted.isdecimal() and int(wanted):
        torch.set_num_threads(int(wanted))


def _stream(descriptor: int) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        io.FileIO(descriptor, "wb", closefd=False), encoding="utf-8", errors="backslashreplace", line_buffering=True
    )


def _poll(pid: int) -> Callable[[], int | None]:
    ended: list[int] = []

    def poll() -> int | None:
        if not ended:
            try:
                found, status = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                ended.append(RAISED)  # somebody else has waited for it, and knows
            else:
                if found:
                    ended.append(os.waitstatus_to_exitcode(status))
        return ended[0] if ended else None

    return poll
