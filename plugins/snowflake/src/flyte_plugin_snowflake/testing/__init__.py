"""The double of the service, for tests: see :mod:`flyte_plugin_snowflake.testing.service`."""
