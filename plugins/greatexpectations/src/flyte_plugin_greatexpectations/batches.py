"""The data of a validation as a batch of the library, each kind by the engine of its own: nothing is converted."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from flytepath import Secret
from flytepath.plugin import DefinitionError, Statement

from flyte_plugin_greatexpectations.configuration import GreatExpectationsConfig
from flyte_plugin_greatexpectations.datasets import Kind
from flyte_plugin_greatexpectations.errors import DataSourceError, ExpectationError
from flyte_plugin_greatexpectations.library import FAILURES
from flyte_plugin_greatexpectations.outcomes import plain_message

#: How pandas reads a file, by the end of its name: the asset, and the argument that is the place.
_READERS: Final[Mapping[str, tuple[str, str, Mapping[str, Any]]]] = {
    "csv": ("csv", "filepath_or_buffer", {}),
    "tsv": ("csv", "filepath_or_buffer", {"sep": "\t"}),
    "parquet": ("parquet", "path", {}),
    "pq": ("parquet", "path", {}),
    "json": ("json", "path_or_buf", {}),
    "jsonl": ("json", "path_or_buf", {"lines": True}),
    "ndjson": ("json", "path_or_buf", {"lines": True}),
    "orc": ("orc", "path", {}),
    "feather": ("feather", "path", {}),
    "arrow": ("feather", "path", {}),
    "xlsx": ("excel", "io", {}),
}
_PACKED: Final = ("gz", "bz2", "xz", "zst", "zip")
_ARGUMENTS: Final = {asset: argument for asset, argument, _ in _READERS.values()}
#: Spark's readers; a first line of names is what a file of the other engines has, too.
_SPARK: Final[Mapping[str, Mapping[str, Any]]] = {
    "csv": {"header": True, "infer_schema": True},
    "parquet": {},
    "json": {},
    "orc": {},
}


@dataclass(frozen=True, slots=True)
class Request:
    """What is validated.

    Args:
        config: what a validation does.
        name: its name in the report.
        value: the dataset; ``None`` where it lies elsewhere.
        kind: what the dataset is.
        parameters: values of the other inputs.
        statement: the compiled query.
        scratch: makes a folder that nobody else uses.
        secret: gives the value of a secret.
    """

    config: GreatExpectationsConfig
    name: str
    value: Any = None
    kind: Kind | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    statement: Statement | None = None
    scratch: Callable[[], Path] = Path.cwd
    secret: Callable[[Secret], str] = str


@dataclass(frozen=True, slots=True)
class Part:
    """One batch, and what it is in a few words."""

    definition: Any
    batch: Any
    batch_parameters: Mapping[str, Any]
    told: str


@contextlib.contextmanager
def reading(what: str) -> Iterator[None]:
    """What goes wrong while data is reached or read is told as that.

    Raises:
        DataSourceError: it cannot be.
    """
    try:
        yield
    except FAILURES as error:
        if isinstance(error, DefinitionError):
            raise
        raise DataSourceError(
            f"{what} cannot be read: {plain_message(str(error)) or type(error).__name__}", place=what
        ) from error


def value_part(context: Any, request: Request) -> Part:
    """The batch of a dataset that is a value: a frame, a file, or a dataset that is opened now."""
    value, kind = request.value, request.kind
    if kind == "dataset":
        value, kind = _opened(value, request.config.spark)
    if kind == "file":
        return _file_part(context, request)
    if kind == "spark":
        return _frame_part(context.data_sources.add_spark("flytepath", persist=False), value, _spark_words(value))
    _check_unambiguous(value, request)
    rows, columns = value.shape
    return _frame_part(context.data_sources.add_pandas("flytepath"), value, f"{rows} rows, {columns} columns")


def _check_unambiguous(frame: Any, request: Request) -> None:
    """Refuse an expectation on a column of which there are several: the library would look at their names."""
    there = list(frame.columns)
    for expectation, column in request.config.columns:
        if there.count(column) > 1:
            raise ExpectationError(
                f"{expectation} names the column {column!r}, of which the frame has {there.count(column)}",
                place=request.name,
                expected="columns of different names",
                actual=", ".join(map(str, there))[:200],
            )


def _frame_part(source: Any, frame: Any, told: str) -> Part:
    definition = source.add_dataframe_asset("frame").add_batch_definition_whole_dataframe("whole")
    return part_of(definition, {"dataframe": frame}, told)


def part_of(definition: Any, parameters: Mapping[str, Any], told: str) -> Part:
    """The batch of a definition."""
    with reading(told):
        return Part(definition, definition.get_batch(batch_parameters=dict(parameters)), parameters, told)


def _spark_words(frame: Any) -> str:
    return f"a Spark frame of {len(frame.columns)} columns"


def _opened(dataset: Any, spark: Any) -> tuple[Any, Kind]:
    """A dataset is no frame yet: it becomes one of the engine that the task asks for."""
    if spark is not None:
        from pyspark.sql import DataFrame

        return dataset.open(DataFrame).all(), "spark"
    import pandas as pd

    return dataset.open(pd.DataFrame).all(), "pandas"


# --- files -------------------------------------------------------------------------------------------------------


def _file_part(context: Any, request: Request) -> Part:
    config = request.config
    given = request.value
    path = Path(os.fspath(given))
    name = config.file_name or path.name
    ending = _ending(name) or _ending(str(getattr(type(given), "extension", lambda: "")()))
    reader = config.batch.reader.removeprefix("read_").removesuffix("_asset")
    asset, options = _asset_of(name, ending, reader)
    options = {**options, **config.batch.reader_options}
    if config.spark is not None:
        return _spark_file_part(context, request, path, asset)
    source = context.data_sources.add_pandas("flytepath")
    with reading(f"the file {name}"):
        made = getattr(source, f"add_{asset}_asset")("file", **{_ARGUMENTS[asset]: str(path)}, **options)
        return part_of(made.add_batch_definition("whole"), {}, f"the file {name}")


def _ending(name: str) -> str:
    parts = name.lower().rsplit("/", 1)[-1].split(".")
    while parts and parts[-1] in _PACKED:
        parts.pop()
    return parts[-1] if parts and (len(parts) > 1 or parts[0] in _READERS) else ""


def _asset_of(name: str, ending: str, reader: str) -> tuple[str, dict[str, Any]]:
    if reader in _ARGUMENTS:
        return reader, {}
    found = _READERS.get(ending)
    if found is None or reader:
        raise DataSourceError(
            f"nothing says how the file {name} is read" if not reader else f"there is no reader {reader!r}",
            place=name,
            expected="a name that ends with one of " + ", ".join(f".{item}" for item in _READERS),
            hint="or declare it, FlyteFile['csv'], or say "
            "task_config=BatchRequestConfig(batch_spec_passthrough={'reader_method': 'read_csv'})",
        )
    return found[0], dict(found[2])


def _spark_file_part(context: Any, request: Request, path: Path, asset: str) -> Part:
    if asset not in _SPARK:
        raise DataSourceError(
            f"Spark has no reader for this file ({asset})", place=path.name, expected=", ".join(_SPARK)
        )
    # The library finds files by patterns, and a name may mean something else as one.
    folder = request.scratch()
    (folder / f"file.{asset}").symlink_to(path.absolute())
    source = context.data_sources.add_spark_filesystem("flytepath", base_directory=folder, persist=False)
    with reading(f"the file {path.name}"):
        options = {**_SPARK[asset], **request.config.batch.reader_options}
        made = getattr(source, f"add_{asset}_asset")("file", **options)
        definition = made.add_batch_definition_path("whole", path=f"file.{asset}")
        return part_of(definition, {}, f"the file {path.name}")


# --- data sources of a context root --------------------------------------------------------------------------------


def source_part(context: Any, request: Request) -> Part:
    """The batch of a data source that the context root has."""
    config = request.config
    source = context.data_sources.get(config.source)
    if hasattr(source, "base_directory"):
        return _filesystem_part(source, request)
    if hasattr(source, "connection_string"):
        return _table_of_source(source, request)
    if request.kind in ("pandas", "spark"):
        asset = _asset(source, config.asset, lambda: source.add_dataframe_asset("flytepath"))
        definition = _definition(asset, config, lambda: asset.add_batch_definition_whole_dataframe("flytepath"))
        return part_of(definition, {**config.batch.batch_parameters, "dataframe": request.value}, config.source)
    asset = _asset(source, config.asset, None)
    definition = _definition(asset, config, lambda: asset.add_batch_definition("flytepath"))
    return part_of(definition, config.batch.batch_parameters, f"{config.source}: {asset.name}")


def _asset(source: Any, name: str, make: Callable[[], Any] | None) -> Any:
    there = list(source.assets)
    if name or len(there) == 1:
        # Asked for by name: only then does an asset know the source that the context has.
        return source.get_asset(name or there[0].name)
    if not there and make is not None:
        return make()
    raise DefinitionError(
        f"the data source {source.name!r} has {len(there)} assets",
        place="data_asset_name",
        expected="one of " + ", ".join(asset.name for asset in there) if there else "an asset",
    )


def _definition(asset: Any, config: GreatExpectationsConfig, make: Callable[[], Any]) -> Any:
    if config.batch_definition:
        return asset.get_batch_definition(config.batch_definition)
    there = list(asset.batch_definitions)
    return asset.get_batch_definition(there[0].name) if len(there) == 1 else make()


def _filesystem_part(source: Any, request: Request) -> Part:
    config = request.config
    asset = _asset(source, config.asset, None)
    parameters = config.batch.batch_parameters
    if request.kind == "file":
        given = Path(os.fspath(request.value))
        folder = request.scratch()
        name = config.file_name or given.name
        _linked(given, folder / name)
        source.base_directory, told = folder, name
        source._rebuild_asset_data_connectors()
        asset = source.get_asset(asset.name)
    elif request.kind == "text":
        name = told = str(request.value)
    else:
        with reading(config.source):
            definition = _definition(asset, config, lambda: asset.add_batch_definition("flytepath"))
        return part_of(definition, parameters, f"{config.source}: {asset.name}")
    if config.batch_definition:
        return part_of(asset.get_batch_definition(config.batch_definition), parameters, told)
    import re

    with reading(f"{told} of the data source {config.source}"):
        # A path is a pattern to the library; this one means itself.
        definition = asset.add_batch_definition_path("flytepath", path=re.escape(name))
        return part_of(definition, parameters, told)


def _linked(given: Path, target: Path) -> None:
    try:
        target.symlink_to(given.absolute())
    except OSError:
        shutil.copyfile(given, target)


def _table_of_source(source: Any, request: Request) -> Part:
    from flyte_plugin_greatexpectations.databases import bound_query, query_part

    config = request.config
    if request.statement is not None:
        return query_part(source, bound_query(request.statement, request.parameters))
    if request.kind == "text":
        name = str(request.value)
        known = {asset.name for asset in source.assets}
        with reading(f"the table {name} of the data source {config.source}"):
            asset = source.get_asset(name) if name in known else source.add_table_asset("flytepath", table_name=name)
            definition = _definition(asset, config, lambda: asset.add_batch_definition_whole_table("flytepath"))
            return part_of(definition, config.batch.batch_parameters, f"the table {name}")
    with reading(config.source):
        asset = _asset(source, config.asset, None)
        definition = _definition(asset, config, lambda: asset.add_batch_definition_whole_table("flytepath"))
    return part_of(definition, config.batch.batch_parameters, f"{config.source}: {asset.name}")
