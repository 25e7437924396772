"""What is seen of a query: its state, and where that says nothing, what the history has of it. Calls block."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from flytepath.plugin import BackendError, ErrorClass, Gone, Handle, InProgress, Observation, Terminal

from flyte_plugin_snowflake.history import Row, error_of_row
from flyte_plugin_snowflake.vendor_errors import SESSION_ENDED, STATES, number_of, observed, told

Json = Any
#: So many queries are looked at at once, in one session.
_AT_ONCE: Final = 8


class Looking:
    """Looks at queries.

    Args:
        history: the row of a query in the history, by a connection, what it is asked with, and the query's id.
        missing_seconds: a query that nothing is known of for so long is gone.
    """

    def __init__(self, history: Callable[[Any, Mapping[str, Json], str], Row | None], missing_seconds: float) -> None:
        self._history = history
        self._missing_seconds = missing_seconds
        self._missing: dict[str, float] = {}

    def at_all(
        self, access: Mapping[str, Json], handles: Sequence[Handle], connection: Any
    ) -> dict[Handle, Observation | BackendError]:
        """One answer for each, asked in one session; several at once where they are many.

        The service answers for one query at a time: what tells of many, the history, needs a warehouse that runs.
        """
        from snowflake.connector.errors import Error

        def one(handle: Handle) -> Observation | BackendError:
            try:
                return self.at(access, handle.data["id"], connection)
            except BackendError as error:
                return error
            except Error as error:
                if number_of(error) in SESSION_ENDED or type(error).__name__ == "ReauthenticationRequest":
                    raise
                return BackendError(told(error), error_class=ErrorClass.TRANSIENT)

        if len(handles) == 1:
            # What goes wrong with the only one went wrong with the call.
            return {handles[0]: self.at(access, handles[0].data["id"], connection)}
        with ThreadPoolExecutor(_AT_ONCE, "snowflake-look") as threads:
            return dict(zip(handles, threads.map(one, handles), strict=True))

    def at(self, access: Mapping[str, Json], query_id: str, connection: Any) -> Observation | BackendError:
        """One query."""
        from snowflake.connector.errors import DatabaseError

        error: DatabaseError | None = None
        try:
            state = connection.get_query_status(query_id).name
            if state.startswith("FAILED"):
                # Asked again it may answer otherwise: then the first answer was trouble of the service.
                state = connection.get_query_status_throw_if_error(query_id).name
        except KeyError as unknown:
            state = str(unknown.args[0])  # version 4 of the connector has no name for the word
        except ValueError as wrong:
            return BackendError(str(wrong), error_class=ErrorClass.PROTOCOL)
        except TypeError as unreadable:
            return BackendError(
                f"Snowflake: an answer without content ({unreadable})", error_class=ErrorClass.TRANSIENT
            )
        except DatabaseError as refused:
            if getattr(refused, "sfqid", None) != query_id:
                raise
            error = refused
            if number_of(refused) < 0:
                # The connector says "failed" of an answer that tells nothing of the query: the service had trouble.
                return self._failed_or_not(access, query_id, connection, refused)
        if state == "NO_DATA":
            return self._unseen(access, query_id, connection)
        self._missing.pop(query_id, None)
        return observed(state, error, link(access, query_id))

    def _failed_or_not(
        self, access: Mapping[str, Json], query_id: str, connection: Any, error: BaseException
    ) -> Observation | BackendError:
        row = self._history(connection, access, query_id)
        if row is not None and row.error_code >= 0:
            return observed(row.state, error_of_row(row), link(access, query_id))
        return BackendError(told(error), error_class=ErrorClass.TRANSIENT)

    def _unseen(self, access: Mapping[str, Json], query_id: str, connection: Any) -> Observation:
        """Of a new query there is no news at first: it is gone only when that stays so, and the history has none.

        Version 5 of the connector says the same of a state that it has no name for: the history has the word.
        """
        row = self._history(connection, access, query_id)
        if row is not None:
            return observed(row.state, error_of_row(row), link(access, query_id))
        since = self._missing.setdefault(query_id, time.monotonic())
        gone = time.monotonic() - since >= self._missing_seconds
        when = "any more" if gone else "yet"
        return Observation(STATES["NO_DATA"][0], "NO_DATA", f"Snowflake shows nothing of the query {when}", gone=gone)

    def cancelled(self, access: Mapping[str, Json], query_id: str, connection: Any) -> Gone | Terminal | InProgress:
        """Ask for the end of a query that has not come to it; what it has come to."""
        from snowflake.connector.errors import ProgrammingError

        seen = self.at(access, query_id, connection)
        if isinstance(seen, Observation) and not seen.gone and not (seen.phase and seen.phase.is_terminal):
            try:
                with connection.cursor() as cursor:
                    # No parameter: the function takes a constant. That it is an id and nothing else is sure.
                    cursor.execute(f"select system$cancel_query('{uuid.UUID(query_id)}')")
            except ProgrammingError as error:
                if number_of(error) in SESSION_ENDED:
                    raise
                return InProgress("it ended just now")  # asked again, the service tells how
            seen = self.at(access, query_id, connection)
        if isinstance(seen, BackendError):
            raise seen
        if seen.gone:
            return Gone()
        return Terminal(seen) if seen.phase is not None and seen.phase.is_terminal else InProgress(seen.raw_state)


def link(access: Mapping[str, Json], query_id: str) -> tuple[tuple[str, str], ...]:
    """Where people find a query."""
    organization, _, name = access["account"].partition("-")
    place = f"{organization}/{name}" if name else organization
    return (
        ("the query at Snowflake", f"https://app.snowflake.com/{place}/#/compute/history/queries/{query_id}/detail"),
    )
