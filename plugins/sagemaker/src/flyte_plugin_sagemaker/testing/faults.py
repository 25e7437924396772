"""What may go wrong with any call: throttling, refusals, answers that get lost, trouble inside the service.

Codes and words are those of https://docs.aws.amazon.com/sagemaker/latest/APIReference/CommonErrors.html
"""

from __future__ import annotations

import fnmatch
import threading
import time
from dataclasses import dataclass

from flyte_plugin_sagemaker.testing.calls import Call, Refusal


class LostAnswer(Exception):
    """The service did as it was told, and the connection ends before the answer."""


@dataclass(slots=True)
class _Fault:
    operations: str
    times: int
    refusal: Refusal | None
    after: bool = False


class Faults:
    """The faults of a double. Operations are patterns, as ``Describe*``."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[_Fault] = []
        self._unknown_keys = False
        self._refused: set[str] = set()
        self.hidden_seconds = 0.0
        self.asked: list[str] = []

    def clear(self) -> None:
        """Everything works."""
        with self._lock:
            self._faults.clear()
            self._refused.clear()
            self._unknown_keys = False
            self.hidden_seconds = 0.0
            self.asked.clear()

    def refuse(self, operations: str, code: str, message: str, *, times: int = 1, status: int = 400) -> None:
        """The next calls of some operations are refused."""
        self._add(_Fault(operations, times, Refusal(code, message, status)))

    def throttle(self, operations: str = "*", *, times: int = 1, retry_after: float | None = None) -> None:
        """The next calls are too many."""
        headers = {} if retry_after is None else {"Retry-After": f"{retry_after:g}"}
        self._add(_Fault(operations, times, Refusal("ThrottlingException", "Rate exceeded", 400, headers)))

    def unavailable(self, operations: str = "*", *, times: int = 1) -> None:
        """The service has trouble."""
        self._add(_Fault(operations, times, Refusal("InternalFailure", "The request processing has failed", 500)))

    def deny(self, operations: str = "*", *, times: int = 1_000_000) -> None:
        """The caller is not allowed to."""
        self._add(_Fault(operations, times, Refusal("AccessDeniedException", "")))

    def cut_after(self, operations: str, *, times: int = 1) -> None:
        """The next calls are done, and their answers are lost."""
        self._add(_Fault(operations, times, None, after=True))

    def expire(self) -> None:
        """Sessions have ended."""
        expired = Refusal("ExpiredTokenException", "The security token included in the request is expired", 400)
        self._add(_Fault("*", 1_000_000, expired))

    def reject_keys(self, rejected: bool) -> None:
        """No access key is known, or all are again."""
        self._unknown_keys = rejected

    def hide(self, seconds: float) -> None:
        """What is made from now on is not seen for so long."""
        self.hidden_seconds = seconds

    def is_hidden(self, made_at: float) -> bool:
        """Whether what was made then is not to be seen."""
        return time.monotonic() - made_at < self.hidden_seconds

    def before(self, call: Call) -> None:
        """What a call meets first.

        Raises:
            Refusal: it is refused.
        """
        with self._lock:
            self.asked.append(call.operation)
        if not call.access_key:
            raise Refusal("MissingAuthenticationTokenException", "Missing Authentication Token", 403)
        if self._unknown_keys:
            raise Refusal("UnrecognizedClientException", "The security token included in the request is invalid.", 403)
        found = self._taken(call.operation, after=False)
        if found is not None and found.refusal is not None:
            refusal = found.refusal
            if refusal.code == "AccessDeniedException":
                user = f"arn:aws:iam::123456789012:user/{call.access_key}"
                message = f"User: {user} is not authorized to perform: sagemaker:{call.operation}"
                raise Refusal(refusal.code, message, refusal.status)
            raise refusal

    def after(self, call: Call) -> None:
        """What a call meets when it is done.

        Raises:
            LostAnswer: nobody hears of it.
        """
        if self._taken(call.operation, after=True) is not None:
            raise LostAnswer(call.operation)

    def _add(self, fault: _Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def _taken(self, operation: str, *, after: bool) -> _Fault | None:
        with self._lock:
            for fault in self._faults:
                if fault.after == after and fault.times > 0 and fnmatch.fnmatchcase(operation, fault.operations):
                    fault.times -= 1
                    return fault
        return None


__all__ = ["Faults", "LostAnswer"]
