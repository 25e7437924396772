"""Engines that are real processes run jobs at a vendor that counts: killed, several, on both databases."""

from __future__ import annotations

import importlib
import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from durable_home import HERE, SCOPE, DurableHome, check_everything
from fake_distributions import Distributions
from flytepath import FlytePath
from flytepath.client.pools import Pools
from flytepath.plugin import manager as managers
from flytepath.testing.fake_vendor import TOKEN, FakeVendor

Homes = Callable[[str], DurableHome]

MANIFEST = """
    @hookimpl
    def flytepath_task_types():
        return [TaskTypeDeclaration(name="vendor-job", task_type="flytepath.testing.reference_task:VendorJobTask",
                                    config="flytepath.testing.reference_task:VendorJob", default_backend="vendor")]

    @hookimpl
    def flytepath_backends():
        return [BackendDeclaration(
            name="vendor", backend="flytepath.testing.reference_backend:VendorBackend",
            settings="flytepath.testing.reference_backend:VendorSettings", idempotency="B", batch_limit=200,
            array_limit=10, visibility_seconds=0.5, name_limit=40, call_seconds=10.0,
            poll=PollPolicy(first=0.05, longest=0.5), pools=(PoolDeclaration(name="vendor/{account}", limit=1000),),
        )]
"""


@contextmanager
def vendor_for(
    home: DurableHome, patch: pytest.MonkeyPatch, config: str = "", **facts: Any
) -> Iterator[tuple[FakeVendor, Any]]:
    """A vendor, and the reference plugin installed for the engines of a home, and for this process."""
    fakes = Distributions(home.folder / "site", home.home)
    fakes.add("vendor", MANIFEST)
    (home.folder / "durable_remote_flow.py").write_text((HERE / "durable_remote_flow.py").read_text())
    with FakeVendor(**facts) as vendor:
        (home.folder / "flytepath.toml").write_text(f'[backends.vendor]\nurl = "{vendor.url}"\n{config}')
        for name, value in fakes.environment(FLYTEPATH_SECRET_VENDOR_TOKEN=TOKEN).items():
            patch.setenv(name, value)
        patch.syspath_prepend(str(fakes.folder))
        patch.chdir(home.folder)
        before = managers.set_current(None)
        try:
            yield vendor, importlib.import_module("durable_remote_flow")
        finally:
            sys.modules.pop("durable_remote_flow", None)
            managers.set_current(before)


def asked(home: DurableHome, entity: Any, inputs: list[dict[str, Any]], project: str = "default") -> list[str]:
    """Ask for executions that engines elsewhere drive."""
    with FlytePath(home=home.home, engine=False, project=project) as platform:
        return [platform.execute(entity, each).id for each in inputs]


def ended(home: DurableHome, executions: list[str], seconds: float = 120) -> None:
    def all_have() -> bool:
        return all(home.client.store.status(each) != "running" for each in executions)

    home.until(all_have, "all have ended", seconds)


