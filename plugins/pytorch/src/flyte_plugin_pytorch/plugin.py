"""The manifest: what this plugin gives, as names. It imports nothing but the contract."""

from __future__ import annotations

from flytepath.plugin import TaskTypeDeclaration, hookimpl


@hookimpl
def flytepath_task_types() -> list[TaskTypeDeclaration]:
    """Tasks that are a gang of processes."""
    return [
        TaskTypeDeclaration(
            name="pytorch",
            task_type="flyte_plugin_pytorch.task:PyTorchTaskType",
            config="flyte_plugin_pytorch.config:PyTorch",
        ),
        TaskTypeDeclaration(
            name="pytorch_elastic",
            task_type="flyte_plugin_pytorch.task:ElasticTaskType",
            config="flyte_plugin_pytorch.config:Elastic",
            plain_worker=True,
            contract_minor=2,
        ),
    ]
