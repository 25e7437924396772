"""``flytepath jobs``, and what the other commands say of remote jobs: against a vendor, with a plugin that is installed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flytepath.model.events import Actor, Event, ExecutionCreated, JobPlanned
from flytepath.store.events import open_store
from flytepath.testing.fake_vendor import TOKEN, FakeVendor, FaultKind

sys.path.insert(0, str(Path(__file__).parent.parent / "plugin"))

from conftest import CommandLine
from fake_distributions import Distributions

MANIFEST = """
    @hookimpl
    def flytepath_task_types():
        return [TaskTypeDeclaration(name="vendor-job", task_type="flytepath.testing.reference_task:VendorJobTask",
                                    config="flytepath.testing.reference_task:VendorJob", default_backend="vendor")]

    @hookimpl
    def flytepath_backends():
        return [BackendDeclaration(
            name="vendor", backend="flytepath.testing.reference_backend:VendorBackend",
            settings="flytepath.testing.reference_backend:VendorSettings", idempotency="%(idempotency)s",
            batch_limit=200, array_limit=%(array)d, visibility_seconds=0.2, name_limit=40, call_seconds=10.0,
            poll=PollPolicy(first=0.05, longest=0.2), pools=(PoolDeclaration(name="vendor/{account}", limit=20),),
        )]
"""
FLOW = """
    from flytepath import kwtypes, map_task, workflow
    from flytepath.authoring.task import PythonInstanceTask
    from flytepath.testing.reference_task import VendorJob

    query = PythonInstanceTask("flow.query", VendorJob(seconds=None, outputs={"rows": {"$input": "x"}}),
                               inputs=kwtypes(x=int), outputs=kwtypes(rows=int))

    @workflow
    def wf(x: int = 3) -> int:
        return query(x=x)

    @workflow
    def two(x: int = 3) -> tuple[int, int]:
        return query(x=x), query(x=x)

    @workflow
    def fan(xs: list[int]) -> list[int]:
        return map_task(query)(x=xs)
"""
Until = Callable[[Callable[[], Any], str], Any]


class Remote:
    """A command line whose configuration leads to a vendor."""

    def __init__(self, cli: CommandLine, vendor: FakeVendor, fakes: Distributions, until: Until) -> None:
        self.cli = cli
        self.vendor = vendor
        self._fakes = fakes
        self._until = until
        self._runs: list[subprocess.Popen[str]] = []

    def install(self, *, idempotency: str = "B", array: int = 100) -> None:
        self._fakes.add("vendor", MANIFEST % {"idempotency": idempotency, "array": array})

    def configure(self, more: str = "") -> None:
        (self.cli.folder / "flytepath.toml").write_text(f'[backends.vendor]\nurl = "{self.vendor.url}"\n{more}')

    def begin(self, *arguments: str, name: str = "x1") -> subprocess.Popen[str]:
        run = self.cli.start("run", "--name", name, "flow.py", *arguments)
        self._runs.append(run)
        return run

    def jobs(self, *arguments: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.cli.json("jobs", "list", *arguments)
        return found

    def in_phase(self, phase: str, count: int = 1) -> list[dict[str, Any]]:
        """The live jobs, as soon as so many are in a phase."""

        def there() -> list[dict[str, Any]]:
            found = self.jobs()
            return found if sum(job["phase"] == phase for job in found) >= count else []

        return self._until(there, f"{count} jobs {phase}")  # type: ignore[no-any-return]

    def finish(self) -> None:
        for job in self.vendor.jobs():
            if self.vendor.state(job.id) not in ("FINISHED", "CANCELED"):
                self.vendor.finish(job.id)

    def end(self) -> None:
        for run in self._runs:
            if run.poll() is None:
                run.kill()
            run.communicate(timeout=60)


@pytest.fixture
def remote(cli: CommandLine, tmp_path: Path, until: Until) -> Iterator[Remote]:
    fakes = Distributions(tmp_path / "site", cli.home)
    with FakeVendor() as vendor:
        made = Remote(cli, vendor, fakes, until)
        made.install()
        made.configure()
        cli.write("flow.py", FLOW)
        cli.env.update(fakes.environment(FLYTEPATH_SECRET_VENDOR_TOKEN=TOKEN))
        try:
            yield made
        finally:
            made.end()


def test_a_job_is_listed_shown_and_explained_while_it_runs_and_after_its_end(remote: Remote) -> None:
    run = remote.begin("wf")
    (job,) = remote.in_phase("running")
    short = job["key"][7:19]
    assert (job["execution"], job["node"], job["backend"], job["scope"]) == ("x1", "n0", "vendor", "main")
    assert job["raw_state"] == "ACTIVE"
    assert job["external_name"] == remote.vendor.jobs()[0].name
    assert f"{short}  running (ACTIVE)" in remote.cli.run("jobs", "list").stdout

    shown = remote.cli.json("jobs", "show", short)
    assert shown == remote.cli.json("jobs", "show", job["key"]) == remote.cli.json("jobs", "show", "x1", "n0")
    assert shown["handle"]["id"] == remote.vendor.jobs()[0].id
    assert shown["holds"] == shown["asks"] == {"vendor/main": 1}
    assert shown["task"] == "flow.query"
    assert [event["payload"]["type"] for event in shown["events"]][:3] == [
        "job_planned",
        "job_submitting",
        "job_submitted",
    ]
    text = remote.cli.run("jobs", "show", short).stdout
    for said in ("running (ACTIVE)", "1 of vendor/main", "flow.query", job["external_name"], "link", "job_submitted"):
        assert said in text
    assert TOKEN not in text and TOKEN not in json.dumps(shown)

    text = remote.cli.run("executions", "show", "x1").stdout
    assert f"{short} it runs on vendor as {job['external_name']} (ACTIVE)" in text
    view = remote.cli.json("executions", "show", "x1")
    assert [(each["phase"], each["key"]) for each in view["nodes"][0]["jobs"]] == [("running", job["key"])]
    assert "it runs on vendor" in remote.cli.run("executions", "show", "x1", "n0").stdout
    text = remote.cli.run("executions", "explain", "x1", "n0").stdout
    assert "it was submitted as" in text and "since then it is running (ACTIVE)" in text
    assert "jobs: 1 running" in remote.cli.run("executions", "list").stdout

    remote.finish()
    output, told = run.communicate(timeout=60)
    assert run.returncode == 0, told
    assert "o0 = 3" in output
    assert "asks for 1 of vendor/main" in told
    assert f"is submitted to vendor as {job['external_name']}" in told
    assert "running on vendor (ACTIVE)" in told
    assert remote.jobs() == []
    assert [each["phase"] for each in remote.jobs("--all")] == ["succeeded"]
    assert [each["phase"] for each in remote.jobs("--phase", "succeeded")] == ["succeeded"]
    assert remote.cli.json("jobs", "show", short)["job"]["doing"] == "it has ended as succeeded"
    assert remote.cli.json("executions", "show", "x1")["nodes"][0]["jobs"] == []
