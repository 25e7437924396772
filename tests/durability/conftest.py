"""Homes on SQLite and on PostgreSQL, with engines that are real processes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from durable_home import DurableHome


@pytest.fixture
def a_home(tmp_path: Path, request: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], DurableHome]]:
    """Makes homes, on ``sqlite`` or ``postgres``; ends whatever a test has left running."""
    made: list[DurableHome] = []
    numbers = itertools.count()

    def make(kind: str) -> DurableHome:
        url = request.getfixturevalue("postgres").database() if kind == "postgres" else ""
        if url:
            monkeypatch.setenv("FLYTEPATH_DATABASE", url)
        else:
            monkeypatch.delenv("FLYTEPATH_DATABASE", raising=False)
        made.append(DurableHome(tmp_path / f"work{next(numbers)}", url))
        return made[-1]

    yield make
    for home in made:
        home.close()
