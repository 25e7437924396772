"""Every distribution builds as wheel and sdist, holds what a user needs, and is the same wheel from either."""

from __future__ import annotations

import email
import re
import subprocess
import sys
import tarfile
import zipfile
from configparser import ConfigParser
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

import pytest
from packages import Package
from packaging.requirements import Requirement


@dataclass(frozen=True, slots=True)
class Built:
    """A package and the two files that were built from it."""

    package: Package
    wheel: Path
    sdist: Path

    def wheel_names(self) -> set[str]:
        with zipfile.ZipFile(self.wheel) as archive:
            return set(archive.namelist())

    def wheel_text(self, ending: str) -> str:
        with zipfile.ZipFile(self.wheel) as archive:
            [name] = [name for name in archive.namelist() if name.endswith(ending)]
            return archive.read(name).decode("utf-8")

    def metadata(self) -> Message:
        return email.message_from_string(self.wheel_text(".dist-info/METADATA"))

    def requirements(self) -> list[Requirement]:
        return [Requirement(text) for text in self.metadata().get_all("Requires-Dist", [])]


def build(folder: Path, target: str, into: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(into)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    [built] = into.iterdir()
    return built


@pytest.fixture(scope="session")
def built(package: Package, tmp_path_factory: pytest.TempPathFactory) -> Built:
    into = tmp_path_factory.mktemp(package.folder.name)
    return Built(
        package, build(package.folder, "wheel", into / "wheel"), build(package.folder, "sdist", into / "sdist")
    )


def test_the_wheel_says_that_it_is_typed(built: Built) -> None:
    assert f"{built.package.import_name}/py.typed" in built.wheel_names()


def test_the_wheel_holds_the_package_and_nothing_beside_it(built: Built) -> None:
    ours = [name for name in built.wheel_names() if ".dist-info/" not in name]
    # A script lies in a folder with those of everybody: its name says whose it is.
    scripts = [name for name in ours if re.fullmatch(r"[^/]+\.data/scripts/flytepath-[^/]+", name)]
    assert {name.split("/")[0] for name in ours if name not in scripts} == {built.package.import_name}
    unwanted = [name for name in built.wheel_names() if "__pycache__" in name or re.search(r"/tests/.*\.py$", name)]
    assert not unwanted


def test_the_wheel_holds_every_source_file(built: Built) -> None:
    source = built.package.folder / "src"
    wanted = {
        path.relative_to(source).as_posix()
        for path in source.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.endswith(".egg-info")
    }
    assert wanted <= built.wheel_names()


def test_the_metadata_tells_what_it_is(built: Built) -> None:
    metadata = built.metadata()
    for field in ("Name", "Version", "Summary", "License-Expression", "Requires-Python"):
        assert metadata[field], field
    assert metadata["Requires-Python"] == ">=3.11"
    readme = (built.package.folder / "README.md").read_text(encoding="utf-8")
    assert readme.strip()
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert readme.strip().splitlines()[0] in built.wheel_text(".dist-info/METADATA")


def test_every_requirement_has_a_lower_bound(built: Built) -> None:
    unbounded = [
        str(requirement)
        for requirement in built.requirements()
        if not any(bound.operator in {">=", "~=", "=="} for bound in requirement.specifier)
    ]
    assert not unbounded


def test_the_sdist_holds_sources_tests_and_readme(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "PKG-INFO", f"src/{built.package.import_name}/__init__.py"} <= names
    assert any(name.startswith("tests/") for name in names)
    assert not [name for name in names if "__pycache__" in name]


def test_the_wheel_from_the_sdist_is_the_same_wheel(built: Built, tmp_path: Path) -> None:
    with tarfile.open(built.sdist) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    [folder] = (tmp_path / "unpacked").iterdir()
    again = build(folder, "wheel", tmp_path / "wheel")
    assert again.name == built.wheel.name
    assert again.read_bytes() == built.wheel.read_bytes()


def test_core_announces_one_version_everywhere(built: Built, root: Path) -> None:
    if built.package.folder.name != "core":
        assert built.metadata()["Version"]
        return
    import flytepath

    assert built.metadata()["Version"] == flytepath.__version__
    assert (root / "core" / "LICENSE").read_bytes() == (root / "LICENSE").read_bytes()


def test_a_plugin_has_one_entry_point_and_bounds_core_by_contract(built: Built) -> None:
    entry_points = ConfigParser()
    entry_points.read_string(built.wheel_text(".dist-info/entry_points.txt"))
    manifests = dict(entry_points.items("flytepath.v1"))
    if built.package.folder.name == "core":
        assert list(manifests) == ["flytepath"]
        return
    assert manifests == {built.package.folder.name: f"{built.package.import_name}.plugin"}
    [core] = [requirement for requirement in built.requirements() if requirement.name == "flytepath"]
    assert {bound.operator for bound in core.specifier} == {">=", "<"}
