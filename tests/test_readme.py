"""The README's commands are what the checks run, so they cannot drift apart; the long tier types them as they stand."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from configparser import ConfigParser
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def commands(root: Path) -> list[str]:
    """The first command of the section that tries it, and that of the section that checks it."""
    text = (root / "README.md").read_text(encoding="utf-8")
    sections = [text.partition(f"\n## {title}\n")[2].partition("\n## ")[0] for title in ("Try it", "Check it")]
    return [
        block.strip()
        for section in sections
        for block in re.findall(r"^```sh\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    ]


def test_each_is_one_command_in_one_line(commands: list[str]) -> None:
    assert len(commands) == 2
    assert all("\n" not in command for command in commands)


def folder_and_extras(argument: str) -> tuple[str, set[str]]:
    folder, _, extras = argument.strip("'").rstrip("]").partition("[")
    return folder, set(filter(None, extras.split(",")))


def test_ci_types_the_test_command(commands: list[str], root: Path) -> None:
    assert f"({commands[1]})" in (root / ".ci" / "run").read_text(encoding="utf-8").splitlines()


def test_the_end_to_end_checks_install_what_the_first_command_installs(commands: list[str], root: Path) -> None:
    tox = ConfigParser(interpolation=None)
    tox.read(root / "tox.ini")
    installed = tox["testenv:e2e"]["commands_pre"].split()
    arguments = re.search(r"pip install (.+?) &&", commands[0])
    assert arguments
    kept = {folder: extras for folder, extras in map(folder_and_extras, installed) if folder.startswith("./")}
    for folder, extras in map(folder_and_extras, arguments[1].split()):
        assert extras <= kept[folder]
        assert (root / folder / "pyproject.toml").is_file()
    core = tomllib.loads((root / "core" / "pyproject.toml").read_text(encoding="utf-8"))
    assert "quickstart" in core["project"]["optional-dependencies"]


def test_the_readmes_run_works_with_the_built_packages(commands: list[str], root: Path, tmp_path: Path) -> None:
    run = commands[0].rpartition(" && ")[2]
    assert run.startswith("flytepath run examples/")
    environment = {
        **os.environ,
        "FLYTEPATH_HOME": str(tmp_path / "home"),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }
    done = subprocess.run(run, shell=True, cwd=root, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()


@pytest.mark.proof
def test_the_first_command_works_as_it_stands_in_a_clean_copy(commands: list[str], root: Path, tmp_path: Path) -> None:
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True).stdout
    for name in filter(None, tracked.split("\0")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / name, tmp_path / name)
    kept = {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "PYTHONPATH"}}
    environment = {**kept, "FLYTEPATH_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        ["bash", "-c", commands[0]], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=1200
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
