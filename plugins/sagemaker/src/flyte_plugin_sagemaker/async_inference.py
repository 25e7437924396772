"""Asynchronous inference: a request whose input and result lie in S3, waited for until there is a result or a failure.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpointAsync.html: the answer says where
the output will lie, and, where the endpoint's configuration has an ``S3FailurePath``, where a failure will. There is no
call that looks at a request, lists them, or takes one back.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import urlsplit

from flytepath import JSON as AnyJson
from flytepath import FlyteFile, TypeEngine
from flytepath.plugin import (
    BackendError,
    BlobAccess,
    ErrorClass,
    Gone,
    Handle,
    InProgress,
    JobKey,
    Literal,
    LiteralType,
    NotOurs,
    Observation,
    Phase,
    Plan,
    PlanRequest,
    Terminal,
)

from flyte_plugin_sagemaker.api_errors import ApiError
from flyte_plugin_sagemaker.inference_bodies import decoded_body, encoded_body
from flyte_plugin_sagemaker.parameter_errors import ParameterValueError
from flyte_plugin_sagemaker.request_kind import RequestKind
from flyte_plugin_sagemaker.service_request import needs_value

if TYPE_CHECKING:
    from flyte_plugin_sagemaker.api import Api
    from flyte_plugin_sagemaker.settings import SageMakerSettings

Json = Any
_SHOWN: Final = 1000
_SCALARS: Final[Mapping[str, Any]] = {
    "string": str,
    "integer": int,
    "float": float,
    "boolean": bool,
    "bytes": bytes,
    "none": type(None),
    "any": AnyJson,
    "file": FlyteFile,
}


class AsyncInferenceKind(RequestKind):
    """A request to an asynchronous endpoint.

    What cannot be looked at cannot be found: a request whose answer was lost is made again, and the model may then
    predict twice. It changes nothing but the bill.
    """

    name: ClassVar[str] = "async_inference"
    title: ClassVar[str] = "asynchronous inference"
    name_field: ClassVar[str] = "InferenceId"
    arn_field: ClassVar[str] = "OutputLocation"
    status_field: ClassVar[str] = ""
    name_limit: ClassVar[int] = 63
    create_call: ClassVar[str] = "invoke_endpoint_async"
    describe_call: ClassVar[str] = ""
    states: ClassVar[Mapping[str, Phase]] = {}

    def request(self, request: PlanRequest, settings: SageMakerSettings) -> dict[str, Json]:
        body = super().request(request, settings)
        place = f"{request.task}(config)"
        if "Body" in body:
            if not settings.output_path:
                raise ParameterValueError(
                    "a body is put into S3 first, and nothing says where",
                    place=f"{place}['Body']",
                    hint="set output_path in [backends.sagemaker], or give an InputLocation",
                )
            content, content_type = encoded_body(body.pop("Body"), str(body.get("ContentType") or ""), place)
            body["Body"] = base64.b64encode(content).decode("ascii")
            body["ContentType"] = content_type
            name = self.job_name(request, body)
            body["InputLocation"] = f"{settings.output_path}/inference-inputs/{name}"
        location = body.get("InputLocation")
        if not needs_value(location) and not str(location).startswith("s3://"):
            raise ParameterValueError(
                "the input of an asynchronous request lies in S3",
                place=f"{place}['InputLocation']",
                expected="s3://bucket/key",
                actual=repr(location)[:200],
            )
        return body

    def more(self, request: PlanRequest, settings: SageMakerSettings) -> dict[str, Json]:
        options = request.payload["options"]
        facts: dict[str, Json] = {"wait": options.get("wait", True)}
        if options.get("typed"):
            facts["typed"] = request.payload["outputs"]["result"]
        return super().more(request, settings) | facts

    def extra(self, spec: Mapping[str, Json] | None, description: Mapping[str, Json]) -> dict[str, Json]:
        told = {} if spec is None else {name: spec[name] for name in ("wait", "typed") if name in spec}
        told["endpoint"] = description.get("EndpointName", "")
        told["failure"] = description.get("FailureLocation", "")
        return super().extra(spec, description) | told

    def create(self, api: Api, spec: Mapping[str, Json]) -> dict[str, Json]:
        """Put the input where it belongs, and ask; the answer says where the result will be."""
        parameters = {key: value for key, value in spec["request"].items() if key != "Tags"}
        body = parameters.pop("Body", None)
        if body is not None:
            bucket, key = _place(parameters["InputLocation"])
            content = base64.b64decode(body)
            api.call("s3", "put_object", Bucket=bucket, Key=key, Body=content, ContentType=parameters["ContentType"])
        answer = api.call("sagemaker-runtime", "invoke_endpoint_async", **parameters)
        return {
            "InferenceId": spec["name"],
            "EndpointName": parameters["EndpointName"],
            "OutputLocation": answer.get("OutputLocation", ""),
            "FailureLocation": answer.get("FailureLocation", ""),
        }

    def describe(self, api: Api, name: str) -> dict[str, Json] | None:
        """Nobody can: all there is to know is in the handle."""
        return {"InferenceId": name, "OutputLocation": ""}

    def found(self, api: Api, plan: Plan) -> dict[str, Json] | None:
        return None

    def observe(self, api: Api, handle: Handle, description: Mapping[str, Json] | None) -> Observation:
        extra = handle.data["extra"]
        if not extra.get("wait", True):
            return Observation(Phase.SUCCEEDED, "Accepted")
        if _is_there(api, str(handle.data["arn"])):
            return Observation(Phase.SUCCEEDED, "Completed")
        failure = str(extra.get("failure") or "")
        if failure and _is_there(api, failure):
            words = _read(api, failure)[0].decode("utf-8", "replace").strip()[:_SHOWN]
            return Observation(Phase.FAILED, "Failed", words or f"see {failure}", ErrorClass.USER)
        # A request to what is not there any more is waited for in vain.
        state = _endpoint_state(api, str(extra.get("endpoint")))
        if state in ("", "Failed", "Deleting"):
            # It may have answered with its last breath.
            if _is_there(api, str(handle.data["arn"])):
                return Observation(Phase.SUCCEEDED, "Completed")
            what = f"is {state}" if state else "is gone"
            return Observation(
                Phase.FAILED, "EndpointGone", f"endpoint {extra.get('endpoint')} {what}", ErrorClass.USER
            )
        return Observation(Phase.RUNNING, "InProgress")

    def cancelled(self, api: Api, key: JobKey, name: str) -> Gone | Terminal | InProgress | NotOurs | None:
        """SageMaker takes no request back: it stays in the endpoint's queue, and nobody waits for it any more."""
        return Gone()

    def result(
        self, api: Api, handle: Handle, description: Mapping[str, Json], blobs: BlobAccess
    ) -> Mapping[str, Literal]:
        extra, location = handle.data["extra"], str(handle.data["arn"])
        typed = extra.get("typed")
        if not typed:
            facts = {"InferenceId": handle.data["name"], "OutputLocation": location}
            if extra.get("failure"):
                facts["FailureLocation"] = extra["failure"]
            return {"result": TypeEngine.to_literal(facts, dict)}
        wanted = _python_type(LiteralType.from_json(typed))
        if wanted is FlyteFile:
            return {"result": TypeEngine.to_literal(FlyteFile(location), FlyteFile, blobs)}
        content, content_type = _read(api, location)
        value = decoded_body(content, content_type, wanted, "result")
        return {"result": TypeEngine.to_literal(value, wanted, blobs)}


