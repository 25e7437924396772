"""The settings of the backend ``spark-operator``: those of ``kubernetes``, and what only Spark asks for."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from flyte_plugin_spark.errors import SparkSetupError

try:
    from flyte_plugin_kubernetes import KubernetesSettings
except ImportError as error:
    raise SparkSetupError(
        "Spark on Kubernetes stands on the Kubernetes plugin, which is not installed",
        actual=str(error),
        hint="pip install 'flyte-plugin-spark[kubernetes]'",
    ) from error

#: Where an image that was built from a plain Python one has the driver's program after ``pip install``.
DRIVER_FILE: Final = "local:///usr/local/bin/flytepath-spark-driver.py"


class SparkOperatorSettings(KubernetesSettings):
    """What ``[backends.spark-operator]`` may say, over what ``[backends.kubernetes]`` says.

    Args:
        application_file: where the image has the program of the driver.
        spark_version: the image's Spark, as the operator is told it.
        executors: how many executors a task has that does not say it (``spark.executor.instances``).

    Example:
        >>> SparkOperatorSettings(image="example.com/spark:4").executors
        1
    """

    application_file: Annotated[str, Field(min_length=1)] = DRIVER_FILE
    spark_version: Annotated[str, Field(pattern=r"^\d+\.\d+(\.\d+)?$")] = "4.0.0"
    executors: Annotated[int, Field(ge=1)] = 1
