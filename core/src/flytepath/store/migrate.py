"""Brings a database to the newest revision: a new one at once, an older one through Alembic.

Everything happens in one guarded write transaction: of two processes that start at once, the second waits for the first
and then finds nothing left to do, and a crash in the middle leaves the database as it was. Alembic costs half of a
short command's time, so it is imported only where there is something to migrate.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from flytepath.errors import StoreError

if TYPE_CHECKING:
    from sqlalchemy import Connection

#: Every revision this release knows, oldest first; a test compares the list with the scripts.
REVISIONS: Final[Sequence[str]] = ("0001", "0002", "0003")
HEAD: Final = REVISIONS[-1]


def needs_migration(revision: str | None, has_tables: bool, place: str) -> bool:
    """Whether a database found at ``revision`` must be migrated before it is used.

    Raises:
        StoreError: it was written by a newer release, or is not ours at all.
    """
    if revision is None and has_tables:
        raise StoreError(
            "this database was not made by FlytePath",
            place=place,
            expected="a table named alembic_version",
            hint="choose another home with FLYTEPATH_HOME, or another database; this one was left as it is",
        )
    if revision is not None and revision not in REVISIONS:
        raise StoreError(
            "this database was written by a newer release of FlytePath",
            place=place,
            expected=f"revision {HEAD} or older",
            actual=f"revision {revision}",
            hint="upgrade flytepath on this machine: pip install --upgrade flytepath",
        )
    return revision != HEAD


def migrate(connection: Connection, place: str) -> None:
    """Bring the database behind ``connection``, which is in a write transaction, to the newest revision."""
    from sqlalchemy import inspect

    tables = set(inspect(connection).get_table_names())
    revision = _revision(connection) if "alembic_version" in tables else None
    if not needs_migration(revision, bool(tables), place):
        return
    if revision is None:
        _create(connection)
    else:
        upgrade(connection)


def upgrade(connection: Connection) -> None:
    """Run every revision the database has not seen, from the first one on an empty database."""
    import alembic.command
    import alembic.config

    config = alembic.config.Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    alembic.command.upgrade(config, "head")


def _create(connection: Connection) -> None:
    from sqlalchemy import text

    from flytepath.store.schema import METADATA

    METADATA.create_all(connection)
    # Exactly the table that Alembic would make.
    key = "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)"
    connection.execute(text(f"CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, {key})"))
    connection.execute(text("INSERT INTO alembic_version (version_num) VALUES (:head)"), {"head": HEAD})


def _revision(connection: Connection) -> str | None:
    from sqlalchemy import text

    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
