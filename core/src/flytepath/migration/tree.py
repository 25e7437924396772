"""Finds the files of a code base, rewrites each by its kind, and writes what changed, a whole file at a time."""

from __future__ import annotations

import os
import re
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from flytepath.errors import UsageError
from flytepath.migration.findings import Finding, Outcome
from flytepath.migration.notebooks import rewrite_notebook
from flytepath.migration.python import rewrite_python
from flytepath.migration.requirements import (
    is_requirement_file,
    mentions,
    rewrite_pyproject,
    rewrite_requirements,
    rewrite_setup_cfg,
)
from flytepath.migration.table import Table

_SKIPPED_FOLDERS: Final = frozenset({"__pycache__", "node_modules", "site-packages", "venv"})
_CI_FOLDERS: Final = frozenset({".circleci", ".github"})
_ONLY_REPORTED: Final = re.compile(
    r"(?:.*\.)?Dockerfile(?:\..*)?|.*\.(?:ya?ml|sh|bash|toml|cfg|ini|mk|lock)|Makefile|Pipfile|justfile"
)
_MENTION: Final = re.compile(rb"flytekit|pyflyte", re.IGNORECASE)


def files_of(paths: Sequence[Path]) -> Iterator[Path]:
    """Every file below the paths that may name flytekit, each once, in order.

    Hidden folders, virtual environments and installed packages are left out, and links to folders are not followed.

    Raises:
        UsageError: a path does not exist.
    """
    seen: set[Path] = set()
    roots = [path.resolve() for path in paths]
    for path in paths:
        if not path.exists() and not path.is_symlink():
            raise UsageError(f"no such file or folder: {path}", hint="name the files and folders to migrate")
        for found in (path,) if not path.is_dir() else _below(path):
            where = Path(os.path.abspath(found))  # noqa: PTH100 - a link is a file of its own here
            if where in seen or (found.is_symlink() and _reached_anyway(found, roots)):
                continue
            seen.add(where)
            yield found


def _reached_anyway(link: Path, roots: Sequence[Path]) -> bool:
    """Whether what a link leads to is one of the files that are migrated under their own name."""
    target = link.resolve()
    return target != Path(os.path.abspath(link)) and any(root in target.parents for root in roots)  # noqa: PTH100


def _below(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        here = Path(place)
        folders[:] = sorted(name for name in folders if _wanted(here / name))
        yield from (here / name for name in sorted(files))


def _wanted(folder: Path) -> bool:
    hidden = (folder.name.startswith(".") and folder.name not in _CI_FOLDERS) or folder.name in _SKIPPED_FOLDERS
    return not hidden and not (folder / "pyvenv.cfg").exists()


def migrate_file(path: Path, table: Table, *, write: bool) -> Outcome | None:
    """Rewrite one file.

    Args:
        path: the file.
        table: what becomes of which name.
        write: change the file; without it only the outcome says what would be.

    Returns:
        What became of it; ``None`` for a file that does not name flytekit, or is of no kind that is looked at.
    """
    kind = _kind(path)
    if kind is None or not path.is_file():
        return None
    try:
        source = path.read_bytes()
    except OSError as error:
        return _skipped(path, f"not read: {error.strerror}", "check the file's permissions")
    if not _MENTION.search(source):
        return None
    outcome, new = _rewrite(kind, path, source, table)
    if not outcome.changes:
        return outcome if outcome.findings else None
    outcome.status = "would change"
    if path.is_symlink():
        return _skipped(path, "it is a link", f"migrate the file it leads to: {path.resolve()}", outcome)
    if not path.stat().st_mode & stat.S_IWUSR:
        return _skipped(path, "it is read-only", "make it writable and run again", outcome)
    if write:
        try:
            _write(path, source, new)
        except OSError as error:
            return _skipped(path, f"not written: {error.strerror or error}", "nothing of it was changed", outcome)
        outcome.status = "changed"
    return outcome


def _kind(path: Path) -> str | None:
    if path.suffix in {".py", ".pyi", ".ipynb"}:
        return path.suffix
    if path.name in {"pyproject.toml", "setup.cfg"}:
        return path.name
    if is_requirement_file(path):
        return "requirements"
    return "reported" if _ONLY_REPORTED.fullmatch(path.name) else None


def _rewrite(kind: str, path: Path, source: bytes, table: Table) -> tuple[Outcome, bytes]:
    name = str(path)
    if kind in {".py", ".pyi"}:
        return rewrite_python(name, source, table)
    try:
        text = source.decode("utf-8")
    except UnicodeDecodeError:
        return _skipped(path, "not read: it is not UTF-8", "convert it and run again"), source
    if kind == "reported":
        return Outcome(name, text, text, findings=mentions(name, text)), source
    rewriters = {
        ".ipynb": rewrite_notebook,
        "pyproject.toml": rewrite_pyproject,
        "setup.cfg": rewrite_setup_cfg,
        "requirements": rewrite_requirements,
    }
    outcome = rewriters[kind](name, text, table)
    return outcome, outcome.after.encode("utf-8")


def _write(path: Path, expected: bytes, new: bytes) -> None:
    """Put the new file in the old one's place at once, with its permissions, unless it has changed meanwhile."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(new)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(stat.S_IMODE(path.stat().st_mode))
        if path.read_bytes() != expected:
            raise OSError("it was changed by something else meanwhile")
        Path(temporary).replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(temporary).unlink()
        raise


def _skipped(path: Path, reason: str, hint: str, outcome: Outcome | None = None) -> Outcome:
    found = outcome or Outcome(str(path))
    found.status = "skipped"
    found.findings.append(Finding(str(path), 1, 1, "", reason, hint))
    return found
