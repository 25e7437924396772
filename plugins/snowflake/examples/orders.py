"""Tables of Snowflake as inputs and outputs of tasks: read a piece at a time, written as a whole or not at all.

It needs ``[backends.snowflake]`` in ``flytepath.toml``, as in the README, and a table to read:

    create table ORDERS (customer varchar, total number(10, 2));

    flytepath run examples/orders.py best_customers --least 100
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

import pandas as pd
from flyte_plugin_snowflake import table_uri
from flytepath import StructuredDataset, kwtypes, task, workflow

#: Without an account, a database and a schema: those of the settings, which are another project's in another project.
ORDERS = table_uri("ORDERS")
BEST = table_uri("BEST_CUSTOMERS", mode="replace")


@task
def orders() -> StructuredDataset:
    """Refers to a table; nothing is read here."""
    return StructuredDataset(uri=ORDERS)


@task
def totals(
    orders: Annotated[StructuredDataset, kwtypes(customer=str, total=Decimal)], least: float
) -> StructuredDataset:
    """Only the two columns are asked for, and only a piece of the table is in memory at a time."""
    sums: dict[str, Decimal] = {}
    for piece in orders.open(pd.DataFrame).iter():
        for customer, total in zip(piece["customer"], piece["total"], strict=True):
            sums[customer] = sums.get(customer, Decimal(0)) + total
    best = sorted((name, total) for name, total in sums.items() if total >= least)
    frame = pd.DataFrame(best, columns=["CUSTOMER", "TOTAL"])
    return StructuredDataset(dataframe=frame, uri=BEST)


@task
def how_many(best: pd.DataFrame) -> int:
    """A frame as the type of an input is read from the table too."""
    return len(best)


@workflow
def best_customers(least: float = 100.0) -> int:
    """How many customers have ordered for so much; they are in the table ``BEST_CUSTOMERS`` then."""
    return how_many(best=totals(orders=orders(), least=least))
