"""The manifest of the reference plugin for remote jobs: a task type, and the backend that its tasks run on."""

from __future__ import annotations

from flytepath.plugin import (
    BackendDeclaration,
    PollPolicy,
    PoolDeclaration,
    RateLimit,
    TaskTypeDeclaration,
    hookimpl,
)


@hookimpl
def flytepath_task_types() -> list[TaskTypeDeclaration]:
    """Tasks that are jobs of the vendor's."""
    return [
        TaskTypeDeclaration(
            name="vendor-job",
            task_type="flytepath.testing.reference_task:VendorJobTask",
            config="flytepath.testing.reference_task:VendorJob",
            default_backend="vendor",
        )
    ]


@hookimpl
def flytepath_backends() -> list[BackendDeclaration]:
    """The vendor: what it can, what it limits, and how often it may be asked."""
    return [
        BackendDeclaration(
            name="vendor",
            backend="flytepath.testing.reference_backend:VendorBackend",
            settings="flytepath.testing.reference_backend:VendorSettings",
            idempotency="B",
            batch_limit=200,
            array_limit=1000,
            visibility_seconds=2.0,
            name_limit=40,
            call_seconds=30.0,
            poll=PollPolicy(first=1.0, longest=60.0),
            rate_limits=(RateLimit(per_second=1000.0, burst=1000),),
            pools=(PoolDeclaration(name="vendor/{account}", limit=20),),
        )
    ]
