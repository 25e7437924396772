"""Quantities of the Kubernetes API: read exactly, compared, and written."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Final

from flyte_plugin_kubernetes.errors import KubernetesResourcesError

_QUANTITY: Final = re.compile(
    r"(?P<number>[+-]?(\d+(\.\d*)?|\.\d+))(?P<unit>[numkMGTPE]|[KMGTPE]i|[eE][+-]?\d{1,3})?", re.ASCII
)
_FACTORS: Final = {
    "": Decimal(1),
    **{unit: Decimal(1000) ** (power - 3) for power, unit in enumerate(("n", "u", "m"))},
    **{unit: Decimal(1000) ** power for power, unit in enumerate(("k", "M", "G", "T", "P", "E"), 1)},
    **{unit: Decimal(1024) ** power for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)},
}


def read_quantity(value: Any, place: str) -> Decimal:
    """The number a quantity stands for, exactly.

    Raises:
        KubernetesResourcesError: it is none, or negative.

    Example:
        >>> read_quantity("500m", "cpu"), read_quantity("1.5Gi", "memory"), read_quantity("2e3", "memory")
        (Decimal('0.500'), Decimal('1610612736.0'), Decimal('2E+3'))
    """
    text = "" if isinstance(value, bool) or not isinstance(value, str | int | float) else str(value)
    match = _QUANTITY.fullmatch(text)
    if match is None:
        hint = "the units have no B: write 'Gi' or 'G'" if text.endswith(("B", "b")) else None
        raise KubernetesResourcesError(
            f"{value!r} is no quantity",
            place=place,
            expected="a number with or without a unit, as '500m', '2' or '4Gi'",
            actual=repr(value),
            hint=hint,
        )
    unit = match["unit"] or ""
    number = Decimal(match["number"])
    # "1E" is an exa, "1E3" a thousand.
    found = number * _FACTORS[unit] if unit in _FACTORS else number.scaleb(int(unit[1:]))
    if found < 0:
        raise KubernetesResourcesError(
            "nobody can be given less than nothing", place=place, expected="a quantity from 0", actual=repr(value)
        )
    return found


def written(value: str | int | float) -> str:
    """A quantity as the API writes it: text stays as it is, a number of cores becomes whole thousandths where it is.

    Example:
        >>> written("4Gi"), written(2), written(0.5), written(1.0)
        ('4Gi', '2', '500m', '1')
    """
    if isinstance(value, str):
        return value
    exact = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if exact == exact.to_integral_value():
        return str(int(exact))
    thousandths = exact * 1000
    return f"{int(thousandths)}m" if thousandths == thousandths.to_integral_value() else format(exact, "f")
