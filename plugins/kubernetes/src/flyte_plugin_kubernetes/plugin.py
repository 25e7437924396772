"""The manifest: what this plugin gives, as names. It imports nothing but the contract."""

from __future__ import annotations

from flytepath.plugin import MigrationDeclaration, TaskTypeDeclaration, hookimpl


@hookimpl
def flytepath_task_types() -> list[TaskTypeDeclaration]:
    """Functions in a pod of the author's own making."""
    return [
        TaskTypeDeclaration(
            name="pod",
            task_type="flyte_plugin_kubernetes.pod:PodTaskType",
            config="flyte_plugin_kubernetes.pod:Pod",
            default_backend="kubernetes",
            plain_worker=True,
            contract_minor=2,
        )
    ]


@hookimpl
def flytepath_migrations() -> list[MigrationDeclaration]:
    """Where the names of flytekit's plugin are."""
    return [
        MigrationDeclaration(source="flytekitplugins.pod", target="flyte_plugin_kubernetes"),
        MigrationDeclaration(source="flytekitplugins.pod.task", target="flyte_plugin_kubernetes"),
    ]
