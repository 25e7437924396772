"""Where the files of a running attempt belong; the floor above, which knows attempts, says it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def _nowhere() -> Path | None:
    return None


#: Gives the folder of the attempt that runs right here, ``None`` outside of any.
find: Callable[[], Path | None] = _nowhere
