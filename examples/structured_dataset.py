"""Tables of any library: ``StructuredDataset`` says what is in a table, and lets the reader choose how to read it.

    flytepath run examples/structured_dataset.py iris
    flytepath run examples/structured_dataset.py iris --smallest 1.5

What it shows:

- ``Annotated[StructuredDataset, kwtypes(...), PARQUET]``: the columns are declared, checked, and kept as Parquet;
- ``open(pa.Table).all()`` reads the table as Arrow, ``open(pd.DataFrame)`` as pandas, ``iter()`` piece by piece;
- a task that declares fewer columns is handed only these.

The data are Fisher's irises, which scikit-learn brings along. Needs ``pip install 'flytepath[quickstart]'``.
"""

from __future__ import annotations

from typing import Annotated

import pandas as pd
import pyarrow as pa
from flytepath import PARQUET, StructuredDataset, kwtypes, task, workflow

Flowers = Annotated[StructuredDataset, kwtypes(species=str, petal_length=float, petal_width=float), PARQUET]
Lengths = Annotated[StructuredDataset, kwtypes(species=str, petal_length=float)]


@task
def load() -> Flowers:
    """Three columns of the measurements."""
    from sklearn.datasets import load_iris

    data = load_iris(as_frame=True)
    frame = data.frame.rename(columns={"petal length (cm)": "petal_length", "petal width (cm)": "petal_width"})
    frame["species"] = [str(data.target_names[number]) for number in data.target]
    return StructuredDataset(dataframe=frame[["species", "petal_length", "petal_width"]])


@task
def mean_lengths(flowers: Lengths) -> dict[str, float]:
    """Of every species, with pandas; the widths were not read."""
    frame: pd.DataFrame = flowers.open(pd.DataFrame).all()
    means = frame.groupby("species")["petal_length"].mean()
    return {str(species): round(float(mean), 3) for species, mean in means.items()}


@task
def count(flowers: StructuredDataset, smallest: float) -> int:
    """How many are at least so long, with Arrow, piece by piece."""
    pieces = flowers.open(pa.Table).iter()
    return sum(length >= smallest for piece in pieces for length in piece.column("petal_length").to_pylist())


@workflow
def iris(smallest: float = 5.0) -> tuple[Flowers, dict[str, float], int]:
    """A table and two views of it."""
    flowers = load()
    return flowers, mean_lengths(flowers=flowers), count(flowers=flowers, smallest=smallest)
