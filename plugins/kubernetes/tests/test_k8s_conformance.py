"""The plugin keeps to the contract, as the conformance kit tells it."""

from __future__ import annotations

from collections.abc import Iterable

from flyte_plugin_kubernetes import Pod
from flyte_plugin_kubernetes.pod import PodTaskType
from flytepath import PodTemplate
from flytepath.testing import PluginConformance, TaskTypeConformance


class TestPlugin(PluginConformance):
    plugin = "kubernetes"


class TestPodTaskType(TaskTypeConformance):
    task_type = PodTaskType
    name = "pod"

    def config_samples(self) -> Iterable[Pod]:
        sidecar = {"name": "proxy", "image": "envoy:1", "ports": [{"containerPort": 80}]}
        spec = {"containers": [{"name": "main", "image": "a:1"}, sidecar], "nodeSelector": {"b": "1", "a": "2"}}
        return [
            Pod(),
            Pod(spec, "main", {"team": "vision"}, {"example.com/note": "é"}),
            Pod(PodTemplate(pod_spec={"initContainers": [{**sidecar, "restartPolicy": "Always"}]}, labels={"a": "b"})),
        ]
