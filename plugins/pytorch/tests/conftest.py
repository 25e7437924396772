"""A home of its own for every run of the tests, and the doubles of a cluster that the Kubernetes plugin ships."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flyte_plugin_kubernetes.testing.fixtures import (
    api_server,
    cluster,
    double_cluster,
    double_home,
    real_home,
    shared_api_server,
)

__all__ = [
    "api_server",
    "cluster",
    "double_cluster",
    "double_home",
    "real_home",
    "shared_api_server",
]  # fixtures: what is imported here, tests may ask for


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLYTEPATH_HOME", str(folder))
        yield folder
