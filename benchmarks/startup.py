"""The cases of start-up: what a bare interpreter, an import, a first task, ``--help`` and a hundred plugins cost."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from benchmarks import fake_plugins
from benchmarks.measure import Case, Result

BARE = "python, nothing else"
HELP = "flytepath --help"
PLUGINS = 100

_FIRST_TASK = """
from {library} import task, workflow

@task
def double(x: int) -> int:
    return 2 * x
"""

_FIRST_FLOW = """
from metaflow import FlowSpec, step

class Double(FlowSpec):
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass
"""

# In one process: what the contract itself costs is paid once per process, and is not the manifest's.
_IMPORT_MANIFESTS = """
import importlib, json, sys, time
import flytepath.plugin
from flytepath.plugin import *
took = []
for name in sys.argv[1:]:
    began = time.perf_counter()
    importlib.import_module(name)
    took.append((time.perf_counter() - began) * 1000)
print(json.dumps(took))
"""


def cases(scratch: Path) -> tuple[list[Case], list[str]]:
    """What to time, and notes about what is not here to be compared with."""
    programs = {"task": _FIRST_TASK.format(library="flytepath"), "empty": "pass\n"}
    for name, text in programs.items():
        (scratch / f"{name}.py").write_text(text)
    fakes = scratch / "fakes"
    fake_plugins.install(fakes, PLUGINS)
    alone = {"FLYTEPATH_HOME": str(scratch / "home")}
    crowded = {
        "FLYTEPATH_HOME": str(scratch / "crowded"),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(fakes), os.environ.get("PYTHONPATH")])),
    }
    python = sys.executable
    ours = [
        Case(BARE, [python, str(scratch / "empty.py")]),
        Case("import flytepath", [python, "-c", "import flytepath"], alone, BARE, 4.0),
        Case("import task, workflow; define one task", [python, str(scratch / "task.py")], alone, BARE, 8.0),
        Case(HELP, [*command("flytepath"), "--help"], alone, BARE, 8.0),
        Case(f"{HELP}, {PLUGINS} plugins installed", [*command("flytepath"), "--help"], crowded, HELP, 1.3),
        Case("flytepath plugins list", [*command("flytepath"), "plugins", "list"], alone, BARE),
        Case(
            f"flytepath plugins list, {PLUGINS} plugins installed",
            [*command("flytepath"), "plugins", "list"],
            crowded,
            "flytepath plugins list",
        ),
    ]
    others, notes = neighbours(scratch)
    return ours + others, notes


def neighbours(scratch: Path) -> tuple[list[Case], list[str]]:
    """The same steps in other libraries, where they are installed."""
    python, found, notes = sys.executable, [], []
    if find_spec("flytekit"):
        (scratch / "flytekit_task.py").write_text(_FIRST_TASK.format(library="flytekit"))
        found += [
            Case("import flytekit", [python, "-c", "import flytekit"], {}, BARE),
            Case("flytekit: define one task", [python, str(scratch / "flytekit_task.py")], {}, BARE),
        ]
        if shutil.which("pyflyte", path=str(Path(python).parent)):
            found.append(Case("pyflyte --help", [*command("pyflyte"), "--help"], {}, BARE))
    else:
        notes.append("flytekit is not installed here: pip install flytekit to see it side by side")
    if find_spec("metaflow"):
        (scratch / "metaflow_flow.py").write_text(_FIRST_FLOW)
        home = {"METAFLOW_HOME": str(scratch / "metaflow"), "USERNAME": "benchmark"}
        found += [
            Case("import metaflow", [python, "-c", "import metaflow"], home, BARE),
            Case("metaflow: define one flow", [python, str(scratch / "metaflow_flow.py")], home, BARE),
        ]
    else:
        notes.append("metaflow is not installed here: pip install metaflow to see it side by side")
    return found, notes


def command(name: str) -> list[str]:
    """The installed script of this environment, as a user starts it."""
    script = Path(sys.executable).parent / name
    return [str(script)] if script.exists() else [sys.executable, "-m", name]


def manifest_imports(scratch: Path, repetitions: int) -> list[Result]:
    """What reading one manifest costs, once the contract is loaded: our own plugins' and the fakes'."""
    from importlib.metadata import entry_points

    installed = {point.name: point.value for point in entry_points(group="flytepath.v1") if point.name != "flytepath"}
    fakes = scratch / "manifests"
    names = {**installed, "a fake plugin": fake_plugins.install(fakes, 1)[0]}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(fakes), os.environ.get("PYTHONPATH", "")])}
    taken: list[list[float]] = []
    for _ in range(repetitions):
        probe = [sys.executable, "-c", _IMPORT_MANIFESTS, *names.values()]
        done = subprocess.run(probe, env=environment, capture_output=True, text=True, check=True)
        taken.append(json.loads(done.stdout))
    medians = [statistics.median(times) for times in zip(*taken, strict=True)]
    return [Result(f"manifest of {name}", median, reach=5.0) for name, median in zip(names, medians, strict=True)]
