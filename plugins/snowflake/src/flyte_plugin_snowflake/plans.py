"""From a request to a plan: where the query goes and as whom, its text, and its parameters. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from flytepath.plugin import (
    BackendError,
    ErrorClass,
    FlytePathError,
    Plan,
    PlanRequest,
    PoolAsk,
    SecretReference,
    render_sql,
)

from flyte_plugin_snowflake import stamps
from flyte_plugin_snowflake.authentication import SECRETS, refused
from flyte_plugin_snowflake.bound_values import native, parameter
from flyte_plugin_snowflake.configuration import PLACES, reference_of
from flyte_plugin_snowflake.errors import SnowflakeConfigError
from flyte_plugin_snowflake.settings import SnowflakeSettings

Json = Any
#: Statements that leave nothing behind in their session, by their first word. All others get a session of their own.
_STATELESS: Final = frozenset({"select", "with", "insert", "update", "delete", "merge", "copy", "truncate", "show"})
#: How much longer than core Snowflake itself lets a query run: it ends what nobody is left to end.
_GRACE_SECONDS: Final = 60
_FIRST_WORD: Final = re.compile(r"(?:\s|\(|--[^\n]*\n|/\*.*?\*/)*([a-z]+)", re.IGNORECASE | re.DOTALL)


def plan_of(request: PlanRequest, settings: SnowflakeSettings) -> Plan:
    """The plan of a query.

    Raises:
        BackendError: it could never run.
    """
    payload = request.payload
    config = payload["config"]
    access = access_of(config, request, settings)
    values = {name: native(literal, name) for name, literal in request.inputs.items()}
    try:
        query = render_sql(payload["query"], _upper_names(payload["query"], values), "qmark")
    except FlytePathError as error:
        raise BackendError(
            error.message, error_class=ErrorClass.INVALID, accepted=False, place=request.task, hint=error.hint
        ) from None
    session = dict(config.get("session_parameters", {}))
    if request.timeout_seconds is not None:
        session.setdefault("STATEMENT_TIMEOUT_IN_SECONDS", str(math.ceil(request.timeout_seconds) + _GRACE_SECONDS))
    statements = payload["query"].get("statements", 1)
    spec: dict[str, Json] = {
        "access": access,
        "statement": query.text,
        "statements": statements,
        "parameters": [parameter(value) for value in query.parameters],
        "session_parameters": session,
        "own_session": statements > 1 or not is_stateless(query.text),
        "outputs": payload["outputs"],
        "result": config.get("result", "frame"),
    }
    secrets = tuple(reference_of(found) for found in access.get("secrets", {}).values())
    plan = Plan(
        key=request.key,
        owner=request.owner,
        external_name=request.key.name("fp", 63),
        spec=spec,
        digest=stamps.digest_of(spec),
        pools=(PoolAsk(f"snowflake/{access['account']}"),),
        secrets=secrets or own_secrets(settings),
        scope="/".join((access["account"], access["user"], access.get("role", ""))),
    )
    stamps.tag_of(plan.key, plan.owner, plan.digest)  # that it fits is said here, not when it is submitted
    return plan


def is_stateless(text: str) -> bool:
    """Whether a statement changes nothing of its session, so that others may share it.

    Example:
        >>> is_stateless("select 1"), is_stateless("-- all\\n(SELECT 1)"), is_stateless("use schema x")
        (True, True, False)
    """
    first = _FIRST_WORD.match(text)
    return first is not None and first.group(1).lower() in _STATELESS


def _upper_names(query: Mapping[str, Json], values: Mapping[str, Any]) -> dict[str, Any]:
    """Names of tables and columns as Snowflake reads them without quotes; they will stand in quotes."""
    names = {piece["name"] for piece in query["pieces"] if not isinstance(piece, str) and piece["kind"] == "identifier"}
    return {
        name: value.upper() if name in names and isinstance(value, str) else value for name, value in values.items()
    }


def access_of(config: Mapping[str, Json], request: PlanRequest, settings: SnowflakeSettings) -> dict[str, Json]:
    """Where a query goes and as whom: the task's own words, and the settings for what it does not say.

    Raises:
        BackendError: nothing says the account, the user, a database, or how to log in.
    """
    own = {name: config[name] for name in SECRETS if name in config}
    access: dict[str, Json] = {}
    for name in (*PLACES, "authenticator"):
        kept = getattr(settings, "schema_name" if name == "schema" else name)
        # A secret of the task's own logs in its own way, and not in that of another secret.
        value = config.get(name) or ("" if name == "authenticator" and own else kept)
        if value:
            access[name] = value
    if own:
        tenant = request.owner.tenant
        access.update(secrets=own, tenant=[tenant.project, tenant.domain])
    missing = _missing(access, bool(own) or bool(own_secrets(settings)))
    if missing is None and not own and is_other(access, settings):
        # Whoever writes a task decides where it goes, and is not to send the platform's secret there.
        missing = (
            f"nothing says how to log in to Snowflake as {access['user']}@{access['account']}: the secrets of the "
            f"settings are for {settings.user or access['user']}@{settings.account or access['account']}",
            "name a secret of its own as password, private_key or token in SnowflakeConfig",
        )
    if missing is not None:
        raise BackendError(
            missing[0],
            error_class=ErrorClass.AUTH if "log in" in missing[0] else ErrorClass.INVALID,
            accepted=False,
            place=request.task,
            hint=missing[1],
        )
    return access


def _missing(access: Mapping[str, Json], has_secret: bool) -> tuple[str, str] | None:
    for name in ("account", "user", "database"):
        if not access.get(name):
            return (
                f"nothing says which {name} of Snowflake the query is for",
                f"set {name} in SnowflakeConfig or in [backends.snowflake]",
            )
    if not has_secret:
        return (
            "nothing says how to log in to Snowflake",
            "name a secret as password, private_key or token in [backends.snowflake] or SnowflakeConfig",
        )
    return None


def is_other(access: Mapping[str, Json], settings: SnowflakeSettings) -> bool:
    """Whether another account or user is meant than the settings', whose secrets and address it is not given then."""
    pairs = ((str(access.get(name, "")), getattr(settings, name)) for name in ("account", "user"))
    return any(said and kept and said.casefold() != kept.casefold() for said, kept in pairs)


