"""Expectations as plain data, so that a workflow is defined, compiled and versioned without Great Expectations.

What is written here becomes canonical JSON: the same expectations are the same bytes, whatever form they came in.
Dates and times, which JSON does not know, are kept as ``{"$datetime": ...}`` and ``{"$date": ...}``; a value that
comes from an input of the task is ``{"$PARAMETER": name}``, as in Great Expectations.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, Final

from flytepath.plugin import DefinitionError

Json = Any

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_FORMS = 'expect("column_values_to_not_be_null", column="x"), or {"type": ..., "kwargs": {...}}'
_ATTRIBUTES: Final = ("meta", "notes", "description", "severity")
_SEVERITIES: Final = ("critical", "warning", "info")
PARAMETER: Final = "$PARAMETER"


@dataclass(frozen=True, slots=True)
class Expectation:
    """One expectation: a type of Great Expectations, and its arguments as JSON.

    Args:
        type: in snake case; ``expect_`` in front may be left out.
        kwargs: the arguments of that type (``column``, ``min_value``, ``mostly`` ...).
        attributes: ``meta``, ``notes``, ``description`` and ``severity``, as the library knows them.

    Raises:
        DefinitionError: the type is no name, or an argument cannot be kept as data.

    Example:
        >>> Expectation("column_values_to_be_in_set", {"column": "grade", "value_set": {"b", "a"}}).to_json()
        {'type': 'expect_column_values_to_be_in_set', 'kwargs': {'column': 'grade', 'value_set': ['a', 'b']}}
    """

    type: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.type, str) or not _NAME.fullmatch(self.type):
            raise DefinitionError(
                "an expectation's type is a name in snake case",
                expected="for example 'column_values_to_not_be_null'",
                actual=repr(self.type),
            )
        name = self.type if self.type.startswith("expect_") else f"expect_{self.type}"
        object.__setattr__(self, "type", name)
        for label in ("kwargs", "attributes"):
            value = getattr(self, label)
            if not isinstance(value, Mapping):
                raise DefinitionError(
                    f"the {label} of an expectation are given by name",
                    place=name,
                    expected="a mapping",
                    actual=repr(value),
                )
            object.__setattr__(self, label, _canonical(value, f"{name}.{label}"))
        for key in self.attributes:
            if key not in _ATTRIBUTES:
                raise DefinitionError(
                    f"unknown attribute {key!r} of an expectation",
                    place=name,
                    expected="one of " + ", ".join(_ATTRIBUTES),
                    hint=f"arguments of the expectation go into kwargs: {{'kwargs': {{{key!r}: ...}}}}",
                )
        severity = self.attributes.get("severity", "critical")
        if severity not in _SEVERITIES:
            raise DefinitionError(
                "unknown severity", place=name, expected="one of " + ", ".join(_SEVERITIES), actual=repr(severity)
            )

    def __hash__(self) -> int:
        return hash(json.dumps(self.to_json(), sort_keys=True))

    def to_json(self) -> dict[str, Json]:
        """The canonical form."""
        return {"type": self.type, "kwargs": dict(self.kwargs), **self.attributes}

    def columns(self) -> list[str]:
        """The columns that must be there for it to be evaluated, as far as its arguments name them."""
        if self.type == "expect_column_to_exist":
            return []
        listed = self.kwargs.get("column_list")
        given = [self.kwargs.get(key) for key in ("column", "column_A", "column_B")]
        if isinstance(listed, list) and not self.type.startswith("expect_table_"):
            given += listed
        return [name for name in given if isinstance(name, str)]

    def parameters(self) -> frozenset[str]:
        """The names of the task inputs its arguments refer to."""
        return frozenset(_parameters(self.kwargs))


def expect(type: str, /, **kwargs: Any) -> Expectation:
    """An expectation, written as a call.

    Args:
        type: the expectation's type; ``expect_`` in front may be left out.
        kwargs: its arguments.

    Raises:
        DefinitionError: as for :class:`Expectation`.

    Example:
        >>> expect("column_values_to_be_between", column="age", min_value=0, max_value=130).type
        'expect_column_values_to_be_between'
    """
    return Expectation(type, kwargs)


def parameter(name: str) -> dict[str, str]:
    """An argument that takes its value from the task's input of that name.

    Example:
        >>> expect("table_row_count_to_be_between", min_value=parameter("at_least")).parameters()
        frozenset({'at_least'})
    """
    if not isinstance(name, str) or not name.isidentifier():
        raise DefinitionError("a parameter is the name of an input", actual=repr(name))
    return {PARAMETER: name}


def read_suite(expectations: Iterable[Any], place: str) -> tuple[Expectation, ...]:
    """Expectations in any of the forms a user may write.

    Args:
        expectations: :func:`expect`, ``{"type": ..., "kwargs": ...}``, or expectation objects of the library, whose
            configuration is taken as data.
        place: where they stand, for the error.

    Raises:
        DefinitionError: there is none, or one is malformed; ``place`` says which.
    """
    if isinstance(expectations, str | bytes | Mapping) or not isinstance(expectations, Iterable):
        raise DefinitionError(
            "expectations are given as a list", place=place, expected=f"[{_FORMS}]", actual=repr(expectations)[:200]
        )
    suite = tuple(_read(item, f"{place}[{index}]") for index, item in enumerate(expectations))
    if not suite:
        raise DefinitionError(
            "a suite without expectations accepts anything", place=place, expected=f"at least one: {_FORMS}"
        )
    return suite


def read_stored(stored: Any, place: str) -> tuple[Expectation, ...]:
    """The expectations of a suite as Great Expectations keeps it, of version 1 or before.

    Args:
        stored: the content of the suite's file.
        place: the file, for the error.

    Raises:
        DefinitionError: it is no suite, or has no expectations.
    """
    items = stored.get("expectations") if isinstance(stored, Mapping) else None
    if not isinstance(items, list):
        raise DefinitionError("this is no expectation suite", place=place, expected='{"expectations": [...]}')
    return read_suite([_as_written(item) for item in items], place)


def _as_written(item: Any) -> Any:
    """Without what the library adds when it keeps an expectation: numbers of its own, texts that it has drawn."""
    if not isinstance(item, Mapping):
        return item
    kept = {key: item[key] for key in _ATTRIBUTES if item.get(key)}
    if kept.get("severity") == "critical":
        del kept["severity"]
    return {"type": item.get("type") or item.get("expectation_type", ""), "kwargs": item.get("kwargs") or {}, **kept}


def restored(data: Json, parameters: Mapping[str, Any]) -> Any:
    """Canonical arguments as the library takes them: dates as objects, parameters as the values of the inputs."""
    if isinstance(data, list):
        return [restored(item, parameters) for item in data]
    if isinstance(data, dict):
        if len(data) == 1:
            (key, value), *_ = data.items()
            if key == "$datetime":
                return dt.datetime.fromisoformat(value)
            if key == "$date":
                return dt.date.fromisoformat(value)
            if key == PARAMETER and value in parameters:
                return parameters[value]
        return {key: restored(value, parameters) for key, value in data.items()}
    return data


def _read(item: Any, place: str) -> Expectation:
    configuration = getattr(item, "configuration", None)
    if configuration is not None and isinstance(getattr(configuration, "kwargs", None), Mapping):
        severity = getattr(configuration, "severity", None)
        item = {
            "type": configuration.type,
            "kwargs": {key: _plain(value) for key, value in configuration.kwargs.items()},
            "severity": getattr(severity, "value", severity),
            **{key: getattr(configuration, key, None) for key in ("meta", "notes", "description")},
        }
        item = {key: value for key, value in item.items() if key in ("type", "kwargs") or value}
        if item.get("severity") == "critical":
            del item["severity"]
    try:
        if isinstance(item, Expectation):
            return item
        if isinstance(item, Mapping):
            attributes = {key: value for key, value in item.items() if key not in ("type", "kwargs")}
            return Expectation(item.get("type", ""), item.get("kwargs", {}), attributes)
    except DefinitionError as error:
        error.place = f"{place} {error.place}" if error.place else place
        raise
    raise DefinitionError("not an expectation", place=place, expected=_FORMS, actual=repr(item)[:200])


def _plain(value: Any) -> Any:
    # The library turns some arguments (row conditions) into models of its own, which know how to become data.
    for name in ("to_dict", "dict"):
        method = getattr(value, name, None)
        if callable(method) and not isinstance(value, Mapping):
            return method()
    return value


def _canonical(value: Any, place: str) -> Json:
    if value is None or isinstance(value, bool | str):
        return value
    if type(value) is int:
        return value
    if type(value) is float:
        if not math.isfinite(value):
            raise DefinitionError(
                "an argument of an expectation is not a finite number",
                place=place,
                actual=repr(value),
                hint="leave the bound out where there is none",
            )
        return value
    if isinstance(value, dt.datetime):
        return {"$datetime": value.isoformat()}
    if isinstance(value, dt.date):
        return {"$date": value.isoformat()}
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise DefinitionError("names of arguments are text", place=place, actual=repr(key))
        return {key: _canonical(value[key], f"{place}.{key}") for key in sorted(value)}
    if isinstance(value, AbstractSet):
        items = [_canonical(item, place) for item in value]
        return sorted(items, key=lambda item: json.dumps(item, sort_keys=True))
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [_canonical(item, f"{place}[{index}]") for index, item in enumerate(value)]
    raise DefinitionError(
        "an argument of an expectation cannot be kept as data",
        place=place,
        expected="text, numbers, booleans, None, dates, and lists, sets and mappings of them",
        actual=f"{type(value).__qualname__}: {value!r}"[:200],
        hint="numpy scalars become plain numbers with .item()",
    )


def _parameters(data: Json) -> Iterator[str]:
    if isinstance(data, list):
        for item in data:
            yield from _parameters(item)
    elif isinstance(data, dict):
        for key, value in data.items():
            if key == PARAMETER and isinstance(value, str):
                yield value
            else:
                yield from _parameters(value)
