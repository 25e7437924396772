"""Quantities of Kubernetes, exactly: ``500m``, ``1.5Gi``, ``2e3``."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

_SHAPE = re.compile(r"^([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|([numkMGTPE]|[KMGTPE]i))?$")
_FACTORS = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    "k": Fraction(10**3),
    "M": Fraction(10**6),
    "G": Fraction(10**9),
    "T": Fraction(10**12),
    "P": Fraction(10**15),
    "E": Fraction(10**18),
    **{f"{name}i": Fraction(1024**power) for power, name in enumerate("KMGTPE", start=1)},
}


def amount(value: Any) -> Fraction | None:
    """The number a quantity means; ``None`` where it is none.

    Example:
        >>> amount("1500m"), amount("1Ki"), amount("two")
        (Fraction(3, 2), Fraction(1024, 1), None)
    """
    found = _SHAPE.match(str(value).strip())
    if found is None:
        return None
    number = Fraction(found[1])
    if found[2]:
        return number * Fraction(10) ** int(found[2][1:])
    return number * _FACTORS[found[3]] if found[3] else number
