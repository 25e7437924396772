"""The folder by which a task and the kernel of its notebook exchange values that are no plain JSON.

It holds ``outputs.json``, which names the declared outputs, ``recorded.jsonl``, which notes what was recorded, values
as literals in JSON, and the blobs of those. Nothing here needs the platform until such a value comes up: a notebook
that is run by hand has no such folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

if TYPE_CHECKING:
    from flytepath.plugin import BlobRef

#: The environment variable by which a kernel knows the folder.
VARIABLE: Final = "FLYTEPATH_NOTEBOOK_EXCHANGE"
#: How the name of a file ends that holds a value.
SUFFIX: Final = ".value.json"
_OUTPUTS: Final = "outputs.json"
_RECORDED: Final = "recorded.jsonl"
_PIECE: Final = 1 << 20


def current_exchange() -> Path | None:
    """The folder of the attempt whose kernel this is; ``None`` in a notebook that somebody runs by hand."""
    folder = os.environ.get(VARIABLE, "")
    return Path(folder) if folder else None


def write_declared(folder: Path, kinds: Mapping[str, str]) -> None:
    """Tell the kernel the declared outputs: the kind of literal by name."""
    (folder / _OUTPUTS).write_text(json.dumps(dict(kinds)), encoding="utf-8")


def read_declared(folder: Path) -> dict[str, str]:
    """What :func:`write_declared` told."""
    found: dict[str, str] = json.loads((folder / _OUTPUTS).read_text(encoding="utf-8"))
    return found


def note_recorded(folder: Path, noted: Mapping[str, Any]) -> None:
    """Keep what was recorded beside the notebook: what shows it there may be cleared, or captured, by its cell."""
    line = json.dumps(dict(noted), allow_nan=False) + "\n"
    with (folder / _RECORDED).open("a", encoding="utf-8") as file:
        file.write(line)


def read_recorded(folder: Path) -> dict[str, Any]:
    """What :func:`note_recorded` kept: the last value by name."""
    found: dict[str, Any] = {}
    if (folder / _RECORDED).is_file():
        for line in (folder / _RECORDED).read_text(encoding="utf-8").splitlines():
            found |= json.loads(line)
    return found


def write_value(folder: Path, name: str, value: Any, python_type: Any) -> Path:
    """Keep ``value`` exactly, as a literal of ``python_type``; the file it is in.

    Raises:
        TypeTransformerFailedError: it is not of that type.
    """
    from flytepath import TypeEngine

    literal = TypeEngine.to_literal(value, python_type, FolderBlobs(folder / "blobs"))
    cls = type(value)
    content = {"class": f"{cls.__module__}:{cls.__qualname__}", "literal": literal.to_json()}
    handle, made = tempfile.mkstemp(dir=folder, prefix=f"{name}-", suffix=SUFFIX)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(content, file)
    return Path(made)


def read_value(path: Path, python_type: Any = None) -> Any:
    """The value that :func:`write_value` kept, as ``python_type``; by default as what it was.

    Raises:
        TypeTransformerFailedError: it is of another type.
        ImportError: what it was cannot be imported here.
    """
    from flytepath import Literal, TypeEngine

    content = json.loads(path.read_text(encoding="utf-8"))
    literal = Literal.from_json(content["literal"])
    if python_type is None:
        from flyte_plugin_papermill.kept_types import type_of

        python_type = type_of(literal.type, content["class"])
    return TypeEngine.to_python_value(literal, python_type, FolderBlobs(path.parent / "blobs"))


def is_dataset(path: Path) -> bool:
    """Whether the value was a ``StructuredDataset``, which a notebook wants as a frame."""
    written: str = json.loads(path.read_text(encoding="utf-8"))["class"]
    return written.endswith(":StructuredDataset")


class _Writer:
    """A blob that is being written; ``ref`` is known once it is complete."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._size = 0
        self._ref: BlobRef | None = None

    def write(self, data: bytes | bytearray | memoryview, /) -> int:
        self._digest.update(data)
        self._size += memoryview(data).nbytes
        return self._file.write(data)

    def keep(self, draft: Path, folder: Path) -> None:
        """Give the draft its name."""
        from flytepath.plugin import BlobRef

        digest = f"sha256:{self._digest.hexdigest()}"
        target = folder / digest.removeprefix("sha256:")
        draft.replace(target)
        self._ref = BlobRef(str(target), digest, self._size)

    @property
    def ref(self) -> BlobRef:
        if self._ref is None:
            raise RuntimeError("the blob is not complete yet")
        return self._ref


class FolderBlobs:
    """Blobs as files of a folder: a :class:`~flytepath.plugin.BlobSink` and :class:`~flytepath.plugin.BlobSource`.

    A reference to a file elsewhere on this machine is read where it lies.

    Example:
        >>> blobs = FolderBlobs(Path(tempfile.mkdtemp()))
        >>> blobs.get(blobs.put(b"weights"))
        b'weights'
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, content: bytes) -> BlobRef:
        """Keep ``content``."""
        with self.create() as writer:
            writer.write(content)
        return writer.ref

    def put_file(self, path: Path) -> BlobRef:
        """Keep a copy of the file at ``path``."""
        with self.create() as writer, Path(path).open("rb") as given:
            while piece := given.read(_PIECE):
                writer.write(piece)
        return writer.ref

    @contextmanager
    def create(self) -> Iterator[_Writer]:
        """A writer whose blob is kept when the context ends without an exception."""
        self._folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self._folder, prefix=".draft-")
        draft = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                writer = _Writer(file)
                yield writer
            writer.keep(draft, self._folder)
        finally:
            draft.unlink(missing_ok=True)

    def get(self, ref: BlobRef) -> bytes:
        """The whole blob."""
        return self.local_path(ref).read_bytes()

    def open(self, ref: BlobRef) -> BinaryIO:
        """The blob as a seekable stream."""
        return self.local_path(ref).open("rb")

    def local_path(self, ref: BlobRef) -> Path:
        """The file that is the blob."""
        own = self._folder / ref.digest.removeprefix("sha256:")
        return own if own.exists() else Path(ref.uri.removeprefix("file://"))


def link_plugin(folder: Path) -> Path:
    """A folder for the import path of a kernel that gives it this package, of this version, wherever it runs."""
    own = Path(__file__).resolve().parent
    target = folder / own.name
    folder.mkdir(parents=True, exist_ok=True)
    try:
        target.symlink_to(own, target_is_directory=True)
    except OSError:  # a file system without links
        shutil.copytree(own, target)
    return folder
