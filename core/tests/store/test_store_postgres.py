"""PostgreSQL: where it is, what it says no to, and a server that goes away and comes back."""

from __future__ import annotations

import subprocess
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest
from flytepath.config import database_url
from flytepath.errors import (
    ConfigError,
    ExecutionStateError,
    SequenceConflictError,
    StoreError,
    StoreUnavailableError,
)
from flytepath.model.literal import Literal
from flytepath.model.types import INTEGER
from flytepath.store import migrate
from flytepath.store.database import Database
from flytepath.store.events import Store, open_store
from flytepath.store.postgres import Postgres
from flytepath.testing.postgres import PostgresServer
from store_logs import created, noted, start, wait_until

SECRET = "s3cret/p@ss word"
QUOTED = "s3cret%2Fp%40ss%20word"


def structure(url: str) -> list[tuple[object, ...]]:
    database = Database(Postgres(url))
    columns = (
        "SELECT table_name, column_name, data_type, character_maximum_length, is_nullable "
        "FROM information_schema.columns WHERE table_schema = current_schema() ORDER BY 1, ordinal_position"
    )
    indexes = (
        "SELECT tablename, indexname, replace(indexdef, current_schema() || '.', '') FROM pg_indexes "
        "WHERE schemaname = current_schema() ORDER BY 1, 2"
    )
    found = [
        tuple(row)
        for query in (columns, indexes)
        for row in database.read(lambda c, q=query: c.exec_driver_sql(q).all())
    ]
    database.close()
    return found


def test_a_database_made_at_once_is_the_one_the_migrations_lead_to(
    tmp_path: Path, postgres: PostgresServer, postgres_url: str
) -> None:
    open_store(tmp_path, url=postgres_url).close()
    migrated = postgres.database()
    database = Database(Postgres(migrated))
    database.alone(migrate.upgrade)
    database.close()
    assert structure(migrated) == structure(postgres_url)
    assert any(row[0] == "events" for row in structure(migrated))


