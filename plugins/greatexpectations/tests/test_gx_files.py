"""Files are validated by reference, by the reader that their names call for, and datasets by the engine of a task."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from flyte_plugin_greatexpectations import (
    BatchRequestConfig,
    DataSourceError,
    GreatExpectationsTask,
    GreatExpectationsType,
    ValidationResult,
    expect,
)
from flytepath import PARQUET, CSVFile, FlyteFile, FlyteSchema, StructuredDataset, task, workflow
from flytepath.plugin import BoundaryCheckError, DefinitionError
from gx_project import PEOPLE

NAMED = expect("column_values_to_not_be_null", column="name")


def check(t: Any, *expectations: Any, **options: Any) -> GreatExpectationsTask:
    return GreatExpectationsTask(
        name="check_file",
        expectations=list(expectations) or [NAMED],
        inputs={"people": t},
        on_failure="return",
        **options,
    )


WRITERS: dict[str, Callable[[Path], Any]] = {
    "people.csv": lambda path: PEOPLE.to_csv(path, index=False),
    "people.csv.gz": lambda path: PEOPLE.to_csv(path, index=False),
    "people.tsv": lambda path: PEOPLE.to_csv(path, index=False, sep="\t"),
    "people.parquet": PEOPLE.to_parquet,
    "people.jsonl": lambda path: PEOPLE.to_json(path, orient="records", lines=True),
    "peo ple (1)+[x].csv": lambda path: PEOPLE.to_csv(path, index=False),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_is_read_as_its_name_says(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    WRITERS[name](path)
    before = path.read_bytes()
    found = check(FlyteFile)(people=FlyteFile(str(path)))
    assert [(failure.column, failure.unexpected_count) for failure in found.failures] == [("name", 1)]
    assert found.engine.endswith("(pandas)")
    assert path.read_bytes() == before


def test_a_declared_format_and_options_say_how_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "people"
    PEOPLE.to_csv(path, index=False, sep=";")
    options = BatchRequestConfig(batch_spec_passthrough={"reader_options": {"sep": ";"}})
    assert check(CSVFile, task_config=options)(people=FlyteFile["csv"](str(path))).failed == 1
    method = BatchRequestConfig(batch_spec_passthrough={"reader_method": "read_csv", "reader_options": {"sep": ";"}})
    assert check(FlyteFile, task_config=method)(people=FlyteFile(str(path))).failed == 1


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("people.parquet", b"this is no parquet", "people.parquet cannot be read"),
        ("people.csv", b"", "people.csv cannot be read"),
        ("people", b"x", "nothing says how"),
    ],
)
def test_a_file_that_cannot_be_read_is_no_failed_validation(
    name: str, content: bytes, word: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataSourceError, match=word):
        check(FlyteFile)(people=FlyteFile(str(tmp_path / name)))


@pytest.mark.parametrize(
    "dataset",
    [
        lambda _: StructuredDataset(dataframe=PEOPLE),
        lambda _: StructuredDataset(dataframe=pl.from_pandas(PEOPLE)),
        lambda _: StructuredDataset(dataframe=PEOPLE, file_format=PARQUET),
        lambda folder: (PEOPLE.to_csv(folder / "p.csv", index=False), StructuredDataset(uri=str(folder / "p.csv")))[1],
    ],
    ids=["pandas", "polars", "parquet", "reference"],
)
def test_a_dataset_is_opened_when_it_is_validated(dataset: Any, tmp_path: Path) -> None:
    assert check(StructuredDataset)(people=dataset(tmp_path)).failures[0].unexpected_count == 1


def test_a_schema_is_a_dataset() -> None:
    @task
    def make() -> FlyteSchema:
        schema = FlyteSchema()
        schema.open().write(PEOPLE)
        return schema

    assert check(FlyteSchema)(people=make()).failed == 1


@pytest.mark.parametrize(("t", "library"), [(pl.DataFrame, "polars"), (pl.LazyFrame, "polars"), (pa.Table, "Arrow")])
def test_frames_without_an_engine_are_refused_with_the_way_out(t: Any, library: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        check(t)
    assert library in caught.value.message
    assert "declare the input as pandas.DataFrame" in (caught.value.hint or "")
    with pytest.raises(DefinitionError, match=library):

        @task
        def marked(frame: Annotated[t, GreatExpectationsType([NAMED])]) -> int:
            return 1


check_handed_over = GreatExpectationsTask(
    name="check_handed_over", expectations=[NAMED], inputs={"people": pd.DataFrame}, on_failure="return"
)


@task
def make_polars() -> pl.DataFrame:
    return pl.from_pandas(PEOPLE)


@workflow
def declared_as_pandas() -> ValidationResult:
    return check_handed_over(people=make_polars())


def test_a_frame_of_polars_is_handed_over_as_the_frame_that_is_declared() -> None:
    assert declared_as_pandas().failed == 1


@task
def count_lines(people: Annotated[FlyteFile, GreatExpectationsType([NAMED])]) -> int:
    with people.open("r") as given:
        return len(given.readlines())


def test_a_marked_file_is_validated_where_a_task_takes_it(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    PEOPLE.dropna().to_csv(good, index=False)
    PEOPLE.to_csv(bad, index=False)
    assert count_lines(people=FlyteFile(str(good))) == 4
    with pytest.raises(BoundaryCheckError, match="column 'name'"):
        count_lines(people=FlyteFile(str(bad)))


@task
def give_path(folder: str) -> Annotated[FlyteFile, GreatExpectationsType([NAMED])]:
    path = Path(folder) / "people.csv"
    PEOPLE.to_csv(path, index=False)
    return str(path)  # type: ignore[return-value]  # as a task may


@task
def give_dataset() -> Annotated[StructuredDataset, GreatExpectationsType([NAMED])]:
    return StructuredDataset(dataframe=PEOPLE)


@task
def give_another_frame() -> Annotated[pd.DataFrame, GreatExpectationsType([NAMED])]:
    return pl.from_pandas(PEOPLE)  # type: ignore[no-any-return]


def test_a_marked_file_or_dataset_is_validated_where_a_task_gives_it(tmp_path: Path) -> None:
    for give in (lambda: give_path(folder=str(tmp_path)), give_dataset):
        with pytest.raises(BoundaryCheckError, match="column 'name'"):
            give()
    with pytest.raises(BoundaryCheckError, match=r"no engine for polars.*return what the task declares"):
        give_another_frame()


def test_marks_can_be_compared_and_kept_in_sets() -> None:
    first, second = GreatExpectationsType([NAMED]), GreatExpectationsType([NAMED])
    assert {first, second} == {first}
    assert Annotated[pd.DataFrame, first] | None
