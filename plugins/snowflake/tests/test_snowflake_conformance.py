"""The plugin and its task type keep to the contract, as the conformance kit tells it."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from flyte_plugin_snowflake import SnowflakeConfig
from flyte_plugin_snowflake.task import SnowflakeTaskType
from flytepath import StructuredDataset
from flytepath.plugin import LiteralType, SecretReference, TaskDeclaration
from flytepath.testing import PluginConformance, TaskTypeConformance

SECRETS = SecretReference("snowflake", "key"), SecretReference("snowflake", "passphrase")


class TestPlugin(PluginConformance):
    plugin = "snowflake"


class TestTaskType(TaskTypeConformance):
    task_type = SnowflakeTaskType
    name = "snowflake"
    calls_body = False

    def config_samples(self) -> Iterable[SnowflakeConfig]:
        key, passphrase = SECRETS
        return [
            SnowflakeConfig(),
            SnowflakeConfig(account="acme-eu", user="ETL", database="SALES", schema="PUBLIC", warehouse="S", role="R"),
            SnowflakeConfig(private_key=key, private_key_passphrase=passphrase, session_parameters={"b": 1, "a": True}),
            SnowflakeConfig(token=key, authenticator="programmatic_access_token", result="reference"),
        ]

    def declaration(self, config: SnowflakeConfig) -> TaskDeclaration:
        return TaskDeclaration(
            name="conformance.query",
            config=config,
            inputs={"least": LiteralType("float"), "names": LiteralType.list_of(LiteralType("string"))},
            outputs={"results": LiteralType("dataframe")},
            python_inputs={"least": float, "names": list[str]},
            python_outputs={"results": StructuredDataset},
            source="select * from orders where total > {{ .inputs.least }} and name in {{ .inputs.names }}",
            body="sql",
        )


def test_the_session_parameters_are_the_same_in_any_order() -> None:
    one, other = (
        SnowflakeConfig(session_parameters={"b": 1, "a": True}),
        SnowflakeConfig(session_parameters={"A": "true", "B": "1"}),
    )
    assert one == other
    assert one.to_json() == {"session_parameters": {"A": "true", "B": "1"}}


@pytest.mark.parametrize("name", ["query_tag", "MULTI_STATEMENT_COUNT"])
def test_parameters_by_which_queries_are_found_are_refused(name: str) -> None:
    from flyte_plugin_snowflake.errors import SnowflakeConfigError

    with pytest.raises(SnowflakeConfigError, match="FlytePath's own"):
        SnowflakeConfig(session_parameters={name: "x"})
