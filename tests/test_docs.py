"""What the pages show works: the programs in them run, the commands in them exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from packages import ROOT

PAGES = [ROOT / "README.md", ROOT / "core" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    fence = re.compile(rf"^```{language}\n(.*?)^```$", re.DOTALL | re.MULTILINE)
    return fence.findall(page.read_text(encoding="utf-8"))


def first_programs() -> Iterator[object]:
    for page in (ROOT / "core" / "README.md", ROOT / "docs" / "getting-started.md"):
        [program] = blocks(page, "python")
        yield pytest.param(program, id=page.relative_to(ROOT).as_posix())


def commands() -> list[str]:
    """Every ``flytepath GROUP COMMAND`` that a page names, in a block or in a sentence."""
    found: set[str] = set()
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        found |= {
            " ".join(words)
            for words in re.findall(
                r"\bflytepath (plugins|executions|engine|cache|admin|environments|versions|launchplans|jobs|pools) "
                r"([a-z]+)",
                text,
            )
        }
        found |= set(
            re.findall(r"\bflytepath (run|register|package|graph|completion|migrate|--help|--version)\b", text)
        )
    return sorted(found)


def flytepath(*arguments: str, folder: Path) -> str:
    environment = {**os.environ, "FLYTEPATH_HOME": str(folder / "home")}
    command = [sys.executable, "-m", "flytepath", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("program", list(first_programs()))
def test_the_first_workflow_gives_the_same_result_called_and_run(program: str, tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text(program, encoding="utf-8")
    call = [sys.executable, "-c", "import flow; print(flow.pipeline(n=4))"]
    environment = {**os.environ, "FLYTEPATH_HOME": str(tmp_path / "home")}
    called = subprocess.run(call, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout
    assert called.strip().isdecimal()
    assert re.search(rf"\b{called.strip()}\b", flytepath("run", "flow.py", "pipeline", "--n", "4", folder=tmp_path))


@pytest.mark.parametrize("command", commands())
def test_every_command_the_pages_name_exists(command: str, tmp_path: Path) -> None:
    asked = command.split() if command.startswith("--") else [*command.split(), "--help"]
    assert flytepath(*asked, folder=tmp_path)


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "benchmarks/README.md", "core/README.md"])
def test_every_link_of_the_front_pages_leads_somewhere(page: str, root: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", (root / page).read_text(encoding="utf-8")):
        assert ((root / page).parent / target).exists(), f"{page} points to {target}"


def test_every_decision_has_a_number_of_its_own_its_headings_and_a_line_in_the_list() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = re.findall(
        r"^- (\d{4}) \[(.+)\]\((.+)\)$", (folder / "README.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    records = sorted(path for path in folder.glob("*.md") if path.name != "README.md")
    titles = {path.name: path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ") for path in records}
    assert sorted(listed) == sorted((name[:4], title, name) for name, title in titles.items())
    assert len({name[:4] for name in titles}) == len(titles)
    for path in records:
        text = path.read_text(encoding="utf-8")
        for heading in ("Decision", "Alternatives", "Reason"):
            assert f"## {heading}" in text or f"**{heading}.**" in text, f"{path.name} lacks {heading}"


def test_every_variable_that_the_code_reads_is_on_the_page_about_settings() -> None:
    page = (ROOT / "docs" / "policy.md").read_text(encoding="utf-8")
    named: set[str] = set()
    for path in (ROOT / "core" / "src" / "flytepath").rglob("*.py"):
        named |= set(re.findall(r"\bFLYTE(?:PATH)?_[A-Z_]*[A-Z]\b", path.read_text(encoding="utf-8")))
    assert named
    assert not {name for name in named if name not in page and not name.startswith("FLYTEPATH_SECRET_")}
