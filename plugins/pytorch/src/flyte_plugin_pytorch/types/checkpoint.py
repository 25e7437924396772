"""``PyTorchCheckpoint``: the weights of a module, the state of its optimizer, and hyperparameters; without a pickle."""

from __future__ import annotations

import dataclasses
import json
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, ClassVar

from flytepath.plugin import BlobSink, BlobSource, Literal, LiteralType, TypeTransformer, TypeTransformerFailedError

from flyte_plugin_pytorch.types.storage import check, device_of, dtype_name, on_device, read, restored, stored, write

_NAME = "flyte_plugin_pytorch.types.checkpoint.PyTorchCheckpoint"
_KIND = "$"


@dataclasses.dataclass(eq=False)
class PyTorchCheckpoint:
    """What a training came to, as a task's input or output.

    Args:
        module: a module, or its ``state_dict()``. A task that is given a checkpoint finds the ``state_dict`` here.
        hyperparameters: a dict, a dataclass or a named tuple; always a dict afterwards.
        optimizer: an optimizer, or its ``state_dict()``; as for ``module``.

    Raises:
        TypeTransformerFailedError: all three are missing, or one is something else.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(2, 1)
        >>> kept = PyTorchCheckpoint(module=model, hyperparameters={"rate": 0.1})
        >>> other = torch.nn.Linear(2, 1)
        >>> kept.load_into(other)
        {'rate': 0.1}
        >>> bool((other.weight == model.weight).all())
        True
    """

    module: Any = None
    hyperparameters: Any = None
    optimizer: Any = None

    def __post_init__(self) -> None:
        if self.module is None and self.hyperparameters is None and self.optimizer is None:
            raise TypeTransformerFailedError(
                "this checkpoint is empty", place="PyTorchCheckpoint()", expected="a module, or one of the others"
            )
        for name in ("module", "optimizer"):
            given = getattr(self, name)
            if given is not None and not isinstance(given, Mapping) and not _has_state(given, name):
                raise TypeTransformerFailedError(
                    f"a checkpoint's {name} is one of torch, or its state_dict()",
                    place=f"PyTorchCheckpoint({name})",
                    actual=type(given).__qualname__,
                )
        self.hyperparameters = _as_dict(self.hyperparameters)

    @property
    def module_state_dict(self) -> Any:
        """The weights by name; ``None`` where there are none."""
        return _state(self.module)

    @property
    def optimizer_state_dict(self) -> Any:
        """The optimizer's state; ``None`` where there is none."""
        return _state(self.optimizer)

    def load_into(self, module: Any = None, optimizer: Any = None) -> dict[str, Any]:
        """Give a module, and an optimizer, the state that is kept; the hyperparameters.

        Raises:
            TypeTransformerFailedError: the checkpoint has none of what is asked for.
        """
        for name, target, state in (
            ("module", module, self.module_state_dict),
            ("optimizer", optimizer, self.optimizer_state_dict),
        ):
            if target is None:
                continue
            if state is None:
                raise TypeTransformerFailedError(f"this checkpoint has no {name}", place=f"load_into({name})")
            target.load_state_dict(state)
        return dict(self.hyperparameters or {})

    def __getitem__(self, name: str) -> Any:
        """flytekit gives a checkpoint as a dict with these keys."""
        if name in ("module_state_dict", "optimizer_state_dict", "hyperparameters"):
            return getattr(self, name)
        raise KeyError(name)


class CheckpointTransformer(TypeTransformer[Any]):
    """The tensors in one safetensors file, and the shape of what they are in beside them."""

    format: ClassVar[str] = "torch-checkpoint"

    def literal_type(self, t: Any) -> LiteralType:
        """An opaque type."""
        return LiteralType("opaque", name=_NAME, format=self.format)

    def encode(self, value: Any, t: Any, sink: BlobSink) -> Literal:
        """One file."""
        if not isinstance(value, PyTorchCheckpoint):
            raise TypeTransformerFailedError("this is no checkpoint", expected=_NAME, actual=type(value).__qualname__)
        writer = _Writer()
        tree = {name: writer.node(part, name) for name, part in _parts(value).items()}
        facts = json.dumps(tree, sort_keys=True, allow_nan=True)
        ref = write(writer.tensors, facts, sink)
        data = {"tensors": len(writer.tensors), "parts": sorted(name for name, part in tree.items() if part)}
        return Literal.make(self.literal_type(t), data, format=self.format, version=self.format_version, ref=ref)

    def decode(self, literal: Literal, t: Any, source: BlobSource) -> Any:
        """A checkpoint that holds state dicts."""
        if literal.format != self.format or literal.ref is None:
            raise TypeTransformerFailedError(
                "this is no stored checkpoint", expected=f"the format {self.format!r}", actual=literal.format
            )
        tensors, facts = read(literal.ref, source)
        known: dict[str, Any] = {}
        parts = {name: _value(node, tensors, known) for name, node in json.loads(facts).items()}
        return PyTorchCheckpoint(**parts)

    def summary(self, value: Any) -> dict[str, Any]:
        """What is in it."""
        weights = value.module_state_dict or {}
        return {
            "weights": sum(tensor.numel() for tensor in weights.values() if hasattr(tensor, "numel")),
            "optimizer": value.optimizer is not None,
            "hyperparameters": sorted(map(str, value.hyperparameters or {})),
        }

    def isolate(self, value: Any, t: Any) -> Any:
        """A checkpoint with state dicts of its own."""
        import copy

        return PyTorchCheckpoint(**{name: copy.deepcopy(part) for name, part in _parts(value).items()})


