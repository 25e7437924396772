"""Is it plain JSON: does it mean the same after it was written and read?"""

from __future__ import annotations

import math
from typing import Any


def not_plain(data: Any, path: str = "") -> str | None:
    """The first place in ``data`` that JSON would change or refuse; ``None`` if there is none.

    Example:
        >>> not_plain({"a": [1, None, "x"]}) is None
        True
        >>> not_plain({"a": (1, 2)})
        "['a'] is a tuple, which JSON turns into a list"
    """
    place = path or "the top"
    if data is None or type(data) in (bool, int, str):
        return None
    if type(data) is float:
        return None if math.isfinite(data) else f"{place} is {data}, which JSON has no number for"
    if type(data) is list:
        return next((found for i, item in enumerate(data) if (found := not_plain(item, f"{path}[{i}]"))), None)
    if type(data) is dict:
        for key, item in data.items():
            if type(key) is not str:
                return f"{place} has the key {key!r}, which JSON turns into a string"
            found = not_plain(item, f"{path}[{key!r}]")
            if found:
                return found
        return None
    if isinstance(data, tuple):
        return f"{place} is a tuple, which JSON turns into a list"
    return f"{place} is a {type(data).__name__}, which JSON cannot write as it is"
