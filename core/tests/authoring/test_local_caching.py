"""Caching in direct calls: hits, versions, ignored inputs, hashes, and a cache that cannot be used."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import pytest
from flytepath import (
    Cache,
    FlyteDirectory,
    FlyteFile,
    HashMethod,
    PythonTask,
    current_context,
    dynamic,
    eager,
    kwtypes,
    map_task,
    task,
    task_mock,
    workflow,
)
from flytepath.authoring.entity import Interface
from flytepath.errors import DefinitionError, TypeTransformerFailedError

calls: list[Any] = []


class Pair(NamedTuple):
    low: int
    high: str


@dataclass
class Table:
    name: str
    rows: list[int]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FLYTEPATH_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("FLYTEPATH_LOCAL_CACHE", raising=False)
    calls.clear()
    return tmp_path / "home"


@task(cache=True, cache_version="1")
def double(x: int) -> int:
    calls.append(x)
    return 2 * x


@task(cache=Cache(version="1", ignored_inputs=("verbose",)))
def quiet(x: int, verbose: bool = False) -> int:
    calls.append(x)
    return x


@task(cache=True, cache_version="1", cache_serialize=True)
def in_turn(x: int) -> int:
    calls.append(x)
    return x


@task(cache=True, cache_version="1")
def described(table: Table, factor: float = 1.0) -> Pair:
    calls.append(table.name)
    return Pair(sum(table.rows), table.name)


def hash_name(table: Table) -> str:
    return table.name


@task(cache=True, cache_version="1")
def by_name(table: Annotated[Table, HashMethod(hash_name)]) -> int:
    calls.append(table.name)
    return len(table.rows)


@task(cache=True, cache_version="1")
def nothing(x: int) -> None:
    calls.append(x)


@task(cache=True, cache_version="1")
def fails(x: int) -> int:
    calls.append(x)
    raise ValueError("no")


@task(cache=True, cache_version="1")
def written(text: str) -> FlyteFile:
    calls.append(text)
    path = Path(current_context().working_directory, "made.txt")
    path.write_text(text)
    return FlyteFile(str(path))


@task(cache=True, cache_version="1")
def length(file: FlyteFile) -> int:
    calls.append("length")
    return len(Path(file).read_text())


@task(cache=True, cache_version="1")
def folder(n: int) -> FlyteDirectory:
    calls.append(n)
    parts = Path(current_context().working_directory, "parts")
    parts.mkdir()
    for i in range(n):
        (parts / f"{i}.txt").write_text(str(i))
    return FlyteDirectory(str(parts))


@task(cache=True, cache_version="1")
def numbers(n: int) -> Iterator[int]:
    calls.append(n)
    yield from range(n)


@task(cache=True, cache_version="1")
def summed(items: Iterator[int]) -> int:
    calls.append("summed")
    return sum(items)


@task(cache=True, cache_version="1")
async def slowly(x: int) -> int:
    calls.append(x)
    await asyncio.sleep(0)
    return 2 * x


def test_an_equal_call_is_answered_from_the_cache() -> None:
    assert [double(x=1), double(1), double(x=2)] == [2, 2, 4]
    assert calls == [1, 2]


def test_structs_names_defaults_and_nothing() -> None:
    for _ in range(2):
        assert described(table=Table("a", [1, 2])) == Pair(3, "a")
        assert described(table=Table("a", [1, 2]), factor=1.0) == Pair(3, "a")
        assert nothing(x=1) is None
    assert isinstance(described(table=Table("a", [1, 2])), Pair)
    assert calls == ["a", 1]
    assert described(table=Table("a", [2, 1])) == Pair(3, "a")
    assert described(table=Table("a", [1, 2]), factor=2.0) == Pair(3, "a")
    assert calls == ["a", 1, "a", "a"]


def test_what_comes_from_the_cache_is_the_callers_own() -> None:
    @task(cache=True, cache_version="1")
    def rows() -> list[int]:
        return [1]

    rows().append(2)
    rows().append(3)
    assert rows() == [1]


def test_ignored_inputs_do_not_matter() -> None:
    assert [quiet(x=1), quiet(x=1, verbose=True), quiet(x=2, verbose=True)] == [1, 1, 2]
    assert calls == [1, 2]


def test_a_hash_method_decides_what_is_equal() -> None:
    tables = [Table("a", [1]), Table("a", [1, 2]), Table("b", [])]
    assert [by_name(table=table) for table in tables] == [1, 1, 0]
    assert calls == ["a", "b"]


def test_another_version_name_or_interface_is_another_key() -> None:
    def made(version: str, name: str = "cached", **types: Any) -> Any:
        class Made(PythonTask):
            def execute(self, **inputs: Any) -> int:
                calls.append((version, name))
                return 1

        interface = Interface(types or {"x": int}, {"o0": int})
        return Made("made", name, interface=interface, cache=True, cache_version=version)

    made("1")(x=1)
    made("1")(x=1)
    made("2")(x=1)
    made("1", "other")(x=1)
    made("1", **kwtypes(x=float))(x=1.0)
    assert calls == [("1", "cached"), ("2", "cached"), ("1", "other"), ("1", "cached")]


def test_files_folders_and_iterators() -> None:
    for _ in range(2):
        file = written(text="hello")
        assert Path(file).read_text() == "hello"
        assert length(file=file) == 5
        assert len(list(Path(folder(n=2)).iterdir())) == 2
        assert list(numbers(n=3)) == [0, 1, 2]
        assert summed(items=numbers(n=3)) == 3
        assert summed(items=iter([0, 1, 2])) == 3
    assert calls == ["hello", "length", 2, 3, "summed"]


def test_a_file_that_is_gone_is_made_anew(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    Path(written(text="hello"))
    for blob in [path for path in (home / "blobs").rglob("*") if path.is_file()]:
        blob.unlink()
    with caplog.at_level(logging.WARNING, "flytepath"):
        assert Path(written(text="hello")).read_text() == "hello"
    assert calls == ["hello", "hello"]
    assert "computed anew" in caplog.text
    assert Path(written(text="hello")).read_text() == "hello"
    assert len(calls) == 2


def test_in_workflows_dynamics_and_maps() -> None:
    @workflow
    def flow(x: int) -> int:
        first = double(x=x)
        second = double(x=x)
        first >> second
        return second

    @dynamic(cache=True, cache_version="1")
    def grown(n: int) -> list[int]:
        calls.append(f"grown {n}")
        return [double(x=i) for i in range(n)]

    assert flow(x=1) == 2
    assert map_task(double)(x=[1, 2, 1]) == [2, 4, 2]
    assert grown(n=3) == [0, 2, 4]
    assert grown(n=3) == [0, 2, 4]
    assert calls == [1, 2, "grown 3", 0]


def test_coroutines_and_eager_tasks() -> None:
    @eager(cache=True, cache_version="1")
    async def flow(x: int) -> int:
        calls.append("flow")
        return sum(await asyncio.gather(slowly(x=x), slowly(x=x + 1)))

    assert asyncio.run(flow(x=1)) == 6
    assert asyncio.run(flow(x=1)) == 6
    assert asyncio.run(slowly(x=2)) == 4
    assert calls == ["flow", 1, 2]


def test_failures_are_not_kept() -> None:
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            fails(x=1)
    assert calls == [1, 1]


def test_inputs_are_checked_before_the_cache_is_asked() -> None:
    double(x=1)
    with pytest.raises(TypeTransformerFailedError):
        double(x=True)


@pytest.mark.parametrize("value", ["0", "false", "OFF", "no"])
def test_it_is_switched_off(value: str, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("FLYTEPATH_LOCAL_CACHE", value)
    assert [double(x=1), double(x=1)] == [2, 2]
    assert calls == [1, 1]
    assert not home.exists()


def test_it_is_overwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    double(x=1)
    monkeypatch.setenv("FLYTEPATH_LOCAL_CACHE_OVERWRITE", "1")
    double(x=1)
    assert calls == [1, 1]
    monkeypatch.setenv("FLYTEPATH_LOCAL_CACHE_OVERWRITE", "0")
    double(x=1)
    assert calls == [1, 1]


def test_each_home_has_a_cache_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    double(x=1)
    monkeypatch.setenv("FLYTEPATH_HOME", str(tmp_path / "other"))
    double(x=1)
    assert calls == [1, 1]


def test_a_damaged_cache_is_a_miss_and_a_warning(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    home.mkdir()
    (home / "cache.db").write_bytes(b"this is no database, and long enough not to be taken for one" * 100)
    with caplog.at_level(logging.WARNING, "flytepath"):
        assert [double(x=1), double(x=1)] == [2, 2]
    assert calls == [1, 1]
    assert caplog.text.count("cannot be used") == 1


def test_an_error_of_a_hash_method_is_the_authors_own() -> None:
    def broken(table: Table) -> str:
        raise ZeroDivisionError("cannot hash")

    @task(cache=True, cache_version="1")
    def hashed(table: Annotated[Table, HashMethod(broken)]) -> int:
        return 1

    with pytest.raises(ZeroDivisionError, match="cannot hash"):
        hashed(table=Table("a", []))


def test_equal_calls_take_turns_where_they_are_serialised() -> None:
    entered = threading.Event()
    go_on = threading.Event()

    @task(cache=True, cache_version="1", cache_serialize=True)
    def slow(x: int) -> int:
        calls.append(x)
        entered.set()
        assert go_on.wait(10)
        return x

    results: list[int] = []
    threads = [threading.Thread(target=lambda: results.append(slow(x=1))) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert entered.wait(10)
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert results == [1, 1, 1, 1]
    assert calls == [1]


def test_many_threads_use_one_cache() -> None:
    results: list[int] = []
    threads = [threading.Thread(target=lambda: results.extend(double(x=i) for i in range(20))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(results) == sorted([2 * i for i in range(20)] * 4)


def test_another_process_finds_what_this_one_computed(tmp_path: Path, home: Path) -> None:
    (tmp_path / "cached_flow.py").write_text(
        textwrap.dedent("""
        from flytepath import task

        @task(cache=True, cache_version="1")
        def double(x: int) -> int:
            print("computed")
            return 2 * x

        if __name__ == "__main__":
            from cached_flow import double
            print(double(x=21))
        """)
    )

    def run() -> str:
        done = subprocess.run(
            [sys.executable, str(tmp_path / "cached_flow.py")],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
        )
        return done.stdout

    assert run() == "computed\n42\n"
    assert run() == "42\n"


def test_a_stand_in_neither_asks_nor_fills_the_cache() -> None:
    with task_mock(double) as mock:
        mock.return_value = 5
        assert double(x=1) == 5
    assert double(x=1) == 2


def test_a_cached_task_needs_a_version() -> None:
    with pytest.raises(DefinitionError, match="needs a version"):

        @task(cache=True)
        def unversioned(x: int) -> int:
            return x

    with pytest.raises(DefinitionError, match="cache is off"):

        @task(cache_version="1")
        def off(x: int) -> int:
            return x

    with pytest.raises(DefinitionError, match="does not have"):

        @task(cache=Cache(version="1", ignored_inputs=("z",)))
        def unknown(x: int) -> int:
            return x


def test_a_hash_travels_from_the_task_that_gave_the_value() -> None:
    calls: list[list[str]] = []

    @task
    def made(seed: str) -> Annotated[list[str], HashMethod(lambda value: "the same")]:
        return [seed]

    @task(cache=True, cache_version="1")
    def used(value: list[str]) -> str:
        calls.append(value)
        return value[0]

    @workflow
    def flow() -> tuple[str, str]:
        first = used(value=made(seed="a"))
        second = used(value=made(seed="b"))
        return first, second

    assert flow() == ("a", "a")
    assert calls == [["a"]]
