"""Connections: one for each account, user and place, kept with the backend, made again when a session ends."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from flytepath.plugin import BackendError, ErrorClass

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


def login(access: Mapping[str, Json], address: Mapping[str, Json], secrets: Mapping[str, bytes]) -> Any:
    """A new connection.

    Args:
        access: account, user, database and so on.
        address: host, port and protocol where they do not follow from the account, and time limits.
        secrets: values of ``password``, ``private_key``, ``private_key_passphrase``, ``token``.

    Raises:
        BackendError: the service refuses, or cannot be reached.
    """
    vendor = connector()
    options: dict[str, Any] = {name: access[name] for name in _PLACES if access.get(name)}
    options.update({name: address[name] for name in ("host", "port", "protocol") if address.get(name)})
    if access.get("authenticator"):
        options["authenticator"] = access["authenticator"]
    if "password" in secrets:
        options["password"] = secrets["password"].decode()
    if "token" in secrets:
        options["token"] = secrets["token"].decode()
        options.setdefault("authenticator", "oauth")
    if "private_key" in secrets:
        options["private_key"] = _der(secrets["private_key"], secrets.get("private_key_passphrase"))
        options["authenticator"] = "SNOWFLAKE_JWT"
    try:
        return vendor.connect(
            **options,
            application="FlytePath",
            paramstyle="qmark",
            # Queries outlive the connection that submitted them.
            server_session_keep_alive=True,
            login_timeout=address["login_seconds"],
            network_timeout=address["answer_seconds"],
            session_parameters={"CLIENT_OUT_OF_BAND_TELEMETRY_ENABLED": False, "CLIENT_TELEMETRY_ENABLED": False},
        )
    except vendor.errors.Error as error:
        raise error_of(error, sent=False) from None


def _der(pem: bytes, passphrase: bytes | None) -> bytes:
    from cryptography.hazmat.primitives import serialization

    try:
        key = serialization.load_pem_private_key(pem, password=passphrase)
    except (ValueError, TypeError) as error:
        kind = type(error).__name__
        raise BackendError(
            f"the private key cannot be read ({kind})",  # the error's own text may hold a part of it
            error_class=ErrorClass.AUTH,
            accepted=False,
            hint="it is PEM text; name private_key_passphrase where it is encrypted",
        ) from None
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


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
        vendor = connector()
        try:
            return call(connection)
        except BackendError:
            raise
        except Exception as error:
            # The connector lets errors of its HTTP client pass too, and one of its own that is no Error.
            cause = getattr(error, "cause", None) or error
            if number_of(cause) in SESSION_ENDED or type(error).__name__ == "ReauthenticationRequest":
                with lock:
                    if self._open.get(name) is connection:
                        del self._open[name]
                return None if secrets is None else self.use(access, address, None, call)
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
