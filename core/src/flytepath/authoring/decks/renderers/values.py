"""Any value as HTML: by the renderer its annotation names, by a plugin's, or by its type."""

from __future__ import annotations

import dataclasses
import html
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol, runtime_checkable

from flytepath.authoring.decks.renderers.pictures import FigureRenderer, ImageRenderer, figure_library, is_pil_image
from flytepath.authoring.decks.renderers.tables import TopFrameRenderer, frame_kind, table

log = logging.getLogger("flytepath")

_TEXT_LIMIT: Final = 10_000
_ROW_LIMIT: Final = 100


@runtime_checkable
class Renderable(Protocol):
    """What shows a value in a deck. As a marker in ``Annotated`` it asks for that.

    Example:
        >>> class Loud:
        ...     def to_html(self, python_value: object) -> str:
        ...         return f"<h1>{html.escape(str(python_value))}</h1>"
        >>> render_value("fire", [Loud()])
        '<h1>fire</h1>'
    """

    def to_html(self, python_value: Any) -> str:
        """HTML in which every text that came from the value is escaped."""


def render_value(value: Any, markers: Iterable[Any] = ()) -> str:
    """A value as HTML for a deck.

    The first marker that is a :class:`Renderable` decides, then a plugin's deck renderer for the type, then the type.
    What a renderer raises is shown in place of the value and logged: a report never fails a task.

    Args:
        value: anything.
        markers: what stands beside the type in ``Annotated``.

    Example:
        >>> render_value("a < b")
        '<pre>a &lt; b</pre>'
    """
    for marker in markers:
        if not isinstance(marker, type) and isinstance(marker, Renderable):
            return _tried(marker.to_html, value)
    claimed = _of_plugin(value)
    return _tried(claimed if claimed is not None else _by_type, value)


def _of_plugin(value: Any) -> Callable[[Any], str] | None:
    from flytepath.errors import PluginError
    from flytepath.plugin.manager import current

    manager = current()
    try:
        claim = manager.deck_renderer_for(type(value))
        if claim is None:
            return None
        to_html: Callable[[Any], str] = manager.resolve(claim.declaration.renderer)().to_html
    except PluginError:
        log.warning("the deck renderer of %s cannot be used", type(value).__qualname__, exc_info=True)
        return None
    return to_html


def _tried(to_html: Callable[[Any], str], value: Any) -> str:
    try:
        found = to_html(value)
        if not isinstance(found, str):
            raise TypeError(f"a renderer gives text, not {type(found).__name__}")
    except Exception as error:
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        log.warning("a value of type %s cannot be shown in a deck", kind, exc_info=True)
        return f"<p>this {html.escape(kind)} cannot be shown:</p><pre>{html.escape(str(error))}</pre>"
    return found


def _by_type(value: Any) -> str:
    if value is None or isinstance(value, str | int | float | bytes):
        return _text(value if isinstance(value, str) else repr(value))
    if frame_kind(value) is not None:
        return TopFrameRenderer().to_html(value)
    if figure_library(value) is not None:
        return FigureRenderer().to_html(value)
    if is_pil_image(value):
        return ImageRenderer().to_html(value)
    own = getattr(value, "_repr_html_", None)
    if callable(own) and not isinstance(value, type):
        shown = own()
        if isinstance(shown, str):
            return shown
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _pairs((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
    if isinstance(getattr(type(value), "model_fields", None), Mapping):
        return _pairs((name, getattr(value, name)) for name in type(value).model_fields)
    if isinstance(value, Mapping):
        return _pairs(value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return _text(_json(list(value)))
    return _text(repr(value))


def _pairs(pairs: Iterable[tuple[Any, Any]]) -> str:
    items = list(pairs)
    rows = [(name, _json(item)) for name, item in items[:_ROW_LIMIT]]
    more = f"{_ROW_LIMIT} of {len(items)}" if len(items) > _ROW_LIMIT else ""
    return table(("name", "value"), rows, caption=more)


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, indent=1) if isinstance(value, list | dict) else str(value)
    except (TypeError, ValueError):
        return repr(value)


def _text(text: str) -> str:
    if len(text) > _TEXT_LIMIT:
        text = f"{text[:_TEXT_LIMIT]}\n… {len(text) - _TEXT_LIMIT} more characters"
    return f"<pre>{html.escape(text, quote=False)}</pre>"
