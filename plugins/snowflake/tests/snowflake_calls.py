"""A backend bound to the double, and jobs for it, for tests that speak to the contract's calls."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from flyte_plugin_snowflake import SnowflakeConfig
from flyte_plugin_snowflake.backend import SnowflakeBackend
from flyte_plugin_snowflake.testing.service import Account
from flytepath.plugin import (
    Handle,
    JobKey,
    Literal,
    Observation,
    Owner,
    PlanRequest,
    Resources,
    SecretReference,
    Tenant,
)
from snowflake_vendor import settings

Json = Any
T = TypeVar("T")
_numbers = itertools.count()
FRAME = {"results": {"kind": "dataframe"}}


@contextmanager
def bound_backend(
    account: Account, port: int, secrets: Mapping[str, bytes] | None = None, **more: Any
) -> Iterator[SnowflakeBackend]:
    """A backend whose secrets are those of the mapping, by key; by default the account's password."""
    known = {"password": account.password.encode(), **(secrets or {})}
    backend = SnowflakeBackend(settings(port, **more))
    backend.bind(lambda reference, tenant: known[reference.key])
    try:
        yield backend
    finally:
        run(backend.close())


def run(call: Awaitable[T]) -> T:
    """What a coroutine gives."""

    async def awaited() -> T:
        return await call

    return asyncio.run(awaited())


def request(text: str, config: SnowflakeConfig | None = None, statements: int = 1, **more: Any) -> PlanRequest:
    """A request for a query, without inputs unless ``pieces`` and ``inputs`` are given."""
    query = {"pieces": more.pop("pieces", [text]), "statements": statements}
    payload = {"config": (config or SnowflakeConfig()).to_json(), "query": query, "outputs": more.pop("outputs", FRAME)}
    given: dict[str, Any] = {
        "key": JobKey(f"sha256:{next(_numbers):064x}"),
        "owner": Owner("here", Tenant("vision", "staging"), "e1", "n0"),
        "task": "flow.query",
        "task_type": "snowflake",
        "payload": payload,
        "inputs": {},
        "requests": Resources(),
        "limits": Resources(),
    }
    return PlanRequest(**{**given, **more})


def inputs(**values: Literal) -> dict[str, Literal]:
    """Inputs by name."""
    return values


def ended(backend: SnowflakeBackend, handle: Handle, seconds: float = 60.0) -> Observation:
    """What a job has come to."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        [seen] = run(backend.poll([handle])).values()
        assert isinstance(seen, Observation), seen
        if seen.phase is not None and seen.phase.is_terminal:
            return seen
        time.sleep(0.02)
    raise AssertionError("it did not end")


def table_of(blobs: Any, result: Literal) -> Any:
    """The Arrow table of a result that was collected."""
    import pyarrow as pa

    assert result.ref is not None
    with blobs.open(result.ref) as content:
        return pa.ipc.open_file(pa.py_buffer(content.read())).read_all()


def until(condition: Callable[[], Any], seconds: float = 30.0) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def reference(key: str) -> SecretReference:
    """A reference to a secret."""
    return SecretReference("snowflake", key)
