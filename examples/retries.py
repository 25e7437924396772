"""Trying again: a durable run repeats what failed in a way that may pass.

    flytepath run examples/retries.py measure
    flytepath run examples/retries.py measure --busy 2
    flytepath run examples/retries.py measure --busy 5

What it shows:

- ``retries``: how often a failed attempt is followed by another. A worker that is killed costs none of them;
- ``FlyteRecoverableException`` says that another attempt may succeed; any other exception is tried again, too;
- ``timeout``: an attempt that takes longer is ended, and counts as failed;
- ``current_context().attempt``: which attempt this is.

The second command succeeds at the third attempt, and the third command has none left. A direct call is one attempt:
there the exception comes at once, which is what a debugger wants.
"""

from __future__ import annotations

import datetime as dt

from flytepath import FlyteRecoverableException, current_context, task, workflow


@task(retries=2, timeout=dt.timedelta(minutes=1))
def ask(sensor: str, busy: int) -> str:
    """A sensor that is busy for the first few attempts."""
    attempt = current_context().attempt
    if attempt <= busy:
        raise FlyteRecoverableException(f"{sensor} is busy")
    return f"{sensor} answered in attempt {attempt}"


@workflow
def measure(sensor: str = "barometer", busy: int = 0) -> str:
    """Ask until there is an answer."""
    return ask(sensor=sensor, busy=busy)
