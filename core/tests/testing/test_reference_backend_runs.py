"""The reference plugin as users have it: installed, configured, and run durably while the vendor misbehaves."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from flytepath.testing.fake_vendor import FakeVendor

FLOW = """
from flytepath import PythonInstanceTask, kwtypes, map_task, workflow
from flytepath.testing.reference_task import VendorJob

count = PythonInstanceTask(
    name="flow.count",
    task_config=VendorJob(seconds=0.05, outputs={"rows": {"$input": "n"}}),
    inputs=kwtypes(n=int),
    outputs=kwtypes(rows=int),
)
failing = PythonInstanceTask(
    name="flow.failing",
    task_config=VendorJob(seconds=0.05, outcome="ERRORED", exit_code=3, message="no such table"),
)

@workflow
def pipeline(n: int = 7) -> list[int]:
    first = count(n=n)
    return map_task(count)(n=[first, 2, 3])

@workflow
def broken() -> None:
    failing()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    info = tmp_path / "site" / "flyte_plugin_vendor-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: flyte-plugin-vendor\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[flytepath.v1]\nvendor = flytepath.testing.reference_job_manifest\n")
    (tmp_path / "flow.py").write_text(FLOW)
    return tmp_path


def run(folder: Path, vendor: FakeVendor, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "flytepath.toml").write_text(f'[backends.vendor]\nurl = "{vendor.url}"\n')
    environment = {
        **os.environ,
        "PYTHONPATH": str(folder / "site"),
        "FLYTEPATH_HOME": str(folder / "home"),
        "FLYTEPATH_SECRET_VENDOR_TOKEN": vendor.token,
    }
    command = [sys.executable, "-m", "flytepath", "run", "flow.py", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def test_a_workflow_gives_its_outputs_although_the_vendor_misbehaves(folder: Path) -> None:
    with FakeVendor() as vendor:
        vendor.faults.add("reset after", "submit", times=1)
        vendor.faults.add("unavailable", "list", times=1, seconds=0.05)
        vendor.faults.add("no result yet", times=1)
        vendor.faults.add("throttled", "submit", times=1, seconds=0.05)
        done = run(folder, vendor, "pipeline")
        assert done.returncode == 0, done.stderr
        assert "o0 = [7, 2, 3]" in done.stdout
        assert vendor.violations == []
        assert Counter(job.state(vendor.now()) for job in vendor.jobs()) == {"FINISHED": 2}
        assert not any(job.has_files for job in vendor.jobs())
        assert vendor.token not in done.stdout + done.stderr


def test_a_failed_job_says_what_the_vendor_said(folder: Path) -> None:
    with FakeVendor() as vendor:
        done = run(folder, vendor, "broken")
    assert done.returncode != 0
    assert "no such table" in done.stderr + done.stdout
