"""Which kinds of jobs there are; each is imported when the first of its jobs is met."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cache
from typing import Final

from flytepath.plugin import BackendError, ErrorClass

from flyte_plugin_sagemaker.kind import Kind

#: ``name: module:class`` inside this package.
KINDS: Final[Mapping[str, str]] = {
    "training": "training:TrainingKind",
    "processing": "job_kinds:ProcessingKind",
    "transform": "job_kinds:TransformKind",
    "tuning": "job_kinds:TuningKind",
    "model": "model_kinds:ModelKind",
    "endpoint_config": "model_kinds:EndpointConfigKind",
    "endpoint": "endpoint_kinds:EndpointKind",
    "endpoint_update": "endpoint_kinds:EndpointUpdateKind",
    "endpoint_deletion": "deletion_kinds:EndpointDeletionKind",
    "endpoint_config_deletion": "deletion_kinds:EndpointConfigDeletionKind",
    "model_deletion": "deletion_kinds:ModelDeletionKind",
    "async_inference": "async_inference:AsyncInferenceKind",
}


@cache
def kind_of(name: str) -> Kind:
    """The kind of a name.

    Raises:
        BackendError: there is none.

    Example:
        >>> kind_of("training").title
        'training job'
    """
    place = KINDS.get(name)
    if place is None:
        raise BackendError(f"there is no kind of job {name!r} at SageMaker", error_class=ErrorClass.PROTOCOL)
    module, _, attribute = place.partition(":")
    found: Kind = getattr(importlib.import_module(f"flyte_plugin_sagemaker.{module}"), attribute)()
    return found


def all_kinds() -> list[Kind]:
    """Every kind."""
    return [kind_of(name) for name in KINDS]


__all__ = ["KINDS", "all_kinds", "kind_of"]
