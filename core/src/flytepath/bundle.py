"""Code bundles: the user's source as it was when a run was asked for, content addressed and unpacked once.

A bundle holds the files of the package (or the folder, for a plain script) that a workflow's module lives in, and every
module of the same root that was imported when it was loaded, with the files that these have said they need. Workers
import from the unpacked bundle, so a run can be resumed after the working tree has changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from flytepath.errors import StoreError, UsageError

log = logging.getLogger("flytepath")

_OUR_FOLDER = Path(__file__).resolve().parent

#: Files beside the code are taken along up to this size each, and this many bytes in all.
FILE_LIMIT = 1024 * 1024
TOTAL_LIMIT = 64 * 1024 * 1024
#: What is made of code is no part of it, so that packaging twice gives the same.
_SKIPPED_FILES = (".pyc", ".tgz", ".tar.gz", ".whl")
_SKIPPED_FOLDERS = frozenset({"__pycache__", "node_modules", "site-packages", "build", "dist"})

#: Files that definitions of this process have read, and will read again where the code is unpacked.
_needed: set[Path] = set()


def needs_files(paths: Iterable[Path]) -> None:
    """Take files along with the code that reads them when it is imported, as a definition does that lies in files.

    They come to every worker at the same place beside the code, and count for its version. What does not lie below the
    folder that the code is imported from stays where it is.

    Args:
        paths: files of this machine.

    Example:
        >>> needs_files([Path("suites/people.json")])
    """
    _needed.update(path.resolve() for path in paths)


@dataclass(frozen=True, slots=True)
class Bundle:
    """Files by their path below the bundle's root, and the digest of them all."""

    files: dict[str, bytes]
    digest: str

    @classmethod
    def of(cls, files: dict[str, bytes]) -> Bundle:
        """A bundle with its digest: names and contents count, times and modes do not."""
        whole = hashlib.sha256()
        for name in sorted(files):
            whole.update(f"{name}\0{len(files[name])}\0".encode())
            whole.update(files[name])
        return cls(files, "sha256:" + whole.hexdigest())


def collect(module_file: Path, root: Path) -> Bundle:
    """The bundle of the module at ``module_file``, importable below ``root``.

    Raises:
        UsageError: the code alone is over the size limit.
    """
    files: dict[str, bytes] = {}
    total = 0
    for path in sorted({*_package_files(module_file, root), *_imported_files(root), *_needed_files(root)}):
        size = path.stat().st_size
        is_code = path.suffix == ".py"
        if not is_code and size > FILE_LIMIT:
            log.warning("%s is over %d bytes and stays out of the code bundle", path, FILE_LIMIT)
            continue
        total += size
        if total > TOTAL_LIMIT:
            raise UsageError(
                "the code beside the workflow is too large for a bundle",
                place=str(root),
                expected=f"at most {TOTAL_LIMIT} bytes",
                hint="move the workflow into a folder or package of its own",
            )
        files[path.relative_to(root).as_posix()] = path.read_bytes()
    return Bundle.of(files)


def _package_files(module_file: Path, root: Path) -> Iterator[Path]:
    relative = module_file.relative_to(root)
    if len(relative.parts) > 1:
        yield from _walk(root / relative.parts[0])
        return
    for path in root.iterdir():
        if path.is_file() and not path.name.startswith(".") and not path.name.endswith(_SKIPPED_FILES):
            yield path
        elif path.is_dir() and (path / "__init__.py").is_file() and not _is_skipped(path):
            yield from _walk(path)


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        here = Path(parent)
        folders[:] = sorted(name for name in folders if not _is_skipped(here / name))
        for name in names:
            path = here / name
            if not name.startswith(".") and not name.endswith(_SKIPPED_FILES) and path.is_file():
                yield path


def _is_skipped(folder: Path) -> bool:
    return folder.name.startswith(".") or folder.name in _SKIPPED_FOLDERS or (folder / "pyvenv.cfg").exists()


def _imported_files(root: Path) -> Iterator[Path]:
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if not file or not file.endswith(".py"):
            continue
        path = Path(file)
        if path.is_relative_to(_OUR_FOLDER):
            continue  # every worker has us; a copy would change the version with every change of ours
        if path.is_relative_to(root) and "site-packages" not in path.parts and not path.is_relative_to(sys.prefix):
            yield path


def _needed_files(root: Path) -> Iterator[Path]:
    for path in _needed:
        if path.is_relative_to(root) and path.is_file():
            yield path


def unpack(bundle: Bundle, home: Path) -> Path:
    """Write the bundle below ``home`` if it is not there yet; the folder to import from."""
    folder = home / "bundles" / bundle.digest.removeprefix("sha256:")
    if folder.is_dir():
        with contextlib.suppress(OSError):
            os.utime(folder)  # young again: nobody takes it away before what needs it is registered
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".new-"))
        for name, content in bundle.files.items():
            path = scratch / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        try:
            scratch.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
            shutil.rmtree(scratch, ignore_errors=True)  # another process was first with the same content
    except OSError as error:
        raise StoreError(
            "the code bundle cannot be written",
            place=str(folder),
            actual=str(error),
            hint="check space and permissions",
        ) from error
    return folder


def unpacked(digest: str, home: Path) -> Path:
    """The folder of a bundle that was unpacked before.

    Raises:
        StoreError: it is gone.
    """
    folder = home / "bundles" / digest.removeprefix("sha256:")
    if not folder.is_dir():
        raise StoreError(
            "the code of this execution is missing", place=str(folder), hint="run the workflow again from its source"
        )
    return folder
