"""Blobs that lie elsewhere than on this machine, through fsspec: object stores, network file systems, memory."""

from __future__ import annotations

import shutil
import tempfile
import uuid
import weakref
from pathlib import Path
from typing import Final

from flytepath.errors import StoreError
from flytepath.store.remote_files import files_at

_ALGORITHM: Final = "sha256"


class RemotePlace:
    """One prefix below an fsspec URL.

    A blob is written to a local draft first, so that its name is known, then uploaded beside its place and moved into
    it: half an upload never has a blob's name.

    Args:
        url: the prefix.
        cache: where fetched blobs are kept; by default a temporary folder that goes away with this object.
    """

    def __init__(self, url: str, cache: Path | None) -> None:
        self._files, self._root = files_at(url, "blobs", StoreError)
        self._url = url
        if cache is None:
            cache = Path(tempfile.mkdtemp(prefix="flytepath-blobs-"))
            weakref.finalize(self, shutil.rmtree, cache, ignore_errors=True)
        self._cache = cache

    def uri(self, name: str) -> str:
        return f"{self._url}/{_ALGORITHM}/{name[:2]}/{name}"

    def draft(self) -> Path:
        self._cache.mkdir(parents=True, exist_ok=True)
        return self._cache / f"draft-{uuid.uuid4().hex}"

    def holds(self, name: str, content: bytes) -> bool:
        return self.size(name) == len(content)

    def adopt(self, draft: Path, name: str) -> None:
        if self.size(name) != draft.stat().st_size:
            target = self._path(name)
            arriving = f"{target}.{uuid.uuid4().hex}"
            self._files.makedirs(target.rpartition("/")[0], exist_ok=True)
            try:
                self._files.put_file(str(draft), arriving)
                self._files.mv(arriving, target)
            finally:
                if self._files.exists(arriving):
                    self._files.rm_file(arriving)
        draft.chmod(0o444)
        draft.replace(self._cache / name)

    def fetch(self, name: str) -> Path:
        path = self._cache / name
        if not path.exists():
            arriving = self.draft()
            try:
                self._files.get_file(self._path(name), str(arriving))
                arriving.chmod(0o444)
                arriving.replace(path)
            finally:
                arriving.unlink(missing_ok=True)
        return path

    def forget(self, name: str) -> None:
        (self._cache / name).unlink(missing_ok=True)

    def size(self, name: str) -> int | None:
        self._files.invalidate_cache()  # what was listed before may have been deleted since
        try:
            found = self._files.size(self._path(name))
        except FileNotFoundError:
            return None
        return None if found is None else int(found)

    def _path(self, name: str) -> str:
        return f"{self._root}/{_ALGORITHM}/{name[:2]}/{name}"
