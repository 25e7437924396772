"""The one door: commands and queries that carry who asks, for which project and domain.

The command line and the Python API use nothing else. :class:`LocalClient` answers from the store of this machine; a
service will answer the same calls.
"""

from __future__ import annotations

from flytepath.client.commands import new_execution_id
from flytepath.client.local import LocalClient
from flytepath.client.protocol import Client
from flytepath.client.views import (
    DeckView,
    ExecutionSummary,
    ExecutionView,
    GateView,
    NodeView,
    Registered,
    Scope,
    SilentListener,
)

__all__ = [
    "Client",
    "DeckView",
    "ExecutionSummary",
    "ExecutionView",
    "GateView",
    "LocalClient",
    "NodeView",
    "Registered",
    "Scope",
    "SilentListener",
    "new_execution_id",
]
