"""The decks that FlytePath itself writes where a task asks for them with ``enable_deck``."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from flytepath.authoring.decks.deck import Deck, DeckField

if TYPE_CHECKING:
    from flytepath.authoring.context import ExecutionContext
    from flytepath.authoring.task import Task


def write_decks_before(task: Task, context: ExecutionContext, inputs: Mapping[str, Any]) -> None:
    """Add what is known before the task's body runs: inputs, source code, dependencies, of those it asks for."""
    fields = task.settings.decks
    if DeckField.INPUT in fields:
        _keep(context, DeckField.INPUT, values_deck(inputs, _markers(task.input_codecs)))
    if DeckField.SOURCE_CODE in fields and task.function is not None:
        from flytepath.authoring.decks.renderers.text import SourceCodeRenderer

        _keep(context, DeckField.SOURCE_CODE, SourceCodeRenderer().to_html(task.function))
    if DeckField.DEPENDENCIES in fields:
        _keep(context, DeckField.DEPENDENCIES, _dependencies())


def write_decks_after(task: Task, context: ExecutionContext, outputs: Mapping[str, Any]) -> None:
    """Add the outputs, if the task asks for them. The timeline is there already, where the task timed anything."""
    if DeckField.OUTPUT in task.settings.decks:
        _keep(context, DeckField.OUTPUT, values_deck(outputs, _markers(task.output_codecs)))


def values_deck(values: Mapping[str, Any], markers: Mapping[str, Iterable[Any]]) -> str:
    """Values one below the other, each under its name.

    Example:
        >>> values_deck({"x": 3}, {})
        '<h3>x</h3><pre>3</pre>'
    """
    from flytepath.authoring.decks.renderers.values import render_value

    return "".join(
        f"<h3>{html.escape(name)}</h3>{render_value(value, markers.get(name, ()))}" for name, value in values.items()
    )


@cache
def _dependencies() -> str:
    """The same for every attempt of this process."""
    from flytepath.authoring.decks.renderers.text import PythonDependencyRenderer

    return PythonDependencyRenderer().to_html()


def _markers(codecs: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    return {name: tuple(codec.markers) for name, codec in codecs.items()}


def _keep(context: ExecutionContext, field: DeckField, content: str) -> None:
    context.keep_deck(Deck(field.value, content, auto_add_to_deck=False))
