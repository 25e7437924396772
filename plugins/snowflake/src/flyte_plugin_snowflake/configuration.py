"""``SnowflakeConfig``: which account, database and warehouse a query is for, and how its result comes back."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Any, Final, Literal

from flytepath.plugin import SecretReference

from flyte_plugin_snowflake.authentication import SECRETS, refused
from flyte_plugin_snowflake.errors import SnowflakeConfigError

Json = Any
#: The fields that are names at the service. One that is empty is taken from ``[backends.snowflake]``.
PLACES = ("account", "user", "database", "schema", "warehouse", "role")
#: An account identifier. The connector makes the host's name of it: anything else could lead elsewhere.
ACCOUNT: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?")
#: Parameters that FlytePath sets itself.
_OWN = ("QUERY_TAG", "MULTI_STATEMENT_COUNT", "REQUESTID")


@dataclass(frozen=True, slots=True)
class SnowflakeConfig:
    """Selects the task type of a :class:`~flyte_plugin_snowflake.SnowflakeTask`.

    Args:
        user, account, database, schema, warehouse, role: where the query runs and as whom. What is left empty comes
            from the settings of the backend.
        password, private_key, private_key_passphrase, token: references to secrets of the execution's own project, in
            place of those of the settings. A key is PEM text; a token is of OAuth or one that Snowflake made.
        authenticator: the connector's word for how to log in, where the kind of the secret does not say it:
            ``programmatic_access_token``, or the URL of an Okta.
        session_parameters: parameters of Snowflake for this query, such as ``{"TIMEZONE": "UTC"}``.
        result: ``frame``: the rows are read and kept by FlytePath. ``reference``: they stay at Snowflake, for 24 hours,
            and whoever is given the dataset reads them there by the query's id.

    Raises:
        SnowflakeConfigError: a field is no text, or no reference, or two do not go together.

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
    session_parameters: tuple[tuple[str, str], ...] | dict[str, Any] = ()
    result: Literal["frame", "reference"] = "frame"

    def __post_init__(self) -> None:
        for field in (*PLACES, "authenticator"):
            value = getattr(self, field)
            if not isinstance(value, str):
                raise SnowflakeConfigError(
                    f"{field} is text", place=f"SnowflakeConfig({field})", expected="str", actual=type(value).__name__
                )
        if self.account and not ACCOUNT.fullmatch(self.account):
            raise SnowflakeConfigError(
                "the account is an identifier and no address",
                place="SnowflakeConfig(account)",
                expected="letters, digits, '-', '_' and '.', as in acme-eu",
                actual=repr(self.account[:80]),
            )
        for field in SECRETS:
            self._take_reference(field)
        wrong = refused(self.authenticator, [name for name in SECRETS if getattr(self, name) is not None])
        if wrong is not None:
            raise SnowflakeConfigError(wrong[0], place="SnowflakeConfig(authenticator)", expected=wrong[1])
        if self.result not in ("frame", "reference"):
            raise SnowflakeConfigError(
                "a result comes as a frame or stays as a reference",
                place="SnowflakeConfig(result)",
                expected="frame, reference",
                actual=repr(self.result),
            )
        object.__setattr__(self, "session_parameters", _parameters(self.session_parameters))

    def _take_reference(self, field: str) -> None:
        value = getattr(self, field)
        if value is None or isinstance(value, SecretReference):
            return
        if hasattr(value, "group") and hasattr(value, "key"):
            object.__setattr__(self, field, SecretReference(str(value.group or ""), str(value.key or "")))
            return
        # Not repr(value): it may be the secret itself.
        raise SnowflakeConfigError(
            f"{field} is a reference to a secret, never the secret itself",
            place=f"SnowflakeConfig({field})",
            expected="Secret(group=..., key=...)",
            actual=type(value).__name__,
        )

    def to_json(self) -> dict[str, Json]:
        """Plain data with only the fields that say something."""
        found: dict[str, Json] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if not value or (field.name == "result" and value == "frame"):
                continue
            if isinstance(value, SecretReference):
                value = reference_json(value)
            found[field.name] = dict(value) if field.name == "session_parameters" else value
        order = (*PLACES, *SECRETS, "authenticator", "session_parameters", "result")
        return {name: found[name] for name in order if name in found}


def _parameters(given: Any) -> tuple[tuple[str, str], ...]:
    pairs = given.items() if isinstance(given, dict) else given
    found = tuple(sorted((str(name).upper(), _text(name, value)) for name, value in pairs))
    taken = [name for name, _ in found if name in _OWN]
    if taken:
        raise SnowflakeConfigError(
            f"{taken[0]} is FlytePath's own: it finds its queries by it",
            place="SnowflakeConfig(session_parameters)",
            hint="take it out; the tag of a query holds the project, the execution and the task already",
        )
    return found


def _text(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise SnowflakeConfigError(
        f"the session parameter {name} has a value that is none",
        place="SnowflakeConfig(session_parameters)",
        expected="text, a number or a truth value",
        actual=type(value).__name__,
    )


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
