"""Literals as they were first written: every later version writes exactly these, and reads them back.

A file is never changed. A value whose form must change gets a new format version and a new file beside the old one.
"""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import json
import math
import pathlib
import uuid
import zoneinfo
from pathlib import Path
from typing import Annotated, Generic, Literal, TypeVar

import pydantic
import pytest
from flytepath.model.literal import Literal as Kept
from flytepath.types.engine import codec
from flytepath.types.hashing import HashMethod
from sample_types import Access, Box, Color, Computed, Layer, Left, Model, Node, Options, Pair, Point, Right

T = TypeVar("T")


class Permission(enum.IntFlag):
    """Bits that no member names are kept too."""

    READ = 4


class Job(pydantic.BaseModel, Generic[T]):
    arg: T
    name: str = pydantic.Field(default="job", alias="theName")
    retries: int | None = None


FOLDER = Path(__file__).parent.parent / "golden" / "literals"
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")

GOLDEN = {
    "none": (None, None),
    "boolean": (bool, True),
    "integer": (int, 2**53 - 1),
    "integer_beyond": (int, -(2**53)),
    "integers": (list[int], [0, 2**53 - 1, 2**53, -(2**64)]),
    "floats": (list[float], [0.1, -0.0, 1.0, 1e22, 5e-324, math.inf, -math.inf]),
    "string": (str, 'é😀\u2028"\\\x00'),
    "string_surrogates": (str, "a\ud83d\ude00"),
    "bytes": (bytes, bytes(range(8))),
    "decimals": (
        list[decimal.Decimal],
        [decimal.Decimal(text) for text in ("1.50", "-0E-9", "NaN", "sNaN7", "1E+400")],
    ),
    "uuid": (uuid.UUID, uuid.UUID(int=7)),
    "path": (pathlib.PurePosixPath, pathlib.PurePosixPath("/data/a b")),
    "date": (dt.date, dt.date(2024, 2, 29)),
    "time": (dt.time, dt.time(23, 59, 59, 1, tzinfo=dt.UTC)),
    "datetime_naive": (dt.datetime, dt.datetime(2024, 2, 29, 1, 2, 3)),
    "datetime_naive_fold": (dt.datetime, dt.datetime(2024, 2, 29, 1, 2, 3, fold=1)),
    "datetime_offset": (dt.datetime, dt.datetime(2024, 2, 29, tzinfo=dt.timezone(dt.timedelta(hours=-3)))),
    "datetime_named": (dt.datetime, dt.datetime(2024, 2, 29, tzinfo=dt.timezone(dt.timedelta(hours=-5), "EST"))),
    "datetime_zone": (dt.datetime, dt.datetime(2023, 10, 29, 2, 30, tzinfo=BERLIN, fold=1)),
    "timedeltas": (list[dt.timedelta], [dt.timedelta(microseconds=-1), dt.timedelta.max]),
    "enum": (Color, Color.BLUE),
    "flags": (Access, Access.READ | Access.RUN),
    "flags_unnamed": (Permission, Permission(6)),
    "choice": (Literal["a", "b"], "b"),
    "choice_mixed": (Literal[1, "1", None], "1"),
    "optional": (list[int | None], [1, None]),
    "union": (list[int | str | list[float] | None], [1, "a", [1.5], None]),
    "list_empty": (list[int], []),
    "tuple": (tuple[int, str], (1, "a")),
    "tuple_variadic": (tuple[int, ...], (1, 2)),
    "set": (set[str], {"b", "a", "é"}),
    "frozenset": (frozenset[int], frozenset({10, 9})),
    "dict": (dict[str, int], {"z": 1, "a": 2}),
    "dict_surrogates": (dict[str, int], {"\ud800": 1}),
    "dict_integers": (dict[int, str], {3: "c", 2**53: "b"}),
    "dict_points": (dict[Point, bool], {Point(1, 2): True}),
    "struct": (Model, Model([Layer(1), Layer(2, "x", 0.25, ["t"])], None)),
    "struct_recursive": (Node, Node(1, Node(2))),
    "struct_mutual": (Left, Left(Right(Left(None)))),
    "struct_generic": (Box[list[int]], Box([1])),
    "struct_computed": (Computed, Computed(2, 5)),
    "model": (Job[int], Job[int](arg=1, retries=2)),
    "hashed": (Annotated[str, HashMethod(str.upper)], "a"),
    "named_tuple": (Pair, Pair(1, 2.5)),
    "typed_dict": (Options, {"a": 1}),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_a_literal_is_written_exactly_as_it_always_was(name, blobs):
    t, value = GOLDEN[name]
    kept = (FOLDER / f"{name}.json").read_text(encoding="ascii")
    assert json.dumps(codec(t).encode(value, blobs).to_json(), indent=1) + "\n" == kept


@pytest.mark.parametrize("name", GOLDEN)
def test_a_literal_written_long_ago_is_read_back(name, blobs):
    t, value = GOLDEN[name]
    kept = Kept.from_json(json.loads((FOLDER / f"{name}.json").read_text(encoding="ascii")))
    back = codec(t).decode(kept, blobs)
    assert type(back) is type(value)
    assert repr(back) == repr(value) or back == value


def test_every_golden_file_is_held_by_a_test():
    assert {path.stem for path in FOLDER.glob("*.json")} == set(GOLDEN)
