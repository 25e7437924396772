"""Where frames lie that tasks name by URI: files and folders on this machine, and whatever fsspec reaches."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from flytepath.errors import TypeTransformerFailedError
from flytepath.types.frame_formats import SUFFIX_OF, format_of

#: What the file systems that fsspec knows say of a file when it changes.
_VERSIONS: Final = ("size", "mtime", "ETag", "etag", "LastModified", "last_modified", "generation", "md5Hash", "crc32c")


def scheme_of(uri: str) -> str:
    """The scheme of a URI; ``file`` for a path.

    Example:
        >>> scheme_of("/data/a.csv"), scheme_of("s3://b/a.csv")
        ('file', 's3')
    """
    return uri.partition("://")[0] if "://" in uri else "file"


def file_uri(uri: str, format: str) -> str:
    """The file that is written for ``uri``: itself, or the first of a folder where it names no file."""
    if format_of(uri) is not None:
        return uri
    return f"{uri.rstrip('/')}/00000{SUFFIX_OF[format]}"


def resolved(uri: str) -> str:
    """``uri`` so that it means the same from anywhere: a path is made absolute."""
    return uri if "://" in uri else str(Path(uri).absolute())


def versions(uri: str) -> dict[str, str]:
    """What tells one content of a place from another: for each file its size, and time or tag.

    Raises:
        TypeTransformerFailedError: there is nothing, or it cannot be reached.
    """
    with _reaching(uri) as (system, path):
        facts = {}
        for file in _files(system, path, uri):
            info = system.info(file)
            said = {name: str(info[name]) for name in _VERSIONS if info.get(name) is not None}
            facts[file.removeprefix(path).lstrip("/") or "."] = ",".join(f"{k}={v}" for k, v in sorted(said.items()))
        return facts


def files_of(uri: str) -> list[str]:
    """The files that hold the frame at ``uri``: itself, or all of a folder in the order of their names.

    Raises:
        TypeTransformerFailedError: there is none, or they cannot be reached.
    """
    with _reaching(uri) as (system, path):
        return _files(system, path, uri)


@contextmanager
def opened(uri: str, file: str) -> Iterator[Any]:
    """One of the files of ``uri``, open for reading; on this machine its path, so that it can be mapped."""
    if scheme_of(uri) == "file":
        yield file
        return
    with _reaching(uri) as (system, _), system.open(file, "rb") as stream:
        yield stream


@contextmanager
def writing(uri: str) -> Iterator[_Digesting]:
    """A file for the content of ``uri``, digested as it is written: all of it is there afterwards, or nothing new."""
    if scheme_of(uri) == "file":
        path = _local(uri)
        draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with draft.open("xb") as file:
                yield _Digesting(file)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except OSError as error:
            raise _unreachable(uri, error) from error
        finally:
            draft.unlink(missing_ok=True)
        return
    with _reaching(uri) as (system, path_in_system), system.open(path_in_system, "wb") as stream:
        yield _Digesting(stream)


class _Digesting:
    """A writable file that knows the digest of what went through it."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._sum = hashlib.sha256()
        self.size = 0
        self.closed = False

    @property
    def digest(self) -> str:
        """``sha256:`` and the digest of what was written so far."""
        return f"sha256:{self._sum.hexdigest()}"

    def write(self, data: Any) -> int:
        """Write and digest."""
        view = memoryview(data)
        self._file.write(view)
        self._sum.update(view)
        self.size += view.nbytes
        return view.nbytes

    def tell(self) -> int:
        """How much was written."""
        return self.size

    def writable(self) -> bool:
        """Always."""
        return True

    def flush(self) -> None:
        """Nothing is held back here."""

    def close(self) -> None:
        """The file below belongs to whoever opened it."""
        self.closed = True


def _local(uri: str) -> Path:
    return Path(unquote(urlsplit(uri).path)) if uri.startswith("file://") else Path(uri)


@contextmanager
def _reaching(uri: str) -> Iterator[tuple[Any, str]]:
    """The file system of a URI and the path in it; what goes wrong there leaves as an error of ours."""
    from fsspec.core import url_to_fs  # type: ignore[import-untyped]

    try:
        yield url_to_fs(str(_local(uri)) if scheme_of(uri) == "file" else uri)
    except (OSError, ImportError, ValueError) as error:
        if isinstance(error, TypeTransformerFailedError):
            raise
        raise _unreachable(uri, error) from error


def _files(system: Any, path: str, uri: str) -> list[str]:
    if not system.isdir(path):
        if not system.exists(path):
            raise TypeTransformerFailedError(
                "there is no file or folder at this place",
                place=uri,
                expected="a frame's file, or a folder of such files",
                actual="nothing",
                hint="write it first, or correct the uri",
            )
        return [path]
    names = [str(file) for file in sorted(system.find(path))]
    kept = [file for file in names if not file.rpartition("/")[2].startswith((".", "_"))]
    if not kept:
        raise TypeTransformerFailedError(
            "the folder holds no files of a frame", place=uri, expected="at least one file", actual="none"
        )
    return kept


def _unreachable(uri: str, error: Exception) -> TypeTransformerFailedError:
    scheme = scheme_of(uri)
    missing = (
        None if isinstance(error, OSError) else f"install the fsspec driver of {scheme!r}, or a plugin that reads it"
    )
    return TypeTransformerFailedError(
        f"the place cannot be reached: {type(error).__name__}: {error}",
        place=uri,
        expected="a path, or a URI that fsspec reaches",
        actual=type(error).__name__,
        hint=missing or "check the path and the rights on it",
    )
