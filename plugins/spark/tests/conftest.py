"""A home of its own for every run of the tests, real Spark servers, and one session for what needs no other."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import spark_servers
from flyte_plugin_kubernetes.testing.fixtures import (
    api_server,
    cluster,
    double_cluster,
    double_home,
    real_home,
    shared_api_server,
)
from spark_servers import Program

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
        for name in ("SPARK_REMOTE", "MASTER", "SPARK_HOME", "SPARK_CONF_DIR", "PYSPARK_PYTHON"):
            patch.delenv(name, raising=False)
        yield folder


@pytest.fixture(scope="session")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a standalone master with a worker."""
    with spark_servers.standalone(tmp_path_factory.mktemp("standalone")) as url:
        yield url


@pytest.fixture(scope="session")
def connect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Connect server."""
    with spark_servers.connect(tmp_path_factory.mktemp("connect")) as url:
        yield url


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A session of this process, which the plugin finds and leaves alone."""
    from flyte_plugin_spark import new_spark_session

    folder = tmp_path_factory.mktemp("spark")
    session = new_spark_session(
        "tests",
        {
            "spark.master": "local[2]",
            "spark.sql.shuffle.partitions": "2",
            "spark.sql.warehouse.dir": (folder / "warehouse").as_uri(),
        },
    )
    yield session
    session.stop()


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Runs Python in a process of its own, in ``tmp_path``; it has to end well unless a test says otherwise."""

    def run(source: str, *, fails: bool = False, **variables: str) -> subprocess.CompletedProcess[str]:
        script = tmp_path / "program.py"
        script.write_text(textwrap.dedent(source), encoding="utf-8")
        return _run([sys.executable, str(script)], tmp_path, fails, variables)

    return run


@pytest.fixture
def flytepath(tmp_path: Path) -> Program:
    """Runs the command line in ``tmp_path``."""

    def run(*words: str, fails: bool = False, **variables: str) -> subprocess.CompletedProcess[str]:
        return _run([sys.executable, "-m", "flytepath", *words], tmp_path, fails, variables)

    return run


def _run(command: list[str], folder: Path, fails: bool, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **variables}, capture_output=True, text=True, timeout=200, check=False
    )
    assert (done.returncode != 0) == fails, f"exit {done.returncode}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
    return done
