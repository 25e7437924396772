"""The server: moto on loopback, behind a layer that refuses what AWS refuses and tells what moto does not.

moto answers at once: jobs are completed when they are made, two may bear one name, and stopping is not there. The
handlers of the other modules put states, names and ends around it; S3 and CloudWatch Logs are moto's own.
"""

from __future__ import annotations

import importlib
import io
import json
import logging
import socket
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from flyte_plugin_sagemaker.request_rules import violations
from flyte_plugin_sagemaker.testing.calls import Call, Refusal, answered, invalid, read_call
from flyte_plugin_sagemaker.testing.faults import Faults, LostAnswer

if TYPE_CHECKING:
    from flyte_plugin_sagemaker.testing.training import TrainingJobs

Json = Any
Handler = Callable[[Call, Callable[[], dict[str, Json]]], dict[str, Json]]

#: Modules of this package whose ``install(double)`` adds handlers.
INSTALLED: Final = ("training", "services", "invocations")
ACCOUNT: Final = "123456789012"
ROLE: Final = f"arn:aws:iam::{ACCOUNT}:role/SageMakerRole"


class SageMakerDouble:
    """A SageMaker, an S3 and a CloudWatch on a free port of loopback.

    Attributes:
        url: where it listens.
        faults: what goes wrong.
        errors: what went wrong inside the double itself; a test that leaves any is wrong.
        closing: called when it is reset or closed, by whoever runs something.
        services: jobs beside training, models and endpoints.
        invocations: requests to endpoints.
    """

    def __init__(self) -> None:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import WSGIRequestHandler, make_server

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.faults = Faults()
        self.errors: list[BaseException] = []
        self.closing: list[Callable[[], None]] = []
        self.services: Any = None
        self.invocations: Any = None
        #: Set by the module of that name.
        self.training: TrainingJobs
        self._handlers: dict[str, Handler] = {}
        self._clients: dict[tuple[str, str], Json] = {}
        self._scratch = tempfile.TemporaryDirectory(prefix="sagemaker-double-")
        self.folder = Path(self._scratch.name)
        self._moto = DomainDispatcherApplication(create_backend_app)

        quiet = type(
            "Quiet", (WSGIRequestHandler,), {"protocol_version": "HTTP/1.1", "log_request": lambda *_, **__: None}
        )
        self._server = make_server("127.0.0.1", 0, self, threaded=True, request_handler=quiet)
        # Threads of connections that clients keep open must not hold up the end.
        setattr(self._server, "daemon_threads", True)  # noqa: B010 - the type of the server does not tell of it
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, name="sagemaker double", daemon=True)
        self._thread.start()
        for name in INSTALLED:
            importlib.import_module(f"flyte_plugin_sagemaker.testing.{name}").install(self)

    # --- for tests ---

    def client(self, service: str, region: str = "us-east-1") -> Json:
        """A client of boto3 with credentials that work."""
        known = self._clients.get((service, region))
        if known is not None:
            return known
        import boto3
        from botocore.config import Config

        session = boto3.session.Session(
            aws_access_key_id="AKIATESTS", aws_secret_access_key="tests", region_name=region
        )
        config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
        made = self._clients[service, region] = session.client(service, endpoint_url=self.url, config=config)
        return made

    def environment(self) -> dict[str, str]:
        """The variables with which any process speaks to this double."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "AKIAPROCESS",
            "AWS_SECRET_ACCESS_KEY": "process",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def bucket(self, name: str) -> str:
        """A bucket, made; its URL."""
        self.client("s3").create_bucket(Bucket=name)
        return f"s3://{name}"

    def settings(self, **more: Any) -> dict[str, Any]:
        """Settings of the backend for this double."""
        return {
            "region": "us-east-1",
            "endpoint_url": self.url,
            "role_arn": ROLE,
            "image": "example.com/flytepath:1",
            "output_path": "s3://artifacts/jobs",
            "describes_per_second": 1000.0,
            **more,
        }

    def reset(self) -> None:
        """Forget everything, end everything."""
        for close in self.closing:
            close()
        self.faults.clear()

        from moto.core.base_backend import BackendDict  # noqa: F401
        from moto.core.models import DEFAULT_ACCOUNT_ID  # noqa: F401 - moto is there

        request = urllib.request.Request(f"{self.url}/moto-api/reset", method="POST")
        urllib.request.urlopen(request, timeout=30).close()

    def close(self) -> None:
        """Stop."""
        for close in self.closing:
            close()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
        self._scratch.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- for handlers ---

    def handle(self, operation: str, handler: Handler) -> None:
        """Let a handler answer an operation; ``forward()`` gives it moto's answer."""
        self._handlers[operation] = handler

    def handler(self, operation: str) -> Handler | None:
        """Who answers an operation so far; ``None`` for moto alone."""
        return self._handlers.get(operation)

    # --- the layer ---

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        size = int(environ.get("CONTENT_LENGTH") or 0)
        if environ.get("HTTP_TRANSFER_ENCODING", "").lower() == "chunked":
            return self._moto(environ, start_response)  # type: ignore[no-any-return]
        raw = environ["wsgi.input"].read(size) if size else b""
        environ["wsgi.input"] = io.BytesIO(raw)
        call = read_call(environ, raw)
        if call is None:
            return self._moto(environ, start_response)  # type: ignore[no-any-return]
        try:
            answer = self._answer(call, environ)
            self.faults.after(call)
        except Refusal as refusal:
            status, headers, body = answered(refusal)
            start_response(status, headers)
            return body
        except LostAnswer:
            _hang_up(environ)
            raise ConnectionAbortedError("the answer is lost") from None
        except Exception as error:  # noqa: BLE001 - the double's own mistakes are told to the test
            self.errors.append(error)
            status, headers, body = answered(Refusal("InternalFailure", f"the double failed: {error!r}", 500))
            start_response(status, headers)
            return body
        if isinstance(answer, _Raw):
            start_response(answer.status, answer.headers)
            return [answer.body]
        content = json.dumps(answer).encode()
        kind = [("Content-Type", "application/x-amz-json-1.1"), ("Content-Length", str(len(content)))]
        start_response("200 OK", kind)
        return [content]

    def _answer(self, call: Call, environ: Mapping[str, Any]) -> Any:
        self.faults.before(call)
        if isinstance(call.body, dict):
            wrong = [f"'{place}' {what}" for place, what in violations("sagemaker", call.operation, call.body)]
            if wrong:
                plural = "errors" if len(wrong) > 1 else "error"
                raise invalid(f"{len(wrong)} validation {plural} detected: {'; '.join(wrong)}")

        def forward() -> dict[str, Json]:
            return self._forwarded(call, environ)

        handler = self._handlers.get(call.operation)
        if handler is not None:
            return handler(call, forward)
        return self._sent(call, environ)

    def _sent(self, call: Call, environ: Mapping[str, Any]) -> _Raw:
        body = call.body if isinstance(call.body, bytes) else json.dumps(call.body).encode()
        inner = {**environ, "wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        told: list[Any] = []

        def start(status: str, headers: list[tuple[str, str]], error: Any = None) -> Callable[[bytes], Any]:
            told[:] = [status, headers]
            return lambda _: None

        content = b"".join(self._moto(inner, start))
        return _Raw(told[0], told[1], content)

    def _forwarded(self, call: Call, environ: Mapping[str, Any]) -> dict[str, Json]:
        raw = self._sent(call, environ)
        answer: dict[str, Json] = json.loads(raw.body or b"{}")
        status = int(raw.status.split()[0])
        if status >= 400:
            code = str(answer.get("__type") or "ValidationException").rpartition("#")[2]
            raise Refusal(code, str(answer.get("message") or answer.get("Message") or ""), status)
        return answer


class _Raw:
    """An answer of moto's as it is."""

    def __init__(self, status: str, headers: list[tuple[str, str]], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


def answer_of_model(body: bytes, headers: Mapping[str, str]) -> _Raw:
    """What an endpoint answers, as it is."""
    return _Raw("200 OK", [*headers.items(), ("Content-Length", str(len(body)))], body)


def _hang_up(environ: Mapping[str, Any]) -> None:
    """End the connection without an answer."""
    connection = environ.get("werkzeug.socket")
    if isinstance(connection, socket.socket):
        connection.shutdown(socket.SHUT_RDWR)


__all__ = ["ACCOUNT", "INSTALLED", "ROLE", "SageMakerDouble"]
