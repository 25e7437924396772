"""``flytepath versions`` and ``launchplans`` as a user types them."""

from __future__ import annotations

import itertools
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flytepath.cli.root import run_command_line
from flytepath.client import Scope
from flytepath.client.plans import open_plans
from flytepath.model.identity import Identity, Tenant
from flytepath.model.launch_plan import LaunchPlanSpec
from flytepath.model.literal import canonical_json, sha256
from flytepath.model.task import Interface
from flytepath.store.events import open_store

FLOW = """
import datetime as dt
from flytepath import CronSchedule, FixedRate, LaunchPlan, task, workflow

@task
def double(x: int) -> int:
    return 2 * x

@workflow
def wf(x: int, when: dt.datetime) -> int:
    return double(x=x)

LaunchPlan.create(
    "nightly", wf, default_inputs={"x": 3},
    schedule=CronSchedule(schedule="30 2 * * *", timezone="Asia/Kolkata", kickoff_time_input_arg="when"),
    auto_activate=%s,
)
LaunchPlan.create("often", wf, fixed_inputs={"x": 3},
                  schedule=FixedRate(dt.timedelta(minutes=5), kickoff_time_input_arg="when", catch_up="all"))
"""


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return tmp_path_factory.mktemp("registered") / "home"


@dataclass
class Here:
    """The command line in this process, for commands that import nobody's code."""

    home: Path
    capsys: pytest.CaptureFixture[str]

    def said(self, *arguments: str, status: int = 0) -> tuple[str, str]:
        with pytest.raises(SystemExit) as ended:
            run_command_line(list(arguments))
        out, err = self.capsys.readouterr()
        assert ended.value.code == status, out + err
        return out, err

    def run(self, *arguments: str) -> str:
        return self.said(*arguments)[0]

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json"))

    def error(self, *arguments: str) -> str:
        return self.said(*arguments, status=2)[1]


@pytest.fixture
def code(cli, kept, monkeypatch, capsys):
    """A home with three versions, registered once."""
    monkeypatch.setenv("FLYTEPATH_HOME", str(cli.home))
    if kept.exists():
        shutil.copytree(kept, cli.home)
    else:
        cli.write("flow.py", FLOW % False)
        for version in ("v1", "v2", "v3"):
            cli.run("register", "flow.py", "--version", version)
        shutil.copytree(cli.home, kept)
    return Here(cli.home, capsys)


def test_versions_are_listed(code) -> None:
    listed = code.json("versions", "list", "nightly")
    assert [row["version"] for row in listed] == ["v3", "v2", "v1"]
    assert {row["kind"] for row in listed} == {"launch_plan"}
    assert listed[0]["identity"] == "default/development/nightly@v3"
    assert listed[0]["principal"] and listed[0]["code"].startswith("sha256:") and listed[0]["registered_at"] > 0
    assert [row["active"] for row in listed] == [False, False, False]
    assert {row["kind"] for row in code.json("versions", "list", "flow.wf")} == {"workflow"}
    assert len(code.json("versions", "list", "task", "flow.double")) == 3
    assert len(code.json("versions", "list", "launch-plan", "nightly")) == 3
    code.run("versions", "activate", "nightly", "v2")
    lines = code.run("versions", "list", "nightly").splitlines()
    assert [line[:2] for line in lines] == ["  ", "* ", "  "]
    assert "v2" in lines[1] and listed[0]["principal"] in lines[1]
    assert "FP-NOT-FOUND" in code.error("versions", "list", "none")
    assert "FP-NOT-FOUND" in code.error("versions", "list", "task", "nightly")
    assert "no kind 'moon'" in code.error("versions", "list", "moon", "nightly")


def test_a_version_is_activated_and_rolled_back(code) -> None:
    assert code.json("versions", "activate", "nightly", "v1")["changed"] is True
    assert code.json("versions", "activate", "nightly", "v1")["changed"] is False
    code.run("versions", "activate", "nightly", "v3")
    assert code.json("versions", "rollback", "nightly")["version"] == "v1"
    assert code.json("versions", "rollback", "nightly")["version"] == "v3"
    assert "v2 is active" in code.run("versions", "rollback", "nightly", "--to", "v2")
    history = code.json("versions", "history", "nightly")
    assert [(row["number"], row["version"]) for row in history] == [
        *((5, "v2"), (4, "v3"), (3, "v1"), (2, "v3"), (1, "v1")),
    ]
    assert all(row["principal"] and row["at"] > 0 for row in history)
    assert "active version already" in code.error("versions", "rollback", "nightly", "--to", "v2")
    assert "v3, v2, v1" in code.error("versions", "rollback", "nightly", "--to", "v9")
    assert "FP-NOT-FOUND" in code.error("versions", "activate", "nightly", "v9")
    assert "not a launch plan" in code.error("versions", "activate", "flow.wf", "v1")
    assert len(code.json("versions", "history", "nightly")) == 5


