"""``FlyteSchema``, for code that comes from flytekit: a table with typed columns, opened for reading or writing.

    flytepath run examples/schema.py report

What it shows:

- ``FlyteSchema[kwtypes(...)]``: the declared columns are checked;
- ``open().write(frame)`` and ``open().all()``, with frames of pandas.

New code says the same with ``StructuredDataset``. The data are the highest mountains of five continents.
"""

from __future__ import annotations

import pandas as pd
from flytepath import FlyteSchema, kwtypes, task, workflow

Mountains = FlyteSchema[kwtypes(name=str, metres=int)]


@task
def mountains() -> Mountains:
    """Five rows."""
    made = Mountains()
    names = ["Everest", "Aconcagua", "Denali", "Kilimanjaro", "Elbrus"]
    made.open().write(pd.DataFrame({"name": names, "metres": [8849, 6961, 6190, 5895, 5642]}))
    return made


@task
def above(table: Mountains, metres: int) -> list[str]:
    """The names of the higher ones."""
    frame: pd.DataFrame = table.open().all()
    return [str(name) for name in frame[frame["metres"] > metres]["name"]]


@workflow
def report(metres: int = 6000) -> list[str]:
    """The mountains above."""
    return above(table=mountains(), metres=metres)