def test_the_database_is_named_by_the_configuration(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLYTEPATH_DATABASE", postgres_url)
    with open_store(tmp_path / "one") as store:
        store.create("x", [created("x")])
    with open_store(tmp_path / "two") as store:
        assert store.last_seq("x") == 1
    assert not (tmp_path / "one" / "store.db").exists()


@pytest.mark.parametrize("where", ["home", "folder", "project"])
def test_the_configuration_is_an_environment_variable_or_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    folder, home = tmp_path / "work", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    monkeypatch.chdir(folder)
    assert database_url(home_folder=home) is None
    path = {"home": home / "flytepath.toml", "folder": folder / "flytepath.toml", "project": folder / "pyproject.toml"}[
        where
    ]
    table = "tool.flytepath.store" if where == "project" else "store"
    path.write_text(f'[{table}]\ndatabase = "postgresql://file/db"\n')
    assert database_url(home_folder=home) == "postgresql://file/db"
    monkeypatch.setenv("FLYTEPATH_DATABASE", "postgresql://variable/db")
    assert database_url(home_folder=home) == "postgresql://variable/db"
    monkeypatch.setenv("FLYTEPATH_DATABASE", "")
    path.write_text(f"[{table}]\ndatabase = 5\n")
    with pytest.raises(ConfigError, match="database"):
        database_url(home_folder=home)
    path.write_text(f'[{table}]\ndatabases = "a"\n')
    with pytest.raises(ConfigError) as caught:
        database_url(home_folder=home)
    assert "'database'" in (caught.value.hint or "")


def test_asking_where_the_database_is_parses_nothing_where_nothing_is_said(tmp_path: Path) -> None:
    (tmp_path / "flytepath.toml").write_text("[types]\nallow_pickle = false\n")
    program = (
        "import sys; from flytepath.config import database_url; database_url();"
        "print([name for name in ('tomllib', 'pydantic') if name in sys.modules])"
    )
    said = subprocess.check_output([sys.executable, "-c", program], text=True, cwd=tmp_path)
    assert said.strip() == "[]"


@pytest.mark.parametrize(
    "url",
    [
        f"mysql://ada:{QUOTED}@127.0.0.1/db",
        f"postgresql://ada:{QUOTED}@127.0.0.1",
        f"//ada:{QUOTED}",
        f"ada:{QUOTED}@127.0.0.1/db",
        f"postgresql://ada:{QUOTED}@127.0.0.1:port/db",
        "sqlite:///other.db",
    ],
)
def test_a_url_that_is_none_is_refused_and_not_repeated(tmp_path: Path, url: str) -> None:
    with pytest.raises(StoreError) as caught:
        open_store(tmp_path, url=url)
    assert not isinstance(caught.value, StoreUnavailableError)
    assert "FLYTEPATH_DATABASE" in (caught.value.hint or "")
    assert_no_secret(caught.value)


def assert_no_secret(error: BaseException) -> None:
    told = "".join(traceback.format_exception(error)) + repr(error)
    assert SECRET not in told
    assert QUOTED not in told


@pytest.mark.parametrize(
    "form", [f"ada:{QUOTED}@{{}}", f"ada@{{}}?password={QUOTED}", f"ada@{{}}?sslpassword={QUOTED}"]
)
def test_a_password_is_shown_nowhere(
    tmp_path: Path, postgres: PostgresServer, form: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    address = postgres.url.split("@")[1].split("/")[0]
    place, _, query = form.partition("?")
    for database in ("nowhere", "postgres"):
        url = f"postgresql://{place.format(address)}/{database}" + (f"?{query}" if query else "")
        with pytest.raises(StoreError) as caught:
            open_store(tmp_path, url=url)
        assert not isinstance(caught.value, StoreUnavailableError), "the server answered"
        assert_no_secret(caught.value)
        dialect = Postgres(url)
        shown = f"{dialect!r} {vars(dialect)['url']!r} {dialect.place} {dialect.engines()}"
        assert SECRET not in shown
        assert QUOTED not in shown
    assert SECRET not in caplog.text
    assert QUOTED not in caplog.text


def test_a_server_that_is_not_there_may_come_back(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError) as caught:
        open_store(tmp_path, url=f"postgresql://ada:{QUOTED}@127.0.0.1:1/db")
    assert caught.value.code == "FP-STORE-UNAVAILABLE"
    assert caught.value.place == "postgresql://ada:***@127.0.0.1:1/db"
    assert_no_secret(caught.value)


def test_a_database_that_does_not_exist_is_not_waited_for(tmp_path: Path, postgres: PostgresServer) -> None:
    with pytest.raises(StoreError) as caught:
        open_store(tmp_path, url=postgres.url.replace("/postgres", "/nowhere").replace("://postgres@", "://postgres@"))
    assert type(caught.value) is StoreError
    assert "nowhere" in (caught.value.actual or "")


def test_without_the_driver_the_extra_is_named(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from pathlib import Path; from flytepath.errors import StoreError\n"
        "from flytepath.store.events import open_store\n"
        f"try: open_store(Path({str(tmp_path)!r}), url='postgresql://ada:{QUOTED}@127.0.0.1:1/db')\n"
        "except StoreError as error: print(type(error).__name__, error.hint, error)\n"
    )
    said = subprocess.check_output([sys.executable, "-W", "error", "-c", program], text=True)
    assert said.startswith("StoreError pip install 'flytepath[postgres]'")
    assert QUOTED not in said


def test_a_database_of_a_newer_release_asks_for_an_upgrade(tmp_path: Path, postgres_url: str) -> None:
    with open_store(tmp_path, url=postgres_url) as store:
        store.database.write(lambda c: c.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'") and None)
    with pytest.raises(StoreError, match="newer release") as caught:
        open_store(tmp_path, url=postgres_url)
    assert "upgrade" in (caught.value.hint or "")


def test_somebody_elses_database_is_left_alone(tmp_path: Path, postgres_url: str) -> None:
    database = Database(Postgres(postgres_url))
    database.write(lambda c: c.exec_driver_sql("CREATE TABLE mine (a int)") and None)
    database.close()
    before = structure(postgres_url)
    with pytest.raises(StoreError, match="not made by FlytePath"):
        open_store(tmp_path, url=postgres_url)
    assert structure(postgres_url) == before


OPENS = """
import sys
from pathlib import Path
from flytepath.store import migrate
from flytepath.store.events import open_store
home, url, name = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
done = []
made, upgraded = migrate._create, migrate.upgrade
migrate._create = lambda connection: (done.append("created"), made(connection))
migrate.upgrade = lambda connection: (done.append("upgraded"), upgraded(connection))
import sqlalchemy.dialects.postgresql.psycopg, alembic.command
print("ready", flush=True)
sys.stdin.readline()
from store_logs import created
with open_store(home, url=url) as store:
    store.create(name, [created(name)])
print(*done)
"""


@pytest.mark.parametrize("state", ["empty", "old"])
def test_engines_that_open_a_database_at_once_bring_it_up_to_date_once(
    tmp_path: Path, postgres_url: str, state: str
) -> None:
    if state == "old":
        database = Database(Postgres(postgres_url))
        database.alone(lambda connection: upgrade_to(connection, "0001"))
        database.close()
    command = [sys.executable, "-W", "error", "-c", OPENS, str(tmp_path), postgres_url]
    pipe = subprocess.PIPE
    processes = [
        subprocess.Popen(
            [*command, f"x{number}"], stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=Path(__file__).parent
        )
        for number in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [err for _, err in outputs] == [""] * 3
    assert sorted(out.strip() for out, _ in outputs) == ["", "", "created" if state == "empty" else "upgraded"]
    with open_store(tmp_path, url=postgres_url) as store:
        assert len(store.executions()) == 3


def upgrade_to(connection: object, revision: str) -> None:
    import alembic.command
    import alembic.config

    config = alembic.config.Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    alembic.command.upgrade(config, revision)


def test_a_commit_waits_for_the_disk_whatever_the_server_is_told(tmp_path: Path, postgres: PostgresServer) -> None:
    url = postgres.database()
    database = Database(Postgres(url))
    name = url.rsplit("/", 1)[1]
    database.write(lambda c: c.exec_driver_sql(f"ALTER DATABASE {name} SET synchronous_commit = off") and None)
    database.close()
    with open_store(tmp_path, url=url) as store:
        assert store.database.write(lambda c: c.exec_driver_sql("SHOW synchronous_commit").scalar()) == "on"


def test_reads_see_one_state(tmp_path: Path, postgres_url: str) -> None:
    with open_store(tmp_path, url=postgres_url) as store:
        store.create("x", [created("x")])

        def query(connection: object) -> tuple[int, int]:
            count = "SELECT count(*) FROM events"
            first = connection.exec_driver_sql(count).scalar()  # type: ignore[attr-defined]
            store.append("x", first, 0, [noted("x", first + 1)])
            return first, connection.exec_driver_sql(count).scalar()  # type: ignore[attr-defined]

        assert store.database.read(query) == (1, 1)
        assert store.last_seq("x") == 2


def test_a_name_too_long_for_the_database_fails_alone(tmp_path: Path, postgres_url: str) -> None:
    with open_store(tmp_path, url=postgres_url) as store:
        store.create("x", [created("x")])
        long = "x" * 300
        futures = [
            store.append_later("x", 1, 0, [noted("x", 2)]),
            store.append_later(long, 0, 0, [created(long)]),
            store.append_later("x", 2, 0, [noted("x", 3)]),
        ]
        wait(futures, timeout=30)
        assert [type(future.exception()) for future in futures] == [type(None), StoreError, type(None)]


def test_a_takeover_cannot_slip_between_the_check_and_the_insert(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The append that looked first is finished first; the one that comes after the takeover is refused."""
    with open_store(tmp_path, url=postgres_url) as old, open_store(tmp_path, url=postgres_url) as new:
        old.create("x", [created("x")])
        epoch = old.acquire("x", "old", ttl=0)
        order: list[str] = []
        looked, go_on = threading.Event(), threading.Event()

        def slow(*arguments: object) -> object:
            found = look(*arguments)  # type: ignore[arg-type]
            looked.set()
            go_on.wait(30)
            order.append("appended")
            return found

        from flytepath.store import log

        look = log.executions.change
        monkeypatch.setattr(log.executions, "change", slow)
        append = old.append_later("x", 1, epoch, [noted("x", 2)])
        assert looked.wait(30)
        monkeypatch.undo()
        with ThreadPoolExecutor(1) as threads:
            assert new.claim("new", limit=1, ttl=60) == [], "locked, so left alone"
            takeover = threads.submit(new.acquire, "x", "new", ttl=60)
            takeover.add_done_callback(lambda _: order.append("taken over"))
            wait_until(lambda: blocked(new) == 1)
            go_on.set()
            append.result(timeout=30)
            assert takeover.result(timeout=30) == epoch + 1
        assert order == ["appended", "taken over"]
        with pytest.raises(SequenceConflictError, match="taken"):
            old.append("x", 2, epoch, [noted("x", 3)])
        assert new.last_seq("x") == 2
        new.append("x", 2, epoch + 1, [noted("x", 3)])


def test_what_is_appended_during_a_rebuild_is_in_the_list_afterwards(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flytepath.store import executions

    with open_store(tmp_path, url=postgres_url) as store, open_store(tmp_path, url=postgres_url) as other:
        store.create("x", [created("x")])
        fold, appends = executions.fold, []

        def slow(*arguments: object) -> object:
            if not appends:
                appends.append(other.append_later("x", 1, 0, [noted("x", 2)]))
                wait_until(lambda: appends[0].done() or blocked(store) == 1)
            return fold(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(executions, "fold", slow)
        assert store.rebuild_projections() == 1
        appends[0].result(timeout=30)
        assert [row.last_seq for row in store.executions()] == [2]


def blocked(store: Store) -> int:
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    return int(store.database.read(lambda connection: connection.exec_driver_sql(query).scalar()))


def test_transactions_that_lock_each_other_out_are_asked_again(tmp_path: Path, postgres_url: str) -> None:
    with open_store(tmp_path, url=postgres_url) as one, open_store(tmp_path, url=postgres_url) as other:
        for name in ("x", "y"):
            one.create(name, [created(name)])
        both = threading.Barrier(2)
        met: list[str] = []

        def taking(first: str, second: str, owner: str) -> object:
            def operation(connection: object) -> None:
                for name in (first, second):
                    statement = f"UPDATE leases SET owner = '{owner}' WHERE execution = '{name}'"
                    connection.exec_driver_sql(statement)  # type: ignore[attr-defined]
                    if name == first and owner not in met:
                        met.append(owner)
                        both.wait(30)

            return operation

        futures = [
            one.database.submit(taking("x", "y", "a")),  # type: ignore[arg-type]
            other.database.submit(taking("y", "x", "b")),  # type: ignore[arg-type]
        ]
        assert [future.result(timeout=60) for future in futures] == [None, None]
        owners = {(one.owner(name) or pytest.fail("nobody")).owner for name in ("x", "y")}
        assert len(owners) == 1


def test_an_engine_that_keeps_a_row_is_reported_in_bounded_time(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flytepath.store.postgres.LOCK_TIMEOUT_SECONDS", 0.1)
    monkeypatch.setattr("flytepath.store.postgres.PATIENCE_SECONDS", 0.2)
    with open_store(tmp_path, url=postgres_url) as store, open_store(tmp_path, url=postgres_url) as other:
        store.create("x", [created("x")])
        with other.database._transaction() as connection:
            connection.exec_driver_sql("SELECT * FROM leases FOR UPDATE")
            with pytest.raises(StoreError, match="another engine has kept"):
                store.append("x", 1, 0, [noted("x", 2)])
        store.append("x", 1, 0, [noted("x", 2)])


def test_an_engine_that_stops_in_the_middle_of_a_write_does_not_keep_the_others_out(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store(tmp_path, url=postgres_url) as store:
        store.create("x", [created("x")])
        monkeypatch.setattr("flytepath.store.postgres.STANDSTILL_SECONDS", 0.3)
        with open_store(tmp_path, url=postgres_url) as stopped:
            done = threading.Event()

            def operation(connection: object) -> None:
                connection.exec_driver_sql("UPDATE leases SET epoch = epoch + 1")  # type: ignore[attr-defined]
                done.wait(30)

            write = stopped.database.submit(operation)  # type: ignore[arg-type]
            wait_until(lambda: not isinstance(epoch_unless_locked(store), int))
            store.append("x", 1, 0, [noted("x", 2)])
            done.set()
            assert write.exception(timeout=30) is not None, "nobody claims that it was written"
            assert store.database.read(lambda c: c.exec_driver_sql("SELECT epoch FROM leases").scalar()) == 0
            stopped.append("x", 2, 0, [noted("x", 3)])


def epoch_unless_locked(store: Store) -> object:
    query = "SELECT epoch FROM leases FOR UPDATE SKIP LOCKED"
    return store.database.write(lambda connection: connection.exec_driver_sql(query).scalar())


@pytest.fixture
def fragile() -> object:
    """A server that a test may kill."""
    from flytepath.testing.postgres import missing

    if reason := missing():
        pytest.skip(reason)
    with PostgresServer() as server:
        yield server


def test_what_an_append_reported_outlives_a_killed_server_and_what_raised_is_repeated(
    tmp_path: Path, fragile: PostgresServer
) -> None:
    with open_store(tmp_path, url=fragile.database()) as store:
        names = [f"x{number}" for number in range(4)]
        for name in names:
            store.create(name, [created(name)])
        outages, stop = [0], threading.Event()

        def work(name: str) -> int:
            seq = 1
            while not stop.is_set():
                arguments = (name, seq, 0, [noted(name, seq + 1), noted(name, seq + 2)], [Literal.make(INTEGER, seq)])
                try:
                    store.append(*arguments)
                except StoreUnavailableError:
                    outages[0] += 1
                    back.wait(60)
                    continue  # exactly the same again
                seq += 2
            return seq

        back = threading.Event()
        back.set()
        with ThreadPoolExecutor(len(names)) as threads:
            try:
                futures = [threads.submit(work, name) for name in names]
                for round in range(1, 4):
                    told = store.last_seq("x0")
                    wait_until(lambda told=told: store.last_seq("x0") > told + 20)
                    back.clear()
                    fragile.kill()
                    wait_until(lambda: outages[0] > 0)
                    with pytest.raises(StoreUnavailableError):
                        store.last_seq("x0")
                    fragile.start()
                    outages[0] = 0
                    back.set()
                    assert store.last_seq("x0") >= told, round
            finally:
                stop.set()
                back.set()
            ends = [future.result(timeout=60) for future in futures]
        for name, end in zip(names, ends, strict=True):
            events = store.read(name)
            assert [event.seq for event in events] == list(range(1, len(events) + 1))
            assert len(events) == end
            store.literals(name, [Literal.make(INTEGER, seq).digest for seq in range(1, end, 2)])
        before = store.executions()
        store.rebuild_projections()
        assert store.executions() == before


def test_a_server_that_was_restarted_meanwhile_is_not_noticed(tmp_path: Path, fragile: PostgresServer) -> None:
    with open_store(tmp_path, url=fragile.database()) as store:
        store.create("x", [created("x")])
        assert store.last_seq("x") == 1
        fragile.stop()
        with pytest.raises(StoreUnavailableError):
            store.append("x", 1, 0, [noted("x", 2)])
        with pytest.raises(StoreUnavailableError):
            store.read("x")
        fragile.start()
        store.append("x", 1, 0, [noted("x", 2)])
        assert store.last_seq("x") == 2
        fragile.stop()
        fragile.start()
        assert [event.seq for event in store.read("x")] == [1, 2]
        store.append("x", 2, 0, [noted("x", 3)])


def test_a_session_that_was_ended_in_the_middle_of_a_commit_is_answered_honestly(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server committed, the answer was lost: the caller is told that it may be so, and may repeat itself."""
    import sqlalchemy.dialects.postgresql.psycopg as driver

    with open_store(tmp_path, url=postgres_url) as store, open_store(tmp_path, url=postgres_url) as other:
        store.create("x", [created("x")])
        commit = driver.PGDialect_psycopg.do_commit

        def broken(self: object, connection: object) -> None:
            commit(self, connection)  # type: ignore[arg-type]
            connection.driver_connection.close()  # type: ignore[attr-defined]
            commit(self, connection)  # type: ignore[arg-type]

        monkeypatch.setattr(driver.PGDialect_psycopg, "do_commit", broken)
        futures = [store.append_later("x", 1, 0, [noted("x", 2)]), store.append_later("x", 2, 0, [noted("x", 3)])]
        wait(futures, timeout=30)
        monkeypatch.undo()
        assert isinstance(futures[0].exception(), StoreUnavailableError)
        assert other.last_seq("x") >= 2
        store.append("x", 1, 0, [noted("x", 2)])
        store.append("x", 2, 0, [noted("x", 3)])
        assert [event.seq for event in other.read("x")] == [1, 2, 3]


APPENDS = """
import sys
from pathlib import Path
from store_logs import created, noted
from flytepath.model.literal import Literal
from flytepath.model.types import INTEGER
from flytepath.store.events import open_store
home, url, name, count = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
with open_store(home, url=url) as store:
    store.create(name, [created(name)])
    epoch = store.acquire(name, name, ttl=60)
    for seq in range(2, count + 1):
        store.append(name, seq - 1, epoch, [noted(name, seq)], [Literal.make(INTEGER, seq)])
        store.renew(name, 60)
"""


def test_engines_write_at_once_without_an_error(tmp_path: Path, postgres_url: str) -> None:
    processes = [start(APPENDS, str(tmp_path), postgres_url, f"x{number}", "30") for number in range(4)]
    for process in processes:
        out, err = process.communicate(timeout=240)
        assert (process.returncode, out, err) == (0, "", "")
    with open_store(tmp_path, url=postgres_url) as store:
        assert {row.id: row.last_seq for row in store.executions()} == {f"x{number}": 30 for number in range(4)}
        with pytest.raises(ExecutionStateError):
            store.acquire("x0", "thief", ttl=60)


def test_a_server_of_a_test_leaves_nothing_behind(fragile: PostgresServer) -> None:
    folder = fragile._folder
    assert folder.exists()
    fragile.__exit__(None, None, None)
    assert not folder.exists()


SERVES = """
import os, signal
from flytepath.testing.postgres import PostgresServer
with PostgresServer() as server:
    print(server._folder, (server._data / "postmaster.pid").read_text().split()[0], flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_server_ends_with_the_test_that_was_killed(postgres: PostgresServer) -> None:
    process = start(SERVES)
    out, _ = process.communicate(timeout=60)
    folder, number = out.split()
    wait_until(lambda: not Path(folder).exists())
    assert not Path(f"/proc/{number}/cmdline").exists() or not Path(f"/proc/{number}/cmdline").read_bytes()
