"""``PipelineModel``: a fitted pipeline of Spark's machine learning, kept as the folder that Spark itself writes."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from flytepath import current_context
from flytepath.plugin import BlobSink, BlobSource, Literal, LiteralType, TypeTransformer, TypeTransformerFailedError

from flyte_plugin_spark.errors import spark_errors
from flyte_plugin_spark.places import folder_below, is_reached_by_spark, spark_uri


class PipelineModelTransformer(TypeTransformer[Any]):
    """A pipeline by reference to its folder below the prefix of the attempt that fitted it."""

    format: ClassVar[str] = "spark-pipeline"

    def literal_type(self, t: Any) -> LiteralType:
        return LiteralType("opaque", name="pyspark.ml.pipeline.PipelineModel", format=self.format)

    def encode(self, value: Any, t: Any, sink: BlobSink) -> Literal:
        self._check(value)
        from flyte_plugin_spark.frames import attempt

        known = attempt.get()
        prefix = known.prefix if known is not None else current_context().raw_output_prefix
        place = folder_below(prefix, f"pipeline-{uuid.uuid4().hex}")
        if not is_reached_by_spark(place):
            raise TypeTransformerFailedError(
                "Spark cannot write to where outputs are kept", place=place, expected="a folder, s3://, gs:// ..."
            )
        with spark_errors(f"the pipeline for {place}"):
            value.write().save(spark_uri(place))
        facts = {"uri": place, "stages": [type(stage).__name__ for stage in value.stages]}
        return Literal.make(self.literal_type(t), facts, format=self.format, version=self.format_version)

    def decode(self, literal: Literal, t: Any, source: BlobSource) -> Any:
        data = literal.data
        if literal.format != self.format or not isinstance(data, dict) or not isinstance(data.get("uri"), str):
            raise TypeTransformerFailedError("this is no pipeline", expected=self.format, actual=literal.format)
        from pyspark.ml import PipelineModel

        from flyte_plugin_spark.frames import attempt
        from flyte_plugin_spark.session import session_of_frames

        if attempt.get() is None:
            session_of_frames()
        with spark_errors(f"the pipeline at {data['uri']}"):
            return PipelineModel.load(spark_uri(data["uri"]))

    def isolate(self, value: Any, t: Any) -> Any:
        """Itself: nothing changes a pipeline that was fitted."""
        self._check(value)
        return value

    def summary(self, value: Any) -> Any:
        return {"stages": [type(stage).__name__ for stage in value.stages]}

    @staticmethod
    def _check(value: Any) -> None:
        from pyspark.ml import PipelineModel

        if not isinstance(value, PipelineModel):
            raise TypeTransformerFailedError(
                "a fitted pipeline is expected",
                expected="pyspark.ml.PipelineModel",
                actual=f"{type(value).__module__}.{type(value).__qualname__}",
                hint="fit() of a Pipeline gives one",
            )
