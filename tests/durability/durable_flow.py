"""One workflow with every construct, and small ones for crowds; an attempt that has done its work leaves a line."""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
import os
import time

from flytepath import (
    LaunchPlan,
    approve,
    conditional,
    current_context,
    dynamic,
    eager,
    map_task,
    sleep,
    task,
    wait_for_input,
    workflow,
)


def done() -> None:
    """One line for this attempt, in one write that appends."""
    context = current_context()
    line = f"{context.execution_id.name} {context.node_path} {context.attempt} {os.getpid()}\n"
    file = os.open(os.environ["RAN"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


@task
def step(x: int) -> int:
    print("step", x)
    done()
    return x + 1


@task(retries=2)
def flaky(x: int) -> int:
    done()
    if current_context().attempt == 1 and x % 2:
        raise ValueError(f"not yet {x}")
    return x * 10


@task(cache=True, cache_version="1")
def kept(x: int) -> int:
    done()
    return x * 3


@task(retries=3)
def trained(epochs: int) -> int:
    checkpoint = current_context().checkpoint
    before = int((checkpoint.read() or b"0").decode())
    for epoch in range(before, epochs):
        checkpoint.write(str(epoch + 1).encode())
        if epoch == 1 and before == 0:
            done()
            raise ValueError("once")
    done()
    return epochs


@task
def total(xs: list[int]) -> int:
    done()
    return sum(xs)


@task(enable_deck=True)
def shown(x: int) -> int:
    current_context().add_deck("numbers", f"<b>{x}</b>")
    done()
    return x


@task
def broken(x: int) -> int:
    done()
    raise ValueError(f"no {x}")


@task
def mended(x: int) -> None:
    done()


@workflow
def chain(x: int) -> int:
    return step(x=step(x=x))


@workflow(on_failure=mended)
def failing(x: int) -> int:
    return step(x=broken(x=x))


plan = LaunchPlan.get_or_create(chain, name="plan", default_inputs={"x": 4})


@dynamic
def grown(n: int) -> list[int]:
    done()
    return [step(x=i) for i in range(n)]


@eager
async def called(x: int) -> int:
    both = await asyncio.gather(counted(x=x), counted(x=x + 1))
    try:
        failing(x=x)
    except Exception as error:  # noqa: BLE001 - whatever it is called
        print("caught", type(error).__name__)
    done()
    return sum(both)


@eager
async def counted(x: int) -> int:
    return step(x=x)


@workflow
def everything(x: int) -> tuple[int, int, int, int, int, int, int, int]:
    first = step(x=x)
    planned = plan(x=first)
    both = total(xs=grown(n=3))
    mapped = total(xs=map_task(functools.partial(flaky), concurrency=3)(x=[1, 2, 3, 4, 5]))
    chosen = conditional("size").if_(first > 3).then(chain(x=first)).else_().then(step(x=first))
    asked = called(x=x)
    waited = sleep(dt.timedelta(seconds=0.3))
    rested = step(x=first)
    waited >> rested
    approve(first, "right", timeout=dt.timedelta(minutes=10))
    given = step(x=wait_for_input("given", timeout=dt.timedelta(minutes=10), expected_type=int))
    cached = kept(x=x)
    return planned, both, mapped, chosen, asked, given, shown(x=cached), trained(epochs=4)


#: What ``everything(x=5)`` gives where 6 is given.
EVERYTHING = (8, 6, 150, 8, 13, 7, 15, 4)


@workflow
def unlucky(x: int) -> int:
    """Fails: its handler runs."""
    return step(x=failing(x=x))


@task
def slow(x: int, seconds: float) -> int:
    time.sleep(seconds)
    done()
    return x + 1


@workflow
def lasting(x: int, seconds: float) -> int:
    return step(x=slow(x=step(x=x), seconds=seconds))


@workflow
def small(x: int) -> int:
    return step(x=x)


@workflow
def medium(x: int) -> int:
    """A map, a retry and a chain: what most runs are made of."""
    mapped = total(xs=map_task(flaky)(x=[1, 2, 3, 4]))
    return total(xs=[mapped, chain(x=x), flaky(x=3), slow(x=x, seconds=0.2)])


def medium_gives(x: int) -> int:
    return 100 + (x + 2) + 30 + (x + 1)
