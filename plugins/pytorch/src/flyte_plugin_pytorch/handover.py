"""Values from process to process through a file that all of them map: what is large is not copied for each rank.

A rank may change what it was given: pages are copied when they are written to, for that rank alone.
"""

from __future__ import annotations

import io
import mmap
import pickle
import struct
import sys
from pathlib import Path
from typing import Any, Final

import cloudpickle

_HEAD: Final = struct.Struct("!QQ")
_LENGTH: Final = struct.Struct("!Q")
#: Buffers begin where any type of number may.
_ALIGNED: Final = 64
#: What a smaller tensor holds is not worth a buffer of its own.
_LARGE: Final = 4096


def dump(value: Any, path: Path) -> None:
    """Write ``value`` to a new file.

    Raises:
        pickle.PicklingError, TypeError, AttributeError: it cannot be pickled.
    """
    buffers: list[pickle.PickleBuffer] = []
    stream = io.BytesIO()
    _Pickler(stream, protocol=5, buffer_callback=buffers.append).dump(value)
    views = [buffer.raw() for buffer in buffers]
    data = stream.getbuffer()
    with path.open("xb") as file:
        file.write(_HEAD.pack(len(data), len(views)))
        for view in views:
            file.write(_LENGTH.pack(view.nbytes))
        file.write(data)
        for view in views:
            file.write(bytes(-file.tell() % _ALIGNED))
            file.write(view)


def load(path: Path) -> Any:
    """What :func:`dump` wrote, its large parts mapped. The file may be removed afterwards."""
    with path.open("rb") as file:
        # Private: what is written to it is this process's alone.
        mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    size, count = _HEAD.unpack_from(mapped)
    place = _HEAD.size
    lengths = []
    for _ in range(count):
        lengths.append(_LENGTH.unpack_from(mapped, place)[0])
        place += _LENGTH.size
    data = mapped[place : place + size]
    place += size
    buffers = []
    for length in lengths:
        place += -place % _ALIGNED
        buffers.append(mapped[place : place + length])
        place += length
    return pickle.loads(data, buffers=buffers)


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Keeps what tensors hold apart, as arrays are kept apart; by itself torch copies it into the pickle.

    Tensors that share memory still do afterwards, which they do not by themselves either.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._storages: dict[tuple[int, int], Any] = {}

    def reducer_override(self, obj: Any) -> Any:
        torch = sys.modules.get("torch")
        if torch is not None and type(obj) is torch.storage.TypedStorage:
            untyped = obj._untyped_storage
            if untyped.device.type == "cpu" and untyped.nbytes():
                # Each tensor makes an object of its own for the same memory.
                same = self._storages.setdefault((untyped.data_ptr(), untyped.nbytes()), untyped)
                return _typed, (same, str(obj.dtype))
        elif torch is not None and type(obj) is torch.UntypedStorage and obj.device.type == "cpu" and obj.nbytes():
            content = torch.empty(0, dtype=torch.uint8).set_(obj).numpy()
            return _untyped, (pickle.PickleBuffer(content) if obj.nbytes() >= _LARGE else content.tobytes(),)
        return super().reducer_override(obj)


def _typed(untyped: Any, dtype: str) -> Any:
    import torch

    kind = getattr(torch, dtype.removeprefix("torch."))
    return torch.storage.TypedStorage(wrap_storage=untyped, dtype=kind, _internal=True)


def _untyped(content: Any) -> Any:
    import torch

    own = bytearray(content) if isinstance(content, bytes) else content
    return torch.frombuffer(own, dtype=torch.uint8).untyped_storage()
