"""What is old goes, what nobody refers to goes, what must go goes; all else stays, whatever happens meanwhile."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from flytepath.client import Scope
from flytepath.client.retention import Keeper, seconds
from flytepath.errors import ExecutionStateError, NotFoundError, StoreError, UsageError
from flytepath.model.events import (
    AttemptStarted,
    Blob,
    CallStarted,
    DeckWritten,
    ErrorRecord,
    Event,
    ExecutionCreated,
    ExecutionFailed,
    ExecutionOwned,
    ExecutionSucceeded,
    ItemsSucceeded,
    LogWritten,
    NodeExpanded,
    NodeSucceeded,
    Payload,
)
from flytepath.model.identity import Identity, Tenant
from flytepath.model.literal import ERASED_FORMAT, BlobRef, Literal, canonical_json, sha256
from flytepath.model.types import INTEGER, STRING, LiteralType
from flytepath.store import retention
from flytepath.store.blobs import BlobFolder
from flytepath.store.events import Store, open_store
from flytepath.store.literals import inline, offload
from flytepath.store.output_cache import CACHE_NAME, OutputCache
from flytepath.types.folder_contents import Entry, manifest
from store_logs import ADA

if TYPE_CHECKING:
    from flytepath.testing.postgres import PostgresServer

DAY = 86400.0
NOW = time.time()
OLD = NOW - 100 * DAY
SCOPE = Scope(Tenant("shop", "development"), "ada")


class House:
    """A home with executions of any age, blobs and folders."""

    def __init__(self, home: Path, store: Store) -> None:
        self.path = home
        self.store = store
        self.blobs = BlobFolder(home / "blobs", "shop", "development")
        self.spec = self.graph({"nodes": []})
        store.registry.register(
            Identity("shop", "development", "flow.wf", "v1"), "workflow", self.spec, sha256(b"code")
        )

    def graph(self, content: Any) -> str:
        digest = sha256(canonical_json(content))
        self.store.put_spec(digest, content)
        return digest

    def run(
        self,
        execution: str,
        *payloads: Payload,
        literals: Sequence[Literal] = (),
        at: float = OLD,
        end: Payload | None = ExecutionSucceeded(),
        **created: Any,
    ) -> str:
        facts = {"project": "shop", "domain": "development", "workflow": "flow.wf", "workflow_version": "v1"}
        facts |= {"spec": self.spec, "bundle": sha256(b"code")}
        first = ExecutionCreated(**{**facts, **created})
        told = [first, *payloads, *([] if end is None else [end])]
        events = [Event(execution=execution, seq=n, at=at, actor=ADA, payload=p) for n, p in enumerate(told, 1)]
        self.store.create(execution, events, literals)
        return execution

    def more(self, execution: str, epoch: int, *payloads: Payload, at: float = OLD) -> None:
        seq = self.store.last_seq(execution)
        told = [Event(execution=execution, seq=n, at=at, actor=ADA, payload=p) for n, p in enumerate(payloads, seq + 1)]
        self.store.append(execution, seq, epoch, told)

    def put(self, content: bytes, at: float = OLD) -> BlobRef:
        ref = self.blobs.put(content)
        os.utime(self.where(ref), (at, at))
        return ref

    def where(self, ref: BlobRef) -> Path:
        return self.blob_path(ref.digest.removeprefix("sha256:"))

    def blob_path(self, name: str) -> Path:
        return self.path / "blobs" / "shop" / "development" / "sha256" / name[:2] / name

    def holds(self, ref: BlobRef) -> bool:
        return self.where(ref).exists()

    def file(self, name: str, at: float = OLD) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"content")
        for each in (path, *path.parents):
            if each == self.path:
                break
            os.utime(each, (at, at))
        return path

    def prune(self, older_than: float = 90 * DAY, **settings: Any) -> Any:
        with Keeper(self.path) as keeper:
            return keeper.prune(older_than, **{"apply": True, **settings})

    def erase(self, execution: str, **which: str) -> Any:
        with Keeper(self.path) as keeper:
            return keeper.erase(SCOPE, execution, **which)

    def executions(self) -> set[str]:
        return {row.id for row in self.store.executions(limit=1000)}

    def rows(self, table: str, execution: str) -> int:
        query = f"SELECT count(*) FROM {table} WHERE execution = '{execution}'"
        return self.store.database.read(lambda connection: connection.exec_driver_sql(query).scalar_one())


@pytest.fixture(params=["sqlite", "postgresql"])
def fresh(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Lets homes stand on a new database from now on."""
    if request.param == "sqlite":
        return lambda: None
    server = request.getfixturevalue("postgres")
    return lambda: monkeypatch.setenv("FLYTEPATH_DATABASE", server.database())


