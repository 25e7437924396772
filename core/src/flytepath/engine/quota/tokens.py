"""Tokens of shared pools that attempts on this machine hold while they run: asked for before they start."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from flytepath.engine.jobs import job_key
from flytepath.engine.jobs.of_execution import Remote
from flytepath.engine.quota.requests import Request
from flytepath.engine.state import ExecutionState, NodeState
from flytepath.errors import FlytePathError, SequenceConflictError
from flytepath.model.identity import Tenant
from flytepath.plugin.plans import PoolAsk

log = logging.getLogger("flytepath")


class Tokens:
    """The tokens that attempts of one execution hold, or wait for.

    Args:
        execution: its id.
        state: where it is.
        remote: knows the pools; without it nobody asks for anything.
        report: told when a node holds what it asks for, or why it never will.
    """

    def __init__(
        self,
        execution: str,
        state: ExecutionState,
        remote: Remote | None,
        report: Callable[[str, FlytePathError | None], None],
    ) -> None:
        self._execution = execution
        self._state = state
        self._remote = remote
        self._report = report
        self._asks: dict[tuple[Any, ...], tuple[PoolAsk, ...]] = {}
        self._waiting: dict[str, asyncio.Task[None]] = {}
        self._held: dict[str, str] = {}
        self._started: set[str] = set()
        self._releasing: set[asyncio.Task[None]] = set()

    def is_waiting(self, path: str) -> bool:
        """Whether a node waits for tokens."""
        return path in self._waiting

    def holds(self, node: NodeState) -> bool:
        """Whether a node holds all it asks for; if not, it waits for that from now on.

        Raises:
            FlytePathError: nobody declares a pool it asks for, or it asks for more than there is.
        """
        remote, path, task = self._remote, node.path, node.task
        if remote is None or task is None:
            return True
        wanted = (task.name, *task.pools.items())
        asks = self._asks.get(wanted)
        if asks is None:
            asks = self._asks[wanted] = remote.asks.asks_for(task, self._tenant)
        if not asks or path in self._held:
            return True
        if path not in self._waiting:
            request = Request(self._key(node), self._tenant, asks, self._execution, path, self._state.epoch, "local")
            self._waiting[path] = asyncio.get_running_loop().create_task(self._wait(path, request))
        return False

    @property
    def _tenant(self) -> Tenant:
        created = self._state.created
        return Tenant() if created is None else Tenant(created.project, created.domain)

    def _key(self, node: NodeState) -> str:
        tenant = self._tenant
        return job_key(tenant.project, tenant.domain, self._execution, node.path, node.attempt + 1, 0)

    async def _wait(self, path: str, request: Request) -> None:
        error: FlytePathError | None = None
        try:
            if self._remote is not None:
                await self._remote.services.admission.granted(request)
            self._held[path] = request.key
        except SequenceConflictError:
            return  # another engine has the execution
        except FlytePathError as raised:
            error = raised
        self._waiting.pop(path, None)
        self._report(path, error)

    def started(self, path: str) -> None:
        """The attempt of a node begins with what it holds."""
        if path in self._held:
            self._started.add(path)

    def sweep(self) -> None:
        """Give back what attempts held that have ended, or that will not begin; called when that is durable."""
        for path in list(self._held):
            is_over = path not in self._state.running if path in self._started else self.is_gone(path)
            if is_over:
                self._started.discard(path)
                self._give_back(self._held.pop(path))
        for path in list(self._waiting):
            if self.is_gone(path) or self._state.paused is not None:
                self._waiting.pop(path).cancel()

    def is_gone(self, path: str) -> bool:
        """Whether a node will not begin, or not now."""
        node = self._state.nodes.get(path)
        if node is None or node.status.is_final or self._state.paused is not None:
            return True
        return self._state.why_stopped(path) is not None

    def _give_back(self, key: str) -> None:
        if self._remote is None:
            return
        releasing = self._remote.services.admission.release(key, self._state.epoch)
        task = asyncio.get_running_loop().create_task(_carried_out(releasing))
        self._releasing.add(task)
        task.add_done_callback(self._releasing.discard)

    async def close(self) -> None:
        """Wait for nothing any more, and give back what is held."""
        for task in self._waiting.values():
            task.cancel()
        await asyncio.gather(*self._waiting.values(), return_exceptions=True)
        for key in self._held.values():
            self._give_back(key)
        self._held.clear()
        await asyncio.gather(*self._releasing, return_exceptions=True)


async def _carried_out(releasing: Coroutine[Any, Any, None]) -> None:
    try:
        await releasing
    except FlytePathError as error:  # they run out with their holder
        log.warning("tokens could not be given back at once: %s", error)
