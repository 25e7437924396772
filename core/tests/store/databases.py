"""Databases for tests of the store: a PostgreSQL schema of a test's own, and SQL on whatever is open."""

from __future__ import annotations

import itertools
import os
from typing import Any

from flytepath.store.events import Store
from flytepath.testing.postgres import PostgresServer

_NUMBERS = itertools.count(1)


def a_schema(server: PostgresServer) -> str:
    """The URL of a new, empty schema, which the store takes for a database: quicker made than a database."""
    import psycopg

    name = f"test_{os.getpid()}_{next(_NUMBERS)}"
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")  # type: ignore[arg-type]
    return f"{server.url}?options=-csearch_path%3D{name}"


def execute(store: Store, statement: str, *values: Any) -> None:
    """Run SQL behind the store's back; ``?`` stands for a value."""
    if store.database.dialect.counts_changes:
        store.database.write(lambda connection: connection.exec_driver_sql(statement, values) and None)
    else:
        store.database.write(
            lambda connection: connection.exec_driver_sql(statement.replace("?", "%s"), values) and None
        )
