"""What start-up loads: the structure that keeps it quick, asserted on what is imported and never on a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

HEAVY = {
    "alembic",
    "asyncio",
    "cloudpickle",
    "fsspec",
    "importlib.metadata",
    "multiprocessing",
    "pandas",
    "pluggy",
    "pyarrow",
    "pydantic",
    "pydantic_settings",
    "rich",
    "sqlalchemy",
    "sqlite3",
    "stevedore",
    "tomlkit",
    "tomllib",
}

DEFINE = """
from flytepath import task, workflow

@task
def double(x: int) -> int:
    return 2 * x
"""

HELP = """
from flytepath.cli import main
sys.argv = ["flytepath", "--help"]
try:
    main()
except SystemExit as end:
    assert end.code in (0, None), end.code
"""


def loaded_by(code: str, home: Path) -> set[str]:
    """The modules that ``code`` brings into a fresh interpreter, beyond typing and json, which the probe has."""
    probe = "import __future__, json, sys, typing\nbefore = set(sys.modules)\n"
    report = "\nprint('\\n' + json.dumps(sorted(set(sys.modules) - before)))"
    environment = {**os.environ, "FLYTEPATH_HOME": str(home)}
    command = [sys.executable, "-W", "error", "-c", probe + code + report]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=home.parent, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def heavy(loaded: set[str]) -> set[str]:
    return {name for name in HEAVY if name in loaded}


def test_importing_flytepath_loads_flytepath_and_nothing_else(tmp_path: Path) -> None:
    assert loaded_by("import flytepath", tmp_path / "home") == {"flytepath"}


def test_defining_a_task_loads_nothing_heavy(tmp_path: Path) -> None:
    loaded = loaded_by(DEFINE, tmp_path / "home")
    assert "flytepath.authoring.task" in loaded
    assert not heavy(loaded)


def test_defining_a_task_needs_nothing_but_the_standard_library_and_us(tmp_path: Path) -> None:
    tops = {name.partition(".")[0] for name in loaded_by(DEFINE, tmp_path / "home")}
    assert tops - set(sys.stdlib_module_names) == {"flytepath"}


def test_help_loads_nothing_heavy_once_the_index_stands(tmp_path: Path) -> None:
    loaded_by(HELP, tmp_path / "home")
    assert not heavy(loaded_by(HELP, tmp_path / "home"))


def test_importing_scans_no_entry_points_and_leaves_no_trace(tmp_path: Path) -> None:
    forbid = """
import importlib.metadata

def scan(*arguments, **options):
    raise RuntimeError("entry points were scanned")

importlib.metadata.entry_points = importlib.metadata.distributions = importlib.metadata.distribution = scan
"""
    loaded_by(forbid + DEFINE, tmp_path / "home")
    assert not (tmp_path / "home").exists()


def test_importing_every_authoring_name_works(tmp_path: Path) -> None:
    door = {"FlytePath", "AsyncFlytePath", "Execution"}  # it is there to open the store
    code = f"import flytepath\nfor name in set(flytepath.__all__) - {door}: assert getattr(flytepath, name) is not None"
    assert not heavy(loaded_by(code, tmp_path / "home"))
