"""The kernel of one run: started by a guard, in the run's own folder, with the run's own environment."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Final

from jupyter_client.manager import AsyncKernelManager

from flyte_plugin_papermill import guard
from flyte_plugin_papermill.launching import lossless
from flyte_plugin_papermill.spark import ATTACH, is_told

#: The longest path of a socket that every system takes, less what kernels add to it.
_LONGEST_SOCKET: Final = 80


@dataclass(frozen=True, slots=True)
class KernelPlace:
    """Where a kernel runs.

    Args:
        folder: the run's folder, for what is beside the notebook.
        work: the working directory of the kernel.
        env: its environment.
    """

    folder: Path
    work: Path
    env: Mapping[str, str]

    @property
    def status_file(self) -> Path:
        """The file with the exit status of a kernel that has ended."""
        return self.folder / "kernel.status"


class GuardedKernelManager(AsyncKernelManager):  # type: ignore[misc]
    """Starts a kernel that does not outlive this process; :func:`manager_for` makes the class of one run."""

    place: ClassVar[KernelPlace]
    connection_file: Any
    _read: int | None = None
    _write: int | None = None

    async def _async_pre_start_kernel(self, **kw: Any) -> tuple[list[str], dict[str, Any]]:
        place = self.place
        self._close()
        self._read, self._write = os.pipe()
        if not self.connection_file:
            self.connection_file = str(place.folder / "kernel.json")
        kw.update(stdin=self._read, cwd=str(place.work), env=dict(place.env))
        command, kw = await super()._async_pre_start_kernel(**kw)
        if is_told(place.env) and self.ipykernel:
            command = [*command, f"--IPKernelApp.exec_lines={ATTACH}"]
        command = lossless(command)
        guarded = [sys.executable, "-I", "-S", guard.__file__, str(place.status_file), *command]
        return guarded, kw

    def client(self, **kwargs: Any) -> Any:
        """A client that loses no output: by default what comes faster than it is read is thrown away."""
        made = super().client(**kwargs)
        made.context.setsockopt(import_module("zmq").RCVHWM, 0)
        return made

    async def _async_launch_kernel(self, kernel_cmd: list[str], **kw: Any) -> None:
        try:
            await super()._async_launch_kernel(kernel_cmd, **kw)
        finally:
            if self._read is not None:
                os.close(self._read)
                self._read = None

    async def _async_cleanup_resources(self, restart: bool = False) -> None:
        await super()._async_cleanup_resources(restart=restart)
        if not restart:
            self._close()

    cleanup_resources = _async_cleanup_resources

    def _close(self) -> None:
        """Let go of the pipe, which is the end of a kernel that still runs."""
        for end in (self._read, self._write):
            if end is not None:
                os.close(end)
        self._read = self._write = None


def manager_for(place: KernelPlace, sockets: Path | None) -> type[GuardedKernelManager]:
    """The class of managers that start a kernel at ``place``.

    Args:
        place: where.
        sockets: a folder for sockets, which only this user can reach and no other run gets at; ``None`` for ports.
    """
    made: dict[str, Any] = {"place": place}
    if sockets is not None:
        made |= {"transport": "ipc", "ip": str(sockets / "k")}
    return type("RunKernelManager", (GuardedKernelManager,), made)


def socket_folder() -> tempfile.TemporaryDirectory[str] | None:
    """A new folder for sockets; ``None`` where its path would be too long for one."""
    made = tempfile.TemporaryDirectory(prefix="fp-nb-")
    if len(made.name) <= _LONGEST_SOCKET:
        return made
    made.cleanup()
    return None
