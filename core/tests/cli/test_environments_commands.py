"""``flytepath environments``: made ahead, listed, removed."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from made_wheels import Wheels

FLOW = """
    from flytepath import ImageSpec, task, workflow

    OFFLINE = {arguments!r}

    @task(container_image=ImageSpec(packages=["conflictlib==1.0"], pip_extra_args=OFFLINE))
    def old() -> str:
        import conflictlib
        return conflictlib.VERSION

    @task(container_image=ImageSpec(packages=["conflictlib==2.0"], pip_extra_args=OFFLINE, env={{"WORD": "image"}}))
    def new() -> str:
        import conflictlib, os
        return conflictlib.VERSION + os.environ["WORD"]

    @task
    def plain() -> int:
        return 1

    @workflow
    def both() -> tuple[str, str, int]:
        changed = plain().with_overrides(
            container_image=ImageSpec(packages=["conflictlib"], pip_extra_args=OFFLINE)
        )
        return old(), new(), changed
"""


@pytest.fixture
def flow(cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in list(os.environ):
        if name.startswith(("PIP_", "UV_")):
            monkeypatch.delenv(name)
    wheels = Wheels(tmp_path / "wheels")
    wheels.add("conflictlib", "1.0")
    wheels.add("conflictlib", "2.0")
    cli.write("flow.py", FLOW.format(arguments=wheels.arguments))
    return cli


def version_in(python: str) -> str:
    code = "import conflictlib; print(conflictlib.VERSION)"
    return subprocess.run([python, "-P", "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_what_the_tasks_of_a_file_need_is_made_listed_and_removed(flow: Any) -> None:
    rows = flow.json("environments", "build", "flow.py")
    own = {(row["task"], version_in(row["python"])) for row in rows if row["own"]}
    assert own == {("flow.old", "1.0"), ("flow.new", "2.0"), ("flow.plain", "2.0")}
    assert [row["task"] for row in rows if not row["own"]] == ["flow.plain"]
    listed = flow.json("environments", "list")
    assert [(one["state"], one["packages"].keys()) for one in listed] == [("ready", {"conflictlib"})] * 3
    table = flow.run("environments", "list").stdout
    assert "conflictlib==1.0" in table
    assert listed[0]["digest"][:12] in table
    again = flow.run("environments", "build", "flow.py")
    assert "making" not in again.stderr
    assert flow.json("environments", "remove", "--unused-for", "1") == {"removed": [], "in_use": []}
    assert flow.run("environments", "remove", listed[0]["digest"][:12]).stdout.startswith("removed ")
    assert len(flow.json("environments", "remove", "--all")["removed"]) == 2
    assert "there are no environments" in flow.run("environments", "list").stdout


def test_one_that_cannot_be_made_does_not_keep_the_others_from_being_made(flow: Any) -> None:
    source = (flow.folder / "flow.py").read_text()
    flow.write("flow.py", source.replace("conflictlib==1.0", "nosuchlib"))
    error = flow.error("environments", "build", "flow.py", status=1)
    assert "[FP-ENVIRONMENT]" in error
    assert "nosuchlib cannot be had" in error
    done = flow.run("environments", "build", "flow.py", "--json", status=1)
    rows = {row["task"]: row for row in json.loads(done.stdout) if row["task"] != "flow.plain"}
    assert rows["flow.old"]["error"]["code"] == "FP-ENVIRONMENT"
    assert version_in(rows["flow.new"]["python"]) == "2.0"
    assert {one["state"] for one in flow.json("environments", "list")} == {"ready", "failed"}


def test_what_is_meant_must_be_clear(flow: Any) -> None:
    assert "FP-USAGE" in flow.error("environments", "remove", status=2)
    assert "FP-USAGE" in flow.error("environments", "remove", "--all", "abc", status=2)
    assert "FP-NOT-FOUND" in flow.error("environments", "remove", "abc", status=2)
    for digest in ("a1" + "0" * 22, "a2" + "0" * 22):
        (flow.home / "environments" / digest).mkdir(parents=True)
    assert "several environments" in flow.error("environments", "remove", "a", status=2)
    assert flow.run("environments", "remove", "a1").stdout.startswith("removed a1")
