"""The fixtures of pytest that give the doubles to tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flyte_plugin_kubernetes.testing.api_server import ApiServer


@pytest.fixture(scope="session")
def shared_api_server() -> Iterator[ApiServer]:
    """One API server for all tests of a run; use ``api_server``, which is empty for each."""
    with ApiServer() as server:
        yield server


@pytest.fixture
def api_server(shared_api_server: ApiServer) -> Iterator[ApiServer]:
    """The API server double, empty, with namespace ``default``."""
    shared_api_server.reset(definitions=True)
    yield shared_api_server
    errors = list(shared_api_server.errors)
    shared_api_server.reset(definitions=True)
    assert not errors, f"the API server double failed itself: {errors!r}"
