"""What a task asks of its machine, as the resources, selectors and volumes of its pod."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from flytepath.plugin import Resources

from flyte_plugin_kubernetes.errors import KubernetesResourcesError
from flyte_plugin_kubernetes.merging import Data, merge
from flyte_plugin_kubernetes.names import dns_label
from flyte_plugin_kubernetes.placement import absent, place
from flyte_plugin_kubernetes.quantities import read_quantity, written
from flyte_plugin_kubernetes.settings import KubernetesSettings

_NAMES: Final = {"cpu": "cpu", "mem": "memory", "ephemeral_storage": "ephemeral-storage"}
SHARED_MEMORY_VOLUME: Final = "flytepath-shared-memory"
SHARED_MEMORY_PATH: Final = "/dev/shm"


def container_resources(
    requests: Resources,
    limits: Resources,
    settings: KubernetesSettings,
    accelerator: Mapping[str, Any] | None = None,
) -> dict[str, dict[str, str]]:
    """The ``resources`` of a container.

    GPUs are asked for by the name of their resource, as request and limit alike, because a cluster shares none. An
    accelerator without a number of GPUs is one.

    Raises:
        KubernetesResourcesError: a request above its limit, or two numbers of GPUs.

    Example:
        >>> container_resources(Resources(cpu="500m", gpu=1), Resources(mem="4Gi"), KubernetesSettings())
        {'requests': {'cpu': '500m', 'nvidia.com/gpu': '1'}, 'limits': {'memory': '4Gi', 'nvidia.com/gpu': '1'}}
    """
    found: dict[str, dict[str, str]] = {"requests": {}, "limits": {}}
    for side, wanted in (("requests", requests), ("limits", limits)):
        for name, resource in _NAMES.items():
            quantity = getattr(wanted, name)
            if quantity is not None:
                found[side][resource] = written(quantity)
    _check_bounds(found)
    devices = _devices(requests, limits, accelerator)
    if devices:
        resource = device_resource(settings, accelerator)
        for quantities in found.values():
            quantities[resource] = str(devices)
    return {side: quantities for side, quantities in found.items() if quantities}


def device_resource(settings: KubernetesSettings, accelerator: Mapping[str, Any] | None) -> str:
    """The name of the resource that a task's devices are.

    Example:
        >>> table = {"nvidia-h100": {"partition_resource": "nvidia.com/mig-{partition}"}}
        >>> device_resource(
        ...     KubernetesSettings(accelerators=table), {"device": "nvidia-h100", "partition": "1g.10gb"}
        ... )
        'nvidia.com/mig-1g.10gb'
    """
    if not accelerator:
        return settings.gpu_resource
    known = settings.accelerator(accelerator["device"])
    partition = accelerator.get("partition")
    if partition and known.partition_resource:
        return known.partition_resource.replace("{partition}", partition)
    return known.resource


def with_devices(
    spec: Data, resources: Mapping[str, Mapping[str, str]], settings: KubernetesSettings, accelerator: Data | None
) -> dict[str, Any]:
    """The pod spec on nodes that have the devices its container asks for."""
    resource = device_resource(settings, accelerator)
    if resource not in resources.get("limits", {}):
        return dict(spec)
    # The taint that keeps nodes with devices free of other pods bears the resource's name by convention.
    placed = place(spec, tolerations=[{"key": resource, "operator": "Exists", "effect": "NoSchedule"}])
    if not accelerator:
        return placed
    known = settings.accelerator(accelerator["device"])
    selector = dict(known.node_selector)
    if known.label != "none":
        selector[known.label] = known.value
    # A slice that is a resource of its own is found by that, whatever its node is labelled with.
    if accelerator.get("partition") and not known.partition_resource and known.partition_label != "none":
        selector[known.partition_label] = accelerator["partition"]
    placed = place(placed, node_selector=selector, tolerations=known.tolerations, affinity=known.affinity)
    if accelerator.get("whole") and known.partition_label != "none":
        placed = place(placed, affinity=absent(known.partition_label))
    return placed


def with_shared_memory(spec: Data, container: str, shared_memory: bool | str) -> dict[str, Any]:
    """The pod spec with memory at ``/dev/shm`` of a container: as much as it may use, or a quantity.

    Example:
        >>> spec = with_shared_memory({"containers": [{"name": "primary"}]}, "primary", "2Gi")
        >>> spec["volumes"]
        [{'name': 'flytepath-shared-memory', 'emptyDir': {'medium': 'Memory', 'sizeLimit': '2Gi'}}]
    """
    if not shared_memory:
        return dict(spec)
    memory = {"medium": "Memory"}
    if isinstance(shared_memory, str):
        read_quantity(shared_memory, "shared_memory")
        memory["sizeLimit"] = shared_memory
    mount = {"name": SHARED_MEMORY_VOLUME, "mountPath": SHARED_MEMORY_PATH}
    return merge(
        spec,
        {
            "containers": [{"name": dns_label(container, "primary_container_name"), "volumeMounts": [mount]}],
            "volumes": [{"name": SHARED_MEMORY_VOLUME, "emptyDir": memory}],
        },
    )


def _devices(requests: Resources, limits: Resources, accelerator: Data | None) -> int:
    asked, most = requests.gpu_count, limits.gpu_count
    if asked is not None and most is not None and asked != most:
        raise KubernetesResourcesError(
            "GPUs cannot be shared, so what is asked for is also the limit",
            place="resources(gpu)",
            expected="one number of GPUs",
            actual=f"a request of {asked} and a limit of {most}",
        )
    devices = most if asked is None else asked
    return (1 if accelerator else 0) if devices is None else devices


def _check_bounds(found: Mapping[str, Mapping[str, str]]) -> None:
    for name, quantity in found["requests"].items():
        limit = found["limits"].get(name)
        if limit is not None and read_quantity(quantity, name) > read_quantity(limit, name):
            raise KubernetesResourcesError(
                f"the task asks for more {name} than it may use",
                place=f"requests({name})",
                expected=f"at most the limit, {limit}",
                actual=quantity,
            )
