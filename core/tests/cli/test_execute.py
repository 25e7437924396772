"""Registered versions run from their stored code, after the source has changed or gone."""

from __future__ import annotations

from typing import Any

import pytest

FLOW = """
from flytepath import LaunchPlan, task, workflow

@task
def times(x: int, by: int) -> int:
    return x * by

@workflow
def product(x: int, by: int = 2) -> int:
    return times(x=x, by=by)

plan = LaunchPlan.create("tripled", product, fixed_inputs={"by": 3})
"""


@pytest.fixture
def kept(cli: Any) -> Any:
    """A registered flow whose file is gone."""
    cli.write("flow.py", FLOW)
    cli.run("register", "flow.py", "--version", "v1")
    cli.write("flow.py", FLOW.replace("x * by", "x * by + 1000"))
    cli.run("register", "flow.py", "--version", "v2")
    (cli.folder / "flow.py").unlink()
    return cli


def test_any_version_runs_without_its_source(kept: Any) -> None:
    assert "o0 = 1010" in kept.run("execute", "flow.product", "--x", "5").stdout
    assert "o0 = 10" in kept.run("execute", "--version", "v1", "flow.product", "--x", "5").stdout
    assert "o0 = 35" in kept.run("execute", "flow.product", "--x", "5", "--by", "7", "--version", "v1").stdout
    assert kept.json("execute", "--version", "v1", "tripled", "--x", "5")["outputs"]["o0"]["data"] == 15


def test_what_cannot_be_run_is_told(kept: Any) -> None:
    assert "there is no workflow or launch plan 'flow.nothing'" in kept.error("execute", "flow.nothing", status=2)
    assert "'flow.product@v3'" in kept.error("execute", "--version", "v3", "flow.product", "--x", "1", status=2)
    assert "input 'x' is missing" in kept.error("execute", "flow.product", status=2)
    assert "did you mean 'by'" in kept.error("execute", "flow.product", "--x", "1", "--bye", "2", status=2)
    assert "--x  integer" in kept.run("execute", "flow.product", "--help").stdout


def test_a_detached_one_only_begins(kept: Any) -> None:
    execution = kept.run("execute", "--detach", "flow.product", "--x", "5").stdout.strip()
    assert kept.json("executions", "show", execution)["status"] == "running"
    assert "o0 = 1010" in kept.run("executions", "resume", execution).stdout
