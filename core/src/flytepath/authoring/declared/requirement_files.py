"""The files that an image's requirements come from, read when a task is compiled: later they may be others, or gone."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from flytepath.errors import DefinitionError

_PLACE = "ImageSpec(requirements)"
_NESTED = ("-r", "--requirement")
_CONSTRAINTS = ("-c", "--constraint")
_PATHS = ("-e", "--editable", "-f", "--find-links")


@dataclass(slots=True)
class RequirementFiles:
    """A requirements file with those it includes as one text, and the constraints they name as another.

    Args:
        requirements, constraints: the lines.
        local: files and folders that requirements name.
    """

    requirements: list[str] = field(default_factory=list)
    constraints: list[str] = field(default_factory=list)
    local: list[Path] = field(default_factory=list)
    _read: set[Path] = field(default_factory=set)

    def read(self, path: Path, *, constraints: bool = False) -> None:
        """Add a file.

        Raises:
            DefinitionError: it cannot be read, or is no text.
        """
        path = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would leave the path that the user sees
        if path in self._read:
            return
        self._read.add(path)
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise DefinitionError(
                "a requirements file cannot be read",
                place=_PLACE,
                expected="a text file",
                actual=f"{path}: {getattr(error, 'strerror', None) or error}",
            ) from error
        for line in text.replace("\\\r\n", " ").replace("\\\n", " ").splitlines():
            self._add(line.strip(), path.parent, constraints=constraints)

    def package(self, line: str) -> str:
        """A requirement as it is kept: a path becomes absolute, for it is used from another folder later."""
        if line.startswith(("./", "../", "/", "~")) or line in (".", ".."):
            path, bracket, extras = line.partition("[")
            found = Path(os.path.abspath(os.path.expanduser(path)))  # noqa: PTH100, PTH111 - as for any path a user gives
            self.local.append(found)
            return f"{found}{bracket}{extras}"
        return line

    def _add(self, line: str, folder: Path, *, constraints: bool) -> None:
        option, value = _option(line)
        if option in _NESTED:
            self.read(folder / value, constraints=constraints)
        elif option in _CONSTRAINTS:
            self.read(folder / value, constraints=True)
        else:
            if option in _PATHS and "://" not in value:
                beside = folder / value
                line = f"{option} {beside if beside.exists() else Path.cwd() / value}"
            elif not option:
                line = self.package(line)
            (self.constraints if constraints else self.requirements).append(line)


def _option(line: str) -> tuple[str, str]:
    """An option with its value; an empty one for a requirement.

    Example:
        >>> _option("--requirement=more.txt"), _option("-rmore.txt"), _option("a==1")
        (('--requirement', 'more.txt'), ('-r', 'more.txt'), ('', ''))
    """
    if not line.startswith("-"):
        return "", ""
    line = line.split(" #", maxsplit=1)[0].strip()
    if line.startswith("--"):
        name, _, value = line.replace("=", " ", 1).partition(" ")
        return name, value.strip()
    return line[:2], line[2:].strip()
