"""Tensors, modules and checkpoints come back as they were, and what would not is refused."""

from __future__ import annotations

import collections
import copy
import dataclasses
import json
import struct
import subprocess
import sys
import textwrap
import warnings
from typing import Any, NamedTuple

import pytest
import torch
from flyte_plugin_pytorch import PyTorchCheckpoint
from flyte_plugin_pytorch.types.checkpoint import CheckpointTransformer
from flyte_plugin_pytorch.types.module import ModuleTransformer
from flyte_plugin_pytorch.types.tensor import TensorTransformer
from flytepath import task, workflow
from flytepath.plugin import TypeTransformerFailedError
from flytepath.testing import TransformerConformance
from flytepath.testing.blobs import MemoryBlobs
from hypothesis import strategies as st

DTYPES = (
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64, torch.complex128, torch.bool),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint16, torch.uint32, torch.uint64),
    *(torch.float8_e4m3fn, torch.float8_e5m2),
)


def same_bits(left: torch.Tensor, right: torch.Tensor) -> bool:
    def bits(tensor: torch.Tensor) -> bytes:
        plain = tensor.detach().resolve_conj().resolve_neg().contiguous().reshape(-1)
        return plain.view(torch.uint8).numpy().tobytes()

    return (
        (type(left), left.dtype, left.shape, left.requires_grad)
        == (type(right), right.dtype, right.shape, right.requires_grad)
    ) and bits(left) == bits(right)


class TestTensor(TransformerConformance):
    transformer = TensorTransformer
    python_type = torch.Tensor

    def values(self) -> list[torch.Tensor]:
        numbers = torch.arange(6.0)
        return [
            *(torch.zeros(3).to(dtype) for dtype in DTYPES),
            torch.tensor(1.5),
            torch.tensor([float("nan"), float("inf"), -0.0]),
            torch.zeros(0),
            torch.zeros(2, 0, 3),
            numbers.reshape(2, 3).T,
            numbers[::2],
            numbers.clone().requires_grad_(True),
            torch.tensor([1 + 2j]).conj(),
            torch.full((300, 1000), 7.0),
        ]

    def strategy(self) -> Any:
        numbers = st.lists(st.floats(width=32), max_size=20)
        return st.tuples(numbers, st.booleans()).map(lambda pair: torch.tensor(pair[0]).requires_grad_(pair[1]))

    def equal(self, left: Any, right: Any) -> bool:
        return same_bits(left, right)

    def invalid_values(self) -> list[Any]:
        dense = torch.tensor([[0.0, 1.0]])
        with warnings.catch_warnings():  # torch says that these are not done yet
            warnings.simplefilter("ignore")
            unfinished = [dense.to_sparse_csr(), torch.quantize_per_tensor(dense, 0.1, 0, torch.quint8)]
        return [
            *unfinished,
            [1.0],
            torch.nn.Parameter(torch.zeros(1)),
            dense.to_sparse(),
            torch.zeros(2, device="meta"),
            torch.zeros(2, requires_grad=True) * 2,
        ]

    def mutate(self, value: Any) -> None:
        if value.numel() and not value.requires_grad:
            value.reshape(-1).view(torch.uint8)[0] ^= 1


class TestParameter(TransformerConformance):
    transformer = TensorTransformer
    python_type = torch.nn.Parameter

    def values(self) -> list[torch.nn.Parameter]:
        return [torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2), requires_grad=False)]

    def equal(self, left: Any, right: Any) -> bool:
        return same_bits(left, right)

    def invalid_values(self) -> list[Any]:
        return [torch.zeros(1), 3]


def trained(seed: int) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    model(torch.randn(4, 2)).sum().backward()
    optimizer.step()
    return model, optimizer


def same_tree(left: Any, right: Any) -> bool:
    if isinstance(left, torch.Tensor):
        return isinstance(right, torch.Tensor) and same_bits(left.detach(), right.detach())
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return list(left) == list(right) and all(same_tree(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same_tree, left, right))
    return bool(left == right)


class TestCheckpoint(TransformerConformance):
    transformer = CheckpointTransformer
    python_type = PyTorchCheckpoint

    def values(self) -> list[PyTorchCheckpoint]:
        model, optimizer = trained(1)
        return [
            PyTorchCheckpoint(module=model),
            PyTorchCheckpoint(module=model, optimizer=optimizer, hyperparameters={"lr": 0.1, "betas": (0.9, 0.99)}),
            PyTorchCheckpoint(hyperparameters={"name": "none", "layers": [1, 2], "flag": True}),
        ]

    def equal(self, left: Any, right: Any) -> bool:
        return same_tree(
            [left.module_state_dict, left.optimizer_state_dict, left.hyperparameters],
            [right.module_state_dict, right.optimizer_state_dict, right.hyperparameters],
        )

    def invalid_values(self) -> list[Any]:
        return [3, torch.nn.Linear(1, 1), PyTorchCheckpoint(hyperparameters={"odd": {1, 2}})]


