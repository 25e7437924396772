"""``record_outputs``: what a notebook calls to give the outputs of its task. It runs in the kernel.

Plain values (numbers, text, lists, dicts, paths) need nothing of the platform there. What was recorded is an output of
the cell, so that the executed notebook tells it.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any, Final

from flyte_plugin_papermill.exchange import current_exchange, note_recorded, read_declared, write_value

#: The MIME type of the cell output that holds what was recorded.
MIME: Final = "application/vnd.flytepath.outputs+json"
#: The key that marks what JSON cannot say.
MARK: Final = "$flytepath"
#: A longer text of JSON lies in a file beside the notebook.
_INLINE: Final = 64 * 1024
_PATHS: Final = frozenset({"file", "directory", "path"})
_SHOWN: Final = 60


class OutputRecordingError(Exception):
    """What a notebook recorded cannot be an output; the task fails with ``NotebookOutputError``."""


def record_outputs(**outputs: Any) -> None:
    """Give outputs of the task that runs this notebook; of a name that comes again, the last value counts.

    Run by hand, outside a task, it only shows them.

    Args:
        **outputs: values by output name. Numbers, text, ``None``, lists and dicts of those; paths of files and
            directories, which are read when the notebook has ended; frames, arrays, dates, dataclasses and whatever
            else the task can declare.

    Raises:
        OutputRecordingError: an output that the task does not declare, a file that is not there, or a value that no
            output can have.
    """
    exchange = current_exchange()
    declared = read_declared(exchange) if exchange is not None else None
    noted: dict[str, Any] = {}
    for name, value in outputs.items():
        if declared is not None and name not in declared:
            raise OutputRecordingError(
                f"the task declares no output {name!r}; it declares: {', '.join(declared) or 'none'}"
            )
        kind = declared[name] if declared is not None else ""
        noted[name] = _noted(name, value, kind, exchange)
    if exchange is not None:
        note_recorded(exchange, noted)
    _show(noted, ", ".join(f"{name} = {_short(value)}" for name, value in outputs.items()))


def _noted(name: str, value: Any, kind: str, exchange: Path | None) -> Any:
    if isinstance(value, str) and kind in _PATHS and "://" not in value:
        value = Path(value)
    try:
        plain = as_json(_from_numpy(value))
    except _NotPlainError:
        if exchange is None:
            return {MARK: "shown", "value": _short(value)}
        return {MARK: "value", "at": str(_written(name, value, exchange))}
    if isinstance(value, os.PathLike) and not Path(os.fspath(value)).exists():
        raise OutputRecordingError(f"the output {name!r} is a path where nothing is: {os.fspath(value)}")
    text = json.dumps(plain, allow_nan=False)
    if exchange is None or len(text) <= _INLINE:
        return plain
    place = exchange / f"{name}-{os.urandom(6).hex()}.json"
    place.write_text(text, encoding="utf-8")
    return {MARK: "json", "at": str(place)}


def _written(name: str, value: Any, exchange: Path) -> Path:
    try:
        return write_value(exchange, name, value, python_type_of(value))
    except ImportError as error:
        raise OutputRecordingError(
            f"the output {name!r} is a {type(value).__qualname__}, which this kernel can only record with flytepath "
            f"installed: {error}"
        ) from error
    except Exception as error:
        raise OutputRecordingError(
            f"the output {name!r}, a {type(value).__qualname__}, cannot be recorded: {error}"
        ) from error


class _NotPlainError(Exception):
    """A value is none of those that JSON can say."""


def as_json(value: Any) -> Any:
    """``value`` as JSON that :func:`from_json` reads back exactly.

    Example:
        >>> as_json([1, 1.5, float("inf"), {"a": None}])
        [1, 1.5, {'$flytepath': 'float', 'value': 'inf'}, {'a': None}]
    """
    kind = type(value)
    if value is None or kind in (bool, int, str):
        return value
    if kind is float:
        return value if math.isfinite(value) else {MARK: "float", "value": repr(value)}
    if kind is list:
        return [as_json(item) for item in value]
    if kind is tuple:
        return {MARK: "tuple", "value": [as_json(item) for item in value]}
    if kind is dict and all(type(key) is str for key in value) and MARK not in value:
        return {key: as_json(item) for key, item in value.items()}
    if isinstance(value, os.PathLike):
        return {MARK: "path", "value": str(Path(os.fspath(value)).absolute())}
    raise _NotPlainError


def from_json(data: Any) -> Any:
    """The inverse of :func:`as_json`; paths are ``pathlib.Path``."""
    if isinstance(data, list):
        return [from_json(item) for item in data]
    if not isinstance(data, dict):
        return data
    match data.get(MARK):
        case None:
            return {key: from_json(item) for key, item in data.items()}
        case "float":
            return float(data["value"])
        case "tuple":
            return tuple(from_json(item) for item in data["value"])
        case "path":
            return Path(data["value"])
        case "json":
            return from_json(json.loads(Path(data["at"]).read_text(encoding="utf-8")))
        case other:
            raise ValueError(f"an output is noted in an unknown way: {other!r}")


def _from_numpy(value: Any) -> Any:
    """NumPy's numbers as Python's: a mean is a ``float`` to whoever computes it."""
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        return value.item()
    if type(value) in (list, tuple):
        return type(value)(map(_from_numpy, value))
    if type(value) is dict:
        return {_from_numpy(key): _from_numpy(item) for key, item in value.items()}
    return value


def python_type_of(value: Any) -> Any:
    """The type to keep a value as: containers say what is in them.

    Example:
        >>> import datetime as dt
        >>> python_type_of([dt.date(2024, 1, 1)]) == list[dt.date]
        True
    """
    kind = type(value)
    if kind in (list, set, frozenset) and value:
        return kind[_one_of(value)]
    if kind is tuple and value:
        return tuple[tuple(python_type_of(item) for item in value)]  # type: ignore[misc]
    if kind is dict and value:
        return dict[_one_of(value), _one_of(value.values())]  # type: ignore[misc]
    return kind


def _one_of(values: Any) -> Any:
    kinds = list(dict.fromkeys(python_type_of(item) for item in values))
    found = kinds[0]
    for kind in kinds[1:]:
        found = found | (None if kind is type(None) else kind)
    return found


def _short(value: Any) -> str:
    if type(value) in (bool, int, float, str, type(None)) or isinstance(value, os.PathLike):
        text = repr(value)
        return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    return type(value).__qualname__


def _show(noted: dict[str, Any], text: str) -> None:
    try:
        from IPython.display import display
    except ImportError:  # a script that was made of the notebook
        return
    display({MIME: noted, "text/plain": text or "no outputs"}, raw=True)
