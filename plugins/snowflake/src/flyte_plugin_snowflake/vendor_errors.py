"""What Snowflake's states and error codes mean to core: tables and pure functions.

States: the connector's ``QueryStatus``, the page of ``SYSTEM$GET_RESULTSET_STATUS``, and the column
EXECUTION_STATUS of the table function QUERY_HISTORY and of the view of that name. Codes of logins: the pages on
key-pair, OAuth and federated authentication; of statements: what the service says of itself in ERROR_CODE.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from flytepath.plugin import BackendError, ErrorClass, Observation, Phase

#: Every documented state: the phase, and for a failure who is to blame where no code says it better.
STATES: Final[Mapping[str, tuple[Phase | None, ErrorClass | None]]] = {
    "RUNNING": (Phase.RUNNING, None),
    "BLOCKED": (Phase.RUNNING, None),
    "RESTARTED": (Phase.RUNNING, None),
    "ABORTING": (Phase.RUNNING, None),
    "QUEUED": (Phase.QUEUED, None),
    "RESUMING_WAREHOUSE": (Phase.INITIALIZING, None),
    "QUEUED_REPAIRING_WAREHOUSE": (Phase.INITIALIZING, None),
    # As the service itself spells it.
    "QUEUED_REPARING_WAREHOUSE": (Phase.INITIALIZING, None),
    "SUCCESS": (Phase.SUCCEEDED, None),
    "FAILED_WITH_ERROR": (Phase.FAILED, ErrorClass.USER),
    "FAIL": (Phase.FAILED, ErrorClass.USER),
    "FAILED_WITH_INCIDENT": (Phase.FAILED, ErrorClass.LOST),
    "INCIDENT": (Phase.FAILED, ErrorClass.LOST),
    "ABORTED": (Phase.CANCELLED, None),
    # The session of the query is broken; it fails soon, and says so itself.
    "DISCONNECTED": (Phase.RUNNING, None),
    "NO_DATA": (Phase.QUEUED, None),
}

#: What people are told of states that wait for something.
REASONS: Final[Mapping[str, str]] = {
    "QUEUED": "the warehouse is busy: the query waits for its turn",
    "RESUMING_WAREHOUSE": "the warehouse is being resumed",
    "QUEUED_REPAIRING_WAREHOUSE": "the warehouse is being repaired",
    "QUEUED_REPARING_WAREHOUSE": "the warehouse is being repaired",
    "DISCONNECTED": "the session of the query is broken: Snowflake is about to let it fail",
    "BLOCKED": "the query waits for a lock that another statement holds",
    "ABORTING": "the query is being cancelled",
    "RESTARTED": "Snowflake started the query again",
}

#: A statement that somebody cancelled.
CANCELLED: Final = 604
#: The session is over or unknown: a new login helps.
SESSION_ENDED: Final = frozenset({390103, 390104, 390110, 390111, 390112, 390113, 390114, 390115, 390195, 250002})
_CLASSES: Final[Mapping[int, ErrorClass]] = {
    3001: ErrorClass.AUTH,  # insufficient privileges
    3540: ErrorClass.AUTH,
    606: ErrorClass.INVALID,  # no active warehouse in the session
    90073: ErrorClass.QUOTA_EXCEEDED,  # warehouse suspended by its resource monitor
    625: ErrorClass.QUOTA_EXCEEDED,  # too many statements wait for a lock
    630: ErrorClass.USER,  # the statement's own timeout
    603: ErrorClass.LOST,  # internal error of the execution
    300002: ErrorClass.LOST,
    390201: ErrorClass.INVALID,  # no such warehouse, database or schema at login
    290429: ErrorClass.THROTTLED,
    290403: ErrorClass.AUTH,
    290404: ErrorClass.INVALID,  # there is no such account: 403, 404 or 513
    290513: ErrorClass.INVALID,
    251001: ErrorClass.INVALID,  # an account without a name
    251006: ErrorClass.AUTH,
    251010: ErrorClass.AUTH,
}
_HINTS: Final[Mapping[int, str]] = {
    8: "statements are counted by ';': write a block of Snowflake Scripting as execute immediate $$ ... $$",
    3001: "grant the role what it lacks, or name another role in SnowflakeConfig or [backends.snowflake]",
    606: "name a warehouse that exists and that the role may use, in SnowflakeConfig or [backends.snowflake]",
    2003: "look at the name, at database and schema in SnowflakeConfig or [backends.snowflake], and at the grants",
    90105: "name database and schema in SnowflakeConfig or [backends.snowflake], or write them in the query",
    90106: "name database and schema in SnowflakeConfig or [backends.snowflake], or write them in the query",
    390189: "grant the role to the user, or name another one in SnowflakeConfig or [backends.snowflake]",
    390201: "look at warehouse, database and schema in SnowflakeConfig or [backends.snowflake]",
}
_BY_CLASS: Final[Mapping[ErrorClass, str]] = {
    ErrorClass.AUTH: "look at user, role and secret in [backends.snowflake] or SnowflakeConfig, and at the grants",
    ErrorClass.TRANSIENT: "look at account or host in [backends.snowflake], if this stays so",
    ErrorClass.UNAVAILABLE: "look at account or host in [backends.snowflake], if this stays so",
}
#: How the connector begins the text of an error: with its code, the SQL state and the id of the query.
_PREFIX: Final = re.compile(r"^(\d{6}|None)( \(\w+\))?: (([0-9a-f-]{36}|None): )?")
#: Codes of failed logins, which version 4 of the connector leaves out, by the text that follows.
_LOGIN_TEXTS: Final = (("role '", 390189), ("incorrect username", 390100), ("jwt token", 390144), ("oauth", 390303))


def number_of(error: BaseException) -> int:
    """Snowflake's code of an error; -1 where it has none."""
    code = getattr(error, "errno", None)
    number = code if isinstance(code, int) else -1
    if number == 250001:  # the connector's own: could not connect; what the service said follows in the text
        text = str(getattr(error, "msg", "")).lower()
        return next((told for part, told in _LOGIN_TEXTS if part in text), number)
    return number