@pytest.fixture
def house(tmp_path: Path, fresh: Callable[[], None]) -> Iterator[House]:
    fresh()
    with open_store(tmp_path / "home") as store:
        yield House(tmp_path / "home", store)


@pytest.fixture
def filed(tmp_path: Path) -> Iterator[House]:
    """A house whose database is a file."""
    with open_store(tmp_path / "home") as store:
        yield House(tmp_path / "home", store)


def test_only_what_ended_long_ago_goes(house: House) -> None:
    old = house.run("old")
    house.run("recent", at=NOW - 10 * DAY)
    house.run("endless", end=None)
    began = house.run("began-long-ago", end=None)
    house.more(began, 0, ExecutionSucceeded(), at=NOW - DAY)
    report = house.prune()
    assert report.executions == (old,)
    assert house.executions() == {"recent", "endless", began}
    assert house.store.rebuild_projections() == 3
    with pytest.raises(NotFoundError):
        house.store.read(old)


def test_the_dry_run_touches_nothing_and_says_what_the_real_one_does(house: House) -> None:
    ref = house.put(b"x" * 5000)
    house.run(
        "old", DeckWritten(node="n0", attempt=1, name="d", deck=Blob.of(ref)), literals=[Literal.make(INTEGER, 7)]
    )
    house.file("outputs/old/n0/1/file.txt")
    house.file("logs/old/n0/1.log")
    house.file("blobs/shop/development/drafts/abc")
    said = house.prune(apply=False)
    assert house.executions() == {"old"}
    assert house.holds(ref)
    assert (house.path / "outputs/old/n0/1/file.txt").exists()
    done = house.prune()
    assert done == said.model_copy(update={"applied": True, "before": done.before})
    assert (done.executions, done.events, done.values, done.blobs, done.blob_bytes) == (("old",), 3, 1, 1, 5000)
    assert (done.files, done.file_bytes) == (3, 21)
    assert done.database_bytes > 500
    assert not house.holds(ref)
    assert not (house.path / "outputs/old").exists()
    assert house.prune().executions == ()


def test_nothing_of_an_execution_is_left_in_the_database(house: House) -> None:
    house.run("old", literals=[Literal.make(INTEGER, 7)])
    epoch = house.store.acquire("old", "engine", ttl=30)
    house.store.post("old", {"type": "abort"})
    house.store.release("old", "engine", epoch)
    house.store.put_snapshot("old", 1, "x", b"whatever it holds").result()
    house.prune()
    for table in ("events", "literals", "leases", "commands", "snapshots"):
        assert house.rows(table, "old") == 0, table
    assert house.run("old") == "old"  # the name is free again


def test_states_projects_and_domains_narrow_the_choice(house: House) -> None:
    house.run("good")
    house.run("bad", end=ExecutionFailed(error=ErrorRecord(kind="user", code="FP-X", message="no")))
    house.run("elsewhere", project="other")
    assert house.prune(apply=False, states=("failed",)).executions == ("bad",)
    assert house.prune(apply=False, project="other").executions == ("elsewhere",)
    assert house.prune(apply=False, domain="production").executions == ()
    assert set(house.prune(apply=False).executions) == {"good", "bad", "elsewhere"}


