"""Spans of time as people write them."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any, Final

from flytepath.errors import InputError

_SECONDS: Final = {
    "w": 604800,
    "week": 604800,
    "d": 86400,
    "day": 86400,
    "h": 3600,
    "hr": 3600,
    "hour": 3600,
    "m": 60,
    "min": 60,
    "minute": 60,
    "s": 1,
    "sec": 1,
    "second": 1,
}
_SMALL: Final = {
    "ms": "milliseconds",
    "millisecond": "milliseconds",
    "us": "microseconds",
    "microsecond": "microseconds",
}
_NUMBER: Final = r"\d+(?:\.\d+)?"
_UNITS: Final = re.compile(rf"({_NUMBER})\s*([a-zA-Z]+)\s*,?\s*")
_ISO: Final = re.compile(
    rf"P(?:({_NUMBER})W)?(?:({_NUMBER})D)?(?:T(?:({_NUMBER})H)?(?:({_NUMBER})M)?(?:({_NUMBER})S)?)?"
)


def span(data: Any) -> dt.timedelta:
    """A span of time: seconds, ``1:30:00``, ``1h30m``, ``2 days, 3:00:00``, or ISO 8601's ``P1DT2H``.

    Raises:
        InputError: it is none of these.

    Example:
        >>> span("1h30m") == span("PT1H30M") == span("1:30:00") == span(5400)
        True
    """
    try:
        if isinstance(data, int | float) and not isinstance(data, bool):
            return dt.timedelta(seconds=data)
        if isinstance(data, str):
            text = data.strip()
            sign = -1 if text.startswith("-") and "day" not in text else 1
            return sign * _read(text.lstrip("+-") if sign < 0 or text.startswith("+") else text)
    except (ValueError, OverflowError) as error:
        raise _no_span(data) from error
    raise _no_span(data)


def _read(text: str) -> dt.timedelta:
    iso = _ISO.fullmatch(text)
    if iso is not None and text[-1] not in "PT":
        weeks, days, hours, minutes, seconds = (_exact(group or "0", 1) for group in iso.groups())
        return weeks * 604800 + days * 86400 + hours * 3600 + minutes * 60 + seconds
    whole, at = dt.timedelta(), 0
    negative = text.startswith("-")  # as Python writes it: "-1 day, 23:00:00"
    if negative:
        at = 1
    while match := _UNITS.match(text, at):
        unit = match[2].lower()
        unit = unit if unit in _SECONDS or unit in _SMALL else unit.removesuffix("s")
        if unit in _SMALL:
            whole += dt.timedelta(**{_SMALL[unit]: float(match[1])})
        elif unit in _SECONDS:
            whole += _exact(match[1], _SECONDS[unit])
        else:
            raise ValueError(f"there is no unit {match[2]!r}")
        at = match.end()
    if negative:
        whole = -whole
    if at == len(text) and at:
        return whole
    parts = text[at:].split(":")
    if len(parts) > 3 or not all(
        re.fullmatch(_NUMBER if i == len(parts) - 1 else r"\d+", p) for i, p in enumerate(parts)
    ):
        raise ValueError("more than hours, minutes and seconds, or no numbers")
    for power, part in enumerate(reversed(parts)):
        whole += _exact(part, 60**power)
    return whole


def _exact(number: str, seconds: int) -> dt.timedelta:
    """So many times ``seconds``, to the microsecond without the errors of floating point."""
    whole, _, fraction = number.partition(".")
    value = dt.timedelta(seconds=int(whole) * seconds)
    if fraction:
        value += dt.timedelta(microseconds=round(int(fraction) * seconds * 1_000_000 / 10 ** len(fraction)))
    return value


def _no_span(data: Any) -> InputError:
    return InputError("expected a span of time", expected="a span of time", actual=str(data)[:80])
