"""A home of its own for every run of the tests, and notebooks by their cells."""

from __future__ import annotations

import importlib
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flyte_plugin_papermill import NotebookTask
from papermill_flows import Flows
from papermill_notebooks import written

# Which deprecations the import of Jupyter's libraries warns of is nobody's concern here, where warnings are errors.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    for library in ("jupyter_client.manager", "nbclient", "nbconvert", "papermill"):
        importlib.import_module(library)


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLYTEPATH_HOME", str(folder))
        # Nothing that somebody has installed or configured for Jupyter on this machine takes part.
        for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
            patch.setenv(name, str(folder / name.lower()))
        yield folder


@pytest.fixture
def task(tmp_path: Path) -> Callable[..., NotebookTask]:
    """Makes a task of cells; the first takes the parameters. Without the outputs that flytekit adds, unless asked."""

    def make(*cells: str | dict[str, Any], **settings: Any) -> NotebookTask:
        path = written(tmp_path / "given" / "note.ipynb", *cells)
        given = {"name": "note", "output_notebooks": False, **settings}
        return NotebookTask(notebook_path=path, **given)

    (tmp_path / "given").mkdir()
    return make


@pytest.fixture
def flows(tmp_path: Path) -> Flows:
    """A project in a folder of its own, whose workflows run durably."""
    return Flows(tmp_path)


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], str]:
    """Runs Python in a process of its own, which has to end well; what it printed."""

    def run(source: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(source)], cwd=tmp_path, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
