"""Where saves lie: a folder on this machine, or a prefix elsewhere.

A save is made in a folder of this machine and published under its name. On a disk that is one rename, so whoever sees
the name sees all of it; elsewhere the manifest goes last, and a save without one does not count.
"""

from __future__ import annotations

import os
import shutil
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import unquote

from flytepath.authoring.saves.failures import CheckpointError
from flytepath.store.disk import sync_folder
from flytepath.store.remote_files import files_at

#: What a save is called while it is written.
STAGED: Final = ".saving-"
MANIFEST: Final = "manifest.json"
#: How the folder for copies of what an attempt loads is called, after its working directory.
COPIES: Final = "-checkpoint"


class Place(Protocol):
    """A folder of saves. Names within a save may have ``/`` in them."""

    where: str

    def names(self) -> list[str]:
        """What lies in it; nothing where it does not exist."""

    def read(self, name: str) -> bytes | None:
        """A small file's content, ``None`` where it is not."""

    def stage(self, scratch: Path) -> Path:
        """A new folder on this machine to make a save in; ``scratch`` is one that may be made for it."""

    def publish(self, staged: Path, name: str) -> bool:
        """Keep what was staged under ``name``, durably; false where the name is taken."""

    def fetch(self, save: str, files: tuple[str, ...], scratch: Path) -> Path:
        """A folder on this machine with these files of a save, to be read only."""

    def remove(self, name: str) -> None:
        """Remove a save, or what is left of one."""


def place_of(folder: str) -> Place:
    """The place a path or URL names."""
    scheme, found, rest = folder.partition("://")
    if not found:
        return _Folder(Path(folder))
    return _Folder(Path(unquote(rest))) if scheme == "file" else _Remote(folder)


def copies_beside(working_directory: Path) -> Path:
    """The folder for copies of what an attempt loads; those of the attempts before it are removed."""
    for former in working_directory.parent.glob(f"*{COPIES}"):
        shutil.rmtree(former, ignore_errors=True)
    return working_directory.with_name(f"{working_directory.name}{COPIES}")


class _Folder:
    """A folder on this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._is_known = False
        self.where = str(folder)

    def names(self) -> list[str]:
        try:
            return [path.name for path in self._folder.iterdir()]
        except FileNotFoundError:
            return []

    def read(self, name: str) -> bytes | None:
        try:
            return (self._folder / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def stage(self, scratch: Path) -> Path:
        # In the place itself: a rename does not cross file systems.
        staged = self._folder / f"{STAGED}{uuid.uuid4().hex}"
        staged.mkdir(parents=True)
        return staged

    def publish(self, staged: Path, name: str) -> bool:
        for folder, _, files in os.walk(staged):
            for file in files:
                descriptor = os.open(Path(folder) / file, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
            sync_folder(Path(folder))
        try:
            staged.rename(self._folder / name)
        except OSError:
            if not (self._folder / name).exists():
                raise
            return False
        sync_folder(self._folder)
        if not self._is_known:  # the folders around it may be new with the first save
            for parent in (self._folder.parent, self._folder.parent.parent):
                with suppress(OSError):
                    sync_folder(parent)
            self._is_known = True
        return True

    def fetch(self, save: str, files: tuple[str, ...], scratch: Path) -> Path:
        return self._folder / save

    def remove(self, name: str) -> None:
        # Under another name first: half a save must not look like a whole one, or like one that somebody tore.
        gone = self._folder / f".removed-{uuid.uuid4().hex}"
        with suppress(OSError):
            (self._folder / name).rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


class _Remote:
    """A prefix elsewhere, through fsspec. An object store shows an object whole or not at all."""

    def __init__(self, url: str) -> None:
        self._files, self._root = files_at(url, "checkpoints", CheckpointError)
        self.where = url

    def names(self) -> list[str]:
        try:
            # A listing kept from before would hide what another process has written since.
            self._files.invalidate_cache()
            return [str(path).rstrip("/").rpartition("/")[2] for path in self._files.ls(self._root, detail=False)]
        except FileNotFoundError:
            return []

    def read(self, name: str) -> bytes | None:
        try:
            content: bytes = self._files.cat_file(f"{self._root}/{name}")
        except FileNotFoundError:
            return None
        return content

    def stage(self, scratch: Path) -> Path:
        scratch.mkdir(parents=True)
        return scratch

    def publish(self, staged: Path, name: str) -> bool:
        if name in self.names():
            return False
        files = sorted(path.relative_to(staged).as_posix() for path in staged.rglob("*") if path.is_file())
        for file in sorted(files, key=lambda file: file == MANIFEST):
            target = f"{self._root}/{name}/{file}"
            self._files.makedirs(target.rpartition("/")[0], exist_ok=True)
            self._files.put_file(str(staged / file), target)
        shutil.rmtree(staged, ignore_errors=True)
        return True

    def fetch(self, save: str, files: tuple[str, ...], scratch: Path) -> Path:
        folder = scratch / uuid.uuid4().hex
        folder.mkdir(parents=True)
        for file in files:
            target = folder / file
            target.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):  # whoever checks the files will miss it
                self._files.get_file(f"{self._root}/{save}/{file}", str(target))
        return folder

    def remove(self, name: str) -> None:
        with suppress(FileNotFoundError):
            # The manifest first: half a save must not look like a whole one.
            with suppress(FileNotFoundError):
                self._files.rm_file(f"{self._root}/{name}/{MANIFEST}")
            self._files.rm(f"{self._root}/{name}", recursive=True)
