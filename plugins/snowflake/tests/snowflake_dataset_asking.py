"""The service asked by itself, beside the code that is tested: what tables hold, and that there are none at first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from flyte_plugin_snowflake.testing.service import SnowflakeService

Ask = Callable[[str], list[tuple[Any, ...]]]


@contextmanager
def asking(service: SnowflakeService) -> Iterator[Ask]:
    """Asks; the tables of ``SALES.PUBLIC`` are dropped first."""
    import snowflake.connector

    with snowflake.connector.connect(
        user="ETL", password=service.account.password, account="acme-eu", host="127.0.0.1", port=service.port,
        protocol="http", database="SALES", schema="PUBLIC", warehouse="SMALL", login_timeout=20,
    ) as connection:  # fmt: skip

        def ask(text: str) -> list[tuple[Any, ...]]:
            with connection.cursor() as cursor:
                return list(cursor.execute(text).fetchall())

        ask("create database if not exists SALES")
        ask("create schema if not exists SALES.PUBLIC")
        for name in tables(ask):
            ask(f'drop table if exists SALES.PUBLIC."{name}"')
        yield ask


def tables(ask: Ask) -> list[str]:
    """The tables that anybody sees."""
    rows = ask("select table_name from SALES.information_schema.tables where table_schema = 'PUBLIC'")
    return sorted(name for (name,) in rows)
