"""The errors of parameters and of single calls: values that do not fit, and calls that the service refused or lost."""

from __future__ import annotations

from typing import ClassVar, Literal

from flytepath.plugin import FlytePathError, TaskFailedError


class ParameterValueError(TaskFailedError, ValueError):
    """An input cannot stand where a placeholder puts it."""

    code = "FP-AWS-PARAMETER"


class BotoCallError(TaskFailedError):
    """The service refused a call; the message has the service's own code and text."""

    code = "FP-AWS-REFUSED"


class BotoAccessError(BotoCallError, PermissionError):
    """There are no credentials for the call, they have expired, or they lack a permission."""

    code = "FP-AWS-ACCESS"


class BotoParameterError(BotoCallError, ValueError):
    """The parameters do not fit the operation: a name it does not know, one that is missing, or a wrong type."""

    code = "FP-AWS-PARAMETERS"


class BotoOutcomeUnknownError(BotoCallError):
    """The connection was lost after a call was sent that must not be made twice: it may have been carried out."""

    code = "FP-AWS-OUTCOME-UNKNOWN"


class BotoUnavailableError(FlytePathError):
    """The service could not be reached, is busy, or has a failure of its own; the call was certainly not carried out.

    Nobody is to blame who wrote the workflow: the attempt is repeated on the system's budget.
    """

    code = "FP-AWS-UNAVAILABLE"
    blame: ClassVar[Literal["user", "system"]] = "system"


class MissingBotoError(FlytePathError, ImportError):
    """boto3 is not installed where the call is to be made."""

    code = "FP-AWS-NO-BOTO3"


class InferenceResultError(TaskFailedError, ValueError):
    """What a model answered cannot be read as the type that the task gives."""

    code = "FP-SAGEMAKER-RESULT"


class InferenceFailedError(TaskFailedError):
    """SageMaker wrote a failure in place of a result; the message has what the model answered."""

    code = "FP-SAGEMAKER-INFERENCE"
