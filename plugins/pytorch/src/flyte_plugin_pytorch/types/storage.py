"""Tensors in safetensors files: which can be kept exactly, how they are written, and where they come back to.

Reading such a file runs no code. A data type that the format has no name for is kept as bytes, and its name beside it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from flytepath.plugin import TypeTransformerFailedError

if TYPE_CHECKING:
    from flytepath.plugin import BlobRef, BlobSink, BlobSource

#: Data types that every release of safetensors since 0.4 has names for.
_NAMED: Final = frozenset(
    {"float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"}
)
#: The one entry of a file's metadata: with several their order would differ from process to process.
_FACTS: Final = "flytepath"
#: Smaller ones are written in memory.
_IN_MEMORY: Final = 1 << 20


def check(tensor: Any, place: str = "") -> None:
    """Refuse what would not come back as it is.

    Raises:
        TypeTransformerFailedError: it is no plain, dense tensor, or a part of a computation.
    """
    import torch

    if type(tensor) not in (torch.Tensor, torch.nn.Parameter):
        raise _refused("this is no torch.Tensor", place, "a torch.Tensor", _kind(tensor), None)
    if tensor.layout is not torch.strided:
        kind = str(tensor.layout).removeprefix("torch.")
        raise _refused("only a dense tensor can be kept", place, "a dense tensor", kind, "value.to_dense()")
    if tensor.is_quantized:
        raise _refused("only a plain tensor can be kept", place, "numbers", str(tensor.dtype), "value.dequantize()")
    if tensor.is_nested:
        raise _refused("a nested tensor cannot be kept", place, "one tensor", "nested", "a list of value.unbind()")
    if tensor.device.type == "meta":
        raise _refused("a tensor on the device 'meta' holds no numbers", place, "a tensor with content", "meta", None)
    if not tensor.is_leaf:
        raise _refused(
            "a tensor that is a part of a computation cannot be kept with it", place, "a leaf", "a result", "detach()"
        )


def dtype_name(tensor: Any) -> str:
    """The name of its data type, as ``float32``."""
    return str(tensor.dtype).removeprefix("torch.")


def stored(tensor: Any) -> Any:
    """What of the tensor goes into a file: its numbers, on the processor, in order."""
    import torch

    plain = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
    if dtype_name(tensor) in _NAMED:
        return plain
    try:
        return plain.reshape(-1).view(torch.uint8)
    except (RuntimeError, NotImplementedError) as error:
        raise TypeTransformerFailedError(
            f"a tensor of this data type cannot be kept: {error}",
            expected="a data type of whole bytes",
            actual=dtype_name(tensor),
        ) from error


def restored(content: Any, dtype: str, shape: tuple[int, ...]) -> Any:
    """The tensor that :func:`stored` was given; its memory is its own."""
    import torch

    wanted = getattr(torch, dtype)
    tensor = content if content.dtype is wanted else content.view(wanted)
    return tensor.reshape(shape)


def device_of(tensor: Any) -> str | None:
    """Where it is, unless that is the processor."""
    return None if tensor.device.type == "cpu" else str(tensor.device)


def on_device(tensor: Any, device: str | None) -> Any:
    """The tensor on ``device``, if this machine has it; on the processor otherwise."""
    import torch

    if device is None:
        return tensor
    kind, _, index = device.partition(":")
    if kind == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        return tensor.to(device if int(index or 0) < count else "cuda") if count else tensor
    module = getattr(torch, kind, None)
    return tensor.to(device) if module is not None and module.is_available() else tensor


def write(tensors: Mapping[str, Any], facts: str, sink: BlobSink) -> BlobRef:
    """Keep named tensors, as :func:`stored` gives them, and ``facts`` in one blob."""
    from safetensors.torch import save, save_file

    named = dict(tensors)
    metadata = {_FACTS: facts} if facts else None
    if sum(tensor.numel() * tensor.element_size() for tensor in named.values()) <= _IN_MEMORY:
        return sink.put(save(named, metadata))
    with tempfile.TemporaryDirectory(prefix="flytepath-tensors-") as folder:
        path = Path(folder) / "tensors"
        save_file(named, path, metadata)
        return sink.put_file(path)


def read(ref: BlobRef, source: BlobSource) -> tuple[dict[str, Any], str]:
    """What :func:`write` kept.

    Raises:
        TypeTransformerFailedError: the blob is something else.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(source.local_path(ref), framework="pt", device="cpu") as file:
            facts = (file.metadata() or {}).get(_FACTS, "")
            # What is mapped from the file would be gone with it on some systems.
            return {name: file.get_tensor(name).clone() for name in file.keys()}, facts  # noqa: SIM118
    except SafetensorError as error:
        raise TypeTransformerFailedError(
            f"the stored tensors cannot be read: {error}", expected="a safetensors file", actual=ref.uri
        ) from error


def _kind(value: Any) -> str:
    kind = type(value)
    return f"{kind.__module__}.{kind.__qualname__}"


def _refused(message: str, place: str, expected: str, actual: str, instead: str | None) -> TypeTransformerFailedError:
    hint = f"convert it first: {instead}" if instead else None
    return TypeTransformerFailedError(message, place=place or None, expected=expected, actual=actual, hint=hint)
