"""The task type of functions that are training jobs: the same function on every machine, one machine's result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from flytepath.plugin import NO_OUTPUT, TaskContext, TaskDeclaration, TaskType

from flyte_plugin_sagemaker.errors import SageMakerTaskError
from flyte_plugin_sagemaker.training_config import SagemakerTraining
from flyte_plugin_sagemaker.training_hosts import training_host
from flyte_plugin_sagemaker.training_tasks import SagemakerTrainingJobConfig


class SagemakerTrainingType(TaskType):
    """Runs :class:`SagemakerTraining` tasks: in a direct call on one machine, this one."""

    local_fidelity: ClassVar[Any] = "full"
    ignored_settings: ClassVar[frozenset[str]] = frozenset({"pod_template", "accelerator", "shared_memory"})

    def compile(self, declaration: TaskDeclaration) -> dict[str, Any]:
        """The configuration as plain data."""
        config = declaration.config
        if isinstance(config, SagemakerTrainingJobConfig):
            config = config.for_function()
        if not isinstance(config, SagemakerTraining):
            raise SageMakerTaskError(
                "a training task is configured by SagemakerTraining",
                place=declaration.name,
                actual=repr(config)[:200],
            )
        if declaration.body not in ("function", "notebook"):
            raise SageMakerTaskError(
                "SagemakerTraining runs Python code",
                place=declaration.name,
                expected="a function",
                actual=f"a task whose body is {declaration.body}",
            )
        return config.to_json()

    def execute(self, context: TaskContext, inputs: Mapping[str, Any], call_body: Any) -> Any:
        """Call the body; what it returns counts on the first machine."""
        host = training_host()
        context.attach("sagemaker", host)
        # flytekit's name for it.
        context.attach("distributed_training_context", host)
        result = call_body(inputs)
        return result if host.is_first else NO_OUTPUT


__all__ = ["SagemakerTrainingType"]
