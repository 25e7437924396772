"""States as files: what ``checkpoint.save(state, step=...)`` takes, and ``load()`` gives back as it was.

Plain values and containers are JSON; bytes, arrays, tensors and what a ``Path`` names are files beside it; anything
else goes through the type engine under its own class. Nothing is pickled but what ``torch.save`` writes, and that is
read back with ``weights_only``.
"""

from __future__ import annotations

import base64
import collections
import importlib
import io
import json
import sys
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any, BinaryIO, Final

from flytepath.authoring.saves.failures import CheckpointError
from flytepath.authoring.saves.save import Unusable, content_of, copy_into
from flytepath.errors import FlytePathError

STATE: Final = "state.json"
_TENSORS: Final = "tensors.pt"
#: The key that marks an object of the JSON form as something else than a dict.
_KIND: Final = "$"
_PLAIN: Final = frozenset({type(None), bool, int, float, str})
_INLINE_BYTES: Final = 1024

Node = Any


def write_state(state: Any, folder: Path) -> tuple[str, ...]:
    """Write ``state`` into an empty folder; the empty folders that belong to it.

    Raises:
        CheckpointError: something in it cannot be kept exactly; ``place`` is the path to it, such as ``state['rng']``.
    """
    writer = _Writer(folder)
    try:
        node = writer.node(state, "state")
    except RecursionError as error:
        raise CheckpointError(
            "the state is nested too deeply, or contains itself", place="checkpoint.save()", expected="a tree"
        ) from error
    writer.close()
    (folder / STATE).write_text(json.dumps(node), encoding="utf-8")
    return tuple(writer.folders)


def read_state(folder: Path, scratch: Path) -> Any:
    """What :func:`write_state` wrote into ``folder``. Files it names are copied into ``scratch``.

    Raises:
        CheckpointError: a class in it is no longer there, or ``torch`` is not installed.
        Unusable: it is not what this version writes.
    """
    try:
        return _Reader(folder, scratch).value(json.loads((folder / STATE).read_text(encoding="utf-8")), "state")
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, FlytePathError):
            raise
        raise Unusable(f"its state cannot be read: {error}") from error


