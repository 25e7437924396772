"""Snapshots: what is read back is what the log folds to; whatever else is found in one is passed over, and harmless."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from fake_machine import Machine, single, task_spec
from flytepath.engine import snapshots
from flytepath.engine.fold import apply, fold
from flytepath.engine.histories import Histories
from flytepath.engine.snapshots import FIRST_AFTER, SnapshotKeeper, restored, snapshot_format, taken
from flytepath.engine.state import ExecutionState
from flytepath.model.events import Actor, Blob, DeckWritten, Event, ExecutionCreated
from flytepath.store.events import Store, open_store
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_graphs import bodies, workflows
from shapes import Play, flow, node, out, tasks

SPEC = flow(node("n0", "a"), node("n1", "b", out("n0")), tasks=tasks("a", "b"))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(spec=workflows(), x=st.integers(0, 30), share=st.floats(0, 1))
def test_a_snapshot_is_the_fold_at_any_moment_and_folds_on(
    tmp_path_factory: pytest.TempPathFactory, spec: Any, x: int, share: float
) -> None:
    """Of runs with maps, branches, gates, dynamic and eager tasks and failure handlers.

    The moment is a share of the log, for how many events a run leaves depends on what happened to run side by side.
    """
    machine = Machine(spec, bodies(), tmp_path_factory.mktemp("machine"), x=x)
    whole = machine.run()
    events, specs = machine.log.events, machine.log.specs.__getitem__
    at = round(share * len(events))
    state = fold(spec, events[:at], specs)
    again = restored(taken(state), spec, specs)
    assert again is not None
    assert again == state
    for event in events[at:]:
        apply(again, event)
    assert again == whole


def test_graphs_that_came_up_in_the_run_are_named_and_not_copied(tmp_path: Path) -> None:
    async def eag(call: Any, x: int) -> int:
        return int(await call(single(task_spec("inc", "x")), x=x))

    spec = flow(node("n0", "eag"), tasks=tasks(task_spec("eag", "x", mode="eager")))
    machine = Machine(spec, {"eag": eag, "inc": lambda _r, x: x}, tmp_path, x=1)
    state = machine.run()
    assert len(state.graphs) == 1
    asked: list[str] = []

    def specs(digest: str) -> Any:
        asked.append(digest)
        return machine.log.specs[digest]

    again = restored(taken(state), spec, specs)
    assert again is not None
    assert set(asked) == set(state.graphs)
    [graph] = again.graphs.values()
    assert graph is machine.log.specs[asked[0]]


# --- what is passed over -----------------------------------------------------------------------------------------


def calling(module: str, name: str, argument: str) -> bytes:
    """A pickle that calls ``module.name(argument)`` when it is read."""
    texts = [text.encode() for text in (module, name, argument)]
    first, second, third = (b"X" + len(text).to_bytes(4, "little") + text for text in texts)
    return b"\x80\x04" + first + second + b"\x93(" + third + b"tR."


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("posix", "system"),
        ("builtins", "eval"),
        ("subprocess", "Popen"),
        ("flytepath.engine.scheduler", "os.system"),
        ("flytepath.engine.local.workers", "asyncio.base_events.subprocess.Popen"),
        ("flytepath.engine.launches", "Path"),
        ("flytepath.engine.snapshots", "pickle.Unpickler"),
        ("flytepath.engine.snapshots", "restored"),
        ("flytepath.engine.engine", "Engine"),
        ("flytepath.store.events", "open_store"),
        ("flytepath.worker.serving", "serve"),
    ],
)
def test_a_snapshot_that_would_call_something_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, module: str, name: str
) -> None:
    mark = tmp_path / "mark"
    command = f"touch {mark}"
    with caplog.at_level(logging.WARNING, "flytepath"):
        assert restored(calling(module, name, command), SPEC, {}.__getitem__) is None
    assert not mark.exists()
    assert f"a snapshot holds no {module}.{name}" in caplog.text


def test_the_malicious_pickles_of_these_tests_would_do_harm(tmp_path: Path) -> None:
    """Else the test above proves nothing."""
    mark = tmp_path / "mark"
    pickle.loads(calling("os", "system", f"touch {mark}"))
    assert mark.exists()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not a snapshot",
        pickle.dumps(None),
        pickle.dumps({"state": 1}),
        pickle.dumps(Actor(kind="user", name="ada")),
    ],
)
def test_what_is_no_snapshot_is_passed_over(body: bytes) -> None:
    assert restored(body, SPEC, {}.__getitem__) is None


def test_a_snapshot_that_was_cut_off_or_changed_is_passed_over() -> None:
    play = Play(SPEC)
    body = taken(play.state)
    for length in range(0, len(body), 97):
        assert restored(body[:length], SPEC, {}.__getitem__) is None


def test_a_snapshot_of_another_workflow_is_passed_over() -> None:
    other = flow(node("other", "c"), tasks=tasks("c"))
    assert restored(taken(Play(SPEC).state), other, {}.__getitem__) is None


# --- from the store ----------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path) as opened:
        yield opened


def long_log(store: Store, length: int) -> list[Event]:
    """An execution with so many events, in the store, with a snapshot taken as its engine would."""
    digest = SPEC.digest()
    store.put_spec(digest, SPEC.model_dump(mode="json", exclude_defaults=True))
    created = ExecutionCreated(project="p", domain="d", workflow="w", workflow_version="v", spec=digest, bundle="b")
    user = Actor(kind="user", name="ada")
    deck = Blob(uri="blob://x", digest="sha256:0", size=1)
    events = [Event(execution="x", seq=1, at=1.0, actor=user, payload=created)]
    for seq in range(2, length + 1):
        payload = DeckWritten(node="n0", attempt=1, name=f"deck {seq}", deck=deck)
        events.append(Event(execution="x", seq=seq, at=float(seq), actor=user, payload=payload))
    store.create("x", events[:1])
    epoch = store.acquire("x", "engine", ttl=60)
    state = ExecutionState.of(SPEC)
    keeper = SnapshotKeeper("x", state, store)
    for start in range(1, length, 500):
        batch = events[start : start + 500]
        store.append("x", start, epoch, batch)
        for event in events[start - 1 if start == 1 else start : start + 500]:
            apply(state, event)
        keeper.consider()
    return events


class Counted:
    """How many events were folded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folded = 0

        def counting(state: ExecutionState, event: Event) -> None:
            self.folded += 1
            apply(state, event)

        monkeypatch.setattr("flytepath.engine.histories.apply", counting)


