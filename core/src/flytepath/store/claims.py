"""Who refers to what: everything that is kept is asked which blobs, code and files it mentions.

Nobody counts references. What may be thrown away is found by listing what lies on the disk and striking out all that
is mentioned anywhere: a digest is hard to write by accident, so a mention is taken for a reference without knowing the
form of the record it stands in. Blobs may mention others (the manifest of a directory does), so they are read too.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

from sqlalchemy import ColumnElement, Select, literal, select, tuple_

from flytepath.model.events import Blob, Payload
from flytepath.store.output_cache import CACHE_NAME
from flytepath.store.schema import COMMANDS, ENTITIES, EVENTS, EXECUTIONS, LITERALS, OUTPUTS, SPECS
from flytepath.store.sqlite import patiently, translated

if TYPE_CHECKING:
    from flytepath.store.database import Database

#: How many records one query asks for, so that no read keeps the log from being tidied up.
PAGE: Final = 1000

_PIECE: Final = 4 * 1024 * 1024
_DIGEST: Final = re.compile(r"sha256:([0-9a-f]{64})")
_DIGEST_BYTES: Final = re.compile(rb"sha256:([0-9a-f]{64})")
_DIGEST_LENGTH: Final = len("sha256:") + 64
#: A path below the folder that an execution's attempts write files to.
_OUTPUTS: Final = re.compile(r"/outputs/([a-z0-9][a-z0-9-]{0,62})/")
#: Kinds of events that refer to blobs, and to compiled graphs: told by their fields, so that none is missed.
_KINDS: Final = get_args(get_args(Payload)[0])
_WITH_BLOBS: Final = tuple(
    kind.model_fields["type"].default
    for kind in _KINDS
    if any(each.annotation is Blob for each in kind.model_fields.values())
)
_WITH_GRAPHS: Final = tuple(kind.model_fields["type"].default for kind in _KINDS if "spec" in kind.model_fields)


@dataclass(slots=True)
class Unmentioned:
    """What lies in a home and has not been mentioned yet; what is left in the end may go.

    Attributes:
        blobs: by project and domain (``project/domain``) the names of blobs, with the size of each.
        bundles: names of folders with code.
        outputs: executions whose folder of files has not been mentioned.
        place: where the blob of a project and domain, and of a name, lies.
    """

    place: Callable[[str, str], Path]
    blobs: dict[str, dict[str, int]] = field(default_factory=dict)
    bundles: set[str] = field(default_factory=set)
    outputs: set[str] = field(default_factory=set)
    _unread: list[tuple[str, str]] = field(default_factory=list)

    def mention(self, text: str, tenant: str | None = None) -> None:
        """Strike out all that ``text`` mentions: of ``tenant``, or of everybody."""
        for name in _DIGEST.findall(text):
            self._strike(name, tenant)
        if self.outputs:
            self.outputs.difference_update(_OUTPUTS.findall(text))

    def _strike(self, name: str, tenant: str | None) -> None:
        self.bundles.discard(name)
        for owner in self.blobs if tenant is None else (tenant,):
            if self.blobs.get(owner, {}).pop(name, None) is not None:
                self._unread.append((owner, name))

    def stays(self, tenant: str, name: str) -> None:
        """A blob stays for a reason of its own, and with it what it mentions."""
        self._unread.append((tenant, name))

    def follow(self) -> None:
        """Read the blobs that stay, and strike out what they mention, and what that mentions."""
        while self._unread:
            tenant, name = self._unread.pop()
            if self.blobs.get(tenant):
                for other in digests_in(self.place(tenant, name)):
                    self._strike(other, tenant)


def digests_in(path: Path) -> Iterator[str]:
    """The digests a blob mentions. Only JSON of ours does, so anything else is not read."""
    try:
        with path.open("rb") as file:
            piece = file.read(1)
            if piece not in (b"{", b"["):
                return
            while more := file.read(_PIECE):
                piece += more
                for name in _DIGEST_BYTES.findall(piece):
                    yield name.decode("ascii")
                piece = piece[-_DIGEST_LENGTH:]
    except FileNotFoundError:
        return  # removed meanwhile; who still needs it will be told so


def mentions(
    database: Database, home: Path, without: Collection[str] = (), unused: Collection[str] = ()
) -> Iterator[tuple[str, str | None]]:
    """Every record that may refer to something, with the project and domain it belongs to.

    Args:
        database: the database of the home.
        home: the home, for the output cache beside the database.
        without: executions that are taken for gone already.
        unused: digests of graphs that are taken for gone already.
    """
    for row in _pages(database, _records(EVENTS, EVENTS.c.type.in_({*_WITH_BLOBS, *_WITH_GRAPHS})), EVENTS):
        if row["execution"] not in without:
            yield row["body"], _tenant(row)
    for row in _pages(database, _records(LITERALS, LITERALS.c.body.like('%"uri":%')), LITERALS):
        if row["execution"] not in without:
            yield row["body"], _tenant(row)
    for row in _pages(database, _records(COMMANDS, COMMANDS.c.body.like('%"uri":%')), COMMANDS):
        if row["execution"] not in without:
            yield row["body"], _tenant(row)
    for row in _pages(database, select(OUTPUTS), OUTPUTS):
        yield row["body"], _tenant(row)
    for row in _pages(database, select(ENTITIES.c.bundle_digest, *ENTITIES.primary_key), ENTITIES):
        yield row["bundle_digest"], None
    for row in _pages(database, select(SPECS), SPECS):
        if row["digest"] not in unused:
            yield row["body"], None
    yield from _cached(home / CACHE_NAME)


def unused_graphs(database: Database, without: Collection[str] = ()) -> dict[str, int]:
    """Compiled graphs that nothing registered and no execution refers to, and the size of each."""
    graphs = _roots(database)
    for row in _pages(database, _records(EVENTS, EVENTS.c.type.in_(_WITH_GRAPHS)), EVENTS):
        if row["execution"] not in without:
            graphs.update(_DIGEST.findall(row["body"]))
    found = {row["digest"]: len(row["body"]) for row in _pages(database, select(SPECS), SPECS)}
    return {digest: size for digest, size in found.items() if digest.removeprefix("sha256:") not in graphs}


def _roots(database: Database) -> set[str]:
    """The digests of registered specs, and of the graphs that registered launch plans run."""
    query = select(ENTITIES.c.kind, *ENTITIES.primary_key, ENTITIES.c.spec_digest, SPECS.c.body).join(
        SPECS, SPECS.c.digest == ENTITIES.c.spec_digest, isouter=True
    )
    found: set[str] = set()
    for row in _pages(database, query, ENTITIES):
        found.add(row["spec_digest"].removeprefix("sha256:"))
        if row["kind"] == "launch_plan":
            found.update(_DIGEST.findall(row["body"] or ""))
    return found


def _records(table: Any, condition: ColumnElement[bool]) -> Select[Any]:
    """Rows of executions that are still in the list, with the project and domain of each."""
    # An outer join, so that the pages follow the key of ``table``; rows of executions that are gone are passed over.
    joined = table.outerjoin(EXECUTIONS, EXECUTIONS.c.id == table.c.execution)
    return select(table, EXECUTIONS.c.project, EXECUTIONS.c.domain).select_from(joined).where(condition)


def _pages(database: Database, query: Select[Any], table: Any) -> Iterator[Any]:
    """The rows of ``query``, in the order of the primary key of ``table``, a page at a time."""
    key = list(table.primary_key)
    ordered = query.order_by(*key).limit(PAGE)
    page = ordered
    while True:
        rows = database.read(lambda connection, page=page: connection.execute(page).mappings().all())  # type: ignore[misc]
        yield from (row for row in rows if row.get("project", "") is not None)
        if len(rows) < PAGE:
            return
        last = [literal(rows[-1][column.name], column.type) for column in key]
        page = ordered.where(tuple_(*key) > tuple_(*last))


def _cached(path: Path) -> Iterator[tuple[str, str | None]]:
    """What the output cache of this home keeps; a damaged one keeps nothing."""
    if not path.exists():
        return

    def read() -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            try:
                return connection.execute("SELECT project, domain, body FROM outputs").fetchall()
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError) and "no such table" not in str(error):
                    raise
                return []

    with translated(path):
        rows = patiently(path, read)
    for project, domain, body in rows:
        yield str(body), f"{project}/{domain}"


def _tenant(row: Any) -> str:
    return f"{row['project']}/{row['domain']}"
