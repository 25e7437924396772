"""The manifest: what this plugin gives, as names. It imports nothing but the contract."""

from __future__ import annotations

from flytepath.plugin import (
    BackendDeclaration,
    DataframeCodecDeclaration,
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
            check="flyte_plugin_snowflake.plans:check_request",
            idempotency="B",
            batch_limit=100,
            visibility_seconds=10.0,
            name_limit=63,
            # A large result takes its time; every other call has a shorter time of its own.
            call_seconds=3600.0,
            poll=PollPolicy(first=1.0, longest=30.0),
            rate_limits=(RateLimit(per_second=20.0, burst=40),),
            pools=(PoolDeclaration(name="snowflake/{account}", limit=20),),
        )
    ]


@hookimpl
def flytepath_dataframe_codecs() -> list[DataframeCodecDeclaration]:
    """Tables at ``snowflake://`` as Arrow's; core makes pandas' and polars' frames of those."""
    return [
        DataframeCodecDeclaration(
            frame_type="pyarrow.lib.Table",
            scheme="snowflake",
            format=format,
            encoder="flyte_plugin_snowflake.datasets_writing:encode_table",
            decoder="flyte_plugin_snowflake.datasets_reading:decode_table",
            contract_minor=2,
        )
        for format in ("", "snowflake")
    ]


@hookimpl
def flytepath_migrations() -> list[MigrationDeclaration]:
    """Where the names of flytekit's plugin are."""
    return [
        MigrationDeclaration(source="flytekitplugins.snowflake", target="flyte_plugin_snowflake"),
        MigrationDeclaration(source="flytekitplugins.snowflake.task", target="flyte_plugin_snowflake"),
    ]
