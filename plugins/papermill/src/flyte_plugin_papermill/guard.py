"""Started in a kernel's place: starts it, and leaves nothing of it behind. Needs nothing but Python itself.

A kernel is in a session of its own, so that killing its task's process does not reach it. This process leads that
session, and reads a pipe whose other end only the task's process holds. When that closes, however the process ended, or
when the kernel ends, everything in the session is killed, what cells have started included.

Usage: ``guard.py STATUS_FILE COMMAND...``; the file gets the exit status of the kernel, negative for a signal.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn


def main(argv: Sequence[str]) -> NoReturn:
    """Run the kernel to its end, or to that of the task."""
    status_file, command = Path(argv[0]), list(argv[1:])
    # Interrupts are for the kernel.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: _end())
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    kernel = os.fork()
    if not kernel:
        _become(command)
    while True:
        ready, _, _ = select.select([0, woken], [], [])
        if 0 in ready and not os.read(0, 1):
            _end()
        if woken in ready:
            os.read(woken, 512)
            ended, status = os.waitpid(kernel, os.WNOHANG)
            if ended:
                status_file.write_text(str(os.waitstatus_to_exitcode(status)), encoding="ascii")
                _end()


def _become(command: list[str]) -> NoReturn:
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        # ipykernel ends itself when its parent is no longer this process.
        os.environ["JPY_PARENT_PID"] = str(os.getppid())
        os.execvp(command[0], command)
    except OSError as error:
        sys.stderr.write(f"{command[0]} cannot be started: {error}\n")
    finally:
        os._exit(127)


def _end() -> NoReturn:
    """Kill the session, this process included."""
    os.killpg(0, signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
