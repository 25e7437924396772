"""Erasing a value while its history stays: what was there is gone, that something was there is not.

In place of the value stays a literal with its type and its digest, which events refer to; its format says that it was
erased. The log is told first, so that nothing ever disappears without a word about who wanted it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, or_, select, update

from flytepath.errors import NotFoundError, UsageError
from flytepath.model.events import (
    AttemptStarted,
    CallStarted,
    Event,
    ExecutionCreated,
    ExecutionSucceeded,
    GateOpened,
    ItemsSucceeded,
    NodeExpanded,
    NodeSucceeded,
)
from flytepath.model.literal import ERASED_FORMAT, BlobRef, Literal, canonical_json
from flytepath.store.output_cache import CACHE_NAME
from flytepath.store.schema import LITERALS, OUTPUTS, SNAPSHOTS
from flytepath.store.sqlite import patiently, translated

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from flytepath.store.database import Database

#: How much of a digest names it, where no other begins so.
_SHORTEST: Final = 8


def digest_of(execution: str, events: Sequence[Event], node: str, variable: str) -> str:
    """The digest of what a node (or with an empty ``node`` the execution) was given or gave as ``variable``.

    Raises:
        NotFoundError: there is no such value.
        UsageError: an input and an output, or those of several attempts, have this name and differ.
    """
    found: dict[str, None] = {}
    nodes: dict[str, None] = {}
    variables: dict[str, None] = {}
    for event in events:
        for path, named in _values(event):
            nodes[path] = None
            if path == node:
                variables.update(dict.fromkeys(named))
                if variable in named:
                    found[named[variable]] = None
    place = f"{execution} {node}".strip()
    if not found:
        known, what = (variables, "the values") if node in nodes else (nodes, "the nodes with values")
        listed = ", ".join(name for name in known if name)
        raise NotFoundError(
            f"there is no value {variable!r} in the record" if node in nodes else f"no value of {node!r} is recorded",
            place=place,
            expected=f"one of {what}: {listed}" if listed else None,
            actual=variable if node in nodes else node,
        )
    if len(found) > 1:
        raise UsageError(
            f"{variable!r} names more than one value",
            place=place,
            expected="one value",
            actual=", ".join(found),
            hint="name the one that is meant with --digest",
        )
    return next(iter(found))


def _values(event: Event) -> list[tuple[str, Mapping[str, str]]]:
    match event.payload:
        case ExecutionCreated(inputs=named) | ExecutionSucceeded(outputs=named):
            return [("", named)]
        case AttemptStarted(node=node, inputs=named) | NodeExpanded(node=node, inputs=named):
            return [(node, named)]
        case GateOpened(node=node, inputs=named) | NodeSucceeded(node=node, outputs=named):
            return [(node, named)]
        case CallStarted(call=node, inputs=named):
            return [(node, named)]
        case ItemsSucceeded(node=node, names=names, items=items):
            return [(f"{node}/{index}", dict(zip(names, digests, strict=True))) for index, _, digests in items]
        case _:
            return []


def full_digest(connection: Connection, execution: str, beginning: str) -> str:
    """The digest of a kept value that begins so, with or without ``sha256:``.

    Raises:
        NotFoundError: no value does.
        UsageError: several do, or too little was given.
    """
    wanted = beginning if beginning.startswith("sha256:") else f"sha256:{beginning}"
    if len(wanted) - len("sha256:") < _SHORTEST:
        raise UsageError("this is too little of a digest", expected=f"{_SHORTEST} digits or more", actual=beginning)
    query = select(LITERALS.c.digest).where(LITERALS.c.execution == execution)
    found: list[str] = list(
        connection.execute(query.where(LITERALS.c.digest.startswith(wanted, autoescape=True))).scalars()
    )
    if not found:
        raise NotFoundError(f"execution {execution!r} keeps no value with this digest", place=execution, actual=wanted)
    if len(found) > 1:
        raise UsageError("several values begin so", place=execution, actual=", ".join(found), hint="give more digits")
    return found[0]


def erase_value(connection: Connection, execution: str, digest: str, project: str, domain: str) -> list[BlobRef]:
    """Take the value away from its execution and from the shared outputs; the blobs it referred to."""
    here = (LITERALS.c.execution == execution, LITERALS.c.digest == digest)
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA secure_delete = ON")  # the bytes go too, not only the row
    body = connection.execute(select(LITERALS.c.body).where(*here)).scalar()
    if body is None:
        raise NotFoundError(f"execution {execution!r} keeps no value with this digest", place=execution, actual=digest)
    kept = Literal.from_json(json.loads(body))
    left = replace(kept, data=None, format=ERASED_FORMAT, version=1, ref=None, refs=(), hash=None)
    stored = canonical_json(left.to_json()).decode("ascii")
    connection.execute(update(LITERALS).where(*here).values(body=stored))
    connection.execute(delete(SNAPSHOTS).where(SNAPSHOTS.c.execution == execution))
    tenant = (OUTPUTS.c.project == project, OUTPUTS.c.domain == domain)
    # An entry names what it was computed from as well, and may show some of it.
    named = or_(*(column.contains(digest, autoescape=True) for column in (OUTPUTS.c.body, OUTPUTS.c.facts)))
    connection.execute(delete(OUTPUTS).where(*tenant, named))
    return [*kept.refs, *(() if kept.ref is None else (kept.ref,))]


def forget_cached(home: Path, digest: str, project: str, domain: str) -> None:
    """Drop every entry of this home's output cache that holds the value."""
    path = home / CACHE_NAME
    if not path.exists():
        return

    def forget() -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'outputs'").fetchone() is not None:
                connection.execute("PRAGMA secure_delete = ON")
                connection.execute(
                    "DELETE FROM outputs WHERE project = ? AND domain = ? AND instr(body || facts, ?)",
                    (project, domain, digest),
                )

    with translated(path):
        patiently(path, forget)


def also_in(database: Database, digest: str, execution: str) -> list[str]:
    """The other executions that keep the same value."""
    query = select(LITERALS.c.execution, LITERALS.c.body).where(LITERALS.c.digest == digest)
    rows = database.read(lambda connection: connection.execute(query.order_by(LITERALS.c.execution)).all())
    return [other for other, body in rows if other != execution and f'"format":"{ERASED_FORMAT}"' not in body]
