"""Sensors: a workflow that waits for what happens outside.

    flytepath run examples/sensor.py when_it_is_there
    flytepath run examples/sensor.py ready

What it shows:

- `FileSensor` waits for a file, near or far, and `>>` lets a task wait for the sensor;
- a sensor of your own: a class with `async def poke(...) -> bool`, whose arguments are the inputs of the task;
- a limit to the patience.
"""

from __future__ import annotations

import datetime as dt

from flytepath import BaseSensor, FileSensor, task, workflow

arrived = FileSensor(name="arrived", timeout=dt.timedelta(minutes=5))


@task
def use(path: str) -> str:
    """What is done when the file is there."""
    return f"{path} is there"


@workflow
def when_it_is_there(path: str = __file__) -> str:
    """Wait for a file, then use it."""
    used = use(path=path)
    arrived(path=path) >> used
    return used


class Clock(BaseSensor):
    """Waits for a number of seconds, counted from the first look."""

    begun: dt.datetime | None = None

    async def poke(self, seconds: float) -> bool:
        """Whether the seconds are over."""
        now = dt.datetime.now(dt.UTC)
        self.begun = self.begun or now
        return (now - self.begun).total_seconds() >= seconds


clock = Clock(name="clock", timeout=60, poll_interval=0.05)


@workflow
def ready(seconds: float = 0.2) -> None:
    """Wait a little."""
    clock(seconds=seconds)
