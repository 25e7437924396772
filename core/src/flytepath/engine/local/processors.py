"""Which processors an attempt with a bound on its cores runs on: those that the fewest others were given."""

from __future__ import annotations

import math
import os

from flytepath.model.task import TaskSpec


def cores_of(task: TaskSpec) -> int | None:
    """Whole processors that an attempt may use, by its limit or else its request; ``None`` for all there are.

    Example:
        >>> from flytepath.model.resources import Resources
        >>> from flytepath.model.task import Interface
        >>> cores_of(TaskSpec(name="t", interface=Interface(), requests=Resources(cpu="1500m")))
        2
    """
    if task.limits.cpu is None and task.requests.cpu is None:
        return None
    cores = task.limits.cpu_cores if task.limits.cpu is not None else task.requests.cpu_cores
    return max(1, math.ceil(cores)) if cores else None


class Processors:
    """The processors of this machine, and how many attempts each was given to.

    Args:
        numbers: those there are; by default those that this process may run on, none where the system does not say.

    Example:
        >>> processors = Processors((0, 1, 2))
        >>> first, second = processors.take(2), processors.take(1)
        >>> first, second, processors.take(3)
        ((0, 1), (2,), ())
        >>> processors.give_back(first)
    """

    def __init__(self, numbers: tuple[int, ...] | None = None) -> None:
        if numbers is None:
            # Not every system can say it, and then attempts are not bound.
            numbers = tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else ()
        self._given = dict.fromkeys(numbers, 0)

    def take(self, count: int | None) -> tuple[int, ...]:
        """So many processors; none where an attempt may use all there are."""
        if count is None or count >= len(self._given):
            return ()
        chosen = tuple(sorted(sorted(self._given, key=self._given.__getitem__)[:count]))
        for number in chosen:
            self._given[number] += 1
        return chosen

    def give_back(self, numbers: tuple[int, ...]) -> None:
        """The attempt has ended."""
        for number in numbers:
            self._given[number] -= 1
