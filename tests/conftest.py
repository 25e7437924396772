"""What the tests across packages share: where the repository is, and one run per package or plugin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from packages import PACKAGES, PLUGINS, ROOT
from warm_processes import WarmPython, warm_command_line


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "package" in metafunc.fixturenames:
        names = [package.folder.name for package in PACKAGES]
        metafunc.parametrize("package", PACKAGES, ids=names, scope="session")
    if "plugin" in metafunc.fixturenames:
        metafunc.parametrize("plugin", PLUGINS)


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def warm(request: pytest.FixtureRequest) -> Iterator[WarmPython]:
    """Runs commands to their end."""
    with warm_command_line(request.config) as python:
        yield python
