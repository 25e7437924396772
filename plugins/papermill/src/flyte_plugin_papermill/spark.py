"""The Spark session of a task in the kernel of its notebook: the same session, not a second one.

The task's process has the session (``task_config=Spark(...)``); the kernel is told where its Java, or its Connect
server, listens. A kernel of IPython is attached before its first cell, so that ``SparkSession.builder.getOrCreate()``
gives that session too.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

#: What a kernel of IPython runs before its first cell.
ATTACH: Final = "__import__('flyte_plugin_papermill.spark').spark.load_spark_session()"
_PORT: Final = "PYSPARK_GATEWAY_PORT"
_SECRET: Final = "PYSPARK_GATEWAY_SECRET"
_REMOTE: Final = "SPARK_REMOTE"


def variables_of(session: Any) -> dict[str, str]:
    """The environment variables by which another process of this machine reaches ``session``."""
    if ".connect." in type(session).__module__:
        builder = session.client._builder
        return {_REMOTE: str(getattr(builder, "url", "") or os.environ.get(_REMOTE, ""))}
    gateway = session.sparkContext._gateway
    parameters = getattr(gateway, "java_parameters", None) or gateway.gateway_parameters
    return {_PORT: str(parameters.port), _SECRET: str(parameters.auth_token)}


def is_told(env: Mapping[str, str]) -> bool:
    """Whether a process with these variables can reach the session of a task."""
    return _PORT in env or bool(env.get(_REMOTE))


def load_spark_session() -> Any:
    """The session of the task that runs this notebook; run by hand, a session as pyspark makes it.

    Raises:
        ImportError: pyspark is not installed in this kernel.
    """
    from pyspark.sql import SparkSession

    if _PORT not in os.environ:
        return SparkSession.builder.getOrCreate()
    active = SparkSession.getActiveSession()
    if active is not None:
        return active
    from pyspark import SparkConf, SparkContext
    from pyspark.java_gateway import launch_gateway

    if SparkContext._active_spark_context is None:
        gateway = launch_gateway()  # which finds the one that runs
        spark = gateway.jvm.org.apache.spark
        java = spark.api.java.JavaSparkContext.fromSparkContext(spark.SparkContext.getOrCreate())
        SparkContext(gateway=gateway, jsc=java, conf=SparkConf(_jvm=gateway.jvm, _jconf=java.getConf()))
    return SparkSession.builder.getOrCreate()
