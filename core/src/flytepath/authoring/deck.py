"""Decks: reports in HTML that a task writes for people."""

from __future__ import annotations

from flytepath.authoring.context import current_context


class Deck:
    """A report of the task that makes it.

    Args:
        name: shown as the deck's title; unique within a task.
        html: the content. It is trusted: escape what comes from data (``html.escape``).

    Example:
        >>> from flytepath import Deck, task
        >>> @task
        ... def report(rows: int) -> int:
        ...     Deck("summary", f"<p>{rows} rows</p>")
        ...     return rows
        >>> report(rows=3)
        3
    """

    def __init__(self, name: str, html: str = "") -> None:
        self.name = name
        self.html = html
        if html:
            current_context().add_deck(name, html)
