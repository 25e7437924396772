"""What is asked of a desk where tokens of shared pools are given out, and what can go wrong there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from flytepath.engine.quota.rules import Ask as BookAsk
from flytepath.engine.quota.rules import Standing
from flytepath.errors import ExecutionStateError, SequenceConflictError
from flytepath.model.identity import Tenant
from flytepath.plugin.declarations import RateLimit
from flytepath.plugin.plans import PoolAsk
from flytepath.store.quota_rows import Ask


class PoolLeaseLostError(ExecutionStateError):
    """What was held of a pool is held no longer: it was evicted, or the engine was taken for dead meanwhile."""

    code = "FP-POOL-LEASE"
    exit_status = 1


@dataclass(frozen=True, slots=True)
class Request:
    """Tokens that are wanted, all or none.

    Args:
        key: what they are held under; to ask for it again is to go on with it.
        tenant: whose share they come from.
        asks: how many of which pools.
        execution, node: what for.
        epoch: of the execution's lease: who has an older one can no longer release.
        kind: ``remote`` for a job that outlives its engine once it is submitted, ``local`` for what ends with it.
    """

    key: str
    tenant: Tenant
    asks: tuple[PoolAsk, ...]
    execution: str
    node: str
    epoch: int
    kind: Literal["remote", "local"]


class AdmissionDesk(Protocol):
    """What an engine needs of :class:`Admission`, and what :class:`InMemoryAdmission` gives without a store."""

    async def granted(self, request: Request) -> None:
        """Wait until everything that is asked for is held."""

    async def firm(self, key: str) -> None:
        """From now on the tokens are held until they are released, whatever becomes of the engine."""

    async def release(self, key: str, epoch: int) -> None:
        """Give back what is held or waited for."""

    def standing(self, key: str) -> Standing | None:
        """Why something waits; ``None`` where it does not."""

    async def may_call(self, bucket: str, limit: RateLimit, count: int = 1) -> None:
        """Wait until so many calls may be made."""

    async def hold_back(self, bucket: str, seconds: float) -> None:
        """Nobody calls for so many seconds."""

    async def close(self) -> None:
        """Leave."""


def row_of(request: Request) -> Ask:
    """A request as the store takes it."""
    asks = BookAsk.of(request.key, request.tenant, request.asks).tokens
    return Ask(
        key=request.key,
        project=request.tenant.project,
        domain=request.tenant.domain,
        asks=tuple((ask.pool, ask.tokens) for ask in asks),
        execution=request.execution,
        node=request.node[:1024],
        epoch=request.epoch,
        kind=request.kind,
    )


def passed_on(execution: str) -> SequenceConflictError:
    """Who asks has lost the execution."""
    return SequenceConflictError("this execution has passed to another engine", place=execution, hint="nothing is lost")
