"""The code on the page about tables is right."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
from flyte_plugin_snowflake.testing.service import Account, SnowflakeService
from snowflake_dataset_asking import asking

PAGE = Path(__file__).parents[3] / "docs" / "snowflake-tables.md"


def test_the_tasks_on_the_page_run(
    snowflake_home: Path, snowflake_service: SnowflakeService, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
    (snowflake_home / "page_of_tables.py").write_text(code)
    monkeypatch.syspath_prepend(str(snowflake_home))
    import page_of_tables  # type: ignore[import-not-found]

    with asking(snowflake_service) as ask:
        ask("create table ORDERS (customer varchar, total float, note varchar)")
        ask("insert into ORDERS values ('Ada', 150, ''), ('Ben', 50, '')")
        found = page_of_tables.large(orders=page_of_tables.orders())
        assert found.open(pd.DataFrame).all().to_dict("list") == {"customer": ["Ada"], "total": [150.0]}
        assert ask('select "customer" from LARGE_ORDERS') == [("Ada",)]