def held(home: DurableHome) -> int:
    return sum(pool.held for pool in Pools(home.client).summaries())


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_engines_that_are_killed_leave_one_job_for_each_key(
    a_home: Homes, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    home, dice = a_home(kind), random.Random(5)
    with vendor_for(home, monkeypatch, live_limit=6, config='[pools."vendor/main"]\nlimit = 6\n') as (vendor, flow):
        engines = [home.engine(), home.engine()]
        executions = asked(home, flow.two, [{"x": number} for number in range(8)])
        executions += asked(home, flow.fan, [{"xs": list(range(15))}])
        for kill in range(3):
            home.until(lambda kill=kill: len(vendor.jobs()) > 3 * kill, "jobs are made")
            time.sleep(dice.uniform(0, 0.5))  # not to wait for anything, but to hit another moment each time
            home.kill(engines.pop(0))
            engines.append(home.engine())
        ended(home, executions)
        results = [home.client.execution(SCOPE, each).outputs for each in executions]
        assert [result["o0"].data for result in results] == [*range(8), list(range(15))]
        assert not vendor.violations
        assert vendor.refused("TooManyJobs") == 0
        assert len(vendor.jobs()) == 2 * 8 + 2
        home.until(lambda: held(home) == 0, "every token is given back", 40)
        home.end(*engines)
        check_everything(home)


def test_two_engines_share_a_service_that_refuses_one_query_too_many(
    a_home: Homes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three tenants of weights 1, 1 and 2, of whom one has asked for everything before the others come."""
    home = a_home("postgres")
    config = '[pools."vendor/main"]\nlimit = 4\n[pools."vendor/main".weights]\nlarge = 2\n'
    with vendor_for(home, monkeypatch, live_limit=4, config=config) as (vendor, flow):
        engines = [home.engine(), home.engine()]
        first = asked(home, flow.one, [{"x": number} for number in range(30)], "early")
        home.until(lambda: vendor.live() >= 3, "the service is in use")
        others = asked(home, flow.one, [{"x": number} for number in range(16)], "late")
        others += asked(home, flow.one, [{"x": number} for number in range(32)], "large")
        ended(home, [*first, *others], 240)
        assert vendor.refused("TooManyJobs") == 0 and not vendor.violations
        jobs = sorted(vendor.jobs(), key=lambda job: job.made_at)
        tenants = [tenant_of(job) for job in jobs]
        # From when all three had asked until the first of them had all it wanted.
        start = max(tenants.index(tenant) for tenant in ("early", "late", "large"))
        end = min(len(tenants) - tenants[::-1].index(tenant) for tenant in ("early", "late", "large"))
        shared = tenants[start:end]
        shares = {tenant: shared.count(tenant) / len(shared) for tenant in ("early", "late", "large")}
        assert len(shared) >= 24
        assert shares["large"] == pytest.approx(0.5, abs=0.12)
        assert shares["late"] == pytest.approx(0.25, abs=0.12)
        home.until(lambda: held(home) == 0, "every token is given back", 40)
        home.end(*engines)


def tenant_of(job: Any) -> str:
    return str(json.loads(job.tags["flytepath-owner"])[0])


def test_an_abort_while_nobody_drives_the_execution_cancels_its_job(
    a_home: Homes, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = a_home("sqlite")
    with vendor_for(home, monkeypatch) as (vendor, flow):
        engine = home.engine()
        (execution,) = asked(home, flow.for_ever, [{"x": 1}])
        home.until(lambda: vendor.live() == 1, "the job lives")
        home.kill(engine)
        assert vendor.live() == 1
        home.client.abort(SCOPE, execution, "enough")
        assert home.client.store.status(execution) == "aborted"
        assert vendor.live() == 0 and held(home) == 0


def test_an_engine_that_is_told_to_end_leaves_its_jobs_to_the_next(
    a_home: Homes, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = a_home("sqlite")
    with vendor_for(home, monkeypatch) as (vendor, flow):
        engine = home.engine()
        (execution,) = asked(home, flow.for_ever, [{"x": 7}])
        home.until(lambda: vendor.live() == 1, "the job lives")
        home.end(engine)
        assert vendor.live() == 1 and held(home) == 1
        vendor.finish(vendor.jobs()[0].id)
        another = home.engine()
        ended(home, [execution])
        assert home.client.execution(SCOPE, execution).outputs["o0"].data == 7
        assert len(vendor.jobs()) == 1
        home.end(another)


@pytest.mark.proof
@pytest.mark.parametrize("seed", range(3))
def test_engines_are_killed_over_and_over(a_home: Homes, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    home, dice = a_home("postgres"), random.Random(seed)
    with vendor_for(home, monkeypatch, live_limit=8, config='[pools."vendor/main"]\nlimit = 8\n') as (vendor, flow):
        vendor.faults.add("reset after", "submit", probability=0.1)
        vendor.faults.add("reset before", "submit", probability=0.1)
        engines = [home.engine() for _ in range(3)]
        executions = asked(home, flow.two, [{"x": number} for number in range(60)])
        for kill in range(12):
            home.until(lambda kill=kill: len(vendor.jobs()) > 8 * kill, "jobs are made", 200)
            time.sleep(dice.uniform(0, 0.5))  # not to wait for anything, but to hit another moment each time
            home.kill(engines.pop(dice.randrange(3)))
            engines.append(home.engine())
        ended(home, executions, 400)
        assert not vendor.violations and len(vendor.jobs()) == 120
        home.until(lambda: held(home) == 0, "every token is given back", 60)
        home.end(*engines)
        check_everything(home)
