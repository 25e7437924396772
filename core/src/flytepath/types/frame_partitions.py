"""Columns that are no column of any file: the folders of a partitioned frame say them, as in ``day=2024-01-01``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote

from flytepath.errors import TypeTransformerFailedError
from flytepath.types.frame_kinds import pyarrow

#: How Hive, and all who do as it does, name the folder of missing values.
MISSING: Final = "__HIVE_DEFAULT_PARTITION__"

#: The values that the folders of one file say, by column.
Said = Mapping[str, str | None]


class Partitions:
    """What the folders of a frame's files say.

    Args:
        uri: the frame's own folder.
        files: its files.
        types: Arrow types by column, as far as they are known; a column of whole numbers is one of integers, any
            other is text.

    Raises:
        TypeTransformerFailedError: the files lie in folders of different columns, or one has another type.

    Example:
        >>> partitions = Partitions("/data", ["/data/day=1/a.parquet", "/data/day=2/b.parquet"], {})
        >>> partitions.names, str(partitions.types["day"]), partitions.of("/data/day=2/b.parquet")
        (('day',), 'int64', {'day': '2'})
    """

    def __init__(self, uri: str, files: Sequence[str], types: Mapping[str, Any]) -> None:
        self._said = {file: _said_by(uri, file) for file in files}
        shapes = {tuple(said) for said in self._said.values()}
        if len(shapes) > 1:
            raise TypeTransformerFailedError(
                "the files of the folder lie in folders of different columns",
                place=uri,
                expected="for each file the same columns, as in day=1/hour=2/",
                actual=" and ".join(sorted("/".join(shape) or "none" for shape in shapes)),
            )
        self.names: tuple[str, ...] = next(iter(shapes), ())
        self.types = {name: types[name] if name in types else self._guessed(name) for name in self.names}

    def __bool__(self) -> bool:
        return bool(self.names)

    def of(self, file: str) -> Said:
        """What the folders of ``file`` say."""
        return self._said[file]

    def added(self, table: Any, file: str) -> Any:
        """The table of ``file`` with the columns that its folders say; those that it has itself stay."""
        arrow = pyarrow("a frame")
        for name, text in self._said[file].items():
            if name in table.column_names:
                continue
            try:
                value = arrow.scalar(text, arrow.string()).cast(self.types[name])
            except (arrow.ArrowInvalid, arrow.ArrowNotImplementedError) as error:
                raise TypeTransformerFailedError(
                    f"the folder says {name}={text}, which is no {self.types[name]}", place=file
                ) from error
            table = table.append_column(arrow.field(name, self.types[name]), arrow.repeat(value, table.num_rows))
        return table

    def inside(self, columns: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        """The declared columns that are to be read from the files themselves."""
        if columns is None or not self.names:
            return columns
        return {name: t for name, t in columns.items() if name not in self.names}

    def _guessed(self, name: str) -> Any:
        arrow = pyarrow("a frame")
        texts = [said[name] for said in self._said.values() if said[name] is not None]
        # A number with zeros before it is a name that looks like one: it must not lose them.
        whole = texts and all(text is not None and str(_whole(text)) == text for text in texts)
        return arrow.int64() if whole else arrow.string()


def _whole(text: str) -> int | None:
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) <= 18 else None


def _said_by(uri: str, file: str) -> dict[str, str | None]:
    depth = len(_parts(uri))
    found: dict[str, str | None] = {}
    for part in _parts(file)[depth:-1]:
        name, equals, value = part.partition("=")
        if equals and name:
            found[unquote(name)] = None if value == MISSING else unquote(value)
    return found


def _parts(place: str) -> list[str]:
    path = unquote(place.removeprefix("file://")) if place.startswith("file://") else place.partition("://")[2] or place
    return [part for part in path.split("/") if part]
