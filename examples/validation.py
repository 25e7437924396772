"""Data that is validated where it lies: frames, files and tables, with what is done about it.

    flytepath run examples/validation.py flowers
    flytepath run examples/validation.py flowers --widest 2.0

What it shows:

- `GreatExpectationsTask` over a frame, over a file by reference, and over a table of a database;
- an expectation whose bound is an input of the workflow, and a map over parts of the data;
- `on_failure="return"`: the result is a value like any other, and a condition asks it;
- `GreatExpectationsType`: a frame that is validated where a task gives it, and not again where another takes it;
- a deck for each validation, in Great Expectations' own words.

The data are the 150 irises that scikit-learn brings along; nothing is downloaded. The table lies in a SQLite database
below the system's temporary folder; where a database has a password, a `Secret` holds its URL:
`SQLSource(Secret("warehouse", "url"), table="flowers")`.
"""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Annotated

import pandas as pd
from flyte_plugin_greatexpectations import (
    GreatExpectationsTask,
    GreatExpectationsType,
    SQLSource,
    ValidationResult,
    expect,
    parameter,
)
from flytepath import FlyteFile, conditional, kwtypes, map_task, task, workflow

DATABASE = Path(tempfile.gettempdir()) / "flytepath-example-flowers.db"
SPECIES = ["setosa", "versicolor", "virginica"]

#: A frame of this type is validated as it leaves the task that makes it; a reader of the same type need not look again.
Flowers = Annotated[
    pd.DataFrame,
    GreatExpectationsType(
        [
            expect("table_row_count_to_be_between", min_value=1),
            expect("column_values_to_be_in_set", column="species", value_set=SPECIES),
            expect("column_values_to_not_be_null", column="petal_width"),
        ]
    ),
]

MEASURED = [expect("column_values_to_be_between", column="petal_width", min_value=0, max_value=parameter("widest"))]

check_species = GreatExpectationsTask(
    name="check_species",
    expectations=[expect("column_unique_value_count_to_be_between", column="species", min_value=1, max_value=1)],
    inputs={"flowers": pd.DataFrame},
    on_failure="return",
)
check_file = GreatExpectationsTask(
    name="check_file",
    expectations=[expect("table_row_count_to_equal", value=150), *MEASURED],
    inputs=kwtypes(flowers=FlyteFile, widest=float),
    on_failure="return",
)
check_table = GreatExpectationsTask(
    name="check_table",
    sql=SQLSource(f"sqlite:///{DATABASE}", query="select * from flowers where species = {{ .inputs.species }}"),
    expectations=[expect("table_row_count_to_equal", value=50)],
    inputs=kwtypes(species=str),
    on_failure="return",
)


@task
def load() -> Flowers:
    """The measurements of each flower, and its species."""
    from sklearn.datasets import load_iris

    bunch = load_iris(as_frame=True)
    frame = bunch.frame.rename(columns=lambda name: name.removesuffix(" (cm)").replace(" ", "_"))
    return frame.assign(species=[SPECIES[number] for number in frame.pop("target")])


@task
def by_species(flowers: Flowers) -> list[pd.DataFrame]:
    return [flowers[flowers["species"] == name].reset_index(drop=True) for name in SPECIES]


@task
def as_file(flowers: pd.DataFrame) -> FlyteFile:
    file = FlyteFile.new("flowers.csv")
    flowers.to_csv(file.path, index=False)
    return file


@task
def as_table(flowers: pd.DataFrame) -> str:
    """Kept in a database; the species that is asked for below."""
    with tempfile.TemporaryDirectory(dir=DATABASE.parent) as folder:
        made = Path(folder) / DATABASE.name
        with closing(sqlite3.connect(made)) as connection, connection:
            flowers.to_sql("flowers", connection, index=False)
        made.replace(DATABASE)  # all at once: another run may be reading
    return "virginica"


@task
def accept(result: ValidationResult) -> str:
    return f"{result.suite}: {result.summary()}"


@task
def reject(result: ValidationResult) -> str:
    return "; ".join(failure.message for failure in result.failures)


@task
def summaries(results: list[ValidationResult]) -> list[str]:
    return [result.summary() for result in results]


@workflow
def flowers(widest: float = 3.0) -> tuple[str, list[str], str]:
    everything = load()
    found = check_file(flowers=as_file(flowers=everything), widest=widest)
    verdict = (
        conditional("wide").if_(found.success.is_true()).then(accept(result=found)).else_().then(reject(result=found))
    )
    parts = summaries(results=map_task(check_species)(flowers=by_species(flowers=everything)))
    table = accept(result=check_table(species=as_table(flowers=everything)))
    return verdict, parts, table