def own_secrets(settings: SnowflakeSettings) -> tuple[SecretReference, ...]:
    """The references of the settings."""
    return tuple(found for name in SECRETS if (found := getattr(settings, name)) is not None)


def check_request(request: PlanRequest, settings: Mapping[str, Any]) -> None:
    """Raise what would keep a query from being planned, when its task is compiled.

    Args:
        request: the task as far as it is known before it runs.
        settings: ``[backends.snowflake]`` as the tenant has it.

    Raises:
        SnowflakeConfigError: the settings cannot be read, or with the task's own words they are not enough.
    """
    try:
        read = SnowflakeSettings(**settings)
    except ValueError as error:  # pydantic's is one; its text may hold values
        findings = getattr(error, "errors", None)
        first = findings(include_url=False, include_input=False, include_context=False)[0] if findings else None
        where = ".".join(str(part) for part in first["loc"]) if first else ""
        raise SnowflakeConfigError(
            f"the settings of Snowflake are wrong: {first['msg'] if first else 'they cannot be read'}",
            place=f"backends.snowflake.{where}" if where else "backends.snowflake",
        ) from None
    try:
        access = access_of(request.payload["config"], request, read)
    except BackendError as error:
        raise SnowflakeConfigError(error.message, place=request.task, hint=error.hint) from None
    given = access.get("secrets") or [name for name in SECRETS if getattr(read, name) is not None]
    wrong = refused(access.get("authenticator", ""), given)
    if wrong is not None:
        raise SnowflakeConfigError(wrong[0], place=request.task, expected=wrong[1])
