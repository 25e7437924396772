from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from flytepath.errors import NotFoundError
from flytepath.model.events import Actor, Event, ExecutionAborted
from flytepath.model.identity import Identity, Tenant
from flytepath.store.activations import Activation, Activations, Fired, Firing
from flytepath.store.events import Store, open_store
from store_logs import created

SHOP = Tenant("shop", "development")
OTHER = Tenant("shop", "production")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


@pytest.fixture
def store(tmp_path: Path, url: str | None) -> Iterator[Store]:
    with open_store(tmp_path / "home", url=url) as opened:
        for tenant in (SHOP, OTHER):
            for version in ("v1", "v2", "v3"):
                identity = Identity(tenant.project, tenant.domain, "nightly", version)
                opened.registry.register(identity, "launch_plan", f"sha256:{version}", "sha256:code")
        yield opened


@pytest.fixture
def activations(store: Store) -> Activations:
    return Activations(store.database, Clock())


def firing(
    activation: Activation, expected: float, moment: float, execution: str = "", limit: int | None = None
) -> Firing:
    event = created(execution, workflow="nightly") if execution else None
    return Firing(activation, expected, moment, event, limit=limit)


def test_nothing_is_active_until_it_is_activated(activations: Activations) -> None:
    assert activations.current(SHOP, "nightly") is None
    assert (activations.history(SHOP, "nightly"), activations.active(), activations.count()) == ([], [], 0)
    assert activations.done_until(SHOP, "nightly") is None


def test_history_only_grows(activations: Activations) -> None:
    activations.activate(SHOP, "nightly", "v1", "ada")
    activations.activate(SHOP, "nightly", "v2", "bob")
    activations.deactivate(SHOP, "nightly", "ada")
    before = activations.history(SHOP, "nightly")
    activations.roll_back(SHOP, "nightly", "eve")
    after = activations.history(SHOP, "nightly")
    assert after[1:] == before
    assert [(row.number, row.version, row.principal) for row in after] == [
        *((4, "v2", "eve"), (3, None, "ada"), (2, "v2", "bob"), (1, "v1", "ada")),
    ]
    assert [row.at for row in after] == sorted((row.at for row in after), reverse=True)
    assert activations.count() == 4


def test_the_way_back_leads_to_what_was_active_before(activations: Activations) -> None:
    for version in ("v1", "v2", "v3"):
        activations.activate(SHOP, "nightly", version, "ada")
    assert activations.roll_back(SHOP, "nightly", "ada").version == "v2"
    assert activations.roll_back(SHOP, "nightly", "ada").version == "v3"
    activations.deactivate(SHOP, "nightly", "ada")
    assert activations.roll_back(SHOP, "nightly", "ada").version == "v3"


def test_what_is_so_already_is_no_change(activations: Activations) -> None:
    first = activations.activate(SHOP, "nightly", "v1", "ada")
    assert first.is_new
    again = activations.activate(SHOP, "nightly", "v1", "bob")
    assert again == first and not again.is_new
    assert activations.done_until(SHOP, "nightly") == first.at
    assert activations.deactivate(SHOP, "nightly", "ada").is_new
    assert not activations.deactivate(SHOP, "nightly", "ada").is_new


