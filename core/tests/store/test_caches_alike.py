"""What every output cache does alike: the file of a home, and the database of engines on SQLite and PostgreSQL."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flytepath.model.cache_key import KeyParts
from flytepath.model.literal import BlobRef, Literal
from flytepath.model.task import Interface, Variable
from flytepath.model.types import INTEGER, LiteralType
from flytepath.store.cache_entry import RESERVED_SECONDS, facts_of, told_of
from flytepath.store.events import Store, open_store
from flytepath.store.output_cache import OutputCache
from flytepath.store.shared_outputs import SharedOutputs

OUTPUTS = {
    "o0": Literal.make(INTEGER, 3),
    "o1": Literal.make(LiteralType("file"), None, format="file", ref=BlobRef("file:///x", "sha256:1", 3)),
}
INTERFACE = Interface(inputs=(Variable(name="a", type=INTEGER),))


class Home:
    """Makes caches of one kind that share their results."""

    def __init__(self, kind: str, folder: Path, url: str | None) -> None:
        self.kind = kind
        self.folder = folder
        self.now: float | None = None
        self._url = url
        self.open: list[Any] = []

    def clock(self) -> float:
        return time.time() if self.now is None else self.now

    def pass_time(self, seconds: float) -> None:
        """Let time go by; the clock of a server cannot be set, so there the ends of reservations are."""
        if self.kind == "postgres":
            change = f"UPDATE reservations SET expires_at = expires_at - {seconds}"
            self.store().database.write(lambda connection: connection.exec_driver_sql(change).rowcount)
        else:
            self.now = self.clock() + seconds

    def cache(self, project: str = "p", domain: str = "d") -> Any:
        if self.kind == "file":
            made: Any = OutputCache(self.folder / "cache.db", project, domain, clock=self.clock)
            self.open.append(made)
            return made
        return SharedOutputs(self.store().database, project, domain, clock=self.clock)

    def store(self) -> Store:
        store = open_store(self.folder, url=self._url)
        self.open.append(store)
        return store


@pytest.fixture(params=["file", "sqlite", "postgres"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Home]:
    url = request.getfixturevalue("postgres").database() if request.param == "postgres" else None
    made = Home(request.param, tmp_path, url)
    yield made
    for each in made.open:
        each.close()


def test_what_one_puts_another_finds(home: Home) -> None:
    ours, theirs = home.cache(), home.cache()
    assert ours.get("k") is None
    assert ours.entry("k") is None
    ours.put("k", {"o0": OUTPUTS["o0"]})
    ours.put("k", OUTPUTS, {"task": "t"})
    assert theirs.get("k") == OUTPUTS
    theirs.forget("k")
    theirs.forget("k")
    assert ours.get("k") is None


def test_projects_and_domains_do_not_see_each_other(home: Home) -> None:
    ours, theirs = home.cache("a", "development"), home.cache("a", "production")
    ours.put("k", OUTPUTS)
    assert ours.reserve("k", "one") is None
    assert theirs.get("k") is None
    assert theirs.entries() == []
    assert theirs.reserve("k", "two") is None
    assert theirs.clear() == 0
    theirs.forget("k")
    assert ours.get("k") == OUTPUTS


def test_facts_are_kept_and_read_back(home: Home) -> None:
    cache = home.cache()
    value = Literal.make(INTEGER, 3)
    parts = KeyParts.of(
        task="flow.t", interface=INTERFACE, version="1", inputs={"a": value.digest}, ignored=["a"], salt="s"
    )
    facts = facts_of(parts, INTERFACE, told_of({"a": value}), execution="x", node="n0/3", dropped="file:///gone")
    cache.put(parts.key, OUTPUTS, facts)
    entry = cache.entry(parts.key)
    assert (entry.task, entry.execution, entry.node, entry.dropped) == ("flow.t", "x", "n0/3", "file:///gone")
    assert (entry.parts, entry.shown, entry.signature) == (parts, {"a": "3"}, "(a: integer) -> ()")
    assert abs(entry.stored_at - time.time()) < 600
    assert cache.entries() == [entry]


def test_entries_are_listed_newest_first_and_cleared_by_task_and_age(home: Home) -> None:
    cache = home.cache()
    for n in range(6):
        home.now = 1000.0 + n
        cache.put(f"k{n}", OUTPUTS, {"task": f"t{n % 2}"})
    assert [entry.key for entry in cache.entries(limit=4)][:1] == ["k5"]
    assert [entry.key for entry in cache.entries("t0")] == ["k4", "k2", "k0"]
    assert cache.entries("t") == []
    times = {entry.key: entry.stored_at for entry in cache.entries()}
    assert cache.clear("t0", before=times["k4"]) == 2
    assert [entry.key for entry in cache.entries()] == ["k5", "k4", "k3", "k1"]
    assert cache.clear(before=times["k3"]) == 1
    assert cache.clear("t1") == 2
    assert cache.clear() == 1
    assert cache.entries() == []


def test_one_reserves_and_the_others_are_told_who(home: Home) -> None:
    ours, theirs = home.cache(), home.cache()
    assert ours.reserve("k", "one", execution="x", node="n0/1") is None
    assert ours.reserve("k", "one", execution="x", node="n0/2") is None
    found = theirs.reserve("k", "two")
    assert (found.holder, found.execution, found.node) == ("one", "x", "n0/2")
    theirs.release("k", "two")
    theirs.renew("two", ["k"])
    assert theirs.reserve("k", "two").holder == "one"
    assert theirs.reserve("other", "two") is None
    ours.release("k", "one")
    assert theirs.reserve("k", "two") is None
    assert ours.reserve("k", "one").holder == "two"


def test_one_that_is_gone_is_replaced_but_only_that_one(home: Home) -> None:
    cache = home.cache()
    assert cache.reserve("k", "dead") is None
    assert cache.reserve("k", "two", instead_of="dead") is None
    assert cache.reserve("k", "three", instead_of="dead").holder == "two"


def test_a_reservation_runs_out_unless_it_is_renewed(home: Home) -> None:
    cache = home.cache()
    assert cache.reserve("k", "one") is None
    home.pass_time(RESERVED_SECONDS - 5)
    cache.renew("one", ["k", "unknown"])
    home.pass_time(RESERVED_SECONDS - 5)
    assert cache.reserve("k", "two").holder == "one"
    home.pass_time(10)
    assert cache.reserve("k", "two") is None
    cache.renew("one", ["k"])
    assert cache.reserve("k", "one").holder == "two"


def test_of_many_that_race_one_wins(home: Home) -> None:
    caches = [home.cache() for _ in range(4)]
    for turn in range(10):
        assert caches[0].reserve(f"k{turn}", "dead") is None
        barrier, won = threading.Barrier(len(caches)), []

        def race(n: int, turn: int = turn, barrier: threading.Barrier = barrier, won: list[int] = won) -> None:
            barrier.wait(10)
            if caches[n].reserve(f"k{turn}", f"holder {n}", instead_of="dead") is None:
                won.append(n)

        threads = [threading.Thread(target=race, args=(n,)) for n in range(len(caches))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert len(won) == 1


def test_those_that_reserve_crosswise_all_get_an_answer(home: Home) -> None:
    caches = [home.cache() for _ in range(3)]
    keys = [f"k{n}" for n in range(30)]
    won: list[tuple[int, str]] = []

    def work(n: int) -> None:
        for key in keys if n % 2 else reversed(keys):
            if caches[n].reserve(key, f"holder {n}") is None:
                won.append((n, key))
                caches[n].put(key, {"o0": OUTPUTS["o0"]}, {"task": "t"})

    threads = [threading.Thread(target=work, args=(n,)) for n in range(len(caches))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(key for _, key in won) == sorted(keys)
    assert len(caches[0].entries()) == len(keys)


def test_a_database_that_is_closed_is_a_miss_and_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with open_store(tmp_path) as store:
        cache = SharedOutputs(store.database)
    with caplog.at_level(logging.WARNING, "flytepath"):
        assert cache.get("k") is None
        cache.put("k", OUTPUTS)
        assert cache.reserve("k", "one") is None
        cache.release("k", "one")
        assert (cache.entries(), cache.entry("k"), cache.clear()) == ([], None, 0)
    assert caplog.text.count("cannot be used") == 1


def test_a_row_that_cannot_be_read_is_a_miss(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        cache = SharedOutputs(store.database)
        cache.put("k", OUTPUTS, {"task": "t"})
        store.database.write(lambda c: c.exec_driver_sql("UPDATE outputs SET body = '[1', facts = '7'") and None)
        assert cache.get("k") is None
        entry = cache.entry("k")
        assert entry is not None
        assert (entry.task, entry.parts) == ("t", None)


# --- the file only -----------------------------------------------------------------------------------------------


def test_a_file_that_is_removed_while_it_is_open_is_made_again(tmp_path: Path) -> None:
    ours, theirs = OutputCache(tmp_path / "cache.db"), OutputCache(tmp_path / "cache.db")
    ours.put("k", OUTPUTS)
    assert theirs.get("k") == OUTPUTS
    for path in tmp_path.iterdir():
        path.unlink()
    assert ours.get("k") is None
    assert not (tmp_path / "cache.db").exists()
    assert ours.reserve("k", "one") is None
    assert theirs.reserve("k", "two") is not None
    ours.put("k", OUTPUTS)
    assert theirs.get("k") == OUTPUTS
    ours.close()
    theirs.close()


def test_a_file_of_an_older_version_is_made_anew(tmp_path: Path) -> None:
    import sqlite3

    connection = sqlite3.connect(tmp_path / "cache.db")
    connection.execute("CREATE TABLE outputs (key TEXT PRIMARY KEY, body TEXT)")
    connection.execute("INSERT INTO outputs VALUES ('k', 'x')")
    connection.commit()
    connection.close()
    cache = OutputCache(tmp_path / "cache.db")
    assert cache.get("k") is None
    cache.put("k", OUTPUTS)
    assert cache.get("k") == OUTPUTS
    cache.close()


def test_a_file_of_a_newer_release_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    import sqlite3

    connection = sqlite3.connect(tmp_path / "cache.db", isolation_level=None)
    connection.execute("CREATE TABLE results (key TEXT)")
    connection.execute("PRAGMA user_version = 99")
    cache = OutputCache(tmp_path / "cache.db")
    with caplog.at_level(logging.WARNING, "flytepath"):
        cache.put("k", OUTPUTS)
        assert cache.get("k") is None
        assert cache.reserve("k", "one") is None
    assert "newer release" in caplog.text
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("results",)]
    connection.close()
    cache.close()


def test_clearing_removes_a_damaged_file(tmp_path: Path) -> None:
    (tmp_path / "cache.db").write_bytes(b"this is no database" * 1000)
    cache = OutputCache(tmp_path / "cache.db")
    assert cache.get("k") is None
    assert cache.clear() == 0
    cache.put("k", OUTPUTS)
    assert cache.get("k") == OUTPUTS
    cache.close()


def test_many_threads_may_find_a_new_file_at_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caches = [OutputCache(tmp_path / "cache.db") for _ in range(12)]
    barrier, won = threading.Barrier(len(caches)), []

    def reserve(n: int) -> None:
        barrier.wait(10)
        if caches[n].reserve("k", f"holder {n}") is None:
            won.append(n)

    threads = [threading.Thread(target=reserve, args=(n,)) for n in range(len(caches))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(won) == 1
    assert caplog.records == []
    for cache in caches:
        cache.close()
