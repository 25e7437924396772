"""The fixtures of pytest that give the doubles to tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from flyte_plugin_kubernetes.testing.api_server import ApiServer
from flyte_plugin_kubernetes.testing.cluster import KUBECONFIG_VARIABLE, NO_CLUSTER, Cluster, ClusterHome


@pytest.fixture(scope="session")
def shared_api_server() -> Iterator[ApiServer]:
    """One API server for all tests of a run; use ``api_server``, which is empty for each."""
    with ApiServer() as server:
        yield server


@pytest.fixture
def api_server(shared_api_server: ApiServer) -> Iterator[ApiServer]:
    """The API server double alone, empty, with namespace ``default``: nothing runs its pods."""
    shared_api_server.reset(definitions=True)
    yield shared_api_server
    errors = list(shared_api_server.errors)
    shared_api_server.reset(definitions=True)
    assert not errors, f"the API server double failed itself: {errors!r}"


@pytest.fixture(scope="session")
def double_home() -> Iterator[ClusterHome]:
    """The doubles that all tests of a run share; use ``cluster`` or ``double_cluster``."""
    home = ClusterHome()
    yield home
    home.close()


@pytest.fixture(scope="session")
def real_home() -> Iterator[ClusterHome]:
    """The real API server that all tests of a run share; use ``cluster``."""
    named = os.environ.get(KUBECONFIG_VARIABLE)
    if not named:
        pytest.skip(NO_CLUSTER)
    home = ClusterHome(Path(named))
    yield home
    home.close()


@pytest.fixture(params=["double", "real"])
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A cluster with a namespace of the test's own: the doubles and, where one is named, a real one."""
    if request.param == "real" and not os.environ.get(KUBECONFIG_VARIABLE):
        pytest.skip(NO_CLUSTER)
    yield from _one(request.getfixturevalue(f"{request.param}_home"))


@pytest.fixture
def double_cluster(double_home: ClusterHome) -> Iterator[Cluster]:
    """The doubles, with a namespace of the test's own."""
    yield from _one(double_home)


def _one(home: ClusterHome) -> Iterator[Cluster]:
    made = Cluster(home)
    yield made
    errors = [*(home.server.errors if home.server else ()), *(home.jobs.errors if home.jobs else ())]
    made.clean()
    assert not errors, f"the doubles failed themselves: {errors!r}"
