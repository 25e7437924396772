"""What a migration says: of each file what became of it, and of each name why it stays with its owner."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

#: ``unchanged`` nothing to do, ``would change`` in a dry run, ``changed`` written, ``skipped`` it could not be read
#: or written.
Status = Literal["unchanged", "would change", "changed", "skipped"]


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """Something that a person has to carry over: where, what, why, and what to do."""

    file: str
    line: int
    column: int
    name: str
    reason: str
    hint: str

    def to_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return {
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "name": self.name,
            "reason": self.reason,
            "hint": self.hint,
        }


@dataclass(slots=True)
class Outcome:
    """One file: what it was, what it becomes, and what is left."""

    path: str
    before: str = ""
    after: str = ""
    status: Status = "unchanged"
    findings: list[Finding] = field(default_factory=list)

    @property
    def changes(self) -> bool:
        """Whether rewriting makes a difference."""
        return self.before != self.after
