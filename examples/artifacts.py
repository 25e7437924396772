"""Artifacts: outputs with a name and partitions, by which they can be asked for later.

    flytepath run examples/artifacts.py publish

What it shows:

- ``Artifact(...)`` beside an output's type gives it a name; partitions come from inputs, ``Inputs.city``;
- ``create_from`` where only the code knows a partition;
- ``query`` says which one is wanted; the tables of a service answer it in a later version of FlytePath.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from flytepath import Artifact, FlyteFile, Inputs, task, workflow

Almanac = Artifact(name="almanac", partition_keys=["city"], time_partitioned=True)
Summary = Artifact(name="summary", partition_keys=["season"])

newest_of_oslo = Almanac.query(city="Oslo")


@task
def write(city: str, day: dt.datetime) -> Annotated[FlyteFile, Almanac(city=Inputs.city, time_partition=Inputs.day)]:
    """The almanac of a city for a day."""
    file = FlyteFile.new("almanac.txt")
    with file.open("w") as out:
        out.write(f"{city}, {day:%d %B %Y}, day {day:%j} of the year\n")
    return file


@task
def summarise(almanac: FlyteFile, day: dt.datetime) -> Annotated[str, Summary]:
    """In a sentence; the season is known only here."""
    with almanac.open("r") as given:
        text = given.read().strip()
    return Summary.create_from(text, season="summer" if 4 <= day.month <= 9 else "winter")


@workflow
def publish(city: str = "Oslo", day: dt.datetime = dt.datetime(2024, 6, 20)) -> str:
    """Write the almanac and sum it up."""
    return summarise(almanac=write(city=city, day=day), day=day)
