"""Run one case in a process of its own: its line of results, the memory of all its processes, and an end to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.measure import CaseFailedError

ROOT = Path(__file__).resolve().parent.parent
#: How long a case may take before it counts as hung.
PATIENCE_SECONDS = 3600.0
_SAMPLE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a case said, and the most memory that was seen (bytes; 0 where this system does not tell).

    Args:
        facts: the line of JSON that it printed.
        own_bytes: resident memory of its own process.
        all_bytes: the same with all processes below it; what they share counts in each.
    """

    facts: Mapping[str, float]
    own_bytes: int = 0
    all_bytes: int = 0


@dataclass(slots=True)
class _Memory:
    own: int = 0
    everything: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    def watch(self, process: int) -> None:
        while not self.ended.wait(_SAMPLE_SECONDS):
            own = _resident(process)
            self.own = max(self.own, own)
            self.everything = max(self.everything, own + sum(map(_resident, _below(process))))


def run(
    module: str,
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    kill: bool = False,
) -> Outcome:
    """Run a module until it ends, or with ``kill`` until it has printed its line, and then kill it.

    Raises:
        CaseFailedError: it failed, printed no results, or took too long.
    """
    command = [sys.executable, "-m", module, *arguments]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    memory = _Memory()
    watching = threading.Thread(target=memory.watch, args=(process.pid,), daemon=True)
    watching.start()
    hung = threading.Timer(PATIENCE_SECONDS, lambda: os.killpg(process.pid, signal.SIGKILL))
    hung.start()
    line, errors = "", ""
    try:
        if kill and process.stdout is not None:
            line = process.stdout.readline()
            workers = _below(process.pid)
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            _await_end(workers)
        else:
            line, errors = process.communicate()
    finally:
        hung.cancel()
        memory.ended.set()
        watching.join()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    try:
        facts = json.loads(line.strip().splitlines()[-1])
    except (ValueError, IndexError):
        raise CaseFailedError(f"{' '.join(command)}: {process.returncode}\n{line}{errors}") from None
    return Outcome(facts, memory.own, memory.everything)


def _await_end(processes: Sequence[int]) -> None:
    until = time.monotonic() + 10
    while time.monotonic() < until and any(_resident(each) for each in processes):
        time.sleep(0.01)


def _below(process: int) -> list[int]:
    found: list[int] = []
    for listed in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            children = [int(child) for child in listed.read_text(encoding="ascii").split()]
        except OSError:
            continue
        for child in children:
            found += [child, *_below(child)]
    return found


def _resident(process: int) -> int:
    """Bytes of resident memory; 0 when the process is gone."""
    try:
        pages = Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
