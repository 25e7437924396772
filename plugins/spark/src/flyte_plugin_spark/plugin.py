"""The manifest: what this plugin gives, as names. It imports nothing but the contract."""

from __future__ import annotations

from flytepath.plugin import (
    BackendDeclaration,
    DataframeCodecDeclaration,
    MigrationDeclaration,
    PollPolicy,
    TaskTypeDeclaration,
    TransformerDeclaration,
    hookimpl,
)

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
            # Wherever a worker runs, it is the driver.
            plain_worker=True,
            contract_minor=2,
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


@hookimpl
def flytepath_backends() -> list[BackendDeclaration]:
    """Drivers and executors in pods of a cluster, by the Spark operator."""
    return [
        BackendDeclaration(
            name="spark-operator",
            backend="flyte_plugin_spark.operator_backend:SparkOperatorBackend",
            settings="flyte_plugin_spark.operator_settings:SparkOperatorSettings",
            settings_base="kubernetes",
            settings_merge="flyte_plugin_kubernetes.merging:merge_settings",
            check="flyte_plugin_spark.operator_backend:check_request",
            runs_workers=True,
            idempotency="B",
            batch_limit=1000,
            name_limit=63,
            call_seconds=60.0,
            poll=PollPolicy(first=1.0, longest=15.0),
            contract_minor=2,
        )
    ]


@hookimpl
def flytepath_migrations() -> list[MigrationDeclaration]:
    """Where the names of flytekit's plugin are."""
    return [
        MigrationDeclaration(source="flytekitplugins.spark", target="flyte_plugin_spark"),
        MigrationDeclaration(source="flytekitplugins.spark.task", target="flyte_plugin_spark"),
    ]
