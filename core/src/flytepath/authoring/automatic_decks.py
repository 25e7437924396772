"""The decks that FlytePath itself writes where a task asks for them with ``enable_deck``."""

from __future__ import annotations

import html
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from flytepath.authoring.deck import Deck, DeckField
from flytepath.errors import DefinitionError

if TYPE_CHECKING:
    from flytepath.authoring.context import ExecutionContext

ALL_FIELDS = tuple(DeckField)


def checked_fields(fields: Any, place: str) -> tuple[DeckField, ...]:
    """What ``deck_fields`` names, in order and once each.

    Raises:
        DefinitionError: something that is no field.

    Example:
        >>> checked_fields((DeckField.INPUT, "Output"), "t(deck_fields)")
        (<DeckField.INPUT: 'Input'>, <DeckField.OUTPUT: 'Output'>)
    """
    if fields is None:
        return ALL_FIELDS
    given = fields if isinstance(fields, list | tuple | set | frozenset) else (fields,)
    try:
        return tuple(dict.fromkeys(DeckField(field) for field in given))
    except ValueError as error:
        raise DefinitionError(
            "deck_fields takes a tuple of DeckField",
            place=place,
            expected=", ".join(f"DeckField.{field.name}" for field in DeckField),
            actual=repr(fields),
        ) from error


def before_the_call(
    context: ExecutionContext,
    fields: Collection[DeckField],
    function: Callable[..., Any] | None,
    inputs: Mapping[str, Any],
    markers: Mapping[str, Iterable[Any]],
) -> None:
    """Add the decks of what is known before a task's body runs: inputs, source code, dependencies."""
    from flytepath.authoring.renderers.text import PythonDependencyRenderer, SourceCodeRenderer

    if DeckField.INPUT in fields:
        _keep(context, DeckField.INPUT, values_deck(inputs, markers))
    if DeckField.SOURCE_CODE in fields and function is not None:
        _keep(context, DeckField.SOURCE_CODE, SourceCodeRenderer().to_html(function))
    if DeckField.DEPENDENCIES in fields:
        _keep(context, DeckField.DEPENDENCIES, PythonDependencyRenderer().to_html())


def after_the_call(
    context: ExecutionContext,
    fields: Collection[DeckField],
    outputs: Mapping[str, Any],
    markers: Mapping[str, Iterable[Any]],
) -> None:
    """Add the deck of the outputs. The timeline is there already, where the task timed anything."""
    if DeckField.OUTPUT in fields:
        _keep(context, DeckField.OUTPUT, values_deck(outputs, markers))


def values_deck(values: Mapping[str, Any], markers: Mapping[str, Iterable[Any]]) -> str:
    """Values one below the other, each under its name.

    Example:
        >>> values_deck({"x": 3}, {})
        '<h3>x</h3><pre>3</pre>'
    """
    from flytepath.authoring.renderers.values import render_value

    return "".join(
        f"<h3>{html.escape(name)}</h3>{render_value(value, markers.get(name, ()))}" for name, value in values.items()
    )


def _keep(context: ExecutionContext, field: DeckField, content: str) -> None:
    context.keep_deck(Deck(field.value, content, auto_add_to_deck=False))