def test_an_execution_that_another_recovers_from_stays_until_that_has_ended(house: House) -> None:
    house.run("first")
    house.run("second", end=None, recovers="first")
    report = house.prune()
    assert (report.executions, report.needed) == ((), ("first",))
    house.more("second", 0, ExecutionSucceeded())
    assert set(house.prune().executions) == {"first", "second"}


def test_one_that_begins_to_recover_while_it_is_pruned_is_not_robbed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.run("first")
    chosen = retention.chosen

    def chosen_too_early(*arguments: Any) -> Any:
        found = chosen(*arguments)
        house.run("second", end=None, recovers="first")
        return found

    monkeypatch.setattr(retention, "chosen", chosen_too_early)
    report = house.prune()
    assert (report.executions, report.needed) == ((), ("first",))
    assert house.executions() == {"first", "second"}


def test_an_execution_whose_engine_has_not_let_go_stays(house: House) -> None:
    house.run("old", end=None)
    epoch = house.store.acquire("old", "engine", ttl=30)
    house.more("old", epoch, ExecutionSucceeded())
    assert house.prune().executions == ()
    house.store.release("old", "engine", epoch)
    assert house.prune().executions == ("old",)


# --- blobs -------------------------------------------------------------------------------------------------------


def kept_by(house: House) -> dict[str, BlobRef]:
    """A blob for every way in which something can refer to it, each referred to."""
    names = ["value", "part", "deck", "log", "command", "cache", "graph", "made", "called", "manifest", "inside"]
    refs = {name: house.put(name.encode() * 10) for name in names if name != "manifest"}
    refs["manifest"] = house.put(manifest([Entry("a", refs["inside"].digest, refs["inside"].size)]))
    refs["large"] = house.put(canonical_json(["y" * 40_000]))
    mention = {name: {"bound": ref.to_json()} for name, ref in refs.items()}
    literals = [
        Literal.make(STRING, None, format="some", ref=refs["value"]),
        Literal.make(STRING, None, format="directory", ref=refs["manifest"]),
        Literal.make(LiteralType.list_of(STRING), ["x"], refs=[refs["part"]]),
        offload(Literal.make(LiteralType.list_of(STRING), ["y" * 40_000]), house.blobs),
    ]
    os.utime(house.where(refs["large"]), (OLD, OLD))  # putting it again made it young
    house.run(
        "live",
        DeckWritten(node="n0", attempt=1, name="d", deck=Blob.of(refs["deck"])),
        LogWritten(node="n0", attempt=1, log=Blob.of(refs["log"])),
        NodeExpanded(node="n1", spec=house.graph(mention["made"])),
        CallStarted(node="n2", attempt=1, call="n2/0", callee="t", spec=house.graph(mention["called"])),
        literals=literals,
        spec=house.graph(mention["graph"]),
        end=None,
    )
    house.store.post("live", {"type": "signal", "value": {"ref": refs["command"].to_json()}})
    cache = OutputCache(house.path / CACHE_NAME, "shop", "development")
    cache.put("sha256:k", {"o0": Literal.make(STRING, None, format="some", ref=refs["cache"])}, {"task": "t"})
    cache.close()
    return refs


def test_a_blob_stays_while_anything_refers_to_it(house: House) -> None:
    refs = kept_by(house)
    lost = house.put(b"nobody wants me")
    report = house.prune()
    assert (report.blobs, report.executions) == (1, ())
    assert {name for name, ref in refs.items() if not house.holds(ref)} == set()
    assert not house.holds(lost)


def test_blobs_go_with_the_last_that_refers_to_them(house: House) -> None:
    refs = kept_by(house)
    house.more("live", 0, ExecutionSucceeded())
    report = house.prune()
    assert report.executions == ("live",)
    assert {name for name, ref in refs.items() if house.holds(ref)} == {"cache"}
    assert report.graphs == 3


