"""Serialised caches in direct calls: equal calls of threads, coroutines and processes are computed once."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flytepath import task
from flytepath.authoring.local_cache import slot_of
from flytepath.store.output_cache import OutputCache

MODULE = """
import os, sys, time
from pathlib import Path
from flytepath import task

home = Path(os.environ["FLYTEPATH_HOME"])

@task(cache=True, cache_version="1", cache_serialize=True, cache_ignore_input_vars=("name",))
def slow(x: int, name: str) -> int:
    with (home / "ran").open("a") as file:
        file.write(f"{x}\\n")
    (home / f"{name} runs").touch()
    while name == "hangs":
        time.sleep(0.01)
    if name == "fails":
        raise ValueError("no")
    time.sleep(0.02)
    return 2 * x
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("FLYTEPATH_HOME", str(home))
    monkeypatch.delenv("FLYTEPATH_LOCAL_CACHE", raising=False)
    (tmp_path / "serial_flow.py").write_text(MODULE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return home


def reached(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def child(name: str, calls: int = 1) -> subprocess.Popen[bytes]:
    program = f"""
    import time
    from serial_flow import home, slow
    (home / "{name} starts").touch()
    while not (home / "go").exists():
        time.sleep(0.001)
    for x in range({calls}):
        assert slow(x=x, name="{name}") == 2 * x
    """
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stderr=subprocess.DEVNULL)


def test_processes_that_call_at_once_compute_each_result_once(home: Path) -> None:
    children = [child(f"c{n}", calls=10) for n in range(4)]
    reached(lambda: all((home / f"c{n} starts").exists() for n in range(4)))
    (home / "go").touch()
    assert [each.wait(60) for each in children] == [0] * 4
    assert sorted(map(int, (home / "ran").read_text().split())) == list(range(10))


def test_a_killed_process_or_one_that_fails_does_not_hold_up_others(home: Path) -> None:
    (home / "go").touch()
    hanging = child("hangs")
    reached((home / "hangs runs").exists)
    other = child("works")
    reached((home / "works starts").exists)
    hanging.kill()
    hanging.wait(10)
    assert other.wait(20) == 0
    assert (home / "ran").read_text().split() == ["0", "0"]


def test_after_a_call_that_fails_the_next_one_tries(home: Path) -> None:
    (home / "go").touch()
    assert child("fails").wait(20) == 1
    assert child("works").wait(20) == 0
    assert (home / "ran").read_text().split() == ["0", "0"]


def test_two_hundred_threads_wait_for_one() -> None:
    calls: list[int] = []
    entered, go_on = threading.Event(), threading.Event()

    @task(cache=True, cache_version="1", cache_serialize=True)
    def slow(x: int) -> int:
        calls.append(x)
        entered.set()
        assert go_on.wait(30)
        return x

    results: list[int] = []
    threads = [threading.Thread(target=lambda: results.append(slow(x=1))) for _ in range(200)]
    for thread in threads:
        thread.start()
    assert entered.wait(10)
    go_on.set()
    for thread in threads:
        thread.join(60)
    assert results == [1] * 200
    assert calls == [1]


def test_a_task_that_calls_itself_with_an_ignored_input_goes_on() -> None:
    @task(cache=True, cache_version="1", cache_serialize=True, cache_ignore_input_vars=("depth",))
    def nested(x: int, depth: int = 0) -> int:
        return nested(x=x, depth=depth + 1) + 1 if depth < 3 else x

    assert nested(x=1) == 4


def test_overwriting_waits_for_nobody(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @task(cache=True, cache_version="1", cache_serialize=True)
    def plain(x: int) -> int:
        return x

    slot: Any = slot_of(plain, {"x": 1})
    cache = OutputCache(home / "cache.db")
    assert cache.reserve(slot._key, "elsewhere/boot/1/1#2") is None
    monkeypatch.setenv("FLYTEPATH_LOCAL_CACHE_OVERWRITE", "1")
    assert plain(x=1) == 1
    cache.close()


def test_coroutines_of_one_loop_take_turns() -> None:
    @task(cache=True, cache_version="1", cache_serialize=True)
    async def slowly(x: int) -> int:
        return x

    computed: list[int] = []

    async def call() -> int:
        slot: Any = slot_of(slowly, {"x": 1})
        async with slot.turn_async():
            if not slot.is_filled():
                computed.append(1)
                await asyncio.sleep(0)
                slot.keep(5)
                return 5
        return int(slot.value)

    async def main() -> list[int]:
        return await asyncio.gather(*(call() for _ in range(20)))

    assert asyncio.run(main()) == [5] * 20
    assert computed == [1]


def test_calls_of_coroutines_take_turns() -> None:
    calls: list[int] = []

    @task(cache=True, cache_version="1", cache_serialize=True)
    async def slowly(x: int) -> int:
        calls.append(x)
        await asyncio.sleep(0)
        return x

    async def main() -> list[int]:
        return await asyncio.gather(*(slowly(x=1) for _ in range(20)))

    assert asyncio.run(main()) == [1] * 20
    assert calls == [1]
