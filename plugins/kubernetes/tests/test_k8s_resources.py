"""Resources, devices and shared memory of a task, as its pod asks for them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from flyte_plugin_kubernetes import KubernetesResourcesError, KubernetesSettings, PodSpecError, pod_template_of
from flyte_plugin_kubernetes.quantities import read_quantity, written
from flytepath import A100, V5E, GPUAccelerator
from flytepath.plugin import Resources
from hypothesis import given
from hypothesis import strategies as st
from k8s_pod_requests import container, request


def pod(settings: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    return pod_template_of(request(**changes), KubernetesSettings(**(settings or {})))


def resources(**changes: Any) -> dict[str, Any]:
    return container(pod(**changes)).get("resources", {})  # type: ignore[no-any-return]


def test_resources_become_requests_and_limits_as_they_were_written() -> None:
    asked = Resources(cpu="500m", mem="1.5Gi", ephemeral_storage="10G")
    most = Resources(cpu=2, mem=2**31)
    assert resources(requests=asked, limits=most) == {
        "requests": {"cpu": "500m", "memory": "1.5Gi", "ephemeral-storage": "10G"},
        "limits": {"cpu": "2", "memory": "2147483648"},
    }


def test_a_task_that_asks_for_nothing_says_nothing() -> None:
    assert resources() == {}


@pytest.mark.parametrize(("cores", "text"), [(0.5, "500m"), (0.1, "100m"), (1.0, "1"), (2, "2"), (0.0005, "0.0005")])
def test_cores_are_written_exactly(cores: float, text: str) -> None:
    assert written(cores) == text
    assert read_quantity(text, "") == Decimal(repr(cores))


@given(st.decimals(0, 10**6, places=3))
def test_a_number_of_cores_is_read_as_it_was_written(cores: Decimal) -> None:
    assert read_quantity(written(float(cores)), "cpu") == Decimal(repr(float(cores)))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("1Ki", 1024), ("1k", 1000), ("1E", 10**18), ("1e3", 1000), ("1E3", 1000), ("1Ei", 2**60), (".5", "0.5")),
        *(("5.", 5), ("100n", "0.0000001"), ("7u", "0.000007"), ("+1", 1), ("1e-3", "0.001"), (3, 3)),
    ],
)
def test_every_form_of_a_quantity_is_read(text: Any, value: Any) -> None:
    assert read_quantity(text, "") == Decimal(value)


@pytest.mark.parametrize("text", ["", "1GB", "1 Gi", "Gi", "1gi", "--1", True, None, "1e", "١", "0x10", "1_000", "nan"])
def test_what_is_no_quantity_is_refused(text: Any) -> None:
    with pytest.raises(KubernetesResourcesError):
        read_quantity(text, "memory")


def test_less_than_nothing_is_refused() -> None:
    with pytest.raises(KubernetesResourcesError, match="less than nothing"):
        read_quantity("-1", "memory")


def test_requests_above_limits_are_refused() -> None:
    with pytest.raises(KubernetesResourcesError, match="more memory than it may use"):
        resources(requests=Resources(mem="1025Mi"), limits=Resources(mem="1Gi"))


def test_a_request_above_the_limit_of_the_template_is_refused_and_says_where_the_limit_is_from() -> None:
    spec = {"containers": [{"name": "primary", "resources": {"limits": {"memory": "1Gi"}}}]}
    with pytest.raises(KubernetesResourcesError) as caught:
        pod(requests=Resources(mem="2Gi"), pod_template={"pod_spec": spec})
    assert caught.value.expected == "at most the limit, 1Gi"
    assert "pod template" in str(caught.value.hint)


# --- devices -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{"requests": Resources(gpu=2)}, {"limits": Resources(gpu=2)}])
def test_gpus_are_request_and_limit_alike_on_nodes_that_are_kept_for_them(changes: dict[str, Any]) -> None:
    made = pod(**changes)
    assert container(made)["resources"] == {"requests": {"nvidia.com/gpu": "2"}, "limits": {"nvidia.com/gpu": "2"}}
    assert made["spec"]["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]


def test_two_numbers_of_gpus_are_refused() -> None:
    with pytest.raises(KubernetesResourcesError, match="cannot be shared"):
        resources(requests=Resources(gpu=1), limits=Resources(gpu=2))


def test_no_gpus_are_none() -> None:
    made = pod(requests=Resources(gpu=0))
    assert "resources" not in container(made)
    assert "tolerations" not in made["spec"]


def test_gpus_are_called_what_the_cluster_calls_them() -> None:
    made = pod({"gpu_resource": "amd.com/gpu"}, requests=Resources(gpu=1))
    assert container(made)["resources"]["limits"] == {"amd.com/gpu": "1"}
    assert made["spec"]["tolerations"][0]["key"] == "amd.com/gpu"


def test_an_accelerator_selects_nodes_and_is_one_device_unless_said_otherwise() -> None:
    made = pod(accelerator=GPUAccelerator("nvidia-l4").to_json())
    assert container(made)["resources"]["limits"] == {"nvidia.com/gpu": "1"}
    assert made["spec"]["nodeSelector"] == {"cloud.google.com/gke-accelerator": "nvidia-l4"}
    made = pod(accelerator=GPUAccelerator("nvidia-l4").to_json(), limits=Resources(gpu=4))
    assert container(made)["resources"]["limits"] == {"nvidia.com/gpu": "4"}


def test_a_slice_selects_nodes_that_are_cut_so() -> None:
    made = pod(accelerator=A100.partition_1g_5gb.to_json())
    assert made["spec"]["nodeSelector"] == {
        "cloud.google.com/gke-accelerator": "nvidia-tesla-a100",
        "cloud.google.com/gke-gpu-partition-size": "1g.5gb",
    }


def test_a_slice_may_be_a_resource_of_its_own() -> None:
    table = {"nvidia-tesla-a100": {"partition_resource": "nvidia.com/mig-{partition}", "label": "none"}}
    made = pod({"accelerators": table}, accelerator=A100.partition_1g_5gb.to_json())
    assert container(made)["resources"]["limits"] == {"nvidia.com/mig-1g.5gb": "1"}
    assert "nodeSelector" not in made["spec"]
    assert made["spec"]["tolerations"][0]["key"] == "nvidia.com/mig-1g.5gb"


def test_a_whole_device_avoids_nodes_that_are_cut() -> None:
    affinity = pod(accelerator=A100.unpartitioned.to_json())["spec"]["affinity"]
    (term,) = affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert term["matchExpressions"] == [{"key": "cloud.google.com/gke-gpu-partition-size", "operator": "DoesNotExist"}]


def test_a_slice_of_a_tpu_pod_is_asked_for_by_its_topology() -> None:
    made = pod(accelerator=V5E.slice_2x4.to_json(), limits=Resources(gpu=4))
    assert container(made)["resources"]["limits"] == {"google.com/tpu": "4"}
    assert made["spec"]["nodeSelector"] == {
        "cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice",
        "cloud.google.com/gke-tpu-topology": "2x4",
    }


def test_a_device_has_the_tolerations_and_labels_of_its_own_table() -> None:
    table = {
        "nvidia-l4": {
            "node_selector": {"pool": "l4"},
            "tolerations": [{"key": "l4", "operator": "Exists"}],
            "label": "acme.com/gpu",
            "value": "L4",
        }
    }
    spec = pod({"accelerators": table}, accelerator={"device": "nvidia-l4"})["spec"]
    assert spec["nodeSelector"] == {"pool": "l4", "acme.com/gpu": "L4"}
    assert [one["key"] for one in spec["tolerations"]] == ["nvidia.com/gpu", "l4"]


def test_a_template_that_demands_another_device_is_refused() -> None:
    spec = {"nodeSelector": {"cloud.google.com/gke-accelerator": "nvidia-tesla-t4"}}
    with pytest.raises(PodSpecError, match="no node can be both"):
        pod(accelerator={"device": "nvidia-l4"}, pod_template={"pod_spec": spec})


# --- shared memory -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "volume"), [(True, {"medium": "Memory"}), ("2Gi", {"medium": "Memory", "sizeLimit": "2Gi"})]
)
def test_shared_memory_is_a_volume_of_memory_at_its_usual_place(asked: Any, volume: dict[str, str]) -> None:
    made = pod(shared_memory=asked)
    (found,) = made["spec"]["volumes"]
    assert found["emptyDir"] == volume
    assert container(made)["volumeMounts"] == [{"name": found["name"], "mountPath": "/dev/shm"}]


def test_shared_memory_takes_the_place_of_what_the_template_mounts_there() -> None:
    mount = {"name": "own", "mountPath": "/dev/shm"}
    spec = {"volumes": [{"name": "own", "emptyDir": {}}], "containers": [{"name": "primary", "volumeMounts": [mount]}]}
    (found,) = container(pod(shared_memory=True, pod_template={"pod_spec": spec}))["volumeMounts"]
    assert found["name"] != "own"


def test_shared_memory_that_is_no_quantity_is_refused() -> None:
    with pytest.raises(KubernetesResourcesError):
        pod(shared_memory="much")


# --- interruptible -----------------------------------------------------------------------------------------------

SPOT = {
    "interruptible": {
        "node_selector": {"spot": "true"},
        "tolerations": [{"key": "spot", "operator": "Exists", "effect": "NoSchedule"}],
    },
    "uninterruptible": {
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchExpressions": [{"key": "spot", "operator": "DoesNotExist"}]}]
                }
            }
        }
    },
}


def test_an_interruptible_task_may_run_where_the_settings_say() -> None:
    spec = pod(SPOT, interruptible=True)["spec"]
    assert spec["nodeSelector"] == {"spot": "true"}
    assert spec["tolerations"] == SPOT["interruptible"]["tolerations"]
    assert "affinity" not in spec


def test_a_task_that_is_not_interruptible_is_kept_away_from_there() -> None:
    spec = pod(SPOT)["spec"]
    assert "tolerations" not in spec
    assert "nodeSelector" not in spec
    assert spec["affinity"] == SPOT["uninterruptible"]["affinity"]


def test_what_the_template_requires_of_nodes_stays_required() -> None:
    zones = {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [
                {"matchExpressions": [{"key": "zone", "operator": "In", "values": [zone]}]} for zone in "ab"
            ]
        }
    }
    spec = pod(SPOT, pod_template={"pod_spec": {"affinity": {"nodeAffinity": zones}}})["spec"]
    terms = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert [[expression["key"] for expression in term["matchExpressions"]] for term in terms] == [["zone", "spot"]] * 2
