"""The table of remote jobs: a projection of the log, brought up to date in the transaction that appends their events.

What a row says follows from the events of its job alone, so that a rebuilt table is equal to the one it replaces. A
batch of events without one of a job costs a look at their kinds and no statement.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, get_args

from sqlalchemy import bindparam, delete, func, select, text, update

from flytepath.model.events import (
    Event,
    JobAmbiguous,
    JobCancelling,
    JobEnded,
    JobObserved,
    JobParked,
    JobPlanned,
    JobReturned,
    JobSubmitted,
    JobSubmitting,
    read_event,
)
from flytepath.model.facts import EventPayload
from flytepath.model.job_events import JobEvent
from flytepath.model.literal import canonical_text
from flytepath.store.dialect import Statement
from flytepath.store.schema import EVENTS, EXECUTIONS, JOBS, QUOTA_HOLDERS, QUOTA_LEASES, QUOTA_WAITERS

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from flytepath.store.database import Database

#: How many rows are read and written at a time when all are.
_CHUNK: Final = 500
#: How much of a vendor's words a row holds; the event holds all of it.
_LONGEST: Final = 2000
_TELLING: Final[frozenset[type[EventPayload]]] = frozenset(get_args(JobEvent))
_TYPES: Final = tuple(sorted(kind.model_fields["type"].default for kind in _TELLING))

#: By key, the columns that change in the row of a job; all of them where the row is new.
Changes = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class JobRow:
    """One remote job in a list.

    Args:
        key: names it everywhere.
        execution, node: what it runs; for a slice, the map.
        project, domain: whose it is.
        backend, scope: where it runs, and with which account.
        external_name: what the vendor calls it.
        submission: how many jobs of the same attempt were gone before it.
        phase: the last that was recorded.
        is_live: whether it may still be at its vendor, or come there.
        raw_state, reason: what was said of it last.
        handle: how the vendor knows it: ``{"data": ..., "version": ...}``.
        changed_at, planned_at: when its latest and its first event were appended, seconds since the epoch (UTC).
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
    handle: Mapping[str, Any] | None
    changed_at: float
    planned_at: float


# --- the projection ----------------------------------------------------------------------------------------------


def gather(changes: Changes, events: Sequence[Event]) -> None:
    """Add to ``changes`` what ``events``, which are about to be appended, do to the rows of their jobs."""
    for event in events:
        if type(event.payload) in _TELLING:
            _change(changes, event)


def project(connection: Connection, changes: Changes) -> None:
    """Bring the rows of jobs up to date."""
    alike: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for key, values in changes.items():
        columns = () if "planned_at" in values else tuple(sorted(values))
        alike.setdefault(columns, []).append({**values, "of_job" if columns else "key": key})
    for columns, rows in alike.items():
        (_update(columns) if columns else _PUT).each(connection, rows)


def rebuild(connection: Connection) -> None:
    """Drop every row and fold the events of all jobs again, one execution after the other."""
    connection.execute(delete(JOBS))
    telling = (
        select(EVENTS.c.execution, EVENTS.c.body)
        .where(EVENTS.c.type.in_(_TYPES))
        .order_by(EVENTS.c.execution, EVENTS.c.seq)
    )
    found = connection.execute(telling, execution_options={"yield_per": _CHUNK})
    changes: Changes = {}
    for _, told in groupby(found, key=itemgetter(0)):
        for _, body in told:
            _change(changes, read_event(json.loads(body)))
        if len(changes) >= _CHUNK:
            _put_whole(connection, changes)
            changes = {}
    _put_whole(connection, changes)


def _put_whole(connection: Connection, changes: Changes) -> None:
    rows = [{**values, "key": key} for key, values in changes.items() if "planned_at" in values]
    if rows:
        _PUT.each(connection, rows)


def _change(changes: Changes, event: Event) -> None:
    payload = event.payload
    key: str = getattr(payload, "key", "")
    if not key:
        return  # a node that waits, and is no job yet
    if isinstance(payload, JobPlanned):
        changes[key] = _new(event, payload)
        return
    row = changes.setdefault(key, {})
    if row.get("is_live") == 0:
        return  # nothing that comes after the end of a job changes it
    row["changed_at"] = event.at
    match payload:
        case JobSubmitting():
            row.update(phase="submitting", reason="")
        case JobAmbiguous(reason=reason):
            row.update(phase="ambiguous", reason=_words(reason))
        case JobReturned(reason=reason):
            row.update(phase="waiting_quota", reason=_words(reason))
        case JobSubmitted(handle=data, handle_version=version):
            row.update(phase="queued", reason="", handle=canonical_text({"data": data, "version": version}))
        case JobObserved(phase=phase, raw_state=raw_state, reason=reason):
            row.update(phase=_words(phase, 16), raw_state=_words(raw_state), reason=_words(reason))
        case JobParked(reason=reason) | JobCancelling(reason=reason):
            row["reason"] = _words(reason)
        case JobEnded(phase=phase, reason=reason):
            row.update(phase=phase, reason=_words(reason), is_live=0)