def test_what_is_registered_keeps_its_graph_its_blobs_and_its_code(house: House) -> None:
    ref, other = house.put(b"a default"), house.put(b"of a plan")
    code, unused = house.file(f"bundles/{'a' * 64}/flow.py"), house.file(f"bundles/{'b' * 64}/flow.py")
    inner = house.graph({"plan": other.to_json()})
    identity = Identity("shop", "development", "flow.other", "v1")
    registry = house.store.registry
    registry.register(identity, "workflow", house.graph({"default": ref.to_json()}), f"sha256:{'a' * 64}")
    registry.register(identity, "launch_plan", house.graph({"spec": inner}), f"sha256:{'a' * 64}")
    report = house.prune()
    assert house.holds(ref)
    assert house.holds(other)
    assert code.exists()
    assert not unused.exists()
    assert (report.graphs, report.bundles) == (0, 1)
    assert house.store.get_spec(inner)


def test_code_of_a_task_that_was_referred_to_stays(house: House) -> None:
    code = house.file(f"bundles/{'c' * 64}/lib.py")
    house.run("live", end=None, spec=house.graph({"tasks": {"t": {"bundle": f"sha256:{'c' * 64}"}}}))
    house.prune()
    assert code.exists()


def test_the_blob_of_one_project_is_not_kept_by_another(house: House) -> None:
    ref = house.put(b"same bytes")
    other = BlobFolder(house.path / "blobs", "other", "development")
    theirs = Path(other.put(b"same bytes").uri.removeprefix("file://"))
    os.utime(theirs, (OLD, OLD))
    house.run("live", literals=[Literal.make(STRING, None, format="some", ref=ref)], end=None)
    assert house.prune().blobs == 1
    assert house.holds(ref)
    assert not theirs.exists()


def test_a_young_blob_stays_and_keeps_what_it_mentions(house: House) -> None:
    inside = house.put(b"uploaded hours before its manifest")
    young = house.put(manifest([Entry("a", inside.digest, inside.size)]), at=NOW)
    assert house.prune().blobs == 0
    assert house.holds(inside)
    assert house.holds(young)


def test_what_an_attempt_wrote_long_before_its_end_stays(house: House) -> None:
    written, before = house.put(b"first of two outputs", at=NOW - 5 * 3600), house.put(b"left over", at=NOW - DAY)
    house.run("live", end=None, at=NOW - 7 * 3600)
    epoch = house.store.acquire("live", "engine", ttl=30)
    started = AttemptStarted(node="n0", attempt=1)
    house.more("live", epoch, ExecutionOwned(owner="engine", epoch=epoch), started, at=NOW - 6 * 3600)
    assert house.prune().blobs == 1
    assert house.holds(written)
    assert not house.holds(before)
    house.more("live", epoch, NodeSucceeded(node="n0", attempt=1), at=NOW)
    assert house.prune().blobs == 1
    assert not house.holds(written)


def test_a_blob_that_is_put_again_is_young_again(house: House) -> None:
    small, large = house.put(b"small"), house.put(b"l" * 2_000_000)
    assert house.blobs.put(b"small") == small
    assert house.blobs.put(b"l" * 2_000_000) == large
    assert house.prune().blobs == 0
    assert house.blobs.get(large) == b"l" * 2_000_000


