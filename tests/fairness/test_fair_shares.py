"""Fair sharing over time: shares by weight, nothing idle that is wanted, a bound on waiting, caps, no lost lease."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from flytepath.engine.quota import PoolRule
from flytepath.engine.quota.places import Seat
from flytepath.model.identity import Tenant
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from simulated_service import POOL, Pattern, Record, Service, bound, jain, windows

#: Jobs last one second in the mean, over all tenants.
WINDOW = 50.0


def crowd(chance: Random, *, limit: int = 20) -> tuple[PoolRule, dict[Tenant, Pattern]]:
    """Fifty tenants: most of them always have work, some come in bursts, a few are capped."""
    tenants, weights, caps = {}, {}, {}
    for number in range(50):
        tenant = Tenant(f"t{number}", "production")
        weights[tenant.project] = float(chance.choice([1, 1, 2, 3]))
        mean = chance.choice([0.5, 0.8, 1.2])
        lengths = (0.5 * mean, 1.5 * mean)
        if number % 5 == 3:
            tenants[tenant] = Pattern(lengths, burst=30, idle=25.0)
        else:
            tenants[tenant] = Pattern(lengths, backlog=4)
        if number % 10 == 4:
            caps[tenant.project] = 1
    return PoolRule(POOL, limit, weights, caps), tenants


def least_index(service: Service, record: Record, seconds: float) -> float:
    """The least fair window, among those who always have work and are not capped."""
    found = []
    for had in windows(record, seconds):
        found.append(
            jain(
                [
                    had[tenant] / service.rule.weight(tenant)
                    for tenant, pattern in service.tenants.items()
                    if pattern.backlog and service.rule.cap(tenant) is None
                ]
            )
        )
    assert found
    return min(found)


def check_record(service: Service, record: Record) -> None:
    assert not service.book.leases, "leases are left"
    assert not service.book.waiters, "waiters are left"
    assert record.idle <= 0.01 * record.supply
    late = [wait for wait in record.waits if wait[0] > bound(record, service, *wait[1:])]
    assert not late, f"{len(late)} waited longer than they may, {late[0]}"


@pytest.mark.parametrize("seed", range(2))
def test_fifty_tenants_get_their_shares_of_twenty_slots(seed: int) -> None:
    chance = Random(seed)
    service = Service(*crowd(chance), chance)
    record = service.run(until=4 * WINDOW)
    check_record(service, record)
    assert least_index(service, record, WINDOW) >= 0.99


def test_first_come_first_served_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Seat, "level", lambda self, now: 0.0)
    chance = Random(1)
    service = Service(*crowd(chance), chance)
    record = service.run(until=3 * WINDOW)
    assert least_index(service, record, WINDOW) < 0.95


def test_the_bound_on_waiting_is_reached_by_equal_jobs_and_never_passed() -> None:
    """Far below it the bound would prove nothing."""
    chance = Random(2)
    rule, tenants = crowd(chance)
    tenants = {tenant: replace(pattern, lengths=(1.0, 1.0)) for tenant, pattern in tenants.items()}
    service = Service(rule, tenants, chance, engines=1)
    record = service.run(until=3 * WINDOW)
    check_record(service, record)
    assert record.stretch == record.longest == 1.0
    assert max(wait / bound(record, service, *rest) for wait, *rest in record.waits) > 0.8


@pytest.mark.proof
@pytest.mark.parametrize("seed", range(100, 108))
def test_fifty_tenants_get_their_shares_for_long(seed: int) -> None:
    chance = Random(seed)
    service = Service(*crowd(chance), chance, life=chance.choice([2.0, 10.0, 50.0]))
    record = service.run(until=10 * WINDOW)
    check_record(service, record)
    assert least_index(service, record, WINDOW) >= 0.99


patterns = st.builds(
    Pattern,
    lengths=st.tuples(st.floats(0.05, 1.0), st.floats(1.0, 3.0)),
    backlog=st.sampled_from([0, 0, 1, 6]),
    burst=st.integers(1, 12),
    idle=st.floats(0.5, 20.0),
)


def check_any(limit: int, behaviours: list[Pattern], weights: list[float], caps: list[int | None], seed: int) -> None:
    # Three domains in each project, so that caps of projects bound sums.
    tenants = {Tenant(f"t{number // 3}", f"d{number % 3}"): each for number, each in enumerate(behaviours)}
    names = [str(tenant) if number % 2 else tenant.project for number, tenant in enumerate(tenants)]
    rule = PoolRule(
        POOL,
        limit,
        dict(zip(names, weights, strict=False)),
        {name: cap for name, cap in zip(names, caps, strict=False) if cap is not None},
    )
    service = Service(rule, tenants, Random(seed), engines=3, life=5.0)
    check_record(service, service.run(until=30.0))


schedules = {
    "limit": st.integers(1, 6),
    "behaviours": st.lists(patterns, min_size=1, max_size=9),
    "weights": st.lists(st.sampled_from([0.1, 0.5, 1.0, 3.0, 10.0]), max_size=9),
    "caps": st.lists(st.none() | st.integers(1, 4), max_size=9),
    "seed": st.integers(0, 2**32),
}


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(**schedules)
def test_whatever_arrives_nothing_is_lost_idle_or_late(**schedule: object) -> None:
    check_any(**schedule)  # type: ignore[arg-type]


@pytest.mark.proof
@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(**schedules)
def test_whatever_arrives_in_many_ways_nothing_is_lost_idle_or_late(**schedule: object) -> None:
    check_any(**schedule)  # type: ignore[arg-type]
