"""What values need of the attempt they come from: its folder, and that it lasts until they are taken over."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

    from flytepath.model.types import LiteralType

#: Kinds whose values do part of the attempt's work when they are taken over: a generator's items are made then.
STREAMS: Final = frozenset({"iterator"})
#: Kinds whose values may lie in the folder of the attempt, which ends with a direct call.
IN_FOLDER: Final = STREAMS | {"file", "directory"}


def _nowhere() -> Path | None:
    return None


#: Gives the folder of the attempt that runs right here, ``None`` outside of any. The floor above, which knows attempts,
#: puts its own function here.
find: Callable[[], Path | None] = _nowhere


def holds(type: LiteralType, kinds: frozenset[str]) -> bool:
    """Whether a value of one of ``kinds`` can be anywhere inside.

    Example:
        >>> from flytepath.model.types import INTEGER, LiteralType
        >>> holds(LiteralType.list_of(LiteralType("file")), IN_FOLDER), holds(INTEGER, IN_FOLDER)
        (True, False)
    """
    if type.kind in kinds:
        return True
    return any(holds(item, kinds) for item in type.items) or any(holds(field.type, kinds) for field in type.fields)
