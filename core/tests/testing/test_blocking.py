"""A call that blocks the event loop is found whether or not it takes long, and one made elsewhere is not."""

from __future__ import annotations

import asyncio
import os
import queue
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flytepath.plugin import BackendError
from flytepath.testing import ConformanceError
from flytepath.testing.blocking import run_unblocked, watch_loop
from memory_cloud import Cloud, MemoryBackend


def found(call: Callable[[], Any]) -> list[str]:
    async def act() -> None:
        await asyncio.sleep(0)
        result = call()
        if asyncio.iscoroutine(result):
            await result

    with watch_loop() as seen:
        asyncio.run(act())
    return [item.what for item in seen]


def talk() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        accepted, _ = server.accept()
        with accepted:
            accepted.sendall(b"x\n")
            with client.makefile("rb") as lines:
                lines.readline()


def wait_for_a_thread() -> None:
    things: queue.Queue[int] = queue.Queue()
    threading.Timer(0.01, things.put, (1,)).start()
    things.get()


def swallow() -> None:
    try:
        time.sleep(0)
        raise RuntimeError("anything")
    except Exception:  # noqa: BLE001 - what a careless backend does with all that goes wrong
        return


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda: time.sleep(0), "time.sleep"),
        (talk, "socket.recv_into"),
        (talk, "socket.connect"),
        (lambda: Path(__file__).read_text(encoding="utf-8"), "open of a file"),
        (lambda: list(os.scandir(".")), "os.scandir"),
        (lambda: Path(__file__).stat(), "os.stat"),
        (lambda: subprocess.run([sys.executable, "-c", ""], check=True), "a wait for a process"),
        (lambda: sqlite3.connect(":memory:").close(), "sqlite3.connect"),
        (lambda: socket.getaddrinfo("127.0.0.1", 1), "socket.getaddrinfo"),
        (lambda: urllib.request.urlopen("data:text/plain,x").close(), ""),
        (wait_for_a_thread, "a wait for another thread"),
        (swallow, "time.sleep"),
    ],
)
def test_a_blocking_call_is_found_however_quick_it_is(call: Callable[[], Any], what: str) -> None:
    assert any(item.startswith(what) for item in found(call)) or not what


async def in_streams() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"hello\n")
        assert await reader.readline() == b"hello\n"
        writer.close()
        await writer.wait_closed()


async def in_a_process() -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    assert await process.wait() == 0


async def in_a_backends_thread() -> None:
    backend = MemoryBackend(Cloud())
    assert "def" in await backend.in_thread(Path(__file__).read_text, encoding="utf-8")
    with pytest.raises(BackendError):
        await backend.in_thread(time.sleep, 0.2, seconds=0.01)


def starts_a_thread() -> None:
    threading.Thread(target=time.sleep, args=(0,)).start()


@pytest.mark.parametrize(
    "call",
    [
        lambda: asyncio.to_thread(time.sleep, 0.01),
        in_streams,
        in_a_process,
        in_a_backends_thread,
        starts_a_thread,
        lambda: asyncio.sleep(0.01),
        lambda: __import__("colorsys"),
        lambda: threading.Condition().__enter__(),
    ],
)
def test_what_blocks_nobody_is_not_found(call: Callable[[], Any]) -> None:
    assert found(call) == []


def test_a_coroutine_that_blocks_is_refused_with_its_place() -> None:
    async def careless() -> str:
        time.sleep(0)
        return "done"

    with pytest.raises(ConformanceError) as caught:
        run_unblocked(careless())
    assert "careless" in (caught.value.place or "")
    assert "in_thread" in (caught.value.hint or "")


def test_the_profile_function_of_before_is_put_back() -> None:
    def mine(frame: Any, event: str, argument: Any) -> None:
        return

    before = sys.getprofile()
    sys.setprofile(mine)
    try:
        with pytest.raises(KeyError), watch_loop():
            raise KeyError
        assert sys.getprofile() is mine
    finally:
        sys.setprofile(before)
