"""The manifest: what this plugin gives, as names. It imports nothing but the contract."""

from __future__ import annotations

from flytepath.plugin import MigrationDeclaration, TaskTypeDeclaration, hookimpl


@hookimpl
def flytepath_task_types() -> list[TaskTypeDeclaration]:
    """Tasks whose body is a notebook; any backend that runs workers runs them."""
    return [
        TaskTypeDeclaration(
            name="papermill",
            task_type="flyte_plugin_papermill.config:NotebookTaskType",
            config="flyte_plugin_papermill.config:NotebookConfig",
            plain_worker=True,
        )
    ]


@hookimpl
def flytepath_migrations() -> list[MigrationDeclaration]:
    """Where the names of flytekit's plugin are."""
    names = (
        ("load_flytefile", "load_file"),
        ("load_flytedirectory", "load_dir"),
        ("load_structureddataset", "load_dataframe"),
    )
    return [
        MigrationDeclaration(source="flytekitplugins.papermill", target="flyte_plugin_papermill", names=names),
        MigrationDeclaration(source="flytekitplugins.papermill.task", target="flyte_plugin_papermill", names=names),
    ]
