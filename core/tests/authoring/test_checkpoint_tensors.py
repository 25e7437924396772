from __future__ import annotations

import warnings
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
from flytepath.authoring.checkpoint import Checkpoint

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch: Any = pytest.importorskip("torch")


def there_and_back(state: Any, folder: Path) -> Any:
    Checkpoint(str(folder)).save(state, step=1)
    return Checkpoint(sources=[str(folder)]).load()


def test_tensors_come_back_as_they_were(tmp_path: Path) -> None:
    shared = torch.arange(6.0)
    state = {
        "a": torch.tensor([1.5], dtype=torch.bfloat16),
        "b": [shared, shared[2:], shared],
        "grad": torch.nn.Parameter(torch.zeros(2)),
        "rng": torch.get_rng_state(),
        3: torch.tensor(7),
    }
    found = there_and_back(state, tmp_path)
    assert torch.equal(found["a"], state["a"]) and found["a"].dtype == torch.bfloat16
    assert type(found["grad"]) is torch.nn.Parameter and found["grad"].requires_grad
    assert torch.equal(found["rng"], state["rng"]) and found[3].item() == 7
    first, part, again = found["b"]
    assert first is again
    first[2] = 9
    assert part[0] == 9, "tensors that share memory still do"


def test_a_training_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    def made() -> tuple[Any, Any]:
        torch.manual_seed(1)
        model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 1))
        return model, torch.optim.AdamW(model.parameters(), lr=0.01)

    def trained(model: Any, optimizer: Any, steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            model(torch.randn(8, 3)).pow(2).mean().backward()
            optimizer.step()

    model, optimizer = made()
    trained(model, optimizer, 3)
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "rng": torch.get_rng_state()}
    found = there_and_back(state, tmp_path)
    assert type(found["model"]) is OrderedDict and found["model"]._metadata == state["model"]._metadata
    trained(model, optimizer, 3)
    other, other_optimizer = made()
    other.load_state_dict(found["model"])
    other_optimizer.load_state_dict(found["optimizer"])
    torch.set_rng_state(found["rng"])
    trained(other, other_optimizer, 3)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


def test_what_is_saved_is_not_what_is_trained_on(tmp_path: Path) -> None:
    weights = torch.zeros(3)
    checkpoint = Checkpoint(str(tmp_path))
    checkpoint.save({"w": weights}, step=1)
    weights += 1
    assert checkpoint.load()["w"].sum() == 0