def test_a_long_execution_is_loaded_from_its_snapshot(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    events = long_log(store, 5000)
    counted = Counted(monkeypatch)
    state = Histories(store).state("x")
    assert state == fold(SPEC, events)
    assert counted.folded <= len(events) - FIRST_AFTER


def test_a_short_execution_needs_no_snapshot(store: Store) -> None:
    long_log(store, 1000)
    assert store.snapshot("x") is None


@pytest.mark.parametrize("harm", ["format", "body", "gone"])
def test_without_a_snapshot_that_can_be_read_the_whole_log_is_folded(
    store: Store, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    events = long_log(store, 2500)
    found = store.snapshot("x")
    assert found is not None
    if harm == "gone":
        monkeypatch.setattr(Store, "snapshot", lambda self, execution: None)
    else:
        other = "0/another" if harm == "format" else snapshot_format()
        store.put_snapshot("x", found[0], other, b"damaged" if harm == "body" else found[2]).result()
    counted = Counted(monkeypatch)
    assert Histories(store).state("x") == fold(SPEC, events)
    assert counted.folded == len(events)


def test_the_format_says_what_the_state_is_made_of(monkeypatch: pytest.MonkeyPatch) -> None:
    before = snapshot_format()
    snapshot_format.cache_clear()
    monkeypatch.setattr(snapshots, "_DATA", (ExecutionState,))
    assert snapshot_format() != before
    snapshot_format.cache_clear()


def test_snapshots_come_ever_more_rarely() -> None:
    kept: list[int] = []

    class Keeper:
        def put_snapshot(self, execution: str, seq: int, format: str, body: bytes) -> Future[None]:
            kept.append(seq)
            done: Future[None] = Future()
            done.set_exception(OSError("full"))  # which is no more than a warning
            return done

    state = ExecutionState.of(SPEC)
    keeper = SnapshotKeeper("x", state, Keeper())
    for seq in range(1, 40_000, 100):
        state.seq = seq
        keeper.consider()
    assert kept[0] > FIRST_AFTER - 1
    assert len(kept) < 8