def test_a_blob_put_again_between_look_and_removal_stays(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    ref, lost = house.put(b"wanted again"), house.put(b"not wanted")
    from flytepath.store.garbage import Home

    removing = Home.remove_blobs

    def late(self: Home, blobs: Any) -> Any:
        house.blobs.put(b"wanted again")
        return removing(self, blobs)

    monkeypatch.setattr(Home, "remove_blobs", late)
    assert house.prune().blobs == 1
    assert house.holds(ref)
    assert not house.holds(lost)


def test_graphs_stay_while_something_runs_that_makes_graphs(house: House) -> None:
    ref = house.put(b"bound in a graph")
    made = house.graph({"bound": ref.to_json()})
    house.run("old", NodeExpanded(node="n0", spec=made))
    house.run("live", end=None, spec=house.graph({"tasks": {"t": {"mode": "dynamic"}}}), at=NOW)
    epoch = house.store.acquire("live", "engine", ttl=30)
    house.more("live", epoch, AttemptStarted(node="n0", attempt=1), at=NOW)
    assert house.prune(apply=False).graphs == 0
    assert house.prune().graphs == 0
    assert house.holds(ref)  # the attempt may be about to give this very graph
    house.more("live", epoch, ExecutionSucceeded(), at=OLD)
    house.store.release("live", "engine", epoch)
    house.prune()
    assert not house.holds(ref)
    with pytest.raises(NotFoundError):
        house.store.get_spec(made)


def test_a_home_whose_database_knows_nothing_keeps_its_blobs(tmp_path: Path) -> None:
    blobs = BlobFolder(tmp_path / "blobs", "shop", "development")
    path = Path(blobs.put(b"of the database that was left out").uri.removeprefix("file://"))
    os.utime(path, (OLD, OLD))
    with Keeper(tmp_path) as keeper:
        report = keeper.prune(0, apply=True)
    assert path.exists()
    assert "may not be the one of this home" in report.blobs_kept_because


def test_a_home_that_is_kept_for_one_database_is_not_cleared_for_another(
    filed: House, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = filed.put(b"the file knows nothing of it")
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("FLYTEPATH_DATABASE", postgres.database())
        with open_store(filed.path) as store:
            house = House(filed.path, store)
            assert "store.db" in house.prune().blobs_kept_because  # the file may know it
            (filed.path / "store.db").rename(filed.path / "away.db")
            house.run("live", literals=[Literal.make(STRING, None, format="some", ref=ref)], end=None)
            assert house.prune().blobs_kept_because == ""
            (filed.path / "away.db").rename(filed.path / "store.db")
    report = filed.prune()
    assert "postgresql" in report.blobs_kept_because
    assert filed.holds(ref)
    (filed.path / "kept-for").unlink()
    assert filed.prune().blobs == 1


def test_a_damaged_output_cache_keeps_nothing_and_stops_nothing(house: House) -> None:
    (house.path / CACHE_NAME).write_bytes(b"no database at all" * 1000)
    ref = house.put(b"only the cache would know")
    assert house.prune().blobs == 1
    assert not house.holds(ref)


# --- files -------------------------------------------------------------------------------------------------------


def test_what_killed_processes_left_goes_and_what_lives_stays(house: House) -> None:
    house.run("ended", at=NOW - DAY)
    house.run("live", end=None)
    gone = [
        house.file("blobs/shop/development/drafts/abandoned"),
        house.file("bundles/.new-xyz/flow.py"),
        house.file("attempts/ended/n0/1/scratch"),
        house.file("logs/never-heard-of/n0/1.log"),
        house.file("outputs/never-heard-of/n0/1/file"),
    ]
    stays = [
        house.file("blobs/shop/development/drafts/being-written", at=NOW),
        house.file("bundles/.new-abc/flow.py", at=NOW),
        house.file("attempts/live/n0/1/scratch"),
        house.file("checkpoints/ended/n0/1/state"),
        house.file("outputs/ended/n0/1/file"),
        house.file("outputs/just-made/n0/1/file", at=NOW),
    ]
    house.prune()
    assert [path for path in gone if path.exists()] == []
    assert [path for path in stays if not path.exists()] == []


def test_files_that_something_else_refers_to_stay(house: House) -> None:
    house.run("old")
    wanted, unwanted = house.file("outputs/old/n0/1/table"), house.file("checkpoints/old/n0/1/state")
    ref = BlobRef(wanted.as_uri(), sha256(b"content"), 7)
    house.run("live", literals=[Literal.make(STRING, None, format="some", ref=ref)], end=None)
    assert house.prune().executions == ("old",)
    assert wanted.exists()
    assert not unwanted.exists()


# --- interrupted -------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for SIGKILL: nothing of the program runs after it."""


def steps(monkeypatch: pytest.MonkeyPatch, at: int) -> Callable[[], int]:
    """Die at step ``at`` of what changes anything; gives how many there were."""
    from flytepath.store import garbage
    from flytepath.store.database import Database
    from flytepath.store.garbage import Home

    count = 0

    def dying(original: Any) -> Any:
        def step(*arguments: Any, **named: Any) -> Any:
            nonlocal count
            count += 1
            if count == at:
                raise Killed
            return original(*arguments, **named)

        return step

    monkeypatch.setattr(Database, "write", dying(Database.write))
    monkeypatch.setattr(garbage, "remove", dying(garbage.remove))
    for name in ("_is_removed", "remove_bundle"):
        monkeypatch.setattr(Home, name, dying(getattr(Home, name)))
    return lambda: count


def furnish(house: House) -> tuple[list[BlobRef], list[BlobRef]]:
    lost, kept = [], []
    for n in range(4):
        lost.append(house.put(b"lost %d" % n))
        kept.append(house.put(b"kept %d" % n))
        old = Literal.make(STRING, None, format="some", ref=lost[-1])
        house.run(f"old-{n}", literals=[old, *(Literal.make(INTEGER, 10 * n + m) for m in range(5))])
        house.run(f"new-{n}", literals=[Literal.make(STRING, None, format="some", ref=kept[-1])], at=NOW)
        house.file(f"outputs/old-{n}/n0/1/file")
        house.file(f"checkpoints/old-{n}/n0/1/file")
    house.file(f"bundles/{'d' * 64}/flow.py")
    return lost, kept


def kill_at(house: House, step: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Kill a prune at ``step``, check what there is, prune again and check that all is done; false past the end."""
    lost, kept = furnish(house)
    with monkeypatch.context() as patched:
        count = steps(patched, step)
        with suppress(Killed):
            house.prune()
    for execution in house.executions():  # half-way, what is still in the list is whole
        assert len(house.store.read(execution)) == 2
    assert house.store.rebuild_projections() == len(house.executions())
    house.prune()
    assert house.executions() == {f"new-{n}" for n in range(4)}
    assert not any(house.holds(ref) for ref in lost)
    assert all(house.holds(ref) for ref in kept)
    assert all(house.rows(table, f"old-{n}") == 0 for table in ("events", "literals", "leases") for n in range(4))
    assert [path for kind in ("outputs", "checkpoints") for path in (house.path / kind).iterdir()] == []
    assert not (house.path / "bundles" / ("d" * 64)).exists()
    return count() >= step


def kill_everywhere(folder: Path, fresh: Callable[[], None], every: int, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(retention, "ROWS", 2)
    step = 1
    while True:
        fresh()
        with open_store(folder / f"home-{step}") as store:
            if not kill_at(House(folder / f"home-{step}", store), step, monkeypatch):
                return step
        step += every


def test_a_prune_that_is_killed_is_simply_run_again(
    tmp_path: Path, fresh: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kill_everywhere(tmp_path, fresh, 11, monkeypatch) > 20


@pytest.mark.proof
def test_a_prune_that_is_killed_anywhere_is_simply_run_again(
    tmp_path: Path, fresh: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kill_everywhere(tmp_path, fresh, 1, monkeypatch) > 20


def test_the_name_of_a_half_pruned_execution_is_taken_until_it_is_gone(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.run("nightly", literals=[Literal.make(INTEGER, 1)])
    with monkeypatch.context() as patched, pytest.raises(Killed):
        steps(patched, 2)
        house.prune()
    assert house.executions() == set()
    with pytest.raises(StoreError):
        house.run("nightly", at=NOW)
    report = house.prune()
    assert (report.executions, report.finished) == ((), ("nightly",))
    house.run("nightly", at=NOW)


def test_pruning_takes_turns_with_those_who_write(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "ROWS", 50)
    for n in range(20):
        house.run(f"old-{n}", *[NodeSucceeded(node=f"n{m}", attempt=1) for m in range(40)])
    before = house.store.commits
    with Keeper(house.path) as keeper:
        report = keeper.prune(90 * DAY, apply=True)
        assert keeper._store.commits >= 20
    assert len(report.executions) == 20
    assert house.store.commits == before


def test_the_space_comes_back(filed: House) -> None:
    for n in range(50):
        filed.run(f"old-{n}", literals=[Literal.make(STRING, f"{n}" * 20_000)])
    database = filed.path / "store.db"
    filed.prune(vacuum=True)
    small = database.stat().st_size
    assert small < 500_000
    assert (filed.path / "store.db-wal").stat().st_size == 0
    filed.run("after", at=NOW)
    assert filed.executions() == {"after"}


# --- erasing -----------------------------------------------------------------------------------------------------


def secretive(house: House, execution: str = "x1", secret: str = "4929 1234 5678 9012") -> Literal:
    literal = Literal.make(STRING, secret)
    given = {"node": "n0", "attempt": 1}
    house.run(
        execution,
        AttemptStarted(**given, inputs={"card": literal.digest}),
        NodeSucceeded(**given, outputs={"o0": literal.digest}),
        literals=[literal],
        end=ExecutionSucceeded(outputs={"o0": literal.digest}),
        inputs={"card": literal.digest},
        at=NOW,
    )
    return literal


@pytest.mark.parametrize(
    "which",
    [{"node": "n0", "variable": "o0"}, {"variable": "card"}, {"variable": "o0"}, {"node": "n0", "variable": "card"}],
)
def test_an_erased_value_is_gone_and_the_record_says_who_wanted_it(house: House, which: dict[str, str]) -> None:
    literal = secretive(house)
    report = house.erase("x1", **which)
    assert (report.digest, report.type) == (literal.digest, "string")
    left = house.store.literal("x1", literal.digest)
    assert left.is_erased
    assert (left.type, left.digest, left.data) == (STRING, literal.digest, None)
    last = house.store.read("x1")[-1]
    assert (last.payload.type, last.payload.digest, last.actor.name) == ("value_erased", literal.digest, "ada")
    assert house.executions() == {"x1"}
    assert house.store.executions()[0].state == "succeeded"
    assert house.store.owner("x1") is None


def test_an_erased_value_is_in_no_file_of_the_home(filed: House) -> None:
    secret = "4929 1234 5678 9012"
    literal = secretive(filed, secret=secret)
    cache = OutputCache(filed.path / CACHE_NAME, "shop", "development")
    cache.put("sha256:k", {"o0": literal}, {"task": "t"})
    shown = {"card": secret}
    cache.put("sha256:l", {"o0": Literal.make(INTEGER, 1)}, {"task": "t", "inputs": [literal.digest], "shown": shown})
    cache.close()
    filed.erase("x1", digest=literal.digest)
    holding = [path for path in filed.path.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert holding == []


def test_a_value_can_be_named_by_the_first_digits_of_its_digest(house: House) -> None:
    literal = secretive(house)
    assert house.erase("x1", digest=literal.digest[7:17]).digest == literal.digest
    with pytest.raises(UsageError, match="too little"):
        house.erase("x1", digest="ab")
    with pytest.raises(NotFoundError, match="keeps no value"):
        house.erase("x1", digest="00000000000")


def test_an_item_of_a_map_has_values_too(house: House) -> None:
    literal = Literal.make(INTEGER, 5)
    house.run("x1", ItemsSucceeded(node="n0", names=("o0",), items=((3, 1, (literal.digest,)),)), literals=[literal])
    assert house.erase("x1", node="n0/3", variable="o0").digest == literal.digest


def test_the_blobs_of_an_erased_value_go_unless_something_else_has_them(house: House) -> None:
    shared, own, inside = house.put(b"shared"), house.put(b"own"), house.put(b"inside")
    folder = house.put(manifest([Entry("a", inside.digest, inside.size), Entry("b", shared.digest, shared.size)]))
    literal = Literal.make(STRING, ["x"], refs=[own, folder])
    house.run("x1", literals=[literal])
    house.run("x2", literals=[Literal.make(STRING, None, format="some", ref=shared)])
    report = house.erase("x1", digest=literal.digest)
    assert (report.blobs, report.blobs_kept) == (3, 1)
    assert [house.holds(ref) for ref in (shared, own, inside, folder)] == [True, False, False, False]


def test_a_large_value_that_was_erased_is_gone_with_its_blob(house: House) -> None:
    literal = offload(Literal.make(STRING, "s" * 50_000), house.blobs)
    house.run("x1", literals=[literal])
    assert house.erase("x1", digest=literal.digest).blobs == 1
    left = house.store.literal("x1", literal.digest)
    assert left.format == ERASED_FORMAT
    assert inline(left, house.blobs) == left


def test_files_of_an_erased_value_outside_the_blobs_go_too(house: House) -> None:
    path, theirs = house.file("outputs/x1/n0/1/table"), house.path.parent / "theirs"
    theirs.write_bytes(b"of the user's own")
    refs = [BlobRef(each.as_uri(), sha256(each.read_bytes()), 7) for each in (path, theirs)]
    literal = Literal.make(STRING, ["x"], refs=refs)
    house.run("x1", literals=[literal])
    assert house.erase("x1", digest=literal.digest).blobs == 1
    assert not path.exists()
    assert theirs.exists()


def test_who_else_keeps_the_value_is_said(house: House) -> None:
    literal = secretive(house)
    secretive(house, "x2")
    assert house.erase("x1", digest=literal.digest).also_in == ("x2",)
    assert not house.store.literal("x2", literal.digest).is_erased
    assert house.erase("x2", digest=literal.digest).also_in == ()


def test_erasing_again_tells_the_log_nothing_new(house: House) -> None:
    literal = secretive(house)
    house.erase("x1", digest=literal.digest)
    count = house.store.last_seq("x1")
    house.erase("x1", digest=literal.digest)
    assert house.store.last_seq("x1") == count


def test_an_execution_with_an_erased_value_is_as_old_as_its_end(house: House) -> None:
    literal = Literal.make(INTEGER, 1)
    house.run("x1", literals=[literal])
    house.erase("x1", digest=literal.digest)
    assert house.prune().executions == ("x1",)


def test_a_value_that_may_be_needed_is_not_erased(house: House) -> None:
    literal = Literal.make(INTEGER, 1)
    house.run("x1", literals=[literal], end=None)
    with pytest.raises(ExecutionStateError, match="has not ended"):
        house.erase("x1", digest=literal.digest)
    assert house.store.literal("x1", literal.digest) == literal


def test_what_is_not_there_cannot_be_erased(house: House) -> None:
    secretive(house)
    with pytest.raises(NotFoundError, match="no execution"):
        house.erase("x9", variable="o0")
    with pytest.raises(NotFoundError, match="no value 'o1'") as wrong_variable:
        house.erase("x1", node="n0", variable="o1")
    assert "card, o0" in str(wrong_variable.value)
    with pytest.raises(NotFoundError, match="no value of 'n7'") as wrong_node:
        house.erase("x1", node="n7", variable="o0")
    assert "n0" in str(wrong_node.value)
    with pytest.raises(UsageError, match="name the value"):
        house.erase("x1")
    with pytest.raises(UsageError, match="name the value"):
        house.erase("x1", variable="o0", digest="sha256:0123456789")


def test_a_name_that_means_two_values_is_asked_back(house: House) -> None:
    one, two = Literal.make(INTEGER, 1), Literal.make(INTEGER, 2)
    house.run(
        "x1",
        AttemptStarted(node="n0", attempt=1, inputs={"x": one.digest}),
        NodeSucceeded(node="n0", attempt=1, outputs={"x": two.digest}),
        literals=[one, two],
    )
    with pytest.raises(UsageError, match="more than one value") as caught:
        house.erase("x1", node="n0", variable="x")
    assert one.digest in str(caught.value)


# --- lengths of time ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"), [("30s", 30), ("15m", 900), ("12h", 43200), ("90d", 90 * DAY), ("4w", 28 * DAY)]
)
def test_lengths_of_time(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "90", "d", "-1d", "1y", "1d2h", "nan d", "1e5d"])
def test_what_is_no_length_of_time(text: str) -> None:
    with pytest.raises(UsageError, match="no length of time"):
        seconds(text)
