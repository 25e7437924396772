"""How a connection logs in: which secrets go together, and what the connector is told of them.

After Snowflake's pages "Key-pair authentication and key-pair rotation", "Using programmatic access tokens for
authentication", "External OAuth overview" and "Native SSO - Okta only".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from flytepath.plugin import BackendError, ErrorClass

#: The connector's words for ways to log in that need nobody at a browser, by the secret that each is given.
AUTHENTICATORS: Final[Mapping[str, str]] = {
    "snowflake": "password",
    "snowflake_jwt": "private_key",
    "oauth": "token",
    "programmatic_access_token": "token",
}
#: The fields that are secrets; a passphrase goes with a key.
SECRETS: Final = ("password", "private_key", "private_key_passphrase", "token")


def refused(authenticator: str, given: Iterable[str]) -> tuple[str, str] | None:
    """Why secrets and a way to log in do not go together, and what would; ``None`` where they do.

    Args:
        authenticator: the connector's word, or the URL of an identity provider; empty: the secret says it.
        given: names of the secrets that are there.

    Example:
        >>> refused("externalbrowser", ["password"])[0]
        "authenticator 'externalbrowser' asks a person at a browser, and nobody is there"
        >>> refused("", ["private_key", "private_key_passphrase"]), refused("https://acme.okta.com", ["password"])
        (None, None)
    """
    names = set(given)
    ways = sorted(names - {"private_key_passphrase"})
    if len(ways) > 1:
        return f"{ways[0]} and {ways[1]} are two ways to log in", "one of password, private_key, token"
    if "private_key_passphrase" in names and "private_key" not in names:
        return "a passphrase without its private key", "private_key beside private_key_passphrase"
    if not authenticator:
        return None
    word = authenticator.lower()
    if word.startswith("https://"):
        needs = "password"
    elif word in AUTHENTICATORS:
        needs = AUTHENTICATORS[word]
    elif word in ("externalbrowser", "username_password_mfa", "oauth_authorization_code"):
        return (
            f"authenticator {authenticator!r} asks a person at a browser, and nobody is there",
            "a key pair, or a token of the identity provider as token with authenticator 'oauth'",
        )
    else:
        known = ", ".join(sorted(AUTHENTICATORS))
        return f"there is no authenticator {authenticator!r}", f"{known}, or the URL of an identity provider"
    if ways and ways != [needs]:
        return f"authenticator {authenticator!r} takes {needs}, not {ways[0]}", needs
    return None


def login_options(authenticator: str, secrets: Mapping[str, bytes]) -> dict[str, Any]:
    """What the connector is given to log in.

    Args:
        authenticator: as in :func:`refused`; empty: a key logs in as a key pair, a token as OAuth's.
        secrets: values by name.

    Raises:
        BackendError: a key that cannot be read.

    Example:
        >>> login_options("", {"token": b"t"})
        {'token': 't', 'authenticator': 'oauth'}
    """
    options: dict[str, Any] = {}
    if "password" in secrets:
        options["password"] = secrets["password"].decode()
    if "token" in secrets:
        options.update(token=secrets["token"].decode().strip(), authenticator="oauth")
    if "private_key" in secrets:
        key = _der(secrets["private_key"], secrets.get("private_key_passphrase"))
        options.update(private_key=key, authenticator="SNOWFLAKE_JWT")
    if authenticator:
        options["authenticator"] = authenticator
    return options


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
            hint="it is PEM text; name private_key_passphrase where it is encrypted, and only there",
        ) from None
    der: bytes = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return der
