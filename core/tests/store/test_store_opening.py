"""Opening a home: new, old, newer, foreign, damaged, out of reach."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from flytepath.errors import StoreCorruptError, StoreError
from flytepath.store import migrate
from flytepath.store.database import Database
from flytepath.store.events import open_store
from flytepath.store.sqlite import SQLite
from sqlalchemy import Connection
from store_logs import created, noted, start


def structure(path: Path) -> dict[str, str]:
    with closing(sqlite3.connect(path)) as raw:
        rows = raw.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {name: re.sub(r"\s*([(),])\s*|\s+", r" \1", sql.replace('"', "")) for name, sql in rows}


def fill(home: Path, executions: int = 40) -> None:
    with open_store(home) as store:
        for number in range(executions):
            store.create(f"x{number}", [created(f"x{number}"), noted(f"x{number}", 2, "r" * 500)])


def test_a_new_home_is_made_with_its_parents(tmp_path: Path) -> None:
    open_store(tmp_path / "a" / "b").close()
    assert (tmp_path / "a" / "b" / "store.db").is_file()


def test_a_database_is_durable_by_its_settings(tmp_path: Path) -> None:
    def setting(connection: Connection) -> tuple[object, object]:
        return tuple(connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous"))

    with open_store(tmp_path) as store:
        assert store.database.read(setting) == store.database.write(setting) == ("wal", 2)


def test_a_database_made_at_once_is_the_one_the_migrations_lead_to(tmp_path: Path) -> None:
    open_store(tmp_path / "new").close()
    migrated = tmp_path / "store.db"
    dialect = SQLite(migrated)
    dialect.prepare()
    database = Database(dialect)
    database.alone(migrate.upgrade)
    database.close()
    assert structure(migrated) == structure(tmp_path / "new" / "store.db")
    assert "events" in structure(migrated)
    with closing(sqlite3.connect(migrated)) as raw:
        assert raw.execute("SELECT version_num FROM alembic_version").fetchall() == [(migrate.HEAD,)]


def test_the_known_revisions_are_those_of_the_scripts() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    scripts = ScriptDirectory.from_config(config)
    assert [script.revision for script in scripts.walk_revisions()][::-1] == list(migrate.REVISIONS)


def test_an_older_database_is_migrated_when_it_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, 1)
    with closing(sqlite3.connect(tmp_path / "store.db")) as raw, raw:
        raw.execute("UPDATE alembic_version SET version_num = '0000'")
    monkeypatch.setattr(migrate, "REVISIONS", ("0000", migrate.HEAD))
    found: list[str | None] = []
    monkeypatch.setattr(migrate, "upgrade", lambda connection: found.append(migrate._revision(connection)))
    with open_store(tmp_path) as store:
        assert store.last_seq("x0") == 2
    assert found == ["0000"]


def test_a_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(connection: object) -> None:
        made(connection)
        raise RuntimeError("power cut")

    made = migrate._create
    monkeypatch.setattr(migrate, "_create", broken)
    with pytest.raises(RuntimeError, match="power cut"):
        open_store(tmp_path)
    assert structure(tmp_path / "store.db") == {}
    monkeypatch.undo()
    fill(tmp_path, 1)


def test_an_open_of_an_up_to_date_home_does_not_import_alembic(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from flytepath.store.events import open_store;"
        f"open_store(Path({str(tmp_path)!r})).close(); print('alembic' in sys.modules)"
    )
    for _ in range(2):
        assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "False"


def test_a_database_of_a_newer_release_asks_for_an_upgrade(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    with closing(sqlite3.connect(tmp_path / "store.db")) as raw, raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    before = (tmp_path / "store.db").read_bytes()
    with pytest.raises(StoreError) as caught:
        open_store(tmp_path)
    assert not isinstance(caught.value, StoreCorruptError)
    assert "upgrade" in (caught.value.hint or "")
    assert caught.value.place == str(tmp_path / "store.db")
    assert (tmp_path / "store.db").read_bytes() == before


def test_somebody_elses_database_is_left_alone(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "store.db")) as raw, raw:
        raw.execute("CREATE TABLE mine (a)")
    before = (tmp_path / "store.db").read_bytes()
    with pytest.raises(StoreError, match="not made by FlytePath"):
        open_store(tmp_path)
    assert (tmp_path / "store.db").read_bytes() == before


def garbage(content: bytes) -> bytes:
    return os.urandom(len(content))


def text(_content: bytes) -> bytes:
    return b"my notes\n" * 50


def truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


def short(content: bytes) -> bytes:
    return content[:60]


def half_a_page(content: bytes) -> bytes:
    # A table's page in the middle, its first half lost: what a torn sector leaves.
    start = 4096 * 10
    return content[:start] + os.urandom(2048) + content[start + 2048 :]


def without_header(content: bytes) -> bytes:
    return b"\0" * 4096 + content[4096:]


@pytest.mark.parametrize("damage", [garbage, text, truncated, short, half_a_page, without_header])
def test_a_damaged_database_is_reported_and_not_written_to(tmp_path: Path, damage: object) -> None:
    fill(tmp_path)
    path = tmp_path / "store.db"
    damaged = damage(path.read_bytes())  # type: ignore[operator]
    path.write_bytes(damaged)
    with pytest.raises(StoreCorruptError) as caught:
        open_store(tmp_path)
    assert caught.value.place == str(path)
    assert "backup" in (caught.value.hint or "")
    assert path.read_bytes() == damaged


def test_damage_met_later_stops_all_writing(tmp_path: Path) -> None:
    fill(tmp_path)
    path = tmp_path / "store.db"
    with open_store(tmp_path) as store:
        content = bytearray(path.read_bytes())
        for page in range(1, len(content) // 4096):
            content[page * 4096 : page * 4096 + 2048] = b"\xff" * 2048
        path.write_bytes(bytes(content))
        with pytest.raises(StoreCorruptError):
            store.read("x0")
        with pytest.raises(StoreCorruptError):
            store.create("y", [created("y")])
    assert path.read_bytes() == bytes(content)


def test_a_file_in_place_of_the_home_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("in the way")
    for home in (tmp_path / "home", tmp_path / "home" / "inner"):
        with pytest.raises(StoreError) as caught:
            open_store(home)
        assert str(tmp_path / "home") in (caught.value.place or "")
        assert "FLYTEPATH_HOME" in (caught.value.hint or "")


def test_a_folder_in_place_of_the_database_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "store.db").mkdir()
    (tmp_path / "store.db" / "inner").touch()
    with pytest.raises(StoreError) as caught:
        open_store(tmp_path)
    assert caught.value.place == str(tmp_path / "store.db")


NEVER_FITS = """
import resource, sys
from pathlib import Path
from flytepath.errors import StoreFullError
from flytepath.store.events import open_store
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, resource.RLIM_INFINITY))
try:
    open_store(Path(sys.argv[1]))
except StoreFullError as error:
    print(error.place)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
open_store(Path(sys.argv[1])).close()
"""


def test_a_home_without_room_says_so_and_opens_once_there_is(tmp_path: Path) -> None:
    out, err = (process := start(NEVER_FITS, str(tmp_path))).communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert out.strip() == str(tmp_path / "store.db")
