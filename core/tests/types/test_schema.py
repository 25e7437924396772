"""``FlyteSchema``: written piece by piece, read as any frame, interchangeable with frames and datasets."""

from __future__ import annotations

from typing import Any

import pytest

pandas = pytest.importorskip("pandas")
pyarrow = pytest.importorskip("pyarrow")

from flytepath import kwtypes  # noqa: E402
from flytepath.errors import DefinitionError, TypeTransformerFailedError, UsageError  # noqa: E402
from flytepath.types.engine import codec  # noqa: E402
from flytepath.types.schema import FlyteSchema, SchemaFormat, SchemaOpenMode  # noqa: E402
from flytepath.types.structured_dataset import StructuredDataset  # noqa: E402
from pydantic import BaseModel  # noqa: E402

DataFrame = pandas.DataFrame
XY = FlyteSchema[kwtypes(x=int, y=str)]


class Model(BaseModel):
    data: XY


def frame(*numbers: int) -> Any:
    return DataFrame({"x": list(numbers), "y": [str(n) for n in numbers], "z": [0.5] * len(numbers)})


def both_ways(t: Any, value: Any, round_trip: Any) -> list[Any]:
    return [codec(t).isolate(codec(t).isolate(value)), round_trip(t, value)]


@pytest.mark.parametrize("t", [FlyteSchema, XY])
def test_what_is_written_in_pieces_is_read_as_one(t, round_trip):
    schema = t()
    schema.open().write(frame(1, 2))
    schema.open(DataFrame).write(frame(3), frame(4))
    for back in both_ways(t, schema, round_trip):
        assert isinstance(back, t)
        assert back.supported_mode is SchemaOpenMode.READ
        found = back.open().all()
        assert found["x"].tolist() == [1, 2, 3, 4]
        assert list(found) == (["x", "y"] if t is XY else ["x", "y", "z"])
        assert back.open(pyarrow.Table).all().num_rows == 4
        assert sum(len(piece) for piece in back.open().iter()) == 4


def test_frames_and_datasets_are_taken_for_a_schema_and_the_other_way_round(round_trip, blobs):
    for given in (frame(1), StructuredDataset(dataframe=frame(1))):
        for back in both_ways(XY, given, round_trip):
            pandas.testing.assert_frame_equal(back.open().all(), frame(1)[["x", "y"]])
    schema = FlyteSchema()
    schema.open().write(frame(1))
    literal = codec(FlyteSchema).encode(schema, blobs)
    pandas.testing.assert_frame_equal(codec(DataFrame).decode(literal, blobs), frame(1))
    pandas.testing.assert_frame_equal(codec(StructuredDataset).decode(literal, blobs).open(DataFrame).all(), frame(1))


def test_a_bare_schema_is_taken_for_a_declared_one(round_trip):
    schema = FlyteSchema()
    schema.open().write(frame(1))
    for back in both_ways(XY, schema, round_trip):
        assert list(back.open().all()) == ["x", "y"]


def test_a_schema_stands_in_a_pydantic_model(round_trip):
    schema = XY()
    schema.open().write(frame(1))
    for back in both_ways(Model, Model(data=schema), round_trip):
        assert back.data.open().all()["x"].tolist() == [1]


def test_a_received_schema_can_be_passed_on_but_not_written(round_trip):
    schema = XY()
    schema.open().write(frame(1))
    received = round_trip(XY, schema)
    assert round_trip(XY, received).open().all()["x"].tolist() == [1]
    with pytest.raises(TypeTransformerFailedError, match="only be read"):
        received.open(override_mode=SchemaOpenMode.WRITE)
    assert not hasattr(received.open(), "write")


def test_a_column_that_is_not_as_declared_is_an_error_when_it_is_written(blobs):
    with pytest.raises(TypeTransformerFailedError, match="'y'"):
        XY().open().write(DataFrame({"x": [1]}))
    with pytest.raises(TypeTransformerFailedError, match="not int"):
        XY().open().write(DataFrame({"x": ["a"], "y": ["b"]}))
    schema = FlyteSchema()
    schema.open().write(DataFrame({"x": [1]}))
    for act in (codec(XY).isolate, lambda value: codec(XY).encode(value, blobs)):
        with pytest.raises(TypeTransformerFailedError, match="'y'"):
            act(schema)


def test_a_schema_says_what_it_is():
    assert XY.columns() == {"x": int, "y": str}
    assert XY.column_names() == ["x", "y"]
    assert FlyteSchema.columns() == {}
    assert XY.format() is SchemaFormat.PARQUET
    assert FlyteSchema[kwtypes(x=int, y=str)] is XY
    assert issubclass(XY, FlyteSchema)


def test_a_schema_that_lies_somewhere_is_read_there(tmp_path, round_trip):
    frame(1, 2).to_parquet(tmp_path / "t.parquet")
    for schema in (
        FlyteSchema(remote_path=str(tmp_path), supported_mode=SchemaOpenMode.READ),
        FlyteSchema(local_path=tmp_path, supported_mode=SchemaOpenMode.READ),
    ):
        assert schema.open().all()["x"].tolist() == [1, 2]
        for back in both_ways(XY, schema, round_trip):
            assert back.open().all()["x"].tolist() == [1, 2]


def test_misuse_is_an_error(blobs):
    with pytest.raises(UsageError, match="columns"):
        FlyteSchema[int]
    with pytest.raises(DefinitionError):
        FlyteSchema[kwtypes(x=FlyteSchema)]
    with pytest.raises(UsageError, match="somewhere"):
        FlyteSchema(supported_mode=SchemaOpenMode.READ)
    with pytest.raises(TypeTransformerFailedError):
        codec(FlyteSchema).encode(FlyteSchema(), blobs)
    with pytest.raises(TypeTransformerFailedError):
        codec(FlyteSchema).isolate([1])
