"""Errors that only tell of another rank's end: whoever looks for the cause must look elsewhere."""

from __future__ import annotations

from typing import Final

#: What torch and gloo say, in their words, when another rank is gone.
_LOST_PEER: Final = (
    "connection closed by peer",
    "connection reset by peer",
    "broken pipe",
    "connection refused",
    "socket closed",
    "socket timeout",
    "remote process exited",
    "failed to recv, got 0 bytes",
    "connectfullmesh failed",
    "connection timed out",
    "wait timeout",
)
#: How long a rank of another machine may take to tell of its own failure, which is the cause.
CAUSE_SECONDS: Final = 2.0


def is_lost_peer(error: BaseException) -> bool:
    """Whether ``error`` is torch's or gloo's way to say that another rank is gone.

    Example:
        >>> is_lost_peer(RuntimeError("[gloo] Connection closed by peer [127.0.0.1]:1")), is_lost_peer(ValueError("no"))
        (True, False)
    """
    kind = type(error)
    if kind.__module__.startswith("torch.distributed") and kind.__name__ in (
        "DistBackendError",
        "DistNetworkError",
        "DistStoreError",
    ):
        return True
    if not isinstance(error, RuntimeError | ConnectionError):
        return False
    text = str(error).lower()
    return any(words in text for words in _LOST_PEER)
