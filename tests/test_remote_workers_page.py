"""The page about Python tasks on other machines: its program runs both ways, and what it says is printed is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packages import ROOT

sys.path.insert(0, str(ROOT / "core" / "tests" / "plugin"))

from fake_distributions import Distributions

PAGE = (ROOT / "docs" / "remote-workers.md").read_text(encoding="utf-8")
MANIFEST = """
    @hookimpl
    def flytepath_backends():
        return [BackendDeclaration(
            name="process", backend="flytepath.testing.process_backend:ProcessBackend",
            settings="flytepath.testing.process_backend:ProcessSettings", idempotency="B", runs_workers=True,
            array_limit=100, name_limit=40, poll=PollPolicy(first=0.05, longest=0.5))]
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def fakes(tmp_path: Path) -> Distributions:
    made = Distributions(tmp_path / "site", tmp_path / "home")
    made.add("process", MANIFEST)
    made.configure(blocks("toml")[0].replace("/shared", str(tmp_path / "shared")))
    (tmp_path / "shared" / "jobs").mkdir(parents=True)
    (made.work / "flow.py").write_text(blocks("python")[0], encoding="utf-8")
    return made


def flytepath(fakes: Distributions, *arguments: str) -> str:
    command = [sys.executable, "-m", "flytepath", *arguments]
    environment = {**os.environ, **fakes.environment()}
    done = subprocess.run(command, cwd=fakes.work, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_workflow_of_the_page_runs_here_and_there(fakes: Distributions) -> None:
    assert "o0 = 12" in flytepath(fakes, "run", "--name", "x1", "flow.py", "report", "--days", "[1,2,3]")
    assert "succeeded" in flytepath(fakes, "jobs", "list", "--all", "--backend", "process")


def test_what_the_page_says_would_be_submitted_is_what_is_printed(fakes: Distributions) -> None:
    command, _, output = blocks("text")[0].partition("\n")
    words = re.findall(r'"[^"]*"|\S+', command.removeprefix("$ flytepath "))
    assert flytepath(fakes, *(word.strip('"') for word in words)) == output


def test_the_codes_of_the_page_exist() -> None:
    known = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    codes = set(re.findall(r"FP-[A-Z-]+[A-Z]", PAGE))
    assert len(codes) >= 5
    assert all(f"`{code}`" in known for code in codes)
