"""One call of a service by boto3, made once as far as that can be known: tokens, retries, errors, the answer as JSON.

boto3's own retries are off. They repeat every call alike, also one that was sent and not answered, which then may be
carried out twice. Here a call is repeated when the service has certainly not carried it out (it was never sent, or was
refused for its rate), or when once more does no harm: it only reads, it is an HTTP GET, HEAD, PUT or DELETE, or it
bears a token by which the service knows it again. botocore's model of a service says which parameters are such tokens.
"""

from __future__ import annotations

import base64
import datetime as dt
import difflib
import hashlib
import inspect
import logging
import math
import random
import re
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from flyte_plugin_sagemaker.boto_failures import Failure, failure_of
from flyte_plugin_sagemaker.parameter_errors import (
    BotoAccessError,
    BotoCallError,
    BotoOutcomeUnknownError,
    BotoParameterError,
    BotoUnavailableError,
    MissingBotoError,
)
from flyte_plugin_sagemaker.service_models import session_of_models

log = logging.getLogger(__name__)

Json = Any
#: How often a call is made at the most, in one attempt of the task.
TRIES: Final = 5
#: Seconds before the second try; doubled with each, up to the longest.
_PAUSE, _LONGEST_PAUSE = 0.25, 8.0
_READING: Final = re.compile(r"(describe|get|list|head|batch_get|query|scan|search|select|lookup|estimate)(_|$)")
_REPEATABLE_HTTP: Final = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_ERRORS: Final[Mapping[str, type[BotoCallError]]] = {
    "access": BotoAccessError,
    "parameters": BotoParameterError,
    "refused": BotoCallError,
}


@dataclass(frozen=True, slots=True)
class Credentials:
    """A key as the service knows it; never written anywhere.

    Args:
        access_key_id, secret_access_key, session_token: as AWS names them.
    """

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None

    def __repr__(self) -> str:
        return "<credentials>"


@dataclass(frozen=True, slots=True)
class Call:
    """What is called.

    Args:
        service: boto3's name of it.
        method: of boto3's client.
        region: empty: as boto3 finds it.
        endpoint_url: empty: the service's own.
        role_arn: a role to assume first; empty for none.
        paginate: whether all pages are asked for and put together.
    """

    service: str
    method: str
    region: str = ""
    endpoint_url: str = ""
    role_arn: str = ""
    paginate: bool = False

    def __str__(self) -> str:
        return f"{self.service}.{self.method}"


def make_call(
    call: Call,
    parameters: Mapping[str, Json],
    *,
    place: str,
    seed: str | None = None,
    credentials: Credentials | None = None,
    sleep: Callable[[float], None] = time.sleep,
    read: Callable[[Any], Json] | None = None,
    is_harmless: bool = False,
) -> Json:
    """Make the call; its answer, as JSON unless ``read`` says otherwise.

    Args:
        call: what.
        parameters: as boto3 takes them. What is ``None`` is left out.
        place: the task, for errors.
        seed: the same for every repetition of this call, by whichever process; ``None`` where there is none.
        credentials: ``None``: as boto3 finds them.
        sleep: waits for some seconds.
        read: makes something else of the answer, a stream in it included.
        is_harmless: whether the author says that twice does no harm.

    Raises:
        BotoParameterError, BotoAccessError, BotoCallError: the service, or its model, refuses the call.
        BotoOutcomeUnknownError: it was sent, and must not be sent again.
        BotoUnavailableError: it was not carried out, and nobody here is to blame.
        MissingBotoError: boto3 is not there.
    """
    client = _client(call, credentials, place)
    given = without_none(parameters)
    tokens = _tokens(client, call.method, given, seed)
    is_repeatable = is_harmless or bool(tokens) or _is_repeatable(client, call.method)
    pause = _PAUSE
    for left in range(TRIES - 1, -1, -1):
        try:
            return (read or answer_as_json)(_answer(client, call, {**tokens, **given}))
        except Exception as error:
            failure = failure_of(error)
            if failure is None:
                raise
            if left == 0 or not (failure.is_passing and (failure.was_not_done or is_repeatable)):
                # The service's own words are all told: how boto3 came to them is no news.
                raise _raised(failure, call, place, is_repeatable) from (error if failure.is_passing else None)
            wait = max(failure.retry_after, min(pause, _LONGEST_PAUSE) * random.uniform(0.5, 1.0))
            log.info("%s: %s; tried again in %.1f s", call, failure.text, wait)
            sleep(wait)
            pause *= 2
    raise AssertionError("unreachable")


def without_none(parameters: Json) -> Json:
    """The parameters without those that are ``None``: not given.

    Example:
        >>> without_none({"a": None, "b": [{"c": None, "d": 1}]})
        {'b': [{'d': 1}]}
    """
    if isinstance(parameters, Mapping):
        return {key: without_none(value) for key, value in parameters.items() if value is not None}
    if isinstance(parameters, list | tuple):
        return [without_none(item) for item in parameters]
    return parameters


def _raised(failure: Failure, call: Call, place: str, is_repeatable: bool) -> Exception:
    if failure.is_passing and (failure.was_not_done or is_repeatable):
        return BotoUnavailableError(f"{call}: {failure.text}", place=place, hint=failure.hint)
    if failure.is_passing:
        return BotoOutcomeUnknownError(
            f"{call} was sent and not answered, and must not be sent twice: {failure.text}",
            place=place,
            hint="look whether it was carried out; a name made with {idempotence_token} lets it be repeated safely",
        )
    return _ERRORS[failure.kind](f"{call}: {failure.text}", place=place, hint=failure.hint)


# --- the client ------------------------------------------------------------------------------------------------------


