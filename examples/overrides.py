"""One task, run in another way at one place: ``with_overrides``.

    flytepath run examples/overrides.py compare

What it shows:

- retries, timeouts, resources, caching, labels and names for a single node;
- what cannot be honoured is an error when it is written: an unknown name, or retries for a sub-workflow.
"""

from __future__ import annotations

import datetime as dt

from flytepath import Cache, Resources, task, workflow


@task(retries=1, requests=Resources(cpu="1"))
def primes_below(limit: int) -> int:
    """How many primes there are below the limit, by the sieve of Eratosthenes."""
    sieve = bytearray([1]) * limit
    sieve[:2] = b"\0\0"
    for number in range(2, int(limit**0.5) + 1):
        if sieve[number]:
            sieve[number * number :: number] = bytes(len(range(number * number, limit, number)))
    return sum(sieve)


@workflow
def compare(small: int = 1_000, large: int = 300_000) -> tuple[int, int]:
    """The second call needs more of everything."""
    few = primes_below(limit=small)
    many = primes_below(limit=large).with_overrides(
        node_name="many",
        requests=Resources(cpu="2", mem="1Gi"),
        retries=3,
        timeout=dt.timedelta(minutes=5),
        cache=Cache(version="1"),
        labels={"size": "large"},
    )
    return few, many
