"""The cases of admission: what it costs to give one of many waiting nodes the tokens it waits for.

Nodes of 50 tenants of different weights wait for a pool of 20 tokens; each is granted, held and released in turn until
none is left, which is what an engine does but for the store. Shown is the processor time for each grant, for twice as
many waiters again and again: all together may cost no more than in proportion to ``n log n``.
"""

from __future__ import annotations

import gc
import heapq
import math
import statistics
import time
from collections.abc import Callable
from random import Random

from flytepath.engine.quota import Ask, Book, PoolAsk, PoolRule
from flytepath.model.identity import Tenant

from benchmarks.measure import Result

TENANTS = 50
TOKENS = 20
WAITERS = (1000, 2000, 4000, 8000)
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
    return results, []