def _client(call: Call, credentials: Credentials | None, place: str) -> Any:
    try:
        import boto3
        from botocore.config import Config
    except ImportError as error:
        raise MissingBotoError(
            f"{call} is made by boto3, which is not installed here",
            place=place,
            hint="pip install flyte-plugin-sagemaker, in the task's own environment too",
        ) from error
    try:
        session = boto3.Session(botocore_session=session_of_models(), region_name=call.region or None)
        keys = _keys(session, call, credentials)
        return session.client(
            call.service,
            endpoint_url=call.endpoint_url or None,
            # mypy sees no types here: boto3 has none.
            config=Config(retries={"total_max_attempts": 1, "mode": "standard"}, connect_timeout=10, read_timeout=120),
            **keys,
        )
    except Exception as error:
        failure = failure_of(error)
        if failure is None:
            raise
        raise _raised(failure, call, place, True) from (error if failure.is_passing else None)


def _keys(session: Any, call: Call, credentials: Credentials | None) -> dict[str, str | None]:
    keys: dict[str, str | None] = {}
    if credentials is not None:
        keys = {
            "aws_access_key_id": credentials.access_key_id,
            "aws_secret_access_key": credentials.secret_access_key,
            "aws_session_token": credentials.session_token,
        }
    if not call.role_arn:
        return keys
    sts = session.client("sts", endpoint_url=call.endpoint_url or None, **keys)
    given = sts.assume_role(RoleArn=call.role_arn, RoleSessionName="flytepath")["Credentials"]
    return {
        "aws_access_key_id": given["AccessKeyId"],
        "aws_secret_access_key": given["SecretAccessKey"],
        "aws_session_token": given["SessionToken"],
    }


def _operation(client: Any, method: str) -> Any:
    """botocore's model of a method; ``None`` for what is no operation, as ``upload_file``."""
    name = client.meta.method_to_api_mapping.get(method)
    return None if name is None else client.meta.service_model.operation_model(name)


def _tokens(client: Any, method: str, given: Mapping[str, Json], seed: str | None) -> dict[str, str]:
    """Values for the parameters by which the service knows a repeated call, where the author gives none."""
    model = _operation(client, method)
    names = () if model is None else tuple(member for member in model.idempotent_members if member not in given)
    if seed is None:
        return {name: str(uuid.uuid4()) for name in names}
    digest = hashlib.sha256(repr(sorted(given.items(), key=repr)).encode("utf-8", "surrogatepass")).hexdigest()
    space = uuid.uuid5(uuid.NAMESPACE_URL, f"{seed}\0{client.meta.service_model.service_name}.{method}\0{digest}")
    return {name: str(uuid.uuid5(space, name)) for name in names}


def _is_repeatable(client: Any, method: str) -> bool:
    if _READING.match(method):
        return True
    model = _operation(client, method)
    is_rest = client.meta.service_model.protocol.startswith("rest")
    if model is None:
        return False
    return is_rest and model.http.get("method") in _REPEATABLE_HTTP


# --- the answer ------------------------------------------------------------------------------------------------------


def _answer(client: Any, call: Call, parameters: Mapping[str, Json]) -> Any:
    if call.paginate and client.can_paginate(call.method):
        return client.get_paginator(call.method).paginate(**parameters).build_full_result()
    method = getattr(client, call.method, None)
    if call.paginate or not callable(method):
        what = f"pages for {call}" if callable(method) else f"method {call.method!r}"
        raise BotoParameterError(f"{call.service} has no {what}", hint=_offer(call.method, dir(client)))
    if call.method not in client.meta.method_to_api_mapping:
        # boto3's own, as upload_file: what Python says of wrong parameters is no news of its insides.
        _check_arguments(method, call, parameters)
    return method(**parameters)


def _check_arguments(method: Callable[..., Any], call: Call, parameters: Mapping[str, Json]) -> None:
    try:
        inspect.signature(method).bind(**parameters)
    except TypeError as error:
        raise BotoParameterError(f"{call}: {error}", hint="see boto3's page of the service") from None


def _offer(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, [one for one in known if not one.startswith("_")], 3)
    return f"is it {' or '.join(near)}?" if near else "see boto3's page of the service"


def answer_as_json(answer: Any) -> dict[str, Json]:
    """What a method of boto3 returns, as JSON; of what stands around it, the request's id and the status."""
    if not isinstance(answer, Mapping):
        return {} if answer is None else {"value": as_json(answer)}
    out = {name: as_json(value) for name, value in answer.items() if name != "ResponseMetadata"}
    about = answer.get("ResponseMetadata")
    if isinstance(about, Mapping):
        # Not its headers: they tell of the moment and the way, not of the answer.
        out["ResponseMetadata"] = {name: about[name] for name in ("RequestId", "HTTPStatusCode") if name in about}
    return out


def as_json(value: Any) -> Json:
    """What boto3 gives, as JSON: moments as ISO 8601 text, a stream read to its end, bytes as text.

    Bytes that are no UTF-8 are ``{"base64": ...}``; numbers that JSON has not are text.

    Example:
        >>> as_json({"At": dt.datetime(2026, 1, 2, tzinfo=dt.UTC), "Body": b"ok", "Raw": b"\\xff"})
        {'At': '2026-01-02T00:00:00+00:00', 'Body': 'ok', 'Raw': {'base64': '/w=='}}
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes | bytearray):
        return _text_or_base64(bytes(value))
    if isinstance(value, dt.datetime | dt.date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((as_json(item) for item in value), key=repr)
    if hasattr(value, "read"):
        return _text_or_base64(value.read())
    if hasattr(value, "__iter__"):  # a stream of events
        return [as_json(item) for item in value]
    return str(value)


def _text_or_base64(content: bytes) -> Json:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode("ascii")}