class _Writer:
    """Turns values into nodes, and puts what is large into files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = 0
        self._tensors: dict[int, tuple[int, Any]] = {}
        self.folders: list[str] = []

    def node(self, value: Any, place: str) -> Node:
        kind = type(value)
        if kind in _PLAIN:
            return value
        make = self._MAKERS.get(kind)
        if make is not None:
            return make(self, value, place)
        if isinstance(value, PurePath):
            return self._path(Path(value), place)
        numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
        if numpy is not None and kind is numpy.ndarray:
            return self._array(value, place)
        if numpy is not None and isinstance(value, numpy.generic):
            return self._number(value, place)
        if torch is not None and isinstance(value, torch.Tensor):
            return {_KIND: "tensor", "index": self._tensors.setdefault(id(value), (len(self._tensors), value))[0]}
        return self._typed(value, place)

    def close(self) -> None:
        """Write what was gathered: tensors together, so that those which share memory still do."""
        if self._tensors:
            sys.modules["torch"].save([tensor for _, tensor in self._tensors.values()], self._folder / _TENSORS)

    def _list(self, value: Iterable[Any], place: str) -> Node:
        items = list(value)
        if all(type(item) in _PLAIN for item in items):
            return items
        return [self.node(item, f"{place}[{index}]") for index, item in enumerate(items)]

    def _several(self, value: Any, place: str) -> Node:
        return {_KIND: type(value).__name__, "items": self._list(value, place)}

    def _dict(self, value: dict[Any, Any], place: str) -> Node:
        if all(type(key) is str for key in value):
            return {_KIND: "dict", "of": {key: self.node(item, f"{place}[{key!r}]") for key, item in value.items()}}
        return {_KIND: "dict", "items": self._pairs(value, place)}

    def _pairs(self, value: dict[Any, Any], place: str) -> Node:
        return [
            [self.node(key, f"{place} key {key!r}"), self.node(item, f"{place}[{key!r}]")]
            for key, item in value.items()
        ]

    def _ordered(self, value: dict[Any, Any], place: str) -> Node:
        node = {_KIND: "OrderedDict", "items": self._pairs(value, place)}
        if hasattr(value, "_metadata"):  # versions of modules, in the state_dict of torch
            node["metadata"] = self.node(value._metadata, f"{place}._metadata")
        return node

    def _bytes(self, value: bytes | bytearray, _place: str) -> Node:
        node = {_KIND: type(value).__name__}
        if len(value) <= _INLINE_BYTES:
            return {**node, "base64": base64.b64encode(value).decode()}
        name = self._new_file(".bin")
        (self._folder / name).write_bytes(value)
        return {**node, "file": name}

    def _complex(self, value: complex, _place: str) -> Node:
        return {_KIND: "complex", "parts": [value.real, value.imag]}

    def _path(self, path: Path, place: str) -> Node:
        name = f"{self._new_file('')}/{path.name or 'folder'}"
        target = self._folder / name
        if path.is_dir():
            files, folders = content_of(path)
            self.folders += [name, *(f"{name}/{folder}" for folder in folders)]
            target.mkdir(parents=True)
            copy_into(path, target, files, folders)
            return {_KIND: "path", "folder": name, "files": files, "folders": folders}
        if not path.is_file():
            raise CheckpointError(
                "there is nothing to save", place=f"{place}: {path}", expected="a file or a folder", actual="nothing"
            )
        target.parent.mkdir()
        copy_into(path.parent, target.parent, (path.name,), ())
        return {_KIND: "path", "file": name}

    def _array(self, value: Any, place: str) -> Node:
        name = self._new_file(".npy")
        with (self._folder / name).open("wb") as file:
            self._save_array(file, value, place)
        return {_KIND: "array", "file": name}

    def _number(self, value: Any, place: str) -> Node:
        import numpy as np

        file = io.BytesIO()
        self._save_array(file, np.asarray(value), place)
        return {_KIND: "number", "npy": base64.b64encode(file.getvalue()).decode()}

    def _save_array(self, file: BinaryIO, value: Any, place: str) -> None:
        import numpy as np

        try:
            np.save(file, value, allow_pickle=False)
        except ValueError as error:
            raise CheckpointError(
                "an array of Python objects cannot be kept exactly",
                place=place,
                expected="an array of numbers, strings or dates",
                actual=f"dtype {value.dtype}",
                hint="save value.tolist() instead",
            ) from error

    def _typed(self, value: Any, place: str) -> Node:
        """Through the type engine, by the value's own class."""
        kind = type(value)
        name = f"{kind.__module__}:{kind.__qualname__}"
        if _class_at(name) is not kind:
            raise CheckpointError(
                "the next attempt could not find this class",
                place=place,
                expected="a class defined at the top level of a module",
                actual=f"{kind.__module__}.{kind.__qualname__}",
            )
        hint = "save it as a dict of plain values and arrays, as bytes, or as the Path of a file"
        try:
            codec = _codec_of(kind)
            if codec.pickled:
                raise CheckpointError("only pickle could keep it", place=place, actual=name, hint=hint)
            literal = codec.encode(value, _Blobs(self._folder, self._folder))
        except FlytePathError as error:
            if isinstance(error, CheckpointError):
                raise
            inside = error.place or ""
            raise CheckpointError(
                error.message,
                place=f"{place}{inside}" if inside.startswith((".", "[")) else place,
                expected=error.expected,
                actual=error.actual or name,
                hint=error.hint or hint,
            ) from error
        return {_KIND: "value", "type": name, "literal": literal.to_json()}

    def _new_file(self, ending: str) -> str:
        self._files += 1
        return f"{self._files:06d}{ending}"

    _MAKERS: Final[dict[type, Callable[[_Writer, Any, str], Node]]] = {
        list: _list,
        tuple: _several,
        set: _several,
        frozenset: _several,
        dict: _dict,
        collections.OrderedDict: _ordered,
        bytes: _bytes,
        bytearray: _bytes,
        complex: _complex,
    }


