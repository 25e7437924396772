"""What eager tasks call while they run: which calls are open, and the answers that are due."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from flytepath.engine.ports import AttemptPool
from flytepath.engine.state import ExecutionState, NodeState, NodeStatus
from flytepath.engine.values import Blobs, Values
from flytepath.errors import StoreUnavailableError
from flytepath.model.events import Blob, ErrorRecord
from flytepath.model.literal import BlobRef
from flytepath.model.messages import CallEnded, CallRequested
from flytepath.model.workflow import WorkflowSpec


class SpecKeeper(Protocol):
    """Where compiled graphs are kept."""

    def put_spec(self, digest: str, spec: Any) -> None: ...


@dataclass(frozen=True, slots=True)
class Offered:
    """A call whose graph is kept, under the digest ``spec``."""

    message: CallRequested
    spec: str

    @property
    def call(self) -> str:
        """The call's name below the task's path."""
        return self.message.call or str(self.message.ordinal)


class CallDesk:
    """The open calls of all attempts of one execution."""

    def __init__(
        self, execution: str, state: ExecutionState, keeper: SpecKeeper, blobs: Blobs, pool: AttemptPool
    ) -> None:
        self._execution = execution
        self._state = state
        self._keeper = keeper
        self._blobs = blobs
        self._pool = pool
        self._open: dict[str, dict[str, int]] = {}
        self._attempts: dict[str, int] = {}
        self._digests: dict[str, str] = {}

    def kept(self, blob: Blob) -> str:
        """Keep a graph that a worker produced; its digest. Called in a thread of its own."""
        known = self._digests.get(blob.digest)
        if known is None:
            data = json.loads(self._blobs.get(BlobRef(blob.uri, blob.digest, blob.size)))
            spec = WorkflowSpec.model_validate(data)
            known = spec.digest()
            self._keeper.put_spec(known, spec.model_dump(mode="json", exclude_defaults=True))
            self._digests[blob.digest] = known
        return known

    def asked(self, node: str, attempt: int, offered: Offered) -> None:
        """The attempt waits for a call, which is recorded."""
        self._open.setdefault(node, {})[f"{node}/{offered.call}"] = offered.message.ordinal
        self._attempts[node] = attempt

    def forget(self, node: str) -> None:
        """The attempt has ended; nobody waits for its calls."""
        self._open.pop(node, None)

    async def answer(self, values: Values, wakes: Callable[[str], None]) -> None:
        """Tell attempts what has become of their calls, as far as that is durable; ``wakes`` is told who goes on."""
        for node, calls in list(self._open.items()):
            ended = [path for path in calls if self._state.nodes[path].status.is_final]
            for path in ended:
                try:
                    message = _answer(self._state.nodes[path], calls[path], values)
                except StoreUnavailableError:
                    return  # they are told when it is back
                del calls[path]
                await self._pool.tell(self._execution, node, self._attempts[node], message)
            if not calls:
                self._open.pop(node, None)
                wakes(node)


def _answer(call: NodeState, ordinal: int, values: Values) -> CallEnded:
    if call.status is NodeStatus.SUCCEEDED:
        return CallEnded(ordinal=ordinal, outputs=values.named(call.outputs))
    error = call.error or ErrorRecord(
        kind="system", code="FP-STOPPED", message=f"{call.name} did not run: {call.reason}", place=call.path
    )
    return CallEnded(ordinal=ordinal, error=error)
