"""Calls of a backend: only so many at once, and looks at jobs wait behind none of them."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from flytepath.engine.jobs.backends import BackendInstance
from flytepath.engine.jobs.vendor_calls import CALLS_AT_ONCE, VendorCalls
from flytepath.plugin import BackendDeclaration
from flytepath.plugin.backend import Backend
from flytepath.plugin.declarations import RateLimit


class Unlimited:
    async def may_call(self, bucket: str, limit: RateLimit, count: int = 1) -> None:
        raise AssertionError("no limit is declared")

    async def hold_back(self, bucket: str, seconds: float) -> None:
        raise AssertionError("no limit is declared")


def calls() -> VendorCalls:
    declaration = BackendDeclaration(name="vendor", backend="m:B", idempotency="A")
    instance = BackendInstance("vendor", declaration, cast(Backend, None), "vendor", "", cast(Any, None))
    return VendorCalls(instance, Unlimited())


def test_rate_limits_of_the_settings_count_in_place_of_the_declared_ones() -> None:
    asked: list[tuple[str, RateLimit]] = []

    class Counted(Unlimited):
        async def may_call(self, bucket: str, limit: RateLimit, count: int = 1) -> None:
            asked.append((bucket, limit))

    class Configured:
        rate_limits = (RateLimit(per_second=2.0, burst=1, call="submit"),)

    async def run(backend: object) -> None:
        declared = (RateLimit(per_second=9.0),)
        declaration = BackendDeclaration(name="vendor", backend="m:B", idempotency="A", rate_limits=declared)
        instance = BackendInstance("vendor", declaration, cast(Backend, backend), "vendor", "s", cast(Any, None))
        made = VendorCalls(instance, Counted())
        for call in ("submit", "poll"):
            await made.make(call, "a", asyncio.sleep, 0)

    asyncio.run(run(Configured()))
    assert asked == [("vendor/s/a/submit", RateLimit(per_second=2.0, burst=1, call="submit"))]
    asked.clear()
    asyncio.run(run(None))
    assert asked == [("vendor/s/a/*", RateLimit(per_second=9.0))] * 2


def test_a_look_at_jobs_waits_behind_no_other_calls_however_many_there_are() -> None:
    async def run() -> None:
        made, gate, begun = calls(), asyncio.Event(), 0

        async def held() -> None:
            nonlocal begun
            begun += 1
            await gate.wait()

        async def look() -> str:
            return "seen"

        waiting = [asyncio.create_task(made.make("collect", "", held)) for _ in range(3 * CALLS_AT_ONCE)]
        while begun < CALLS_AT_ONCE:
            await asyncio.sleep(0)
        assert await made.make("poll", "", look) == "seen"
        assert begun == CALLS_AT_ONCE
        gate.set()
        await asyncio.gather(*waiting)
        assert begun == 3 * CALLS_AT_ONCE

    asyncio.run(asyncio.wait_for(run(), 60))
