"""Code written for one type: the three functions of a converter for values made of a fixed number of typed parts.

The functions of a dataclass with an integer ``x`` and a list ``y`` read like this one::

    def encode(value, sink, refs):
        if type(value) is not cls: raise wrong(value)
        step = 0
        try:
            v0 = value.x
            if not (type(v0) is int and -9007199254740991 <= v0 <= 9007199254740991): v0 = e0(v0, sink, refs)
            step = 1
            v1 = value.y
            v1 = e1(v1, sink, refs)
        except Failed as error: raise within(error, steps[step]) from error.__cause__
        except (AttributeError, KeyError) as error: raise unset(error, value) from error
        return {'x': v0, 'y': v1}

What a field holds is looked at in place; a converter is called only where a value is not its own payload.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from flytepath.errors import TypeTransformerFailedError
from flytepath.types.converter import CoreConverter, within

#: ``encode(value, sink, refs)``, ``decode(data, source, refs)`` and ``isolate(value)``.
Functions = tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a value.

    Args:
        converter: the converter of the part.
        step: the part in the path of an error, ``.units`` or ``[0]``.
        of_value: the expression that reads it from ``value``.
        of_data: the expression that reads its payload from ``data``.
    """

    converter: CoreConverter[Any]
    step: str
    of_value: str
    of_data: str


@dataclass(frozen=True, slots=True)
class Shape:
    """What surrounds the parts, as lines of code; part ``i`` is in ``v<i>``.

    Args:
        check_value: lines that refuse what is no such ``value``.
        check_data: lines that refuse ``data`` that is no such payload.
        payload: the expression of the payload.
        build: lines that make a value of the parts of a payload and return it.
        copy: lines that make one of the parts of ``value``, which is at hand, and return it.
        scope: the names that these lines use; ``unset(error, value)`` and ``unreadable(data)`` make the errors of a
            part that is not there.
    """

    check_value: Sequence[str]
    check_data: Sequence[str]
    payload: str
    build: Sequence[str]
    copy: Sequence[str]
    scope: dict[str, Any]


def write_functions(parts: Sequence[Part], shape: Shape) -> Functions:
    """The functions, compiled."""
    scope: dict[str, Any] = {
        "Failed": TypeTransformerFailedError,
        "within": within,
        "steps": [part.step for part in parts],
        **shape.scope,
    }
    for index, part in enumerate(parts):
        converter = part.converter
        scope |= {f"e{index}": converter.encode, f"d{index}": converter.decode, f"i{index}": converter.isolate}
    values, data = [part.of_value for part in parts], [part.of_data for part in parts]
    converters = [part.converter for part in parts]
    lines = [
        "def encode(value, sink, refs):",
        *_indented(shape.check_value),
        *_convert(converters, values, "passes_encode", "e{index}({v}, sink, refs)", "unset(error, value)"),
        f"    return {shape.payload}",
        "def decode(data, source, refs):",
        *_indented(shape.check_data),
        *_convert(converters, data, "passes_decode", "d{index}({v}, source, refs)", "unreadable(data)"),
        *_indented(shape.build),
        "def isolate(value):",
        *_indented(shape.check_value),
        *_convert(converters, values, "passes_isolate", "i{index}({v})", "unset(error, value)"),
        *_indented(shape.copy),
    ]
    exec("\n".join(lines), scope)
    return scope["encode"], scope["decode"], scope["isolate"]


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def _convert(
    converters: Sequence[CoreConverter[Any]], reads: Sequence[str], passes: str, convert: str, missing: str
) -> list[str]:
    """Lines that leave each converted part in ``v<index>``."""
    if not converters:
        return []
    lines = ["    step = 0", "    try:"]
    for index, (converter, read) in enumerate(zip(converters, reads, strict=True)):
        v = f"v{index}"
        lines += [f"        step = {index}", f"        {v} = {read}"]
        test = getattr(converter, passes, "")
        call = f"{v} = {convert.format(index=index, v=v)}"
        lines.append(f"        if not ({test.format(v=v)}): {call}" if test else f"        {call}")
    return [
        *lines,
        "    except Failed as error: raise within(error, steps[step]) from error.__cause__",
        f"    except (AttributeError, KeyError) as error: raise {missing} from error",
    ]
