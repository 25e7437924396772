"""``flytepath jobs``, and what other commands say of remote jobs: against a vendor, with a plugin that is installed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from flytepath.model.events import Actor, Event, ExecutionCreated, JobPlanned
from flytepath.store.events import open_store
from flytepath.testing.fake_vendor import TOKEN, FakeVendor, FaultKind

sys.path.append(str(Path(__file__).parent.parent / "plugin"))

from fake_distributions import Distributions

if TYPE_CHECKING:
    from conftest import CommandLine

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


def test_a_job_that_waits_says_for_what_and_behind_whom(remote: Remote) -> None:
    remote.configure('[pools."vendor/main"]\nlimit = 1\n')
    run = remote.begin("two")
    remote.in_phase("running")
    found = remote.in_phase("waiting_quota")
    assert [job["phase"] for job in found if job["waits"] is None] == ["running"]
    (waiting,) = [job for job in found if job["waits"] is not None]
    assert waiting["waits"]["pool"] == "vendor/main"
    assert waiting["waits"]["position"] == 1
    reason = waiting["waits"]["reason"]
    assert reason
    node = waiting["node"]
    for text in (
        remote.cli.run("jobs", "list").stdout,
        remote.cli.run("jobs", "show", waiting["key"]).stdout,
        remote.cli.run("executions", "show", "x1").stdout,
        remote.cli.run("executions", "explain", "x1", node).stdout,
    ):
        assert f"pool vendor/main, in place 1: {reason}" in text
    nodes = {each["path"]: each for each in remote.cli.json("executions", "show", "x1")["nodes"]}
    assert nodes[node]["jobs"][0]["waits"]["reason"] == reason
    assert remote.cli.json("jobs", "show", "x1", node)["holds"] == {}
    remote.finish()
    remote.in_phase("running")
    remote.finish()
    assert run.wait(timeout=60) == 0, run.stderr.read() if run.stderr else ""


def test_what_waits_for_a_plugin_is_parked_and_goes_on_when_it_is_there(remote: Remote, until: Until) -> None:
    (remote.cli.folder / "flytepath.toml").write_text("")
    run = remote.begin("wf")

    def reason() -> str:
        done = remote.cli.run("executions", "show", "x1", "--json", status=None)
        if done.returncode:
            return ""
        return str(json.loads(done.stdout)["nodes"][0]["reason"])

    said = until(reason, "the node says why it is parked")
    assert "backend 'vendor' cannot be used" in said
    assert f"it is parked: {said}" in remote.cli.run("executions", "explain", "x1", "n0").stdout
    remote.configure()
    remote.in_phase("running")
    remote.finish()
    _, told = run.communicate(timeout=60)
    assert run.returncode == 0, told
    assert "is parked: backend 'vendor' cannot be used" in told
    assert "is no longer parked" in told


@pytest.mark.parametrize("is_there", [True, False])
def test_a_person_says_what_became_of_a_job_when_nobody_can_know(remote: Remote, until: Until, is_there: bool) -> None:
    remote.install(idempotency="C")
    kind = FaultKind.RESET_AFTER if is_there else FaultKind.RESET_BEFORE
    remote.vendor.faults.add(kind, "submit", times=1)
    run = remote.begin("wf")
    (job,) = until(lambda: [each for each in remote.in_phase("ambiguous") if "adopt" in each["reason"]], "it asks")
    short = job["key"][7:19]
    text = remote.cli.run("executions", "explain", "x1", "n0").stdout
    assert "it is parked: nobody can know whether the vendor has this job" in text
    assert f"flytepath jobs adopt {short}" in text
    assert "its submission was cut off" in text

    error = remote.cli.error("jobs", "adopt", short, "--handle", "{no", status=2)
    assert "no JSON" in error
    assert "a handle is a JSON object" in remote.cli.error("jobs", "adopt", short, "--handle", "[1]", status=2)
    assert "either which job" in remote.cli.error("jobs", "adopt", short, status=2)
    assert "either which job" in remote.cli.error("jobs", "adopt", short, "--handle", "{}", "--not-there", status=2)

    if is_there:
        handle = json.dumps({"id": remote.vendor.jobs()[0].id})
        done = remote.cli.run("jobs", "adopt", short, "--handle", handle)
        assert f"job {short} of execution x1 is {handle}" in done.stdout
    else:
        assert remote.cli.json("jobs", "adopt", short, "--not-there")["posted"] is True
    remote.in_phase("running")
    error = remote.cli.error("jobs", "adopt", short, "--not-there", status=2)
    assert "nobody has to say what became of it" in error
    remote.finish()
    assert run.wait(timeout=60) == 0, run.stderr.read() if run.stderr else ""
    assert len(remote.vendor.jobs()) == 1
    assert not remote.vendor.violations
    error = remote.cli.error("jobs", "adopt", short, "--not-there", status=2)
    assert "has ended as succeeded" in error


def test_slices_of_a_map_are_counted_by_phase(remote: Remote) -> None:
    remote.install(array=3)
    run = remote.begin("fan", "--xs", "[1,2,3,4,5]")
    found = remote.in_phase("running", 2)
    assert sorted(job["node"] for job in found) == ["n0", "n0"]
    (node, *_) = remote.cli.json("executions", "show", "x1")["nodes"]
    assert sum(node["items"]["phases"].values()) == 5
    assert sorted(sum(job["items"].values()) for job in node["jobs"]) == [2, 3]
    text = remote.cli.run("executions", "show", "x1").stdout
    assert "jobs      " in text and "3 items" in text
    assert "its jobs: " in remote.cli.run("executions", "explain", "x1", "n0").stdout
    by_items = {len(remote.cli.json("jobs", "show", job["key"])["plan"]["items"]): job["key"] for job in found}
    assert remote.cli.json("jobs", "show", "x1", "n0/0")["key"] == by_items[3]
    assert remote.cli.json("jobs", "show", "x1", "n0/4")["key"] == by_items[2]
    remote.finish()
    _, told = run.communicate(timeout=60)
    assert run.returncode == 0, told
    assert "of 3 items asks for 1 of vendor/main" in told


def test_jobs_that_nobody_owns_are_listed_and_ended_only_when_asked_to(remote: Remote) -> None:
    with open_store(remote.cli.home) as store:
        installation = store.installation()
    tags = {
        "flytepath-installation": installation,
        "flytepath-key": "sha256:" + "ab" * 32,
        "flytepath-owner": json.dumps(["shop", "development", "gone", "n7"]),
        "flytepath-digest": "sha256:0",
    }
    ours = remote.vendor.make_foreign("left", tags=tags)
    theirs = remote.vendor.make_foreign("theirs", tags={**tags, "flytepath-installation": "another"})
    remote.begin("wf")
    remote.in_phase("running")
    dry = remote.cli.run("jobs", "reap")
    assert "abababababab  vendor  ACTIVE  gone n7 of shop/development: there is no such execution" in dry.stdout
    assert "nothing was touched" in dry.stderr
    remote.configure("[jobs]\ngrace = 7\n")
    assert [each["left_seconds"] for each in remote.cli.json("jobs", "reap")["orphans"]] == [7.0]
    assert remote.vendor.state(ours) == "ACTIVE"
    report = remote.cli.json("jobs", "reap", "--backend", "vendor", "--yes")
    assert [(each["key"], each["outcome"]) for each in report["orphans"]] == [(tags["flytepath-key"], "cancelled")]
    assert remote.vendor.state(ours) == "CANCELED"
    assert remote.vendor.state(theirs) == "ACTIVE"
    assert remote.in_phase("running")
    assert "no vendor shows a job that nobody owns" in remote.cli.run("jobs", "reap").stderr


def test_a_vendor_that_is_away_is_named(remote: Remote) -> None:
    remote.cli.run("jobs", "list")
    with remote.vendor.refusing_connections():
        done = remote.cli.run("jobs", "reap", status=1)
    assert "backend vendor could not be looked through" in done.stderr
    assert "cannot be used" in remote.cli.error("jobs", "reap", "--backend", "nobody", status=1)


def test_a_job_whose_engine_was_killed_is_still_shown(remote: Remote) -> None:
    run = remote.begin("wf")
    (job,) = remote.in_phase("running")
    run.send_signal(signal.SIGKILL)
    run.wait(timeout=60)
    assert [each["key"] for each in remote.jobs()] == [job["key"]]
    text = remote.cli.run("executions", "explain", "x1", "n0").stdout
    assert "it runs on vendor" in text and "as far as was seen when its engine ended" in text
    assert "flytepath executions resume x1" in text
    assert "no vendor shows" in remote.cli.run("jobs", "reap", "--yes").stderr
    remote.finish()
    done = remote.cli.run("executions", "resume", "x1")
    assert "o0 = 3" in done.stdout
    assert len(remote.vendor.jobs()) == 1


# --- which job is meant ------------------------------------------------------------------------------------------


def recorded(home: Path, *keys: str) -> None:
    """An execution with jobs of these keys."""
    ada = Actor(kind="user", name="ada")
    created = ExecutionCreated(
        project="shop", domain="development", workflow="w", workflow_version="v1", spec="sha256:0", bundle=""
    )
    plan = {"name": "j", "digest": "", "scope": "", "items": [], "owner": ["i", "shop", "development", "x1", "n0"]}
    planned = [
        JobPlanned(key=key, node="n0", attempt=1, backend="vendor", settings="", plan={**plan, "secrets": []})
        for key in keys
    ]
    events = [
        Event(execution="x1", seq=seq, at=float(seq), actor=ada, payload=payload)
        for seq, payload in enumerate([created, *planned], 1)
    ]
    with open_store(home) as store:
        store.create("x1", events)


def test_a_job_is_found_by_the_beginning_of_its_key_or_by_its_node(cli: CommandLine) -> None:
    one, two = "sha256:" + "ab" * 32, "sha256:" + "abcd" * 16
    recorded(cli.home, one, two)
    assert cli.json("jobs", "show", "abab")["key"] == one
    assert cli.json("jobs", "show", two[:12])["key"] == two
    shown = cli.json("jobs", "show", "x1", "n0")
    assert (shown["key"], shown["others"]) == (two, [one])
    assert "several jobs have keys that begin so" in cli.error("jobs", "show", "ab", status=2)
    assert "no job has a key that begins so" in cli.error("jobs", "show", "x1", status=2)
    assert "no job has a key that begins so" in cli.error("jobs", "show", "%", status=2)
    assert "has had no remote job" in cli.error("jobs", "show", "x1", "n1", status=2)
    assert "no execution" in cli.error("jobs", "show", "x2", "n0", status=2)
    assert json.loads(cli.run("jobs", "show", "zz", "--json", status=2).stdout)["error"]["code"]


def test_jobs_are_listed_by_what_they_are(cli: CommandLine) -> None:
    assert "no live jobs" in cli.run("jobs", "list").stderr
    recorded(cli.home, "sha256:" + "ab" * 32)
    assert len(cli.json("jobs", "list", "-p", "shop", "-d", "development", "--backend", "vendor")) == 1
    assert len(cli.json("jobs", "list", "--execution", "x1", "--phase", "planned")) == 1
    for other in (["-p", "other"], ["--backend", "other"], ["--phase", "running"], ["--execution", "x2"]):
        assert cli.json("jobs", "list", *other) == []
    assert "Invalid value" in cli.run("jobs", "list", "--phase", "dead", status=2).stderr


SLEEPERS = """
    import pathlib, time
    from flytepath import task, workflow

    @task(pools={"licences": 1})
    def work(x: int) -> int:
        while not pathlib.Path("open").exists():
            time.sleep(0.02)
        return x

    @workflow
    def both(x: int = 1) -> tuple[int, int]:
        return work(x=x), work(x=x)
"""


def test_a_task_on_this_machine_says_which_pool_it_waits_for(cli: CommandLine, until: Until) -> None:
    cli.write("flytepath.toml", "[pools.licences]\nlimit = 1\n")
    cli.write("flow.py", SLEEPERS)
    run = cli.start("run", "--name", "x1", "flow.py", "both")
    try:

        def waiting() -> list[dict[str, Any]]:
            done = cli.run("executions", "show", "x1", "--json", status=None)
            nodes = json.loads(done.stdout)["nodes"] if done.returncode == 0 else []
            return [node for node in nodes if "waits for pool licences, in place 1" in node["reason"]]

        (node,) = until(waiting, "one waits for the other")
        text = cli.run("executions", "explain", "x1", node["path"]).stdout
        assert "it is ready, and waits for pool licences, in place 1: all 1 of 'licences' is held" in text
    finally:
        cli.write("open", "")
        run.communicate(timeout=60)
    assert run.returncode == 0
