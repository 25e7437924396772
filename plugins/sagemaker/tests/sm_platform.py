"""The command line in a process of its own, with its blobs and its tasks at the double of AWS."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flyte_plugin_sagemaker.testing import SageMakerDouble
from flyte_plugin_sagemaker.testing.training import TrainingJob

DEADLINE = 120.0


class Platform:
    """A folder with a flow and a configuration, and the command line there."""

    def __init__(self, double: SageMakerDouble, folder: Path, flow: str, **settings: Any) -> None:
        self.double = double
        self.work = folder / "work"
        self.flags = folder / "flags"
        for path in (self.work, self.flags):
            path.mkdir()
        (self.work / "sm_flow.py").write_text(textwrap.dedent(flow))
        values = double.settings(environment={"FLAGS": str(self.flags)}, **settings)
        lines = [f"{name} = {_toml(value)}" for name, value in values.items()]
        text = f'[store]\nblobs = "s3://flytepath/store"\n\n[backends.sagemaker]\n{chr(10).join(lines)}\n'
        (self.work / "flytepath.toml").write_text(text)
        self._environment = {**os.environ, **double.environment(), "FLYTEPATH_HOME": str(folder / "home")}

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "flytepath", *arguments]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, cwd=self.work, env={**self._environment, **environment}, text=True, **pipes)

    def called(self, *arguments: str, status: int = 0, **environment: str) -> str:
        return self.ended(self.start(*arguments, **environment), status)

    def ended(self, process: subprocess.Popen[str], status: int = 0) -> str:
        try:
            out, err = process.communicate(timeout=DEADLINE)
        finally:
            process.kill()
        assert process.returncode == status, out + err
        return out + err

    def run(self, name: str, *arguments: str, status: int = 0, **environment: str) -> str:
        return self.called("run", "sm_flow.py", name, *arguments, status=status, **environment)

    def shown(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.called("executions", "show", self.latest(), "--json"))
        return found

    def latest(self) -> str:
        found: str = json.loads(self.called("executions", "list", "--json"))[0]["id"]
        return found

    def training(self) -> list[TrainingJob]:
        """The jobs whose containers run now."""
        return [job for job in self.double.training.live() if job.secondary == "Training" and job.containers]

    def until(self, look: Callable[[], Any], what: str) -> Any:
        end = time.monotonic() + DEADLINE
        while not (found := look()):
            assert time.monotonic() < end, f"waited in vain for {what}"
            time.sleep(0.02)
        return found

    def flag(self, name: str) -> None:
        (self.flags / name).touch()

    def is_empty(self) -> bool:
        return not self.double.training.live()


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_toml(item)}" for name, item in value.items()) + " }"
    return json.dumps(value)