class TestModule(TransformerConformance):
    transformer = ModuleTransformer
    python_type = torch.nn.Module

    def values(self) -> list[torch.nn.Module]:
        torch.manual_seed(3)
        return [torch.nn.Linear(2, 1), torch.nn.Sequential(torch.nn.Conv1d(1, 2, 3), torch.nn.Dropout(0.25)).eval()]

    def equal(self, left: Any, right: Any) -> bool:
        return (
            repr(left) == repr(right)
            and left.training == right.training
            and same_tree(left.state_dict(), right.state_dict())
        )

    def invalid_values(self) -> list[Any]:
        return ["a model", torch.zeros(1)]

    @pytest.mark.filterwarnings("ignore:there is no transformer")
    def test_the_type_engine_nests_the_type(self) -> None:
        super().test_the_type_engine_nests_the_type()


def test_any_module_goes_where_a_module_is_asked_for() -> None:
    blobs, transformer = MemoryBlobs(), ModuleTransformer()
    literal = transformer.encode(torch.nn.Linear(2, 1), torch.nn.Linear, blobs)
    assert literal.type == transformer.literal_type(torch.nn.Module)
    assert isinstance(transformer.decode(literal, torch.nn.Module, blobs), torch.nn.Linear)
    with pytest.raises(TypeTransformerFailedError, match="this is no Conv1d"):
        transformer.decode(literal, torch.nn.Conv1d, blobs)


def test_a_state_dict_is_a_dict_of_tensors() -> None:
    given = weights()
    assert type(given) is dict
    assert list(given) == ["weight", "bias"]


@task
def weights() -> dict[str, torch.Tensor]:
    return torch.nn.Linear(2, 1).state_dict()


def there_and_back(checkpoint: PyTorchCheckpoint) -> PyTorchCheckpoint:
    blobs = MemoryBlobs()
    transformer = CheckpointTransformer()
    return transformer.decode(transformer.encode(checkpoint, PyTorchCheckpoint, blobs), PyTorchCheckpoint, blobs)


def test_a_checkpoint_goes_into_another_module_and_optimizer() -> None:
    model, optimizer = trained(1)
    found = there_and_back(PyTorchCheckpoint(module=model, optimizer=optimizer, hyperparameters={"lr": 0.1}))
    other, other_optimizer = trained(2)
    assert found.load_into(other, other_optimizer) == {"lr": 0.1}
    assert same_tree(other.state_dict(), model.state_dict())
    assert same_tree(other_optimizer.state_dict(), optimizer.state_dict())
    assert found["module_state_dict"]._metadata == model.state_dict()._metadata
    assert type(found.module) is collections.OrderedDict
    with pytest.raises(KeyError):
        found["epoch"]


def test_tied_weights_stay_tied() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    model[1].weight = model[0].weight
    state = there_and_back(PyTorchCheckpoint(module=model)).module
    assert state["0.weight"] is state["1.weight"]


def test_a_part_of_a_tensor_is_kept_alone() -> None:
    whole = torch.arange(1000.0)
    state = there_and_back(PyTorchCheckpoint(module={"part": whole[10:12], "other": whole[10:12] + 1})).module
    assert state["part"].tolist() == [10.0, 11.0]
    assert state["part"].untyped_storage().nbytes() == 8


def test_parameters_of_a_state_stay_parameters() -> None:
    state = {"w": torch.nn.Parameter(torch.ones(2)), "f": torch.nn.Parameter(torch.ones(2), requires_grad=False)}
    found = there_and_back(PyTorchCheckpoint(module=state)).module
    assert all(same_bits(found[name], state[name]) for name in state)


def test_a_state_with_a_history_of_gradients_is_refused() -> None:
    with pytest.raises(TypeTransformerFailedError, match="part of a computation"):
        there_and_back(PyTorchCheckpoint(module={"w": torch.ones(2, requires_grad=True) * 2}))


@dataclasses.dataclass
class Settings:
    rate: float
    layers: list[int]


class Pair(NamedTuple):
    rate: float
    steps: int


def test_hyperparameters_are_a_dict_from_the_start() -> None:
    assert PyTorchCheckpoint(hyperparameters=Settings(0.5, [1])).hyperparameters == {"rate": 0.5, "layers": [1]}
    assert PyTorchCheckpoint(hyperparameters=Pair(0.5, 3)).hyperparameters == {"rate": 0.5, "steps": 3}


@pytest.mark.parametrize(
    "given",
    [{}, {"module": 3}, {"optimizer": torch.nn.Linear(1, 1)}, {"hyperparameters": 3}, {"hyperparameters": Settings}],
)
def test_what_is_no_checkpoint_is_refused_when_it_is_made(given: dict[str, Any]) -> None:
    with pytest.raises(TypeTransformerFailedError):
        PyTorchCheckpoint(**given)


