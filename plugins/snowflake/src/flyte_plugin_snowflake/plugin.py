"""The manifest: what this plugin gives, as names. It imports nothing but the contract."""

from __future__ import annotations

from flytepath.plugin import (
    BackendDeclaration,
    MigrationDeclaration,
    PollPolicy,
    PoolDeclaration,
    RateLimit,
    TaskTypeDeclaration,
    hookimpl,
)


@hookimpl
def flytepath_task_types() -> list[TaskTypeDeclaration]:
    """Queries that Snowflake runs."""
    return [
        TaskTypeDeclaration(
            name="snowflake",
            task_type="flyte_plugin_snowflake.task:SnowflakeTaskType",
            config="flyte_plugin_snowflake.configuration:SnowflakeConfig",
            default_backend="snowflake",
        )
    ]


@hookimpl
def flytepath_backends() -> list[BackendDeclaration]:
    """The service: queries that were submitted, and are looked at until they end."""
    return [
        BackendDeclaration(
            name="snowflake",
            backend="flyte_plugin_snowflake.backend:SnowflakeBackend",
            settings="flyte_plugin_snowflake.settings:SnowflakeSettings",
            idempotency="B",
            batch_limit=100,
            visibility_seconds=5.0,
            name_limit=63,
            call_seconds=120.0,
            poll=PollPolicy(first=1.0, longest=30.0),
            rate_limits=(RateLimit(per_second=20.0, burst=40),),
            pools=(PoolDeclaration(name="snowflake/{account}", limit=20),),
        )
    ]


@hookimpl
def flytepath_migrations() -> list[MigrationDeclaration]:
    """Where the names of flytekit's plugin are."""
    return [
        MigrationDeclaration(source="flytekitplugins.snowflake", target="flyte_plugin_snowflake"),
        MigrationDeclaration(source="flytekitplugins.snowflake.task", target="flyte_plugin_snowflake"),
    ]
