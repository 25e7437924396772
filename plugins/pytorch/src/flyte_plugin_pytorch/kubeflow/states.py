"""What the operator says of a job, as a table: one form for each kind of job, so that another kind is one more entry.

``TrainJob`` of the newer trainer would be the second form: its kind, its conditions (``Suspended``, ``Complete``,
``Failed``) and its manifest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from flyte_plugin_kubernetes import ConditionTable, KubernetesSettings, ResourceKind, Row
from flytepath.plugin import Phase, PlanRequest

from flyte_plugin_pytorch.kubeflow.manifests import pytorch_job


@dataclass(frozen=True, slots=True)
class JobForm:
    """One kind of training job.

    Args:
        kind: what it is in the API.
        conditions: what its states mean. Who is to blame for a failure is told by its pods.
        manifest: makes it of a request.
    """

    kind: ResourceKind
    conditions: ConditionTable
    manifest: Callable[[PlanRequest, KubernetesSettings], dict[str, Any]]


PYTORCH_JOB: Final = JobForm(
    ResourceKind("kubeflow.org/v1", "PyTorchJob", "pytorchjobs", operator="Kubeflow's training operator"),
    ConditionTable(
        Row(condition="Succeeded", phase=Phase.SUCCEEDED),
        Row(condition="Failed", phase=Phase.FAILED),
        Row(condition="Suspended", phase=Phase.QUEUED),
        Row(condition="Restarting", phase=Phase.INITIALIZING),
        Row(condition="Running", phase=Phase.RUNNING),
        Row(condition="Created", phase=Phase.QUEUED),
    ),
    pytorch_job,
)

#: Every kind of job there is, by its kind.
FORMS: Final = {PYTORCH_JOB.kind.kind: PYTORCH_JOB}
