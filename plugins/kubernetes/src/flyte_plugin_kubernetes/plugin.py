"""The manifest: what this plugin gives, as names. It imports nothing but the contract."""

from __future__ import annotations

from flytepath.plugin import BackendDeclaration, MigrationDeclaration, PollPolicy, TaskTypeDeclaration, hookimpl


@hookimpl
def flytepath_task_types() -> list[TaskTypeDeclaration]:
    """Functions in a pod of the author's own making."""
    return [
        TaskTypeDeclaration(
            name="pod",
            task_type="flyte_plugin_kubernetes.pod:PodTaskType",
            config="flyte_plugin_kubernetes.pod:Pod",
            # Not for every backend that runs workers: there is no pod elsewhere, and nobody would say so.
            default_backend="kubernetes",
            contract_minor=2,
        )
    ]


@hookimpl
def flytepath_backends() -> list[BackendDeclaration]:
    """A pod for every task, and an Indexed Job for every slice of a map task."""
    return [
        BackendDeclaration(
            name="kubernetes",
            backend="flyte_plugin_kubernetes.backend:KubernetesBackend",
            settings="flyte_plugin_kubernetes.settings:KubernetesSettings",
            settings_merge="flyte_plugin_kubernetes.merging:merge_settings",
            check="flyte_plugin_kubernetes.compile_check:check_request",
            runs_workers=True,
            # The name is made of the key, and a cluster has no two objects of one name.
            idempotency="B",
            batch_limit=1000,
            array_limit=1000,
            name_limit=63,
            call_seconds=60.0,
            poll=PollPolicy(first=1.0, longest=15.0),
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