def test_what_a_checkpoint_does_not_have_cannot_be_loaded() -> None:
    with pytest.raises(TypeTransformerFailedError, match="has no optimizer"):
        PyTorchCheckpoint(hyperparameters={"a": 1}).load_into(optimizer=trained(1)[1])


def test_a_refusal_names_the_place() -> None:
    with pytest.raises(TypeTransformerFailedError) as caught:
        there_and_back(PyTorchCheckpoint(hyperparameters={"a": [1, {2}]}))
    assert caught.value.place == "hyperparameters['a'][1]"
    with pytest.raises(TypeTransformerFailedError, match="dense") as caught:
        there_and_back(PyTorchCheckpoint(module={"w": torch.eye(2).to_sparse()}))
    assert caught.value.place == "module['w']"


def test_another_file_is_refused() -> None:
    blobs = MemoryBlobs()
    literal = TensorTransformer().encode(torch.zeros(2), torch.Tensor, blobs)
    other = dataclasses.replace(literal, ref=blobs.put(b"no safetensors"))
    with pytest.raises(TypeTransformerFailedError, match="cannot be read"):
        TensorTransformer().decode(other, torch.Tensor, blobs)
    with pytest.raises(TypeTransformerFailedError, match="no stored checkpoint"):
        CheckpointTransformer().decode(literal, PyTorchCheckpoint, blobs)


def test_a_tensor_is_in_a_file_that_any_reader_of_safetensors_reads() -> None:
    blobs = MemoryBlobs()
    literal = TensorTransformer().encode(torch.tensor([1.0, 2.0]), torch.Tensor, blobs)
    assert literal.ref is not None
    content = blobs.get(literal.ref)
    (size,) = struct.unpack("<Q", content[:8])
    assert json.loads(content[8 : 8 + size])["tensor"] == {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def test_a_gpu_that_is_not_there_is_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = MemoryBlobs()
    literal = TensorTransformer().encode(torch.tensor([1.0]), torch.Tensor, blobs)
    there = dataclasses.replace(literal, data={**literal.data, "device": "cuda:7"})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert TensorTransformer().decode(there, torch.Tensor, blobs).device.type == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU here")
def test_a_tensor_comes_back_to_its_gpu() -> None:
    blobs = MemoryBlobs()
    literal = TensorTransformer().encode(torch.tensor([1.0], device="cuda"), torch.Tensor, blobs)
    found = TensorTransformer().decode(literal, torch.Tensor, blobs)
    assert found.device.type == "cuda" and found.tolist() == [1.0]


def test_two_tensors_of_one_content_are_one_for_the_cache() -> None:
    def digest(tensor: torch.Tensor) -> str:
        return TensorTransformer().encode(tensor, torch.Tensor, MemoryBlobs()).digest

    numbers = torch.arange(6.0).reshape(2, 3)
    assert digest(numbers.T) == digest(numbers.T.contiguous())
    assert digest(numbers) != digest(numbers.reshape(3, 2))
    assert digest(numbers) != digest(copy.deepcopy(numbers).requires_grad_(True))


@task
def doubled(x: torch.Tensor) -> torch.Tensor:
    x *= 2
    return x


@task
def state_of(rate: float) -> dict[str, torch.Tensor]:
    return {"w": torch.tensor([rate])}


@task
def checkpoint_of(state: dict[str, torch.Tensor]) -> PyTorchCheckpoint:
    return PyTorchCheckpoint(module=state)


@workflow
def through_types(x: torch.Tensor) -> tuple[torch.Tensor, PyTorchCheckpoint]:
    return doubled(x=x), checkpoint_of(state=state_of(rate=0.5))


def test_a_task_changes_its_own_tensor_and_not_the_callers() -> None:
    mine = torch.ones(2)
    result, checkpoint = through_types(x=mine)
    assert mine.tolist() == [1.0, 1.0] and result.tolist() == [2.0, 2.0]
    assert checkpoint.module["w"].tolist() == [0.5]


def test_a_whole_module_is_announced_as_a_pickle_once_a_process() -> None:
    program = """
        import warnings, torch
        from flytepath import task
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")

            @task
            def given() -> torch.nn.Linear:
                return torch.nn.Linear(1, 1)

            @task
            def again() -> torch.nn.Conv1d:
                return torch.nn.Conv1d(1, 1, 1)

        print([str(each.message).partition(":")[0] for each in told if "pickled" in str(each.message)])
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "['there is no transformer for torch.nn.Module']", done.stderr


def test_a_whole_module_can_be_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYTEPATH_TYPES__ALLOW_PICKLE", "false")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")

        class Other(torch.nn.Linear):
            pass

        with pytest.raises(TypeError, match="allow_pickle"):

            @task
            def refused() -> Other:
                return Other(1, 1)
