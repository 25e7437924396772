"""Spark frames are validated by Spark, in the session of the Spark plugin, and stay Spark's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from flyte_plugin_greatexpectations import (
    DataSourceError,
    ExpectationError,
    GreatExpectationsTask,
    GreatExpectationsType,
    ValidationResult,
    expect,
)
from flytepath import FlyteFile, StructuredDataset, current_context, task, workflow
from flytepath.plugin import BoundaryCheckError
from gx_project import PEOPLE

pytest.importorskip("pyspark", reason="Spark is not installed")
flyte_plugin_spark = pytest.importorskip("flyte_plugin_spark", reason="the Spark plugin is not installed")

from pyspark.sql import DataFrame  # noqa: E402 - only where it is

#: Java takes its time.
pytestmark = pytest.mark.proof

CONF = {"spark.master": "local[1]", "spark.sql.shuffle.partitions": "1", "spark.ui.enabled": "false"}
SPARK = flyte_plugin_spark.Spark(spark_conf=CONF)
NAMED = expect("column_values_to_not_be_null", column="name")

check = GreatExpectationsTask(
    name="check_spark",
    expectations=[NAMED, expect("column_values_to_be_between", column="age", min_value=0)],
    inputs={"people": DataFrame},
    task_config=SPARK,
    on_failure="return",
)
check_file = GreatExpectationsTask(
    name="check_spark_file",
    expectations=[NAMED],
    inputs={"people": FlyteFile},
    task_config=SPARK,
    on_failure="return",
)
check_dataset = GreatExpectationsTask(
    name="check_spark_dataset",
    expectations=[NAMED],
    inputs={"people": StructuredDataset},
    task_config=SPARK,
    on_failure="return",
)


@task(task_config=SPARK)
def load() -> DataFrame:
    return current_context().spark_session.createDataFrame([("Ada", 36), (None, -5)], "name string, age int")


@workflow
def pipeline() -> ValidationResult:
    return check(people=load())


Named = Annotated[DataFrame, GreatExpectationsType([NAMED])]


@task(task_config=SPARK)
def takes(people: Named) -> int:
    return people.count()


@pytest.fixture(scope="module", autouse=True)
def session() -> Iterator[Any]:
    """One session for all of them: a task uses the one that runs."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("SPARK_REMOTE", "MASTER", "SPARK_HOME", "SPARK_CONF_DIR", "PYSPARK_PYTHON"):
            patch.delenv(name, raising=False)
        made = flyte_plugin_spark.new_spark_session("tests", CONF)
        yield made
        made.stop()


def test_a_spark_frame_is_looked_at_by_spark(session: Any) -> None:
    result = pipeline()
    assert [(failure.column, failure.unexpected_count) for failure in result.failures] == [("name", 1), ("age", 1)]
    assert result.engine.endswith("(spark)")


def test_a_frame_is_neither_collected_nor_cached_nor_changed(session: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = session.range(1000).selectExpr("id", "cast(id as string) as name", "id as age")

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("the frame was brought to the driver")

    monkeypatch.setattr(type(frame), "toPandas", refuse)
    assert check(people=frame).success
    assert not frame.is_cached
    assert frame.columns == ["id", "name", "age"]


@pytest.mark.parametrize("name", ["people.csv", "people (1).parquet"])
def test_a_file_is_read_by_spark_where_the_task_says_so(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    PEOPLE.to_csv(path, index=False) if name.endswith("csv") else PEOPLE.to_parquet(path)
    found = check_file(people=FlyteFile(str(path)))
    assert (found.engine.rpartition(" ")[2], found.failures[0].unexpected_count) == ("(spark)", 1)


def test_a_file_without_a_reader_of_spark_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "people.feather"
    PEOPLE.to_feather(path)
    with pytest.raises(DataSourceError, match="Spark has no reader"):
        check_file(people=FlyteFile(str(path)))


def test_a_dataset_is_opened_as_a_spark_frame() -> None:
    found = check_dataset(people=StructuredDataset(dataframe=PEOPLE))
    assert (found.engine.rpartition(" ")[2], found.failed) == ("(spark)", 1)


def test_a_missing_column_is_named(session: Any) -> None:
    with pytest.raises(ExpectationError, match="no column 'name'"):
        check(people=session.range(1).selectExpr("id as names", "id as age"))


def test_a_marked_spark_frame_is_validated_as_it_enters(session: Any) -> None:
    assert takes(people=session.createDataFrame([("Ada",)], "name string")) == 1
    with pytest.raises(BoundaryCheckError, match="column 'name'"):
        takes(people=load())


def test_a_durable_run_opens_the_session_of_the_plugin(tmp_path: Path) -> None:
    (tmp_path / "gx_spark_flow.py").write_text(
        "from flytepath import current_context, task, workflow\n"
        "from flyte_plugin_greatexpectations import GreatExpectationsTask, ValidationResult, expect\n"
        "from flyte_plugin_spark import Spark\n"
        "from pyspark.sql import DataFrame\n"
        f"SPARK = Spark(spark_conf={CONF!r})\n"
        "check = GreatExpectationsTask('check', inputs={'p': DataFrame}, task_config=SPARK, on_failure='return',\n"
        "    expectations=[expect('column_values_to_be_between', column='id', max_value=3)])\n"
        "@task(task_config=SPARK)\n"
        "def load() -> DataFrame:\n"
        "    return current_context().spark_session.range(5)\n"
        "@workflow\n"
        "def pipeline() -> ValidationResult:\n"
        "    return check(p=load())\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "flytepath", "run", "gx_spark_flow.py", "pipeline", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "FLYTEPATH_HOME": str(tmp_path / "home")},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)["outputs"]["o0"]["data"]
    assert (found["failed"], found["failures"][0]["observed"]) == (1, "4")
    assert found["engine"].endswith("(spark)")
