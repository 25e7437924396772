"""Which attempts start: what is due, whose outputs are known already, and what is asked of a worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import Final

from flytepath.engine.commands import Expand, Refuse, Reuse, Start, StartItems
from flytepath.engine.journal import Journal, record_of
from flytepath.engine.launches import Launches
from flytepath.engine.local.places import Places
from flytepath.engine.quota.tokens import Tokens
from flytepath.engine.recovery import Former
from flytepath.engine.reuse import Found, Reuses
from flytepath.engine.state import ExecutionState, NodeState
from flytepath.engine.values import Values
from flytepath.errors import FlytePathError, StoreUnavailableError
from flytepath.model.events import LiteralDigests
from flytepath.model.literal import Literal
from flytepath.model.messages import RunAttempt

#: How many nodes that could start are looked at together, and how many may be looking for earlier outputs.
LOOK_AT: Final = 32
LOOKUP_LIMIT: Final = 256
#: How many attempts that need no worker of ours are begun together.
REMOTE_AT_ONCE: Final = 1024


class Starting:
    """Starts the attempts of one execution.

    Args:
        execution: its id.
        state: where it is.
        journal: takes what is decided.
        values: what nodes are given.
        launches: has the slots.
        tokens: what attempts hold of shared pools.
        places: the folders of attempts.
        reuses: earlier outputs by cache key.
        report: told what a node has found there: node, -1, what.
        former: the execution that this one recovers.

    Attributes:
        code_path: where the code of the execution lies.
    """

    def __init__(
        self,
        execution: str,
        state: ExecutionState,
        journal: Journal,
        values: Values,
        launches: Launches,
        *,
        tokens: Tokens,
        places: Places,
        reuses: Reuses,
        report: Callable[[str, int, Found | FlytePathError | None], None],
        former: Former | None,
    ) -> None:
        self._execution = execution
        self._state = state
        self._journal = journal
        self._values = values
        self._launches = launches
        self._tokens = tokens
        self._places = places
        self._reuses = reuses
        self._report = report
        self._former = former
        self.code_path = ""
        self._lookups: dict[str, asyncio.Task[None]] = {}
        self._resolved: set[str] = set()

    def ready(self, now: float) -> list[RunAttempt]:
        """Record the start of what can start ``now``; the attempts to launch when that is durable."""
        started: list[RunAttempt] = []
        items: dict[str, list[tuple[int, RunAttempt]]] = {}
        if self._values.outage is not None and self._values.outage.pause > 0:
            return started
        # Only as many as there may be room for: what is ready can be far more, and is looked at again and again.
        for path in list(islice(self._due(now), LOOK_AT)):
            if not self._begun(self._state.nodes[path], started, items):
                break
        for path in list(islice(self._remote(now), REMOTE_AT_ONCE)):
            self._begun(self._state.nodes[path], started, items)
        for map_path, requests in items.items():
            self._journal.do(StartItems(map_path, tuple(index for index, _ in requests)))
            started += [request for _, request in requests]
        return started

    def _begun(
        self, node: NodeState, started: list[RunAttempt], items: dict[str, list[tuple[int, RunAttempt]]]
    ) -> bool:
        """Begin the next attempt of a node, or find its outputs elsewhere; false where there is no room for it."""
        path = node.path
        if self._has_to_wait(node):
            return True
        # Nobody may have what it gives: it needs a slot, and without one its inputs need not be put together.
        is_new = self._former is None and (path in self._resolved or not self._reuses.applies_to(node))
        if is_new and not (self._has_tokens(node) and self._fits(node)):
            return True
        if is_new and not self._has_room(node):
            return False
        inputs = self._inputs_of(node)
        if inputs is None:
            return self._values.outage is None
        if not is_new:
            if self._is_known(node, inputs) or self._is_looked_up(node, inputs):
                return True
            if not (self._has_tokens(node) and self._fits(node)):
                self._resolved.add(path)
                return True
            if not self._has_room(node):
                return False
        self._resolved.discard(path)
        self._tokens.started(path)
        request = self._request(node, inputs, node.attempt + 1)
        if self._state.map_of(node) is not None:
            items.setdefault(node.parent, []).append((node.index, request))
        else:
            self._journal.do(Start(path, {name: self._values.keep(literal) for name, literal in inputs.items()}))
            started.append(request)
        return True

    def _has_tokens(self, node: NodeState) -> bool:
        """Whether the node holds what it asks for of shared pools; a job asks for itself."""
        if node.is_remote:
            return True
        try:
            return self._tokens.holds(node)
        except FlytePathError as error:
            self._journal.do(Refuse(node.path, record_of(error, f"{node.name} at {node.path}")))
            return False

    def _fits(self, node: NodeState) -> bool:
        """Whether the node has what its task requests of the machine; if not, it waits, and others may go first."""
        return node.is_remote or node.task is None or self._launches.has_room(node.path, node.task)

    def _has_room(self, node: NodeState) -> bool:
        return node.is_remote or self._launches.reserve(node.name)

    def unplanned(self, is_begun: Callable[[str], bool]) -> list[RunAttempt]:
        """Attempts of remote jobs that were recorded as started, and of which nothing more is known."""
        found: list[RunAttempt] = []
        for path, attempt in self._state.running.items():
            node = self._state.nodes[path]
            if node.is_remote and not is_begun(path):
                inputs = self._inputs_of(node)
                if inputs is None and self._values.outage is not None:
                    raise self._values.outage.error  # nobody would ask for this attempt again
                if inputs is not None:
                    found.append(self._request(node, inputs, attempt))
        return found

    def _due(self, now: float) -> Iterator[str]:
        """Nodes whose next attempt can start on a worker, what others wait for first."""
        again = (path for path, at in self._state.retrying.items() if at <= now and not self._is_remote(path))
        return self._startable(chain(again, self._state.urgent, self._state.ready))

    def _remote(self, now: float) -> Iterator[str]:
        """Nodes whose next attempt can become a job."""
        again = (path for path, at in self._state.retrying.items() if at <= now and self._is_remote(path))
        return self._startable(chain(again, self._state.remote))

    def _is_remote(self, path: str) -> bool:
        return self._state.nodes[path].is_remote

    def _startable(self, paths: Iterable[str]) -> Iterator[str]:
        return (
            path
            for path in paths
            if path not in self._lookups
            and not self._tokens.is_waiting(path)
            and not self._launches.is_waiting_for_room(path)
            and self._state.why_stopped(path) is None
        )

    def _has_to_wait(self, node: NodeState) -> bool:
        """Whether so many nodes are looking for earlier outputs that this one has to wait with that."""
        if len(self._lookups) < LOOKUP_LIMIT or node.path in self._resolved:
            return False
        return self._reuses.applies_to(node)

    def _inputs_of(self, node: NodeState) -> dict[str, Literal] | None:
        """What a node is given; none where that cannot be put together, and it fails, or not now."""
        try:
            return self._values.inputs_of(node)
        except StoreUnavailableError:
            return None
        except FlytePathError as error:
            self._journal.do(Refuse(node.path, record_of(error, f"{node.name} at {node.path}")))
            return None

    def _is_known(self, node: NodeState, inputs: dict[str, Literal]) -> bool:
        """Take over what the execution that is recovered has of this node."""
        former = self._former
        if former is None or node.attempt:
            return False
        around = self._state.map_of(node)
        if around is not None and not former.is_same_map(around.path, around.inputs):
            return False
        digests = {name: self._values.keep(literal) for name, literal in inputs.items()}
        if self.takes_over(node, digests):
            return True
        graph = former.graph_of(node, digests)
        if graph:
            self._journal.do(Expand(node.path, digests, spec=graph))
        return bool(graph)

    def takes_over(self, node: NodeState, inputs: LiteralDigests) -> bool:
        """Take over what the node gave in the execution that is recovered, unless somebody has erased it."""
        former = self._former
        outputs = former.outputs_of(node, inputs) if former is not None else None
        if former is None or outputs is None:
            return False
        if any(literal.is_erased for literal in self._values.named(outputs).values()):
            return False
        known = {} if self._state.map_of(node) is not None else inputs  # a map keeps those of its items
        self._journal.do(Reuse(node.path, outputs, recovered=former.execution, inputs=known))
        return True

    def _is_looked_up(self, node: NodeState, inputs: dict[str, Literal]) -> bool:
        """Begin to look for earlier outputs, before any slot is asked for; false where the node is to compute them."""
        path = node.path
        if path in self._resolved or not self._reuses.applies_to(node):
            return False
        self._lookups[path] = asyncio.create_task(self._look_up(node, inputs))
        return True

    async def _look_up(self, node: NodeState, inputs: dict[str, Literal]) -> None:
        report: Found | FlytePathError | None = None
        try:
            report = await self._reuses.resolve(node, inputs)
        except FlytePathError as error:
            report = error
        except Exception as error:  # noqa: BLE001 - a fault of ours must surface, not hang
            self._journal.fault = error
        self._report(node.path, -1, report)

    def _request(self, node: NodeState, inputs: dict[str, Literal], attempt: int) -> RunAttempt:
        task, path = node.task, node.path
        created, former = self._state.created, self._former
        if task is None or created is None:
            raise ValueError(f"{path} runs no task")
        variables = {**created.variables, **task.variables} if created.variables else task.variables
        places = self._places.of_attempt(
            path,
            attempt,
            former.execution if former is not None else "",
            former.attempts_of(path) if former is not None else 0,
        )
        return RunAttempt(
            execution=self._execution,
            node=path,
            attempt=attempt,
            task=task if variables is task.variables else task.model_copy(update={"variables": variables}),
            inputs=inputs,
            project=created.project,
            domain=created.domain,
            code_path=self.code_path,
            interruptible=node.is_interruptible,
            version=created.workflow_version,
            created_at=self._state.created_at,
            **places,
        )

    def let_others_compute(self) -> None:
        """Keep nothing back from other executions for nodes that may not start for a long time."""
        for path in self._resolved:
            self._reuses.forget(path)
        self._resolved.clear()

    def _is_gone(self, path: str) -> bool:
        """Whether nothing may come of a node that was about to start."""
        node = self._state.nodes.get(path)
        return node is None or node.status.is_final or self._state.why_stopped(path) is not None

    def found(self, path: str, report: Found | FlytePathError | None, *, starts: bool) -> None:
        """Take what a node has found; ``starts`` is false where nothing may start now."""
        if self._lookups.pop(path, None) is None:
            return
        if report is None and not starts:
            self._reuses.forget(path)  # others may compute it meanwhile
        elif report is None:
            self._resolved.add(path)
        elif self._is_gone(path):
            self._reuses.forget(path)
        elif isinstance(report, FlytePathError):
            self._journal.do(Refuse(path, record_of(report, path)))
        elif self._state.paused is None:
            outputs = {name: self._values.keep(literal) for name, literal in report.outputs.items()}
            self._journal.do(Reuse(path, outputs, report.key))

    def stop_looking(self) -> None:
        """Look no further for nodes of which nothing may come any more."""
        for path in list(self._lookups):
            if self._is_gone(path):
                self._lookups.pop(path).cancel()
                self._reuses.forget(path)

    async def close(self) -> None:
        """Look for nothing any more."""
        for task in self._lookups.values():
            task.cancel()
        await asyncio.gather(*self._lookups.values(), return_exceptions=True)