def _new(event: Event, planned: JobPlanned) -> dict[str, Any]:
    plan = planned.plan
    owner: list[str] = [*plan.get("owner", ()), "", "", ""]
    return {
        "execution": event.execution,
        "node": _words(planned.node, 1024),
        "project": _words(owner[1], 63),
        "domain": _words(owner[2], 63),
        "backend": _words(planned.backend, 255),
        "scope": _words(plan.get("scope", ""), 255),
        "external_name": _words(plan.get("name", ""), 255),
        "submission": planned.submission,
        "phase": "waiting_quota" if planned.pools else "planned",
        "is_live": 1,
        "raw_state": "",
        "reason": "",
        "handle": None,
        "changed_at": event.at,
        "planned_at": event.at,
    }


def _words(said: str, longest: int = _LONGEST) -> str:
    """What every database can keep: a vendor may say anything, and no event is refused for it."""
    return said.encode("utf-8", "replace").decode("utf-8").replace("\x00", "")[:longest]


_COLUMNS: Final = tuple(column.name for column in JOBS.columns)


def _put() -> Any:
    values = ", ".join(f":{name}" for name in _COLUMNS)
    again = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS if name != "key")
    return text(f"INSERT INTO jobs ({', '.join(_COLUMNS)}) VALUES ({values}) ON CONFLICT (key) DO UPDATE SET {again}")


_PUT: Final = Statement(_put)


@cache
def _update(columns: tuple[str, ...]) -> Statement:
    """By the columns that change: of the few sets of them that events lead to, each is compiled once."""
    values: dict[str, Any] = {name: bindparam(name) for name in columns}
    of_job = (JOBS.c.key == bindparam("of_job"), text("is_live = 1"))
    return Statement(lambda: update(JOBS).where(*of_job).values(values))


# --- looking -----------------------------------------------------------------------------------------------------


def listed(
    connection: Connection,
    *,
    project: str | None = None,
    domain: str | None = None,
    backend: str | None = None,
    phase: str | None = None,
    execution: str | None = None,
    node: str | None = None,
    ended: bool = False,
    limit: int = 50,
) -> list[JobRow]:
    """Jobs, live ones first and then by age, the newest first.

    Args:
        connection: where they are kept.
        project, domain, backend, phase, execution, node: list only these.
        ended: list those that have ended too.
        limit: the most rows.
    """
    query = select(JOBS).order_by(JOBS.c.is_live.desc(), JOBS.c.planned_at.desc(), JOBS.c.key).limit(limit)
    of_whom = {"project": project, "domain": domain, "execution": execution, "node": node}
    for name, value in {**of_whom, "backend": backend, "phase": phase}.items():
        if value is not None:
            query = query.where(JOBS.c[name] == value)
    if not ended:
        query = query.where(JOBS.c.is_live == 1)
    return [_row(row) for row in connection.execute(query).mappings()]


def beginning(connection: Connection, start: str, limit: int = 10) -> list[JobRow]:
    """Jobs whose key begins so."""
    query = select(JOBS).where(JOBS.c.key.startswith(start, autoescape=True)).order_by(JOBS.c.key).limit(limit)
    return [_row(row) for row in connection.execute(query).mappings()]


def by_keys(connection: Connection, keys: Sequence[str]) -> list[JobRow]:
    """The jobs of these keys that are recorded, in their order."""
    found: dict[str, JobRow] = {}
    for some in _chunks(keys):
        rows = connection.execute(select(JOBS).where(JOBS.c.key.in_(some))).mappings()
        found.update((row["key"], _row(row)) for row in rows)
    return [found[key] for key in keys if key in found]


@dataclass(frozen=True, slots=True)
class Known:
    """What the log knows of a job that a vendor shows.

    Args:
        is_recorded: whether it was ever planned here.
        is_live: whether an execution that has not ended still has it.
        execution_state: of its execution, empty where there is none.
        planned_at: when it was planned, seconds since the epoch (UTC).
    """

    is_recorded: bool
    is_live: bool
    execution_state: str
    planned_at: float | None = None


