"""``flytepath`` in a process that ends itself with SIGKILL at a chosen moment, or whose surroundings play tricks.

``python crashing.py ARGUMENTS...`` takes the arguments of ``flytepath``. The environment says what is to happen:

``CRASH=KIND:N:before|after``
    the end comes with the N-th event of that kind: before it is handed to the store, or when it is durable and nobody
    knows yet. ``execution_created`` counts the executions that this process begins.
``CRASH=effect:NAME:N:before|after``
    the end comes before or after a call of what follows from events; see ``EFFECTS``.
``LEASE_SECONDS``, ``STORE_PATIENCE_SECONDS``, ``FIRST_AFTER``
    in place of the engine's own; the last is the number of events before a first snapshot.
``CLOCK``
    a file; the wall clock is set by as many seconds as it says, while it is there.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from flytepath.store.events import Store

#: What follows from events: where it lies.
EFFECTS = {
    "launch": ("flytepath.engine.launches", "Launches.launch"),
    "attempt": ("flytepath.engine.launches", "Launches._start"),
    "log": ("flytepath.store.blobs", "BlobFolder.put"),
    "log_file": ("flytepath.engine.launches", "kept_log"),
    "cache": ("flytepath.store.output_cache", "OutputCache.put"),
    "reserve": ("flytepath.store.output_cache", "OutputCache.reserve"),
    "shared_cache": ("flytepath.store.shared_outputs", "SharedOutputs.put"),
    "shared_reserve": ("flytepath.store.shared_outputs", "SharedOutputs.reserve"),
    "command": ("flytepath.store.events", "Store.take"),
    "snapshot": ("flytepath.store.events", "Store.put_snapshot"),
    "graph": ("flytepath.engine.calls", "CallDesk.kept"),
    "answer": ("flytepath.engine.calls", "CallDesk.answer"),
    "acquire": ("flytepath.store.events", "Store.acquire"),
    "claim": ("flytepath.store.events", "Store.claim"),
    "release": ("flytepath.store.events", "Store.release_all"),
    "sweep": ("flytepath.engine.local.places", "Places.sweep"),
}


def end(*_: Any) -> None:
    """The power goes."""
    os.kill(os.getpid(), signal.SIGKILL)


class Countdown:
    """True when something comes for the N-th time."""

    def __init__(self, number: int) -> None:
        self.left = number

    def passes(self, times: int) -> bool:
        reached = 0 < self.left <= times
        self.left -= times
        return reached


def crash_at_event(kind: str, number: int, when: str) -> None:
    """End at the append of an event."""
    append_later, create, countdown = Store.append_later, Store.create, Countdown(number)

    def appended(self: Store, name: str, seq: int, epoch: int, events: Any, *rest: Any, **more: Any) -> Future[None]:
        hit = countdown.passes(sum(event.payload.type == kind for event in events))
        if hit and when == "before":
            end()
        future = append_later(self, name, seq, epoch, events, *rest, **more)
        if hit:
            future.add_done_callback(end)
        return future

    def created(self: Store, *arguments: Any, **more: Any) -> None:
        hit = kind == "execution_created" and countdown.passes(1)
        if hit and when == "before":
            end()
        create(self, *arguments, **more)
        if hit:
            end()

    Store.append_later = appended  # type: ignore[method-assign]
    Store.create = created  # type: ignore[method-assign]


def crash_at_effect(name: str, number: int, when: str) -> None:
    """End at a call of what follows from events."""
    module, path = EFFECTS[name]
    owner: Any = importlib.import_module(module)
    *names, last = path.split(".")
    for each in names:
        owner = getattr(owner, each)
    called: Callable[..., Any] = getattr(owner, last)
    countdown = Countdown(number)

    def call(*arguments: Any, **more: Any) -> Any:
        hit = countdown.passes(1)
        if hit and when == "before":
            end()
        result = called(*arguments, **more)
        if hit and isinstance(result, Future):
            result.add_done_callback(end)
        elif hit and not hasattr(result, "__await__"):
            end()
        elif hit:
            return ended_with(result)
        return result

    async def ended_with(result: Any) -> Any:
        await result
        end()

    setattr(owner, last, call)
    if name == "log_file":
        importlib.import_module("flytepath.engine.scheduler").kept_log = call  # type: ignore[attr-defined]


def set_clock(file: Path) -> None:
    """Let the wall clock be set while the process runs."""
    real = time.time

    def wall() -> float:
        try:
            return real() + float(file.read_text())
        except (OSError, ValueError):
            return real()

    time.time = wall


def prepare() -> None:
    """Do what the environment says; it is not for the workers."""
    crash = os.environ.pop("CRASH", "")
    if crash.startswith("effect:"):
        _, name, number, when = crash.split(":")
        crash_at_effect(name, int(number), when)
    elif crash:
        kind, number, when = crash.split(":")
        crash_at_event(kind, int(number), when)
    clock = os.environ.pop("CLOCK", "")
    if clock:
        set_clock(Path(clock))
    for name, modules in SETTINGS.items():
        value = os.environ.pop(name, "")
        for module in modules if value else ():
            known = importlib.import_module(module)
            setattr(known, name, type(getattr(known, name))(float(value)))  # it must be there


#: Constants that can be set, and where they are.
SETTINGS = {
    "LEASE_SECONDS": ("flytepath.engine.engine", "flytepath.client.commands"),
    "STORE_PATIENCE_SECONDS": ("flytepath.engine.outage",),
    "FIRST_AFTER": ("flytepath.engine.snapshots",),
}


if __name__ == "__main__":
    from flytepath.cli import main

    sys.path[:] = [folder for folder in sys.path if folder != str(Path(__file__).parent)]
    prepare()
    main()
