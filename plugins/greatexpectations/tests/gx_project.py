"""A context root as the library writes it, and data that it refers to."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import great_expectations as gx
import pandas as pd
from great_expectations.checkpoint import UpdateDataDocsAction
from great_expectations.data_context.data_context.context_factory import project_manager

PEOPLE = pd.DataFrame({"name": ["Ada", "Grace", None, "Joan"], "age": [36, 85, 41, -5]})


def write_project(folder: Path) -> Path:
    """A context root ``gx`` in ``folder``, beside the data ``data/people.csv`` and ``data/people.db``."""
    data = folder / "data"
    data.mkdir(parents=True)
    PEOPLE.to_csv(data / "people.csv", index=False)
    write_database(data / "people.db")
    context: Any = gx.get_context(mode="file", project_root_dir=str(folder))
    try:
        context.variables.progress_bars = {"globally": False}
        suite = context.suites.add(
            gx.ExpectationSuite(
                name="people",
                expectations=[
                    gx.expectations.ExpectColumnValuesToNotBeNull(column="name"),
                    gx.expectations.ExpectColumnValuesToBeBetween(column="age", min_value=0, max_value=130),
                ],
            )
        )
        files = context.data_sources.add_pandas_filesystem("files", base_directory=data)
        people = files.add_csv_asset("people")
        definition = people.add_batch_definition_path("all", path="people.csv")
        frames = context.data_sources.add_pandas("frames").add_dataframe_asset("handed")
        frames.add_batch_definition_whole_dataframe("whole")
        context.data_sources.add_sqlite("database", connection_string=f"sqlite:///{data / 'people.db'}")
        validation = context.validation_definitions.add(
            gx.ValidationDefinition(name="people of the file", data=definition, suite=suite)
        )
        context.checkpoints.add(
            gx.Checkpoint(
                name="nightly", validation_definitions=[validation], actions=[UpdateDataDocsAction(name="docs")]
            )
        )
    finally:
        project_manager.set_project(None)
    root = folder / "gx"
    written = root / "great_expectations.yml"
    # As people keep it in their repository: beside the data, wherever that is checked out.
    written.write_text(written.read_text().replace(f"base_directory: {data}", "base_directory: ../data"))
    return root


def write_database(path: Path) -> None:
    """A table ``people`` in a SQLite database."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("create table people (name text, age integer, note text)")
        connection.executemany(
            "insert into people values (?, ?, ?)",
            [(name, int(age), "10% :b") for name, age in PEOPLE.itertuples(index=False)],
        )


def snapshot(folder: Path) -> dict[str, bytes]:
    """Everything below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
