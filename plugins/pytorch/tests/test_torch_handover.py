"""Values go from process to process through a mapped file, exactly; each process may change its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flyte_plugin_pytorch.handover import dump, load


def there(value: Any, folder: Path) -> Path:
    path = folder / "value"
    dump(value, path)
    return path


def there_and_back(value: Any, folder: Path) -> Any:
    return load(there(value, folder))


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.bfloat16, torch.int64, torch.complex64, torch.uint8, torch.bool, torch.float16]
)
def test_tensors_of_every_kind_come_back(dtype: torch.dtype, tmp_path: Path) -> None:
    tensor = torch.arange(10_000).to(dtype).reshape(100, 100)
    found = there_and_back({"a": [tensor], "b": tensor[0]}, tmp_path)
    assert found["a"][0].dtype == dtype and torch.equal(found["a"][0], tensor)
    assert torch.equal(found["b"], tensor[0])


def test_what_a_tensor_is_beside_its_numbers_comes_back(tmp_path: Path) -> None:
    plain = torch.zeros(5000)
    parameter = torch.nn.Parameter(torch.ones(5000))
    conjugate = torch.full((5000,), 1 + 2j).conj()
    found = there_and_back([plain, plain.clone().requires_grad_(True), parameter, conjugate], tmp_path)
    assert [tensor.requires_grad for tensor in found] == [False, True, True, False]
    assert type(found[2]) is torch.nn.Parameter
    assert torch.equal(found[3], conjugate)


def test_a_module_comes_back_with_its_tied_weights(tmp_path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(100, 100), torch.nn.Linear(100, 100))
    model[1].weight = model[0].weight
    found = there_and_back(model, tmp_path)
    assert found[1].weight is found[0].weight and torch.equal(found[0].weight, model[0].weight)


def test_tensors_that_share_memory_still_do(tmp_path: Path) -> None:
    whole = torch.zeros(10_000)
    first, again, part, seen = there_and_back([whole, whole, whole[:5000], whole.view(100, 100)], tmp_path)
    assert first is again
    first[0] = 1
    assert part[0] == 1 and seen[0, 0] == 1


def test_a_process_may_change_its_own_copy(tmp_path: Path) -> None:
    path = there({"array": np.zeros(10_000), "tensor": torch.zeros(10_000)}, tmp_path)
    mine = load(path)
    mine["array"][0] = 1
    mine["tensor"][0] = 1
    other = load(path)
    assert other["array"][0] == 0 and other["tensor"][0] == 0
    assert mine["array"].flags.writeable


def test_the_file_may_go_while_its_values_are_used(tmp_path: Path) -> None:
    path = there(torch.arange(10_000), tmp_path)
    found = load(path)
    path.unlink()
    assert int(found.sum()) == 49_995_000


def test_a_large_tensor_is_written_once_and_not_into_the_pickle(tmp_path: Path) -> None:
    tensor = torch.zeros(1_000_000)
    size = there([tensor, tensor], tmp_path).stat().st_size
    assert 4_000_000 < size < 4_010_000


def test_small_odd_and_empty_values_come_back(tmp_path: Path) -> None:
    value = {"none": None, "empty": torch.zeros(0), "number": torch.tensor(3.0), "text": "é", "nested": [(1, {2})]}
    found = there_and_back(value, tmp_path)
    assert found["nested"] == [(1, {2})] and found["text"] == "é" and found["none"] is None
    assert found["empty"].shape == (0,) and float(found["number"]) == 3.0
    assert found.keys() == value.keys()


def test_what_cannot_be_pickled_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        there((x for x in range(3)), tmp_path)
