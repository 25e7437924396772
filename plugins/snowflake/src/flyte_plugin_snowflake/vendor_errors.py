"""What Snowflake's states and error codes mean to core: tables and pure functions.

States: the connector's ``QueryStatus`` and the column EXECUTION_STATUS of the table function QUERY_HISTORY.
"""

from __future__ import annotations

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
    # The service's own spelling.
    "QUEUED_REPARING_WAREHOUSE": (Phase.INITIALIZING, None),
    "SUCCESS": (Phase.SUCCEEDED, None),
    "FAILED_WITH_ERROR": (Phase.FAILED, ErrorClass.USER),
    "FAIL": (Phase.FAILED, ErrorClass.USER),
    "FAILED_WITH_INCIDENT": (Phase.FAILED, ErrorClass.LOST),
    "INCIDENT": (Phase.FAILED, ErrorClass.LOST),
    "ABORTED": (Phase.CANCELLED, None),
    # Of the connection, not of the query: it is asked again.
    "DISCONNECTED": (None, None),
    "NO_DATA": (None, None),
}

#: What people are told of states that wait for something.
REASONS: Final[Mapping[str, str]] = {
    "QUEUED": "the warehouse is busy: the query waits for its turn",
    "RESUMING_WAREHOUSE": "the warehouse is being resumed",
    "QUEUED_REPARING_WAREHOUSE": "the warehouse is being repaired",
    "BLOCKED": "the query waits for a lock that another statement holds",
    "ABORTING": "the query is being cancelled",
    "RESTARTED": "Snowflake started the query again",
}

#: A statement that somebody cancelled.
CANCELLED: Final = 604
#: The session is over or unknown: a new login helps.
SESSION_ENDED: Final = frozenset({390103, 390104, 390110, 390111, 390112, 390114, 390115, 390195, 250002})
_CLASSES: Final[Mapping[int, ErrorClass]] = {
    3001: ErrorClass.AUTH,  # insufficient privileges
    3540: ErrorClass.AUTH,
    606: ErrorClass.INVALID,  # no active warehouse in the session
    90073: ErrorClass.QUOTA_EXCEEDED,  # warehouse suspended by its resource monitor
    625: ErrorClass.QUOTA_EXCEEDED,  # too many statements wait for a lock
    630: ErrorClass.USER,  # the statement's own timeout
    603: ErrorClass.LOST,  # internal error of the execution
    300002: ErrorClass.LOST,
    390100: ErrorClass.AUTH,  # wrong user or password
    390101: ErrorClass.AUTH,
    390102: ErrorClass.AUTH,
    390144: ErrorClass.AUTH,  # bad JWT
    390189: ErrorClass.AUTH,  # the role does not exist or is not granted
    390201: ErrorClass.INVALID,  # no such warehouse, database or schema at login
    390303: ErrorClass.AUTH,  # bad OAuth token
    390318: ErrorClass.AUTH,
    390420: ErrorClass.AUTH,  # the network policy refuses this address
    290429: ErrorClass.THROTTLED,
    290403: ErrorClass.AUTH,
    290404: ErrorClass.INVALID,
    251001: ErrorClass.INVALID,  # an account without a name
    251006: ErrorClass.AUTH,
    251010: ErrorClass.AUTH,
}


def number_of(error: BaseException) -> int:
    """Snowflake's code of an error; -1 where it has none. Failed logins hold it in their text."""
    code = getattr(error, "errno", None)
    number = code if isinstance(code, int) else -1
    if number == 250001:  # the connector's own: could not connect; the service's follows in the text
        for word in str(getattr(error, "msg", "")).replace(":", " ").replace("(", " ").replace(")", " ").split():
            if word.isdigit() and int(word) in _CLASSES:
                return int(word)
        text = str(getattr(error, "msg", "")).lower()
        if "incorrect username or password" in text or "jwt token is invalid" in text or "oauth" in text:
            return 390100
    return number


def text_of(error: BaseException) -> str:
    """Snowflake's own words, in one line."""
    text = str(getattr(error, "msg", None) or error)
    return " ".join(text.split())[:2000]


def error_of(error: BaseException, *, sent: bool = True, task: str = "") -> BackendError:
    """An error of the connector as core knows errors.

    Args:
        error: whatever a call raised.
        sent: whether the request may have reached the service.
        task: where the query comes from.
    """
    name = type(error).__name__
    number = number_of(error)
    found = _CLASSES.get(number)
    if found is None:
        if number in SESSION_ENDED:
            found = ErrorClass.TRANSIENT
        elif name in ("ProgrammingError", "IntegrityError", "DataError", "NotSupportedError") and number < 200_000:
            found = ErrorClass.INVALID
        elif name in ("ServiceUnavailableError", "InternalServerError", "GatewayTimeoutError", "BadGatewayError"):
            found = ErrorClass.UNAVAILABLE
        elif name in ("ForbiddenError", "ReauthenticationRequest"):
            found = ErrorClass.AUTH
        else:
            found = ErrorClass.TRANSIENT
    sure = found not in (ErrorClass.TRANSIENT, ErrorClass.UNAVAILABLE, ErrorClass.LOST, ErrorClass.THROTTLED)
    return BackendError(
        f"Snowflake: {text_of(error)}" if number < 0 else f"Snowflake {number:06d}: {text_of(error)}",
        error_class=found,
        accepted=False if sure or not sent else None,
        place=task or None,
        hint=_hint(found),
    )


def _hint(found: ErrorClass) -> str | None:
    if found is ErrorClass.AUTH:
        return "look at user, role and the secret in [backends.snowflake] or SnowflakeConfig, and at the role's grants"
    if found is ErrorClass.TRANSIENT:
        return "look at account or host in [backends.snowflake], if this stays so"
    return None


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
            reason = f"Snowflake {number:06d}: {text_of(error)}" if number >= 0 else f"Snowflake: {text_of(error)}"
        if number == CANCELLED:
            return Observation(Phase.CANCELLED, state, reason, links=link)
        given = _CLASSES.get(number)
        # Once it has run, a statement that may not or cannot do what it says is its author's.
        blame = blame if given in (None, ErrorClass.INVALID) else given
    return Observation(phase, state, reason, blame, links=link)
