"""A plugin that is removed while its job runs: the job is parked, and goes on when the plugin is back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flytepath.testing.fake_vendor import FakeVendor

DEADLINE = 60.0

FLOW = """
from flytepath import PythonInstanceTask, kwtypes, workflow
from flytepath.testing.reference_task import VendorJob

count = PythonInstanceTask(
    name="flow.count",
    task_config=VendorJob(seconds=60, outputs={"rows": {"$input": "n"}}),
    inputs=kwtypes(n=int),
    outputs=kwtypes(rows=int),
)

@workflow
def pipeline(n: int = 7) -> int:
    return count(n=n)
"""


class Home:
    """A folder with a flow and a home, where the reference plugin can be installed and removed."""

    def __init__(self, folder: Path, vendor: FakeVendor) -> None:
        self.folder = folder
        self.vendor = vendor
        self.plugin = folder / "site" / "flyte_plugin_vendor-1.0.dist-info"
        self.away = folder / "away"
        self.plugin.mkdir(parents=True)
        (self.plugin / "METADATA").write_text("Metadata-Version: 2.1\nName: flyte-plugin-vendor\nVersion: 1.0\n")
        entry = "[flytepath.v1]\nvendor = flytepath.testing.reference_job_manifest\n"
        (self.plugin / "entry_points.txt").write_text(entry)
        (folder / "flow.py").write_text(FLOW)
        (folder / "flytepath.toml").write_text(f'[backends.vendor]\nurl = "{vendor.url}"\n')

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        environment = {
            **os.environ,
            "PYTHONPATH": str(self.folder / "site"),
            "FLYTEPATH_HOME": str(self.folder / "home"),
            "FLYTEPATH_SECRET_VENDOR_TOKEN": self.vendor.token,
        }
        return subprocess.Popen(
            [sys.executable, "-m", "flytepath", *arguments],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def jobs(self) -> list[dict[str, Any]]:
        out, _ = self.start("jobs", "list", "--json").communicate(timeout=DEADLINE)
        found: list[dict[str, Any]] = json.loads(out)
        return found


def until(done: Callable[[], Any]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not done():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)


@pytest.mark.proof
@pytest.mark.parametrize("command", [("executions", "resume", "x1"), ("engine", "start")], ids="-".join)
def test_a_job_whose_plugin_is_removed_is_parked_and_goes_on(tmp_path: Path, command: tuple[str, ...]) -> None:
    with FakeVendor(speed=0) as vendor:
        home = Home(tmp_path, vendor)
        first = home.start("run", "--name", "x1", "flow.py", "pipeline")
        until(lambda: vendor.jobs() and any(job["phase"] == "queued" for job in home.jobs()))
        first.kill()
        first.communicate()
        home.plugin.rename(home.away)
        second = home.start(*command)
        try:
            until(lambda: second.poll() is not None or any("'vendor'" in job["reason"] for job in home.jobs()))
            assert second.poll() is None, second.communicate()
            home.away.rename(home.plugin)
            vendor.finish(vendor.jobs()[0].id)
            until(lambda: not home.jobs())
        finally:
            second.terminate()
            second.communicate(timeout=DEADLINE)
        shown = home.start("executions", "show", "x1", "--json").communicate(timeout=DEADLINE)[0]
        assert json.loads(shown)["status"] == "succeeded"
        assert len(vendor.jobs()) == 1 and vendor.violations == []
