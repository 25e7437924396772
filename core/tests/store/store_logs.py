"""Logs to write in tests: an execution's events, and programs that write them from other processes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flytepath.model.events import AbortRequested, Actor, Event, ExecutionCreated

ADA = Actor(kind="user", name="ada")


def created(execution: str, at: float = 1.0, **changes: Any) -> Event:
    facts = {
        "project": "shop",
        "domain": "development",
        "workflow": "flow.wf",
        "workflow_version": "v1",
        "spec": "sha256:0",
        "bundle": "sha256:1",
    }
    return Event(execution=execution, seq=1, at=at, actor=ADA, payload=ExecutionCreated(**{**facts, **changes}))


def noted(execution: str, seq: int, reason: str = "", at: float | None = None) -> Event:
    """Some event without an effect on any list but its number."""
    return Event(
        execution=execution,
        seq=seq,
        at=float(seq) if at is None else at,
        actor=ADA,
        payload=AbortRequested(reason=reason),
    )


def start(program: str, *arguments: str) -> subprocess.Popen[str]:
    """Run ``program`` in a Python of its own; it imports from this folder too."""
    command = [sys.executable, "-W", "error", "-c", program, *arguments]
    here = str(Path(__file__).parent)
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=here)


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        time.sleep(0.005)