class _Writer:
    """Turns states into nodes, and gathers their tensors: those that are one are kept once."""

    def __init__(self) -> None:
        self.tensors: dict[str, Any] = {}
        self._known: dict[Any, str] = {}

    def node(self, value: Any, place: str) -> Any:
        import torch

        if value is None or type(value) in (bool, int, float, str):
            return value
        if isinstance(value, torch.Tensor):
            return self._tensor(value, place)
        if type(value) in (dict, OrderedDict) or isinstance(value, Mapping):
            return self._mapping(value, place)
        if type(value) in (list, tuple):
            items = [self.node(item, f"{place}[{index}]") for index, item in enumerate(value)]
            return items if type(value) is list else {_KIND: "tuple", "items": items}
        raise TypeTransformerFailedError(
            "a checkpoint cannot keep this without a pickle",
            place=place,
            expected="tensors, numbers, text, None, and lists, tuples and dicts of those",
            actual=f"{type(value).__module__}.{type(value).__qualname__}",
        )

    def _mapping(self, value: Mapping[Any, Any], place: str) -> Any:
        for key in value:
            if type(key) not in (str, int):
                raise TypeTransformerFailedError(
                    "a checkpoint cannot keep this key", place=place, expected="str or int", actual=repr(key)[:100]
                )
        pairs = [[key, self.node(item, f"{place}[{key!r}]")] for key, item in value.items()]
        node = {_KIND: "OrderedDict" if isinstance(value, OrderedDict) else "dict", "items": pairs}
        if hasattr(value, "_metadata"):  # versions of modules, which load_state_dict() looks at
            node["metadata"] = self.node(value._metadata, f"{place}._metadata")
        return node

    def _tensor(self, tensor: Any, place: str) -> Any:
        import torch

        check(tensor, place)
        # state_dict() makes a new tensor for each name: what is one is known by its memory.
        same = (
            tensor.data_ptr(),
            str(tensor.device),
            tensor.dtype,
            tensor.shape,
            tensor.stride(),
            type(tensor),
            tensor.requires_grad,
        )
        name = self._known.get(same) if tensor.numel() else None
        if name is None:
            name = self._known[same] = f"t{len(self.tensors):06d}"
            self.tensors[name] = stored(tensor).clone() if _shares(tensor) else stored(tensor)
        is_parameter = type(tensor) is torch.nn.Parameter
        facts: list[Any] = [dtype_name(tensor), list(tensor.shape), tensor.requires_grad, device_of(tensor)]
        facts.append(is_parameter)
        return {_KIND: "tensor", "name": name, "facts": facts}


def _shares(tensor: Any) -> bool:
    """Whether its memory is a part of another's: safetensors takes only what stands alone."""
    return bool(tensor.untyped_storage().nbytes() != tensor.numel() * tensor.element_size())


def _value(node: Any, tensors: dict[str, Any], known: dict[str, Any]) -> Any:
    if isinstance(node, list):
        return [_value(item, tensors, known) for item in node]
    if not isinstance(node, dict):
        return node
    kind = node[_KIND]
    if kind == "tensor":
        name = node["name"]
        if name not in known:
            dtype, shape, requires_grad, device, is_parameter = node["facts"]
            tensor = on_device(restored(tensors[name], dtype, tuple(shape)), device)
            known[name] = _as_it_was(tensor, requires_grad, is_parameter)
        return known[name]
    if kind == "tuple":
        return tuple(_value(item, tensors, known) for item in node["items"])
    made: dict[Any, Any] = OrderedDict() if kind == "OrderedDict" else {}
    for key, item in node["items"]:
        made[key] = _value(item, tensors, known)
    if "metadata" in node:
        made._metadata = _value(node["metadata"], tensors, known)  # type: ignore[attr-defined]
    return made


def _as_it_was(tensor: Any, requires_grad: bool, is_parameter: bool) -> Any:
    import torch

    if is_parameter:
        return torch.nn.Parameter(tensor, requires_grad=requires_grad)
    return tensor.requires_grad_(requires_grad) if requires_grad else tensor


def _parts(value: PyTorchCheckpoint) -> dict[str, Any]:
    return {
        "module": value.module_state_dict,
        "hyperparameters": value.hyperparameters,
        "optimizer": value.optimizer_state_dict,
    }


def _state(part: Any) -> Any:
    return part if part is None or isinstance(part, Mapping) else part.state_dict()


def _has_state(given: Any, name: str) -> bool:
    import torch

    return isinstance(given, torch.nn.Module if name == "module" else torch.optim.Optimizer)


def _as_dict(given: Any) -> dict[str, Any] | None:
    if given is None or type(given) is dict:
        return given
    if dataclasses.is_dataclass(given) and not isinstance(given, type):
        return dataclasses.asdict(given)
    if isinstance(given, tuple) and hasattr(given, "_asdict"):
        return dict(given._asdict())
    if isinstance(given, Mapping):
        return dict(given)
    raise TypeTransformerFailedError(
        "hyperparameters are a dict, a dataclass or a named tuple",
        place="PyTorchCheckpoint(hyperparameters)",
        actual=type(given).__qualname__,
    )
