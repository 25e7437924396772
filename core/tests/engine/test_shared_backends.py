"""One backend for whoever asks with the same settings: one set of places, one queue of looks."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from flytepath.engine.jobs.backends import BackendInstance, Backends, GivenBackends
from flytepath.engine.jobs.services import JobServices
from flytepath.engine.quota.in_memory import InMemoryAdmission
from flytepath.model.identity import Tenant
from flytepath.plugin import BackendDeclaration


def instance(backend: object) -> BackendInstance:
    declaration = BackendDeclaration(name="vendor", backend="m:B", idempotency="A")
    return BackendInstance("vendor", declaration, cast(Any, backend), "vendor", "", cast(Any, None))


class Counting(Backends):
    """Makes backends of nothing, and counts them."""

    made = 0

    def _made(self, name: str, tenant: Tenant, task_type: str) -> BackendInstance:
        self.made += 1
        return instance(object())


def test_thousands_of_jobs_that_ask_at_once_are_given_one_backend() -> None:
    async def run() -> None:
        backends = Counting(cast(Any, None))
        found = await asyncio.gather(*(backends.get("vendor", Tenant()) for _ in range(1000)))
        assert len({id(each) for each in found}) == 1
        assert backends.made == 1

    asyncio.run(asyncio.wait_for(run(), 60))


def test_tenants_with_the_same_settings_are_looked_at_together() -> None:
    async def run() -> None:
        services = JobServices(GivenBackends(), InMemoryAdmission())
        backend = object()
        one, two, other = instance(backend), instance(backend), instance(object())
        assert services.poller(one, "a") is services.poller(two, "a")
        assert services.calls(one) is services.calls(two)
        assert services.poller(one, "a") is not services.poller(one, "b")
        assert services.poller(one, "a") is not services.poller(other, "a")

    asyncio.run(asyncio.wait_for(run(), 60))
