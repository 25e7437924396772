"""Fixtures for tests of plugins. pytest loads this in every run, so it imports nothing until a fixture is used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from flytepath.testing.blobs import MemoryBlobs


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
