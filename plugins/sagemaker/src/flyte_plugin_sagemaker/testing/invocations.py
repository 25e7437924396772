"""Requests to the endpoints of a double: models that answer at once, or into S3.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html (``ModelError`` is a 424) and
API_runtime_InvokeEndpointAsync.html: the result lies below the configuration's ``S3OutputPath``, a failure below its
``S3FailurePath``.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flyte_plugin_sagemaker.testing.calls import Call, Refusal, invalid
from flyte_plugin_sagemaker.testing.services import Services
from flyte_plugin_sagemaker.testing.things import Thing

if TYPE_CHECKING:
    from flyte_plugin_sagemaker.testing.server import SageMakerDouble

Json = Any
Forward = Callable[[], dict[str, Json]]


class Invocations:
    """The room of requests in a double, ``double.invocations``.

    Attributes:
        model: what every endpoint answers: from the body and its content type to a body and its content type. One that
            raises is a model that fails.
        holds: whether asynchronous requests wait for :meth:`answer`.
        requests: the headers of all requests that were taken, by their names after ``X-Amzn-SageMaker-``.
    """

    def __init__(self, double: SageMakerDouble) -> None:
        self._double = double
        self._lock = threading.Lock()
        self.services: Services = double.services
        self.reset()
        double.closing.append(self.reset)

    def reset(self) -> None:
        """Forget everything."""
        self.model: Callable[[bytes, str], tuple[bytes, str]] = lambda body, kind: (body, kind)
        self.holds = False
        self._waiting: list[tuple[str, str, str, str]] = []
        self.requests: list[dict[str, str]] = []

    def answer(self) -> int:
        """Let the models answer what waits; how many requests that were."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for asked in waiting:
            self._answer_one(*asked)
        return len(waiting)

    def invoke(self, call: Call, forward: Forward) -> Any:
        """What the model answers."""
        self._serving(call)
        told = {name[17:]: value for name, value in call.headers.items() if name.startswith("x-amzn-sagemaker-")}
        self.requests.append({**told, "content-type": call.headers["content-type"]})
        try:
            body, content_type = self.model(call.body, call.headers["content-type"])
        except Exception as error:  # noqa: BLE001 - a model raises what it likes
            raise Refusal("ModelError", f"Received server error (500) from primary: {error!r}", 424) from None
        more = {"X-Amzn-Invoked-Production-Variant": "only"}
        if "custom-attributes" in told:
            more["X-Amzn-SageMaker-Custom-Attributes"] = told["custom-attributes"]
        return _answered(body, {"Content-Type": content_type, **more})

    def invoke_async(self, call: Call, forward: Forward) -> Any:
        """Take a request; the model answers into S3."""
        endpoint = self._serving(call)
        config = self.services.known("EndpointConfig", endpoint.facts["EndpointConfigName"]).request
        output = (config.get("AsyncInferenceConfig") or {}).get("OutputConfig")
        if output is None:
            raise invalid("Endpoint does not support asynchronous inference.")
        told = {name[17:]: value for name, value in call.headers.items() if name.startswith("x-amzn-sagemaker-")}
        number = len(self.requests)
        self.requests.append({**told, "content-type": told.get("content-type", "")})
        identity = told.get("inference-id") or f"request-{number}"
        place = f"{output['S3OutputPath'].rstrip('/')}/{number}.out"
        failure = f"{output['S3FailurePath'].rstrip('/')}/{number}-error.out" if "S3FailurePath" in output else ""
        asked = (told["inputlocation"], place, failure, told.get("content-type", ""))
        with self._lock:
            self._waiting.append(asked)
        if not self.holds:
            self.answer()
        headers = {"X-Amzn-SageMaker-OutputLocation": place}
        if failure:
            headers["X-Amzn-SageMaker-FailureLocation"] = failure
        return _answered(
            json.dumps({"InferenceId": identity}).encode(), {"Content-Type": "application/json", **headers}
        )

    def _answer_one(self, source: str, place: str, failure: str, content_type: str) -> None:
        s3 = self._double.client("s3")
        body = s3.get_object(**_object(source))["Body"].read()
        try:
            answer, answered = self.model(body, content_type)
        except Exception as error:  # noqa: BLE001 - a model raises what it likes
            if failure:
                s3.put_object(**_object(failure), Body=str(error).encode())
            return
        s3.put_object(**_object(place), Body=answer, ContentType=answered or "binary/octet-stream")

    def _serving(self, call: Call) -> Thing:
        thing = self.services.things.get(("Endpoint", call.endpoint))
        if thing is None or thing.state not in ("InService", "Updating", "SystemUpdating", "RollingBack"):
            raise Refusal("ValidationError", f"Endpoint {call.endpoint} of account 123456789012 not found.")
        return thing


def install(double: SageMakerDouble) -> None:
    """Let a double answer requests."""
    invocations = double.invocations = Invocations(double)
    double.handle("InvokeEndpoint", invocations.invoke)
    double.handle("InvokeEndpointAsync", invocations.invoke_async)


def _object(uri: str) -> dict[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return {"Bucket": bucket, "Key": key}


def _answered(body: bytes, headers: dict[str, str]) -> Any:
    # The server imports the rooms.
    from flyte_plugin_sagemaker.testing.server import answer_of_model

    return answer_of_model(body, headers)


__all__ = ["Invocations", "install"]
