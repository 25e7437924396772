"""Caching: what was computed once for the same inputs is not computed again, in direct calls and in durable runs.

    flytepath run examples/caching.py compare

What it shows:

- ``Cache(version=..., ignored_inputs=...)``: equal inputs, those that matter, find what is kept;
- ``serialize``: of equal calls at the same time one runs, and the others wait for what it gives;
- ``HashMethod``: what a value is recognised by, where not its whole content matters;
- a ``CachePolicy``: a version that follows from the function itself, so that no edit is forgotten.

Each task leaves a mark that no other run of it would leave, so equal marks prove that only one call ran.
``flytepath run --overwrite-cache ...`` computes anew; ``FLYTEPATH_LOCAL_CACHE=0`` turns caching off in direct calls.
"""

from __future__ import annotations

import hashlib
import uuid
from typing import Annotated, Any

from flytepath import Cache, HashMethod, VersionParameters, task, workflow


class ByCode:
    """A policy: the version is a digest of what the function does."""

    def get_version(self, salt: str, params: VersionParameters[..., Any]) -> str:
        """Another text whenever the function's code is another."""
        code = params.func.__code__ if params.func else None
        return hashlib.sha256(repr((salt, code and (code.co_code, code.co_consts))).encode()).hexdigest()


def by_names(rows: list[dict[str, str]]) -> str:
    """Rows are the same if their names are."""
    return ",".join(sorted(row["name"] for row in rows))


Rows = Annotated[list[dict[str, str]], HashMethod(by_names)]


@task
def load(seen: str) -> Rows:
    """The same names each time, seen at another time."""
    return [{"name": name, "seen": seen} for name in ("Ada", "Grace")]


@task(cache=Cache(version="1.0", serialize=True, ignored_inputs=("verbose",)))
def train(rows: Rows, verbose: bool) -> str:
    """Something expensive; what it returns is different each time it runs."""
    if verbose:
        print(f"training on {len(rows)} rows")
    return uuid.uuid4().hex


@task(cache=Cache(policies=[ByCode()], serialize=True))
def measure(city: str) -> str:
    """The same with a version that follows from its code."""
    return uuid.uuid4().hex


@task
def is_same(first: str, second: str) -> bool:
    """Whether the second call found what the first one left."""
    return first == second


@workflow
def compare() -> tuple[bool, bool]:
    """Two calls of each task: one runs, the other gets what it gave."""
    first = train(rows=load(seen="monday"), verbose=True)
    second = train(rows=load(seen="tuesday"), verbose=False)
    one = measure(city="Oslo")
    two = measure(city="Oslo")
    return is_same(first=first, second=second), is_same(first=one, second=two)
