from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import a_schema
from flytepath.store.events import Store, open_store


@pytest.fixture(autouse=True)
def nothing_said_about_a_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLYTEPATH_DATABASE", raising=False)


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str | None:
    """Where the database of a home is: both kinds, each test for each."""
    return None if request.param == "sqlite" else a_schema(request.getfixturevalue("postgres"))


@pytest.fixture
def postgres_url(request: pytest.FixtureRequest) -> str:
    return a_schema(request.getfixturevalue("postgres"))


@pytest.fixture
def store(tmp_path: Path, url: str | None) -> Iterator[Store]:
    with open_store(tmp_path / "home", url=url) as opened:
        yield opened
