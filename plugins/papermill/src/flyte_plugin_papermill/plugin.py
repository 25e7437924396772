"""The manifest: what this plugin gives, as names. It imports nothing but the contract."""

from __future__ import annotations

from flytepath.plugin import TaskTypeDeclaration, hookimpl


@hookimpl
def flytepath_task_types() -> list[TaskTypeDeclaration]:
    """Tasks whose body is a notebook; any backend that runs workers runs them."""
    return [
        TaskTypeDeclaration(
            name="papermill",
            task_type="flyte_plugin_papermill.task:NotebookTaskType",
            config="flyte_plugin_papermill.task:NotebookConfig",
            plain_worker=True,
        )
    ]
