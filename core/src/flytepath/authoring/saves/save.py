"""A save: a folder with data files and a manifest that holds the digest of each, and how the newest is found.

What a reader believes is only what a valid manifest and its digests say. Saves of one place are numbered in the order
they were made, and the highest number is the newest.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import re
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal

from flytepath.authoring.saves.failures import CheckpointError, CheckpointWarning
from flytepath.authoring.saves.places import MANIFEST, STAGED, Place

FORMAT: Final = 2
#: The folder of a save that its data lies in.
DATA: Final = "data"
_NAME: Final = re.compile(r"(?:\d{12,}|unnumbered)-(\d{6,})")
#: What versions before this one kept: one save a place, with its manifest beside it.
_FORMER_MANIFEST: Final = "checkpoint.json"

#: What was saved: a state, or what flytekit's methods leave: bytes, a file, a folder.
Kind = Literal["state", "bytes", "file", "folder"]


@dataclass(frozen=True, slots=True)
class Save:
    """A save whose manifest is valid. ``files`` are name, size and digest below ``root``, a folder of its place."""

    place: Place
    name: str
    root: str
    kind: Kind
    step: int | None
    attempt: int
    files: tuple[tuple[str, int, str], ...]
    folders: tuple[str, ...]

    @property
    def where(self) -> str:
        """Its path, for people."""
        return f"{self.place.where}/{self.name}" if self.name else self.place.where

    def data(self, scratch: Path) -> Path:
        """The folder on this machine with its data, each file found to be what was written.

        Raises:
            Unusable: one is not.
        """
        folder = self.place.fetch(self.root, tuple(name for name, _, _ in self.files), scratch)
        for name, size, digest in self.files:
            path = folder / name
            try:
                found = path.stat().st_size
                if found != size:
                    raise Unusable(f"{name} has {found} bytes and not {size}")
                if digest_of(path) != digest:
                    raise Unusable(f"{name} is not as it was written")
            except (FileNotFoundError, NotADirectoryError) as error:
                raise Unusable(f"{name} is missing") from error
            except OSError as error:
                raise Unusable(f"{name} cannot be read: {error}") from error
        return folder


class Unusable(Exception):
    """A save is torn or damaged. The text says how."""


def write(
    place: Place, scratch: Path, kind: Kind, step: int | None, attempt: int, fill: Callable[[Path], tuple[str, ...]]
) -> Save:
    """Make a save: ``fill`` puts data into a folder, and says which empty folders belong to it.

    Args:
        place: where it goes.
        scratch: a folder that may be made for it on this machine.
        kind, step, attempt: what the manifest says.
        fill: gives the data.

    Raises:
        OSError: it cannot be written; what was saved before still counts.
    """
    staged = place.stage(scratch)
    try:
        data = staged / DATA
        data.mkdir()
        folders = fill(data)
        names = sorted(path.relative_to(data).as_posix() for path in data.rglob("*") if path.is_file())
        files = tuple((name, (data / name).stat().st_size, digest_of(data / name)) for name in names)
        body = {
            "format": FORMAT,
            "kind": kind,
            "step": step,
            "attempt": attempt,
            "time": dt.datetime.now(dt.UTC).isoformat(),
            "files": [{"name": name, "size": size, "sha256": digest} for name, size, digest in files],
            "folders": list(folders),
        }
        (staged / MANIFEST).write_text(_sealed(body), encoding="utf-8")
        number = max(map(number_of, place.names()), default=0) + 1
        while not place.publish(staged, name := name_of(step, number)):
            number += 1
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise
    return Save(place, name, f"{name}/{DATA}", kind, step, attempt, files, folders)


def name_of(step: int | None, number: int) -> str:
    """The name of a save.

    Example:
        >>> name_of(7, 2), name_of(None, 3), number_of("000000000007-000002")
        ('000000000007-000002', 'unnumbered-000003', 2)
    """
    return f"{'unnumbered' if step is None else f'{step:012d}'}-{number:06d}"


def number_of(name: str) -> int:
    """The number in the name of a save; 0 where it is no such name."""
    match = _NAME.fullmatch(name)
    return int(match[1]) if match else 0


def names_in(place: Place) -> list[str]:
    """The names of the saves in a place, the newest first."""
    found = [name for name in place.names() if number_of(name)]
    return sorted(found, key=lambda name: (number_of(name), name), reverse=True)


def found_in(place: Place, *, is_left: bool) -> Iterator[Save]:
    """The saves of a place with a valid manifest, the newest first; a warning for each that has none.

    Args:
        is_left: nobody writes there any more, so what is not finished was cut short.
    """
    for name in place.names() if is_left else ():
        if name.startswith(STAGED):
            pass_over(f"{place.where}/{name}", "it was being written when its attempt ended")
    for name in names_in(place):
        try:
            yield _opened(place, name)
        except Unusable as error:
            pass_over(f"{place.where}/{name}", str(error))
    try:
        former = _former(place)
    except Unusable as error:
        pass_over(f"{place.where}/{_FORMER_MANIFEST}", str(error))
    else:
        if former is not None:
            yield former


def pass_over(where: str, why: str) -> None:
    """Warn that a save does not count."""
    frame = sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("flytepath."):
        frame = frame.f_back
    # With a registry of its own a warning is shown each time: a worker that lives on may meet the same save again.
    warnings.warn_explicit(
        f"the checkpoint {where} is passed over: {why}",
        CheckpointWarning,
        frame.f_code.co_filename,
        frame.f_lineno,
        registry={},
    )


def _opened(place: Place, name: str) -> Save:
    content = place.read(f"{name}/{MANIFEST}")
    if content is None:
        raise Unusable("it has no manifest")
    try:
        sealed = json.loads(content)
        body = sealed["checkpoint"]
        if _sealed(body).encode() != content:
            raise Unusable("its manifest is not as it was written")
        if body["format"] != FORMAT:
            raise Unusable(f"it is of format {body['format']}, which this version does not read")
        files = tuple((safe(file["name"]), int(file["size"]), str(file["sha256"])) for file in body["files"])
        folders = tuple(map(safe, body["folders"]))
        return Save(place, name, f"{name}/{DATA}", body["kind"], body["step"], body["attempt"], files, folders)
    except (ValueError, KeyError, TypeError) as error:
        raise Unusable("its manifest cannot be read") from error


def _former(place: Place) -> Save | None:
    content = place.read(_FORMER_MANIFEST)
    if content is None:
        return None
    digest, _, text = content.partition(b"\n")
    if hashlib.sha256(text).hexdigest().encode() != digest:
        raise Unusable("its manifest is not as it was written")
    try:
        body = json.loads(text)
        files = tuple((safe(name), int(size), str(digest)) for name, size, digest in body["files"])
        root, folders = safe(body["data"]), tuple(map(safe, body["folders"]))
        return Save(place, "", root, body["kind"], None, 0, files, folders)
    except (ValueError, KeyError, TypeError) as error:
        raise Unusable("its manifest cannot be read") from error


def _sealed(body: dict[str, Any]) -> str:
    text = json.dumps(body, indent=1)
    return f'{{"sha256": "{hashlib.sha256(text.encode()).hexdigest()}",\n"checkpoint": {text}}}\n'


def digest_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def safe(name: str) -> str:
    """``name``, if it cannot lead out of the folder it is looked up in."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise Unusable(f"it has a file named {name!r}")
    return name


# --- folders ---


def content_of(root: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The files and the folders below a folder, by relative path.

    Raises:
        CheckpointError: something in it is neither.
    """
    files: list[str] = []
    folders: list[str] = []
    for folder, inner, names in os.walk(root, onerror=_raise):
        here = Path(folder)
        for name in inner:
            if (here / name).is_symlink():
                raise CheckpointError("only files and folders can be saved", place=str(here / name), actual="a link")
        folders += [(here / name).relative_to(root).as_posix() for name in inner]
        for name in names:
            path = here / name
            if not path.is_file():
                raise CheckpointError("only files and folders can be saved", place=str(path), expected="a file")
            files.append(path.relative_to(root).as_posix())
    return tuple(sorted(files)), tuple(sorted(folders))


def copy_into(source: Path, target: Path, files: tuple[str, ...], folders: tuple[str, ...]) -> None:
    """Copy files and empty folders, by relative path."""
    for name in folders:
        (target / name).mkdir(parents=True, exist_ok=True)
    for name in files:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target / name)


def _raise(error: OSError) -> None:
    raise error
