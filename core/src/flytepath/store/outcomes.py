"""What workers elsewhere leave of an attempt: one result that counts, and the failures of all who tried.

An attempt may be run twice, by a machine that was given up and by the one in its place, or at once by all members of a
gang. Whoever first puts a result in its place has made it: a second one changes nothing. Errors and reports stand
beside it, one object for each process that wrote one, so that nobody writes over another's.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from flytepath.errors import FlytePathError, StoreError
from flytepath.store.blobs import local_path_of, storage_errors
from flytepath.store.disk import sync_folder

#: The object whose being there says that the attempt has succeeded.
RESULT: Final = "result.json"
#: The exit status of a worker that could not reach the storage: nothing is known of the attempt, nobody is to blame.
UNTOLD: Final = 75
Kind = Literal["errors", "reports"]


class Outcomes(Protocol):
    """The place of one attempt's outcome, for one process. Every call raises ``StoreError`` where it is out of reach.

    A call that failed may be made again: whatever of the first one arrived is then there once.
    """

    def commit(self, content: bytes) -> bool:
        """Make this the result; false where there is one already, which then counts."""

    def result(self) -> bytes | None:
        """The result, all of it; ``None`` as long as there is none."""

    def add(self, kind: Kind, content: bytes) -> None:
        """Keep what this process says beside the result, in place of what it said of the kind before."""

    def all_of(self, kind: Kind) -> list[bytes]:
        """All that was kept so, in no order that means anything."""


def outcomes_at(place: str) -> Outcomes:
    """The outcome of an attempt at ``place``: a path, or a URL that fsspec knows.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     outcomes = outcomes_at(folder)
        ...     outcomes.commit(b"first"), outcomes.commit(b"second"), outcomes.result()
        (True, False, b'first')
    """
    local = local_path_of(place)
    return _Folder(local) if local is not None else _Remote(place)


class _Folder:
    """In a folder that the machines share."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own = f"{uuid.uuid4().hex}.json"

    def commit(self, content: bytes) -> bool:
        with storage_errors(self._folder):
            draft = self._draft(self._folder, content)
            try:
                os.link(draft, self._folder / RESULT)  # unlike a rename, it never replaces
            except FileExistsError:
                return False
            finally:
                draft.unlink()
            sync_folder(self._folder)
            return True

    def result(self) -> bytes | None:
        with storage_errors(self._folder), suppress(FileNotFoundError):
            return (self._folder / RESULT).read_bytes()
        return None

    def add(self, kind: Kind, content: bytes) -> None:
        folder = self._folder / kind
        with storage_errors(folder):
            self._draft(folder, content).rename(folder / self._own)

    def all_of(self, kind: Kind) -> list[bytes]:
        with storage_errors(self._folder):
            return [path.read_bytes() for path in sorted((self._folder / kind).glob("*.json"))]

    @staticmethod
    def _draft(folder: Path, content: bytes) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f".{uuid.uuid4().hex}"
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        return draft


class _Remote:
    """In an object store, which shows an object whole or not at all."""

    def __init__(self, url: str) -> None:
        from flytepath.store.remote_files import files_at

        self._url = url
        self._files, self._root = files_at(url, "outcomes of attempts", StoreError)
        self._own = f"{uuid.uuid4().hex}.json"

    def commit(self, content: bytes) -> bool:
        path = f"{self._root}/{RESULT}"
        with _answers(self._url):
            self._make(self._root)
            try:
                self._files.pipe_file(path, content, mode="create")
            except FileExistsError:
                return False
            except (TypeError, ValueError, NotImplementedError):
                # This store cannot refuse a second object of the name. Both results were made from the same inputs.
                if self.result() is not None:
                    return False
                self._files.pipe_file(path, content)
        return True

    def result(self) -> bytes | None:
        return self._read(f"{self._root}/{RESULT}")

    def add(self, kind: Kind, content: bytes) -> None:
        with _answers(self._url):
            self._make(f"{self._root}/{kind}")
            self._files.pipe_file(f"{self._root}/{kind}/{self._own}", content)

    def all_of(self, kind: Kind) -> list[bytes]:
        with _answers(self._url):
            self._files.invalidate_cache()  # a listing from before hides what was written since
            try:
                paths: list[Any] = self._files.ls(f"{self._root}/{kind}", detail=False)
            except FileNotFoundError:
                return []
        found = [self._read(str(path)) for path in sorted(paths)]
        return [content for content in found if content is not None]

    def _read(self, path: str) -> bytes | None:
        with _answers(self._url):
            self._files.invalidate_cache()
            try:
                content: bytes = self._files.cat_file(path)
            except FileNotFoundError:
                return None
            return content

    def _make(self, folder: str) -> None:
        with suppress(FileExistsError):
            self._files.makedirs(folder, exist_ok=True)


@contextmanager
def _answers(place: str) -> Iterator[None]:
    """Whatever a client of an object store raises leaves as an error of ours."""
    try:
        yield
    except FlytePathError:
        raise
    except Exception as error:
        raise StoreError(
            "the storage cannot be used", place=place, actual=f"{type(error).__name__}: {error}"
        ) from error
