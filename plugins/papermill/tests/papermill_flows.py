"""Durable runs of workflows with notebooks, by the command line, and what is seen of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

from papermill_notebooks import written

_HEAD = """
from __future__ import annotations

from flyte_plugin_papermill import NotebookConfig, NotebookTask
from flytepath import *
from flytepath import map_task, task, workflow, dynamic, current_context, kwtypes
"""


class Flows:
    """A module ``flow.py`` and notebooks in a folder, with a ``FLYTEPATH_HOME`` of their own."""

    def __init__(self, folder: Path, **env: str) -> None:
        self.folder = folder / "project"
        self.folder.mkdir()
        self.env = {**os.environ, "FLYTEPATH_HOME": str(folder / "home"), **env}

    def notebook(self, name: str, *cells: str | dict[str, Any]) -> Path:
        return written(self.folder / f"{name}.ipynb", *cells)

    def module(self, source: str, name: str = "flow") -> None:
        (self.folder / f"{name}.py").write_text(_HEAD + textwrap.dedent(source), encoding="utf-8")

    def flytepath(self, *arguments: str, timeout: float = 200) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "flytepath", *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=timeout, check=False
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "flytepath", *arguments]
        return subprocess.Popen(
            command, cwd=self.folder, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self, workflow: str, *inputs: str) -> tuple[int, dict[str, Any]]:
        """The exit status, and the execution as it is shown."""
        done = self.flytepath("run", "flow.py", workflow, *inputs, "--json")
        assert done.stdout, done.stderr
        return done.returncode, self.shown(json.loads(done.stdout)["id"])

    def succeeded(self, workflow: str, *inputs: str) -> dict[str, Any]:
        status, view = self.run(workflow, *inputs)
        assert status == 0, json.dumps(view["error"], indent=1)
        return view

    def failed(self, workflow: str, *inputs: str) -> dict[str, Any]:
        status, view = self.run(workflow, *inputs)
        assert status == 1, view["outputs"]
        return view

    def shown(self, execution: str) -> dict[str, Any]:
        done = self.flytepath("executions", "show", execution, "--json")
        assert done.returncode == 0, done.stderr
        view: dict[str, Any] = json.loads(done.stdout)
        return view

    def log(self, execution: str) -> str:
        done = self.flytepath("executions", "logs", execution)
        assert done.returncode == 0, done.stderr
        return done.stdout


def events(view: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [event["payload"] for event in view["events"] if event["payload"]["type"] == kind]


def output(view: dict[str, Any]) -> Any:
    [literal] = view["outputs"].values()
    return literal["data"]


def decks(view: dict[str, Any]) -> dict[str, str]:
    return {deck["name"]: text_at(deck["uri"]) for deck in view["decks"]}


def text_at(uri: str) -> str:
    path = Path(url2pathname(urlparse(uri).path)) if "://" in uri else Path(uri)
    return path.read_text(encoding="utf-8")
