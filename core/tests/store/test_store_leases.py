from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from flytepath.errors import ExecutionStateError, NotFoundError, SequenceConflictError
from flytepath.store.events import Lease, Store, open_store
from store_logs import created, noted

FOREVER = 1e6


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, url: str | None) -> Iterator[Store]:
    with open_store(tmp_path, url=url) as opened:
        opened.create("x", [created("x")])
        yield opened


@pytest.fixture
def local_store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    with open_store(tmp_path, clock=clock) as opened:
        opened.create("x", [created("x")])
        yield opened


def end_of(store: Store) -> float:
    return (store.owner("x") or pytest.fail("nobody owns it")).expires_at


def test_a_lease_is_taken_renewed_and_given_back(store: Store) -> None:
    assert store.owner("x") is None
    epoch = store.acquire("x", "a", ttl=1000)
    assert (lease := store.owner("x")) == Lease("x", "a", epoch, end_of(store))
    assert store.heartbeat("x", "a", epoch, 2000)
    assert lease is not None
    assert end_of(store) >= lease.expires_at + 999
    assert store.release("x", "a", epoch)
    assert store.owner("x") is None


def test_a_lease_in_a_file_goes_by_the_given_clock(local_store: Store, clock: Clock) -> None:
    epoch = local_store.acquire("x", "a", ttl=10)
    assert local_store.owner("x") == Lease("x", "a", epoch, 1010.0)
    clock.now = 1005.0
    assert local_store.heartbeat("x", "a", epoch, 10)
    assert end_of(local_store) == 1015.0
    clock.now = 1015.0
    assert local_store.acquire("x", "b", ttl=10) == epoch + 1


def test_leases_on_a_server_go_by_its_clock(tmp_path: Path, postgres_url: str) -> None:
    """Engines whose own clocks are years apart agree on who is late."""
    slow, fast = (lambda: 5.0), (lambda: 1e12)
    with (
        open_store(tmp_path, url=postgres_url, clock=slow) as one,
        open_store(tmp_path, url=postgres_url, clock=fast) as other,
    ):
        one.create("x", [created("x")])
        one.acquire("x", "a", ttl=60)
        with pytest.raises(ExecutionStateError):
            other.acquire("x", "b", ttl=60)
        assert other.claim("b", limit=1, ttl=60) == []
        assert 0 < end_of(one) - time.time() < 120


def test_a_lease_further_ahead_than_any_is_over_where_the_clock_was_set_back(local_store: Store, clock: Clock) -> None:
    local_store.acquire("x", "a", ttl=10)
    clock.now = 989.0
    assert local_store.acquire("x", "b", ttl=10) == 2
    clock.now = 100.0
    assert local_store.claim("c", limit=5, ttl=10) == [("x", 3)]


def test_a_living_owner_keeps_its_execution_and_is_named(store: Store) -> None:
    store.acquire("x", "engine-1", ttl=FOREVER)
    with pytest.raises(ExecutionStateError) as caught:
        store.acquire("x", "engine-2", ttl=FOREVER)
    assert "engine-1" in (caught.value.actual or "")
    assert (store.owner("x") or pytest.fail("nobody")).owner == "engine-1"


def test_a_lease_that_ran_out_is_taken_over(store: Store) -> None:
    first = store.acquire("x", "a", ttl=0)
    assert store.acquire("x", "b", ttl=FOREVER) > first
    assert not store.heartbeat("x", "a", first, 10)
    assert not store.release("x", "a", first)
    assert (store.owner("x") or pytest.fail("nobody")).owner == "b"


def test_a_dead_owner_is_not_waited_for(store: Store) -> None:
    store.acquire("x", "a", ttl=FOREVER)
    assert store.acquire("x", "b", ttl=FOREVER, is_dead=lambda owner: owner == "a") == 2


def test_the_owner_may_take_its_execution_again(store: Store) -> None:
    assert [store.acquire("x", "a", ttl=FOREVER) for _ in range(3)] == [1, 2, 3]


def test_an_epoch_never_comes_back(store: Store) -> None:
    first = store.acquire("x", "a", ttl=FOREVER)
    store.release("x", "a", first)
    assert store.acquire("x", "a", ttl=FOREVER) == first + 1


def test_an_engine_that_lost_its_lease_can_write_nothing(store: Store) -> None:
    first = store.acquire("x", "a", ttl=FOREVER)
    store.append("x", 1, first, [noted("x", 2)])
    second = store.acquire("x", "b", ttl=FOREVER, is_dead=lambda _: True)
    for epoch in (first, 0, second + 1):
        with pytest.raises(SequenceConflictError, match="taken"):
            store.append("x", 2, epoch, [noted("x", 3)])
    store.append("x", 2, second, [noted("x", 3)])
    assert store.last_seq("x") == 3


def test_a_lease_of_an_unknown_execution_is_not_found(store: Store) -> None:
    with pytest.raises(NotFoundError):
        store.acquire("nowhere", "a", ttl=10)
    assert store.owner("nowhere") is None


def test_what_goes_wrong_while_asking_about_the_owner_reaches_the_caller(store: Store) -> None:
    store.acquire("x", "a", ttl=FOREVER)

    def broken(_owner: str) -> bool:
        raise RuntimeError("no process table")

    with pytest.raises(RuntimeError, match="no process table"):
        store.acquire("x", "b", ttl=FOREVER, is_dead=broken)
    assert store.acquire("x", "a", ttl=10) == 2
