"""A plugin looks like every other plugin, and no check forgets one."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from configparser import ConfigParser
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def tox(root: Path) -> ConfigParser:
    parser = ConfigParser(interpolation=None)
    parser.read(root / "tox.ini")
    return parser


def test_a_plugin_has_the_files_of_every_plugin(plugin: str, root: Path) -> None:
    package = root / "plugins" / plugin / "src" / f"flyte_plugin_{plugin}"
    for name in ("__init__.py", "plugin.py", "py.typed"):
        assert (package / name).is_file(), f"plugins/{plugin} misses {name}"
    assert list((root / "plugins" / plugin / "tests").rglob("test_*.py"))


def test_a_plugins_readme_has_its_sections_in_the_one_order(plugin: str, root: Path) -> None:
    text = (root / "plugins" / plugin / "README.md").read_text(encoding="utf-8").lower()
    headings = re.findall(r"^## +(.+)$", text, flags=re.MULTILINE)
    wanted = ["gives", "install", "example", "configuration", "remote", "limits"]
    found = [word for heading in headings for word in wanted if word in heading]
    assert found == wanted, f"plugins/{plugin}/README.md has {headings}"


def test_a_plugin_has_its_environment_and_tox_runs_it(plugin: str, tox: ConfigParser) -> None:
    assert f"plugin-{plugin}" in tox["tox"]["env_list"].split()
    assert f"plugins/{plugin}" in tox[f"testenv:plugin-{plugin}"]["commands"]


@pytest.mark.parametrize(
    ("environment", "line"), [("types", "commands"), ("e2e", "commands_pre"), ("proof", "commands")]
)
def test_the_checks_across_packages_have_every_plugin(
    plugin: str, environment: str, line: str, tox: ConfigParser
) -> None:
    assert f"plugins/{plugin}" in tox[f"testenv:{environment}"][line]


def test_the_walls_know_every_plugin(plugin: str, root: Path) -> None:
    linter = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    package = f"flyte_plugin_{plugin}"
    assert package in linter["root_packages"]
    [wall] = [contract for contract in linter["contracts"] if contract["id"] == "plugins"]
    assert package in wall["source_modules"]


def test_the_walls_have_every_room_of_core(root: Path) -> None:
    linter = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    [wall] = [contract for contract in linter["contracts"] if contract["id"] == "plugins"]
    source = root / "core" / "src" / "flytepath"
    rooms = {path.stem for path in source.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    open_to_plugins = {"__init__", "__main__", "plugin"}
    assert {f"flytepath.{room}" for room in rooms - open_to_plugins} <= set(wall["forbidden_modules"])


def test_the_readme_lists_every_plugin(plugin: str, root: Path) -> None:
    assert f"| [{plugin}](plugins/{plugin}) |" in (root / "README.md").read_text(encoding="utf-8")


def test_modules_start_with_what_they_are_for_and_stay_readable(root: Path) -> None:
    sources = [*(root / "core" / "src").rglob("*.py"), *(root / "plugins").glob("*/src/**/*.py")]
    for path in sources:
        lines = path.read_text(encoding="utf-8").splitlines()
        place = path.relative_to(root)
        if "template" not in place.parts:
            assert lines[0].startswith(('"""', 'r"""')), f"{place} does not say what it is for"
        assert len(lines) <= 550, f"{place} has {len(lines)} lines"


def test_no_room_is_called_after_nothing(root: Path) -> None:
    empty_words = {"utils", "util", "helpers", "helper", "common", "misc"}
    sources = [*(root / "core").rglob("*.py"), *(root / "plugins").rglob("*.py")]
    assert not [str(path) for path in sources if path.stem in empty_words]


def test_no_two_files_of_tests_share_a_name(root: Path) -> None:
    """pytest imports them by name alone, and one round may hold those of several packages."""
    files = [*root.glob("tests/**/test_*.py"), *root.glob("core/tests/**/*.py"), *root.glob("plugins/*/tests/**/*.py")]
    names = Counter(path.name for path in files if path.name.startswith("test_"))
    assert not [name for name, times in names.items() if times > 1]
