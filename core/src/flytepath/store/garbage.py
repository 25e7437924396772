"""What lies in a home without being needed: listed, held against everything that is kept, and removed.

A blob is written before the event that refers to it, and a run may take hours between the two. So nothing is taken for
left over that is younger than the oldest attempt that may still run, or than an hour. Whoever puts a blob that is there
already makes it young again (:mod:`flytepath.store.blobs`), under a lock that removing takes too.
"""

from __future__ import annotations

import math
import os
import re
import shutil
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from flytepath.store.blobs import UNTOUCHED_SECONDS, storage_errors
from flytepath.store.claims import Unmentioned, digests_in
from flytepath.store.disk import locked

#: The folders of a home with a folder for each execution.
OF_EXECUTIONS: Final = ("attempts", "checkpoints", "logs", "outputs")

#: How many blobs are removed in one turn.
_TURN: Final = 100
_EXECUTION: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NAME: Final = re.compile(r"[0-9a-f]{64}")


class Home:
    """The files of a home, beside its database.

    Args:
        folder: the home.
        before: what was changed later is not touched (seconds since the epoch).
    """

    def __init__(self, folder: Path, before: float) -> None:
        self._folder = folder
        self._before = before

    def unmentioned(self, executions: Iterable[str]) -> Unmentioned:
        """Everything old enough that would have to be mentioned to stay.

        Args:
            executions: those whose folders of files go unless somebody mentions them, whatever their age.
        """
        found = Unmentioned(self._blob, outputs=set(executions))
        for shelf in self._tenants():
            tenant = f"{shelf.parent.name}/{shelf.name}"
            old = found.blobs.setdefault(tenant, {})
            for entry in _entries(shelf / "sha256", depth=2):
                if not _NAME.fullmatch(entry.name):
                    continue
                if _changed(entry) < self._before:
                    old[entry.name] = entry.stat(follow_symlinks=False).st_size
                else:
                    found.stays(tenant, entry.name)
        found.bundles.update(
            entry.name
            for entry in _entries(self._folder / "bundles")
            if _NAME.fullmatch(entry.name) and _changed(entry) < self._before
        )
        return found

    def reached(self, tenant: str, names: Iterable[str]) -> set[str]:
        """Those of the blobs that are there, and all that they mention, and what that mentions."""
        found: set[str] = set()
        ahead = list(names)
        while ahead:
            name = ahead.pop()
            if name not in found and _NAME.fullmatch(name) and self._blob(tenant, name).is_file():
                found.add(name)
                ahead += digests_in(self._blob(tenant, name))
        return found

    def leftovers(self) -> list[Path]:
        """What processes that were killed have left: drafts of blobs, code that was being unpacked."""
        drafts = [entry for shelf in self._tenants() for entry in _entries(shelf / "drafts")]
        drafts += [entry for entry in _entries(self._folder / "bundles") if entry.name.startswith(".new-")]
        return [Path(entry) for entry in drafts if _changed(entry) < self._before]

    def folders_of(self, executions: Collection[str]) -> list[Path]:
        """The folders of executions that are there."""
        entries = (entry for kind in OF_EXECUTIONS for entry in _entries(self._folder / kind))
        return [Path(entry) for entry in entries if entry.name in executions and entry.is_dir()]

    def old_folders(self) -> Iterator[tuple[str, str]]:
        """``(kind, execution)`` of every folder of an execution that has not changed lately."""
        for kind in OF_EXECUTIONS:
            for entry in _entries(self._folder / kind):
                if _EXECUTION.fullmatch(entry.name) and entry.is_dir() and _changed(entry) < self._before:
                    yield kind, entry.name

    def remove_blobs(self, blobs: dict[str, dict[str, int]]) -> tuple[int, int]:
        """Remove blobs that nobody has put again meanwhile; how many, and their bytes."""
        count = size = 0
        for tenant, names in blobs.items():
            waiting = list(names)
            while waiting:
                turn, waiting = waiting[:_TURN], waiting[_TURN:]
                with storage_errors(self._folder), locked(self._folder / "blobs" / tenant, exclusive=True):
                    for name in turn:
                        if self._is_removed(self._blob(tenant, name)):
                            count, size = count + 1, size + names[name]
        return count, size

    def remove_bundle(self, name: str) -> tuple[int, int]:
        """Remove a folder with code; half of it is never taken for the whole. How many files, and their bytes."""
        path, doomed = self.bundle(name), self._folder / "bundles" / f".new-{name}"
        with storage_errors(path):
            try:
                path.rename(doomed)
            except FileNotFoundError:
                return 0, 0
        found = measured(doomed)
        remove(doomed)
        return found

    def bundle(self, name: str) -> Path:
        """Where the code of a bundle lies."""
        return self._folder / "bundles" / name

    def _is_removed(self, path: Path) -> bool:
        try:
            if path.stat().st_mtime >= self._before:
                return False
            path.unlink()
        except FileNotFoundError:
            return False
        return True

    def _blob(self, tenant: str, name: str) -> Path:
        return self._folder / "blobs" / tenant / "sha256" / name[:2] / name

    def _tenants(self) -> list[Path]:
        return [Path(entry) for entry in _entries(self._folder / "blobs", depth=2) if entry.is_dir()]


def remove(path: Path) -> None:
    """Remove a file or a folder with all that is in it; nothing where it is gone.

    Raises:
        StoreError: it cannot be removed.
    """
    with storage_errors(path), suppress(FileNotFoundError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def measured(path: Path) -> tuple[int, int]:
    """How many files lie at or below ``path``, and their bytes."""
    if not path.is_dir():
        names = [path]
    else:
        names = [Path(parent) / name for parent, _, files in os.walk(path) for name in files]
    count = size = 0
    for name in names:
        with suppress(FileNotFoundError):  # somebody else was faster
            count, size = count + 1, size + name.stat(follow_symlinks=False).st_size
    return count, size


def age_limit(now: float, oldest_work: float | None) -> float:
    """Before which moment something must have been changed last to be taken for left over."""
    limit = now - UNTOUCHED_SECONDS
    return limit if oldest_work is None else min(limit, oldest_work)


def _entries(folder: Path, depth: int = 1) -> Iterator[os.DirEntry[str]]:
    """What lies ``depth`` levels below ``folder``; nothing where it is missing."""
    found: list[os.DirEntry[str]] = []
    with storage_errors(folder), suppress(FileNotFoundError), os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        if depth == 1:
            yield entry
        elif entry.is_dir(follow_symlinks=False):
            yield from _entries(Path(entry), depth - 1)


def _changed(entry: os.DirEntry[str]) -> float:
    """When it was changed last; the end of time where it has gone meanwhile."""
    try:
        return entry.stat(follow_symlinks=False).st_mtime
    except FileNotFoundError:
        return math.inf
