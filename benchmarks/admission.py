"""The cases of admission: what it costs to give one of many waiting nodes the tokens it waits for.

Nodes of 50 tenants of different weights wait for a pool of 20 tokens; each is granted, held and released in turn until
none is left, which is what an engine does but for the store. Shown is the processor time for each grant, for twice as
many waiters again and again: all together may cost no more than in proportion to ``n log n``.

And the same through the desk of an engine and a store, one release at a time while the rest waits: a
transaction for each, in which the next one is granted. Where two engines take turns, each has to read what the other
has changed.
"""

from __future__ import annotations

import asyncio
import gc
import heapq
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from random import Random

from flytepath.engine.quota import Ask, Book, PoolAsk, PoolRule
from flytepath.engine.quota.admission import Admission, Request
from flytepath.engine.quota.pools import PoolRules
from flytepath.model.identity import Tenant
from flytepath.store.events import Store, open_store
from flytepath.store.quota_views import survey
from flytepath.testing.postgres import PostgresServer, missing

from benchmarks.measure import Result

TENANTS = 50
TOKENS = 20
WAITERS = (1000, 2000, 4000, 8000)
#: How many wait in a store, and how many of them are granted one by one.
STORED = (250, 1000, 4000)
SINGLE = 40
#: A grant may cost so many milliseconds.
REACH = 1.0
#: Beside ``log n``, so much may be due to the machine and the collector, which look at more the more there is.
NOISE = 1.5


def _drained(waiters: int) -> float:
    """Serve so many waiters; milliseconds of processor time for each, with asking and releasing."""
    rule = PoolRule("pool", TOKENS, weights={f"t{number}": 1 + number % 5 for number in range(TENANTS)})
    book = Book([rule])
    running: list[tuple[float, int, str]] = []
    lengths = Random(0)
    now, left = 0.0, waiters
    gc.collect()
    began = time.process_time()
    for number in range(waiters):
        tenant = Tenant(f"t{number * 7 % TENANTS}", "production")
        book.ask(Ask.of(f"n{number}", tenant, (PoolAsk("pool"),)), number, now)
    while left:
        for lease in book.grants(now):
            left -= 1
            heapq.heappush(running, (now + lengths.uniform(0.5, 1.5), left, lease.ask.key))
        now, _, key = heapq.heappop(running)
        book.release(key, now)
    return (time.process_time() - began) * 1000 / waiters


async def _single(store: Store, waiters: int, engines: int) -> tuple[float, float]:
    """Milliseconds of processor time, and of waiting, for one release and the grant that follows from it."""
    rules = PoolRules.of_values({"pool": {"limit": TOKENS}})
    desks = [Admission(store, f"engine-{number}", rules) for number in range(engines)]
    held: asyncio.Queue[tuple[Admission, str]] = asyncio.Queue()

    async def work(number: int) -> None:
        desk, tenant = desks[number % engines], Tenant(f"t{number * 7 % TENANTS}", "production")
        await desk.granted(Request(f"n{number}", tenant, (PoolAsk("pool"),), "execution", "node", 1, "remote"))
        held.put_nowait((desk, f"n{number}"))

    async def release_one() -> None:
        desk, key = held.get_nowait()
        await desk.release(key, 1)
        while held.qsize() < TOKENS:  # its successor may belong to the other engine, which hears of it in a moment
            await asyncio.sleep(0)

    waiting = [asyncio.create_task(work(number)) for number in range(waiters + TOKENS)]
    while held.qsize() < TOKENS or len(survey(store.database, lambda _: 0.0).waiters) < waiters:
        await asyncio.sleep(0.01)
    await release_one()
    gc.collect()
    wall, processor = time.perf_counter(), time.process_time()
    for _ in range(SINGLE):
        await release_one()
    taken = (time.process_time() - processor, time.perf_counter() - wall)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    for desk in desks:
        await desk.close()
    return taken[0] * 1000 / SINGLE, taken[1] * 1000 / SINGLE


def _stored(waiters: int, engines: int = 1, url: str | None = None) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as home, open_store(Path(home), url=url) as store:
        return asyncio.run(_single(store, waiters, engines))


def _stored_results(rounds: int, announce: Callable[[str], None]) -> tuple[list[Result], list[str]]:
    fewer, usual, more = STORED
    cases = {
        f"{usual:,} wait": (usual, 1, "SQLite"),
        f"{usual:,} wait, two engines": (usual, 2, "SQLite"),
        f"{fewer:,} wait": (fewer, 1, "SQLite"),
        f"{more:,} wait": (more, 1, "SQLite"),
        f"{usual:,} wait, PostgreSQL": (usual, 1, "PostgreSQL"),
    }
    times: dict[str, list[tuple[float, float]]] = {}
    why_not = missing() or (None if find_spec("psycopg") else "psycopg is not installed here")
    with ExitStack() as stack:
        server = stack.enter_context(PostgresServer()) if why_not is None else None
        for round_number in range(1, rounds + 1):
            announce(f"admission in a store, round {round_number}")
            for name, (size, engines, kind) in cases.items():
                if kind == "SQLite":
                    times.setdefault(name, []).append(_stored(size, engines))
                elif server is not None:
                    times.setdefault(name, []).append(_stored(size, engines, server.database()))
    results = []
    base = f"{usual:,} wait"
    processor = {name: statistics.median(each for each, _ in taken) for name, taken in times.items()}
    for name, taken in times.items():
        title = f"admission: one release and grant, {name}"
        if name == f"{more:,} wait":
            grows = round(NOISE * math.log(more) / math.log(usual), 2)
            results.append(Result(title, processor[name], base, processor[name] / processor[base], grows))
        else:
            results.append(Result(title, processor[name], reach=None if "engines" in name else REACH))
        results.append(Result(f"{title}: until it is known", statistics.median(wall for _, wall in taken)))
    return results, [] if why_not is None else [f"admission: not measured on PostgreSQL: {why_not}"]


def measured(repetitions: int, announce: Callable[[str], None]) -> tuple[list[Result], list[str]]:
    """A row for each number of waiters."""
    times: dict[int, list[float]] = {size: [] for size in WAITERS}
    for round_number in range(1, max(3, repetitions // 3) + 1):
        announce(f"admission, round {round_number}")
        for size in WAITERS:
            times[size].append(_drained(size))
    medians = {size: statistics.median(taken) for size, taken in times.items()}
    first = WAITERS[0]
    results = [Result(f"admission: a grant, {first:,} wait", medians[first], reach=REACH)]
    for size in WAITERS[1:]:
        grows = round(NOISE * math.log(size) / math.log(first), 2)
        ratio = medians[size] / medians[first]
        results.append(Result(f"admission: a grant, {size:,} wait", medians[size], f"{first:,} wait", ratio, grows))
    stored, notes = _stored_results(max(3, repetitions // 3), announce)
    return results + stored, notes
