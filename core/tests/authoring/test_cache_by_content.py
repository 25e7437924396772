"""What stands for a value in a cache key is its content, wherever it lies; or what its author says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import pytest
from flytepath import FlyteDirectory, FlyteFile, HashMethod, StructuredDataset, task

ran: list[str] = []


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYTEPATH_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("FLYTEPATH_LOCAL_CACHE", raising=False)
    ran.clear()


@task(cache=True, cache_version="1")
def of_file(x: FlyteFile) -> int:
    ran.append("file")
    return len(Path(x).read_text())


@task(cache=True, cache_version="1")
def of_folder(x: FlyteDirectory) -> int:
    ran.append("folder")
    return len(list(Path(x).iterdir()))


@task(cache=True, cache_version="1")
def of_dataset(x: StructuredDataset) -> int:
    ran.append("dataset")
    return len(x.open(pd.DataFrame).all())


@task(cache=True, cache_version="1")
def of_frame(x: pd.DataFrame) -> int:
    ran.append("frame")
    return len(x)


@task(cache=True, cache_version="1")
def of_hashed(x: Annotated[pd.DataFrame, HashMethod(lambda frame: str(list(frame.columns)))]) -> int:
    ran.append("hashed")
    return len(x)


def file(folder: Path, text: str) -> FlyteFile:
    folder.mkdir(parents=True)
    (folder / "data.txt").write_text(text)
    return FlyteFile(str(folder / "data.txt"))


def directory(folder: Path, text: str) -> FlyteDirectory:
    file(folder / "in" / "deep", text)
    return FlyteDirectory(str(folder / "in"))


def frame(_folder: Path, text: str) -> pd.DataFrame:
    return pd.DataFrame({"a": [text, "b"]})


def dataset(folder: Path, text: str) -> StructuredDataset:
    return StructuredDataset(dataframe=frame(folder, text))


@pytest.mark.parametrize(
    ("called", "made", "name"),
    [
        (of_file, file, "file"),
        (of_folder, directory, "folder"),
        (of_dataset, dataset, "dataset"),
        (of_frame, frame, "frame"),
    ],
)
def test_the_same_content_elsewhere_is_a_hit_and_other_content_is_not(
    called: Any, made: Any, name: str, tmp_path: Path
) -> None:
    results = [called(x=made(tmp_path / "one", "hello")), called(x=made(tmp_path / "two", "hello"))]
    assert results[0] == results[1]
    assert ran == [name]
    called(x=made(tmp_path / "three", "olleh"))
    assert ran == [name, name]


def test_a_hash_method_decides_for_a_frame() -> None:
    assert of_hashed(x=pd.DataFrame({"a": [1]})) == 1
    assert of_hashed(x=pd.DataFrame({"a": [1, 2, 3]})) == 1
    assert of_hashed(x=pd.DataFrame({"b": [1, 2, 3]})) == 3
    assert ran == ["hashed", "hashed"]


def test_the_order_of_the_inputs_does_not_count_and_their_types_do() -> None:
    @task(cache=True, cache_version="1")
    def two(a: int, b: float) -> float:
        ran.append("two")
        return a + b

    assert two(a=1, b=2.0) == two(b=2.0, a=1) == 3.0
    assert ran == ["two"]
    assert two(a=1, b=-0.0) == two(a=1, b=0.0)
    assert ran == ["two"] * 3  # as dividing by them would show, they are two values
