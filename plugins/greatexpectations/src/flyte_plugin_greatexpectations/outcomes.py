"""The library's results as plain data, and as lines that people read."""

from __future__ import annotations

import datetime as dt
import difflib
import enum
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

from flyte_plugin_greatexpectations.result import ExpectationFailure

#: Longer texts are cut in messages; the deck has them whole.
_SHOWN: Final = 200
POSITION: Final = "flytepath_position"
_COLUMNS: Final = ("column", "column_A", "column_B", "column_list")
#: The library writes whole tracebacks and statements into the messages of what went wrong.
_NOISE: Final = re.compile(
    r"\s*(Traceback:? \"?|Traceback \(most recent|\[SQL: |\(Background on this error)", re.DOTALL
)
_HEAD: Final = re.compile(r"^An SQL execution Exception occurred\.\s+(\w+): \"")


def plain_message(text: str) -> str:
    """What a message says, without tracebacks and statements.

    Example:
        >>> plain_message('(sqlite3.OperationalError) no such table: t\\n[SQL: SELECT 1]')
        '(sqlite3.OperationalError) no such table: t'
    """
    text = _HEAD.sub(r"\1: ", text.removeprefix("Error: "))
    return _NOISE.split(text, maxsplit=1)[0].strip().strip('"').strip()[:1000]


def outcomes_of(results: Sequence[Any]) -> list[dict[str, Any]]:
    """The library's results as plain data, in the order of the suite."""
    found = [(getattr(item.expectation_config, "meta", None) or {}, item) for item in results]
    if all(POSITION in meta for meta, _ in found):
        found.sort(key=lambda pair: int(pair[0][POSITION]))
    outcomes = []
    for _, item in found:
        configuration = item.expectation_config
        attributes = {key: getattr(configuration, key, None) for key in ("notes", "description", "severity")}
        outcomes.append(
            {
                "success": bool(item.success),
                "type": configuration.type,
                "kwargs": plain({key: value for key, value in configuration.kwargs.items() if key != "batch_id"}),
                "attributes": plain({key: value for key, value in attributes.items() if value}),
                "result": plain(item.result or {}),
                "errors": _errors(item.exception_info or {}),
            }
        )
    return outcomes


def _errors(info: Mapping[str, Any]) -> list[str]:
    """The messages of what was raised: the library keeps one record, or one per metric."""
    records = [info] if "raised_exception" in info else [value for value in info.values() if isinstance(value, Mapping)]
    messages = [str(record.get("exception_message") or "") for record in records if record.get("raised_exception")]
    return list(dict.fromkeys(map(plain_message, messages)))


def _columns(kwargs: Mapping[str, Any]) -> list[str]:
    named = [kwargs[key] for key in _COLUMNS if isinstance(kwargs.get(key), str)]
    listed = kwargs.get("column_list")
    return named + [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else named


def why_not(type: str, kwargs: Mapping[str, Any], errors: Sequence[str], columns: Callable[[], Sequence[Any]]) -> str:
    """Why an expectation could not be evaluated: most often, it names a column that is not there."""
    there = [str(name) for name in columns()]
    missing = [name for name in _columns(kwargs) if name not in there] if there else []
    if not missing:
        return f"{type} could not be evaluated: {'; '.join(errors)}"
    names = ", ".join(map(repr, missing))
    near = difflib.get_close_matches(missing[0], there, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"it has {_cut(', '.join(map(repr, there)))}"
    return f"{type}: the frame has no column {names}; {hint}"


def failure_of(type: str, kwargs: Mapping[str, Any], outcome: Mapping[str, Any]) -> ExpectationFailure:
    """An expectation that was not met: which, of what, and what was seen."""
    found = outcome["result"]
    column = ", ".join(_columns(kwargs)) or None
    value, examples = found.get("observed_value"), found.get("partial_unexpected_list") or []
    observed = _text(value) if value is not None else ", ".join(map(_text, examples))
    count, percent = found.get("unexpected_count"), found.get("unexpected_percent")
    arguments = ", ".join(f"{key}={_text(value)}" for key, value in kwargs.items() if key not in _COLUMNS)
    facts = []
    if count is not None:
        facts.append(f"{count} unexpected" + (f" ({percent:.4g} %)" if percent is not None else ""))
    if observed:
        facts.append(("observed " if value is not None else "for example ") + _cut(observed))
    return ExpectationFailure(
        expectation=type,
        column=column,
        observed=observed,
        unexpected_count=count,
        unexpected_percent=float(percent) if percent is not None else None,
        message=(f"column {column!r}: " if column else "")
        + f"{type}({_cut(arguments)}): "
        + (", ".join(facts) or "not met"),
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def plain(value: Any) -> Any:
    """``value`` as JSON that people can read; cells of a kind JSON does not know become their text."""
    if value is None or (isinstance(value, bool | int | str) and type(value) in (bool, int, str)):
        return value
    if type(value) is float:
        return value if math.isfinite(value) else None if math.isnan(value) else str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, AbstractSet):
        return sorted((plain(item) for item in value), key=str)
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, enum.Enum):
        return plain(value.value)
    to_python = getattr(value, "tolist", None)
    if callable(to_python):
        # numpy's arrays and scalars; a scalar of a kind Python does not know gives itself.
        inner = to_python()
        return plain(inner) if type(inner) is not type(value) else str(inner)
    return str(value)