def known(connection: Connection, jobs: Mapping[str, str]) -> dict[str, Known]:
    """What the log knows of jobs, given as the execution by key that their stamp names."""
    found: dict[str, Known] = {}
    for some in _chunks(list(jobs)):
        query = select(JOBS.c.key, JOBS.c.is_live, EXECUTIONS.c.state, JOBS.c.planned_at)
        query = query.outerjoin(EXECUTIONS, EXECUTIONS.c.id == JOBS.c.execution).where(JOBS.c.key.in_(some))
        for row in connection.execute(query):
            found[row[0]] = Known(True, bool(row[1]) and row[2] == "running", row[2] or "", row[3])
    missing = {key: execution for key, execution in jobs.items() if key not in found}
    states: dict[str, str] = {}
    for some in _chunks(list(dict.fromkeys(missing.values()))):
        query = select(EXECUTIONS.c.id, EXECUTIONS.c.state).where(EXECUTIONS.c.id.in_(some))
        states.update({row[0]: row[1] for row in connection.execute(query)})
    found.update((key, Known(False, False, states.get(execution, ""))) for key, execution in missing.items())
    return found


def backends(connection: Connection) -> list[str]:
    """Every backend that has ever had a job here, by name."""
    return list(connection.execute(select(JOBS.c.backend).distinct().order_by(JOBS.c.backend)).scalars())


def live_jobs(database: Database, executions: Sequence[str]) -> dict[str, dict[str, int]]:
    """How many live jobs executions have, by phase."""

    def query(connection: Connection) -> dict[str, dict[str, int]]:
        found: dict[str, dict[str, int]] = {}
        for some in _chunks(executions):
            counted = select(JOBS.c.execution, JOBS.c.phase, func.count()).where(JOBS.c.execution.in_(some))
            live = counted.where(JOBS.c.is_live == 1).group_by(JOBS.c.execution, JOBS.c.phase)
            for execution, phase, count in connection.execute(live):
                found.setdefault(execution, {})[phase] = count
        return found

    return database.read(query) if executions else {}


@dataclass(frozen=True, slots=True)
class HeldLease:
    """Tokens of shared pools that a remote job holds, or held when somebody last looked.

    Args:
        key: of the job.
        execution: of the job.
        epoch: of the execution's lease under which they were granted.
        is_live: whether the job may still be at its vendor; ``None`` where it was never recorded.
        execution_state: empty where there is no such execution.
        is_firm: whether the job was about to be submitted.
        is_wanted: whether somebody waits for one of the pools.
        is_held: whether the engine that took them gives signs of life.
    """

    key: str
    execution: str
    epoch: int
    is_live: bool | None
    execution_state: str
    is_firm: bool
    is_wanted: bool
    is_held: bool


def held_leases(connection: Connection, now: float) -> list[HeldLease]:
    """What remote jobs hold of shared pools, a row for each job."""
    wanted = {
        pool
        for asks in connection.execute(select(QUOTA_WAITERS.c.asks).distinct()).scalars()
        for pool, _ in json.loads(asks)
    }
    alive = select(QUOTA_HOLDERS.c.holder).where(QUOTA_HOLDERS.c.expires_at > now)
    holders = set(connection.execute(alive).scalars())
    lease = QUOTA_LEASES.c
    query = select(
        lease.key, lease.pool, lease.execution, lease.epoch, lease.is_firm, lease.holder, JOBS.c.is_live
    ).add_columns(EXECUTIONS.c.state)
    query = query.outerjoin(JOBS, JOBS.c.key == lease.key).outerjoin(EXECUTIONS, EXECUTIONS.c.id == lease.execution)
    found: dict[str, HeldLease] = {}
    for key, pool, execution, epoch, is_firm, holder, is_live, state in connection.execute(
        query.where(lease.kind == "remote").order_by(lease.key)
    ):
        before = found.get(key)
        found[key] = HeldLease(
            key=key,
            execution=execution,
            epoch=epoch,
            is_live=None if is_live is None else bool(is_live),
            execution_state=state or "",
            is_firm=bool(is_firm),
            is_wanted=pool in wanted or (before is not None and before.is_wanted),
            is_held=holder in holders,
        )
    return list(found.values())


def plan_event(connection: Connection, key: str) -> JobPlanned | None:
    """What was planned of a job that is recorded."""
    execution = select(JOBS.c.execution).where(JOBS.c.key == key).scalar_subquery()
    query = select(EVENTS.c.body).where(EVENTS.c.execution == execution, EVENTS.c.type == "job_planned")
    for body in connection.execute(query.where(EVENTS.c.body.contains(key, autoescape=True))).scalars():
        payload = read_event(json.loads(body)).payload
        if isinstance(payload, JobPlanned) and payload.key == key:
            return payload
    return None


def _chunks(values: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]


def _row(row: Any) -> JobRow:
    fields = dict(row)
    handle = json.loads(fields["handle"]) if fields["handle"] else None
    return JobRow(**{**fields, "is_live": bool(fields["is_live"]), "handle": handle})
