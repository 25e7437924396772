"""A folder of fake distributions for each test, seen by this process too, and a home of its own."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fake_distributions import Distributions


@pytest.fixture
def distributions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Distributions]:
    fakes = Distributions(tmp_path / "site", tmp_path / "home")
    for name in ("FLYTEPATH_CONFIG", "FLYTEPATH_PLUGINS__ALLOW", "FLYTEPATH_PLUGINS__DENY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FLYTEPATH_HOME", str(fakes.home))
    monkeypatch.syspath_prepend(str(fakes.folder))
    monkeypatch.chdir(fakes.work)
    known = set(sys.modules)
    importlib.invalidate_caches()
    yield fakes
    for name in set(sys.modules) - known:
        if name.startswith("flyte_plugin_"):
            del sys.modules[name]
