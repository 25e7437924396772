"""``current_context().stats``: counters and timers that go nowhere, so that code written for them runs on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class NoStats:
    """Takes every count and every time and keeps none; use logs, decks or an event sink for what must be seen.

    Example:
        >>> stats = NoStats()
        >>> stats.incr("rows", 3)
        >>> with stats.timer("fit"):
        ...     pass
        >>> stats.with_namespace("train").gauge("loss", 0.1)
    """

    __slots__ = ()

    def incr(self, metric: str, count: int = 1, tags: Any = None, **kwargs: Any) -> None:
        """Count up."""

    def decr(self, metric: str, count: int = 1, tags: Any = None, **kwargs: Any) -> None:
        """Count down."""

    def gauge(self, metric: str, value: float, tags: Any = None, **kwargs: Any) -> None:
        """Note a level."""

    def timing(self, metric: str, delta: Any = None, tags: Any = None, **kwargs: Any) -> None:
        """Note a time."""

    def set(self, metric: str, value: Any, tags: Any = None, **kwargs: Any) -> None:
        """Note one of a set."""

    @contextmanager
    def timer(self, metric: str, tags: Any = None, **kwargs: Any) -> Iterator[None]:
        """Time a block."""
        yield

    def with_namespace(self, *names: str) -> NoStats:
        """The same again."""
        return self
