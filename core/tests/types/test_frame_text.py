"""Frames from what people type: the path or URI of a file."""

from __future__ import annotations

from typing import Annotated, Any

import pytest

pandas = pytest.importorskip("pandas")
pyarrow = pytest.importorskip("pyarrow")

from flytepath import kwtypes  # noqa: E402
from flytepath.errors import TypeTransformerFailedError  # noqa: E402
from flytepath.types.engine import codec  # noqa: E402
from flytepath.types.schema import FlyteSchema  # noqa: E402
from flytepath.types.structured_dataset import StructuredDataset  # noqa: E402

DataFrame = pandas.DataFrame
FRAME = DataFrame({"a": [1, 2], "b": ["x", "y"]})


def typed(t: Any, text: str) -> Any:
    converter: Any = codec(t).converter
    return codec(t).isolate(converter.transformer.from_text(converter.python_type, text))


@pytest.fixture(params=["csv", "parquet", "arrow", "json", "jsonl"])
def file(request, tmp_path):
    path = tmp_path / f"t.{request.param}"
    {
        "csv": lambda: FRAME.to_csv(path, index=False),
        "parquet": lambda: FRAME.to_parquet(path),
        "arrow": lambda: FRAME.to_feather(path),
        "json": lambda: FRAME.to_json(path, orient="records"),
        "jsonl": lambda: FRAME.to_json(path, orient="records", lines=True),
    }[request.param]()
    return str(path)


def test_a_file_is_a_frame_of_any_kind(file):
    for frame in (
        typed(DataFrame, file),
        typed(StructuredDataset, file).open(DataFrame).all(),
        typed(FlyteSchema, file).open().all(),
        typed(pyarrow.Table, file).to_pandas(),
    ):
        assert frame.to_dict("list") == {"a": [1, 2], "b": ["x", "y"]}


def test_declared_columns_are_read_alone(file):
    columns = kwtypes(a=int)
    assert list(typed(Annotated[DataFrame, columns], file)) == ["a"]
    assert list(typed(Annotated[StructuredDataset, columns], file).open(DataFrame).all()) == ["a"]
    assert list(typed(FlyteSchema[columns], file).open().all()) == ["a"]
    with pytest.raises(TypeTransformerFailedError, match="'c'"):
        typed(Annotated[DataFrame, kwtypes(c=int)], file)


def test_csv_is_read_by_the_declared_types(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a\n1\n2\n")
    assert typed(Annotated[DataFrame, kwtypes(a=float)], str(path))["a"].tolist() == [1.0, 2.0]
    assert typed(Annotated[DataFrame, kwtypes(a=str)], str(path))["a"].tolist() == ["1", "2"]


@pytest.mark.parametrize("content", ["{", "3", "[1, 2]", '[{"a": 1}, {"a": "x"}]'])
def test_json_that_is_no_table_is_an_error(content, tmp_path):
    path = tmp_path / "t.json"
    path.write_text(content)
    with pytest.raises(TypeTransformerFailedError) as caught:
        typed(DataFrame, str(path))
    assert str(path) in str(caught.value)


def test_nothing_at_the_place_is_an_error(tmp_path):
    for name in ("t.csv", "t.json", "t"):
        with pytest.raises(TypeTransformerFailedError, match="no file"):
            typed(DataFrame, str(tmp_path / name))
