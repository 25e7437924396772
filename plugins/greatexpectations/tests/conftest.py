"""A home of its own for every test, so that none sees another's plugin index or executions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

# Before a test imports the library: it knows which warnings of that import are nobody's concern; here they are errors.
import flyte_plugin_greatexpectations.library  # noqa: F401
import pytest
from flyte_plugin_greatexpectations import GreatExpectationsTask
from gx_attempt import Attempt


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLYTEPATH_HOME", str(folder))
        yield folder


@pytest.fixture
def attempt(tmp_path: Path) -> Callable[[GreatExpectationsTask], Attempt]:
    return lambda task: Attempt(task, tmp_path)
