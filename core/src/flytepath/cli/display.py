"""How values, times and errors look in a terminal. Plain text, so that it reads the same in a file."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from flytepath.model.events import ErrorRecord
from flytepath.model.literal import JSON_FORMAT, Literal

if TYPE_CHECKING:
    from flytepath.client.views import ItemsView

WIDTH_LIMIT = 2000


def show_literal(literal: Literal) -> str:
    """A literal in a line: its JSON, or of what lies in a blob the place, size and shape.

    Example:
        >>> from flytepath.model.types import NONE
        >>> show_literal(Literal.make(NONE, None))
        'None'
    """
    from flytepath.cli.values import show_blob, show_value

    if literal.is_erased:
        return f"erased ({literal.type})"
    if literal.is_offloaded and literal.ref is not None:
        return show_blob(None, literal.format, literal.ref, literal.type)
    if literal.format != JSON_FORMAT or literal.ref is not None:
        return show_blob(literal.data, literal.format, literal.ref, literal.type)
    if literal.data is None and literal.type.kind in ("none", "union"):
        return "None"
    text = show_value(literal.data, literal.type, literal.refs)
    return text if len(text) <= WIDTH_LIMIT else f"{text[:WIDTH_LIMIT]}... ({len(text)} characters)"


def show_status(status: str, *, paused: bool = False, interrupted: bool = False) -> str:
    """Where an execution is, in a word: one that runs may be paused, or be driven by nobody.

    Example:
        >>> show_status("running", paused=True)
        'paused'
    """
    if status != "running":
        return status
    return "interrupted" if interrupted else "paused" if paused else status


def show_items(items: ItemsView) -> str:
    """The items of a map in a line.

    Example:
        >>> from flytepath.client.views import ItemsView
        >>> show_items(ItemsView(total=10_000, succeeded=8213, failed=3, running=4, waiting=1780))
        '8,213 of 10,000, 3 failed, 4 running, 1,780 waiting'
    """
    counts = [(getattr(items, name), name) for name in ("failed", "running", "retrying", "waiting", "skipped")]
    parts = [f"{items.succeeded:,} of {items.total:,}", *(f"{count:,} {name}" for count, name in counts if count)]
    return ", ".join(parts)


def show_time(at: float | None) -> str:
    """Local time to the second, with its offset."""
    return "-" if at is None else dt.datetime.fromtimestamp(at).astimezone().isoformat(sep=" ", timespec="seconds")


def show_seconds(seconds: float) -> str:
    """A duration.

    Example:
        >>> show_seconds(75.2)
        '1m15s'
    """
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m{rest:02d}s" if hours else f"{minutes}m{rest:02d}s"


def show_error(error: ErrorRecord, *, traceback: bool = True) -> str:
    """An error of a task: the user's traceback first, then what it means."""
    lines = [f"[{error.code}] {error.message}"]
    fields = (("at", error.place), ("expected", error.expected), ("actual", error.actual), ("hint", error.hint))
    lines += [f"  {label}: {text}" for label, text in fields if text]
    if traceback and error.traceback:
        lines.append("  traceback of the task (most recent call last):")
        lines += [f"  {line}" for line in error.traceback.rstrip().splitlines()]
    return "\n".join(lines)
