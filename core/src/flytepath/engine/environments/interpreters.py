"""Other Pythons on this machine: on the path, known to uv, or installed by pyenv. None is downloaded."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from flytepath.engine.environments.failures import EnvironmentBuildError

_PROBE: Final = "import sys; print('.'.join(map(str, sys.version_info[:3])))"
_PROBE_SECONDS: Final = 20.0


async def interpreter(version: str, uv: str | None) -> str:
    """The path of a Python of ``version``, ``X.Y`` or ``X.Y.Z``; empty stands for the engine's own.

    Raises:
        EnvironmentBuildError: there is none; it names where it was looked for.
    """
    if not version:
        return sys.executable
    looked: list[str] = []
    async for candidate in _candidates(version, uv, looked):
        found = await _said([candidate, "-I", "-S", "-c", _PROBE])
        if found == version or (found.startswith(f"{version}.") and version.count(".") == 1):
            return candidate
    raise EnvironmentBuildError(
        f"there is no Python {version} on this machine",
        place="ImageSpec(python_version)",
        expected=version,
        actual=f"looked for {', '.join(looked)}",
        hint=f"install it, for example with `uv python install {version}` or `pyenv install {version}`",
    )


async def _candidates(version: str, uv: str | None, looked: list[str]) -> AsyncIterator[str]:
    minor = ".".join(version.split(".")[:2])
    looked.append(f"python{minor} on PATH")
    for place in os.get_exec_path():
        path = Path(place) / f"python{minor}"
        if os.access(path, os.X_OK):
            yield str(path)
    if uv is None:
        looked.append("what uv knows (uv is not installed)")
    else:
        looked.append(f"`uv python find {version}`")
        known = await _said([uv, "python", "find", "--no-python-downloads", "--no-project", version])
        if known:
            yield known
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    looked.append(f"{root}/{version if version.count('.') > 1 else minor + '.*'}")
    for folder in sorted(root.glob(f"{minor}*"), key=_by_number, reverse=True):
        path = folder / "bin" / f"python{minor}"
        if os.access(path, os.X_OK):
            yield str(path)


def _by_number(folder: Path) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else -1 for part in folder.name.split("."))


async def _said(command: list[str]) -> str:
    """The first line a command prints; empty where it fails, as the shims of a Python that is not chosen do."""
    try:
        process = await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL)
    except OSError:
        return ""
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            said, _ = await process.communicate()
    except BaseException as error:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        if isinstance(error, TimeoutError):
            return ""
        raise
    lines = said.decode("utf-8", "replace").splitlines()
    return lines[0].strip() if process.returncode == 0 and lines else ""
