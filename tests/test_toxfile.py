"""Every Python that pyenv keeps is offered to tox, and the one that runs tox comes first."""

from __future__ import annotations

import importlib.util
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
