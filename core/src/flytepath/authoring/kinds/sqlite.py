"""``SQLite3Task``: a query to a SQLite database in a file, near or far, that comes back as a frame."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import gzip
import importlib
import os
import shutil
import tarfile
import uuid
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, cast
from urllib.parse import quote

from flytepath.authoring.kinds.sql import SQLTask
from flytepath.errors import DefinitionError, InputError, TaskFailedError
from flytepath.plugin.sql import Statement, compile_sql, render_sql
from flytepath.plugin.task_type import TaskType

if TYPE_CHECKING:
    import sqlite3

    from flytepath.plugin.task_type import CallBody, Json, TaskContext, TaskDeclaration

_HEADER: Final = b"SQLite format 3\0"
_GZIP: Final = b"\x1f\x8b"


class QueryFailedError(TaskFailedError):
    """A database refused a query."""

    code = "FP-QUERY-FAILED"


@dataclasses.dataclass(frozen=True, slots=True)
class SQLite3Config:
    """Which database a :class:`SQLite3Task` asks.

    Args:
        uri: the database's file: a path of the machine that runs the task, a URI that fsspec reads, or
            ``{{ .inputs.x }}`` for a file that is an input of the task.
        compressed: the file is a zip or tar archive that holds the database, or gzip's compression of it.

    Raises:
        DefinitionError: the uri is empty, or no text.
    """

    uri: str
    compressed: bool = False

    def __post_init__(self) -> None:
        uri = os.fspath(self.uri) if isinstance(self.uri, os.PathLike) else self.uri
        if not isinstance(uri, str) or not uri.strip():
            raise DefinitionError(
                "the database is a path or a URI", place="SQLite3Config(uri)", expected="str", actual=repr(self.uri)
            )
        if not isinstance(self.compressed, bool):
            raise DefinitionError(
                "compressed is True or False", place="SQLite3Config(compressed)", actual=repr(self.compressed)
            )
        object.__setattr__(self, "uri", uri)

    @property
    def input(self) -> str:
        """The input that is the database; empty where the database is always the same."""
        inner = self.uri.strip()
        if not (inner.startswith("{{") and inner.endswith("}}")):
            return ""
        return inner[2:-2].strip().removeprefix(".inputs.")


class SQLite3TaskType(TaskType):
    """Asks the database in the process that runs the task, through Python's own driver, read-only."""

    def compile(self, declaration: TaskDeclaration) -> Json:
        config: SQLite3Config = declaration.config
        statement = statement_of(declaration)
        return {"uri": config.uri, "compressed": config.compressed, **statement.to_json()}

    def execute(self, context: TaskContext, inputs: Mapping[str, Any], call_body: CallBody) -> Any:
        config = SQLite3Config(context.payload["uri"], context.payload["compressed"])
        database = inputs[config.input] if config.input else config.uri
        with _opened(database, config.compressed) as connection:
            names, rows = _asked(connection, Statement.from_json(context.payload), inputs, context.declaration.name)
        if not context.declaration.outputs:
            return None
        return frame_of(names, rows, next(iter(context.declaration.python_outputs.values())))


def statement_of(declaration: TaskDeclaration, place: str = "query_template") -> Statement:
    """The query without the input that is the database itself.

    Raises:
        DefinitionError: the query is several statements, or cannot be compiled.
    """
    inputs = dict(declaration.inputs)
    database = declaration.config.input
    if database and inputs.pop(database, None) is None:
        raise DefinitionError(
            f"the database is the input {database!r}, which there is not",
            place=place.replace("query_template", "task_config"),
            expected=", ".join(declaration.inputs) or "an input of type FlyteFile",
            actual=declaration.config.uri,
        )
    statement = compile_sql(declaration.source, inputs, declaration.python_inputs, place)
    if statement.count > 1:
        raise DefinitionError(
            "SQLite takes one statement at a time",
            place=place,
            expected="one statement",
            actual=f"{statement.count} statements",
            hint="make a task of each",
        )
    return statement


