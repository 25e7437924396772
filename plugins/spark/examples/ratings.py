"""Ratings of films on Spark: frames by reference, a function of the user's on executors, a fitted pipeline.

flytepath run ratings.py recommend
flytepath run ratings.py recommend --at-least 3
MASTER=spark://host:7077 flytepath run ratings.py recommend
SPARK_REMOTE=sc://host:15002 flytepath run ratings.py means
"""

from __future__ import annotations

import pandas as pd
from flyte_plugin_spark import Spark, partitioned_by
from flytepath import current_context, task, workflow
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.feature import StringIndexer
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

SPARK = Spark(spark_conf={"spark.sql.shuffle.partitions": "2"})


@task
def ratings() -> pd.DataFrame:
    """What people said of films, in pandas."""
    return pd.DataFrame(
        {
            "film": ["alien", "brazil", "alien", "casablanca", "brazil", "alien"],
            "year": [2023, 2023, 2024, 2024, 2024, 2024],
            "stars": [5, 2, 4, 5, 3, 3],
        }
    )


def scaled(stars):  # type: ignore[no-untyped-def]  # Spark takes annotations of a function for something else
    """From five stars to a share of them; executors import it from the code bundle."""
    return stars / 5


@task(task_config=SPARK)
def by_film(ratings: DataFrame) -> DataFrame:
    """The mean of each film in each year, in a folder for each year."""
    share = F.udf(scaled, "double")
    found = ratings.groupBy("film", "year").agg(F.avg(share("stars")).alias("share"), F.count("*").alias("votes"))
    return partitioned_by(found, "year")


@task(task_config=SPARK)
def indexed(means: DataFrame) -> PipelineModel:
    """Numbers for the names of films."""
    return Pipeline(stages=[StringIndexer(inputCol="film", outputCol="number")]).fit(means)


@task(task_config=SPARK)
def best(means: DataFrame, films: PipelineModel, year: int, at_least: int) -> list[str]:
    """The films of a year with so many votes, the best first; other years' folders are not read."""
    current_context().logging.info("looking at %d", year)
    known = films.transform(means.where((F.col("year") == year) & (F.col("votes") >= at_least)))
    return [row.film for row in known.orderBy(F.desc("share"), "number").collect()]


@task
def rounded(means: pd.DataFrame) -> dict[str, float]:
    """The same in pandas, with the column that the folders say."""
    return {f"{row.film} {row.year}": round(row.share, 2) for row in means.sort_values(["film", "year"]).itertuples()}


@workflow
def means() -> dict[str, float]:
    return rounded(means=by_film(ratings=ratings()))


@workflow
def recommend(year: int = 2024, at_least: int = 1) -> list[str]:
    found = by_film(ratings=ratings())
    return best(means=found, films=indexed(means=found), year=year, at_least=at_least)
