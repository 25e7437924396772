"""What is refused when a task is compiled for the backend ``kubeflow``: all that its plan would be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flytepath.plugin import DefinitionError, PlanRequest


def check_request(request: PlanRequest, settings: Mapping[str, Any]) -> None:
    """Raise what would keep a task from becoming a job of the operator.

    Args:
        request: the task as far as it is known before it runs.
        settings: ``[backends.kubeflow]`` over ``[backends.kubernetes]``, as the tenant has them.

    Raises:
        DefinitionError: the extra ``kubernetes`` of this plugin is not installed.
        FlytePathError: why there is no job, as the Kubernetes plugin says it.
    """
    try:
        from flyte_plugin_kubernetes.compile_check import read_settings
        from flyte_plugin_kubernetes.pod_fields import check_fields
    except ImportError as error:
        raise DefinitionError(
            "the backend kubeflow needs the Kubernetes plugin, which is not installed",
            place=request.task,
            hint="pip install 'flyte-plugin-pytorch[kubernetes]'",
        ) from error
    from flyte_plugin_pytorch.kubeflow.manifests import pytorch_job

    read = read_settings(settings)
    read.namespace_of(request.owner.tenant)
    pytorch_job(request, read)
    check_fields((request.pod_template or {}).get("pod_spec") or {}, f"{request.task}(pod_template)")
