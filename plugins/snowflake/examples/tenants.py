"""Three tenants share one account of Snowflake fairly, whoever came first and however much each wants.

The account takes so many queries at once. The pool ``snowflake/<account>`` is that limit: every query of the plugin
asks for one token of it, without anybody's doing. Say in ``flytepath.toml`` how many there are, and who gets how much:

    [backends.snowflake]
    account = "acme-eu"
    user = "ETL"
    warehouse = "SMALL"
    database = "SALES"
    schema = "PUBLIC"
    password = {group = "snowflake", key = "password"}

    [pools."snowflake/acme-eu"]
    limit = 3                       # what the account takes

    [pools."snowflake/acme-eu".weights]
    research = 2                    # twice the share of the others, while all want more than there is

    [pools."snowflake/acme-eu".caps]
    growth = 2                      # never more than two at once, even when nobody else wants any

Then let three projects ask for more than there is, each from a terminal of its own:

    flytepath run --project research examples/tenants.py report --queries 20
    flytepath run --project sales    examples/tenants.py report --queries 20
    flytepath run --project growth   examples/tenants.py report --queries 20

``flytepath pools show snowflake/acme-eu`` tells who holds what, who waits, and behind whom.
"""

from __future__ import annotations

from flyte_plugin_snowflake import SnowflakeTask
from flytepath import dynamic, workflow

#: Stands for a query that takes a while.
slow_query = SnowflakeTask(name="slow_query", query_template="call system$wait(1)")


@dynamic
def ask(queries: int) -> int:
    for _ in range(queries):
        slow_query()
    return queries


@workflow
def report(queries: int = 20) -> int:
    """Asks so many queries; how many there were."""
    return ask(queries=queries)