class SQLite3Task(SQLTask):
    """A query to a SQLite database. Assign it to a module variable, that is how a worker finds it.

    The database is opened read-only: a task that changed it would not do so again when its outputs are reused.

    Args:
        name: the task's name, unique in its project.
        query_template: the query, with ``{{ .inputs.x }}`` for parameters; see :class:`SQLTask`.
        inputs: types by name.
        task_config: the database.
        output_schema_type: the type of the output ``results``: ``StructuredDataset`` (the default), ``FlyteSchema``,
            or a class of frames: pandas, polars or Arrow.
        container_image: the image it runs in, on backends that run containers.
        **kwargs: as for ``task``: ``retries``, ``timeout``, ``cache``, ...

    Raises:
        DefinitionError: without a database, or as :class:`SQLTask`.

    Example:
        >>> import pandas, pathlib, sqlite3, tempfile
        >>> from contextlib import closing
        >>> from flytepath import kwtypes
        >>> file = pathlib.Path(tempfile.mkdtemp(), "pets.db")
        >>> with closing(sqlite3.connect(file)) as pets, pets:
        ...     _ = pets.executescript("create table pet(name, age); insert into pet values ('Rex', 7), ('Tom', 2)")
        >>> old = SQLite3Task(
        ...     name="old_pets",
        ...     query_template="select name from pet where age > {{ .inputs.age }}",
        ...     inputs=kwtypes(age=int),
        ...     task_config=SQLite3Config(uri=str(file)),
        ...     output_schema_type=pandas.DataFrame,
        ... )
        >>> old(age=5)["name"].tolist()
        ['Rex']
    """

    def __init__(
        self,
        name: str,
        query_template: str,
        inputs: Mapping[str, Any] | None = None,
        task_config: SQLite3Config | None = None,
        output_schema_type: Any = None,
        container_image: Any = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(task_config, SQLite3Config):
            raise DefinitionError(
                "a SQLite3Task needs a database",
                place=f"{name}(task_config)",
                expected="SQLite3Config(uri=...)",
                actual=repr(task_config),
            )
        if output_schema_type is None:
            from flytepath.types.structured_dataset import StructuredDataset

            output_schema_type = StructuredDataset
        super().__init__(
            name=name,
            query_template=query_template,
            task_config=task_config,
            task_type="sqlite3",
            inputs=inputs,
            output_schema_type=output_schema_type,
            container_image=container_image,
            **kwargs,
        )
        declared = self.output_codecs["results"].literal_type
        if declared.kind != "dataframe":
            raise DefinitionError(
                "the result of a query is a frame",
                place=f"{name}(output_schema_type)",
                expected="StructuredDataset, FlyteSchema, pandas.DataFrame, polars.DataFrame or pyarrow.Table",
                actual=str(declared),
            )

    def _compiled(self) -> Statement:
        database = self.task_config.input
        declared = self.input_codecs[database].literal_type if database in self.input_codecs else None
        if declared is not None and declared.kind not in ("file", "path", "string"):
            raise DefinitionError(
                "the database is a file",
                place=f"{self.name}({database})",
                expected="FlyteFile, Path or str",
                actual=str(declared),
            )
        return statement_of(self.declaration(), f"{self.name}(query_template)")


# --- the database ------------------------------------------------------------------------------------------------


@contextmanager
def _opened(database: Any, compressed: bool) -> Iterator[sqlite3.Connection]:
    """A connection that can only read; files that had to be fetched or unpacked lie in the attempt's folder."""
    import sqlite3

    from flytepath.types.transfers import download, fresh_folder, is_remote, local_path, missing

    given = os.fspath(database)
    path = Path(local_path(given))
    own = compressed or is_remote(given)
    if is_remote(given):
        path = fresh_folder() / "database"
        download(given, path)
    if not path.is_file():
        raise missing(str(path))
    if compressed:
        try:
            path = _unpacked(path, fresh_folder() / "database.db", given)
        except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError, RuntimeError) as error:
            raise QueryFailedError(
                f"the archive cannot be read: {error}", place=given, expected="zip, tar or gzip"
            ) from error
    with path.open("rb") as file:
        header = file.read(len(_HEADER))
    if header not in (_HEADER, b""):
        archive = header.startswith((b"PK", _GZIP))
        raise QueryFailedError(
            "this file is no SQLite database",
            place=given,
            hint="say SQLite3Config(uri, compressed=True)" if archive and not compressed else None,
        )
    # Nobody else writes to a copy of our own, and it may lie where SQLite cannot keep its locks.
    options = "?mode=ro&immutable=1" if own else "?mode=ro"
    try:
        connection = sqlite3.connect(f"file:{quote(str(path.absolute()))}{options}", uri=True)
        connection.execute("pragma query_only = on")
        connection.set_authorizer(_without_attach)
    except sqlite3.Error as error:
        raise QueryFailedError(f"the database cannot be opened: {error}", place=given) from error
    with closing(connection):
        yield connection


def _without_attach(action: int, *_: Any) -> int:
    """Attaching another database would create its file, read-only or not."""
    import sqlite3

    return sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_ATTACH else sqlite3.SQLITE_OK


def _unpacked(archive: Path, target: Path, given: str) -> Path:
    """The database in an archive, written to ``target``: the archive's own paths are not used."""
    found = 0
    for member in _members(archive, given):
        with member() as file:
            header = file.read(len(_HEADER))
            if header != _HEADER:
                continue
            found += 1
            with target.open("wb") as out:
                out.write(header)
                shutil.copyfileobj(file, out)
    if found != 1:
        raise QueryFailedError(
            "the archive does not hold one database",
            place=given,
            expected="one file that is a SQLite database",
            actual=f"{found} of them",
        )
    return target


