"""What an exception of boto3 means: whose doing it is, whether it passes, and whether the call was carried out.

The codes are those of botocore's user guide on retries (throttling and transient errors), and those that the common
errors of AWS APIs list for credentials and permissions.
"""

from __future__ import annotations

import dataclasses
import difflib
import email.utils
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

#: botocore's "standard" mode takes these for a rate that was exceeded.
THROTTLING: Final = frozenset(
    {
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "RequestThrottledException",
        "RequestThrottled",
        "TooManyRequestsException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "BandwidthLimitExceeded",
        "SlowDown",
        "PriorRequestNotComplete",
        "EC2ThrottledException",
        # An endpoint whose model is being loaded.
        "ModelNotReadyException",
    }
)
#: What passes, of the service's own doing; nobody knows whether the call was carried out.
TRANSIENT: Final = frozenset(
    {"RequestTimeout", "RequestTimeoutException", "InternalFailure", "InternalServerError", "InternalServerException"}
    | {"InternalError", "ServiceUnavailable", "ServiceUnavailableException", "InternalServerErrorException"}
    | {"TransactionInProgressException", "InternalDependencyException", "InternalStreamFailure"}
)
ACCESS: Final = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "IncompleteSignatureException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "NotAuthorized",
        "OptInRequired",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "UnauthorizedOperation",
        "UnrecognizedClientException",
    }
)
_EXPIRED: Final = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
_PASSING_STATUS: Final = frozenset({500, 502, 503, 504})
_NO_CREDENTIALS: Final = (
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY where the call is made, give the machine a role, "
    "or name secrets in the configuration of the task"
)


@dataclass(frozen=True, slots=True)
class Failure:
    """What is known of a call that failed.

    Args:
        kind: whose doing it is.
        text: the service's own code and words.
        is_passing: whether once more may fare better.
        was_not_done: whether the service has certainly not carried it out.
        retry_after: seconds that the service asked to wait.
        hint: what to do.
        code: the service's own code; empty where it did not answer.
    """

    kind: Literal["access", "parameters", "refused"]
    text: str
    is_passing: bool = False
    was_not_done: bool = True
    retry_after: float = 0.0
    hint: str | None = None
    code: str = ""


def failure_of(error: BaseException) -> Failure | None:
    """What ``error`` means; ``None`` for what boto3 did not raise.

    Example:
        >>> failure_of(ValueError("x")) is None
        True
    """
    from botocore import exceptions as boto

    if isinstance(error, boto.ClientError):
        return _answered(error)
    if not isinstance(error, boto.BotoCoreError):
        return _of_boto3(error)
    if isinstance(error, boto.UnknownServiceError):
        return _unknown_service(error)
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, boto.ParamValidationError | boto.OperationNotPageableError):
        return Failure("parameters", text)
    if isinstance(error, boto.NoRegionError):
        return Failure("parameters", text, hint="name the region in the configuration, or set AWS_DEFAULT_REGION")
    if isinstance(error, _credentials_errors(boto)):
        return Failure("access", text, hint=_NO_CREDENTIALS)
    if isinstance(error, boto.EndpointConnectionError | boto.ConnectTimeoutError | boto.ProxyConnectionError):
        return Failure("refused", text, is_passing=True, hint="is the endpoint right, and can this machine reach it?")
    if isinstance(error, boto.SSLError):
        return Failure("refused", text, hint="the endpoint's certificate is not trusted here, or it speaks no TLS")
    if isinstance(error, boto.HTTPClientError | boto.ResponseStreamingError | boto.IncompleteReadError):
        return Failure("refused", text, is_passing=True, was_not_done=False)
    return Failure("parameters" if isinstance(error, boto.ValidationError) else "refused", text)


def _of_boto3(error: BaseException) -> Failure | None:
    """What boto3 itself raises, for methods of its own as ``upload_file``: the failure of the call inside it."""
    from boto3.exceptions import Boto3Error

    if not isinstance(error, Boto3Error):
        return None
    inside = error.__cause__ or error.__context__
    told = None if inside is None or isinstance(inside, Boto3Error) else failure_of(inside)
    text = f"{type(error).__name__}: {error}"
    return Failure("refused", text) if told is None else dataclasses.replace(told, text=text)


def _unknown_service(error: Any) -> Failure:
    name = str(error.kwargs.get("service_name"))
    near = difflib.get_close_matches(name, str(error.kwargs.get("known_service_names")).split(", "), 3)
    return Failure(
        "parameters",
        f"boto3 knows no service {name!r}",
        hint=f"is it {' or '.join(near)}?" if near else "boto3's documentation lists its services",
    )


def _credentials_errors(boto: Any) -> tuple[type[BaseException], ...]:
    return (
        boto.NoCredentialsError,
        boto.PartialCredentialsError,
        boto.CredentialRetrievalError,
        boto.ProfileNotFound,
        boto.TokenRetrievalError,
        boto.SSOError,
    )


def _answered(error: Any) -> Failure:
    answer: Mapping[str, Any] = error.response
    code = str(answer.get("Error", {}).get("Code", ""))
    message = str(answer.get("Error", {}).get("Message", ""))
    about = answer.get("ResponseMetadata", {})
    status = about.get("HTTPStatusCode", 0)
    text = f"{code}: {message}" if message else code or f"HTTP {status}"
    wait = seconds_of((about.get("HTTPHeaders") or {}).get("retry-after"))
    if code in ACCESS or (status in (401, 403) and code not in THROTTLING):
        hint = "renew the credentials" if code in _EXPIRED else "grant the permission to whoever makes the call"
        return Failure("access", text, hint=hint, code=code)
    if code in THROTTLING or status == 429:
        return Failure("refused", text, is_passing=True, retry_after=wait, code=code)
    if code in TRANSIENT or status in _PASSING_STATUS:
        return Failure("refused", text, is_passing=True, was_not_done=False, retry_after=wait, code=code)
    own = answer.get("OriginalMessage")  # a model's, behind an endpoint of SageMaker
    if own:
        text = f"{text} (the model answered {answer.get('OriginalStatusCode')}: {own})"
    stream = answer.get("LogStreamArn")
    return Failure("refused", text, code=code, hint=f"its log: {stream}" if stream else None)


def seconds_of(retry_after: str | None) -> float:
    """The header ``Retry-After`` in seconds: a number, or a moment; 0 for anything else.

    Example:
        >>> seconds_of("2"), seconds_of("soon"), seconds_of(None)
        (2.0, 0.0, 0.0)
    """
    if not retry_after:
        return 0.0
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time())
    except (TypeError, ValueError):
        return 0.0
