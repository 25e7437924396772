"""Logins of the double: each way to log in is checked as the service checks it, and so are sessions and their renewal.

After the pages "Key-pair authentication" (the JWT's issuer is ``ACCOUNT.USER.SHA256:fingerprint``, its subject
``ACCOUNT.USER``, and it is signed with RS256), "External OAuth overview" and "Using programmatic access tokens for
authentication"; a role that is not granted refuses the login (390189), while a warehouse that does not exist leaves the
session without one ("USE WAREHOUSE"). A session that expired (390112) is renewed with the master token; once that is
over too (390114) there has to be a new login.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping
from typing import Any, Final

from flyte_plugin_snowflake.testing.account import Account, Refusal, Session

Json = Any
_WRONG = ("390100", "Incorrect username or password was specified.", "08001")
_GONE = ("390104", "User must login again to access the service.")
_EXPIRED = ("390112", "Your session has expired. Please login again.")
_ALL_OVER = ("390114", "Authentication token has expired. The user must authenticate again.")
#: Codes of sessions that are over.
OVER: Final = frozenset({_GONE[0], _EXPIRED[0], _ALL_OVER[0]})


def check_login(account: Account, data: Mapping[str, Json], query: Mapping[str, str]) -> str:
    """The warehouse of the new session.

    Raises:
        Refusal: the credentials, or the role.
    """
    how = str(data.get("AUTHENTICATOR") or "SNOWFLAKE").upper()
    if account.rejecting:
        raise Refusal(*_WRONG)
    if str(data.get("LOGIN_NAME", "")).upper() != account.user.upper():
        raise Refusal(*_WRONG)
    token = str(data.get("TOKEN", ""))
    if how == "SNOWFLAKE_JWT":
        _check_jwt(account, token)
    elif how == "OAUTH":
        if token not in account.oauth_tokens:
            raise Refusal("390303", "Invalid OAuth access token.", "08001")
    elif how == "PROGRAMMATIC_ACCESS_TOKEN":
        if token not in account.access_tokens:
            raise Refusal("394400", "Programmatic access token is invalid.", "08001")
    elif data.get("PASSWORD") != account.password:
        raise Refusal(*_WRONG)
    role = query.get("roleName", "")
    if role and role.upper() not in account.roles:
        raise Refusal(
            "390189",
            f"Role '{role}' specified in the connect string does not exist or not authorized. Contact your local "
            "system administrator, or attempt to login with another role, e.g. PUBLIC.",
            "08001",
        )
    asked = query.get("warehouse", "") or account.default_warehouse
    return asked if asked.upper() in account.warehouses else ""


def _check_jwt(account: Account, token: str) -> None:
    import jwt
    from cryptography.hazmat.primitives import serialization

    if not account.public_key:
        raise Refusal("390144", "JWT token is invalid.", "08001")
    key = serialization.load_pem_public_key(account.public_key)
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    fingerprint = "SHA256:" + base64.b64encode(hashlib.sha256(der).digest()).decode()
    try:
        claims = jwt.decode(token, account.public_key, algorithms=["RS256"])
    except jwt.InvalidTokenError as error:
        raise Refusal("390144", "JWT token is invalid.", "08001") from error
    issuer, subject = str(claims.get("iss", "")), str(claims.get("sub", ""))
    if not (issuer.endswith(f".{account.user.upper()}.{fingerprint}") and subject.endswith(account.user.upper())):
        raise Refusal("390144", "JWT token is invalid.", "08001")


def open_session(account: Account, user: str, inner: str, warehouse: str) -> tuple[str, Session]:
    """A new session, by a new token."""
    token = secrets.token_urlsafe(24)
    session = Session(user, inner, warehouse, secrets.token_urlsafe(24))
    with account.lock:
        account.sessions[token] = session
    return token, session


def session_of(account: Account, authorization: str) -> Session:
    """The session of a request's header ``Snowflake Token="..."``.

    Raises:
        Refusal: there is none, or it has ended.
    """
    token = authorization[17:-1]
    session = account.sessions.get(token)
    if session is None or account.rejecting:
        raise Refusal(*_GONE)
    if token in account.expired:
        raise Refusal(*_EXPIRED)
    return session


def renewed(account: Account, authorization: str, old: str) -> tuple[str, Session]:
    """A new token for a session that expired.

    Raises:
        Refusal: the master token is not good any more.
    """
    session = account.sessions.get(old)
    if account.rejecting or session is None or not session.master or authorization[17:-1] != session.master:
        raise Refusal(*_ALL_OVER)
    return open_session(account, session.user, session.inner, session.warehouse)