def _members(archive: Path, given: str) -> Iterator[Callable[[], IO[bytes]]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            for item in zipped.infolist():
                if not item.is_dir():
                    yield lambda item=item: zipped.open(item)  # type: ignore[misc]
    elif tarfile.is_tarfile(archive):
        with tarfile.open(archive) as tar:
            for entry in tar.getmembers():
                stream = tar.extractfile(entry) if entry.isfile() else None
                if stream is not None:
                    yield lambda stream=stream: stream  # type: ignore[misc]
    else:
        with archive.open("rb") as file:
            if file.read(2) != _GZIP:
                raise QueryFailedError(
                    "the file is said to be compressed and is no archive",
                    place=given,
                    expected="zip, tar or gzip",
                    hint="say SQLite3Config(uri) without compressed=True",
                )
        yield lambda: cast("IO[bytes]", gzip.GzipFile(archive))


def _asked(
    connection: sqlite3.Connection, statement: Statement, inputs: Mapping[str, Any], task: str
) -> tuple[list[str], list[tuple[Any, ...]]]:
    import sqlite3

    values = {name: _adapted(value) for name, value in inputs.items()}
    query = render_sql(statement, values, "named")
    try:
        cursor = connection.execute(query.text, query.parameters)
        rows = cursor.fetchall()
    except OverflowError as error:
        raise InputError(
            "SQLite's integers have 64 bits", place=task, expected="an integer below 2**63", actual=str(error)
        ) from error
    except sqlite3.Error as error:
        reading = "readonly" in str(error) or "not authorized" in str(error)
        raise QueryFailedError(
            f"SQLite refused the query of task {task}: {error}",
            place=task,
            expected="a query that reads" if reading else None,
            actual=query.text,
            hint="SQLite3Task opens databases read-only; write in a function task" if reading else None,
        ) from error
    if cursor.description is None:
        raise QueryFailedError(
            f"the query of task {task} gives no table", place=task, expected="a select", actual=query.text
        )
    return [column[0] for column in cursor.description], rows


def _adapted(value: Any) -> Any:
    """A value as SQLite keeps values of its kind."""
    if isinstance(value, dt.datetime):
        return value.isoformat(" ")
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    if isinstance(value, decimal.Decimal | uuid.UUID):
        return str(value)
    if isinstance(value, list | tuple | set | frozenset):
        return type(value)(map(_adapted, value))
    return value


# --- the result --------------------------------------------------------------------------------------------------

#: The first that is installed makes the frame of a dataset.
_LIBRARIES: Final = ("pandas", "pyarrow", "polars")


def frame_of(names: Sequence[str], rows: Sequence[tuple[Any, ...]], declared: Any) -> Any:
    """The rows as a frame of the declared class, or for a dataset, as one of a library that is installed.

    Raises:
        DefinitionError: no library of frames is installed.
    """
    declared = getattr(declared, "__origin__", declared) if hasattr(declared, "__metadata__") else declared
    library = declared.__module__.partition(".")[0]
    for candidate in [library] if library in _LIBRARIES else _LIBRARIES:
        try:
            found = importlib.import_module(candidate)
        except ImportError:
            continue
        try:
            return _BUILDERS[candidate](found, list(names), rows)
        except Exception as error:  # each library has errors of its own
            raise QueryFailedError(
                f"{candidate} cannot make a frame of the result: {error}",
                expected="columns of one type each, with names of their own",
                hint="cast in the query: cast(x as text)",
            ) from error
    raise DefinitionError(
        "no library of data frames is installed",
        expected="one of " + ", ".join(_LIBRARIES),
        hint="install one where the task runs",
    )


def _pandas(pandas: Any, names: list[str], rows: Sequence[tuple[Any, ...]]) -> Any:
    def series(column: list[Any]) -> Any:
        # Left to itself pandas makes floats of integers with gaps, which are other numbers from 2**53 on.
        kinds = {type(value) for value in column}
        return pandas.Series(column, dtype="Int64" if kinds == {int, type(None)} else None if column else object)

    frame = pandas.DataFrame(dict(enumerate(map(series, _columns(names, rows)))))
    frame.columns = pandas.Index(names)
    return frame


def _arrow(pyarrow: Any, names: list[str], rows: Sequence[tuple[Any, ...]]) -> Any:
    return pyarrow.Table.from_arrays([pyarrow.array(column) for column in _columns(names, rows)], names=names)


def _columns(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in names]


def _polars(polars: Any, names: list[str], rows: Sequence[tuple[Any, ...]]) -> Any:
    return polars.DataFrame(rows, schema=names, orient="row", infer_schema_length=None)


_BUILDERS: Final = {"pandas": _pandas, "pyarrow": _arrow, "polars": _polars}
