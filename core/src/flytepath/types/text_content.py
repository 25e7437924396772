"""Values whose content lies elsewhere, from what is typed for them: files, folders, frames, arrays, iterators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flytepath.errors import InputError
from flytepath.types.converter import type_name
from flytepath.types.text_plain import plain, plain_file
from flytepath.types.text_values import from_data, wrong

#: Names under which a JSON object may hold a path.
_PATH_KEYS = ("path", "uri", "remote_path")


def content_from_text(converter: Any, text: str) -> Any:
    """A value from the path, URI or JSON that was typed.

    Raises:
        InputError: there is nothing, or the type has no text.
    """
    kind = converter.literal_type.kind
    if getattr(converter, "pickled", False):
        raise _no_text(
            converter, "it is kept by pickle: build it in a task, or make it a dataclass, which is typed as JSON"
        )
    if kind == "iterator":
        return _iterator(converter, plain_file(text, "a JSON list") if _is_path(text) else plain(text, "a JSON list"))
    if converter.literal_type.name == "numpy.ndarray":
        if text.strip().endswith(".npy"):
            return _npy(text.strip())
        return _array(converter, plain(text, "a JSON list of numbers, or the path of a .npy file"))
    read = getattr(getattr(converter, "transformer", None), "from_text", None)
    if read is None:
        raise _no_text(converter, "produce it in a task")
    if not text.strip():
        raise wrong(f"a path or URI of {kind}", text)
    return read(converter.python_type, _existing(text.strip()) if kind == "dataframe" else text)


def content_from_data(converter: Any, data: Any) -> Any:
    """The same from plain data: a path or URI, alone or as ``{"path": ...}``, or the content itself."""
    kind = converter.literal_type.kind
    if kind == "iterator" and isinstance(data, list):
        return _iterator(converter, data)
    if converter.literal_type.name == "numpy.ndarray" and not isinstance(data, str):
        return _array(converter, data)
    if isinstance(data, dict) and len(data) == 1 and next(iter(data)) in _PATH_KEYS:
        data = next(iter(data.values()))
    if not isinstance(data, str):
        if getattr(converter, "pickled", False):
            return content_from_text(converter, "")
        raise wrong(f"the path or URI of a {kind}", data)
    return content_from_text(converter, data)


def _existing(text: str) -> str:
    """A URI as it is; a path of this machine in full, since whoever reads it stands in another folder."""
    if "://" in text:
        return text
    path = Path(text).expanduser()
    if not path.exists():
        raise InputError("there is no file or folder of this name", expected="a file, a folder or a URI", actual=text)
    return str(path.absolute())


def _is_path(text: str) -> bool:
    return text.lower().endswith((".json", ".jsonl", ".ndjson", ".yaml", ".yml")) and not text.startswith(("[", "@"))


def _iterator(converter: Any, data: Any) -> list[Any]:
    if not isinstance(data, list):
        raise wrong("a JSON list, or the path of a .json or .jsonl file", data)
    item = converter.transformer._lines._item
    values = []
    for index, one in enumerate(data):
        try:
            values.append(item.isolate(from_data(item, one)))
        except (InputError, ValueError) as error:
            if hasattr(error, "place"):
                error.place = f"[{index}]{error.place or ''}"
            raise
    return values


def _npy(path: str) -> Any:
    import numpy as np

    try:
        return np.load(Path(path).expanduser(), allow_pickle=False)
    except FileNotFoundError as error:
        raise InputError("there is no file of this name", expected="a .npy file", actual=path) from error
    except (OSError, ValueError, EOFError) as error:
        raise InputError("the file holds no array", expected="a .npy file", actual=f"{path}: {error}") from error


def _array(converter: Any, data: Any) -> Any:
    import numpy as np

    from flytepath.types.arrays import _declared_dtype

    if not isinstance(data, list):
        raise wrong("a JSON list of numbers, or the path of a .npy file", data)
    try:
        made = np.array(data, dtype=_declared_dtype(converter.python_type))
    except (ValueError, TypeError, OverflowError) as error:
        raise wrong("a JSON list of numbers, each row of one length", data, str(error)) from error
    if made.dtype.hasobject:
        raise wrong("a JSON list of numbers", data)
    return made


def _no_text(converter: Any, remedy: str) -> InputError:
    shown = type_name(converter.python_type) if hasattr(converter, "python_type") else str(converter.literal_type)
    return InputError(f"a {shown} cannot be written as text", expected=shown, hint=remedy)
