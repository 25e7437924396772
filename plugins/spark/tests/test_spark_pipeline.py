"""A fitted pipeline as a value: the folder that Spark writes, by reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flyte_plugin_spark import Spark
from flytepath import current_context, task, workflow
from flytepath.plugin import TypeTransformerFailedError
from flytepath.store.blobs import BlobFolder
from flytepath.types.engine import codec
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.feature import StringIndexer


@task(task_config=Spark())
def fitted() -> PipelineModel:
    frame = current_context().spark_session.createDataFrame([("a",), ("b",), ("a",)], "t string")
    return Pipeline(stages=[StringIndexer(inputCol="t", outputCol="i")]).fit(frame)


@task(task_config=Spark())
def applied(model: PipelineModel) -> list[float]:
    frame = current_context().spark_session.createDataFrame([("b",), ("a",)], "t string")
    return [row.i for row in model.transform(frame).collect()]


@workflow
def flow() -> list[float]:
    return applied(model=fitted())


@pytest.mark.usefixtures("spark")
def test_a_pipeline_is_handed_over_in_a_direct_call() -> None:
    assert flow() == [1.0, 0.0]


def test_a_pipeline_comes_back_and_is_kept_by_reference(spark: Any, tmp_path: Path) -> None:
    blobs = BlobFolder(tmp_path / "blobs", "p", "d")
    model = fitted()
    literal = codec(PipelineModel).encode(model, blobs)
    assert (Path(literal.data["uri"]) / "metadata").is_dir()
    assert literal.data["stages"] == ["StringIndexerModel"]
    found = codec(PipelineModel).decode(literal, blobs)
    assert found.stages[0].labels == model.stages[0].labels
    assert not codec(PipelineModel).pickled


def test_what_was_not_fitted_is_refused(spark: Any, tmp_path: Path) -> None:
    with pytest.raises(TypeTransformerFailedError, match=r"PipelineModel"):
        codec(PipelineModel).encode(Pipeline(stages=[]), BlobFolder(tmp_path, "p", "d"))
