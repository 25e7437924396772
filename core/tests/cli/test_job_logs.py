"""What remote jobs print, while they live and afterwards: with ``executions logs`` and ``jobs logs``."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

sys.path.append(str(Path(__file__).parent.parent / "plugin"))

from fake_distributions import Distributions
from flytepath.testing.fake_vendor import TOKEN, FakeVendor, FaultKind
from test_jobs import Remote

if TYPE_CHECKING:
    from conftest import CommandLine

FLOW = """
    from flytepath import kwtypes, map_task, workflow
    from flytepath.authoring.task import PythonInstanceTask
    from flytepath.testing.reference_task import VendorJob

    query = PythonInstanceTask("flow.query", VendorJob(seconds=None, outputs={"rows": {"$input": "x"}},
                                                       log=("one", "two")),
                               inputs=kwtypes(x=int), outputs=kwtypes(rows=int))

    @workflow
    def wf(x: int = 3) -> int:
        return query(x=x)

    @workflow
    def fan(xs: list[int]) -> list[int]:
        return map_task(query)(x=xs)
"""
PROCESS = """
    @hookimpl
    def flytepath_backends():
        return [BackendDeclaration(
            name="process", backend="flytepath.testing.process_backend:ProcessBackend",
            settings="flytepath.testing.process_backend:ProcessSettings", idempotency="B", runs_workers=True,
            name_limit=40, poll=PollPolicy(first=0.05, longest=0.5))]
"""
WORKED = """
    import time
    from pathlib import Path

    from flytepath import task, workflow

    @task(backend="process")
    def waits(file: str) -> int:
        print("it waits", flush=True)
        while not Path(file).exists():
            time.sleep(0.02)
        print("it was there", flush=True)
        return 1

    @workflow
    def wf(file: str) -> int:
        return waits(file=file)
"""
Until = Callable[[Callable[[], Any], str], Any]


class Lines:
    """The lines that a process has printed so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.seen: list[str] = []
        self._queue: queue.Queue[str] = queue.Queue()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self._queue.put(line.rstrip("\n"))

    def now(self) -> list[str]:
        while not self._queue.empty():
            self.seen.append(self._queue.get())
        return self.seen

    def end(self) -> tuple[list[str], str]:
        """All lines, and what was said on standard error."""
        self.process.wait(timeout=60)
        self._thread.join(timeout=60)
        told = self.process.stderr.read() if self.process.stderr else ""
        self.close()
        return self.now(), told

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(timeout=60)
        self._thread.join(timeout=60)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


@pytest.fixture
def followed(cli: CommandLine) -> Iterator[Callable[..., Lines]]:
    """Starts commands whose lines are read as they come."""
    begun: list[Lines] = []

    def begin(*command: str) -> Lines:
        begun.append(Lines(cli.start(*command)))
        return begun[-1]

    yield begin
    for lines in begun:
        lines.close()


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


def print_more(remote: Remote, *lines: str) -> None:
    for job in remote.vendor.jobs():
        job.spec["log"] += lines


def test_what_a_live_job_has_printed_is_there_before_it_ends(remote: Remote) -> None:
    remote.begin("wf")
    (job,) = remote.in_phase("running")
    assert remote.cli.run("executions", "logs", "x1", "n0").stdout == "one\ntwo\n"
    assert remote.cli.run("executions", "logs", "x1").stdout == "n0 one\nn0 two\n"
    assert remote.cli.run("executions", "logs", "x1", "--tail", "1").stdout == "n0 two\n"
    for which in ([job["key"][7:19]], ["x1", "n0"]):
        assert remote.cli.run("jobs", "logs", *which).stdout == "one\ntwo\n"
    told = remote.cli.run("jobs", "logs", "x1", "n0", "--json").stdout.splitlines()
    assert [json.loads(line) for line in told] == [
        {"node": "n0", "attempt": 1, "line": "one"},
        {"node": "n0", "attempt": 1, "line": "two"},
    ]


@pytest.mark.parametrize("command", [("executions", "logs", "x1", "n0"), ("jobs", "logs", "x1", "n0")])
def test_who_follows_sees_each_line_once_to_the_end(
    remote: Remote, until: Until, followed: Callable[..., Lines], command: tuple[str, ...]
) -> None:
    run = remote.begin("wf")
    remote.in_phase("running")
    lines = followed(*command, "-f")
    until(lambda: lines.now() == ["one", "two"], "the lines so far")
    print_more(remote, "three")
    until(lambda: lines.now() == ["one", "two", "three"], "the next line")
    print_more(remote, "four")
    remote.finish()
    assert run.wait(timeout=60) == 0
    seen, told = lines.end()
    assert (seen, told, lines.process.returncode) == (["one", "two", "three", "four"], "", 0)
    assert remote.cli.run(*command).stdout == "one\ntwo\nthree\nfour\n"


