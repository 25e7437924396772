"""Remote jobs as people see them: lists, one with all that is known of it, and what a person can do for them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flytepath.client.job_viewing import job_view
from flytepath.client.standings import Standings
from flytepath.client.views import JobView, Scope, WaitView
from flytepath.engine.jobs import Job, apply_job
from flytepath.errors import ExecutionStateError, NotFoundError, UsageError
from flytepath.model.events import Event, JobEnded, JobPlanned
from flytepath.model.task import Record
from flytepath.plugin.backend import Phase
from flytepath.store import jobs as table
from flytepath.store.jobs import JobRow

if TYPE_CHECKING:
    from flytepath.client.commands import Commands
    from flytepath.engine.jobs.reaper import Orphan

_DIGEST = "sha256:"


class JobSummary(Record):
    """A line of a list of jobs.

    Attributes:
        key: names it everywhere.
        execution, node: what it runs; of a slice, the map.
        scope: the account it runs with, where its backend knows several.
        external_name: what the vendor calls it.
        phase: the last that was recorded, ``is_live`` whether it has not ended.
        raw_state, reason: what was said of it last.
        waits: why it waits for its turn.
        changed_at, planned_at: seconds since the epoch (UTC).
    """

    key: str
    execution: str
    node: str
    project: str
    domain: str
    backend: str
    scope: str
    external_name: str
    submission: int
    phase: str
    is_live: bool
    raw_state: str
    reason: str
    changed_at: float
    planned_at: float
    waits: WaitView | None = None


class JobDetail(JobSummary):
    """All that is known of a job.

    Attributes:
        job: it as its execution shows it: phase, links, and what is being done for it.
        task, attempt: what it runs.
        handle, handle_version: how the vendor knows it; ``None`` before it was submitted.
        plan: what was, or is to be, submitted. Of secrets it holds the names.
        asks: the tokens of shared pools that it needs, and ``holds`` those that it has now.
        detached, idempotent: as its task says.
        error: why it failed.
        events: its history, as the log has it.
        others: keys of other jobs of the same node, the newest first.
    """

    job: JobView
    task: str
    attempt: int
    handle: dict[str, Any] | None
    handle_version: int
    plan: dict[str, Any]
    asks: dict[str, int]
    holds: dict[str, int]
    detached: bool
    idempotent: bool
    error: str
    events: tuple[dict[str, Any], ...]
    others: tuple[str, ...] = ()


class OrphanView(Record):
    """A job at a vendor that no execution owns: why, for how long it is left alone, and what became of it."""

    backend: str
    key: str
    execution: str
    node: str
    project: str
    domain: str
    handle: dict[str, Any]
    phase: str
    raw_state: str
    why: str
    planned_at: float | None
    left_seconds: float
    outcome: str
    detail: str


class ReapReport(Record):
    """What a sweep found, and did if it was ``applied``; ``failures`` says by backend why it could not look there."""

    applied: bool
    orphans: tuple[OrphanView, ...]
    freed: tuple[str, ...] = ()
    failures: dict[str, str] = {}


class Jobs:
    """The remote jobs of a home, for people.

    Args:
        client: is asked; it stays open.
    """

    def __init__(self, client: Commands) -> None:
        self._client = client
        self._store = client._store

    def listed(
        self,
        *,
        project: str | None = None,
        domain: str | None = None,
        backend: str | None = None,
        phase: str | None = None,
        execution: str | None = None,
        ended: bool = False,
        limit: int = 50,
    ) -> list[JobSummary]:
        """Jobs, live ones first, then the newest first.

        Args:
            project, domain, backend, phase, execution: only these.
            ended: those that have ended too.
            limit: the most that are listed.

        Raises:
            UsageError: a phase that there is not.
        """
        if phase is not None and phase not in set(Phase):
            raise UsageError(f"there is no phase {phase!r}", expected=", ".join(Phase), actual=phase)
        rows = self._store.database.read(
            lambda connection: table.listed(
                connection,
                project=project,
                domain=domain,
                backend=backend,
                phase=phase,
                execution=execution,
                ended=ended or (phase is not None and Phase(phase).is_terminal),
                limit=limit,
            )
        )
        standings = Standings(self._store.database, self._client.home)
        return [self._summary(row, standings) for row in rows]

    def find(self, which: str, node: str = "") -> JobSummary:
        """One job in a line, found as :meth:`show` finds it.

        Raises:
            NotFoundError: there is no such job.
            UsageError: several keys begin so.
        """
        return self._summary(self._found(which, node)[0], None)

    def show(self, which: str, node: str = "") -> JobDetail:
        """One job, by its key or the beginning of it; with ``node``, the latest of that node of an execution.

        Raises:
            NotFoundError: there is no such job.
            UsageError: several keys begin so.
        """
        row, others = self._found(which, node)
        told = [event for event in self._store.read(row.execution) if getattr(event.payload, "key", "") == row.key]
        job, planned, ended = _folded(told, row.key)
        standings = Standings(self._store.database, self._client.home)
        summary = self._summary(row, standings)
        view = job_view(job, lambda key: summary.waits)
        if ended is not None:
            reason = f": {ended.reason}" if ended.reason else ""
            view = view.model_copy(update={"phase": ended.phase, "doing": f"it has ended as {ended.phase}{reason}"})
        return JobDetail(
            **summary.model_dump(),
            job=view,
            task=planned.task,
            attempt=planned.attempt,
            handle=None if job.handle is None else dict(job.handle),
            handle_version=job.handle_version,
            plan=dict(planned.plan),
            asks=dict(planned.pools),
            holds=standings.held(row.key),
            detached=planned.detached,
            idempotent=planned.idempotent,
            error="" if job.error is None else job.error.message,
            events=tuple(event.to_json() for event in told),
            others=tuple(other.key for other in others),
        )

    def adopt(self, scope: Scope, which: str, handle: Mapping[str, Any] | None) -> JobSummary:
        """Say which job at the vendor an ambiguous one is, or with ``None`` that there is none: it is submitted again.

        Raises:
            NotFoundError: there is no such job.
            UsageError: several keys begin so.
            ExecutionStateError: nobody has to say so: it is not ambiguous, or has ended.
        """
        row, _ = self._found(which)
        if not row.is_live:
            raise _not_ambiguous(row, f"has ended as {row.phase}")
        self._client.adopt(scope, row.execution, row.key, handle)
        return self._summary(row, None)

    def reap(self, backend: str | None = None, *, apply: bool = False) -> ReapReport:
        """Look at the vendors for jobs that no execution owns; with ``apply`` end them, without waiting any longer.

        Raises:
            BackendUnavailableError: the backend that was asked for cannot be used.
        """
        return asyncio.run(self._reap(backend, apply=apply))

    def _grace(self) -> float:
        from flytepath.config.settings import JobSettings, load_configuration

        table = load_configuration(home_folder=self._client.home).get("jobs", default={})
        return JobSettings.model_validate(table).grace

    async def _reap(self, backend: str | None, *, apply: bool) -> ReapReport:
        from flytepath.client.driving import remote_of
        from flytepath.engine.jobs.reaper import Reaper
        from flytepath.engine.ownership import this_engine

        services = remote_of(self._client.home, self._store, this_engine()).services
        try:
            reaper = Reaper(self._store, services, grace_seconds=self._grace())
            found = await reaper.sweep(backend, dry=not apply, grace_seconds=0.0 if apply else None)
            freed = await reaper.free_leases() if apply and backend is None else []
            orphans = sorted(found, key=lambda orphan: (orphan.backend, orphan.execution, orphan.key))
            return ReapReport(
                applied=apply,
                orphans=tuple(_orphan_view(orphan) for orphan in orphans),
                freed=tuple(freed),
                failures=dict(reaper.failures),
            )
        finally:
            await services.close()

    # --- which job is meant ---

    def _found(self, which: str, node: str = "") -> tuple[JobRow, Sequence[JobRow]]:
        """A job, and the other ones of its node."""
        read = self._store.database.read
        if node:
            rows = self._of_node(which, node)
            if not rows:
                raise NotFoundError(
                    f"node {node!r} of execution {which} has had no remote job",
                    place=f"{which} {node}",
                    hint=f"'flytepath jobs list --all --execution {which}' lists those there are",
                )
            return rows[0], rows[1:]
        start = f"{_DIGEST}{which.lower().removeprefix(_DIGEST)}"
        rows = read(lambda connection: table.beginning(connection, start)) if start != _DIGEST else []
        if not rows:
            raise NotFoundError(
                "no job has a key that begins so",
                place=which,
                expected="a key, or the beginning of one",
                actual=which,
                hint="'flytepath jobs list --all' lists them",
            )
        if len(rows) > 1:
            raise UsageError(
                "several jobs have keys that begin so",
                place=which,
                expected="more of the key",
                actual=", ".join(row.key[: len(_DIGEST) + 12] for row in rows),
            )
        row = rows[0]
        same = read(lambda connection: table.listed(connection, execution=row.execution, node=row.node, ended=True))
        return row, [other for other in same if other.key != row.key]

    def _of_node(self, execution: str, node: str) -> list[JobRow]:
        """The jobs of a node, or those of a map that an item was in; the newest first."""
        around, _, index = node.rpartition("/")
        keys: list[str] = []
        for event in self._client.events(Scope.of_this_user(), execution):
            planned = event.payload
            if isinstance(planned, JobPlanned) and (
                planned.node == node
                or (planned.node == around and index.isdigit() and int(index) in dict(planned.items))
            ):
                keys.append(planned.key)
        return self._store.database.read(lambda connection: table.by_keys(connection, keys[::-1]))

    @staticmethod
    def _summary(row: JobRow, standings: Standings | None) -> JobSummary:
        waits = (
            standings.of(row.key) if standings is not None and row.is_live and row.phase == "waiting_quota" else None
        )
        return JobSummary(
            key=row.key,
            execution=row.execution,
            node=row.node,
            project=row.project,
            domain=row.domain,
            backend=row.backend,
            scope=row.scope,
            external_name=row.external_name,
            submission=row.submission,
            phase=row.phase,
            is_live=row.is_live,
            raw_state=row.raw_state,
            reason=row.reason,
            changed_at=row.changed_at,
            planned_at=row.planned_at,
            waits=waits,
        )


def check_ambiguous(jobs: Mapping[str, Job], key: str) -> None:
    """Raise :class:`ExecutionStateError` unless somebody has to say what became of a job."""
    job = jobs.get(key)
    if job is None:
        raise ExecutionStateError("this job has ended", place=key, expected="an ambiguous job")
    if job.phase is not Phase.AMBIGUOUS:
        raise ExecutionStateError(
            f"this job is {job.phase}: nobody has to say what became of it",
            place=key,
            expected="an ambiguous job",
            actual=str(job.phase),
            hint=f"'flytepath jobs show {key[7:19]}' says more of it",
        )


def _not_ambiguous(row: JobRow, what: str) -> ExecutionStateError:
    return ExecutionStateError(
        f"this job {what}: nobody has to say what became of it",
        place=row.key,
        expected="an ambiguous job",
        actual=row.phase,
        hint=f"'flytepath jobs show {row.key[7:19]}' says more of it",
    )


def _folded(events: Sequence[Event], key: str) -> tuple[Job, JobPlanned, JobEnded | None]:
    """A job as it is, or as it was before it ended."""
    jobs: dict[str, Job] = {}
    planned: JobPlanned | None = None
    ended: JobEnded | None = None
    job: Job | None = None
    for event in events:
        if isinstance(event.payload, JobPlanned):
            planned, ended = event.payload, None
        if isinstance(event.payload, JobEnded):
            ended = event.payload
        apply_job(jobs, event.payload, event.at)
        job = jobs.get(key, job)
    if job is None or planned is None:
        raise NotFoundError("the log of its execution does not have this job any more", place=key)
    return job, planned, ended


def _orphan_view(orphan: Orphan) -> OrphanView:
    return OrphanView(
        backend=orphan.backend,
        key=orphan.key,
        execution=orphan.execution,
        node=orphan.node,
        project=orphan.project,
        domain=orphan.domain,
        handle=dict(orphan.handle.data),
        phase=orphan.phase,
        raw_state=orphan.raw_state,
        why=orphan.why,
        planned_at=orphan.planned_at,
        left_seconds=orphan.left_seconds,
        outcome=orphan.outcome,
        detail=orphan.detail,
    )
