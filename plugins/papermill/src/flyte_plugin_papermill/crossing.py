"""How values get into a notebook: as parameters where JSON says them exactly, and else by reference."""

from __future__ import annotations

import datetime as dt
import enum
import json
import os
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from flytepath.plugin import DefinitionError, TypeTransformerFailedError

if TYPE_CHECKING:
    from flytepath.plugin import LiteralType

_PLAIN: Final = frozenset({"none", "boolean", "integer", "float", "string", "any"})
_TEXTS: Final = frozenset({"datetime", "date", "time", "timedelta", "decimal", "uuid", "enum"})
_PATHS: Final = frozenset({"file", "directory", "path"})
_CONTAINERS: Final = frozenset({"list", "tuple", "dict", "union"})
#: What can be read only once, or means something only in the process it is in.
_NEVER: Final = frozenset({"iterator"})


def check_crosses(declared: LiteralType, place: str) -> None:
    """Refuse a type whose values cannot get from a task to its notebook or back.

    Raises:
        DefinitionError: with the types that can.
    """
    if _holds(declared, _NEVER):
        raise DefinitionError(
            f"a value of type {declared} cannot cross into a notebook",
            place=place,
            expected="a value that is there as a whole: numbers, text, lists, files, frames, dataclasses, ...",
            actual=str(declared),
            hint="declare a list, or a file",
        )


def parameters_of(
    inputs: Mapping[str, Any], types: Mapping[str, LiteralType], python_types: Mapping[str, Any], exchange: Path
) -> dict[str, Any]:
    """The parameters of a run.

    Args:
        inputs: native values by name.
        types, python_types: what they are declared as.
        exchange: the folder for what goes by reference.
    """
    return {name: _parameter(name, value, types[name], python_types[name], exchange) for name, value in inputs.items()}


def _parameter(name: str, value: Any, declared: LiteralType, python_type: Any, exchange: Path) -> Any:
    if _is_direct(declared):
        direct = _direct(value)
        try:
            json.dumps(direct, ensure_ascii=False, default=repr).encode()
        except UnicodeEncodeError as error:
            raise TypeTransformerFailedError(
                f"the input {name!r} holds half a character, which no notebook can",
                place=name,
                expected="text that UTF-8 can hold",
                actual=repr(error.object[error.start]),
            ) from error
        return direct
    if value is None:
        return None
    from flyte_plugin_papermill.exchange import write_value

    return str(write_value(exchange, name, value, python_type))


def _is_direct(declared: LiteralType) -> bool:
    if declared.kind in _PLAIN | _TEXTS | _PATHS:
        return True
    if declared.kind == "dict" and declared.items[0].kind != "string":
        return False
    return declared.kind in _CONTAINERS and all(map(_is_direct, declared.items))


def _direct(value: Any) -> Any:
    """A value as papermill can write it: numbers, text, lists and dicts."""
    match value:
        case enum.Enum():
            return _direct(value.value)
        case dt.datetime() | dt.date() | dt.time():
            return value.isoformat()
        case dt.timedelta():
            return value.total_seconds()
        case Decimal() | UUID():
            return str(value)
        case list() | tuple():
            return [_direct(item) for item in value]
        case dict():
            return {key: _direct(item) for key, item in value.items()}
        case os.PathLike():
            return str(Path(os.fspath(value)).absolute())
        case _:
            return value


def _holds(declared: LiteralType, kinds: frozenset[str]) -> bool:
    inner = (*declared.items, *(field.type for field in declared.fields))
    return declared.kind in kinds or any(_holds(item, kinds) for item in inner)
