"""Small charts drawn as SVG: boxes of a column, and bars along a time line."""

from __future__ import annotations

import datetime as dt
import html
import statistics
from collections.abc import Iterable, Sequence
from typing import Any, Final

from flytepath.authoring.decks.renderers.tables import column_values, frame_kind
from flytepath.errors import TypeTransformerFailedError

_WIDTH: Final = 720
_LEFT: Final = 160
_ROW: Final = 24
_FONT: Final = "font:12px system-ui,sans-serif"
_COLOUR: Final = "#4878a8"


class BoxRenderer:
    """A box plot of one column: quartiles, whiskers to 1.5 times their distance, and what lies outside.

    Args:
        column_name: the column.
    """

    def __init__(self, column_name: str) -> None:
        self.column_name = column_name

    def to_html(self, df: Any) -> str:
        """The plot.

        Raises:
            TypeTransformerFailedError: it is no frame, there is no such column, or it holds no numbers.
        """
        values = sorted(
            float(value)
            for value in column_values(df, self.column_name)
            if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")
        )
        if not values:
            raise TypeTransformerFailedError(
                f"column {self.column_name!r} holds no numbers", place=f"BoxRenderer({self.column_name!r})"
            )
        low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
        reach = 1.5 * (high - low)
        inside = [value for value in values if low - reach <= value <= high + reach] or values
        outside = [value for value in values if not low - reach <= value <= high + reach]
        scale = _Scale(values[0], values[-1])
        x = scale.at
        shapes = [
            _line(x(inside[0]), 40, x(inside[-1]), 40),
            _line(x(inside[0]), 30, x(inside[0]), 50),
            _line(x(inside[-1]), 30, x(inside[-1]), 50),
            _bar(x(low), 22, max(x(high) - x(low), 1), 36),
            _line(x(middle), 22, x(middle), 58, "#fff"),
        ]
        # More dots than this cannot be told apart, and would make the deck large.
        shapes += [f'<circle cx="{x(value):.1f}" cy="40" r="3" fill="none" stroke="#a44"/>' for value in outside[:500]]
        shapes += [_text(0, 44, self.column_name), _text(x(values[0]), 78, f"{values[0]:g}")]
        shapes += [_text(x(values[-1]), 78, f"{values[-1]:g}", "end"), _text(x(middle), 16, f"{middle:g}", "middle")]
        return _svg(84, shapes)


class GanttChartRenderer:
    """A bar for each step, from its start to its end."""

    def to_html(self, df: Any) -> str:
        """The chart.

        Args:
            df: a frame with the columns ``Name``, ``Start`` and ``Finish``, or a list of such triples. Times are
                ``datetime`` or numbers.

        Raises:
            TypeTransformerFailedError: something else was given.
        """
        steps = _steps(df)
        if not steps:
            return ""
        first = min(start for _, start, _ in steps)
        scale = _Scale(0.0, max(end - first for _, _, end in steps) or 1.0)
        shapes = []
        for row, (name, start, end) in enumerate(steps):
            left, right = scale.at(start - first), scale.at(end - first)
            top = row * _ROW + 4
            shapes.append(_text(0, top + 13, name))
            shapes.append(_bar(left, top, max(right - left, 1), _ROW - 8, f"{name}: {end - start:.3f} s"))
        bottom = len(steps) * _ROW + 16
        shapes += [_text(_LEFT, bottom, "0 s"), _text(_WIDTH, bottom, f"{scale.high:.3f} s", "end")]
        return _svg(bottom + 6, shapes)


class _Scale:
    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high
        self._span = (high - low) or 1.0

    def at(self, value: float) -> float:
        return _LEFT + (value - self.low) / self._span * (_WIDTH - _LEFT)


def _steps(df: Any) -> list[tuple[str, float, float]]:
    if frame_kind(df) is not None:
        rows: Iterable[Sequence[Any]] = zip(
            *(column_values(df, name) for name in ("Name", "Start", "Finish")), strict=True
        )
    else:
        rows = df
    try:
        return [(str(name), _seconds(start), _seconds(end)) for name, start, end in rows]
    except (TypeError, ValueError) as error:
        raise TypeTransformerFailedError(
            "a time line is made of names, starts and ends",
            place="GanttChartRenderer.to_html(df)",
            expected="a frame with the columns Name, Start and Finish",
            actual=type(df).__name__,
        ) from error


def _seconds(moment: Any) -> float:
    if isinstance(moment, dt.datetime):
        return moment.timestamp()
    return float(moment)


def _svg(height: float, shapes: Iterable[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH + 10} {height:.0f}" '
        f'style="max-width:{_WIDTH + 10}px;width:100%">{"".join(shapes)}</svg>'
    )


def _line(x1: float, y1: float, x2: float, y2: float, colour: str = "#333") -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def _bar(x: float, y: float, width: float, height: float, title: str = "") -> str:
    told = f"<title>{html.escape(title)}</title>" if title else ""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{_COLOUR}">{told}</rect>'


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    shown = text if len(text) <= 24 else f"{text[:23]}…"
    return f'<text x="{x:.1f}" y="{y:.1f}" style="{_FONT}" text-anchor="{anchor}">{html.escape(shown)}</text>'
