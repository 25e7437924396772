"""Writing a new plugin package from the template that lies beside this module."""

from __future__ import annotations

import keyword
import re
import sys
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from flytepath.errors import UsageError

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_PREFIX = "flyte-plugin-"
#: Template file -> where it goes; both with the fields of :func:`_fields`.
_FILES = {
    "pyproject.toml.txt": "pyproject.toml",
    "README.md.txt": "README.md",
    "gitignore.txt": ".gitignore",
    "src/init.py.txt": "src/{package}/__init__.py",
    "src/plugin.py.txt": "src/{package}/plugin.py",
    "src/task.py.txt": "src/{package}/task.py",
    "src/types.py.txt": "src/{package}/types.py",
    "src/py.typed.txt": "src/{package}/py.typed",
    "tests/test_conformance.py.txt": "tests/test_{snake}_conformance.py",
    "tests/test_task.py.txt": "tests/test_{snake}_task.py",
}


def write_plugin(name: str, directory: Path) -> Path:
    """Write the package ``flyte-plugin-<name>`` into a folder of that name.

    Args:
        name: lower-case words joined by dashes; a leading ``flyte-plugin-`` is taken off.
        directory: where the folder is made.

    Returns:
        The new folder.

    Raises:
        UsageError: the name cannot be one, the folder is there already, or it cannot be written.
    """
    name = name.removeprefix(_PREFIX)
    _check(name)
    fields = _fields(name)
    folder = directory / f"{_PREFIX}{name}"
    if folder.exists():
        raise UsageError(
            f"{folder} is there already", place=str(folder), hint="choose another name, or another --directory"
        )
    template = files("flytepath.cli") / "template"
    try:
        for source, target in _FILES.items():
            path = folder / _filled(target, fields, "{", "}")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_filled(_read(template, source), fields, "@@", "@@"), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write the package: {error}", place=str(folder)) from error
    return folder


def _check(name: str) -> None:
    snake = name.replace("-", "_")
    # The package is flyte_plugin_<name>, so keywords do no harm there; class names are made of the name as well.
    if _NAME.fullmatch(name) and len(name) <= 30 and not keyword.iskeyword(snake) and name != "flytepath":
        return
    raise UsageError(
        f"{name!r} cannot name a plugin",
        expected="lower-case letters and digits, words joined by '-', starting with a letter, at most 30 characters",
        actual=repr(name),
        hint="name it after the service or library, for example 'spark' or 'great-expectations'",
    )


def _fields(name: str) -> dict[str, str]:
    from flytepath.plugin.contract import CONTRACT_MAJOR, ENTRY_POINT_GROUP

    words = name.split("-")
    return {
        "name": name,
        "distribution": f"{_PREFIX}{name}",
        "package": f"flyte_plugin_{name.replace('-', '_')}",
        "snake": name.replace("-", "_"),
        "class": "".join(word.capitalize() for word in words),
        "title": " ".join(word.capitalize() for word in words),
        "group": ENTRY_POINT_GROUP,
        "next_major": str(CONTRACT_MAJOR + 1),
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
    }


def _filled(text: str, fields: dict[str, str], before: str, after: str) -> str:
    for key, value in fields.items():
        text = text.replace(f"{before}{key}{after}", value)
    return text


def _read(template: Traversable, source: str) -> str:
    found = template
    for part in source.split("/"):
        found = found / part
    return found.read_text(encoding="utf-8")
