"""Processes of ``python -m MODULE`` that have imported already what they need: forked from one that has.

To import the command line takes longer than most commands do, and tests begin hundreds of them. What is forked is a
process like any other: with its own surroundings, working folder, output and exit status, and with nobody beside it.

This file is also the program that imports and forks: ``python warm_processes.py SOCKET MODULES...``.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

#: What Python or its libraries look at when a process begins; where it differs, only a fresh process will do.
_AT_BIRTH = ("PYTHON", "LC_", "LANG", "LD_", "VIRTUAL_ENV")
#: What most commands of ``flytepath`` import.
IMPORTED = (
    "flytepath.cli.root",
    "flytepath.cli.run",
    "flytepath.cli.jobs",
    "flytepath.cli.executions",
    "flytepath.authoring.eager",
    "flytepath.client",
    "flytepath.compiler",
    "flytepath.engine.quota.admission",
    "flytepath.engine.engine",
    "flytepath.engine.environments.building",
    "flytepath.engine.jobs.reaper",
    "flytepath.engine.secrets.resolving",
    "flytepath.engine.local.worker_pool",
    "flytepath.plugin.manager",
    "flytepath.store.events",
    "flytepath.store.migrate",
    "flytepath.store.quota",
    "flytepath.types.scalars",
    "alembic.command",
    "sqlalchemy.dialects.sqlite",
    "rich.console",
)


class WarmPython:
    """Runs commands in processes that are forked from one that has imported ``modules``.

    Where that is not possible, or the surroundings asked for would have mattered at the birth of a process, a fresh
    one is begun instead.

    Args:
        modules: what to import beforehand.
        env: the surroundings of that process; those of commands are given with each.
        fresh: begin every process anew all the same.
    """

    def __init__(self, *modules: str, env: Mapping[str, str], fresh: bool = False) -> None:
        self._modules = modules
        self._forks = not fresh and hasattr(os, "pidfd_open")
        self._birth = _birth(env)
        self._env = dict(env)
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()  # several threads may run commands

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._folder is not None:
            self._folder.cleanup()

    def run(
        self,
        module: str,
        arguments: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        timeout: float,
        errors: str = "strict",
    ) -> subprocess.CompletedProcess[str]:
        """What ``subprocess.run([sys.executable, "-m", module, *arguments], capture_output=True, text=True)`` gives."""
        command = [sys.executable, "-m", module, *arguments]
        if not self._forks or _birth(env) != self._birth:
            given: dict[str, Any] = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
            return subprocess.run(command, cwd=cwd, env=env, timeout=timeout, errors=errors, **given)
        with socket.socket(socket.AF_UNIX) as door:
            door.settimeout(timeout)
            with self._lock:
                place = self._place()
            door.connect(place)
            asked = {"module": module, "arguments": list(arguments), "cwd": str(cwd), "env": dict(env)}
            output, status = _talk(door, json.dumps(asked).encode(), command, timeout)
        said = [text.decode(errors=errors).replace("\r\n", "\n") for text in output]
        return subprocess.CompletedProcess(command, status, *said)

    def _place(self) -> str:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="warm-", dir="/tmp")
            place = f"{self._folder.name}/door"
            command = [sys.executable, __file__, place, *self._modules]
            self._process = subprocess.Popen(command, env=self._env, stdin=subprocess.DEVNULL)
            while not Path(place).exists():
                if self._process.poll() is not None:
                    raise RuntimeError(f"the process that forks others has ended: {self._process.returncode}")
                time.sleep(0.01)
        return f"{self._folder.name}/door"


def warm_command_line(config: Any, **more: str) -> WarmPython:
    """Runs commands of ``flytepath``, whose surroundings are ours with ``more``.

    In the long tier each is begun anew: there none finds what only another command has imported.
    """
    is_long = config.getoption("markexpr") == "proof or not proof"
    return WarmPython(*IMPORTED, env={**os.environ, **more}, fresh=is_long)


def _birth(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name.startswith(_AT_BIRTH)}


def _talk(door: socket.socket, asked: bytes, command: list[str], timeout: float) -> tuple[list[bytes], int]:
    """Ask for a command; what it wrote to its output and its error output, and its status."""
    deadline = time.monotonic() + timeout
    pipes = [os.pipe(), os.pipe()]
    try:
        door.sendall(len(asked).to_bytes(4, "big"))
        socket.send_fds(door, [asked[:1]], [write for _, write in pipes])
        door.sendall(asked[1:])
    finally:
        for _, write in pipes:
            os.close(write)
    said: dict[int, bytearray] = {read: bytearray() for read, _ in pipes}
    process = 0
    try:
        process = int.from_bytes(_received(door, 4), "big")
        with selectors.DefaultSelector() as selector:
            for read in said:
                selector.register(read, selectors.EVENT_READ)
            while selector.get_map():
                ready = selector.select(max(0.0, deadline - time.monotonic()))
                if not ready:
                    raise subprocess.TimeoutExpired(command, timeout, *map(bytes, said.values()))
                for key, _ in ready:
                    data = os.read(key.fd, 1 << 16)
                    said[key.fd] += data
                    if not data:
                        selector.unregister(key.fd)
        status = int.from_bytes(_received(door, 4), "big", signed=True)
    except (TimeoutError, subprocess.TimeoutExpired):
        if process:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        raise
    finally:
        for read in said:
            os.close(read)
    return [bytes(text) for text in said.values()], status


def _received(door: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = door.recv(size - len(data))
        if not more:
            raise ConnectionError("the process that forks others has gone")
        data += more
    return data


# --- the process that forks ------------------------------------------------------------------------------------------


def _serve(place: str) -> dict[str, Any]:
    """Fork a process for each that asks; returns in those, with what they are to run."""
    parent = os.getppid()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{place}.new")
    listener.listen(64)
    Path(f"{place}.new").rename(place)
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    running: dict[int, tuple[int, socket.socket]] = {}
    while os.getppid() == parent:
        for key, _ in selector.select(1.0):
            if key.fd in running:
                selector.unregister(key.fd)
                process, door = running.pop(key.fd)
                os.close(key.fd)
                status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
                with contextlib.suppress(OSError), door:  # whoever asked may be gone
                    door.sendall(status.to_bytes(4, "big", signed=True))
                continue
            door, _ = listener.accept()
            size = int.from_bytes(_received(door, 4), "big")
            first, outputs, _, _ = socket.recv_fds(door, 1, 2)
            asked: dict[str, Any] = json.loads(first + _received(door, size - 1))
            process = os.fork()
            if not process:
                listener.close()
                selector.close()
                for fd, (_, other) in running.items():
                    os.close(fd)
                    other.close()
                door.close()
                _become(asked, outputs)
                return asked
            for output in outputs:
                os.close(output)
            door.sendall(process.to_bytes(4, "big"))
            descriptor = os.pidfd_open(process)
            running[descriptor] = process, door
            selector.register(descriptor, selectors.EVENT_READ)
    raise SystemExit


def _become(asked: Mapping[str, Any], outputs: Sequence[int]) -> None:
    """Be as a process that has just begun."""
    for target, output in zip((1, 2), outputs, strict=True):  # where sys.stdout and sys.stderr write
        os.dup2(output, target)
        os.close(output)
    os.environ.clear()
    os.environ.update(asked["env"])
    os.chdir(asked["cwd"])
    time.tzset()
    sys.argv = [asked["module"], *asked["arguments"]]
    sys.path.insert(0, asked["cwd"])


if __name__ == "__main__":
    sys.path.pop(0)
    for _name in sys.argv[2:]:
        importlib.import_module(_name)
    gc.freeze()
    runpy.run_module(_serve(sys.argv[1])["module"], run_name="__main__", alter_sys=True)
