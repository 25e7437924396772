"""``snowflake://`` URIs: which table, or which result of a query, of which account; and names as SQL takes them.

A URI holds no password. What it leaves out, and the secrets, come from ``[backends.snowflake]``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from flytepath.plugin import SecretReference

from flyte_plugin_snowflake.configuration import ACCOUNT, SnowflakeConfig
from flyte_plugin_snowflake.datasets_errors import SnowflakeAddressError

FORM: Final = "snowflake://USER@account/DATABASE/SCHEMA/TABLE?warehouse=...&role=..."
_SECRETS: Final = ("password", "private_key", "private_key_passphrase", "token")
_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "mode": ("overwrite", "replace"),
    "write": ("auto", "stage", "batches"),
    "integers": ("int64", "decimal"),
}
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")
_QUERY_ID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
#: The longest name of an object.
_LONGEST: Final = 255


@dataclass(frozen=True, slots=True)
class Address:
    """What a URI names.

    Attributes:
        uri: as it was given.
        access: ``account``, ``user``, ``warehouse``, ``role``, ``authenticator``, as far as it says them.
        names: of the database, the schema and the table; the first may be missing. With ``query_id``, of the two that
            the query ran in.
        query_id: of the query whose result is meant, instead of a table.
        secrets: references to secrets, by what they are.
        mode: what writing does to a table that is there: ``overwrite`` its rows, or ``replace`` it.
        write: how rows travel: through a ``stage``, as ``batches`` of parameters, or ``auto``, whichever can be had.
        integers: of more than 18 digits are read as ``int64`` or as ``decimal``.
    """

    uri: str
    access: Mapping[str, str]
    names: tuple[str, ...] = ()
    query_id: str = ""
    secrets: Mapping[str, SecretReference] = field(default_factory=dict)
    mode: str = "overwrite"
    write: str = "auto"
    integers: str = "int64"


def address_of(uri: str) -> Address:
    """Read a URI, ours or flytekit's.

    Raises:
        SnowflakeAddressError: it names no table. The error never shows a password.

    Example:
        >>> found = address_of("snowflake://ETL@acme-eu/SALES/PUBLIC/orders?warehouse=SMALL")
        >>> found.names, found.access
        (('SALES', 'PUBLIC', 'ORDERS'), {'account': 'acme-eu', 'user': 'ETL', 'warehouse': 'SMALL'})
        >>> address_of("snowflake://ETL:acme-eu/SMALL/SALES/PUBLIC/ORDERS").access["warehouse"]
        'SMALL'
    """
    try:
        parts = urlsplit(uri)
    except ValueError:
        raise _wrong(uri.partition("@")[2] or uri, "is none") from None
    user, at, account = parts.netloc.rpartition("@")
    if ":" in user:
        raise SnowflakeAddressError(
            "a URI holds no password",
            place="snowflake://...@" + account,  # not the URI: the password is in it
            expected=FORM,
            hint="name a secret as password, private_key or token in [backends.snowflake]",
        )
    path = [unquote(part) for part in parts.path.split("/")[1:]]
    path = path[:-1] if path and path[-1] == "" else path
    options = _options(parts.query, uri)
    access = {"account": unquote(account), "user": unquote(user)}
    if not at:
        access, path = _as_flytekit_has_it(parts.netloc, path) or (access, path)
    if parts.fragment or not (options.get("query_id") or ("" not in path and 1 <= len(path) <= 3)):
        raise _wrong(uri, "names no table")
    if access["account"] and not ACCOUNT.fullmatch(access["account"]):
        raise _wrong(uri, "names no account")
    last = path[2] if len(path) == 3 and access.get("warehouse") else ""
    query_id = options.pop("query_id", "") or (last if _QUERY_ID.fullmatch(last) else "")
    if query_id and not _QUERY_ID.fullmatch(query_id):
        raise _wrong(uri, "names no query: query_id is a UUID")
    secrets = {
        name: reference_in(options.pop(f"{name}_secret"), uri) for name in _SECRETS if f"{name}_secret" in options
    }
    chosen = {name: options.pop(name) for name in _CHOICES if name in options}
    access.update(options)
    return Address(
        uri,
        {name: value for name, value in access.items() if value},
        tuple(identifier(part, uri) for part in path[: 2 if query_id else 3] if part),
        query_id,
        secrets,
        **chosen,
    )


def _as_flytekit_has_it(place: str, path: list[str]) -> tuple[dict[str, str], list[str]] | None:
    """``user:account/warehouse/database/schema/table``, where newer versions write a ``/`` for the ``:``."""
    user, colon, account = place.partition(":")
    whole = [account, *path] if colon else path
    if not user or len(whole) != 5:
        return None
    return {"account": unquote(whole[0]), "user": unquote(user), "warehouse": whole[1]}, whole[2:]


def _options(query: str, uri: str) -> dict[str, str]:
    found: dict[str, str] = {}
    known = ("warehouse", "role", "authenticator", "query_id", *_CHOICES, *(f"{name}_secret" for name in _SECRETS))
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in _SECRETS:
            raise SnowflakeAddressError(
                "a URI holds no secret",
                place=uri.partition("?")[0],
                expected=f"{name}_secret=group/key, a reference",
                hint=f"or name the secret as {name} in [backends.snowflake]",
            )
        if name not in known or name in found or not value:
            raise _wrong(uri, f"has an option {name!r} that is unknown, empty, or there twice", ", ".join(known))
        if name in _CHOICES and value not in _CHOICES[name]:
            raise _wrong(uri, f"has a {name} that there is not", ", ".join(_CHOICES[name]))
        found[name] = value
    return found


def reference_in(text: str, uri: str) -> SecretReference:
    """A reference to a secret as a URI has it: ``group/key``, and perhaps a scheme and a version.

    Example:
        >>> reference_in("snowflake/password", "").label
        'snowflake.password'
    """
    parts = text.split("/")
    if not 1 < len(parts) <= 4 or not parts[1]:
        raise _wrong(uri, "has no reference to a secret where one stands", "group/key")
    return SecretReference(*parts)


def _wrong(uri: str, why: str, expected: str = FORM) -> SnowflakeAddressError:
    # Without its options: somebody may have put a password among them.
    return SnowflakeAddressError(f"the URI {why}", place=uri.partition("?")[0], expected=expected)


def identifier(text: str, place: str) -> str:
    """The name that Snowflake keeps for a name as people write it: plain ones in capitals, quoted ones as they stand.

    Raises:
        SnowflakeAddressError: no name, too long a one, or one with a character that cannot be seen.

    Example:
        >>> [identifier(name, "") for name in ("orders", '"orders"', "my orders")]
        ['ORDERS', 'orders', 'my orders']
    """
    if _PLAIN.fullmatch(text):
        name = text.upper()
    elif len(text) > 1 and text[0] == text[-1] == '"':
        name = text[1:-1].replace('""', '"')
    else:
        name = text
    if not name or len(name) > _LONGEST or not name.isprintable():
        raise SnowflakeAddressError(
            "a name of Snowflake has 1 to 255 characters that can be seen", place=place, actual=repr(name[:80])
        )
    return name


def quoted(*names: str) -> str:
    """Names as SQL takes them, each between quotes, with dots between.

    Example:
        >>> quoted("SALES", 'a "b"')
        '"SALES"."a ""b\"""'
    """
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


def table_uri(table: str, config: SnowflakeConfig | None = None, **options: str) -> str:
    """The URI of a table, for ``StructuredDataset(uri=...)``.

    Args:
        table: its name, as in SQL: quoted where capitals matter.
        config: where it is, and the references to the secrets that open it; what it leaves out comes from
            ``[backends.snowflake]``. A database needs a schema too.
        **options: ``mode``, ``write``, ``integers``; see :class:`Address`.

    Raises:
        SnowflakeAddressError: it names no table.

    Example:
        >>> table_uri("ORDERS", SnowflakeConfig(account="acme-eu", user="ETL", database="SALES", schema="PUBLIC"))
        'snowflake://ETL@acme-eu/SALES/PUBLIC/ORDERS'
        >>> table_uri("ORDERS", mode="replace")
        'snowflake:///ORDERS?mode=replace'
    """
    given = config or SnowflakeConfig()
    path = [part for part in (given.database, given.schema) if part]
    if given.database and not given.schema:
        raise SnowflakeAddressError(
            "a database without a schema", place=table, expected="schema, or both from settings"
        )
    more: dict[str, Any] = {name: getattr(given, name) for name in ("warehouse", "role", "authenticator")}
    for name in _SECRETS:
        reference = getattr(given, name)
        if reference is not None:
            kept = (reference.group, reference.key, reference.scheme, reference.version)
            more[f"{name}_secret"] = "/".join(kept).rstrip("/")
    told = {name: value for name, value in {**more, **options}.items() if value}
    place = f"{quote(given.user, safe='')}@{given.account}" if given.user else given.account
    tail = "/".join(quote(part, safe="") for part in (*path, table))
    uri = f"snowflake://{place}/{tail}" + (f"?{urlencode(told)}" if told else "")
    address_of(uri)
    return uri
