"""A session of its own for each table that is read or written: it ends with that, and its temporary tables with it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from flytepath import current_context
from flytepath.plugin import SecretReference

from flyte_plugin_snowflake.authentication import SECRETS
from flyte_plugin_snowflake.connections import login
from flyte_plugin_snowflake.datasets_errors import SnowflakeAddressError, SnowflakeTableError, told
from flyte_plugin_snowflake.datasets_uri import Address, address_of, identifier, quoted
from flyte_plugin_snowflake.plans import is_other
from flyte_plugin_snowflake.settings import SnowflakeSettings

Json = Any
#: How text becomes a time, whatever the account's own settings are.
_PARAMETERS: Final = {
    "AUTOCOMMIT": True,
    "CLIENT_OUT_OF_BAND_TELEMETRY_ENABLED": False,
    "CLIENT_TELEMETRY_ENABLED": False,
    "TIMEZONE": "UTC",
    "DATE_INPUT_FORMAT": "AUTO",
    "TIME_INPUT_FORMAT": "AUTO",
    "TIMESTAMP_INPUT_FORMAT": "AUTO",
    "BINARY_INPUT_FORMAT": "HEX",
}
#: The longest query tag that Snowflake takes.
_TAG_LIMIT: Final = 2000


@dataclass(frozen=True, slots=True)
class Target:
    """An address with all that it left out.

    Attributes:
        address: as it was given.
        access: for the login; the account and the user are there.
        table: names of the database, the schema and the table; empty where a result is meant.
        service: host, port, protocol, and how long is waited.
        secrets: references by what they are.
    """

    address: Address
    access: Mapping[str, str]
    table: tuple[str, ...]
    service: Mapping[str, Json]
    secrets: Mapping[str, SecretReference]

    @property
    def place(self) -> str:
        """For people: the URI without its options."""
        return self.address.uri.partition("?")[0]


def target_of(uri: str) -> Target:
    """What a URI means to the task that runs.

    Raises:
        SnowflakeAddressError: it names no table, or nothing says which account, user or schema.
        SnowflakeTableError: nothing says how to log in, or the secrets that do are for another account or user.
        ConfigError: the settings are wrong.
    """
    address = address_of(uri)
    settings: SnowflakeSettings = current_context().backend_settings("snowflake")
    access = dict(address.access)
    elsewhere = is_other(address.access, settings)
    for name in ("account", "user", "warehouse", "role", "authenticator"):
        own = "" if elsewhere else getattr(settings, name)
        if own and name not in access and not (name == "authenticator" and address.secrets):
            access[name] = own
    place = address.uri.partition("?")[0]
    for name in ("account", "user"):
        if name not in access:
            raise SnowflakeAddressError(
                f"nothing says which {name} of Snowflake is meant",
                place=place,
                hint=f"name it in the URI, or set {name} in [backends.snowflake]",
            )
    secrets = address.secrets or {name: found for name in SECRETS if (found := getattr(settings, name)) is not None}
    if not secrets or (elsewhere and not address.secrets):
        raise SnowflakeTableError(
            "nothing says how to log in to Snowflake",
            place=place,
            expected="a secret of the account and the user that the URI names",
            actual=f"secrets of {settings.user}@{settings.account}" if secrets else "none",
            hint="name a secret as password, private_key or token in [backends.snowflake], or in the SnowflakeConfig "
            "that table_uri is given",
        )
    service: dict[str, Json] = {name: getattr(settings, name) for name in ("login_seconds", "answer_seconds")}
    if not elsewhere:
        service.update({name: getattr(settings, name) for name in ("host", "port", "protocol")})
    return Target(address, access, _whole_name(address, settings, place), service, secrets)


def _whole_name(address: Address, settings: SnowflakeSettings, place: str) -> tuple[str, ...]:
    if address.query_id:
        return ()
    around = (settings.database, settings.schema_name)[: 3 - len(address.names)]
    if not all(around):
        missing = "database" if not around[0] else "schema"
        raise SnowflakeAddressError(
            f"nothing says which {missing} the table is in",
            place=place,
            hint=f"name it in the URI, or set {missing} in [backends.snowflake]",
        )
    return (*(identifier(name, f"backends.snowflake ({name})") for name in around), *address.names)


@contextmanager
def session(target: Target) -> Iterator[Any]:
    """A connection; what goes wrong inside leaves as an error of ours.

    Raises:
        SecretNotFoundError: a secret is nowhere.
        SnowflakeTableError: the login, or what is done inside, is refused.
        SnowflakeAwayError: Snowflake cannot be reached, or has trouble.
    """
    context = current_context()
    secrets = {
        name: context.secrets.get(
            found.group or None, found.key or None, found.version or None, encode_mode="rb", scheme=found.scheme
        )
        for name, found in target.secrets.items()
    }
    tag = json.dumps({"flytepath-dataset": [str(context.execution_id), context.node_path]})
    with told(target.place):
        options = {
            # When it is closed the session ends: no query of it is to go on, and no temporary table to stay.
            "server_session_keep_alive": False,
            "session_parameters": {**_PARAMETERS, "QUERY_TAG": tag[:_TAG_LIMIT]},
        }
        connection = login(
            {**target.access, **_around(target.table or target.address.names)}, target.service, secrets, options
        )
        del secrets
        try:
            yield connection
        finally:
            connection.close(retry=False)


def _around(names: tuple[str, ...]) -> dict[str, str]:
    """The database and the schema that the session stands in."""
    return {what: _as_said(name) for what, name in zip(("database", "schema"), names, strict=False)}


def _as_said(name: str) -> str:
    return name if name == identifier(name, "") else quoted(name)
