"""What is refused before anything is asked of AWS, and what is missing on this machine."""

from __future__ import annotations

from flytepath.plugin import DefinitionError, FlytePathError


class SageMakerRequestError(DefinitionError):
    """A request that SageMaker would refuse: a parameter it does not know, or a value beyond its limits."""

    code = "FP-SAGEMAKER-REQUEST"


class SageMakerSettingsError(DefinitionError):
    """``[backends.sagemaker]`` says what cannot be meant, or leaves out what the task needs."""

    code = "FP-SAGEMAKER-SETTINGS"


class SageMakerTaskError(DefinitionError):
    """A configuration of a task that could never run."""

    code = "FP-SAGEMAKER-TASK"


class MissingAwsLibraryError(FlytePathError):
    """boto3 is not installed where AWS is called."""

    code = "FP-SAGEMAKER-LIBRARY"


class TrainingHostError(FlytePathError):
    """The container was not given what SageMaker gives every training container."""

    code = "FP-SAGEMAKER-HOST"
