"""Making very many objects that all stay: without the garbage collector, which would look at them again and again."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused(really: bool) -> Iterator[None]:
    """Without garbage collection, where ``really``.

    Each pass of the collector over a large process can cost more than making what it looks at.

    Example:
        >>> with collector_paused(True):
        ...     gc.isenabled()
        False
    """
    if not really or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
