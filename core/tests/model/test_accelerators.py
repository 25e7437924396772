from __future__ import annotations

import copy
import pickle

import pytest
from flytepath.errors import DefinitionError
from flytepath.model import accelerators
from flytepath.model.accelerators import (
    A10G,
    A100,
    A100_80GB,
    H100,
    V5E,
    V5P,
    Accelerator,
    GPUAccelerator,
    accelerator_from_json,
)

NAMED = [value for value in vars(accelerators).values() if isinstance(value, Accelerator)]


@pytest.mark.parametrize("accelerator", NAMED, ids=lambda one: one.device)
def test_every_named_accelerator_keeps_its_json(accelerator: Accelerator) -> None:
    assert accelerator_from_json(accelerator.to_json()) == accelerator
    assert pickle.loads(pickle.dumps(accelerator)) == accelerator
    assert copy.deepcopy(accelerator) == accelerator


def test_slices_have_names() -> None:
    assert A100.partition_1g_5gb.to_json() == {"device": "nvidia-tesla-a100", "partition": "1g.5gb"}
    assert A100_80GB.partition_7g_80gb.partition == "7g.80gb"
    assert V5P.slice_2x2x1.partition == "2x2x1"
    assert accelerator_from_json(V5E.slice_2x4.to_json()) == V5E.slice_2x4
    assert "partition_3g_40gb" in dir(H100)


def test_whole_sliced_and_open_are_three_things() -> None:
    assert len({A100, A100.unpartitioned, A100.partitioned("1g.5gb")}) == 3
    assert A100.partition_1g_5gb.unpartitioned == A100.unpartitioned
    assert A100.unpartitioned.partitioned("1g.5gb") == A100.partition_1g_5gb


def test_a_slice_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(DefinitionError, match=r"1g\.5gb, 2g\.10gb"):
        A100.partitioned("1g.10gb")
    with pytest.raises(AttributeError, match="partition_1g_5gb"):
        _ = A100.partition_9g_9gb


@pytest.mark.parametrize("device", ["", None, 4])
def test_a_device_needs_a_name(device: object) -> None:
    with pytest.raises(DefinitionError, match="device"):
        GPUAccelerator(device)  # type: ignore[arg-type]


def test_a_device_of_ones_own_survives() -> None:
    own = GPUAccelerator("acme-x1")
    assert accelerator_from_json(own.to_json()) == own
    assert not hasattr(A10G, "unpartitioned")
