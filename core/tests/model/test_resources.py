from __future__ import annotations

from typing import Any

import pytest
from flytepath.errors import DefinitionError
from flytepath.model.resources import Resources
from flytepath.model.task import Interface, TaskSpec
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("written", "read"), [("2", 2.0), ("500m", 0.5), (1, 1.0), (0.25, 0.25), ("1.5", 1.5), ("0", 0.0)]
)
def test_cores_are_read(written: Any, read: float) -> None:
    assert Resources(cpu=written).cpu_cores == read


@pytest.mark.parametrize(
    ("written", "read"),
    [("1Ki", 1024), ("1.5Gi", 3 * 2**29), ("2M", 2_000_000), (7, 7), ("1Ei", 2**60), ("9007199254740993", 2**53 + 1)],
)
def test_bytes_are_read_exactly(written: Any, read: int) -> None:
    assert Resources(mem=written).mem_bytes == read


@pytest.mark.parametrize("name", ["cpu", "mem", "gpu", "ephemeral_storage"])
@pytest.mark.parametrize("value", ["-1", -1, "lots", "", True, float("nan"), float("inf"), "1 Gi", "٣", object(), []])
def test_what_is_no_quantity_is_refused(name: str, value: Any) -> None:
    with pytest.raises(DefinitionError, match=name) as caught:
        Resources(**{name: value})
    assert caught.value.place == f"Resources({name})"
    assert caught.value.expected


def test_a_unit_that_kubernetes_does_not_know_has_a_hint() -> None:
    with pytest.raises(DefinitionError, match="write 'Gi'"):
        Resources(mem="4GB")


@pytest.mark.parametrize("value", ["1.5", 1.5, "²"])
def test_devices_are_whole(value: Any) -> None:
    with pytest.raises(DefinitionError, match="whole number"):
        Resources(gpu=value)


def test_a_pair_splits_into_request_and_limit() -> None:
    both = Resources(cpu=("500m", 2), mem=["1Gi", "2Gi"], gpu=1)
    assert both.is_range
    assert both.requests == Resources(cpu="500m", mem="1Gi", gpu=1)
    assert both.limits == Resources(cpu=2, mem="2Gi", gpu=1)
    assert not both.requests.is_range


@pytest.mark.parametrize("pair", [("1",), ("1", "2", "3"), ("2", "1"), ("1", None), (None, "1")])
def test_a_pair_that_makes_no_sense_is_refused(pair: Any) -> None:
    with pytest.raises(DefinitionError):
        Resources(cpu=pair)


def test_a_pair_where_one_quantity_is_meant_says_where_pairs_belong() -> None:
    with pytest.raises(DefinitionError, match="resources="):
        _ = Resources(cpu=(1, 2)).cpu_cores


def test_settings_stand_in_a_compiled_task() -> None:
    spec = TaskSpec(name="t", interface=Interface(), requests=Resources(cpu=(1, 2), mem="1Gi"))
    assert TaskSpec.model_validate_json(spec.model_dump_json()) == spec


@given(st.integers(0, 2**63), st.sampled_from(["", "k", "Mi", "G", "Ti"]))
def test_json_keeps_quantities_as_they_were_written(number: int, unit: str) -> None:
    asked = Resources(mem=f"{number}{unit}", cpu=number)
    assert Resources.from_json(asked.to_json()) == asked
    assert asked.to_json() == {"cpu": number, "mem": f"{number}{unit}"}


def test_unknown_fields_of_stored_json_are_refused() -> None:
    with pytest.raises(DefinitionError, match="not the JSON of Resources"):
        Resources.from_json({"cpus": 1})
