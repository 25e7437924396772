"""Columns as an annotation declares them, held against those of an Arrow table; and the choice of only these."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from flytepath.errors import DefinitionError, TypeTransformerFailedError
from flytepath.types.converter import qualified_name, type_name


class _Family(NamedTuple):
    """What a column of a Python type may be in Arrow: tests of ``pyarrow.types``, and how a text file is read as it."""

    tests: tuple[str, ...]
    text: str = ""


_TEXT: Final = ("is_string", "is_large_string", "is_string_view")
_FAMILIES: Final[dict[str, _Family]] = {
    "builtins.int": _Family(("is_integer",), "int64"),
    "builtins.float": _Family(("is_floating",), "float64"),
    "builtins.bool": _Family(("is_boolean",), "bool_"),
    "builtins.str": _Family(_TEXT, "string"),
    "builtins.bytes": _Family(("is_binary", "is_large_binary", "is_fixed_size_binary", "is_binary_view"), "binary"),
    "datetime.datetime": _Family(("is_timestamp",), "timestamp"),
    "datetime.date": _Family(("is_date",), "date32"),
    "datetime.time": _Family(("is_time",), "time64"),
    "datetime.timedelta": _Family(("is_duration",), "duration"),
    "decimal.Decimal": _Family(("is_decimal",)),
    "builtins.list": _Family(("is_list", "is_large_list", "is_fixed_size_list")),
    "builtins.dict": _Family(("is_struct", "is_map")),
}
_UNITS: Final = {"timestamp": ("us",), "time64": ("us",), "duration": ("us",)}


def check_declared(columns: Mapping[str, Any]) -> dict[str, Any]:
    """The columns as declared, once each type is known to be one that a column can have.

    Raises:
        DefinitionError: a name is no string, or no column can be of a type.
    """
    for name, t in columns.items():
        if not isinstance(name, str):
            raise DefinitionError("a column's name is a string", expected="kwtypes(name=type, ...)", actual=repr(name))
        if t is not Any and _family(t) is None and _exact(t) is None:
            raise DefinitionError(
                f"no column can be declared as {type_name(t)}",
                place=f"[{name!r}]",
                expected="int, float, bool, str, bytes, a date or time, Decimal, list, dict, a numpy or Arrow type",
                actual=type_name(t),
            )
    return dict(columns)


def _family(t: Any) -> _Family | None:
    import typing

    origin = typing.get_origin(t) or t
    return _FAMILIES.get(qualified_name(origin)) if isinstance(origin, type) else None


def _exact(t: Any) -> Any:
    """The one Arrow type that a numpy or Arrow type means."""
    module = (t.__module__ if isinstance(t, type) else type(t).__module__).partition(".")[0]
    if module == "pyarrow" and not isinstance(t, type):
        return t
    if module != "numpy":
        return None
    import numpy
    import pyarrow

    try:
        return pyarrow.from_numpy_dtype(numpy.dtype(t))
    except (TypeError, pyarrow.ArrowNotImplementedError):
        return None


def check_columns(schema: Any, declared: Mapping[str, Any], what: str) -> None:
    """Hold an Arrow schema against the declared columns.

    Raises:
        TypeTransformerFailedError: a column is missing, doubled or of another type; ``place`` names it.
    """
    names = list(schema.names)
    for name, t in declared.items():
        if names.count(name) != 1:
            import difflib

            close = difflib.get_close_matches(name, names, n=1)
            raise TypeTransformerFailedError(
                f"{what} has {'no' if name not in names else 'more than one'} column {name!r}",
                place=f"[{name!r}]",
                expected="the columns " + ", ".join(declared),
                actual=", ".join(names[:50]) or "no columns",
                hint=f"did you mean {close[0]!r}?" if close else "the columns are declared in the annotation",
            )
        actual = schema.field(name).type
        if not _is_of(actual, t):
            raise TypeTransformerFailedError(
                f"the column {name!r} of {what} is {actual}, not {type_name(t)}",
                place=f"[{name!r}]",
                expected=type_name(t),
                actual=str(actual),
                hint="convert the column with astype(...) or cast(...), or change the annotation",
            )


def _is_of(actual: Any, t: Any) -> bool:
    import pyarrow

    types = pyarrow.types
    if types.is_dictionary(actual):
        actual = actual.value_type
    if t is Any:
        return True
    exact = _exact(t)
    if exact is not None:
        return bool(actual == exact)
    family = _family(t)
    # A column of nothing but missing objects says nothing about its type.
    tests = [getattr(types, test, None) for test in (family.tests if family is not None else ())]
    return types.is_null(actual) or any(test(actual) for test in tests if test is not None)


def text_types(declared: Mapping[str, Any]) -> dict[str, Any]:
    """How the columns of a text file are read, by name."""
    import pyarrow

    found = {}
    for name, t in declared.items():
        family = _family(t)
        exact = _exact(t)
        if exact is not None:
            found[name] = exact
        elif family is not None and family.text:
            found[name] = getattr(pyarrow, family.text)(*_UNITS.get(family.text, ()))
    return found


def stored_names(schema: Any, wanted: Iterable[str]) -> list[str]:
    """``wanted``, and the columns in which a pandas frame's index is kept."""
    wanted = list(wanted)
    return wanted + [name for name in _index_names(schema) if name not in wanted]


def _index_names(schema: Any) -> list[str]:
    described = json.loads((schema.metadata or {}).get(b"pandas", b"{}")).get("index_columns", ())
    return [name for name in described if isinstance(name, str) and name in schema.names]


def select(table: Any, wanted: Iterable[str]) -> Any:
    """The table with only these columns, in this order, and a pandas frame's index. Copies nothing."""
    return table.select(stored_names(table.schema, wanted))