class _Reader:
    """Turns nodes into values."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        self._folder = folder
        self._scratch = scratch
        self._known_tensors: list[Any] | None = None

    def value(self, node: Node, place: str) -> Any:
        if type(node) is list:
            return [item if type(item) in _PLAIN else self.value(item, place) for item in node]
        if type(node) is not dict:
            return node
        kind = node[_KIND]
        match kind:
            case "dict" if "of" in node:
                return {key: self.value(item, f"{place}[{key!r}]") for key, item in node["of"].items()}
            case "dict":
                return dict(self._pairs(node, place))
            case "OrderedDict":
                return self._ordered(node, place)
            case "tuple" | "set" | "frozenset":
                return {"tuple": tuple, "set": set, "frozenset": frozenset}[kind](self.value(node["items"], place))
            case "bytes" | "bytearray":
                content = self._bytes(node)
                return content if kind == "bytes" else bytearray(content)
            case "complex":
                return complex(*node["parts"])
            case "path":
                return self._path(node)
            case "array" | "number":
                return self._array(node)
            case "tensor":
                return self._tensors(place)[node["index"]]
            case "value":
                return self._typed(node, place)
        raise Unusable(f"it holds something of the kind {kind!r}, which this version does not know")

    def _pairs(self, node: Node, place: str) -> list[tuple[Any, Any]]:
        pairs = []
        for written, item in node["items"]:
            key = self.value(written, place)
            pairs.append((key, self.value(item, f"{place}[{key!r}]")))
        return pairs

    def _ordered(self, node: Node, place: str) -> Any:
        found: Any = collections.OrderedDict(self._pairs(node, place))
        if "metadata" in node:
            found._metadata = self.value(node["metadata"], place)
        return found

    def _bytes(self, node: Node) -> bytes:
        if "base64" in node:
            return base64.b64decode(node["base64"])
        return Path(self._folder, node["file"]).read_bytes()

    def _path(self, node: Node) -> Path:
        # The attempt's own copy: what it does to the files must not reach the save.
        target = self._scratch / uuid.uuid4().hex
        target.mkdir(parents=True)
        if "file" in node:
            copy_into(self._folder, target, (node["file"],), ())
            return target / str(node["file"])
        folder: str = node["folder"]
        (target / folder).mkdir(parents=True)
        copy_into(self._folder / folder, target / folder, node["files"], node["folders"])
        return target / folder

    def _array(self, node: Node) -> Any:
        try:
            import numpy as np
        except ImportError as error:
            raise _not_installed("numpy") from error
        if "npy" in node:
            return np.load(io.BytesIO(base64.b64decode(node["npy"])), allow_pickle=False)[()]
        return np.load(self._folder / node["file"], allow_pickle=False)

    def _tensors(self, place: str) -> list[Any]:
        if self._known_tensors is None:
            try:
                torch: Any = importlib.import_module("torch")
            except ImportError as error:
                raise _not_installed("torch") from error
            # What was saved from a device that is not here comes back to the processor.
            device = None if torch.cuda.is_available() else "cpu"
            self._known_tensors = torch.load(self._folder / _TENSORS, weights_only=True, map_location=device)
        return self._known_tensors

    def _typed(self, node: Node, place: str) -> Any:
        from flytepath.model.literal import Literal

        kind = _class_at(node["type"])
        if kind is None:
            raise CheckpointError(
                "a class that the checkpoint needs is not there",
                place=place,
                expected=node["type"],
                hint="it was renamed or moved since: keep the old name, or save plain dicts",
            )
        return _codec_of(kind).decode(Literal.from_json(node["literal"]), _Blobs(self._folder, self._scratch))


def _not_installed(package: str) -> CheckpointError:
    return CheckpointError(f"the checkpoint needs {package}, which is not installed", hint=f"pip install {package}")


def _class_at(name: str) -> type | None:
    module_name, _, path = name.partition(":")
    try:
        found: Any = sys.modules.get(module_name) or importlib.import_module(module_name)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError):
        return None
    return found if isinstance(found, type) else None


def _codec_of(kind: type) -> Any:
    from flytepath.types.engine import PickleFallbackWarning, codec

    with warnings.catch_warnings():  # a pickle is refused here, and needs no announcement
        warnings.simplefilter("ignore", PickleFallbackWarning)
        return codec(kind)


class _BlobWriter:
    """A blob being written."""

    def __init__(self, file: BinaryIO) -> None:
        import hashlib

        self._file = file
        self._digest = hashlib.sha256()
        self._size = 0

    def write(self, data: bytes | bytearray | memoryview, /) -> int:
        self._digest.update(data)
        self._size += len(data) if not isinstance(data, memoryview) else data.nbytes
        return self._file.write(data)

    @property
    def ref(self) -> Any:
        from flytepath.model.literal import BlobRef

        name = self._digest.hexdigest()
        return BlobRef(f"checkpoint:{name}", f"sha256:{name}", self._size)


class _Blobs:
    """The blobs of a save, among its files: what the type engine writes to and reads from."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        self._folder = folder
        self._scratch = scratch

    def put(self, content: bytes) -> Any:
        with self.create() as writer:
            writer.write(content)
        return writer.ref

    def put_file(self, path: Path) -> Any:
        with self.create() as writer, Path(path).open("rb") as file:
            while chunk := file.read(1 << 20):
                writer.write(chunk)
        return writer.ref

    @contextmanager
    def create(self) -> Iterator[_BlobWriter]:
        draft = self._folder / f"draft-{uuid.uuid4().hex}"
        try:
            with draft.open("xb") as file:
                writer = _BlobWriter(file)
                yield writer
            draft.rename(self._folder / f"blob-{writer.ref.digest.partition(':')[2]}")
        except BaseException:
            draft.unlink(missing_ok=True)
            raise

    def get(self, ref: Any) -> bytes:
        return self._file(ref).read_bytes()

    def open(self, ref: Any) -> BinaryIO:
        return self._file(ref).open("rb")

    def local_path(self, ref: Any) -> Path:
        # Values such as files are opened long after they were loaded; the save may be gone by then.
        copy = self._scratch / self._file(ref).name
        if not copy.exists():
            self._scratch.mkdir(parents=True, exist_ok=True)
            copy_into(self._folder, self._scratch, (copy.name,), ())
            copy.chmod(0o444)
        return copy

    def _file(self, ref: Any) -> Path:
        return self._folder / f"blob-{ref.digest.partition(':')[2]}"
