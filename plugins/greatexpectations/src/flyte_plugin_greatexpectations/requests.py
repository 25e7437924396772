"""Which data is validated, where the data is not simply a value: a batch of a data source, or a table or query."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from flytepath import Secret
from flytepath.plugin import DefinitionError, LiteralType, Statement, compile_sql

Json = Any

_PASSWORD: Final = re.compile(r"^[a-zA-Z][\w+.-]*://[^/@]*:(?P<password>[^@]*)@")
_PASSWORD_QUERY: Final = re.compile(r"[?&](?:password|passwd|pwd|sslpassword)=(?P<password>[^&]*)", re.IGNORECASE)
_VARIABLE: Final = re.compile(r"\$\{\w+\}|\$\w+")
_TABLE: Final = re.compile(r"[^\W\d][\w$]*(\.[^\W\d][\w$]*)*")


@dataclass(frozen=True, slots=True)
class SQLSource:
    """A table or a query of a database, validated where it lies: no rows are fetched but those that are shown.

    Args:
        connection_string: SQLAlchemy's URL of the database, as a :class:`~flytepath.Secret` where it has a password.
        table: the table, with its schema in front where it needs one.
        query: or a query; ``{{ .inputs.x }}`` is a parameter that the driver carries.

    Raises:
        DefinitionError: neither or both of ``table`` and ``query``, or a password in the code.

    Example:
        >>> SQLSource("sqlite:///people.db", table="people").table
        'people'
    """

    connection_string: str | Secret
    table: str = ""
    query: str = ""

    def __post_init__(self) -> None:
        given = self.connection_string
        if isinstance(given, str):
            found = [item["password"] for item in (_PASSWORD.match(given), _PASSWORD_QUERY.search(given)) if item]
            if any(password and not _VARIABLE.fullmatch(password) for password in found):
                raise DefinitionError(
                    "a password stands in the code",
                    place="SQLSource(connection_string)",
                    expected="a Secret that holds the whole connection string, or ${VARIABLE} for the password",
                    hint="SQLSource(Secret('warehouse', 'url'), ...)",
                )
        if not (isinstance(given, Secret) or (isinstance(given, str) and "://" in given)):
            raise DefinitionError(
                "the database is named by the URL that SQLAlchemy takes",
                place="SQLSource(connection_string)",
                expected="text such as 'postgresql+psycopg://host/name', or a Secret that holds it",
                actual=type(given).__name__ if not isinstance(given, str) else "text without ://",
            )
        if bool(self.table) == bool(self.query):
            raise DefinitionError(
                "a validation of a database looks at a table or at a query",
                place="SQLSource",
                expected="one of table and query",
                actual="both" if self.table else "neither",
            )
        if self.table and not _TABLE.fullmatch(self.table):
            raise DefinitionError(
                "this is not the name of a table",
                place="SQLSource(table)",
                expected="a name, with the names of its schema in front",
                actual=repr(self.table),
                hint="use query=... for anything else",
            )

    def statement(self, inputs: Mapping[str, LiteralType], python_inputs: Mapping[str, Any], place: str) -> Statement:
        """The compiled query.

        Raises:
            DefinitionError: it names an input there is not, leaves one out, or is several statements.
        """
        statement = compile_sql(self.query, inputs, python_inputs, place)
        if statement.count > 1:
            raise DefinitionError(
                "a validation looks at one query",
                place=place,
                expected="one statement",
                actual=f"{statement.count} statements",
            )
        return statement

    def to_json(self) -> dict[str, Json]:
        """Plain data; of a secret its name."""
        given = self.connection_string
        return {
            "connection": {"secret": given.to_json()} if isinstance(given, Secret) else given,
            "table": self.table,
            "query": self.query,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> SQLSource:
        """The inverse of :meth:`to_json`."""
        given = data["connection"]
        connection = Secret.from_json(given["secret"]) if isinstance(given, Mapping) else given
        return cls(connection, data["table"], data["query"])


@dataclass(frozen=True, slots=True)
class BatchRequestConfig:
    """Which batch of a data source is validated, in flytekit's words.

    Args:
        data_connector_query: ``{"batch_filter_parameters": {...}}``: which batch, by the parameters of the batch
            definition, as ``{"year": "2024"}``.
        runtime_parameters: ``{"query": "select ..."}`` for a data source that is a database, in place of a table.
        batch_identifiers: words that say which batch this is; the report shows them.
        batch_spec_passthrough: how a file is read: ``{"reader_method": "read_csv", "reader_options": {"sep": ";"}}``.

    Raises:
        DefinitionError: a key that means nothing to Great Expectations 1.

    Example:
        >>> BatchRequestConfig(batch_spec_passthrough={"reader_options": {"sep": ";"}}).reader_options
        {'sep': ';'}
    """

    data_connector_query: Mapping[str, Any] = field(default_factory=dict)
    runtime_parameters: Mapping[str, Any] = field(default_factory=dict)
    batch_identifiers: Mapping[str, str] = field(default_factory=dict)
    batch_spec_passthrough: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, keys in (
            ("data_connector_query", ("batch_filter_parameters",)),
            ("runtime_parameters", ("query",)),
            ("batch_identifiers", None),
            ("batch_spec_passthrough", ("reader_method", "reader_options")),
        ):
            given = getattr(self, name)
            value = {} if given is None else given
            place = f"BatchRequestConfig({name})"
            if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
                raise DefinitionError(
                    f"{name} is given by name", place=place, expected="a mapping", actual=repr(given)[:200]
                )
            unknown = sorted(set(value) - set(keys)) if keys is not None else []
            if unknown:
                raise DefinitionError(
                    f"{unknown[0]!r} means nothing to Great Expectations 1",
                    place=place,
                    expected=", ".join(keys or ()),
                    actual=", ".join(value),
                    hint="a batch definition has taken the place of data connectors; its parameters go into "
                    "data_connector_query={'batch_filter_parameters': {...}}",
                )
            object.__setattr__(self, name, dict(value))

    @property
    def batch_parameters(self) -> dict[str, Any]:
        """The parameters of the batch definition."""
        return dict(self.data_connector_query.get("batch_filter_parameters") or {})

    @property
    def query(self) -> str:
        """The query, or nothing."""
        return str(self.runtime_parameters.get("query") or "")

    @property
    def reader(self) -> str:
        """The method that reads a file, or nothing."""
        return str(self.batch_spec_passthrough.get("reader_method") or "")

    @property
    def reader_options(self) -> dict[str, Any]:
        """How a file is read."""
        return dict(self.batch_spec_passthrough.get("reader_options") or {})

    def to_json(self) -> dict[str, Json]:
        """Plain data, without what is empty."""
        names = ("data_connector_query", "runtime_parameters", "batch_identifiers", "batch_spec_passthrough")
        return {name: dict(value) for name in names if (value := getattr(self, name))}

    def __hash__(self) -> int:
        return hash(repr(self.to_json()))
