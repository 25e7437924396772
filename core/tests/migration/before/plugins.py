"""Plugins, at their roots and deeper."""

import flytekitplugins.wandb
import flytekitplugins.pod as pods
from flytekit import ImageSpec, task
from flytekitplugins import snowflake
from flytekitplugins.deck.renderer import FrameProfilingRenderer, MarkdownRenderer
from flytekitplugins.kfpytorch.task import Elastic, PyTorch, Worker
from flytekitplugins.spark import Spark, SparkDataFrameTransformer
import flytekitplugins.polars

IMAGE = ImageSpec(
    name="trainer",
    packages=["flytekitplugins-kfpytorch>=1.10", "flytekit", "torch", "flytekitplugins-mlflow"],
)


@task(task_config=Spark(spark_conf={"spark.driver.memory": "1g"}), container_image=IMAGE)
def spark() -> None: ...


@task(task_config=Elastic(nnodes=2))
@flytekitplugins.wandb.wandb_init(project="p", entity="e")
def elastic() -> None: ...


QUERY = snowflake.SnowflakeTask(name="q", query_template="select 1", task_config=snowflake.SnowflakeConfig())
POD = pods.Pod()
