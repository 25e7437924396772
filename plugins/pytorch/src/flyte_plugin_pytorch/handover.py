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
#: Smaller tensors are not worth a buffer of their own.
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
    """Keeps tensors apart as arrays are kept apart; by itself torch copies them into the pickle."""

    def reducer_override(self, obj: Any) -> Any:
        torch = sys.modules.get("torch")
        if torch is not None and type(obj) is torch.Tensor and _is_plain(torch, obj):
            content = obj.detach().contiguous().view(-1).view(torch.uint8).numpy()
            return _tensor, (pickle.PickleBuffer(content), str(obj.dtype), tuple(obj.shape), obj.requires_grad)
        return super().reducer_override(obj)


def _is_plain(torch: Any, tensor: Any) -> bool:
    """Whether nothing but its numbers makes the tensor what it is."""
    return bool(
        tensor.device.type == "cpu"
        and tensor.layout is torch.strided
        and tensor.is_leaf
        and tensor.grad is None
        and not tensor.is_quantized
        and not tensor.is_conj()
        and not tensor.is_neg()
        and tensor.is_contiguous()
        # One that is a part of another may share what is written to it.
        and tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
        and tensor.numel() * tensor.element_size() >= _LARGE
        and tensor.dtype is not torch.bool
        and not tensor.__dict__
    )


def _tensor(content: Any, dtype: str, shape: tuple[int, ...], requires_grad: bool) -> Any:
    import torch

    made = torch.frombuffer(content, dtype=getattr(torch, dtype.removeprefix("torch."))).view(shape)
    return made.requires_grad_(requires_grad) if requires_grad else made
