"""The Python API: register, run, wait for, list and end executions from a script or a service.

    flytepath run examples/python_api.py squares --n 4
    python examples/python_api.py

What it shows:

- ``FlytePath()``: an engine in this process; ``execute`` begins an execution that is durable when it returns;
- ``wait``, with and without an end; ``get`` and ``list``; ``abort``, which kills what runs;
- ``register`` and ``execute`` by name: what runs later needs the code no more;
- ``AsyncFlytePath``: the same for asyncio, many executions at once.

The second command runs this file as a script, which needs the last two lines: workers import the file again.
"""

from __future__ import annotations

import asyncio
import time

from flytepath import AsyncFlytePath, FlytePath, map_task, task, workflow


@task
def square(x: int) -> int:
    return x * x


@task
def total(numbers: list[int]) -> int:
    return sum(numbers)


@task
def count_to(n: int) -> list[int]:
    return list(range(1, n + 1))


@task
def dawdle(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@workflow
def squares(n: int = 3) -> int:
    """The sum of the first squares, each computed by an item of a map."""
    return total(numbers=map_task(square)(x=count_to(n=n)))


@workflow
def patience(seconds: float = 0.1) -> float:
    """Something that takes its time."""
    return dawdle(seconds=seconds)


def waiting() -> None:
    """Begin, wait, list, end."""
    with FlytePath(slots=2) as platform:
        done = platform.execute(squares, {"n": 4}, wait=True, labels={"kind": "example"})
        print(f"{done.id} {done.status}: {done.outputs['o0']}")

        [identity] = platform.register(squares)
        by_name = platform.execute(identity.name, {"n": 5}, version=identity.version)
        print(f"by its name: {platform.wait(by_name, timeout=60).outputs['o0']}")

        long = platform.execute(patience, {"seconds": 3600.0})
        try:
            platform.wait(long, timeout=0.5)
        except TimeoutError:
            platform.abort(long, "nobody has that much time")
        print(f"the long one: {platform.wait(long).status}")

        for summary in platform.list(limit=3):
            print(f"{summary.id} {summary.workflow} {summary.status}")


async def together() -> None:
    """Ten executions at once, without a thread for each."""
    async with AsyncFlytePath(slots=2) as platform:
        runs = (platform.execute(squares, {"n": n}, wait=True) for n in range(10))
        print([done.outputs["o0"] for done in await asyncio.gather(*runs)])


if __name__ == "__main__":
    waiting()
    asyncio.run(together())
