"""``FlyteError``: what a failure handler is told."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FlyteError:
    """Why a workflow failed, as its ``on_failure`` task gets it in an input named ``err``.

    Args:
        message: the message of the error.
        failed_node_id: the node that failed first.

    Example:
        >>> FlyteError("no such table", "n3").failed_node_id
        'n3'
    """

    message: str
    failed_node_id: str
