"""Types by name: the interface of a task without a signature, the columns of a frame, options in an annotation."""

from __future__ import annotations

from typing import Any


class NamedTypes(dict[str, Any]):
    """A dict that can stand in any annotation: ``Annotated[T, kwtypes(...)] | None`` has to be hashed.

    Two are equal when they name the same in the same order, which is the order of a frame's columns.
    """

    __slots__ = ()

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, NamedTypes):
            return list(self.items()) == list(other.items())
        return dict.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other
