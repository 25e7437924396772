"""The manifest: what this plugin gives, as names. It imports nothing but the contract."""

from __future__ import annotations

from flytepath.plugin import (
    BackendDeclaration,
    MigrationDeclaration,
    PollPolicy,
    TaskTypeDeclaration,
    TransformerDeclaration,
    hookimpl,
)


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


@hookimpl
def flytepath_transformers() -> list[TransformerDeclaration]:
    """Tensors, modules and checkpoints."""
    return [
        TransformerDeclaration(
            python_types=("torch.Tensor", "torch.nn.parameter.Parameter"),
            transformer="flyte_plugin_pytorch.types.tensor:TensorTransformer",
            format="torch-tensor",
        ),
        TransformerDeclaration(
            python_types=("torch.nn.modules.module.Module",),
            transformer="flyte_plugin_pytorch.types.module:ModuleTransformer",
            format="pickle",
            match="subclass",
        ),
        TransformerDeclaration(
            python_types=("flyte_plugin_pytorch.types.checkpoint.PyTorchCheckpoint",),
            transformer="flyte_plugin_pytorch.types.checkpoint:CheckpointTransformer",
            format="torch-checkpoint",
        ),
    ]


@hookimpl
def flytepath_backends() -> list[BackendDeclaration]:
    """A ``PyTorchJob`` for every attempt. Its settings are those of the backend ``kubernetes``, where they say no more.

    It stands on the Kubernetes plugin, which the extra ``kubernetes`` installs.
    """
    return [
        BackendDeclaration(
            name="kubeflow",
            backend="flyte_plugin_pytorch.kubeflow.backend:KubeflowBackend",
            settings="flyte_plugin_kubernetes.settings:KubernetesSettings",
            settings_base="kubernetes",
            settings_merge="flyte_plugin_kubernetes.merging:merge_settings",
            check="flyte_plugin_pytorch.kubeflow.compile_check:check_request",
            runs_workers=True,
            idempotency="B",
            batch_limit=1000,
            name_limit=50,
            call_seconds=60.0,
            poll=PollPolicy(first=1.0, longest=15.0),
            contract_minor=2,
        )
    ]


@hookimpl
def flytepath_migrations() -> list[MigrationDeclaration]:
    """Where the names of flytekit's plugin are."""
    return [
        MigrationDeclaration(source="flytekitplugins.kfpytorch", target="flyte_plugin_pytorch"),
        MigrationDeclaration(source="flytekitplugins.kfpytorch.task", target="flyte_plugin_pytorch"),
        MigrationDeclaration(
            source="flytekit.extras.pytorch",
            target="flyte_plugin_pytorch",
        ),
    ]
