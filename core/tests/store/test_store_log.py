from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

import pytest
from databases import execute
from flytepath.errors import NotFoundError, SequenceConflictError, StoreCorruptError, StoreError
from flytepath.model.literal import Literal
from flytepath.model.types import INTEGER, STRING
from flytepath.store.events import Store, open_store
from store_logs import created, noted


def test_what_was_appended_is_read_back_in_order(store: Store) -> None:
    events = [created("x"), noted("x", 2), noted("x", 3, "naïve \ud83d \x00")]
    store.create("x", events[:1])
    store.append("x", 1, 0, events[1:])
    assert store.read("x") == events
    assert store.read("x", after=2) == events[2:]
    assert store.read("x", after=3) == []
    assert store.last_seq("x") == 3


def test_a_log_outlives_its_process_and_its_store(tmp_path: Path, url: str | None) -> None:
    with open_store(tmp_path, url=url) as store:
        store.create("x", [created("x")], [Literal.make(INTEGER, 3)])
    with open_store(tmp_path, url=url) as store:
        assert store.read("x") == [created("x")]
        assert store.literal("x", Literal.make(INTEGER, 3).digest).data == 3


def test_an_unknown_execution_is_not_found(store: Store) -> None:
    for query in (store.read, store.last_seq):
        with pytest.raises(NotFoundError) as caught:
            query("nowhere")
        assert caught.value.place == "nowhere"


def test_the_same_execution_is_created_once(store: Store) -> None:
    store.create("x", [created("x")])
    with pytest.raises(SequenceConflictError, match="exists already"):
        store.create("x", [created("x", at=5.0)])
    assert store.read("x") == [created("x")]


@pytest.mark.parametrize("expected", [0, 1, 3, 7])
def test_an_append_that_does_not_follow_the_last_event_is_refused(store: Store, expected: int) -> None:
    store.create("x", [created("x"), noted("x", 2)])
    with pytest.raises(SequenceConflictError) as caught:
        store.append("x", expected, 0, [noted("x", expected + 1, "another")])
    assert caught.value.expected == "last event 2"
    assert store.last_seq("x") == 2


def test_events_that_do_not_follow_one_another_are_refused(store: Store) -> None:
    store.create("x", [created("x")])
    for events in ([noted("x", 2), noted("x", 4)], [noted("x", 2), noted("y", 3)]):
        with pytest.raises(SequenceConflictError, match="do not follow"):
            store.append("x", 1, 0, events)
    assert store.last_seq("x") == 1


def test_a_log_that_does_not_begin_with_its_creation_is_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="begins with the creation"):
        store.create("x", [noted("x", 1)], [Literal.make(INTEGER, 3)])
    with pytest.raises(NotFoundError):
        store.read("x")
    with pytest.raises(NotFoundError):
        store.literal("x", Literal.make(INTEGER, 3).digest)


def test_a_refused_append_leaves_no_literal_behind(store: Store) -> None:
    store.create("x", [created("x")])
    value = Literal.make(STRING, "secret")
    with pytest.raises(SequenceConflictError):
        store.append("x", 5, 0, [noted("x", 6)], [value])
    with pytest.raises(NotFoundError) as caught:
        store.literal("x", value.digest)
    assert caught.value.expected == value.digest


def test_many_literals_come_back_by_digest_and_each_is_kept_once(store: Store) -> None:
    values = [Literal.make(INTEGER, number) for number in range(1200)]
    store.create("x", [created("x")], [*values, *values])
    store.append("x", 1, 0, [noted("x", 2)], values[:3])
    found = store.literals("x", [value.digest for value in values])
    assert found == {value.digest: value for value in values}


def test_literals_belong_to_their_execution(store: Store) -> None:
    value = Literal.make(INTEGER, 1)
    store.create("x", [created("x")], [value])
    store.create("y", [created("y")])
    with pytest.raises(NotFoundError):
        store.literal("y", value.digest)


def test_appends_that_come_together_share_a_transaction(store: Store) -> None:
    for number in range(20):
        store.create(f"x{number}", [created(f"x{number}")])
    before = store.commits

    def write(number: int) -> None:
        for seq in range(2, 22):
            store.append(f"x{number}", seq - 1, 0, [noted(f"x{number}", seq)])

    with ThreadPoolExecutor(20) as threads:
        for result in [threads.submit(write, number) for number in range(20)]:
            result.result()
    assert store.commits - before < 400 / 2
    assert all(store.last_seq(f"x{number}") == 21 for number in range(20))


def test_one_refused_append_fails_alone_in_its_transaction(store: Store) -> None:
    for number in range(3):
        store.create(f"x{number}", [created(f"x{number}")])
    futures = [
        store.append_later("x0", 1, 0, [noted("x0", 2)]),
        store.append_later("x1", 7, 0, [noted("x1", 8)]),
        store.append_later("x2", 1, 0, [noted("x2", 2)]),
    ]
    wait(futures, timeout=30)
    assert [type(future.exception()) for future in futures] == [type(None), SequenceConflictError, type(None)]
    assert [store.last_seq(f"x{number}") for number in range(3)] == [2, 1, 2]


def test_appends_are_carried_out_in_the_order_of_the_calls(store: Store) -> None:
    store.create("x", [created("x")])
    futures = [store.append_later("x", seq - 1, 0, [noted("x", seq)]) for seq in range(2, 300)]
    store.close()
    assert all(future.exception() is None for future in futures)


