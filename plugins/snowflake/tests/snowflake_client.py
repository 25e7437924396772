"""A life of queries in a process of its own, with whichever connector that process has: what it saw, as JSON.

Run by another interpreter than the tests': ``python snowflake_client.py PORT PASSWORD``.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from flyte_plugin_snowflake.backend import SnowflakeBackend
from flyte_plugin_snowflake.settings import SnowflakeSettings
from flytepath.plugin import (
    BackendError,
    Found,
    JobKey,
    Literal,
    LiteralType,
    Owner,
    PlanRequest,
    Resources,
    SecretReference,
    Tenant,
    Terminal,
)
from flytepath.testing import MemoryBlobs

MARK = {"name": "x", "type": "any", "kind": "value"}


def backend(port: int, password: str, **more: Any) -> SnowflakeBackend:
    given = {
        "account": "acme-eu", "user": "ETL", "database": "SALES", "schema": "PUBLIC", "host": "127.0.0.1",
        "port": port, "protocol": "http", "login_seconds": 5, "answer_seconds": 10, "missing_seconds": 0.1,
        "password": SecretReference("snowflake", "password"),
    }  # fmt: skip
    made = SnowflakeBackend(SnowflakeSettings(**{**given, **more}))
    made.bind(lambda reference, tenant: password.encode())
    return made


def request(name: str, *pieces: Any, statements: int = 1, **inputs: Literal) -> PlanRequest:
    payload = {
        "config": {},
        "query": {"pieces": list(pieces), "statements": statements},
        "outputs": {"results": {"kind": "dataframe"}},
    }
    owner = Owner("there", Tenant("vision", "staging"), "e1", name)
    key = JobKey(f"sha256:{name}")
    return PlanRequest(key, owner, "flow.query", "snowflake", payload, inputs, Resources(), Resources())


async def ended(made: SnowflakeBackend, handle: Any) -> Any:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        [seen] = (await made.poll([handle])).values()
        if isinstance(seen, BackendError):
            raise seen
        if seen.gone or (seen.phase is not None and seen.phase.is_terminal):
            return seen
        await asyncio.sleep(0.05)
    raise TimeoutError("it did not end")


async def rows(made: SnowflakeBackend, asked: PlanRequest) -> Any:
    import pyarrow as pa

    blobs = MemoryBlobs()
    handle = await made.submit(made.plan(asked))
    await ended(made, handle)
    result = (await made.collect(handle, blobs))["results"]
    assert result.ref is not None
    with blobs.open(result.ref) as content:
        table = pa.ipc.open_file(pa.py_buffer(content.read())).read_all()
    return [{name: str(value) for name, value in row.items()} for row in table.to_pylist()]


async def main(port: int, password: str) -> dict[str, Any]:
    import snowflake.connector as vendor

    told: dict[str, Any] = {"version": vendor.__version__}
    made = backend(port, password)
    several = "create or replace table five (a int); insert into five values ("
    told["rows"] = await rows(
        made, request("rows", several, MARK, "); select a, 'it''s' as b from five", statements=3, x=integer(7))
    )
    for name, literal in {
        "text": Literal.make(LiteralType("string"), 'it\'s \\ "{{ .inputs.x }}" ☃'),
        "integer": integer(2**62),
        "decimal": Literal.make(LiteralType("decimal"), "1234567890123456.25"),
        "small": Literal.make(LiteralType("decimal"), "1E-9"),
        "bytes": Literal.make(LiteralType("bytes"), "AAEC"),
        "date": Literal.make(LiteralType("date"), "2030-02-28"),
        "truth": Literal.make(LiteralType("boolean"), True),
    }.items():
        [row] = await rows(made, request(name, "select ", MARK, " as x", x=literal))
        told[name] = row["X"]
    failed = await ended(made, await made.submit(made.plan(request("failed", "select * from nowhere"))))
    told["failed"] = [failed.phase.value, failed.reason]
    # Meanwhile the test lets all sessions end.
    told["waited"] = (await ended(made, await made.submit(made.plan(request("waited", "call system$wait(2)"))))).phase
    plan = made.plan(request("endless", "call system$wait(600)"))
    handle = await made.submit(plan)
    told["found"] = await made.find(plan) == Found(handle)
    answer = await made.cancel(plan.key, handle, "not wanted")
    told["cancelled"] = isinstance(answer, Terminal) and answer.observation.phase.value
    told["owned"] = len((await made.list_owned("there")).jobs)
    await made.close()
    for name, wrong in {"refused": backend(port, "nope"), "unreachable": backend(1, "x", login_seconds=1)}.items():
        try:
            await wrong.submit(wrong.plan(request(name, "select 1")))
        except BackendError as error:
            told[name] = [error.error_class.value, error.accepted]
    return told


def integer(value: int) -> Literal:
    return Literal.make(LiteralType("integer"), value if abs(value) < 2**53 else str(value))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(main(int(sys.argv[1]), sys.argv[2]))))