def test_without_a_past_there_is_no_way_back(code) -> None:
    assert "ever active" in code.error("versions", "rollback", "nightly")
    code.run("versions", "activate", "nightly", "v1")
    assert "--to VERSION" in code.error("versions", "rollback", "nightly")
    code.run("launchplans", "deactivate", "nightly")
    assert code.json("versions", "rollback", "nightly")["version"] == "v1"


def test_launch_plans_say_what_is_active(code) -> None:
    shown = code.json("launchplans", "show", "nightly")
    assert (shown["active"], shown["next_runs"], shown["identity"][-2:]) == (None, [], "v3")
    assert "active      no" in code.run("launchplans", "show", "nightly")
    code.run("launchplans", "activate", "nightly", "v1")
    code.run("launchplans", "activate", "often")
    shown = code.json("launchplans", "show", "nightly")
    assert shown["active"]["version"] == "v1" and shown["latest"] == "v3" and shown["identity"].endswith("@v1")
    # half past two in India
    assert len(shown["next_runs"]) == 3 and all(run.endswith("T21:00:00+00:00") for run in shown["next_runs"])
    text = code.run("launchplans", "show", "nightly")
    assert "active      yes, since" in text and "latest      v3" in text and text.count("next run") == 3
    assert "no, but v1 is" in code.run("launchplans", "show", "nightly", "--version", "v2")
    listed = {row["name"]: row for row in code.json("launchplans", "list")}
    assert listed["often"]["active"]["version"] == "v3" and len(listed["often"]["next_runs"]) == 1
    assert code.run("launchplans", "list").count("active") == 2
    assert code.json("launchplans", "deactivate", "nightly")["version"] is None
    assert code.json("launchplans", "deactivate", "nightly")["changed"] is False
    assert code.json("launchplans", "show", "nightly")["active"] is None
    assert "FP-NOT-FOUND" in code.error("launchplans", "activate", "none")
    assert "FP-NOT-FOUND" in code.error("launchplans", "deactivate", "none")


def test_registering_activates_what_says_so_once(cli, monkeypatch, capsys) -> None:
    monkeypatch.setenv("FLYTEPATH_HOME", str(cli.home))
    here = Here(cli.home, capsys)
    cli.write("flow.py", FLOW % True)
    assert "active now" not in cli.run("register", "flow.py", "--version", "v1", "--dry-run").stdout
    rows = cli.json("register", "flow.py", "--version", "v1")["entities"]
    assert [row["name"] for row in rows if row["activated"]] == ["nightly"]
    assert cli.run("register", "flow.py", "--version", "v2").stdout.count("active now") == 1
    here.run("versions", "rollback", "nightly")
    # the same version once more does not undo the way back
    cli.run("register", "flow.py", "--version", "v2")
    assert here.json("launchplans", "show", "nightly")["active"]["version"] == "v1"


def test_nobodys_change_is_lost(cli, code) -> None:
    """Several processes, and threads in them, change one launch plan at a time."""
    scope = Scope(Tenant(), "ada")

    def change(number: int) -> int:
        with open_plans(code.home) as plans:
            for _ in range(5):
                plans.activate(scope, "nightly", f"v{number % 3 + 1}")
                plans.deactivate(scope, "nightly")
        return number

    others = [cli.start("versions", "activate", "nightly", f"v{number}") for number in (1, 2, 3)]
    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(change, range(4))) == [0, 1, 2, 3]
    assert [other.wait(60) for other in others] == [0, 0, 0]
    for other in others:
        other.communicate()
    history = code.json("versions", "history", "nightly")
    assert [row["number"] for row in history] == list(range(len(history), 0, -1))
    # each change changed something: two neighbours never say the same
    assert all(one["version"] != other["version"] for one, other in itertools.pairwise(history))


def test_the_active_version_is_run_where_none_is_named(code) -> None:
    scope = Scope(Tenant(), "ada")
    with open_plans(code.home) as plans:
        assert plans.to_run(scope, "nightly").version == "v3"
        plans.activate(scope, "nightly", "v1")
        assert plans.to_run(scope, "nightly").version == "v1"
        plans.deactivate(scope, "nightly")
        assert plans.to_run(scope, "nightly").version == "v3"


def test_a_schedule_that_cannot_be_read_is_a_problem_and_hides_nothing(code) -> None:
    lost = {"kind": "cron", "schedule": "daily", "timezone": "Atlantis/Capital"}
    spec = LaunchPlanSpec(name="lost", workflow="flow.wf", spec="sha256:0", interface=Interface(), schedule=lost)
    data = spec.model_dump(mode="json", exclude_defaults=True)
    with open_store(code.home) as store:
        digest = sha256(canonical_json(data))
        store.put_spec(digest, data)
        store.registry.register(Identity("default", "development", "lost", "v1"), "launch_plan", digest, "sha256:1")
    code.run("launchplans", "activate", "lost")
    assert "problem     there is no time zone 'Atlantis/Capital'" in code.run("launchplans", "show", "lost")
    listed = {row["name"]: row["problem"] for row in code.json("launchplans", "list")}
    assert "Atlantis" in listed["lost"] and listed["nightly"] is None
