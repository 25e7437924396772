"""Plain data from text: JSON first, then YAML, and ``@`` with the path of a file that holds either."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from typing import Any, Final

from flytepath.errors import InputError


def plain(text: str, expected: str) -> Any:
    """The data in ``text``: JSON, YAML, or what the file behind an ``@`` holds.

    Args:
        text: what was typed.
        expected: what it should be, for the error.

    Raises:
        InputError: it is neither, or there is no such file.

    Example:
        >>> plain("{rate: 0.5, on: 2024-02-29}", "an object")
        {'rate': 0.5, 'on': '2024-02-29'}
    """
    if text.startswith("@"):
        return plain_file(text[1:], expected)
    return _read(text, expected, "")


def plain_file(path: str, expected: str) -> Any:
    """The data in a JSON, JSON lines or YAML file.

    Raises:
        InputError: there is no such file, or it holds something else.
    """
    text = file_text(path)
    if path.lower().endswith((".jsonl", ".ndjson")):
        return [_read(line, expected, f"{path}:{n}") for n, line in enumerate(text.splitlines(), 1) if line.strip()]
    return _read(text, expected, path)


def file_text(path: str) -> str:
    """A text file; raises ``InputError`` where it cannot be read."""
    try:
        return file_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("the file is no text", place=path, expected="UTF-8", actual=str(error)) from error


def file_bytes(path: str) -> bytes:
    """A file's content; raises ``InputError`` where it cannot be read."""
    place = Path(path).expanduser()
    try:
        return place.read_bytes()
    except (OSError, ValueError) as error:
        said = "there is no file of this name" if isinstance(error, FileNotFoundError) else "the file cannot be read"
        raise InputError(said, expected="the path of a file", actual=path, hint=str(error)) from error


def _read(text: str, expected: str, place: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object)
    except ValueError as error:
        if isinstance(error, InputError):
            error.place = place or None
            raise
        return _yaml(text, expected, place, error)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise InputError(f"the key {double!r} is there twice", expected="each key once", actual=double)
    return made


def _yaml(text: str, expected: str, place: str, cause: ValueError) -> Any:
    try:
        yaml: Any = importlib.import_module("yaml")  # by name: it has no types of its own
    except ImportError:
        raise _neither("JSON", expected, place, text, str(cause)) from cause
    try:
        return yaml.load(text, _loader(yaml))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        said = " ".join(str(error).split())
        raise _neither("JSON or YAML", expected, place, text, said) from error


def _neither(what: str, expected: str, place: str, text: str, said: str) -> InputError:
    shown = text if len(text) <= 80 else f"{text[:80]}..."
    return InputError(f"this is not {what}: {said}", place=place or None, expected=expected, actual=shown)


_loaders: dict[str, Any] = {}


def _loader(yaml: Any) -> Any:
    """A loader with the scalars of YAML 1.2's core schema: ``no`` and dates stay text, and keys come once."""
    known = _loaders.get("core")
    if known is not None:
        return known

    class CoreLoader(yaml.SafeLoader):  # type: ignore[misc]
        yaml_implicit_resolvers: dict[str, Any] = {}

    for tag, pattern, first in _SCALARS:
        CoreLoader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(pattern), first)

    def number(loader: Any, node: Any) -> int:
        return int(loader.construct_scalar(node), 10)

    def mapping(loader: Any, node: Any) -> dict[Any, Any]:
        made: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = loader.construct_object(key_node, deep=True)
            if not isinstance(key, str | int | float | bool | None):
                raise ValueError("a key is a list or an object")
            if key in made:
                raise ValueError(f"the key {key!r} is there twice")
            made[key] = loader.construct_object(value_node, deep=True)
        return made

    CoreLoader.add_constructor("tag:yaml.org,2002:int", number)
    CoreLoader.add_constructor("tag:yaml.org,2002:map", mapping)
    _loaders["core"] = CoreLoader
    return CoreLoader


_SCALARS: Final = (
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"^[-+]?[0-9]+$", list("-+0123456789")),
    (
        "float",
        r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
        list("-+0123456789."),
    ),
)
