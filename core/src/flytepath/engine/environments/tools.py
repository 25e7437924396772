"""The installers: uv where it is present, else the standard library's venv and pip; and how one is run."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import shutil
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, TextIO

from flytepath.engine.environments.asked import Asked
from flytepath.engine.environments.failures import redacted
from flytepath.errors import ConfigError

TOOL_VARIABLE: Final = "FLYTEPATH_ENVIRONMENT_TOOL"
#: Variables that would lead an installer, or the new interpreter, into another environment.
_LEADING_ASTRAY: Final = (
    *("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "__PYVENV_LAUNCHER__", "VIRTUAL_ENV", "CONDA_PREFIX"),
    *("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_PYTHON", "UV_SYSTEM_PYTHON", "UV_PYTHON"),
    *("UV_PROJECT_ENVIRONMENT", "PIP_REQUIREMENT", "PIP_CONSTRAINT", "UV_CONSTRAINT", "UV_OVERRIDE", "PYTHONWARNINGS"),
)


class ToolFailed(Exception):
    """A tool ended with another status than 0; ``output`` is all it printed, without secrets."""

    def __init__(self, output: str) -> None:
        super().__init__(output)
        self.output = output


class Installer(Protocol):
    """Makes environments and fills them."""

    @property
    def name(self) -> str:
        """What people call it."""

    def create(self, python: str, folder: Path) -> list[str]:
        """The command that makes an empty environment."""

    def install(self, python: Path, files: Sequence[str], asked: Asked) -> list[str]:
        """The command that fills the environment of ``python``; ``files`` are requirements and constraints."""

    def variables(self, asked: Asked) -> dict[str, str]:
        """The environment variables that say where packages come from: on a command line everybody could read them."""


@dataclass(frozen=True, slots=True)
class Uv:
    """uv, by its path."""

    path: str
    name: str = "uv"

    def create(self, python: str, folder: Path) -> list[str]:
        """The command that makes an empty environment."""
        return [self.path, "venv", "--no-project", "--no-python-downloads", "--python", python, str(folder)]

    def install(self, python: Path, files: Sequence[str], asked: Asked) -> list[str]:
        """The command that fills it."""
        return [self.path, "pip", "install", "--python", str(python), *files, *asked.arguments]

    def variables(self, asked: Asked) -> dict[str, str]:
        """Where packages come from."""
        found = {"UV_NO_PROGRESS": "1"}
        if asked.index:
            found["UV_DEFAULT_INDEX"] = asked.index
        if asked.extra_indexes:
            found["UV_INDEX"] = " ".join([*asked.extra_indexes, *os.environ.get("UV_INDEX", "").split()])
        return found


@dataclass(frozen=True, slots=True)
class Pip:
    """The standard library's ``venv``, and the engine's pip, or the environment's own where the engine has none."""

    name: str = "pip"

    @property
    def _outside(self) -> bool:
        from importlib.metadata import PackageNotFoundError, version

        if importlib.util.find_spec("pip") is None:
            return False
        try:
            major, minor = version("pip").split(".")[:2]
        except (PackageNotFoundError, ValueError):
            return False
        return (int(major), int(minor)) >= (22, 3)  # since then it works on other environments

    def create(self, python: str, folder: Path) -> list[str]:
        """The command that makes an empty environment."""
        return [python, "-m", "venv", *(["--without-pip"] if self._outside else []), str(folder)]

    def install(self, python: Path, files: Sequence[str], asked: Asked) -> list[str]:
        """The command that fills it."""
        pip = [sys.executable, "-m", "pip", "--python", str(python)] if self._outside else [str(python), "-m", "pip"]
        options = ["--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
        return [*pip, "install", *options, *files, *asked.arguments]

    def variables(self, asked: Asked) -> dict[str, str]:
        """Where packages come from."""
        found = {"PIP_NO_COLOR": "1"}
        if os.environ.get("PIP_RETRIES") == "0":
            found["PIP_RETRIES"] = "1"  # without a retry pip does not say that the network is at fault
        if asked.index:
            found["PIP_INDEX_URL"] = asked.index
        if asked.extra_indexes:
            found["PIP_EXTRA_INDEX_URL"] = " ".join(
                [*asked.extra_indexes, *os.environ.get("PIP_EXTRA_INDEX_URL", "").split()]
            )
        return found


def find_uv() -> str | None:
    """The path of uv: on ``PATH``, or beside this interpreter."""
    beside = Path(sys.executable).with_name("uv")
    return shutil.which("uv") or (str(beside) if os.access(beside, os.X_OK) else None)


def installer() -> Installer:
    """The installer that is used here: as ``FLYTEPATH_ENVIRONMENT_TOOL`` says, by default uv where it is present.

    Raises:
        ConfigError: the variable names none, or uv that is not there.
    """
    chosen = os.environ.get(TOOL_VARIABLE, "").strip() or "auto"
    if chosen not in ("auto", "uv", "pip"):
        raise ConfigError(
            f"{TOOL_VARIABLE} names no installer", place=TOOL_VARIABLE, expected="auto, uv or pip", actual=repr(chosen)
        )
    uv = None if chosen == "pip" else find_uv()
    if chosen == "uv" and uv is None:
        raise ConfigError(f"{TOOL_VARIABLE} asks for uv, which is not installed here", place=TOOL_VARIABLE)
    return Pip() if uv is None else Uv(uv)


async def run(
    command: Sequence[str],
    *,
    folder: Path,
    log: TextIO,
    variables: dict[str, str] | None = None,
    keep_open: int | None = None,
) -> str:
    """Run a tool to its end; what it printed goes to ``log`` too, without secrets.

    The tool and all it starts are killed where this is cancelled. ``keep_open`` is the descriptor of the lock: the
    tool holds it as long as it lives, so that nobody touches the environment while an orphan still writes to it.

    Raises:
        ToolFailed: it could not be started, or ended with another status than 0.
    """
    log.write(redacted(f"$ {' '.join(command)}\n"))
    environment = {name: value for name, value in os.environ.items() if name not in _LEADING_ASTRAY}
    environment |= {"NO_COLOR": "1", "PYTHONUNBUFFERED": "1", **(variables or {})}
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=folder,
            env=environment,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            start_new_session=True,
            pass_fds=() if keep_open is None else (keep_open,),
        )
    except OSError as error:
        raise ToolFailed(f"{command[0]} cannot be started: {error.strerror or error}") from error
    said: list[str] = []
    try:
        await _copied(process.stdout, said, log)
        status = await process.wait()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        raise
    output = "".join(said)
    if status != 0:
        raise ToolFailed(output or f"{command[0]} ended with exit status {status}")
    return output


async def _copied(reader: asyncio.StreamReader | None, said: list[str], log: TextIO) -> None:
    pending = b""
    while reader is not None and (data := await reader.read(65536)):
        whole, newline, pending = (pending + data).rpartition(b"\n")
        _keep(whole + newline, said, log)
    _keep(pending, said, log)


def _keep(data: bytes, said: list[str], log: TextIO) -> None:
    if data:
        text = redacted(data.decode("utf-8", "replace"))
        said.append(text)
        log.write(text)
        log.flush()
