"""The manifest: what this plugin gives, as names. It imports nothing but the contract."""

from __future__ import annotations

from flytepath.plugin import (
    BackendDeclaration,
    MigrationDeclaration,
    PollPolicy,
    RateLimit,
    TaskTypeDeclaration,
    hookimpl,
)


@hookimpl
def flytepath_task_types() -> list[TaskTypeDeclaration]:
    """Python functions as training jobs, and jobs that SageMaker runs of itself."""
    return [
        TaskTypeDeclaration(
            name="sagemaker-training",
            task_type="flyte_plugin_sagemaker.training_task:SagemakerTrainingType",
            config="flyte_plugin_sagemaker.training_config:SagemakerTraining",
            default_backend="sagemaker",
            contract_minor=2,
        ),
        TaskTypeDeclaration(
            name="sagemaker-custom-training",
            task_type="flyte_plugin_sagemaker.training_task:SagemakerTrainingType",
            config="flyte_plugin_sagemaker.training_tasks:SagemakerTrainingJobConfig",
            default_backend="sagemaker",
            contract_minor=2,
        ),
        TaskTypeDeclaration(
            name="sagemaker-request",
            task_type="flyte_plugin_sagemaker.service_request:SageMakerRequestType",
            config="flyte_plugin_sagemaker.service_request:SageMakerRequest",
            default_backend="sagemaker",
            contract_minor=2,
        ),
        TaskTypeDeclaration(
            name="sagemaker-invocation",
            task_type="flyte_plugin_sagemaker.invoke:InvocationTaskType",
            config="flyte_plugin_sagemaker.invoke:InvocationConfig",
            plain_worker=True,
            contract_minor=2,
        ),
        TaskTypeDeclaration(
            name="boto",
            task_type="flyte_plugin_sagemaker.boto_task:BotoTaskType",
            config="flyte_plugin_sagemaker.boto_task:BotoConfig",
            # Wherever a worker runs, it makes the call.
            plain_worker=True,
            contract_minor=2,
        ),
    ]


@hookimpl
def flytepath_migrations() -> list[MigrationDeclaration]:
    """Where the names of flytekit's plugin are."""
    rooms = ("inference", "training", "processing", "batch_transform", "hyperparameter_tuning")
    return [
        MigrationDeclaration(source=f"flytekitplugins.awssagemaker_{room}{inside}", target="flyte_plugin_sagemaker")
        for room in rooms
        for inside in ("", ".task", ".boto3_task", ".workflow")
    ]


@hookimpl
def flytepath_backends() -> list[BackendDeclaration]:
    """Jobs and endpoints at SageMaker."""
    return [
        BackendDeclaration(
            name="sagemaker",
            backend="flyte_plugin_sagemaker.backend:SageMakerBackend",
            settings="flyte_plugin_sagemaker.settings:SageMakerSettings",
            check="flyte_plugin_sagemaker.compile_check:check_request",
            runs_workers=True,
            # The name is made of the key, and an account has no two jobs of one name in a region.
            idempotency="B",
            batch_limit=100,
            name_limit=63,
            visibility_seconds=5.0,
            call_seconds=60.0,
            poll=PollPolicy(first=2.0, longest=30.0),
            # An account is throttled as a whole: other programs want to be heard too.
            rate_limits=(
                RateLimit(per_second=5, burst=10, call="submit"),
                RateLimit(per_second=5, burst=10, call="cancel"),
            ),
            contract_minor=2,
        )
    ]
