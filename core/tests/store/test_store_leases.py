from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flytepath.errors import ExecutionStateError, NotFoundError, SequenceConflictError
from flytepath.store.events import Lease, Store, open_store
from store_logs import created, noted


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    with open_store(tmp_path, clock=clock) as opened:
        opened.create("x", [created("x")])
        yield opened


def test_a_lease_is_taken_renewed_and_given_back(store: Store, clock: Clock) -> None:
    assert store.owner("x") is None
    epoch = store.acquire("x", "a", ttl=10)
    assert store.owner("x") == Lease("x", "a", epoch, 1010.0)
    clock.now = 1005.0
    assert store.heartbeat("x", "a", epoch, 10)
    assert store.owner("x") == Lease("x", "a", epoch, 1015.0)
    assert store.release("x", "a", epoch)
    assert store.owner("x") is None


def test_a_living_owner_keeps_its_execution_and_is_named(store: Store) -> None:
    store.acquire("x", "engine-1", ttl=10)
    with pytest.raises(ExecutionStateError) as caught:
        store.acquire("x", "engine-2", ttl=10)
    assert "engine-1" in (caught.value.actual or "")
    assert store.owner("x") == Lease("x", "engine-1", 1, 1010.0)


def test_a_lease_that_ran_out_is_taken_over(store: Store, clock: Clock) -> None:
    first = store.acquire("x", "a", ttl=10)
    clock.now = 1010.0
    assert store.acquire("x", "b", ttl=10) > first
    assert not store.heartbeat("x", "a", first, 10)
    assert not store.release("x", "a", first)
    assert (store.owner("x") or pytest.fail("nobody")).owner == "b"


def test_a_dead_owner_is_not_waited_for(store: Store) -> None:
    store.acquire("x", "a", ttl=10)
    assert store.acquire("x", "b", ttl=10, is_dead=lambda owner: owner == "a") == 2


def test_the_owner_may_take_its_execution_again(store: Store) -> None:
    assert [store.acquire("x", "a", ttl=10) for _ in range(3)] == [1, 2, 3]


def test_an_epoch_never_comes_back(store: Store) -> None:
    first = store.acquire("x", "a", ttl=10)
    store.release("x", "a", first)
    assert store.acquire("x", "a", ttl=10) == first + 1


def test_an_engine_that_lost_its_lease_can_write_nothing(store: Store) -> None:
    first = store.acquire("x", "a", ttl=10)
    store.append("x", 1, first, [noted("x", 2)])
    second = store.acquire("x", "b", ttl=10, is_dead=lambda _: True)
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
    store.acquire("x", "a", ttl=10)

    def broken(_owner: str) -> bool:
        raise RuntimeError("no process table")

    with pytest.raises(RuntimeError, match="no process table"):
        store.acquire("x", "b", ttl=10, is_dead=broken)
    assert store.acquire("x", "a", ttl=10) == 2
