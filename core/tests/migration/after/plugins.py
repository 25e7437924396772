"""Plugins, at their roots and deeper."""

import flyte_plugin_wandb
import flyte_plugin_kubernetes as pods
from flytepath import ImageSpec, task
import flyte_plugin_snowflake
from flytepath import FrameProfilingRenderer, MarkdownRenderer
from flyte_plugin_pytorch import Elastic, PyTorch, Worker
from flyte_plugin_spark import Spark
from flytekitplugins.spark import SparkDataFrameTransformer
import flytekitplugins.polars

IMAGE = ImageSpec(
    name="trainer",
    packages=["flyte-plugin-pytorch", "flytepath", "torch", "flytekitplugins-mlflow"],
)


@task(task_config=Spark(spark_conf={"spark.driver.memory": "1g"}), container_image=IMAGE)
def spark() -> None: ...


@task(task_config=Elastic(nnodes=2))
@flyte_plugin_wandb.wandb_init(project="p", entity="e")
def elastic() -> None: ...


QUERY = flyte_plugin_snowflake.SnowflakeTask(name="q", query_template="select 1", task_config=flyte_plugin_snowflake.SnowflakeConfig())
POD = pods.Pod()
