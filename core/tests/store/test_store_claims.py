"""What engines do all the time: take what nobody works on, renew what they hold, look whether anything is new."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from databases import execute
from flytepath.errors import SequenceConflictError
from flytepath.model.events import Event, ExecutionSucceeded
from flytepath.store.events import Store, open_store
from store_logs import ADA, created, noted

FOREVER = 1e6


@pytest.fixture
def other(tmp_path: Path, url: str | None) -> Iterator[Store]:
    with open_store(tmp_path / "home", url=url) as opened:
        yield opened


def fill(store: Store, *names: str) -> None:
    for number, name in enumerate(names):
        store.create(name, [created(name, at=float(number))])


def test_what_nobody_holds_is_claimed_the_oldest_first(store: Store) -> None:
    fill(store, "c", "a", "b")
    assert store.claim("engine", limit=2, ttl=FOREVER) == [("c", 1), ("a", 1)]
    assert store.claim("engine", limit=2, ttl=FOREVER) == [("b", 1)]
    assert store.claim("engine", limit=2, ttl=FOREVER) == []
    assert store.claim("engine", limit=0, ttl=FOREVER) == []
    store.append("b", 1, 1, [noted("b", 2)])


def test_only_what_runs_is_claimed(store: Store) -> None:
    fill(store, "x", "y")
    store.append("x", 1, 0, [Event(execution="x", seq=2, at=1.0, actor=ADA, payload=ExecutionSucceeded())])
    assert store.claim("engine", limit=9, ttl=FOREVER) == [("y", 1)]


def test_what_is_excluded_is_left_alone(store: Store) -> None:
    fill(store, "x", "y", "z")
    assert store.claim("engine", limit=9, ttl=FOREVER, exclude=["x", "z", "unknown"]) == [("y", 1)]


def test_a_claim_takes_over_from_the_late_the_gone_and_the_dead(store: Store) -> None:
    fill(store, "late", "gone", "dead", "alive")
    store.acquire("late", "a", ttl=0)
    store.release("gone", "a", store.acquire("gone", "a", ttl=FOREVER))
    store.acquire("dead", "b", ttl=FOREVER)
    store.acquire("alive", "c", ttl=FOREVER)
    asked: list[str] = []

    def is_dead(owner: str) -> bool:
        asked.append(owner)
        return owner == "b"

    claimed = store.claim("engine", limit=9, ttl=FOREVER, is_dead=is_dead)
    assert claimed == [("late", 2), ("gone", 2), ("dead", 2)]
    assert {"b", "c"} <= set(asked)
    assert [(store.owner(name) or pytest.fail("nobody")).owner for name in ("late", "alive")] == ["engine", "c"]
    with pytest.raises(SequenceConflictError, match="taken"):
        store.append("dead", 1, 1, [noted("dead", 2)])


def test_the_dead_alone_are_reason_enough(store: Store) -> None:
    fill(store, "x", "y")
    store.claim("old", limit=9, ttl=FOREVER)
    assert store.claim("new", limit=1, ttl=FOREVER, is_dead=lambda owner: owner == "old") == [("x", 2)]


def test_an_engine_does_not_claim_what_it_holds(store: Store) -> None:
    fill(store, "x")
    store.acquire("x", "engine", ttl=FOREVER)
    assert store.claim("engine", limit=9, ttl=FOREVER, is_dead=lambda _: True) == []


def test_an_idle_engine_writes_nothing(store: Store) -> None:
    fill(store, "x")
    store.acquire("x", "other", ttl=FOREVER)
    before = store.commits
    assert store.claim("engine", limit=9, ttl=FOREVER) == []
    assert store.commits == before


def test_what_goes_wrong_while_asking_about_an_owner_reaches_the_caller(store: Store) -> None:
    fill(store, "x")
    store.acquire("x", "other", ttl=FOREVER)

    def broken(_owner: str) -> bool:
        raise OSError("no process table")

    with pytest.raises(OSError, match="no process table"):
        store.claim("engine", limit=9, ttl=FOREVER, is_dead=broken)
    with pytest.raises(OSError, match="no process table"):
        store.acquire("x", "engine", ttl=FOREVER, is_dead=broken)


def test_an_execution_of_a_release_without_first_leases_is_claimed_too(store: Store) -> None:
    fill(store, "x", "y", "z")
    execute(store, "DELETE FROM leases")
    assert store.claim("engine", limit=1, ttl=FOREVER) == [("x", 1)]
    assert store.acquire("y", "engine", ttl=FOREVER) == 1
    store.append("z", 1, 0, [noted("z", 2)])


def test_engines_that_claim_at_once_share_and_none_gets_what_another_has(
    store: Store, other: Store, tmp_path: Path, url: str | None
) -> None:
    fill(store, *(f"x{number:03}" for number in range(120)))
    with open_store(tmp_path / "home", url=url) as third, ThreadPoolExecutor(3) as threads:

        def work(engine: str, opened: Store) -> list[tuple[str, int]]:
            mine: list[tuple[str, int]] = []
            while claimed := opened.claim(engine, limit=3, ttl=FOREVER):
                assert len(claimed) <= 3
                mine += claimed
            return mine

        engines: list[tuple[str, Any]] = [("a", store), ("b", other), ("c", third)]
        shares = [future.result() for future in [threads.submit(work, *engine) for engine in engines]]
    assert sorted(item for share in shares for item in share) == [(f"x{number:03}", 1) for number in range(120)]
    for (engine, _), share in zip(engines, shares, strict=True):
        assert {(store.owner(name) or pytest.fail("nobody")).owner for name, _ in share} <= {engine}


def test_all_leases_of_an_owner_are_renewed_at_once(store: Store) -> None:
    fill(store, "x", "y", "z")
    store.claim("engine", limit=2, ttl=60)
    ends = {name: store.owner(name) for name in ("x", "y")}
    before = store.commits
    assert store.renew("engine", 5000) == {"x": 1, "y": 1}
    assert store.commits == before + 1
    for name, lease in ends.items():
        assert lease is not None
        assert (store.owner(name) or pytest.fail("nobody")).expires_at > lease.expires_at + 4000
    store.acquire("x", "thief", ttl=60, is_dead=lambda _: True)
    assert store.renew("engine", 5000) == {"y": 1}
    assert store.renew("stranger", 5000) == {}


def test_the_version_tells_when_others_have_written(tmp_path: Path) -> None:
    with open_store(tmp_path) as store, open_store(tmp_path) as other:
        store.create("x", [created("x")])
        first = store.version()
        assert first is not None
        assert store.version() == first
        store.append("x", 1, 0, [noted("x", 2)])
        assert store.version() == first, "what we wrote ourselves is no news"
        other.post("x", {"type": "abort"})
        second = store.version()
        assert second != first
        store.append("x", 2, 0, [noted("x", 3)])
        assert store.version() == second
        other.append("x", 3, 0, [noted("x", 4)])
        store.append("x", 4, 0, [noted("x", 5)])
        assert store.version() != second


def test_the_version_does_not_wait_for_a_write(tmp_path: Path) -> None:
    with open_store(tmp_path) as store, open_store(tmp_path) as other:
        store.create("x", [created("x")])
        first = store.version()
        with other.database._transaction():
            waiting = store.append_later("x", 1, 0, [noted("x", 2)])
            assert store.version() == first
            assert not waiting.done()
        waiting.result(timeout=30)
        assert store.last_seq("x") == 2


def test_a_server_has_no_such_number(tmp_path: Path, postgres_url: str) -> None:
    with open_store(tmp_path, url=postgres_url) as store:
        assert store.version() is None


def test_a_snapshot_replaces_an_older_one(store: Store) -> None:
    assert store.snapshot("x") is None
    store.put_snapshot("x", 5, "state/1", b"\x00\xff five").result()
    assert store.snapshot("x") == (5, "state/1", b"\x00\xff five")
    store.put_snapshot("x", 9, "state/2", b"nine").result()
    store.put_snapshot("x", 7, "state/2", b"late").result()
    store.put_snapshot("y", 1, "state/2", b"").result()
    assert store.snapshot("x") == (9, "state/2", b"nine")
    assert store.snapshot("y") == (1, "state/2", b"")


def test_a_snapshot_that_cannot_be_kept_fails_no_append(store: Store) -> None:
    store.create("x", [created("x")])
    futures = [
        store.append_later("x", 1, 0, [noted("x", 2)]),
        store.put_snapshot("x", 1, "state/1", None),  # type: ignore[arg-type]
        store.append_later("x", 2, 0, [noted("x", 3)]),
    ]
    assert futures[0].exception() is None
    assert futures[1].exception() is not None
    assert futures[2].exception() is None
    assert store.last_seq("x") == 3
