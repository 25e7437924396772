"""Requirements as the standard writes them (PEP 508), read by one thread at a time.

``packaging`` reads the strings in a marker as Python source. Python 3.11 counts the depth of such a reading once for
the whole interpreter, so two threads that read at once may fail with ``SystemError`` on text that is right.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from packaging.requirements import Requirement

_reading = threading.Lock()


def parse_requirement(text: str) -> Requirement:
    """The requirement that ``text`` is; a new one with each call, for it can be changed.

    Raises:
        packaging.requirements.InvalidRequirement: it is none.

    Example:
        >>> parse_requirement("spark ~= 1.2; python_version >= '3.11'").name
        'spark'
    """
    from packaging.requirements import Requirement

    with _reading:
        return Requirement(text)
