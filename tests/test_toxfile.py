"""Every Python that pyenv keeps is offered to tox, and the one that runs tox comes first."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def toxfile(root: Path) -> ModuleType:
    specification = importlib.util.spec_from_file_location("toxfile_under_test", root / "toxfile.py")
    assert specification and specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def install(folder: Path, *versions: str) -> Path:
    for version in versions:
        (folder / version).mkdir()
    return folder


def test_the_newest_patch_release_of_each_version_is_selected(toxfile: ModuleType, tmp_path: Path) -> None:
    versions = install(tmp_path, "3.11.9", "3.12.1", "3.12.10", "3.12.9", "3.13.0")
    assert toxfile.pyenv_selection(versions, "3.10.1") == "3.11.9:3.12.10:3.13.0"


def test_the_running_interpreter_stays_what_python_means(toxfile: ModuleType, tmp_path: Path) -> None:
    versions = install(tmp_path, "3.11.7", "3.12.1", "3.12.8", "3.13.0")
    assert toxfile.pyenv_selection(versions, "3.12.1") == "3.12.1:3.11.7:3.13.0"


def test_what_we_do_not_support_and_what_is_no_release_is_left_out(toxfile: ModuleType, tmp_path: Path) -> None:
    versions = install(tmp_path, "2.7.18", "3.9.18", "3.13-dev", "miniconda3-latest", "3.13.0", "3.11.7")
    assert toxfile.pyenv_selection(versions, "3.11.7") == "3.11.7:3.13.0"


def test_without_pyenv_nothing_is_selected(toxfile: ModuleType, tmp_path: Path) -> None:
    assert toxfile.pyenv_selection(tmp_path / "missing", "3.11.7") == ""


def test_what_the_caller_set_wins_and_a_mirror_for_pip_serves_uv(
    toxfile: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["tox"])
    monkeypatch.setattr("os.environ", {"PIP_INDEX_URL": "https://mirror.test/simple", "TOX_PARALLEL": "0"})
    toxfile.tox_add_option(parser=None)
    assert os.environ["UV_DEFAULT_INDEX"] == "https://mirror.test/simple"
    assert os.environ["TOX_PARALLEL"] == "0"


def test_only_the_whole_round_runs_side_by_side(toxfile: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.environ", {})
    monkeypatch.setattr("sys.argv", ["tox", "-e", "lint"])
    toxfile.tox_add_option(parser=None)
    assert "TOX_PARALLEL" not in os.environ
    monkeypatch.setattr("sys.argv", ["tox"])
    toxfile.tox_add_option(parser=None)
    assert os.environ["TOX_PARALLEL"] == "2"
