"""The bound on an attempt's processors: those it may run on, and the threads that libraries then start."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from flytepath.plugin.variables import variables_set

#: The variables that numeric libraries read, as a rule when they are imported.
THREAD_VARIABLES: Final = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "POLARS_MAX_THREADS",
)


@contextmanager
def bound_to(processors: tuple[int, ...]) -> Iterator[None]:
    """Run on these processors only, with all threads there are and those that come; on all if none is named.

    The variables that say how many threads to start are set where nobody else has set them.
    """
    if not processors:
        yield
        return
    before = os.sched_getaffinity(0)
    _bind(set(processors))
    count = str(len(processors))
    try:
        with variables_set({name: count for name in THREAD_VARIABLES if name not in os.environ}):
            yield
    finally:
        _bind(before)


def _bind(processors: set[int]) -> None:
    # Threads inherit it from the one that starts them, so a pool left by an earlier attempt must be told too.
    for thread in os.listdir("/proc/self/task"):  # noqa: PTH208 - only the names are wanted
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread), processors)
