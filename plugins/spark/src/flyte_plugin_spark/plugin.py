"""The manifest: what this plugin gives, as names. It imports nothing but the contract."""

from __future__ import annotations

from flytepath.plugin import DataframeCodecDeclaration, TaskTypeDeclaration, TransformerDeclaration, hookimpl

#: Spark's frame, and the classes that its frames really have: of a driver in this process, of a Connect server.
_FRAMES = (
    "pyspark.sql.dataframe.DataFrame",
    "pyspark.sql.classic.dataframe.DataFrame",
    "pyspark.sql.connect.dataframe.DataFrame",
)
_PANDAS = "pyspark.pandas.frame.DataFrame"
#: Without a scheme: what goes from task to task. The others are those that Spark reads.
_SCHEMES = ("", "file", "s3", "s3a", "gs", "gcs", "abfs", "abfss", "wasbs", "hdfs", "webhdfs", "oss", "dbfs")
_ROOM = "flyte_plugin_spark.frames"


@hookimpl
def flytepath_task_types() -> list[TaskTypeDeclaration]:
    """Tasks with a Spark session."""
    return [
        TaskTypeDeclaration(
            name="spark",
            task_type="flyte_plugin_spark.task:SparkTaskType",
            config="flyte_plugin_spark.task:Spark",
        )
    ]


@hookimpl
def flytepath_dataframe_codecs() -> list[DataframeCodecDeclaration]:
    """Spark's frames, kept as folders of Parquet or CSV."""
    return [
        DataframeCodecDeclaration(
            frame_type=frame,
            scheme=scheme,
            format=format,
            encoder=f"{_ROOM}:encode_{'pandas_' if frame == _PANDAS else ''}{format or 'parquet'}",
            decoder=f"{_ROOM}:decode{'_pandas' if frame == _PANDAS else ''}",
        )
        for frame in (*_FRAMES, _PANDAS)
        for scheme in _SCHEMES
        for format in ("", "parquet", "csv")
    ]


@hookimpl
def flytepath_transformers() -> list[TransformerDeclaration]:
    """Pipelines that were fitted."""
    return [
        TransformerDeclaration(
            python_types=("pyspark.ml.pipeline.PipelineModel",),
            transformer="flyte_plugin_spark.pipeline:PipelineModelTransformer",
            format="spark-pipeline",
        )
    ]
