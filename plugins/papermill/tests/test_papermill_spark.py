"""The same notebook under ``Spark(...)``: it has the task's session, and starts no other."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from papermill_flows import Flows, output
from papermill_notebooks import USE

pytest.importorskip("pyspark", reason="pyspark is not installed")
pytest.importorskip("flyte_plugin_spark", reason="flyte-plugin-spark is not installed")
pytestmark = [
    pytest.mark.proof,
    pytest.mark.skipif(shutil.which("java") is None, reason="there is no Java"),
]


def test_the_notebook_has_the_session_of_the_task(flows: Flows, tmp_path: Path) -> None:
    flows.notebook(
        "counts",
        "limit, rows = 3, None",
        USE + "from pyspark.sql import SparkSession\n"
        "spark = SparkSession.builder.getOrCreate()\n"
        "word = spark.conf.get('spark.flytepath.word')\n"
        "frame = spark.range(limit)\n"
        "record_outputs(found=[frame.count(), word, spark.sparkContext.applicationId, len(load_dataframe(rows))])",
    )
    flows.module(
        """
        import pandas as pd
        from flyte_plugin_spark import Spark

        settings = {"spark.master": "local[1]", "spark.flytepath.word": "here", "spark.ui.enabled": "false"}
        conf = Spark(spark_conf=settings)
        counts = NotebookTask("counts", "counts.ipynb", task_config=conf, output_notebooks=False,
            inputs=kwtypes(limit=int, rows=pd.DataFrame), outputs=kwtypes(found=list))

        @task
        def rows() -> pd.DataFrame:
            return pd.DataFrame({"x": [1, 2]})

        @workflow
        def counting(limit: int = 7) -> list:
            return counts(limit=limit, rows=rows())
        """
    )
    count, word, application, length = output(flows.succeeded("counting"))
    assert (count, word, length) == (7, "here", 2)
    assert application.startswith("local-")
