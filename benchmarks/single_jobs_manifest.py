"""The reference plugin for remote jobs as one whose vendor knows no array jobs."""

from __future__ import annotations

from dataclasses import replace

from flytepath.plugin import BackendDeclaration, TaskTypeDeclaration, hookimpl
from flytepath.testing import reference_job_manifest


@hookimpl
def flytepath_task_types() -> list[TaskTypeDeclaration]:
    """As they are."""
    return reference_job_manifest.flytepath_task_types()


@hookimpl
def flytepath_backends() -> list[BackendDeclaration]:
    """The same, one job for each item of a map."""
    return [replace(each, array_limit=0) for each in reference_job_manifest.flytepath_backends()]
