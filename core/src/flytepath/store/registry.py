"""Registered versions of tasks, workflows and launch plans. A version, once registered, never changes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select

from flytepath.errors import NotFoundError, StoreError
from flytepath.model.identity import Identity
from flytepath.model.literal import canonical_json
from flytepath.store.database import Database
from flytepath.store.schema import ENTITIES

if TYPE_CHECKING:
    from sqlalchemy import Connection, RowMapping


class VersionConflictError(StoreError, ValueError):
    """This version is registered already, with other content."""

    code = "FP-VERSION-CONFLICT"
    exit_status = 2


@dataclass(frozen=True, slots=True)
class RegisteredEntity:
    """One registered version.

    Args:
        identity: what it is called.
        kind: ``workflow``, ``task`` or ``launch_plan``; names of different kinds do not collide.
        spec_digest, bundle_digest: its content: the compiled form and the code.
        metadata: facts recorded when it was registered, such as the installed distributions; not part of the content.
        registered_at: seconds since the epoch (UTC).
    """

    identity: Identity
    kind: str
    spec_digest: str
    bundle_digest: str
    metadata: Mapping[str, Any]
    registered_at: float


class Registry:
    """The registered versions in one store; ``store.registry`` gives it."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    def register(
        self,
        identity: Identity,
        kind: str,
        spec_digest: str,
        bundle_digest: str,
        metadata: Mapping[str, Any] | None = None,
    ) -> RegisteredEntity:
        """Register a version; the same content again changes nothing and returns what was registered first.

        Raises:
            VersionConflictError: the version exists with other content.
        """
        body = canonical_json(dict(metadata or {})).decode("ascii")
        row = {
            "project": identity.project,
            "domain": identity.domain,
            "name": identity.name,
            "version": identity.version,
            "kind": kind,
            "spec_digest": spec_digest,
            "bundle_digest": bundle_digest,
            "metadata": body,
        }

        def operation(connection: Connection) -> RegisteredEntity:
            known = _find(connection, identity, kind)
            if known is None:
                full = {**row, "registered_at": self._clock()}
                connection.execute(insert(ENTITIES).values(full))
                return _read(full)
            if (known.spec_digest, known.bundle_digest) != (spec_digest, bundle_digest):
                raise VersionConflictError(
                    f"{kind} {identity} is registered already, with other content",
                    place=str(identity),
                    expected=f"spec {known.spec_digest}, code {known.bundle_digest}",
                    actual=f"spec {spec_digest}, code {bundle_digest}",
                    hint="choose a new version; a registered one never changes",
                )
            return known

        return self._database.write(operation)

    def get(self, identity: Identity, kind: str = "workflow") -> RegisteredEntity:
        """One version; :class:`NotFoundError` where it is not registered."""
        found = self._database.read(lambda connection: _find(connection, identity, kind))
        if found is None:
            raise NotFoundError(
                f"there is no {kind} {identity}",
                place=str(identity),
                hint=f"register it: flytepath register PATH --version {identity.version}",
            )
        return found

    def latest(self, project: str, domain: str, kind: str = "workflow") -> list[RegisteredEntity]:
        """The version registered last of everything of a kind, by name."""
        same = (ENTITIES.c.project == project, ENTITIES.c.domain == domain, ENTITIES.c.kind == kind)
        order = (ENTITIES.c.name, ENTITIES.c.registered_at, ENTITIES.c.version)
        query = select(ENTITIES).where(*same).order_by(*order)
        rows = self._database.read(lambda connection: connection.execute(query).mappings().all())
        return list({row["name"]: _read(row) for row in rows}.values())

    def versions(self, project: str, domain: str, name: str, kind: str = "workflow") -> list[RegisteredEntity]:
        """Every version of a name, the latest registered first; empty where there is none."""
        same = (ENTITIES.c.project == project, ENTITIES.c.domain == domain, ENTITIES.c.name == name)
        order = (ENTITIES.c.registered_at.desc(), ENTITIES.c.version.desc())
        query = select(ENTITIES).where(*same, ENTITIES.c.kind == kind).order_by(*order)
        rows = self._database.read(lambda connection: connection.execute(query).mappings().all())
        return [_read(row) for row in rows]


def _find(connection: Connection, identity: Identity, kind: str) -> RegisteredEntity | None:
    query = select(ENTITIES).where(
        ENTITIES.c.project == identity.project,
        ENTITIES.c.domain == identity.domain,
        ENTITIES.c.name == identity.name,
        ENTITIES.c.version == identity.version,
        ENTITIES.c.kind == kind,
    )
    row = connection.execute(query).mappings().first()
    return None if row is None else _read(row)


def _read(row: RowMapping | Mapping[str, Any]) -> RegisteredEntity:
    return RegisteredEntity(
        identity=Identity(row["project"], row["domain"], row["name"], row["version"]),
        kind=row["kind"],
        spec_digest=row["spec_digest"],
        bundle_digest=row["bundle_digest"],
        metadata=json.loads(row["metadata"]),
        registered_at=row["registered_at"],
    )
