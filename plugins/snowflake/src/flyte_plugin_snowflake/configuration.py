"""``SnowflakeConfig``: which account, database and warehouse a query is for, and how its result comes back."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from flytepath.plugin import DefinitionError, SecretReference

Json = Any
#: The fields that are names at the service. One that is empty is taken from ``[backends.snowflake]``.
PLACES = ("account", "user", "database", "schema", "warehouse", "role")
#: The fields that are secrets.
SECRETS = ("password", "private_key", "private_key_passphrase", "token")


@dataclass(frozen=True, slots=True)
class SnowflakeConfig:
    """Selects the task type of a :class:`~flyte_plugin_snowflake.SnowflakeTask`.

    Args:
        user, account, database, schema, warehouse, role: where the query runs and as whom. What is left empty comes
            from the settings of the backend.
        password, private_key, private_key_passphrase, token: references to secrets of the execution's own project, in
            place of those of the settings. A key is PEM text; a token is of OAuth or one that Snowflake made.
        authenticator: the connector's word for how to log in, where the kind of the secret does not say it.
        session_parameters: parameters of Snowflake for this query, such as ``{"TIMEZONE": "UTC"}``.

    Raises:
        DefinitionError: a field is no text, or no reference.

    Example:
        >>> SnowflakeConfig(account="acme-eu", database="SALES", warehouse="SMALL").to_json()
        {'account': 'acme-eu', 'database': 'SALES', 'warehouse': 'SMALL'}
    """

    user: str = ""
    account: str = ""
    database: str = ""
    schema: str = ""
    warehouse: str = ""
    role: str = ""
    password: SecretReference | None = None
    private_key: SecretReference | None = None
    private_key_passphrase: SecretReference | None = None
    token: SecretReference | None = None
    authenticator: str = ""
    session_parameters: tuple[tuple[str, str], ...] | dict[str, str] = ()

    def __post_init__(self) -> None:
        for field in (*PLACES, "authenticator"):
            value = getattr(self, field)
            if not isinstance(value, str):
                raise DefinitionError(
                    f"{field} is text", place=f"SnowflakeConfig({field})", expected="str", actual=repr(value)
                )
        for field in SECRETS:
            value = getattr(self, field)
            if value is None or isinstance(value, SecretReference):
                continue
            if hasattr(value, "group") and hasattr(value, "key"):
                reference = SecretReference(str(value.group or ""), str(value.key or ""))
                object.__setattr__(self, field, reference)
                continue
            # Not repr(value): it may be the secret itself.
            raise DefinitionError(
                f"{field} is a reference to a secret, never the secret itself",
                place=f"SnowflakeConfig({field})",
                expected="Secret(group=..., key=...)",
                actual=type(value).__name__,
            )
        given = self.session_parameters
        pairs = tuple(
            sorted((str(k).upper(), str(v)) for k, v in (given.items() if isinstance(given, dict) else given))
        )
        taken = [name for name, _ in pairs if name in ("QUERY_TAG", "MULTI_STATEMENT_COUNT")]
        if taken:
            raise DefinitionError(
                f"{taken[0]} is FlytePath's own: it finds its queries by it",
                place="SnowflakeConfig(session_parameters)",
            )
        object.__setattr__(self, "session_parameters", pairs)

    def to_json(self) -> dict[str, Json]:
        """Plain data with only the fields that say something."""
        found: dict[str, Json] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if not value:
                continue
            if isinstance(value, SecretReference):
                value = reference_json(value)
            found[field.name] = dict(value) if field.name == "session_parameters" else value
        order = (*PLACES, *SECRETS, "authenticator", "session_parameters")
        return {name: found[name] for name in order if name in found}


def reference_json(reference: SecretReference) -> list[str]:
    """A reference as JSON.

    Example:
        >>> reference_of(reference_json(SecretReference("snowflake", "password")))
        SecretReference(group='snowflake', key='password', scheme='', version='')
    """
    return [reference.group, reference.key, reference.scheme, reference.version]


def reference_of(data: list[str]) -> SecretReference:
    """The inverse of :func:`reference_json`."""
    return SecretReference(*data)
