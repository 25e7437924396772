"""What goes wrong with tables at ``snowflake://``, told by who can do something about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, Final, Literal

from flytepath.plugin import BackendError, ErrorClass, FlytePathError

from flyte_plugin_snowflake.vendor_errors import error_of


class SnowflakeAddressError(FlytePathError, ValueError):
    """A URI that names no table: its parts, a name, an option, or a password where only a reference may stand."""

    code = "FP-SNOWFLAKE-URI"


class SnowflakeTableError(FlytePathError):
    """Snowflake refused: no such table or column, no rights, a wrong login, values that the columns do not take."""

    code = "FP-SNOWFLAKE-TABLE"


class SnowflakeColumnError(FlytePathError, TypeError):
    """A column that a frame or a table has, and the other cannot hold without loss."""

    code = "FP-SNOWFLAKE-COLUMN"


class SnowflakeAwayError(FlytePathError):
    """Snowflake cannot be reached, is busy, or lost the session: nobody's fault, tried again."""

    code = "FP-SNOWFLAKE-AWAY"
    blame: ClassVar[Literal["user", "system"]] = "system"


#: Classes of errors that another attempt may be spared.
_AWAY: Final = frozenset(
    {
        ErrorClass.TRANSIENT,
        ErrorClass.THROTTLED,
        ErrorClass.UNAVAILABLE,
        ErrorClass.LOST,
        ErrorClass.PREEMPTED,
        ErrorClass.QUOTA_EXCEEDED,
    }
)


@contextmanager
def told(place: str) -> Iterator[None]:
    """What the connector raises inside leaves as an error of ours, with Snowflake's code and words.

    Args:
        place: the table.
    """
    from flyte_plugin_snowflake.connections import connector

    try:
        yield
    except BackendError as error:
        raise table_error(error, place) from None
    except (connector().errors.Error, OSError, TimeoutError) as error:
        raise table_error(error_of(error), place) from None


def table_error(error: BackendError, place: str) -> FlytePathError:
    """The error that a task raises for one of the service.

    Example:
        >>> table_error(BackendError("busy", error_class=ErrorClass.THROTTLED, accepted=False), "T").blame
        'system'
    """
    kind = SnowflakeAwayError if error.error_class in _AWAY else SnowflakeTableError
    return kind(error.message, place=place, expected=error.expected, actual=error.actual, hint=error.hint)
