"""Amazon SageMaker for FlytePath: training jobs, and what follows them, as tasks.

The names are resolved on first use, so that importing this costs nothing; boto3 is imported where AWS is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flytepath.plugin import lazy_names

if TYPE_CHECKING:
    from flyte_plugin_sagemaker.boto_task import (
        BotoConfig,
        BotoTask,
    )
    from flyte_plugin_sagemaker.deployment import (
        SageMakerDeleteEndpointConfigTask,
        SageMakerDeleteEndpointTask,
        SageMakerDeleteModelTask,
        SageMakerEndpointConfigTask,
        SageMakerEndpointTask,
        SageMakerModelTask,
        SageMakerUpdateEndpointTask,
        create_sagemaker_deployment,
        delete_sagemaker_deployment,
    )
    from flyte_plugin_sagemaker.errors import (
        MissingAwsLibraryError,
        SageMakerRequestError,
        SageMakerSettingsError,
        SageMakerTaskError,
        TrainingHostError,
    )
    from flyte_plugin_sagemaker.invoke import (
        SageMakerInvokeEndpointTask,
    )
    from flyte_plugin_sagemaker.job_tasks import (
        SageMakerDescribeHyperParameterTuningJobTask,
        SageMakerDescribeProcessingJobTask,
        SageMakerDescribeTransformJobTask,
        SageMakerHyperParameterTuningJobTask,
        SageMakerProcessingJobTask,
        SageMakerStopHyperParameterTuningJobTask,
        SageMakerStopProcessingJobTask,
        SageMakerStopTransformJobTask,
        SageMakerTransformJobTask,
    )
    from flyte_plugin_sagemaker.parameter_errors import (
        BotoAccessError,
        BotoCallError,
        BotoOutcomeUnknownError,
        BotoParameterError,
        BotoUnavailableError,
        InferenceResultError,
        MissingBotoError,
        ParameterValueError,
    )
    from flyte_plugin_sagemaker.settings import (
        SageMakerSettings,
    )
    from flyte_plugin_sagemaker.training_config import (
        SagemakerTraining,
    )
    from flyte_plugin_sagemaker.training_hosts import (
        TrainingHost,
    )
    from flyte_plugin_sagemaker.training_tasks import (
        AlgorithmSpecification,
        InputContentType,
        InputMode,
        MetricDefinition,
        SagemakerBuiltinAlgorithmsTask,
        SagemakerTrainingJobConfig,
        SageMakerTrainingJobTask,
        TrainingJobResourceConfig,
    )

_HOME_OF = {
    "AlgorithmSpecification": "training_tasks",
    "BotoAccessError": "parameter_errors",
    "BotoCallError": "parameter_errors",
    "BotoConfig": "boto_task",
    "BotoOutcomeUnknownError": "parameter_errors",
    "BotoParameterError": "parameter_errors",
    "BotoTask": "boto_task",
    "BotoUnavailableError": "parameter_errors",
    "InferenceResultError": "parameter_errors",
    "InputContentType": "training_tasks",
    "InputMode": "training_tasks",
    "MetricDefinition": "training_tasks",
    "MissingAwsLibraryError": "errors",
    "MissingBotoError": "parameter_errors",
    "ParameterValueError": "parameter_errors",
    "SageMakerDeleteEndpointConfigTask": "deployment",
    "SageMakerDeleteEndpointTask": "deployment",
    "SageMakerDeleteModelTask": "deployment",
    "SageMakerDescribeHyperParameterTuningJobTask": "job_tasks",
    "SageMakerDescribeProcessingJobTask": "job_tasks",
    "SageMakerDescribeTransformJobTask": "job_tasks",
    "SageMakerEndpointConfigTask": "deployment",
    "SageMakerEndpointTask": "deployment",
    "SageMakerHyperParameterTuningJobTask": "job_tasks",
    "SageMakerInvokeEndpointTask": "invoke",
    "SageMakerModelTask": "deployment",
    "SageMakerProcessingJobTask": "job_tasks",
    "SageMakerRequestError": "errors",
    "SageMakerSettings": "settings",
    "SageMakerSettingsError": "errors",
    "SageMakerStopHyperParameterTuningJobTask": "job_tasks",
    "SageMakerStopProcessingJobTask": "job_tasks",
    "SageMakerStopTransformJobTask": "job_tasks",
    "SageMakerTaskError": "errors",
    "SageMakerTrainingJobTask": "training_tasks",
    "SageMakerTransformJobTask": "job_tasks",
    "SageMakerUpdateEndpointTask": "deployment",
    "SagemakerBuiltinAlgorithmsTask": "training_tasks",
    "SagemakerTraining": "training_config",
    "SagemakerTrainingJobConfig": "training_tasks",
    "TrainingHost": "training_hosts",
    "TrainingHostError": "errors",
    "TrainingJobResourceConfig": "training_tasks",
    "create_sagemaker_deployment": "deployment",
    "delete_sagemaker_deployment": "deployment",
}

__all__ = [
    "AlgorithmSpecification",
    "BotoAccessError",
    "BotoCallError",
    "BotoConfig",
    "BotoOutcomeUnknownError",
    "BotoParameterError",
    "BotoTask",
    "BotoUnavailableError",
    "InferenceResultError",
    "InputContentType",
    "InputMode",
    "MetricDefinition",
    "MissingAwsLibraryError",
    "MissingBotoError",
    "ParameterValueError",
    "SageMakerDeleteEndpointConfigTask",
    "SageMakerDeleteEndpointTask",
    "SageMakerDeleteModelTask",
    "SageMakerDescribeHyperParameterTuningJobTask",
    "SageMakerDescribeProcessingJobTask",
    "SageMakerDescribeTransformJobTask",
    "SageMakerEndpointConfigTask",
    "SageMakerEndpointTask",
    "SageMakerHyperParameterTuningJobTask",
    "SageMakerInvokeEndpointTask",
    "SageMakerModelTask",
    "SageMakerProcessingJobTask",
    "SageMakerRequestError",
    "SageMakerSettings",
    "SageMakerSettingsError",
    "SageMakerStopHyperParameterTuningJobTask",
    "SageMakerStopProcessingJobTask",
    "SageMakerStopTransformJobTask",
    "SageMakerTaskError",
    "SageMakerTrainingJobTask",
    "SageMakerTransformJobTask",
    "SageMakerUpdateEndpointTask",
    "SagemakerBuiltinAlgorithmsTask",
    "SagemakerTraining",
    "SagemakerTrainingJobConfig",
    "TrainingHost",
    "TrainingHostError",
    "TrainingJobResourceConfig",
    "create_sagemaker_deployment",
    "delete_sagemaker_deployment",
]

__getattr__, __dir__ = lazy_names(__name__, _HOME_OF)
