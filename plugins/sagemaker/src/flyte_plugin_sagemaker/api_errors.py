"""What AWS's refusals mean to core, with AWS's own code and words.

The codes are those of the page "Common Errors" of the SageMaker API reference, of the errors of each call, and of
botocore for what never reached AWS.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from flytepath.plugin import BackendError, ErrorClass

Json = Any

_CLASSES: Final[Mapping[str, ErrorClass]] = {
    **dict.fromkeys(
        (
            "ThrottlingException",
            "Throttling",
            "ThrottledException",
            "TooManyRequestsException",
            "RequestLimitExceeded",
            "RequestThrottled",
            "RequestThrottledException",
            "SlowDown",
            "ProvisionedThroughputExceededException",
        ),
        ErrorClass.THROTTLED,
    ),
    **dict.fromkeys(
        (
            "AccessDenied",
            "AccessDeniedException",
            "UnauthorizedOperation",
            "NotAuthorized",
            "OptInRequired",
            "ExpiredToken",
            "ExpiredTokenException",
            "TokenRefreshRequired",
            "RequestExpired",
            "UnrecognizedClientException",
            "InvalidClientTokenId",
            "InvalidAccessKeyId",
            "InvalidSignatureException",
            "SignatureDoesNotMatch",
            "IncompleteSignature",
            "MissingAuthenticationToken",
            "MissingAuthenticationTokenException",
        ),
        ErrorClass.AUTH,
    ),
    **dict.fromkeys(
        (
            "ValidationException",
            "ValidationError",
            "InvalidParameterValue",
            "InvalidParameterCombination",
            "InvalidAction",
            "InvalidQueryParameter",
            "MalformedQueryString",
            "MissingAction",
            "MissingParameter",
            "UnknownOperationException",
            "ParamValidationError",
            "NoSuchBucket",
            "ModelError",
        ),
        ErrorClass.INVALID,
    ),
    "ResourceInUse": ErrorClass.CONFLICT,
    "ResourceInUseException": ErrorClass.CONFLICT,
    "ConflictException": ErrorClass.CONFLICT,
    "ResourceLimitExceeded": ErrorClass.QUOTA_EXCEEDED,
    "ServiceQuotaExceededException": ErrorClass.QUOTA_EXCEEDED,
    "LimitExceededException": ErrorClass.QUOTA_EXCEEDED,
    "ResourceNotFound": ErrorClass.LOST,
    "ResourceNotFoundException": ErrorClass.LOST,
    **dict.fromkeys(
        (
            "InternalFailure",
            "InternalServerError",
            "InternalServerException",
            "ServiceUnavailable",
            "ServiceUnavailableException",
            "InternalDependencyException",
            "ModelNotReadyException",
        ),
        ErrorClass.UNAVAILABLE,
    ),
}
_HINTS: Final[Mapping[str, str]] = {
    "ExpiredToken": "the session's credentials have ended: renew them, or let the machine's role give them",
    "ExpiredTokenException": "the session's credentials have ended: renew them, or let the machine's role give them",
    "UnrecognizedClientException": "AWS does not know this access key: check the credentials and the region",
    "InvalidClientTokenId": "AWS does not know this access key: check the credentials and the region",
    "InvalidSignatureException": "the secret access key is not that of the access key, or the clock is wrong",
    "SignatureDoesNotMatch": "the secret access key is not that of the access key, or the clock is wrong",
    "AccessDeniedException": "the README of flyte-plugin-sagemaker lists what the account must be allowed",
    "AccessDenied": "the README of flyte-plugin-sagemaker lists what the account must be allowed",
    "ResourceLimitExceeded": "ask AWS for a higher quota (Service Quotas), or set a pool for the account",
}
#: SageMaker tells of names it does not know with ValidationException, and tells it in words.
_ABSENT: Final = re.compile(
    r"Requested resource not found|Could not find (?!.*(?:model data|image|role|bucket|object))|does not exist"
    r"|RecordNotFound|Cannot find",
    re.IGNORECASE,
)
_TAKEN: Final = re.compile(r"already exist", re.IGNORECASE)
#: Nothing was sent.
_UNSENT: Final = frozenset(
    {
        "EndpointConnectionError",
        "ConnectTimeoutError",
        "ProxyConnectionError",
        "NoCredentialsError",
        "PartialCredentialsError",
        "CredentialRetrievalError",
        "ProfileNotFound",
        "NoRegionError",
        "TokenRetrievalError",
        "SSOTokenLoadError",
        "UnauthorizedSSOTokenError",
        "ParamValidationError",
        "InvalidEndpointConfigurationError",
        "InvalidRegionError",
        "SSLError",
    }
)
_UNAUTHENTICATED: Final = frozenset(
    {
        "NoCredentialsError",
        "PartialCredentialsError",
        "CredentialRetrievalError",
        "ProfileNotFound",
        "TokenRetrievalError",
        "SSOTokenLoadError",
        "UnauthorizedSSOTokenError",
    }
)
_MISUSED: Final = frozenset({"ParamValidationError", "NoRegionError", "InvalidRegionError", "InvalidConfigError"})
_SHOWN: Final = 1000


class ApiError(Exception):
    """A call that did not succeed.

    Args:
        code: of AWS, or the name of botocore's error where AWS was not reached.
        message: in AWS's words.
        status: of HTTP; 0 where there was no answer.
        retry_after: seconds, where AWS says so.
        sent: whether AWS may have heard of it.
    """

    def __init__(
        self, code: str, message: str, status: int = 0, retry_after: float | None = None, *, sent: bool = True
    ) -> None:
        super().__init__(code, message, status, retry_after)
        self.code = code
        self.message = message[:_SHOWN]
        self.status = status
        self.retry_after = retry_after
        self.sent = sent

    @property
    def is_absent(self) -> bool:
        """Whether AWS says that there is no such thing."""
        if self.code in ("ResourceNotFound", "ResourceNotFoundException", "NoSuchKey", "404"):
            return True
        return self.code in ("ValidationException", "ValidationError") and bool(_ABSENT.search(self.message))

    @property
    def is_taken(self) -> bool:
        """Whether AWS says that something bears this name already."""
        if self.code in ("ResourceInUse", "ResourceInUseException", "ConflictException"):
            return True
        return self.code in ("ValidationException", "ValidationError") and bool(_TAKEN.search(self.message))

    @property
    def is_denied(self) -> bool:
        """Whether the caller is known, and may not do this."""
        return self.code in ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "NotAuthorized")

    @property
    def error_class(self) -> ErrorClass:
        """Who is to blame."""
        if self.code in _UNAUTHENTICATED:
            return ErrorClass.AUTH
        if self.code in _MISUSED:
            return ErrorClass.INVALID
        known = _CLASSES.get(self.code)
        if known is not None:
            return known
        if self.status == 0 or self.status >= 500:
            return ErrorClass.UNAVAILABLE
        if self.status == 429:
            return ErrorClass.THROTTLED
        if self.status in (401, 403):
            return ErrorClass.AUTH
        return ErrorClass.INVALID if 400 <= self.status < 500 else ErrorClass.PROTOCOL

    @property
    def accepted(self) -> bool | None:
        """``False`` where AWS certainly has not done what was asked; ``None`` where nobody knows."""
        return False if not self.sent or 400 <= self.status < 500 else None

    @property
    def hint(self) -> str | None:
        """What can be done about it."""
        if self.code in _UNAUTHENTICATED:
            return "give credentials: access_key_id and secret_access_key in [backends.sagemaker], or AWS's own chain"
        if self.code == "NoRegionError":
            return "set region in [backends.sagemaker], or AWS_REGION"
        if self.code in ("EndpointConnectionError", "ConnectTimeoutError", "ProxyConnectionError"):
            return "check region and endpoint_url in [backends.sagemaker], and the network of this machine"
        return _HINTS.get(self.code)

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


def api_error(error: BaseException) -> ApiError | None:
    """What botocore raised, as an :class:`ApiError`; ``None`` where it is not botocore's."""
    answer = getattr(error, "response", None)
    if isinstance(answer, Mapping) and "Error" in answer:
        said, meta = answer["Error"], answer.get("ResponseMetadata") or {}
        status = int(meta.get("HTTPStatusCode") or 0)
        code = str(said.get("Code") or "Unknown").rpartition("#")[2]
        return ApiError(code, str(said.get("Message") or ""), status, _seconds(meta.get("HTTPHeaders") or {}))
    if not type(error).__module__.startswith(("botocore.", "boto3.", "s3transfer.")):
        return None
    name = type(error).__name__
    return ApiError(name, str(error), sent=name not in _UNSENT)


def backend_error(error: ApiError, *, what: str = "") -> BackendError:
    """The refusal as core knows errors.

    Args:
        error: what AWS answered.
        what: what was asked of it, for people.
    """
    return BackendError(
        f"{what}: {error}" if what else str(error),
        error_class=error.error_class,
        retry_after=error.retry_after,
        accepted=error.accepted,
        hint=error.hint,
    )


def _seconds(headers: Mapping[str, Json]) -> float | None:
    text = str(headers.get("retry-after") or "")
    return float(text) if text.replace(".", "", 1).isdigit() else None


__all__ = ["ApiError", "api_error", "backend_error"]
