"""Connections: one for each account, user and place, kept with the backend, made again when a session ends."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from flytepath.plugin import BackendError, ErrorClass

from flyte_plugin_snowflake.authentication import login_options
from flyte_plugin_snowflake.vendor_errors import SESSION_ENDED, error_of, number_of

Json = Any
T = TypeVar("T")
_PLACES: Final = ("account", "user", "database", "schema", "warehouse", "role")


def connector() -> Any:
    """The vendor's connector.

    Raises:
        BackendError: it is not installed.
    """
    try:
        import snowflake.connector as found
    except ImportError as error:
        raise BackendError(
            f"the Snowflake connector cannot be imported: {error}",
            error_class=ErrorClass.INVALID,
            accepted=False,
            hint="pip install flyte-plugin-snowflake, where the engine runs",
        ) from error
    return found


def is_rewritten() -> bool:
    """Whether it is version 5 or later, which is another program with nearly the same face."""
    return int(str(connector().__version__).partition(".")[0]) >= 5


def login(
    access: Mapping[str, Json],
    address: Mapping[str, Json],
    secrets: Mapping[str, bytes],
    options: Mapping[str, Any] | None = None,
) -> Any:
    """A new connection.

    Args:
        access: account, user, database and so on.
        address: host, port and protocol where they do not follow from the account, and time limits.
        secrets: values of ``password``, ``private_key``, ``private_key_passphrase``, ``token``.
        options: laid over what the connector is given.

    Raises:
        BackendError: the service refuses, or cannot be reached.
    """
    vendor = connector()
    given: dict[str, Any] = {name: access[name] for name in _PLACES if access.get(name)}
    given.update({name: address[name] for name in ("host", "port", "protocol") if address.get(name)})
    given.update(login_options(access.get("authenticator", ""), secrets))
    given.update(_ways(address))
    try:
        return vendor.connect(**{**given, **(options or {})})
    except (vendor.errors.Error, OSError, ValueError, TypeError) as error:
        # The connector checks some of what it is given by itself, and lets errors of its HTTP client pass.
        refused = error_of(error, sent=False, login=True)
        host = str(address.get("host") or access["account"])
        if refused.error_class in (ErrorClass.TRANSIENT, ErrorClass.UNAVAILABLE) and host not in refused.message:
            refused.message = f"{host}: {refused.message}"  # a slip in the account looks like a service that is away
        raise refused from None


def _ways(address: Mapping[str, Json]) -> dict[str, Any]:
    """What holds for every connection."""
    ways: dict[str, Any] = {
        "application": "FlytePath",
        "paramstyle": "qmark",
        # Queries outlive the connection that submitted them.
        "server_session_keep_alive": True,
        "login_timeout": address["login_seconds"],
        "session_parameters": {
            # An account may have it otherwise, and then queries would end with the engine.
            "ABORT_DETACHED_QUERY": False,
            "AUTOCOMMIT": True,
            "CLIENT_OUT_OF_BAND_TELEMETRY_ENABLED": False,
            "CLIENT_TELEMETRY_ENABLED": False,
        },
    }
    if is_rewritten():
        ways.update(
            request_timeout=address["answer_seconds"],
            query_timeout=address["answer_seconds"],
            enable_server_session_keep_alive_auto_detection=False,
        )
    else:
        # Without it, numbers with decimals come as floats.
        ways.update(network_timeout=address["answer_seconds"], arrow_number_to_decimal=True)
    return ways


class _SessionEnded(Exception):
    """The session of a connection is over: a new login helps."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(str(cause))
        self.cause = cause


class Connections:
    """Open connections by what they are for. Every method may be called in any thread."""

    def __init__(self) -> None:
        self._open: dict[str, Any] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()

    def has(self, access: Mapping[str, Json]) -> bool:
        """Whether one is open, so that no secret is needed."""
        return self._name(access) in self._open

    def use(
        self,
        access: Mapping[str, Json],
        address: Mapping[str, Json],
        secrets: Mapping[str, bytes] | None,
        call: Callable[[Any], T],
    ) -> T | None:
        """What ``call`` returns for a connection; ``None`` where a new login needs the secrets.

        Raises:
            BackendError: the login or the call failed.
        """
        name = self._name(access)
        with self._guard:
            lock = self._locks.setdefault(name, threading.Lock())
        with lock:
            connection = self._open.get(name)
            if connection is None:
                if secrets is None:
                    return None
                connection = self._open[name] = login(access, address, secrets)
        try:
            return self._called(connection, call)
        except _SessionEnded:
            with lock:
                if self._open.get(name) is connection:
                    del self._open[name]
            # Whoever came with secrets has logged in just now: that session is over too, and one more try is enough.
            return None if secrets is None else self.use(access, address, None, call)

    def use_own(
        self,
        access: Mapping[str, Json],
        address: Mapping[str, Json],
        secrets: Mapping[str, bytes],
        call: Callable[[Any], T],
    ) -> T:
        """What ``call`` returns for a connection that nobody else gets, as a session whose state it changes needs.

        The session stays at the service as long as queries of it run.
        """
        connection = login(access, address, secrets)
        try:
            return self._called(connection, call)
        except _SessionEnded as ended:
            raise error_of(ended.cause) from None
        finally:
            connection.close(retry=False)

    def _called(self, connection: Any, call: Callable[[Any], T]) -> T:
        vendor = connector()
        try:
            return call(connection)
        except BackendError:
            raise
        except Exception as error:
            # The connector lets errors of its HTTP client pass too, and one of its own that is no Error.
            cause = getattr(error, "cause", None) or error
            if number_of(cause) in SESSION_ENDED or type(error).__name__ == "ReauthenticationRequest":
                raise _SessionEnded(cause) from None
            if not isinstance(cause, vendor.errors.Error | OSError | TimeoutError):
                raise
            raise error_of(cause) from None

    def close(self) -> None:
        """Let go of all. Sessions stay at the service until they expire: queries of theirs may be running."""
        with self._guard:
            found, self._open = list(self._open.values()), {}
        for connection in found:
            connection.close(retry=False)

    def _name(self, access: Mapping[str, Json]) -> str:
        return json.dumps(access, sort_keys=True)
