from __future__ import annotations

from typing import Annotated, Any

from flytepath.authoring.context import ExecutionContext, current_context
from flytepath.authoring.decks.deck import DeckField
from flytepath.authoring.task import task


class Shout:
    """A renderer of one's own, beside a type."""

    def to_html(self, value: Any) -> str:
        return f"<h1>{value}!</h1>"


def decks_of(**settings: Any) -> dict[str, str]:
    """The decks of one call of a task with these settings."""

    @task(**settings)
    def body(x: str) -> Annotated[int, Shout()]:
        """A body to show."""
        contexts.append(current_context())
        return len(x)

    contexts: list[ExecutionContext] = []
    body(x="<script>")
    return {deck.name: deck.html for deck in contexts[0].decks}


def test_decks_of_its_own_where_a_task_asks_for_them() -> None:
    shown = decks_of(enable_deck=True)
    assert list(shown) == ["Input", "Source Code", "Dependencies", "Output"]
    assert "&lt;script&gt;" in shown["Input"] and "<script>" not in shown["Input"]
    assert "A body to show" in shown["Source Code"]
    assert "pytest" in shown["Dependencies"]
    assert "<h1>8!</h1>" in shown["Output"]


def test_only_the_fields_that_are_asked_for() -> None:
    assert list(decks_of(enable_deck=True, deck_fields=(DeckField.OUTPUT,))) == ["Output"]
    assert decks_of() == decks_of(enable_deck=False) == {}
