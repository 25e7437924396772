"""Fixtures for tests of plugins. pytest loads this in every run, so it imports nothing until a fixture is used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flytepath.testing.blobs import MemoryBlobs
    from flytepath.testing.postgres import PostgresServer


@pytest.fixture
def flytepath_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty ``FLYTEPATH_HOME`` of this test's own."""
    home = tmp_path / "flytepath-home"
    home.mkdir()
    monkeypatch.setenv("FLYTEPATH_HOME", str(home))
    return home


@pytest.fixture
def memory_blobs() -> MemoryBlobs:
    """A blob sink and source that lives in memory."""
    from flytepath.testing.blobs import MemoryBlobs

    return MemoryBlobs()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server for the whole run; ``postgres.database()`` gives a new, empty database."""
    from flytepath.testing.postgres import PostgresServer, missing

    pytest.importorskip("psycopg", reason="psycopg is not installed (pip install 'flytepath[postgres]')")
    if reason := missing():
        pytest.skip(reason)
    with PostgresServer() as server:
        yield server
