"""The queries of the door, answered from the store of this machine: lists, views, explanations, comparisons, logs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from flytepath.client.diffing import ExecutionDiff, Side, diff
from flytepath.client.explaining import Explainer
from flytepath.client.explanations import Explanation, Surroundings
from flytepath.client.history import Follower, created_of, seq_at
from flytepath.client.job_viewing import JobViews, Waits
from flytepath.client.live_logs import LiveLogs
from flytepath.client.logs import LogReader
from flytepath.client.standings import Standings
from flytepath.client.viewing import execution_view, find_node, node_detail
from flytepath.client.views import ExecutionSummary, ExecutionView, NodeDetail, Scope
from flytepath.config import blob_root
from flytepath.engine.fold import fold
from flytepath.engine.histories import Histories
from flytepath.engine.ownership import is_dead
from flytepath.engine.reuse import parts_of
from flytepath.engine.state import ExecutionState, NodeState
from flytepath.engine.values import Values
from flytepath.errors import FlytePathError, NotFoundError, StoreError, UsageError
from flytepath.model.events import Event, ExecutionCreated
from flytepath.model.identity import Tenant
from flytepath.model.literal import Literal
from flytepath.store.blobs import BlobFolder
from flytepath.store.events import Store
from flytepath.store.jobs import live_jobs
from flytepath.store.listing import listed, near_ids, paused_among
from flytepath.store.shared_outputs import outputs_in

#: What a list can be asked for: the states of the log, and two that follow from who owns an execution and from pauses.
STATUSES: Final = ("running", "paused", "interrupted", "succeeded", "failed", "aborted")
#: How many executions are looked at together where some of them do not count.
_PAGE: Final = 200


class Queries:
    """What can be asked of a home; a client adds the commands.

    Attributes:
        home: the folder that holds everything.
    """

    home: Path
    _store: Store
    _histories: Histories

    # --- lists ---

    def executions(
        self,
        scope: Scope | None,
        limit: int = 50,
        status: str | None = None,
        *,
        workflow: str | None = None,
        since: float | None = None,
        labels: Mapping[str, str] | None = None,
        cursor: str | None = None,
    ) -> list[ExecutionSummary]:
        """The newest executions, of one scope or of all.

        Args:
            scope: only its project and domain.
            limit: the most that are listed.
            status: only these, one of :data:`STATUSES`.
            workflow: only those of this workflow: its whole name, or the last part of it.
            since: only those that were created then or later (seconds since the epoch, UTC).
            labels: only those that have all of these.
            cursor: the ``cursor`` of the last one of the list before.

        Raises:
            UsageError: a status, limit or cursor that cannot be.
        """
        if status is not None and status not in STATUSES:
            raise UsageError(f"there is no status {status!r}", expected=", ".join(STATUSES), actual=status)
        derived = status in ("paused", "interrupted")
        found: list[ExecutionSummary] = []
        while len(found) < limit:
            page = listed(
                self._store.database,
                project=scope.tenant.project if scope else None,
                domain=scope.tenant.domain if scope else None,
                state="running" if derived else status,
                workflow=workflow,
                since=since,
                labels=labels,
                limit=max(limit, _PAGE) if derived else limit,
                cursor=cursor,
            )
            live = [each.row.id for each in page if each.row.state == "running"]
            paused = paused_among(self._store.database, live)
            jobs = live_jobs(self._store.database, live)
            for each in page:
                row, created = each.row, each.created
                running = row.state == "running"
                summary = ExecutionSummary(
                    id=row.id,
                    project=row.project,
                    domain=row.domain,
                    workflow=row.workflow,
                    version=row.version,
                    status=row.state,
                    interrupted=running and self._is_unowned(row.id),
                    created_at=row.created_at,
                    updated_at=row.updated_at,
                    paused=row.id in paused,
                    labels=created.get("labels") or {},
                    plan=created.get("plan") or "",
                    recovers=created.get("recovers") or "",
                    relaunches=created.get("relaunches") or "",
                    cursor=row.cursor,
                    jobs=jobs.get(row.id, {}),
                )
                if not derived or (summary.paused if status == "paused" else summary.interrupted):
                    found.append(summary)
            if not derived or not page or len(page) < max(limit, _PAGE):
                break
            cursor = page[-1].row.cursor
        return found[:limit]

    # --- one execution ---

    def execution(self, scope: Scope, execution: str, *, at: str | None = None) -> ExecutionView:
        """One execution as it is now, or as it was.

        Args:
            scope: who asks.
            execution: its id.
            at: a moment of the past: the number of an event, an ISO time, or ``10m ago``.

        Raises:
            NotFoundError: there is none with this id; near ones are named.
            UsageError: ``at`` is no moment of this execution, or lies in the future.
        """
        state, events, past = self._at(execution, at)
        interrupted = not past and not state.status.is_final and self._is_unowned(execution)
        return execution_view(
            execution,
            state,
            events,
            lambda digests: self._kept(execution, digests),
            interrupted=interrupted,
            past=past,
            jobs=JobViews(state, *self._waits(execution, past=past)),
        )

    def node(
        self, scope: Scope, execution: str, path: str, *, at: str | None = None, limit: int = 50, after: int = 0
    ) -> NodeDetail:
        """One node: what it was given and gave, its attempts, what lies below it.

        Args:
            scope: who asks.
            execution: the execution.
            path: the node's path; ``n0/17`` is item 17 of the map ``n0``.
            at: as for :meth:`execution`.
            limit: the most items of a map that are listed.
            after: the first of them.

        Raises:
            NotFoundError, UsageError: as :meth:`execution`; or there is no such node.
            ExecutionStateError: the node is not there yet, or its branch was not taken.
        """
        state, events, past = self._at(execution, at)

        def named(digests: Mapping[str, str]) -> dict[str, Literal]:
            return self._kept(execution, digests)

        def given(node: NodeState) -> dict[str, Literal]:
            if not node.attempt:
                return {}
            try:
                return Values(execution, state, self._store, self._blobs_of(state)).inputs_of(node)
            except (FlytePathError, LookupError):
                return {}  # what it was made of was erased

        jobs = JobViews(state, *self._waits(execution, past=past))
        return node_detail(execution, state, events, path, named, given, limit=limit, after=after, past=past, jobs=jobs)

    def events(self, scope: Scope, execution: str, after: int = 0) -> list[Event]:
        """The log, from the event after number ``after`` on."""
        return self._read(execution, after)

    def follow(self, scope: Scope, execution: str) -> Follower:
        """The state of an execution that another process drives, kept up with its log."""
        self._read(execution, 0)
        return Follower(lambda after: self._store.read(execution, after), self._histories.spec)

    def is_driven(self, scope: Scope, execution: str) -> bool:
        """Whether an engine owns the execution right now."""
        return not self._is_unowned(execution)

    def explain(self, scope: Scope, execution: str, node: str = "", *, at: str | None = None) -> Explanation:
        """Why an execution, or one of its nodes, is where it is.

        Raises:
            NotFoundError, UsageError, ExecutionStateError: as :meth:`node`.
        """
        state, events, past = self._at(execution, at)
        waits, waits_at = self._waits(execution, past=past)
        around = Surroundings(
            now=events[-1].at if past else time.time(),
            is_driven=past or not self._is_unowned(execution),
            computing=lambda node: self._computing(execution, state, node),
            past=past,
            waits=waits,
            waits_at=waits_at,
        )
        return Explainer(execution, state, events, around).explain(node)

    def standings(self) -> Standings:
        """Why remote jobs wait for tokens of shared pools, as of the moment this is first asked."""
        return Standings(self._store.database, self.home)

    def diff(self, scope: Scope, a: str, b: str) -> ExecutionDiff:
        """What differs between two executions.

        Raises:
            NotFoundError: there is no such execution.
        """
        return diff(self._side(a), self._side(b))

    def logs(
        self,
        scope: Scope,
        execution: str,
        node: str = "",
        *,
        attempt: int | None = None,
        job: str = "",
        live: bool = False,
        follows: bool = False,
    ) -> LogReader:
        """What the attempts of an execution print, or those at and below a node; close it after use.

        Args:
            scope: who asks.
            execution: its id.
            node: only this node and what lies below it.
            attempt: only the attempts with this number.
            job: only what the remote job of this key prints.
            live: ask vendors for what their live jobs have printed so far; otherwise it is there when they have ended.
            follows: it will be read more than once.

        Raises:
            NotFoundError: there is no such execution, node or attempt.
            ExecutionStateError: the node is not there yet, or its branch was not taken.
        """
        state, events = self._folded(execution)
        if node:
            find_node(state, node)

        def asking() -> LiveLogs:
            created = created_of(state)
            return LiveLogs(self.home, self._store, Tenant(created.project, created.domain), follows=follows)

        blobs = self._blobs_of(state)
        reader = LogReader(self.home, execution, blobs, node, attempt, job, asking if live else None)
        reader.learn(events)
        return reader

    # --- reading ---

    def _waits(self, execution: str, *, past: bool) -> tuple[Waits, Waits]:
        """Why jobs wait, by key, and why nodes do that run on this machine, by path: of the past nobody knows."""
        if past:
            return (lambda key: None), (lambda path: None)
        standings = self.standings()
        return standings.of, lambda path: standings.of_attempt(execution, path)

    def _at(self, execution: str, at: str | None) -> tuple[ExecutionState, list[Event], bool]:
        """The state at a moment, the events up to it, and whether there are later ones."""
        if at is None:
            return *self._folded(execution), False
        events = self._read(execution, 0)
        seq = seq_at(at, events, time.time())
        return self._fold(execution, events[:seq]), events[:seq], seq < len(events)

    def _folded(self, execution: str) -> tuple[ExecutionState, list[Event]]:
        events = self._read(execution, 0)
        return self._fold(execution, events), events

    def _fold(self, execution: str, events: Sequence[Event]) -> ExecutionState:
        created = events[0].payload
        if not isinstance(created, ExecutionCreated):
            raise StoreError("the log does not begin with the execution's creation", place=execution)
        return fold(self._histories.spec(created.spec), events, self._histories.spec)

    def _state(self, execution: str) -> ExecutionState:
        """An execution as it is now, by way of its snapshot where there is one; for who needs no events."""
        with self._near_named(execution):
            return self._histories.state(execution)

    def _read(self, execution: str, after: int) -> list[Event]:
        with self._near_named(execution):
            return self._store.read(execution, after)

    @contextmanager
    def _near_named(self, execution: str) -> Iterator[None]:
        """Where there is no such execution, name those whose ids are near."""
        try:
            yield
        except NotFoundError as error:
            near = near_ids(self._store.database, execution)
            if near:
                error.hint = f"did you mean {' or '.join(near)}? 'flytepath executions list' shows all"
            raise

    def _computing(self, execution: str, state: ExecutionState, node: NodeState) -> str | None:
        """Where the outputs of a cached task that is ready are being computed, if somewhere else."""
        if node.task is None or not node.task.cache.enabled:
            return None
        try:
            inputs = Values(execution, state, self._store, self._blobs_of(state)).inputs_of(node)
            key = parts_of(node.task, inputs).key
        except (FlytePathError, LookupError):
            return None  # an input was erased
        created = created_of(state)
        outputs = outputs_in(self.home, self._store.database, created.project, created.domain)
        try:
            found = outputs.reservation(key)
        finally:
            outputs.close()
        if found is None or (found.execution, found.node) == (execution, node.path):
            return None
        if not found.execution:
            return f"a direct call ({found.holder})"
        return f"{found.node} of execution {found.execution}"

    def _side(self, execution: str) -> Side:
        state = self._state(execution)
        created = created_of(state)
        code = self.home / "bundles" / created.bundle.removeprefix("sha256:")
        return Side(
            execution,
            created,
            state,
            self._kept(execution, created.inputs),
            self._kept(execution, state.outputs),
            code if code.is_dir() else None,
        )

    def _is_unowned(self, execution: str) -> bool:
        lease = self._store.owner(execution)
        return lease is None or lease.expires_at < time.time() or is_dead(lease.owner)

    def _named(self, execution: str, digests: Mapping[str, str]) -> dict[str, Literal]:
        literals = self._store.literals(execution, list(digests.values()))
        return {name: literals[digest] for name, digest in digests.items()}

    def _kept(self, execution: str, digests: Mapping[str, str]) -> dict[str, Literal]:
        """Those of these values that were not erased."""
        try:
            return self._named(execution, digests)
        except NotFoundError:
            kept: dict[str, Literal] = {}
            for name, digest in digests.items():
                try:
                    kept[name] = self._store.literal(execution, digest)
                except NotFoundError:
                    continue
            return kept

    def _blobs_of(self, state: ExecutionState) -> BlobFolder:
        created = created_of(state)
        tenant = Tenant(created.project, created.domain)
        return BlobFolder(blob_root(self.home), tenant.project, tenant.domain)
