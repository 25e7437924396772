"""Prints the import statements that a rewriting has to write anew, with the comments that stood beside the names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

WIDTH: Final = 100


@dataclass(frozen=True, slots=True)
class Name:
    """A name to import, what it is called here, and the comments above and beside it."""

    old: str
    alias: str = ""
    above: tuple[str, ...] = field(default=(), compare=False)
    beside: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"{self.old} as {self.alias}" if self.alias else self.old


def render_import(names: Sequence[Name]) -> str:
    """An ``import`` statement.

    Example:
        >>> render_import([Name("os"), Name("flytepath", "fl")])
        'import os, flytepath as fl'
    """
    return "import " + ", ".join(map(str, names))


def render_from(module: str, names: Sequence[Name], indent: str, newline: str) -> str:
    """A ``from`` statement, in a line if it fits and no comment belongs to a name.

    Example:
        >>> render_from("flytepath", [Name("task"), Name("workflow", "wf")], "", "\\n")
        'from flytepath import task, workflow as wf'
    """
    line = f"from {module} import " + ", ".join(map(str, names))
    if len(indent) + len(line) <= WIDTH and not any(name.above or name.beside for name in names):
        return line
    lines = [f"from {module} import ("]
    for name in names:
        lines += [f"{indent}    {comment}" for comment in name.above]
        lines.append(f"{indent}    {name}," + (f"  {name.beside}" if name.beside else ""))
    return newline.join([*lines, f"{indent})"])
