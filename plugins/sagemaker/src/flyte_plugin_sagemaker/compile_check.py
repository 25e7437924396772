"""What is refused when a task is compiled for SageMaker: all that its plan would be, and settings it cannot have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flytepath.plugin import PlanRequest

from flyte_plugin_sagemaker.errors import SageMakerTaskError
from flyte_plugin_sagemaker.kinds import kind_of
from flyte_plugin_sagemaker.settings import read_settings


def check_request(request: PlanRequest, settings: Mapping[str, Any]) -> None:
    """Raise what would keep a task from becoming a job.

    Args:
        request: the task as far as it is known before it runs.
        settings: ``[backends.sagemaker]`` as the tenant has it.

    Raises:
        DefinitionError: why there is none.
    """
    from flyte_plugin_sagemaker.backend import kind_name

    for name, value, instead in (
        ("pod_template", request.pod_template, "there are no pods at SageMaker"),
        ("accelerator", request.accelerator, "choose the machine: SagemakerTraining(instance_type=...)"),
        ("shared_memory", request.shared_memory, "SageMaker decides how large it is"),
    ):
        if value:
            raise SageMakerTaskError(
                f"SageMaker has no {name}", place=f"{request.task}({name})", actual=str(value)[:200], hint=instead
            )
    kind_of(kind_name(request)).request(request, read_settings(settings))


__all__ = ["check_request"]
