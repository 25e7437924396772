"""Values as the command line prints them."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flytepath import FlyteDirectory, FlyteFile, StructuredDataset
from flytepath.cli.display import show_literal
from flytepath.cli.values import show_value
from flytepath.model.types import LiteralType
from flytepath.testing import MemoryBlobs
from flytepath.types.engine import codec


class Color(enum.Enum):
    RED = 1


@dataclass
class Node:
    value: int
    next: Node | None = None


@dataclass
class Holder:
    file: FlyteFile
    at: dt.timedelta | None


def shown(t: Any, value: Any) -> str:
    return show_literal(codec(t).encode(value, MemoryBlobs()))


@pytest.mark.parametrize(
    ("t", "value", "text"),
    [
        (int, 3, "3"),
        (int, 2**60, str(2**60)),
        (float, float("nan"), "NaN"),
        (str, 'a "b" ü', '"a \\"b\\" ü"'),
        (type(None), None, "None"),
        (int | None, None, "None"),
        (int | None, 3, "3"),
        (list[int | None], [1, None], "[1, null]"),
        (tuple[int, str], (1, "a"), '[1, "a"]'),
        (dict[int, str], {1: "a"}, '{1: "a"}'),
        (dict[str, list[float]], {"a": [1.5]}, '{"a": [1.5]}'),
        (dt.timedelta, dt.timedelta(hours=1, microseconds=5), '"1:00:00.000005"'),
        (dt.date, dt.date(2024, 2, 29), '"2024-02-29"'),
        (decimal.Decimal, decimal.Decimal("1.50"), '"1.50"'),
        (Color, Color.RED, '"RED"'),
        (Node, Node(1, Node(2)), '{"value": 1, "next": {"value": 2, "next": null}}'),
        (dict, {"a": [1, None]}, '{"a": [1, null]}'),
    ],
)
def test_plain_values_are_json_without_their_tags(t: Any, value: Any, text: str) -> None:
    assert shown(t, value) == text


def test_files_and_folders_are_their_place_and_size(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x\n1\n")
    assert shown(FlyteFile, FlyteFile(str(tmp_path / "a.csv"))).endswith("(a.csv, 4 B)")
    assert shown(FlyteDirectory, FlyteDirectory(str(tmp_path))).endswith("(1 files, 4 B)")
    held = shown(Holder, Holder(FlyteFile(str(tmp_path / "a.csv")), dt.timedelta(1)))
    assert "(a.csv, 4 B)" in held
    assert held.endswith('"at": "1 day, 0:00:00"}')


def test_frames_are_their_shape_and_columns() -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame({"x": [1, 2], "y": [0.5, 1.5]})
    for t, value in ((pandas.DataFrame, frame), (StructuredDataset, StructuredDataset(dataframe=frame))):
        assert "(2 rows x 2 columns [x: int64, y: double], " in shown(t, value)
    wide = pandas.DataFrame({f"c{i}": [1] for i in range(20)})
    assert "and 8 more]" in shown(pandas.DataFrame, wide)


def test_iterators_and_arrays_are_their_size() -> None:
    numpy = pytest.importorskip("numpy")
    assert "(2 items of integer, 4 B)" in shown(Iterator[int], [1, 2])
    assert "(2 x 3 of float64, " in shown(numpy.ndarray, numpy.zeros((2, 3)))


def test_what_is_long_is_cut_or_named() -> None:
    assert shown(str, "a" * 5000).endswith("... (5002 characters)")
    assert "(list[integer], 106.3 KiB)" in shown(list[int], list(range(20_000)))


def test_a_payload_of_another_form_is_shown_as_it_is() -> None:
    assert show_value({"odd": 1}, LiteralType("list", (LiteralType("integer"),))) == '{"odd": 1}'
