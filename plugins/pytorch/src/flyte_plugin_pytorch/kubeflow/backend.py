"""The backend ``kubeflow``: a ``PyTorchJob`` for each attempt of a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Final

from flyte_plugin_kubernetes import ConditionTable, CustomResourceBackend, ResourceKind
from flytepath.plugin import Observation, Phase, PlanRequest

from flyte_plugin_pytorch.kubeflow.states import PYTORCH_JOB

if TYPE_CHECKING:
    from flyte_plugin_kubernetes.classification import Bounds
    from flyte_plugin_kubernetes.looking import JobRef

Json = Any

#: The operator calls a job succeeded as soon as one replica has; the others may still keep outputs and decks.
_OTHERS: Final = timedelta(seconds=60)


class KubeflowBackend(CustomResourceBackend):
    """Gangs as jobs of Kubeflow's training operator, which tells each pod of the others."""

    kinds: ClassVar[tuple[ResourceKind, ...]] = (PYTORCH_JOB.kind,)
    conditions: ClassVar[ConditionTable] = PYTORCH_JOB.conditions
    #: The operator appends a role and a number, as in ``-worker-1000``, and makes a service of that name.
    name_limit: ClassVar[int] = 50

    def manifest(self, request: PlanRequest) -> dict[str, Json]:
        return PYTORCH_JOB.manifest(request, self.settings)

    def needs_pods(self, thing: Mapping[str, Json]) -> bool:
        return self.conditions.read(thing).phase is not Phase.RUNNING

    def observation(
        self, job: JobRef, thing: Mapping[str, Json], pods: Sequence[Mapping[str, Json]], bounds: Bounds
    ) -> Observation:
        seen = super().observation(job, thing, pods, bounds)
        if seen.phase is not Phase.SUCCEEDED:
            return seen
        left = [pod for pod in pods if (pod.get("status") or {}).get("phase") in ("Pending", "Running")]
        ended = _time((thing.get("status") or {}).get("completionTime"))
        if not left or ended is None or self.client.now() > ended + _OTHERS:
            return seen
        return Observation(Phase.RUNNING, f"{seen.raw_state}/{len(left)} replicas left")


def _time(text: Json) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return None
