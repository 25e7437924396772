"""The manifest: what this plugin gives, as names. It imports nothing but the contract."""

from __future__ import annotations

from flytepath.plugin import BoundaryCheckDeclaration, MigrationDeclaration, TaskTypeDeclaration, hookimpl


@hookimpl
def flytepath_task_types() -> list[TaskTypeDeclaration]:
    """Tasks that validate a dataset."""
    return [
        TaskTypeDeclaration(
            name="great_expectations",
            task_type="flyte_plugin_greatexpectations.task:GreatExpectationsTaskType",
            config="flyte_plugin_greatexpectations.configuration:GreatExpectationsConfig",
            # Wherever a worker runs, it validates.
            plain_worker=True,
            contract_minor=2,
        )
    ]


@hookimpl
def flytepath_boundary_checks() -> list[BoundaryCheckDeclaration]:
    """Datasets that are validated as they enter or leave any task."""
    return [
        BoundaryCheckDeclaration(
            marker="flyte_plugin_greatexpectations.types.GreatExpectationsType",
            checker="flyte_plugin_greatexpectations.types:GreatExpectationsChecker",
            side="marker",
        )
    ]


@hookimpl
def flytepath_migrations() -> list[MigrationDeclaration]:
    """Where the names of flytekit's plugin are."""
    return [
        MigrationDeclaration(
            source=f"flytekitplugins.great_expectations{room}", target="flyte_plugin_greatexpectations"
        )
        for room in ("", ".task", ".schema")
    ]