def test_a_refused_append_leaves_nothing_for_the_transaction_it_came_in(store: Store) -> None:
    store.create("x", [created("x")])
    value = Literal.make(STRING, "of a lost race")
    futures = [
        store.append_later("x", 1, 0, [noted("x", 2)]),
        store.append_later("nowhere", 3, 0, [noted("nowhere", 4)], [value]),
        store.append_later("x", 2, 0, [noted("x", 3)]),
    ]
    wait(futures, timeout=30)
    assert [type(future.exception()) for future in futures] == [type(None), SequenceConflictError, type(None)]
    assert store.last_seq("x") == 3
    with pytest.raises(NotFoundError):
        store.literal("nowhere", value.digest)
    assert store.owner("nowhere") is None


def test_what_was_appended_may_be_appended_again_as_it_was(store: Store) -> None:
    value = Literal.make(INTEGER, 3)
    store.create("x", [created("x")])
    epoch = store.acquire("x", "a", ttl=1000)
    for _ in range(2):
        store.append("x", 1, epoch, [noted("x", 2), noted("x", 3)], [value])
    store.append("x", 3, epoch, [noted("x", 4)])
    store.append("x", 1, epoch, [noted("x", 2), noted("x", 3)], [value])
    store.append("x", 2, epoch, [noted("x", 3)])
    assert [event.seq for event in store.read("x")] == [1, 2, 3, 4]
    assert store.executions()[0].last_seq == 4


@pytest.mark.parametrize("events", [[(2, "other"), (3, "")], [(2, ""), (3, ""), (4, "new")]])
def test_what_is_not_quite_what_was_appended_is_refused(store: Store, events: list[tuple[int, str]]) -> None:
    store.create("x", [created("x"), noted("x", 2), noted("x", 3)])
    with pytest.raises(SequenceConflictError, match="appended first"):
        store.append("x", 1, 0, [noted("x", seq, reason) for seq, reason in events])
    assert store.last_seq("x") == 3


def test_what_is_repeated_in_one_transaction_is_accepted_and_what_is_not_quite_the_same_refused(store: Store) -> None:
    store.create("x", [created("x")])
    store.create("y", [created("y")])
    with held(store):
        futures = [
            store.append_later("x", 1, 0, [noted("x", 2), noted("x", 3)], [Literal.make(INTEGER, 1)]),
            store.append_later("y", 1, 0, [noted("y", 2)]),
            store.append_later("x", 1, 0, [noted("x", 2), noted("x", 3)], [Literal.make(INTEGER, 1)]),
            store.append_later("x", 3, 0, [noted("x", 4)]),
            store.append_later("x", 3, 0, [noted("x", 4, "another")]),
            store.append_later("z", 0, 0, [created("z")]),
            store.append_later("z", 0, 0, [created("z")]),
            store.append_later("z", 1, 0, [noted("z", 2)]),
        ]
    wait(futures, timeout=30)
    refused = [type(future.exception()).__name__ for future in futures]
    assert refused == ["NoneType"] * 4 + ["SequenceConflictError"] + ["NoneType"] * 3
    assert {row.id: row.last_seq for row in store.executions()} == {"x": 4, "y": 2, "z": 2}
    assert [event.seq for event in store.read("x")] == [1, 2, 3, 4]


@contextmanager
def held(store: Store) -> Iterator[None]:
    """Keep the writer busy, so that what is queued meanwhile comes into one transaction."""
    let_go = threading.Event()
    store.database.submit(lambda _: let_go.wait(30))
    before = store.commits
    yield
    let_go.set()
    store.database.write(lambda _: None)
    assert store.commits - before <= 3


def test_after_a_takeover_what_was_appended_is_not_accepted_again(store: Store) -> None:
    store.create("x", [created("x")])
    epoch = store.acquire("x", "a", ttl=1000)
    store.append("x", 1, epoch, [noted("x", 2)])
    store.acquire("x", "b", ttl=1000, is_dead=lambda _: True)
    with pytest.raises(SequenceConflictError, match="taken"):
        store.append("x", 1, epoch, [noted("x", 2)])


def test_a_creation_is_accepted_again_even_when_an_engine_has_it_already(store: Store) -> None:
    store.create("x", [created("x")])
    store.acquire("x", "a", ttl=1000)
    store.create("x", [created("x")])
    assert store.last_seq("x") == 1


def test_a_part_of_a_log_is_read(store: Store) -> None:
    store.create("x", [created("x"), *(noted("x", seq) for seq in range(2, 10))])
    assert [event.seq for event in store.read("x", until=3)] == [1, 2, 3]
    assert [event.seq for event in store.read("x", 4, until=6)] == [5, 6]
    assert store.read("x", 6, until=6) == []
    with pytest.raises(NotFoundError):
        store.read("nowhere", until=3)


def test_a_closed_store_says_so(tmp_path: Path, url: str | None) -> None:
    store = open_store(tmp_path, url=url)
    store.close()
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.create("x", [created("x")])
    for question in (lambda: store.read("x"), store.version):
        with pytest.raises(StoreError, match="closed"):
            question()


def test_a_damaged_event_is_reported_as_damage(store: Store) -> None:
    store.create("x", [created("x")])
    execute(store, "UPDATE events SET body = substr(body, 1, 40)")
    with pytest.raises(StoreCorruptError) as caught:
        store.read("x")
    assert "execution x" in (caught.value.place or "")
    store.append("x", 1, 0, [noted("x", 2)])


def test_an_event_of_a_newer_release_asks_for_an_upgrade(store: Store) -> None:
    newer = {**created("x").to_json(), "v": 99}
    store.create("x", [created("x")])
    execute(store, "UPDATE events SET body = ?", json.dumps(newer))
    with pytest.raises(ValueError, match="upgrade"):
        store.read("x")
