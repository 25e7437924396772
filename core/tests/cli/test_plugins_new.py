"""`flytepath plugins new`: the package it writes is installed and passes its own tests, and bad names are refused."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

CORE = Path(__file__).parents[2]


def python(*arguments: str, cwd: Path, interpreter: Path | str = sys.executable, **environment: str) -> str:
    done = subprocess.run(
        [str(interpreter), *arguments],
        cwd=cwd,
        env={**{k: v for k, v in os.environ.items() if k != "PYTHONPATH"}, **environment},
        capture_output=True,
        text=True,
        timeout=540,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_new_plugin_builds_installs_and_passes_its_tests(cli, tmp_path):
    cli.run("plugins", "new", "weather-station", "--directory", str(tmp_path))
    project = tmp_path / "flyte-plugin-weather-station"
    venv = tmp_path / "venv"
    # What is installed here is seen from the new environment, so that only the plugin itself is installed into it.
    python("-m", "venv", "--without-pip", str(venv), cwd=tmp_path)
    interpreter = venv / "bin" / "python"
    folders = python("-c", "import site; print(*site.getsitepackages(), sep='\\n')", cwd=tmp_path).split()
    purelib = python(
        "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path, interpreter=interpreter
    )
    Path(purelib.strip(), "parent.pth").write_text(
        "".join(f"import site; site.addsitedir({item!r})\n" for item in folders)
    )
    isolation = ["--no-build-isolation"] if importlib.util.find_spec("hatchling") else []
    python(
        "-m", "pip", "wheel", "-q", "--no-deps", *isolation, "-w", str(tmp_path / "dist"), str(project), cwd=tmp_path
    )
    (wheel,) = (tmp_path / "dist").glob("flyte_plugin_weather_station-*.whl")
    python(
        "-m", "pip", "--python", str(interpreter), "install", "-q", "--no-deps", "--no-index", str(wheel), cwd=tmp_path
    )
    (project / "src").rename(project / "src-is-not-used")
    said = python(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", str(project), cwd=project, interpreter=interpreter,
        FLYTEPATH_HOME=str(tmp_path / "home"),
    )  # fmt: skip
    assert " passed" in said
    assert "skipped" not in said


def test_the_package_has_the_shape_of_every_plugin(cli):
    cli.run("plugins", "new", "flyte-plugin-spark")
    folder = cli.folder / "flyte-plugin-spark"
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert found == [
        ".gitignore",
        "README.md",
        "pyproject.toml",
        "src/flyte_plugin_spark/__init__.py",
        "src/flyte_plugin_spark/plugin.py",
        "src/flyte_plugin_spark/py.typed",
        "src/flyte_plugin_spark/task.py",
        "src/flyte_plugin_spark/types.py",
        "tests/test_spark_conformance.py",
        "tests/test_spark_task.py",
    ]
    assert all("@@" not in path.read_text() for path in folder.rglob("*") if path.is_file())
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["entry-points"] == {"flytepath.v1": {"spark": "flyte_plugin_spark.plugin"}}
    headings = [line for line in (folder / "README.md").read_text().splitlines() if line.startswith("## ")]
    assert headings == [
        "## What it gives",
        "## Install",
        "## An example that runs",
        "## Configuration",
        "## How remote runs behave",
        "## Limits",
    ]


@pytest.mark.parametrize("name", ["great-expectations", "x"])
def test_what_is_written_is_formatted_and_typed(cli, name):
    pytest.importorskip("ruff")
    pytest.importorskip("mypy")
    cli.run("plugins", "new", name)
    project = cli.folder / f"flyte-plugin-{name}"
    python("-m", "ruff", "check", "--no-cache", ".", cwd=project)
    python("-m", "ruff", "format", "--no-cache", "--check", ".", cwd=project)
    python("-m", "mypy", "src", "tests", cwd=project, MYPYPATH=f"src:{CORE / 'src'}", MYPY_CACHE_DIR=os.devnull)


@pytest.mark.parametrize("name", ["Spark", "my_plugin", "1x", "../x", "class", "a--b", "flytepath", "x" * 31, ""])
def test_a_name_that_cannot_be_one_is_refused(cli, name):
    assert "cannot name a plugin" in cli.error("plugins", "new", name, status=2)
    assert list(cli.folder.iterdir()) == []


def test_nothing_is_overwritten(cli):
    mine = cli.write("flyte-plugin-spark/README.md", "mine")
    assert "is there already" in cli.error("plugins", "new", "spark", status=2)
    assert mine.read_text() == "mine"
    assert list(mine.parent.iterdir()) == [mine]


def test_a_folder_that_cannot_be_made_is_an_error(cli):
    cli.write("file", "")
    assert "cannot write" in cli.error("plugins", "new", "spark", "--directory", "file/below", status=2)
