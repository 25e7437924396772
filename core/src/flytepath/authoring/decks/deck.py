"""Decks: reports in HTML that a task writes for people."""

from __future__ import annotations

import datetime as dt
import enum
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flytepath.authoring.context import current_context
from flytepath.errors import DefinitionError

DEFAULT_DECK = "Default"
TIMELINE_DECK = "Timeline"


class DeckField(enum.StrEnum):
    """The decks that FlytePath itself writes where ``enable_deck`` asks for them."""

    INPUT = "Input"
    OUTPUT = "Output"
    SOURCE_CODE = "Source Code"
    TIMELINE = "Timeline"
    DEPENDENCIES = "Dependencies"


class Deck:
    """A report of the task that makes it.

    What was appended when the attempt ends is kept, whether it succeeds or fails; :meth:`publish` keeps what there is
    at once, so that it can be read while the task runs. A second deck of the same name takes the first one's place.

    Args:
        name: shown as the deck's title; unique within a task.
        html: the content. It is trusted: escape what comes from data (``html.escape``, or a renderer).
        auto_add_to_deck: make it a deck of the running task.

    Raises:
        DefinitionError: the name is empty, or a part is not text.

    Example:
        >>> from flytepath import Deck, task
        >>> @task
        ... def report(rows: int) -> int:
        ...     deck = Deck("summary", f"<p>{rows} rows</p>")
        ...     deck.append("<p>all fine</p>")
        ...     return rows
        >>> report(rows=3)
        3
    """

    def __init__(self, name: str, html: str | None = "", auto_add_to_deck: bool = True) -> None:
        if not isinstance(name, str) or not name.strip():
            raise DefinitionError("a deck needs a name", place="Deck(name)", expected="text", actual=repr(name))
        self._name = name
        self._parts: list[str] = []
        if html:
            self.append(html)
        if auto_add_to_deck:
            current_context().keep_deck(self)

    @property
    def name(self) -> str:
        """The title."""
        return self._name

    @property
    def html(self) -> str:
        """Everything that was appended, in order."""
        return "\n".join(self._parts)

    def append(self, html: str) -> Deck:
        """Add ``html`` below what is there; the deck itself, so that calls can follow each other."""
        if not isinstance(html, str):
            raise DefinitionError(
                "a deck takes HTML as text",
                place=f"Deck({self._name!r})",
                expected="str",
                actual=type(html).__name__,
                hint="turn the value into HTML with a renderer, or with flytepath's render_value",
            )
        self._parts.append(html)
        return self

    @staticmethod
    def publish() -> None:
        """Keep the decks of the running task as they are now, while it goes on."""
        current_context().report_decks()

    def __repr__(self) -> str:
        return f"<deck {self._name!r}>"


class TimelineDeck(Deck):
    """The deck of what took how long; :func:`timeit` fills it."""

    def __init__(self, name: str = TIMELINE_DECK, auto_add_to_deck: bool = True) -> None:
        super().__init__(name, "", auto_add_to_deck)
        self._steps: list[tuple[str, dt.datetime, dt.datetime, float, float]] = []

    def append_time_info(self, info: dict[str, Any]) -> None:
        """Add a step.

        Args:
            info: ``Name``, ``Start`` and ``Finish`` (``datetime``), ``WallTime`` and ``ProcessTime`` (seconds).
        """
        self._steps.append((info["Name"], info["Start"], info["Finish"], info["WallTime"], info["ProcessTime"]))

    @property
    def html(self) -> str:
        """A bar for each step, and a table of its times."""
        if not self._steps:
            return super().html
        from flytepath.authoring.decks.renderers.charts import GanttChartRenderer
        from flytepath.authoring.decks.renderers.tables import table

        rows = [(name, f"{wall:.3f}", f"{cpu:.3f}") for name, _, _, wall, cpu in self._steps]
        chart = GanttChartRenderer().to_html([(name, start, end) for name, start, end, _, _ in self._steps])
        times = table(("step", "wall time (s)", "process time (s)"), rows)
        return "\n".join(part for part in (chart, times, super().html) if part)


@contextmanager
def timeit(name: str = "") -> Iterator[None]:
    """Time a step of a task and show it in the task's timeline.

    Example:
        >>> from flytepath import task
        >>> @task
        ... def train(x: int) -> int:
        ...     with timeit("fit"):
        ...         return x
        >>> train(x=1)
        1
    """
    begun, wall, cpu = dt.datetime.now(dt.UTC), time.perf_counter(), time.process_time()
    try:
        yield
    finally:
        current_context().timeline_deck.append_time_info(
            {
                "Name": name or "step",
                "Start": begun,
                "Finish": dt.datetime.now(dt.UTC),
                "WallTime": time.perf_counter() - wall,
                "ProcessTime": time.process_time() - cpu,
            }
        )
