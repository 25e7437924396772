"""What is meant where several types are declared: the one reading that fits best, or an error that lists them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from flytepath.errors import InputError, TypeTransformerFailedError
from flytepath.plugin.transformer import Converter
from flytepath.types.text_values import from_data, from_text, stands_alone, wrong

#: Kinds that nearly any text could be, the weaker reading last.
_WEAK: Final = {"path": 8, "bytes": 8, "string": 8, "file": 5, "directory": 5, "dataframe": 5, "any": 9}


def union_from_text(converter: Converter[Any], text: str) -> Any:
    """The value of ``text`` for a union; raises ``InputError`` where it means nothing, or two things at once."""
    if _takes_none(converter):
        if text.strip().lower() in ("null", "none"):
            return None
        if text.strip().lower() in ('"null"', '"none"') and any(
            c.literal_type.kind == "string" for c in _choices(converter)
        ):
            return text.strip()[1:-1]  # quoted, it is the text
    return _meant(converter, text, from_text)


def union_from_data(converter: Converter[Any], data: Any) -> Any:
    """The same for plain data."""
    if data is None and _takes_none(converter):
        return None
    return _meant(converter, data, from_data)


def _choices(converter: Any) -> list[Converter[Any]]:
    inner: list[Converter[Any]] = [converter.inner] if hasattr(converter, "inner") else list(converter.alternatives)
    return [choice for choice in inner if choice.literal_type.kind != "none"]


def _takes_none(converter: Converter[Any]) -> bool:
    return any(item.kind == "none" for item in converter.literal_type.items)


def _meant(converter: Converter[Any], given: Any, read: Callable[[Converter[Any], Any], Any]) -> Any:
    choices = _choices(converter)
    if len(choices) == 1:
        return _value(choices[0], given, read)
    readings: list[tuple[int, Any, Converter[Any]]] = []
    errors: list[tuple[Converter[Any], Exception]] = []
    for choice in choices:
        try:
            value = _value(choice, given, read)
        except (InputError, TypeTransformerFailedError) as error:
            errors.append((choice, error))
            continue
        readings.append((_weakness(choice, given), value, choice))
    if not readings:
        raise _none_of(converter, given, errors)
    best = min(weakness for weakness, _, _ in readings)
    found = [(value, choice) for weakness, value, choice in readings if weakness == best]
    if any(type(value) is not type(found[0][0]) or not _equal(value, found[0][0]) for value, _ in found[1:]):
        listed = "; ".join(f"{value!r:.60} as {choice.literal_type}" for value, choice in found)
        raise InputError(
            f"it can be read in {len(found)} ways",
            expected=f"one reading as {converter.literal_type}",
            actual=listed,
            hint="write it so that only one is possible, or make the value in a task",
        )
    return found[0][0]


def _value(choice: Converter[Any], given: Any, read: Callable[[Converter[Any], Any], Any]) -> Any:
    value = read(choice, given)
    return value if stands_alone(choice) else choice.isolate(value)


def _equal(one: Any, other: Any) -> bool:
    return one is other or bool(one == other)


def _weakness(choice: Converter[Any], given: Any) -> int:
    """How far-fetched a reading is: 0 where the text is written as the type is."""
    kind = choice.literal_type.kind
    if kind in _WEAK:
        return 0 if kind == "any" and not isinstance(given, str) else _WEAK[kind]
    text = given.strip() if isinstance(given, str) else ""
    is_whole = type(given) is int or text.lstrip("+-").isdecimal()
    is_number = is_whole or type(given) is float or _is_number(text)
    if kind in ("float", "decimal"):
        return 1 if is_whole else 0
    if kind == "timedelta":
        return 2 if is_number else 0
    if kind in ("date", "time", "datetime", "uuid"):
        return 3 if is_whole else int(kind == "datetime" and len(text) <= 10)
    return 0


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _none_of(converter: Converter[Any], given: Any, errors: list[tuple[Converter[Any], Exception]]) -> InputError:
    said = "; ".join(
        f"no {choice.literal_type}: {getattr(error, 'message', error)}{_place(error)}" for choice, error in errors
    )
    return wrong(str(converter.literal_type), given, said)


def _place(error: Exception) -> str:
    place = getattr(error, "place", None)
    return f" at {place}" if place else ""