def test_a_change_whose_answer_was_lost_is_made_once(
    activations: Activations, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    activations.activate(SHOP, "nightly", "v1", "ada")
    activations.activate(SHOP, "nightly", "v2", "ada")
    write = store.database.write
    monkeypatch.setattr(store.database, "write", lambda operation: (write(operation), write(operation))[1])
    assert activations.roll_back(SHOP, "nightly", "ada").version == "v1"
    assert [row.version for row in activations.history(SHOP, "nightly")] == ["v1", "v2", "v1"]


def test_tenants_and_names_are_apart(activations: Activations) -> None:
    activations.activate(SHOP, "nightly", "v1", "ada")
    activations.activate(OTHER, "nightly", "v2", "ada")
    assert [(a.plan, a.version) for a in activations.active()] == [
        *(("shop/development/nightly", "v1"), ("shop/production/nightly", "v2")),
    ]
    activations.deactivate(SHOP, "nightly", "ada")
    assert [a.version for a in activations.active()] == ["v2"]
    assert activations.active(SHOP) == []


def test_what_is_not_registered_cannot_be_active(activations: Activations, store: Store) -> None:
    with pytest.raises(NotFoundError, match="v3, v2, v1"):
        activations.activate(SHOP, "nightly", "v9", "ada")
    store.registry.register(Identity("shop", "development", "flow.wf", "v1"), "workflow", "sha256:1", "sha256:2")
    with pytest.raises(NotFoundError):
        activations.activate(SHOP, "flow.wf", "v1", "ada")
    with pytest.raises(NotFoundError):
        activations.deactivate(SHOP, "nightly", "ada")
    with pytest.raises(NotFoundError):
        activations.roll_back(SHOP, "nightly", "ada")
    assert activations.count() == 0


def test_changes_at_the_same_time_get_numbers_in_a_row(store: Store, tmp_path: Path, url: str | None) -> None:
    gate = threading.Barrier(4)
    failures: list[Exception] = []

    def change(number: int) -> None:
        try:
            with open_store(tmp_path / "home", url=url) as mine:
                activations = Activations(mine.database)
                gate.wait()
                for _ in range(10):
                    activations.activate(SHOP, "nightly", f"v{number % 3 + 1}", f"user{number}")
                    activations.deactivate(SHOP, "nightly", f"user{number}")
        except Exception as error:  # noqa: BLE001 - shown by the test
            failures.append(error)

    threads = [threading.Thread(target=change, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    history = Activations(store.database).history(SHOP, "nightly")
    assert [row.number for row in history] == list(range(len(history), 0, -1))


def test_a_moment_begins_an_execution_and_moves_the_schedule(activations: Activations, store: Store) -> None:
    active = activations.activate(SHOP, "nightly", "v1", "ada")
    assert activations.fire(firing(active, active.at, 2000.0, "s1")).result() is Fired.STARTED
    assert activations.done_until(SHOP, "nightly") == 2000.0
    assert store.read("s1")[0].payload.type == "execution_created"
    assert [row.state for row in store.executions()] == ["running"]


def test_a_moment_is_had_once(activations: Activations, store: Store) -> None:
    active = activations.activate(SHOP, "nightly", "v1", "ada")
    first, second = (activations.fire(firing(active, active.at, 2000.0, name)) for name in ("s1", "s2"))
    assert (first.result(), second.result()) == (Fired.STARTED, Fired.TAKEN)
    assert [row.id for row in store.executions()] == ["s1"]


def test_an_execution_that_exists_is_not_begun_again(activations: Activations, store: Store) -> None:
    active = activations.activate(SHOP, "nightly", "v1", "ada")
    store.create("s1", [created("s1")])
    assert activations.fire(firing(active, active.at, 2000.0, "s1")).result() is Fired.PASSED
    assert activations.done_until(SHOP, "nightly") == 2000.0 and len(store.read("s1")) == 1


@pytest.mark.parametrize("change", ["deactivate", "activate"])
def test_an_activation_that_is_over_starts_nothing(activations: Activations, store: Store, change: str) -> None:
    active = activations.activate(SHOP, "nightly", "v1", "ada")
    if change == "deactivate":
        activations.deactivate(SHOP, "nightly", "ada")
    else:
        activations.activate(SHOP, "nightly", "v2", "ada")
    until = activations.done_until(SHOP, "nightly")
    assert until is not None and until > active.at
    assert activations.fire(firing(active, active.at, 2000.0, "s1")).result() is Fired.TAKEN
    assert activations.fire(firing(active, until, 2000.0, "s1")).result() is Fired.VOID
    assert activations.done_until(SHOP, "nightly") == until
    assert store.executions() == []


def test_as_many_run_as_may(activations: Activations, store: Store) -> None:
    active = activations.activate(SHOP, "nightly", "v1", "ada")
    done = [
        activations.fire(firing(active, before, before + 1, f"s{number}", limit=2))
        for number, before in enumerate((active.at, active.at + 1, active.at + 2))
    ]
    assert [each.result() for each in done] == [Fired.STARTED, Fired.STARTED, Fired.SKIPPED]
    assert activations.done_until(SHOP, "nightly") == active.at + 3
    end = Event(
        execution="s0", seq=2, at=3.0, actor=Actor(kind="engine", name="e"), payload=ExecutionAborted(reason="enough")
    )
    store.append("s0", 1, 0, [end])
    assert activations.fire(firing(active, active.at + 3, active.at + 4, "s4", limit=2)).result() is Fired.STARTED


def test_the_limit_is_one_tenants_own(activations: Activations, store: Store) -> None:
    active = activations.activate(SHOP, "nightly", "v1", "ada")
    store.create("else", [created("else", workflow="nightly", domain="production")])
    assert activations.fire(firing(active, active.at, 2000.0, "s1", limit=1)).result() is Fired.STARTED