def _python_type(declared: LiteralType) -> Any:
    """A Python type whose literals are of that type."""
    if declared.kind in _SCALARS:
        return _SCALARS[declared.kind]
    if declared.kind == "dataframe":
        import pandas as pd

        return pd.DataFrame
    inner = tuple(_python_type(item) for item in declared.items)
    if declared.kind == "list":
        return list[inner[0]]  # type: ignore[valid-type]
    if declared.kind == "dict":
        return dict if declared.items[1].kind == "any" else dict[inner[0], inner[1]]  # type: ignore[valid-type]
    if declared.kind == "tuple":
        return tuple[inner]  # type: ignore[valid-type]
    if declared.kind == "union":
        found = inner[0]
        for one in inner[1:]:
            found = found | one
        return found
    raise BackendError(f"a result cannot be read as {declared}", error_class=ErrorClass.INVALID)


def _place(uri: str) -> tuple[str, str]:
    parts = urlsplit(uri)
    return parts.netloc, parts.path.lstrip("/")


def _is_there(api: Api, uri: str) -> bool:
    bucket, key = _place(uri)
    try:
        api.call("s3", "head_object", Bucket=bucket, Key=key)
    except ApiError as error:
        if error.is_absent or error.status == 404:
            return False
        raise
    return True


def _read(api: Api, uri: str) -> tuple[bytes, str]:
    bucket, key = _place(uri)
    answer = api.call("s3", "get_object", Bucket=bucket, Key=key)
    content: bytes = answer["Body"].read()
    content_type = str(answer.get("ContentType") or "")
    if content_type in ("", "binary/octet-stream", "application/octet-stream") and _is_json(content):
        content_type = "application/json"
    return content, content_type


def _is_json(content: bytes) -> bool:
    try:
        json.loads(content)
    except ValueError:
        return False
    return True


def _endpoint_state(api: Api, name: str) -> str:
    """The endpoint's state; empty where there is none."""
    try:
        return str(api.call("sagemaker", "describe_endpoint", EndpointName=name).get("EndpointStatus", ""))
    except ApiError as error:
        if error.is_absent:
            return ""
        raise
