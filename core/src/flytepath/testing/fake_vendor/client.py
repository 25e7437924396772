"""The vendor's own Python client, blocking as many real ones are: it knows HTTP and the calls, and nothing of us."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

Json = Any


class VendorError(Exception):
    """The service answered with an error.

    Attributes:
        status: of the answer.
        code: the service's own word for it.
        retry_after: the seconds it asked to wait.
        details: all that it said.
    """

    def __init__(
        self, status: int, code: str, message: str, retry_after: float | None, details: Mapping[str, Json]
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status, self.code, self.retry_after, self.details = status, code, retry_after, details


class VendorUnreachableError(Exception):
    """There is no answer. ``sent`` says whether the service may have heard the request."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class VendorClient:
    """Calls of one account. Safe in many threads: each call has a connection of its own, kept for the next one.

    Args:
        url: where the service is.
        account: whose jobs.
        timeout: the most seconds that it is waited for the service at one time.
    """

    def __init__(self, url: str, account: str, timeout: float = 20.0) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._path = f"/accounts/{quote(account, safe='')}/jobs"
        self._timeout = timeout
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()

    def call(self, method: str, path: str, token: str, body: Json = None, **query: str | None) -> Json:
        """What the service answers to one call.

        Args:
            method: ``GET``, ``POST`` or ``DELETE``.
            path: below the account's jobs, as in ``/j-1/cancel``; empty for the jobs themselves.
            token: proves who is calling.
            body: sent as JSON.
            query: sent after the path; ``None`` is left out.

        Raises:
            VendorError: it is an error.
            VendorUnreachableError: there is no answer, or none that can be read.
        """
        asked = urlencode({name: value for name, value in query.items() if value is not None})
        target = f"{self._path}{path}" + (f"?{asked}" if asked else "")
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        content = None if body is None else json.dumps(body).encode()
        status, text, retry_after = self._sent(method, target, content, headers)
        try:
            answer = json.loads(text)
        except ValueError:
            raise VendorUnreachableError(f"{method} answered {status} with what is no JSON", sent=True) from None
        if status < 400:
            return answer
        raise VendorError(
            status,
            str(answer.get("code", "")),
            str(answer.get("message", "")),
            None if retry_after is None else float(retry_after),
            answer,
        )

    def _sent(
        self, method: str, target: str, content: bytes | None, headers: dict[str, str]
    ) -> tuple[int, bytes, str | None]:
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        is_fresh = connection is None
        if connection is None:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
            try:
                connection.connect()
            except OSError as error:
                raise VendorUnreachableError(f"no connection: {error}", sent=False) from error
        try:
            connection.request(method, target, content, headers)
            response = connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            if method == "GET" and not is_fresh and not isinstance(error, TimeoutError):
                self.close()  # a connection that was kept for too long: so were the others
                return self._sent(method, target, content, headers)
            what = str(error) or type(error).__name__
            raise VendorUnreachableError(f"{method} was cut off: {what}", sent=True) from error
        with self._lock:
            self._idle.append(connection)
        return response.status, text, response.headers.get("Retry-After")

    def close(self) -> None:
        """Let go of the connections that are kept."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
