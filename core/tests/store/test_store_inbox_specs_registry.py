from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from databases import execute
from flytepath.errors import LiteralError, NotFoundError, StoreCorruptError, StoreError
from flytepath.model.identity import Identity
from flytepath.model.literal import canonical_json, sha256
from flytepath.store.events import Store, open_store
from flytepath.store.registry import VersionConflictError
from store_logs import created, wait_until

TRAIN = Identity("shop", "development", "flow.train", "v1")


def test_commands_wait_in_the_order_they_were_posted(store: Store) -> None:
    for name in ("x", "y"):
        store.create(name, [created(name)])
    ids = [store.post("x", {"type": "abort", "reason": reason}) for reason in ("one", "two")]
    store.post("y", {"type": "abort"})
    assert [(item.id, item.command["reason"]) for item in store.inbox("x")] == list(
        zip(ids, ["one", "two"], strict=True)
    )


def test_a_command_that_was_taken_is_gone_and_its_number_never_comes_back(store: Store) -> None:
    store.create("x", [created("x")])
    first = store.post("x", {"n": 1})
    store.take([first])
    assert store.inbox("x") == []
    second = store.post("x", {"n": 2})
    store.take([first])
    store.take([])
    assert [item.id for item in store.inbox("x")] == [second]
    assert second != first


def test_a_command_for_an_unknown_execution_is_not_found(store: Store) -> None:
    with pytest.raises(NotFoundError):
        store.post("nowhere", {"type": "abort"})
    assert store.inbox("nowhere") == []


def test_a_command_that_is_not_json_is_refused(store: Store) -> None:
    store.create("x", [created("x")])
    with pytest.raises(LiteralError):
        store.post("x", {"when": object()})


def test_one_process_posts_and_another_reads(tmp_path: Path, url: str | None) -> None:
    with open_store(tmp_path, url=url) as owner, open_store(tmp_path, url=url) as other:
        owner.create("x", [created("x")])
        other.post("x", {"type": "abort"})
        assert [dict(item.command) for item in owner.inbox("x")] == [{"type": "abort"}]


def test_a_graph_is_kept_under_its_digest_once(store: Store) -> None:
    spec = {"name": "wf", "nodes": [1.5, None, "ü"]}
    digest = sha256(canonical_json(spec))
    store.put_spec(digest, spec)
    store.put_spec(digest, spec)
    assert store.get_spec(digest) == spec


def test_a_graph_under_a_foreign_digest_is_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="digest"):
        store.put_spec("sha256:0", {})


def test_an_unknown_graph_is_not_found(store: Store) -> None:
    with pytest.raises(NotFoundError):
        store.get_spec("sha256:0")


def test_a_damaged_graph_is_reported_as_damage(store: Store) -> None:
    digest = sha256(canonical_json({"a": 1}))
    store.put_spec(digest, {"a": 1})
    execute(store, "UPDATE specs SET body = ?", '{"a":2}')
    with pytest.raises(StoreCorruptError):
        store.get_spec(digest)


def test_two_engines_register_and_keep_the_same_at_once(tmp_path: Path, url: str | None) -> None:
    with open_store(tmp_path, url=url) as one, open_store(tmp_path, url=url) as other, ThreadPoolExecutor(2) as threads:
        for number in range(20):
            identity = Identity("shop", "development", "flow.train", f"v{number}")
            spec = {"number": number}
            digest = sha256(canonical_json(spec))
            kept = [threads.submit(store.put_spec, digest, spec) for store in (one, other)]
            told = [
                threads.submit(store.registry.register, identity, "workflow", digest, "sha256:b")
                for store in (one, other)
            ]
            assert [future.result() for future in kept] == [None, None]
            assert told[0].result() == told[1].result() == one.registry.get(identity)


def test_commands_come_into_sight_in_the_order_of_their_numbers(tmp_path: Path, url: str | None) -> None:
    with (
        open_store(tmp_path, url=url) as reader,
        open_store(tmp_path, url=url) as one,
        open_store(tmp_path, url=url) as other,
    ):
        reader.create("x", [created("x")])
        reader.acquire("x", "engine", ttl=1000)
        seen: list[int] = []
        with ThreadPoolExecutor(2) as threads:
            posts = [threads.submit(store.post, "x", {"n": n}) for n in range(30) for store in (one, other)]

            def all_seen() -> bool:
                seen.extend(item.id for item in reader.inbox_of("engine", after=seen[-1] if seen else 0))
                return len(seen) == 60

            wait_until(all_seen)
            assert sorted(post.result() for post in posts) == seen


def test_an_owner_is_given_the_commands_of_what_it_holds(store: Store) -> None:
    for name in ("x", "y", "z"):
        store.create(name, [created(name)])
    store.acquire("x", "a", ttl=1000)
    store.acquire("z", "a", ttl=1000)
    store.acquire("y", "b", ttl=1000)
    ids = [store.post(name, {"of": name}) for name in ("z", "y", "x", "z")]
    assert [(item.execution, item.command["of"]) for item in store.inbox_of("a")] == [
        ("z", "z"),
        ("x", "x"),
        ("z", "z"),
    ]
    assert [item.id for item in store.inbox_of("a", after=ids[0])] == [ids[2], ids[3]]
    assert [item.id for item in store.inbox_of("b")] == [ids[1]]
    assert store.inbox_of("c") == []


def test_a_version_is_registered_once_and_its_first_record_stays(store: Store) -> None:
    first = store.registry.register(TRAIN, "workflow", "sha256:a", "sha256:b", {"python": "3.11"})
    again = store.registry.register(TRAIN, "workflow", "sha256:a", "sha256:b", {"python": "3.12"})
    assert again == first == store.registry.get(TRAIN)
    assert first.metadata == {"python": "3.11"}


@pytest.mark.parametrize("content", [("sha256:a", "sha256:z"), ("sha256:z", "sha256:b")])
def test_the_same_version_with_other_content_is_an_error(store: Store, content: tuple[str, str]) -> None:
    store.registry.register(TRAIN, "workflow", "sha256:a", "sha256:b")
    with pytest.raises(VersionConflictError) as caught:
        store.registry.register(TRAIN, "workflow", *content)
    assert caught.value.place == str(TRAIN)
    assert store.registry.get(TRAIN).bundle_digest == "sha256:b"


def test_a_workflow_and_its_launch_plan_may_share_a_name(store: Store) -> None:
    store.registry.register(TRAIN, "workflow", "sha256:a", "sha256:b")
    store.registry.register(TRAIN, "launch_plan", "sha256:c", "sha256:b")
    assert store.registry.get(TRAIN, "launch_plan").spec_digest == "sha256:c"


def test_versions_are_listed_latest_first(tmp_path: Path, url: str | None) -> None:
    times = iter([1.0, 2.0, 3.0])
    with open_store(tmp_path, url=url, clock=lambda: next(times)) as store:
        for version in ("v2", "v1", "v3"):
            identity = Identity("shop", "development", "flow.train", version)
            store.registry.register(identity, "workflow", "sha256:a", "sha256:b")
        listed = store.registry.versions("shop", "development", "flow.train")
        assert [item.identity.version for item in listed] == ["v3", "v1", "v2"]
        assert store.registry.versions("shop", "production", "flow.train") == []


def test_an_unknown_version_is_not_found(store: Store) -> None:
    with pytest.raises(NotFoundError) as caught:
        store.registry.get(TRAIN)
    assert caught.value.place == str(TRAIN)