def test_who_follows_before_there_is_a_job_sees_all_of_it(
    remote: Remote, until: Until, followed: Callable[..., Lines]
) -> None:
    (remote.cli.folder / "flytepath.toml").write_text("")  # it waits for the settings of its backend
    run = remote.begin("wf")
    until(lambda: remote.cli.run("executions", "show", "x1", status=None).returncode == 0, "the execution")
    lines = followed("executions", "logs", "x1", "n0", "-f")
    remote.configure()
    remote.in_phase("running")
    until(lambda: lines.now() == ["one", "two"], "the lines")
    remote.finish()
    assert run.wait(timeout=60) == 0
    assert lines.end() == (["one", "two"], "")


def test_a_slice_of_a_map_has_one_log_that_names_it(remote: Remote) -> None:
    remote.install(array=2)
    run = remote.begin("fan", "--xs", "[1,2,3]")
    jobs = remote.in_phase("running", 2)
    last = next(job for job in jobs if len(remote.cli.json("jobs", "show", job["key"])["plan"]["items"]) == 1)
    labels = {f"n0@{job['key'][7:19]}" for job in jobs}

    def shown(*node: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for line in remote.cli.run("executions", "logs", "x1", *node).stdout.splitlines():
            label, _, text = line.partition(" ")
            found.setdefault(label, []).append(text)
        return found

    assert shown() == shown("n0") == {label: ["one", "two"] for label in labels}
    of_item = {f"n0@{last['key'][7:19]}": ["one", "two"]}
    assert shown("n0/2") == of_item
    assert remote.cli.run("jobs", "logs", last["key"]).stdout == "one\ntwo\n"
    remote.finish()
    assert run.wait(timeout=60) == 0
    assert shown() == {label: ["one", "two"] for label in labels}
    assert shown("n0/2") == of_item
    assert remote.cli.run("jobs", "logs", last["key"], "-f").stdout == "one\ntwo\n"


def test_a_vendor_that_cannot_be_asked_is_a_warning(
    remote: Remote, until: Until, followed: Callable[..., Lines]
) -> None:
    run = remote.begin("wf")
    remote.in_phase("running")
    fault = remote.vendor.faults.add(FaultKind.UNAVAILABLE, "logs")
    done = remote.cli.run("executions", "logs", "x1", "n0")
    assert done.stderr.count("warning: the log of a job of vendor cannot be read") == 1
    assert "Traceback" not in done.stderr
    lines = followed("executions", "logs", "x1", "n0", "-f")
    until(lambda: fault.happened >= 4, "it is asked again")
    remote.vendor.faults.clear()
    until(lambda: lines.now() == ["one", "two"], "the lines come when it answers")
    remote.finish()
    assert run.wait(timeout=60) == 0
    assert lines.end()[1].count("warning") == 1


def test_a_backend_that_cannot_be_made_is_a_warning(remote: Remote) -> None:
    remote.begin("wf")
    remote.in_phase("running")
    (remote.cli.folder / "flytepath.toml").write_text("")
    done = remote.cli.run("executions", "logs", "x1", "n0")
    assert "warning: the logs of jobs of vendor cannot be read: [FP-BACKEND-MISSING]" in done.stderr


def test_secrets_of_the_backend_are_not_told(remote: Remote) -> None:
    remote.cli.write("flow.py", FLOW.replace('"two")', f'"token {TOKEN} end")'))
    remote.begin("wf")
    remote.in_phase("running")
    assert remote.cli.run("executions", "logs", "x1", "n0").stdout == "one\ntoken [secret vendor.token] end\n"


def test_a_job_that_there_is_not_is_an_error(remote: Remote) -> None:
    assert "no job has a key that begins so" in remote.cli.error("jobs", "logs", "abcdef", status=2)


def test_a_worker_elsewhere_is_followed_while_it_works(
    cli: CommandLine, tmp_path: Path, until: Until, followed: Callable[..., Lines]
) -> None:
    fakes = Distributions(tmp_path / "site", cli.home)
    fakes.add("process", PROCESS)
    cli.write("flow.py", WORKED)
    (tmp_path / "jobs").mkdir()
    (cli.folder / "flytepath.toml").write_text(
        f'[store]\nblobs = "{tmp_path}/shared"\n[backends.process]\nfolder = "{tmp_path}/jobs"\n'
    )
    cli.env.update(fakes.environment())
    file = tmp_path / "there"
    run = cli.start("run", "--name", "x1", "flow.py", "wf", "--file", str(file))
    try:
        until(lambda: cli.run("executions", "show", "x1", status=None).returncode == 0, "the execution")
        lines = followed("executions", "logs", "x1", "n0", "-f")
        until(lambda: "it waits" in lines.now(), "what it prints while it works")
        file.touch()
        _, told = run.communicate(timeout=60)
        assert run.returncode == 0, told
        seen, _ = lines.end()
        assert [line for line in seen if line.startswith("it ")] == ["it waits", "it was there"]
    finally:
        if run.poll() is None:
            run.kill()
            run.communicate(timeout=60)
