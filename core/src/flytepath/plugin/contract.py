"""The version of the contract: the major number is the entry-point group, the minor one grows with every addition."""

from __future__ import annotations

from typing import Final

CONTRACT_MAJOR: Final = 1
CONTRACT_MINOR: Final = 2

#: All entry-point groups of plugins, of any contract major, start with this.
ENTRY_POINT_PREFIX: Final = "flytepath.v"
#: The one group whose entry points are imported.
ENTRY_POINT_GROUP: Final = f"{ENTRY_POINT_PREFIX}{CONTRACT_MAJOR}"
