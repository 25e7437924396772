"""The table of Python types that core itself turns into literals, as plain data.

``flytepath.plugin.builtin`` declares it like any plugin declares its own; the type engine reads the table itself, so
that a task of plain types costs no declarations, no index and no plugin.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class BuiltinTransformer(NamedTuple):
    """The fields of a :class:`~flytepath.plugin.TransformerDeclaration`."""

    python_types: tuple[str, ...]
    transformer: str
    format: str = "json"
    version: int = 1
    match: str = "exact"


#: ``dataclasses.dataclass``, ``typing.NamedTuple``, ``typing.TypedDict``, ``typing.Literal`` and ``typing.Union`` are
#: forms, not classes: what the engine finds a type to be.
BUILTIN_TRANSFORMERS: Final = (
    BuiltinTransformer(
        ("builtins.NoneType", "builtins.bool", "builtins.int", "builtins.float", "builtins.str", "builtins.bytes"),
        "flytepath.types.scalars:ScalarTransformer",
    ),
    BuiltinTransformer(
        ("datetime.datetime", "datetime.date", "datetime.time", "datetime.timedelta"),
        "flytepath.types.moments:MomentTransformer",
    ),
    BuiltinTransformer(("decimal.Decimal", "uuid.UUID"), "flytepath.types.textual:TextualTransformer"),
    BuiltinTransformer(("pathlib.PurePath",), "flytepath.types.textual:TextualTransformer", match="subclass"),
    BuiltinTransformer(
        ("builtins.list", "builtins.tuple", "builtins.set", "builtins.frozenset", "builtins.dict"),
        "flytepath.types.collections:CollectionTransformer",
        match="origin",
    ),
    BuiltinTransformer(("typing.Union",), "flytepath.types.unions:UnionTransformer", match="origin"),
    BuiltinTransformer(("typing.Literal",), "flytepath.types.enums:LiteralValueTransformer", match="origin"),
    BuiltinTransformer(("enum.Enum",), "flytepath.types.enums:EnumTransformer", match="subclass"),
    BuiltinTransformer(("dataclasses.dataclass",), "flytepath.types.dataclasses:DataclassTransformer", match="origin"),
    BuiltinTransformer(
        ("typing.NamedTuple", "typing.TypedDict"), "flytepath.types.records:RecordTransformer", match="origin"
    ),
    BuiltinTransformer(
        ("pydantic.main.BaseModel",), "flytepath.types.pydantic_models:ModelTransformer", match="subclass"
    ),
    *(
        BuiltinTransformer(
            (f"flytepath.types.{module}.{name}",),
            f"flytepath.types.{module}:{transformer}",
            format,
            match=match,
        )
        for module, name, transformer, format in (
            ("files", "FlyteFile", "FileTransformer", "file"),
            ("directories", "FlyteDirectory", "DirectoryTransformer", "directory"),
            ("pickled", "FlytePickle", "PickledTransformer", "pickle"),
        )
        for match in ("exact", "subclass")
    ),
    BuiltinTransformer(("flytepath.types.json_values.JSON",), "flytepath.types.json_values:JsonTransformer"),
    BuiltinTransformer(
        (
            "collections.abc.Iterator",
            "collections.abc.Iterable",
            "collections.abc.Generator",
            "flytepath.types.iterators.FlyteIterator",
        ),
        "flytepath.types.iterators:IteratorTransformer",
        "jsonl",
        match="origin",
    ),
    BuiltinTransformer(("numpy.ndarray",), "flytepath.types.arrays:ArrayTransformer", "npy"),
    BuiltinTransformer(("numpy.ndarray",), "flytepath.types.arrays:ArrayTransformer", "npy", match="origin"),
    BuiltinTransformer(
        (
            "pandas.DataFrame",
            "pandas.core.frame.DataFrame",
            "polars.dataframe.frame.DataFrame",
            "polars.lazyframe.frame.LazyFrame",
            "pyarrow.lib.Table",
        ),
        "flytepath.types.frames:FrameTransformer",
        "arrow-ipc",
    ),
    BuiltinTransformer(
        ("flytepath.types.structured_dataset.StructuredDataset",),
        "flytepath.types.structured_dataset:StructuredDatasetTransformer",
        "arrow-ipc",
    ),
    BuiltinTransformer(
        ("flytepath.types.schema.FlyteSchema",), "flytepath.types.schema:SchemaTransformer", "parquet", match="subclass"
    ),
)
