"""Tables between tasks: frames of any library with all that they have, only the declared columns, and arrays.

    flytepath run examples/frames.py earthquakes
    flytepath run examples/frames.py earthquakes --least 9.0

What it shows:

- a pandas frame that goes from task to task with its dtypes, categories, time zone and index;
- ``Annotated[..., kwtypes(...)]``: a task that declares two columns is handed these two, checked;
- the same table as an Arrow table, which is what the task after it asks for;
- a numpy array that is mapped into memory, not copied.

The data are the strongest earthquakes since 1900, from the U.S. Geological Survey.
Needs ``pip install 'flytepath[frames]'``. For tables that are kept as files see ``structured_dataset.py``.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
import pandas as pd
import pyarrow as pa
from flytepath import kwtypes, task, workflow

QUAKES = [
    ("1906-01-31 15:36", "South America", 8.8),
    ("1950-08-15 14:09", "Asia", 8.6),
    ("1952-11-04 16:58", "Asia", 9.0),
    ("1957-03-09 14:22", "North America", 8.6),
    ("1960-05-22 19:11", "South America", 9.5),
    ("1964-03-28 03:36", "North America", 9.2),
    ("1965-02-04 05:01", "North America", 8.7),
    ("2004-12-26 00:58", "Asia", 9.1),
    ("2005-03-28 16:09", "Asia", 8.6),
    ("2010-02-27 06:34", "South America", 8.8),
    ("2011-03-11 05:46", "Asia", 9.1),
    ("2012-04-11 08:38", "Asia", 8.6),
]
Strengths = Annotated[pd.DataFrame, kwtypes(region=str, magnitude=float)]
Mapped = Annotated[np.ndarray, kwtypes(mmap_mode="r")]


@task
def load(least: float) -> pd.DataFrame:
    """Regions are categories, in the order in which they are to be shown; the index is the time, in UTC."""
    frame = pd.DataFrame(QUAKES, columns=["at", "region", "magnitude"])
    regions = pd.Categorical(frame["region"], categories=["South America", "North America", "Asia"], ordered=True)
    frame = frame.assign(at=pd.to_datetime(frame["at"], utc=True), region=regions).set_index("at")
    return frame[frame["magnitude"] >= least]


@task
def strongest(quakes: Strengths) -> dict[str, float]:
    """The strongest of each region."""
    found = quakes.groupby("region", observed=True)["magnitude"].max()
    return {str(region): float(magnitude) for region, magnitude in found.items()}


@task
def years(quakes: pa.Table) -> list[int]:
    """When they were; the index came along as a column."""
    return [moment.year for moment in quakes.column("at").to_pylist()]


@task
def energies(quakes: pd.DataFrame) -> np.ndarray:
    """In joules, by Gutenberg and Richter."""
    return 10 ** (1.5 * quakes["magnitude"].to_numpy() + 4.8)


@task
def share_of_largest(values: Mapped) -> float:
    """How much of all the energy came from one of them; the array lies in the store's file and cannot be changed."""
    return round(float(values.max() / values.sum()), 3)


@workflow
def earthquakes(least: float = 8.6) -> tuple[pd.DataFrame, dict[str, float], list[int], float]:
    """A table and three views of it."""
    quakes = load(least=least)
    share = share_of_largest(values=energies(quakes=quakes))
    return quakes, strongest(quakes=quakes), years(quakes=quakes), share
