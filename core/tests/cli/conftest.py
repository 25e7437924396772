"""A command line in a process of its own, with a home of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from warm_processes import WarmPython, warm_command_line

DEADLINE = 120.0

# A shell that starts us in the background lets SIGINT be ignored, and what we start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass
class CommandLine:
    """Runs ``flytepath`` in ``folder`` with ``FLYTEPATH_HOME`` set to ``home``."""

    folder: Path
    home: Path
    warm: WarmPython
    env: dict[str, str] = field(default_factory=dict)

    def write(self, name: str, source: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source))
        return path

    def environment(self) -> dict[str, str]:
        return {**os.environ, "FLYTEPATH_HOME": str(self.home), "PYTHONWARNINGS": "", **self.env}

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "flytepath", *arguments]

    def run(self, *arguments: str, status: int | None = 0) -> subprocess.CompletedProcess[str]:
        done = self.warm.run("flytepath", arguments, cwd=self.folder, env=self.environment(), timeout=DEADLINE)
        if status is not None:
            assert done.returncode == status, f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json").stdout)

    def error(self, *arguments: str, status: int) -> str:
        """The one readable error of a command that must fail."""
        done = self.run(*arguments, status=status)
        assert "Traceback" not in done.stderr, done.stderr
        assert "Error" in done.stderr, done.stderr
        return done.stderr


@pytest.fixture(scope="session")
def warm(request: pytest.FixtureRequest) -> Iterator[WarmPython]:
    """Runs the commands that are waited for; those that go on beside a test are begun anew."""
    with warm_command_line(request.config, PYTHONWARNINGS="") as python:
        yield python


@pytest.fixture
def cli(tmp_path: Path, warm: WarmPython) -> CommandLine:
    folder = tmp_path / "work"
    folder.mkdir()
    return CommandLine(folder, tmp_path / "home", warm)


def wait_until(condition: Callable[[], Any], what: str) -> Any:
    """Poll ``condition`` until it is true, with a deadline."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {DEADLINE} s: {what}")


@pytest.fixture
def until() -> Callable[[Callable[[], Any], str], Any]:
    return wait_until
