"""Queries as tasks: a SQLite database is made, asked, and its answer is used as a data frame.

    flytepath run examples/sql.py report
    flytepath run examples/sql.py report --cities '["Oslo"]'

What it shows:

- `{{ .inputs.x }}` becomes a parameter of the query: a value never becomes SQL, whatever it holds;
- a list that becomes as many parameters;
- a database that an earlier task has made: it is an input like any other. One that is always the same is named by its
  path or URI: `SQLite3Config(uri="s3://...")`;
- the answer as a frame of the class that the next task wants.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pandas as pd
from flytepath import FlyteFile, SQLite3Config, SQLite3Task, kwtypes, task, workflow

ROWS = [("Oslo", "2024-01", -4.5), ("Oslo", "2024-07", 17.0), ("Lima", "2024-01", 22.5), ("Lima", "2024-07", 16.0)]


@task
def weather() -> FlyteFile:
    """A database of one table."""
    file = FlyteFile.new("weather.db")
    with closing(sqlite3.connect(file.path)) as connection, connection:
        connection.execute("create table weather(city text, month text, celsius real)")
        connection.executemany("insert into weather values (?, ?, ?)", ROWS)
    return file


warmest = SQLite3Task(
    name="warmest",
    query_template="""
        select city, max(celsius) as celsius
        from weather
        where celsius > {{ .inputs.above }} and city in {{ .inputs.cities }}
        group by city
        order by city
    """,
    inputs=kwtypes(database=FlyteFile, above=float, cities=list[str]),
    task_config=SQLite3Config(uri="{{ .inputs.database }}"),
)


@task
def told(frame: pd.DataFrame) -> list[str]:
    """A line for each row."""
    return [f"{row.city}: {row.celsius} °C" for row in frame.itertuples()]


@workflow
def report(cities: list[str] = ["Oslo", "Lima"], above: float = 0.0) -> list[str]:  # noqa: B006 - never changed
    """The warmest month of each city."""
    return told(frame=warmest(database=weather(), above=above, cities=cities))
