"""The backend ``kubernetes``: a pod for each attempt of a task, and an Indexed Job for each slice of a map task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from flytepath.plugin import Observation, Phase, PlanRequest

from flyte_plugin_kubernetes.classification import Bounds, state_of
from flyte_plugin_kubernetes.custom_resource import CustomResourceBackend
from flyte_plugin_kubernetes.indexed_jobs import INDEX, job_left_out, job_manifest, job_observation
from flyte_plugin_kubernetes.looking import JobRef
from flyte_plugin_kubernetes.pod_spec import pod_template_of
from flyte_plugin_kubernetes.resource_kind import JOB, POD, ResourceKind

Json = Any


class KubernetesBackend(CustomResourceBackend):
    """Runs any task that needs nothing but a container: Python functions, shell and notebook tasks, raw containers.

    A pod is never started again by the cluster: attempts are core's. The container that decides, the primary one, ends
    the attempt; what else is in the pod is deleted with it.
    """

    kinds: ClassVar[tuple[ResourceKind, ...]] = (POD, JOB)

    def manifest(self, request: PlanRequest) -> dict[str, Json]:
        if not request.items:
            return {"apiVersion": "v1", "kind": "Pod", **pod_template_of(request, self.settings)}
        template = pod_template_of(request, self.settings, item_position=INDEX)
        return job_manifest(template, len(request.items), self.settings.keep_finished)

    def pods_fields(self, kind: ResourceKind) -> str:
        # A Job tells itself which items succeeded.
        return "status.phase!=Succeeded" if kind == JOB else ""

    def needs_pods(self, thing: Mapping[str, Json]) -> bool:
        if thing.get("kind") == POD.kind:
            return False
        conditions = (thing.get("status") or {}).get("conditions") or ()
        return not any(known.get("type") == "Complete" and known.get("status") == "True" for known in conditions)

    def left_out(self, thing: Mapping[str, Json]) -> str:
        return job_left_out(thing) if thing.get("kind") == JOB.kind else ""

    def observation(
        self, job: JobRef, thing: Mapping[str, Json], pods: Sequence[Mapping[str, Json]], bounds: Bounds
    ) -> Observation:
        if job.kind == JOB:
            return job_observation(job, thing, pods, bounds)
        state = state_of(thing, bounds)
        reason = "" if state.phase is Phase.SUCCEEDED else state.reason
        return Observation(state.phase, state.raw_state, reason, state.error_class, state.exit_code)


__all__ = ["KubernetesBackend"]
