"""Which version of a launch plan is active, and up to when its schedule has been dealt with.

The history of a launch plan is rows that are only ever added, numbered from 1. A run that a schedule starts is written
in the transaction that moves its schedule on, so that each moment starts one run at most, whoever sees it first and
whatever dies.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from sqlalchemy import and_, func, insert, select, update

from flytepath.errors import NotFoundError, StoreError
from flytepath.model.events import Event
from flytepath.model.identity import Tenant
from flytepath.model.literal import Literal
from flytepath.store import log
from flytepath.store.schema import ACTIVATIONS, ENTITIES, EVENTS, EXECUTIONS, SCHEDULES

if TYPE_CHECKING:
    from concurrent.futures import Future

    from sqlalchemy import ColumnElement, Connection, RowMapping, Table

    from flytepath.store.database import Database

#: How often a change is tried again when others change the same launch plan at the same time.
_TRIES = 100


@dataclass(frozen=True, slots=True)
class Activation:
    """One change of what is active of a launch plan.

    Args:
        tenant, name: the launch plan.
        number: its place in the plan's history, from 1.
        version: what is active since; ``None``: nothing.
        principal: who changed it.
        at: when, seconds since the epoch (UTC).
        is_new: whether the call that returned it made it; false where it asked for what was so already.
    """

    tenant: Tenant
    name: str
    number: int
    version: str | None
    principal: str
    at: float
    is_new: bool = field(default=False, compare=False)

    @property
    def plan(self) -> str:
        """``project/domain/name`` of the launch plan."""
        return f"{self.tenant}/{self.name}"


@dataclass(frozen=True, slots=True)
class Firing:
    """A moment of a schedule that is to be dealt with.

    Args:
        activation: the activation it was derived from; the moment is void if it is no longer the current one.
        expected: up to when the schedule has been dealt with, as far as the caller knows.
        moment: up to when it will be.
        created: the first event of the execution it starts; ``None`` where the moment passes without one.
        literals: the execution's inputs.
        limit: how many executions of the launch plan may run, this one included; ``None``: any number.
    """

    activation: Activation
    expected: float
    moment: float
    created: Event | None = None
    literals: Sequence[Literal] = ()
    limit: int | None = None


class Fired(Enum):
    """What became of a firing: it STARTED an execution, moved on without one (PASSED; SKIPPED, because as many as may
    run were running), or came too late: the moment was TAKEN by another, or the activation is no longer current (VOID).
    """

    STARTED = "started"
    PASSED = "passed"
    SKIPPED = "skipped"
    TAKEN = "taken"
    VOID = "void"


class Activations:
    """What is active in one store.

    Args:
        database: the open database of the store.
        clock: seconds since the epoch, for the times of changes.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    # --- what is active ---

    def count(self) -> int:
        """How many changes there have ever been: as long as it stays the same, so does what is active."""
        query = select(func.count()).select_from(ACTIVATIONS)
        return int(self._database.read(lambda connection: connection.execute(query).scalar_one()))

    def history(self, tenant: Tenant, name: str) -> list[Activation]:
        """Every change of a launch plan, the latest first."""
        return self._database.read(lambda connection: _history(connection, tenant, name))

    def current(self, tenant: Tenant, name: str) -> Activation | None:
        """The latest change; ``None`` where nothing was ever active, its ``version`` is where nothing is any more."""
        return self._database.read(lambda connection: _current(connection, tenant, name))

    def active(self, tenant: Tenant | None = None) -> list[Activation]:
        """Every launch plan of which a version is active, of one tenant or of all, by name."""
        a = ACTIVATIONS.c
        latest = select(a.project, a.domain, a.name, func.max(a.number).label("number"))
        latest_rows = latest.group_by(a.project, a.domain, a.name).subquery()
        same = and_(
            *(a[column] == latest_rows.c[column] for column in ("project", "domain", "name", "number")),
        )
        query = select(ACTIVATIONS).join(latest_rows, same).where(a.version.is_not(None))
        if tenant is not None:
            query = query.where(a.project == tenant.project, a.domain == tenant.domain)
        ordered = query.order_by(a.project, a.domain, a.name)
        return [_read(row) for row in self._database.read(lambda c: c.execute(ordered).mappings().all())]

    def done_until(self, tenant: Tenant, name: str) -> float | None:
        """Up to which moment the schedule has been dealt with; ``None`` where nothing was ever active."""
        query = select(SCHEDULES.c.done_until).where(_plan(SCHEDULES, tenant, name))
        return self._database.read(lambda connection: connection.execute(query).scalar())

    # --- changes ---

    def activate(self, tenant: Tenant, name: str, version: str, principal: str) -> Activation:
        """Make ``version`` the active one. Its schedule begins now; moments that passed before are not made up for.

        Raises:
            NotFoundError: this version of the launch plan is not registered.
        """
        return self._change(tenant, name, principal, lambda _connection, _current: version)

    def deactivate(self, tenant: Tenant, name: str, principal: str) -> Activation:
        """Make no version the active one: its schedule starts nothing more.

        Raises:
            NotFoundError: no version was ever active.
        """

        def nothing(_connection: Connection, current: Activation | None) -> None:
            if current is None:
                raise NotFoundError(
                    f"no version of launch plan {name} was ever active",
                    place=f"{tenant}/{name}",
                    hint=f"'flytepath launchplans activate {name}' makes the latest one active",
                )

        return self._change(tenant, name, principal, nothing)

    def roll_back(self, tenant: Tenant, name: str, principal: str) -> Activation:
        """Make active again what was active before the version that is active, or was last.

        Raises:
            NotFoundError: no other version was ever active.
        """

        def before(connection: Connection, current: Activation | None) -> str:
            leaving = current.version if current is not None else None
            for earlier in _history(connection, tenant, name):
                if earlier.version not in (None, leaving):
                    return str(earlier.version)
            raise NotFoundError(
                f"no other version of launch plan {name} was ever active",
                place=f"{tenant}/{name}",
                actual=leaving and f"{leaving} is active",
                hint="name the version: --to VERSION",
            )

        return self._change(tenant, name, principal, before)

    def _change(
        self,
        tenant: Tenant,
        name: str,
        principal: str,
        choose: Callable[[Connection, Activation | None], str | None],
    ) -> Activation:
        """Add a row with the version that ``choose`` finds right, given the current one."""

        made: Activation | None = None

        def operation(connection: Connection) -> Activation | None:
            from sqlalchemy.exc import IntegrityError

            nonlocal made
            current = _current(connection, tenant, name)
            if made is not None and current == made:
                return made  # it was committed, and only the answer was lost
            version = choose(connection, current)
            if version is not None:
                _check_registered(connection, tenant, name, version)
            if current is not None and current.version == version:
                return current
            number = 1 if current is None else current.number + 1
            made = Activation(tenant, name, number, version, principal, self._clock(), is_new=True)
            try:
                with connection.begin_nested():
                    _set_done_until(connection, made)
                    connection.execute(
                        insert(ACTIVATIONS).values(
                            **_key(tenant, name), number=number, version=version, principal=principal, at=made.at
                        )
                    )
            except IntegrityError:
                return None  # another engine's change has this number; seen by the next transaction
            return made

        for _ in range(_TRIES):
            done = self._database.write(operation)
            if done is not None:
                return done
        raise StoreError(
            "others keep changing this launch plan", place=f"{tenant}/{name}", hint="try again when they are done"
        )

    # --- schedules ---

    def fire(self, firing: Firing) -> Future[Fired]:
        """Deal with a moment of a schedule: move the schedule on and begin the log of the execution, both or neither.

        Firings are carried out in the order of the calls; those that are queued together share one transaction.
        """
        created = firing.created
        rows = log.event_rows(created.execution, 0, [created]) if created is not None else []
        kept = log.literal_rows(created.execution, firing.literals) if created is not None else []

        def operation(connection: Connection) -> Fired:
            tenant, name = firing.activation.tenant, firing.activation.name
            unmoved = SCHEDULES.c.done_until == firing.expected
            move = update(SCHEDULES).where(_plan(SCHEDULES, tenant, name), unmoved)
            # The row is now locked until this transaction ends: whoever else fires or changes the plan, waits.
            if connection.execute(move.values(done_until=firing.moment)).rowcount == 0:
                return Fired.TAKEN
            current = _current(connection, tenant, name)
            if current is None or current.number != firing.activation.number:
                connection.execute(
                    update(SCHEDULES).where(_plan(SCHEDULES, tenant, name)).values(done_until=firing.expected)
                )
                return Fired.VOID
            if created is None or _exists(connection, created.execution):
                return Fired.PASSED
            if firing.limit is not None and _running(connection, tenant, name) >= firing.limit:
                return Fired.SKIPPED
            log.append(connection, created.execution, 0, 0, [created], rows, kept)
            return Fired.STARTED

        return self._database.submit(operation)