def text_of(error: BaseException) -> str:
    """Snowflake's own words, in one line."""
    text = str(getattr(error, "raw_msg", None) or getattr(error, "msg", None) or error)
    return _PREFIX.sub("", " ".join(text.split()))[:2000]


def told(error: BaseException) -> str:
    """Code, SQL state and text, as far as they are there.

    Example:
        >>> class Refused(Exception):
        ...     errno, sqlstate, msg = 2003, "42S02", "002003 (42S02): Object 'X' does not exist"
        >>> told(Refused())
        "Snowflake 002003 (42S02): Object 'X' does not exist"
    """
    number, state = number_of(error), getattr(error, "sqlstate", None)
    code = f" {number:06d}" if number >= 0 else ""
    return f"Snowflake{code}{f' ({state})' if state and state != 'n/a' and code else ''}: {text_of(error)}"


def error_of(error: BaseException, *, sent: bool = True, login: bool = False, task: str = "") -> BackendError:
    """An error of the connector as core knows errors.

    Args:
        error: whatever a call raised.
        sent: whether the request may have reached the service.
        login: whether it was a login that failed.
        task: where the query comes from.
    """
    number = number_of(error)
    found = _CLASSES.get(number) or _class_by_kind(error, number, login)
    if found is ErrorClass.LOST:
        found = ErrorClass.TRANSIENT  # the call is lost, and not the query
    sure = found not in (ErrorClass.TRANSIENT, ErrorClass.UNAVAILABLE, ErrorClass.LOST, ErrorClass.THROTTLED)
    return BackendError(
        told(error),
        error_class=found,
        accepted=False if sure or not sent else None,
        place=task or None,
        hint=_HINTS.get(number) or _BY_CLASS.get(found),
    )


def _class_by_kind(error: BaseException, number: int, login: bool) -> ErrorClass:
    name = type(error).__name__
    if number in SESSION_ENDED and not login:
        return ErrorClass.TRANSIENT
    if 390_000 <= number < 396_000 or name in ("ForbiddenError", "ReauthenticationRequest"):
        return ErrorClass.AUTH
    if login and name in ("DatabaseError", "ProgrammingError"):
        return ErrorClass.AUTH  # the service's refusal; what could not be reached is an OperationalError
    if login and isinstance(error, ValueError | TypeError):
        return ErrorClass.INVALID
    if name in ("ProgrammingError", "IntegrityError", "DataError", "NotSupportedError") and number < 200_000:
        return ErrorClass.INVALID
    if name in ("ServiceUnavailableError", "InternalServerError", "GatewayTimeoutError", "BadGatewayError"):
        return ErrorClass.UNAVAILABLE
    return ErrorClass.TRANSIENT


def observed(state: str, error: BaseException | None, link: tuple[tuple[str, str], ...]) -> Observation:
    """A look at one query.

    Args:
        state: Snowflake's word.
        error: what the connector raised for a query that failed.
        link: where people find it.

    Example:
        >>> observed("QUEUED", None, ()).reason
        'the warehouse is busy: the query waits for its turn'
    """
    phase, blame = STATES.get(state.upper(), (None, None))
    reason = REASONS.get(state.upper(), "")
    if phase is Phase.FAILED:
        number = number_of(error) if error is not None else -1
        if error is not None:
            reason = told(error)
        if number == CANCELLED:
            return Observation(Phase.CANCELLED, state, reason, links=link)
        given = _CLASSES.get(number)
        reason += f" ({hint})" if (hint := _HINTS.get(number)) else ""
        # Once it has run, a statement that may not or cannot do what it says is its author's.
        blame = blame if given in (None, ErrorClass.INVALID) else given
    return Observation(phase, state, reason, blame, links=link)
