"""What can be validated, told from its type alone: no library is imported for it."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

from flytepath.plugin import DefinitionError

#: ``pandas`` and ``spark`` frames; a ``file``; a ``dataset``, which is opened when it is validated; ``text``, which
#: names a file or a table of a data source.
Kind = Literal["pandas", "spark", "file", "dataset", "text"]

EXPECTED: Final = (
    "pandas.DataFrame, pyspark.sql.DataFrame, FlyteFile, StructuredDataset or FlyteSchema "
    "(str where a data source of a context root is named)"
)
_HOMES: Final[dict[tuple[str, str], Kind]] = {
    ("pandas", "DataFrame"): "pandas",
    ("pyspark", "DataFrame"): "spark",
    ("flytepath", "FlyteFile"): "file",
    ("flytepath", "StructuredDataset"): "dataset",
    ("flytepath", "FlyteSchema"): "dataset",
}
#: Frames that Great Expectations has no engine for.
_WITHOUT_ENGINE: Final = {
    ("polars", "DataFrame"): "polars",
    ("polars", "LazyFrame"): "polars",
    ("pyarrow", "Table"): "Arrow",
    ("modin", "DataFrame"): "Modin",
}
_PANDAS_ON_SPARK: Final = "pyspark.pandas"


def bare(t: Any) -> Any:
    """``t`` without ``Annotated`` around it."""
    return typing.get_args(t)[0] if typing.get_origin(t) is typing.Annotated else t


def kind_of(t: Any) -> Kind | None:
    """What kind of dataset ``t`` stands for; ``None`` for what is no dataset.

    Example:
        >>> import pandas as pd
        >>> kind_of(pd.DataFrame)
        'pandas'
    """
    t = bare(t)
    if t is str:
        return "text"
    for base in getattr(t, "__mro__", ()) if isinstance(t, type) else ():
        if base.__module__.startswith(_PANDAS_ON_SPARK):
            return None
        known = _HOMES.get((base.__module__.partition(".")[0], base.__qualname__))
        if known is not None:
            return known
    return None


def is_dataset(t: Any) -> bool:
    """Whether ``t`` is a dataset by itself: text is one only where a data source gives it a meaning."""
    return kind_of(t) not in (None, "text")


def check_has_engine(t: Any, place: str) -> None:
    """Refuse a frame that Great Expectations cannot look at without turning it into another one.

    Raises:
        DefinitionError: it is a frame of polars, Arrow, Modin or pandas on Spark.
    """
    t = bare(t)
    for base in getattr(t, "__mro__", ()) if isinstance(t, type) else ():
        library = _WITHOUT_ENGINE.get((base.__module__.partition(".")[0], base.__qualname__))
        if base.__module__.startswith(_PANDAS_ON_SPARK):
            library = "pandas on Spark"
        if library is not None:
            other = "pyspark.sql.DataFrame" if library == "pandas on Spark" else "pandas.DataFrame"
            raise DefinitionError(
                f"Great Expectations has no engine for frames of {library}",
                place=place,
                expected=EXPECTED,
                actual=f"{t.__module__}.{t.__qualname__}",
                hint=f"declare the input as {other}: the frame is then handed over as one, and the signature says so",
            )


def declared_columns(t: Any) -> tuple[str, ...]:
    """The columns that a type declares, all that a task is handed then; none where it does not say.

    Example:
        >>> import pandas as pd
        >>> from flytepath import kwtypes
        >>> declared_columns(typing.Annotated[pd.DataFrame, kwtypes(name=str, age=int)])
        ('name', 'age')
    """
    said = typing.get_args(t)[1:] if typing.get_origin(t) is typing.Annotated else ()
    columns = getattr(bare(t), "columns", None) if kind_of(t) == "dataset" else None
    found = columns() if callable(columns) and isinstance(bare(t), type) else None
    for item in (*said, found):
        if isinstance(item, Mapping) and item:
            return tuple(str(name) for name in item)
    return ()


def check_columns(named: Iterable[tuple[str, str]], t: Any, place: str) -> None:
    """Refuse an expectation on a column that its dataset will not have.

    Args:
        named: types of expectations, and the columns they name.
        t: the type of the dataset.
        place: where the expectations stand, for the error.

    Raises:
        DefinitionError: the type declares columns, and that is none of them.
    """
    there = declared_columns(t)
    for expectation, column in named:
        if there and column not in there:
            near = difflib.get_close_matches(column, there, n=1)
            raise DefinitionError(
                f"{expectation} names the column {column!r}, which the dataset does not have",
                place=place,
                expected=", ".join(there),
                actual=column,
                hint=f"did you mean {near[0]!r}?" if near else None,
            )


def check_examples(examples: Any, place: str) -> None:
    """Refuse a number of examples that is none."""
    if type(examples) is not int or examples < 0:
        raise DefinitionError(
            "examples is how many unexpected values are shown of each expectation",
            place=place,
            expected="a whole number from 0",
            actual=repr(examples),
        )


def check_on_failure(on_failure: Any, allowed: tuple[str, ...], place: str) -> None:
    """Refuse a word for ``on_failure`` that is not one of ``allowed``."""
    if on_failure not in allowed:
        raise DefinitionError(
            "on_failure says what happens when the data does not meet its expectations",
            place=place,
            expected="one of " + ", ".join(map(repr, allowed)),
            actual=repr(on_failure),
        )
