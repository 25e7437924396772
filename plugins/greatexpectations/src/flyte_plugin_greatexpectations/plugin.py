"""The manifest: what this plugin gives, as names. It imports nothing but the contract."""

from __future__ import annotations

from flytepath.plugin import BoundaryCheckDeclaration, TaskTypeDeclaration, hookimpl


@hookimpl
def flytepath_task_types() -> list[TaskTypeDeclaration]:
    """Tasks that validate a frame."""
    return [
        TaskTypeDeclaration(
            name="great_expectations",
            task_type="flyte_plugin_greatexpectations.task:GreatExpectationsTaskType",
            config="flyte_plugin_greatexpectations.task:GreatExpectationsConfig",
        )
    ]


@hookimpl
def flytepath_boundary_checks() -> list[BoundaryCheckDeclaration]:
    """Frames that are validated as they enter or leave any task."""
    return [
        BoundaryCheckDeclaration(
            marker="flyte_plugin_greatexpectations.types.GreatExpectationsType",
            checker="flyte_plugin_greatexpectations.types:GreatExpectationsChecker",
            side="marker",
        )
    ]