def _key(tenant: Tenant, name: str) -> dict[str, str]:
    return {"project": tenant.project, "domain": tenant.domain, "name": name}


def _plan(table: Table, tenant: Tenant, name: str) -> ColumnElement[bool]:
    return and_(table.c.project == tenant.project, table.c.domain == tenant.domain, table.c.name == name)


def _history(connection: Connection, tenant: Tenant, name: str) -> list[Activation]:
    query = select(ACTIVATIONS).where(_plan(ACTIVATIONS, tenant, name)).order_by(ACTIVATIONS.c.number.desc())
    return [_read(row) for row in connection.execute(query).mappings()]


def _current(connection: Connection, tenant: Tenant, name: str) -> Activation | None:
    query = select(ACTIVATIONS).where(_plan(ACTIVATIONS, tenant, name)).order_by(ACTIVATIONS.c.number.desc()).limit(1)
    row = connection.execute(query).mappings().first()
    return None if row is None else _read(row)


def _read(row: RowMapping) -> Activation:
    return Activation(
        Tenant(row["project"], row["domain"]), row["name"], row["number"], row["version"], row["principal"], row["at"]
    )


def _check_registered(connection: Connection, tenant: Tenant, name: str, version: str) -> None:
    same = and_(_plan(ENTITIES, tenant, name), ENTITIES.c.kind == "launch_plan")
    query = select(ENTITIES.c.version).where(same).order_by(ENTITIES.c.registered_at.desc())
    known = connection.execute(query).scalars().all()
    if version not in known:
        raise NotFoundError(
            f"there is no launch plan {name}@{version} in {tenant}" if known else f"there is no launch plan {name}",
            place=f"{tenant}/{name}",
            expected=", ".join(known[:10]) or None,
            actual=version,
            hint="register it with 'flytepath register'",
        )


def _set_done_until(connection: Connection, activation: Activation) -> None:
    """A schedule begins with its activation, also where a clock ran ahead before: what exists is not begun again."""
    tenant, name = activation.tenant, activation.name
    move = update(SCHEDULES).where(_plan(SCHEDULES, tenant, name)).values(done_until=activation.at)
    if connection.execute(move).rowcount == 0:
        connection.execute(insert(SCHEDULES).values(**_key(tenant, name), done_until=activation.at))


def _exists(connection: Connection, execution: str) -> bool:
    query = select(EVENTS.c.seq).where(EVENTS.c.execution == execution, EVENTS.c.seq == 1)
    return connection.execute(query).first() is not None


def _running(connection: Connection, tenant: Tenant, name: str) -> int:
    same = and_(EXECUTIONS.c.project == tenant.project, EXECUTIONS.c.domain == tenant.domain)
    query = select(func.count()).where(same, EXECUTIONS.c.workflow == name, EXECUTIONS.c.state == "running")
    return int(connection.execute(query).scalar_one())
