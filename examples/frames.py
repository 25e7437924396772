"""Tables between tasks: any library's frames, only the declared columns, pieces of a table, and files of it.

    flytepath run examples/frames.py shop
    flytepath run examples/frames.py shop --customers 500

What it shows:

- a pandas frame that goes from task to task with its dtypes, categories and index;
- ``Annotated[..., kwtypes(...)]``: a task that declares two columns is handed these two, checked;
- a ``StructuredDataset`` written as Parquet and read as an Arrow table, whole or piece by piece;
- a numpy array that is mapped into memory, not copied.

Needs ``pip install 'flytepath[frames]'``.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
import pandas as pd
import pyarrow as pa
from flytepath import PARQUET, StructuredDataset, kwtypes, task, workflow

Amounts = Annotated[pd.DataFrame, kwtypes(region=str, amount=float)]
Sales = Annotated[StructuredDataset, kwtypes(region=str, amount=float), PARQUET]
Mapped = Annotated[np.ndarray, kwtypes(mmap_mode="r")]


@task
def orders(customers: int) -> pd.DataFrame:
    """One order of each customer; the regions are categories, in the order in which they are to be shown."""
    numbers = np.arange(customers)
    return pd.DataFrame(
        {
            "region": pd.Categorical.from_codes(numbers % 3, categories=["north", "south", "west"], ordered=True),
            "amount": 10.0 + numbers % 7,
            "at": pd.date_range("2024-01-01", periods=customers, freq="h", tz="Europe/Berlin"),
        },
        index=pd.Index(numbers, name="customer"),
    )


@task
def totals(frame: Amounts) -> dict[str, float]:
    """What each region ordered. The column ``at`` was not even read."""
    sums = frame.groupby("region", observed=True)["amount"].sum()
    return {str(region): float(amount) for region, amount in sums.items()}


@task
def export(frame: pd.DataFrame) -> Sales:
    """The same table as Parquet, which is what is kept and given to others."""
    return StructuredDataset(dataframe=frame)


@task
def largest(sales: StructuredDataset) -> float:
    """The largest order, found piece by piece: the table is never in memory as a whole."""
    pieces = sales.open(pa.Table).iter()
    return max(max(piece.column("amount").to_pylist()) for piece in pieces)


@task
def amounts(sales: StructuredDataset) -> np.ndarray:
    """All amounts as an array."""
    frame: pd.DataFrame = sales.open(pd.DataFrame).all()
    return frame["amount"].to_numpy()


@task
def mean(values: Mapped) -> float:
    """Their mean; the array lies in the store's file and cannot be changed."""
    return float(values.mean())


@workflow
def shop(customers: int = 90) -> tuple[dict[str, float], float, float]:
    """What each region ordered, the largest order, and the mean."""
    frame = orders(customers=customers)
    sales = export(frame=frame)
    return totals(frame=frame), largest(sales=sales), mean(values=amounts(sales=sales))


if __name__ == "__main__":
    print(shop())
