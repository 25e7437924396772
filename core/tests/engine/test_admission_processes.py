"""Engines in processes of their own that share pools: a limit holds at every instant, also when they are killed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from flytepath.engine.quota.admission import Admission, Request
from flytepath.engine.quota.pools import PoolRules
from flytepath.model.identity import Tenant
from flytepath.plugin.plans import PoolAsk
from flytepath.store.events import open_store
from flytepath.store.quota_views import survey

LIMIT = 3
ENGINE = """
import asyncio, sys
from pathlib import Path
from flytepath.engine.quota.admission import Admission, Request
from flytepath.engine.ownership import is_dead, this_engine
from flytepath.engine.quota.pools import PoolRules
from flytepath.model.identity import Tenant
from flytepath.plugin.plans import PoolAsk
from flytepath.store.events import open_store

home, url, folder, name, count, limit = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), *sys.argv[4:]
me = this_engine()

def holding():
    found = 0
    for path in folder.glob("*.held"):
        try:
            found += not is_dead(path.read_text() or me)
        except FileNotFoundError:
            pass
    return found

async def work(desk, number):
    key = f"{name}-{number}"
    request = Request(key, Tenant(name, "d"), (PoolAsk("service"),), "x", "n", 1, "local")
    await desk.granted(request)
    held = folder / f"{key}.held"
    (folder / f"{key}.new").write_text(me)
    (folder / f"{key}.new").rename(held)
    if holding() > int(limit):
        (folder / "too-many").write_text(key)
    await asyncio.sleep(0.003)
    held.unlink()
    await desk.release(key, 1)
    (folder / f"{key}.done").touch()

async def main():
    with open_store(home, url=url or None) as store:
        desk = Admission(store, me, PoolRules.of_values({"service": {"limit": int(limit)}}))
        await asyncio.gather(*(work(desk, number) for number in range(int(count))))
        await desk.close()

asyncio.run(main())
"""
#: An engine that submits a job and is killed in the middle of it.
SUBMITS = (
    ENGINE.partition("async def work")[0]
    + """
async def main():
    with open_store(home, url=url or None) as store:
        desk = Admission(store, me, PoolRules.of_values({"service": {"limit": int(limit)}}))
        for key in ("firm", "unsure"):
            await desk.granted(Request(key, Tenant(name, "d"), (PoolAsk("service"),), "x", "n", 1, "remote"))
        await desk.firm("firm")
        print("submitted", flush=True)
        await desk.granted(Request("waits", Tenant(name, "d"), (PoolAsk("service", 2),), "x", "n", 1, "remote"))

asyncio.run(main())
"""
)


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    return "" if request.param == "sqlite" else request.getfixturevalue("postgres").database()


def start(program: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-c", program, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_processes_never_use_more_than_there_is_and_a_kill_leaks_nothing(tmp_path: Path, url: str) -> None:
    home, folder = tmp_path / "home", tmp_path / "service"
    folder.mkdir()
    open_store(home, url=url or None).close()
    common = (str(home), url, str(folder))
    doomed = start(ENGINE, *common, "doomed", "5000", str(LIMIT))
    engines = [start(ENGINE, *common, name, "40", str(LIMIT)) for name in ("one", "two")]
    try:
        deadline = time.monotonic() + 60
        while not list(folder.glob("doomed-*.held")):
            assert time.monotonic() < deadline
            assert doomed.poll() is None, doomed.communicate()
            time.sleep(0.001)
        doomed.send_signal(signal.SIGKILL)
        doomed.communicate()
        for engine in engines:
            out, err = engine.communicate(timeout=120)
            assert (engine.returncode, out, err) == (0, "", "")
    finally:
        for engine in (doomed, *engines):
            if engine.poll() is None:
                os.kill(engine.pid, signal.SIGKILL)
                engine.communicate()
    assert not (folder / "too-many").exists()
    assert len(list(folder.glob("one-*.done"))) == len(list(folder.glob("two-*.done"))) == 40
    asyncio.run(everything_is_free(home, url))


async def everything_is_free(home: Path, url: str) -> None:
    with open_store(home, url=url or None) as store:
        desk = Admission(store, "after", PoolRules.of_values({"service": {"limit": LIMIT}}))
        async with asyncio.timeout(30):
            await desk.granted(Request("all", Tenant("two", "d"), (PoolAsk("service", LIMIT),), "x", "n", 1, "local"))
        await desk.release("all", 1)
        seen = survey(store.database, desk._tables.now)
        assert seen.leases == []
        assert seen.waiters == []
        await desk.close()


def test_a_job_that_was_submitted_keeps_its_tokens_when_its_engine_is_killed(tmp_path: Path, url: str) -> None:
    home = tmp_path / "home"
    engine = start(SUBMITS, str(home), url, str(tmp_path), "one", "1", str(LIMIT))
    assert engine.stdout is not None
    assert engine.stdout.readline() == "submitted\n", engine.communicate()
    os.kill(engine.pid, signal.SIGKILL)
    engine.communicate()

    async def successor() -> None:
        with open_store(home, url=url or None) as store:
            desk = Admission(store, "successor", PoolRules.of_values({"service": {"limit": LIMIT}}))
            both = Request("new", Tenant("two", "d"), (PoolAsk("service", LIMIT - 1),), "x", "n", 1, "local")
            async with asyncio.timeout(30):
                await desk.granted(both)  # what was free, and what was not submitted yet
            seen = survey(store.database, desk._tables.now)
            assert sorted((row.key, row.tokens) for row in seen.leases) == [("firm", 1), ("new", LIMIT - 1)]
            assert seen.waiters == []
            async with asyncio.timeout(30):
                await desk.granted(Request("firm", Tenant("one", "d"), (PoolAsk("service"),), "x", "n", 2, "remote"))
            await desk.release("firm", 2)
            await desk.close()

    asyncio.run(successor())
