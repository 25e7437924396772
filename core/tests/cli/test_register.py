"""``flytepath register``, ``package`` and ``launchplans`` as a user types them."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

FLOW = """
    from flytepath import LaunchPlan, task, workflow
    from shared import LETTERS

    @task
    def count(text: str, letters: list[str] = LETTERS) -> int:
        return sum(text.count(letter) for letter in letters)

    @workflow
    def flow(text: str, times: int = 1) -> int:
        "Count letters."
        return count(text=text)

    LaunchPlan.get_or_create(flow, "nightly", fixed_inputs={"times": 2}, default_inputs={"text": "abc"})
"""


@pytest.fixture
def code(cli: Any) -> Any:
    cli.write("flows/flow.py", FLOW)
    cli.write("flows/shared.py", "LETTERS = [f'{i:09}' for i in range(9000)] + ['a']\n")
    return cli


def states(answer: Any) -> dict[str, str]:
    return {f"{row['kind']} {row['name']}": row["state"] for row in answer["entities"]}


def test_everything_is_registered_once_under_one_version(code: Any) -> None:
    first = code.json("register", "flows")
    assert states(first) == dict.fromkeys(["task flow.count", "workflow flow.flow", "launch_plan nightly"], "new")
    assert len({row["version"] for row in first["entities"]}) == 1
    again = code.json("register", "flows/flow.py")
    assert set(states(again).values()) == {"unchanged"}
    assert again["version"] == first["version"]
    code.write("flows/shared.py", "LETTERS = ['b']\n")
    changed = code.json("register", "flows")
    assert changed["version"] != first["version"]
    assert set(states(changed).values()) == {"new"}


def test_a_version_never_changes(code: Any) -> None:
    code.run("register", "flows", "--version", "v1")
    code.write("flows/shared.py", "LETTERS = ['b']\n")
    assert "FP-VERSION-CONFLICT" in code.error("register", "flows", "--version", "v1", status=2)
    assert "FP-USAGE" in code.error("register", "flows", "--version", "a@b", status=2)


def test_a_dry_run_keeps_nothing(code: Any) -> None:
    assert "would be registered" in code.run("register", "flows", "--dry-run").stdout
    assert code.json("launchplans", "list") == []


def test_every_broken_file_is_named_and_nothing_registered(code: Any) -> None:
    code.write("flows/syntax.py", "def broken(:\n")
    code.write("flows/needs.py", "import not_there_at_all\n")
    said = code.error("register", "flows", status=2)
    assert "syntax.py" in said
    assert "not_there_at_all" in said
    assert code.json("launchplans", "list") == []


def test_wiring_errors_of_all_workflows_are_told_at_once(code: Any) -> None:
    for name in ("one", "two"):
        code.write(
            f"flows/{name}.py",
            f"""
            from flytepath import workflow
            from flow import count
            @workflow
            def {name}(x: int) -> int:
                return count(text=x)
            """,
        )
    said = code.error("register", "flows", status=2)
    assert "one.py" in said
    assert "two.py" in said


@pytest.mark.parametrize("paths", [["none.py"], ["empty"], ["plain.py"], []])
def test_where_there_is_nothing_to_register_it_is_said(cli: Any, paths: list[str]) -> None:
    (cli.folder / "empty").mkdir()
    cli.write("plain.py", "x = 1\n")
    cli.error("register", *paths, status=2)


def test_a_package_is_registered_with_its_names(cli: Any) -> None:
    cli.write("pack/__init__.py", "")
    cli.write("pack/parts.py", "from flytepath import task\n@task\ndef one() -> int:\n    return 1\n")
    cli.write(
        "pack/flow.py",
        "from flytepath import workflow\nfrom pack.parts import one\n@workflow\ndef wf() -> int:\n    return one()\n",
    )
    cli.write("pack/test_flow.py", "raise RuntimeError('tests are no flows')\n")
    names = states(cli.json("register", "pack"))
    assert names == {"task pack.parts.one": "new", "workflow pack.flow.wf": "new"}


def test_launch_plans_are_listed_and_shown(code: Any) -> None:
    code.run("register", "flows", "--version", "v1")
    assert "nightly" in code.run("launchplans", "list").stdout
    shown = code.run("launchplans", "show", "nightly", "--version", "v1").stdout
    for text in ("flow.flow", 'text: string = "abc"', "times = 2", "Count letters."):
        assert text in shown, text
    assert code.json("launchplans", "show", "nightly")["fixed"]["times"]["data"] == 2
    assert "FP-NOT-FOUND" in code.error("launchplans", "show", "none", status=2)


def moved(code: Any, tmp_path: Path) -> Any:
    """The same command line on another machine, as it were: another home, and no code."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return type(code)(folder, tmp_path / "other-home", code.warm)


def test_an_archive_is_registered_elsewhere_without_its_code(code: Any, tmp_path: Path) -> None:
    code.run("package", "flows", "-o", "out.tgz", "--version", "v7")
    other = moved(code, tmp_path)
    shutil.copy(code.folder / "out.tgz", other.folder)
    # No library of the code is needed: importing it would fail.
    other.write("shared.py", "raise RuntimeError('imported')\n")
    first = other.json("register", "out.tgz")
    assert set(states(first).values()) == {"new"}
    assert first["version"] == "v7"
    assert set(states(other.json("register", "out.tgz")).values()) == {"unchanged"}
    assert other.json("launchplans", "show", "nightly")["identity"].endswith("nightly@v7")
    (other.folder / "shared.py").unlink()
    other.write(
        "caller.py",
        """
        from flytepath import reference_workflow
        @reference_workflow(project="default", domain="development", name="flow.flow", version="v7")
        def flow(text: str, times: int = 1) -> int: ...
        """,
    )
    assert "o0 = 2" in other.run("run", "caller.py", "flow", "--text", "banan").stdout


def test_the_same_code_gives_the_same_bytes_wherever_it_lies(code: Any, tmp_path: Path) -> None:
    code.run("package", "flows", "-o", "a.tgz")
    code.env["PYTHONHASHSEED"] = "7"
    shutil.copytree(code.folder / "flows", code.folder / "copy" / "flows")
    code.run("package", "copy/flows", "-o", "b.tgz")
    code.run("package", "copy/flows/flow.py", "-o", "copy/flows/c.tgz")
    code.run("package", "copy/flows/flow.py", "-o", "copy/flows/d.tgz")
    contents = {
        (code.folder / name).read_bytes() for name in ("a.tgz", "b.tgz", "copy/flows/c.tgz", "copy/flows/d.tgz")
    }
    assert len(contents) == 1


def test_an_archive_is_not_overwritten_unless_forced(code: Any) -> None:
    code.run("package", "flows", "-o", "out.tgz")
    assert "this file exists" in code.error("package", "flows", "-o", "out.tgz", status=2)
    code.run("package", "flows", "-o", "out.tgz", "-f")
    assert ".tgz" in code.error("package", "flows", "-o", "out.zip", status=2)


def test_a_broken_file_leaves_no_archive(code: Any) -> None:
    code.write("flows/syntax.py", "def broken(:\n")
    code.error("package", "flows", "-o", "out.tgz", status=2)
    assert not list(code.folder.glob("*out.tgz*"))


def archive(members: dict[str, bytes], kind: bytes = tarfile.REGTYPE) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as file:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.type = len(content), kind
            entry.linkname = "/etc/passwd"
            file.addfile(entry, io.BytesIO(content))
    return raw.getvalue()


MANIFEST = {"format": 1, "version": "v1", "entities": []}
WORKFLOW = {"kind": "workflow", "name": "x", "bundle": "sha256:0", "spec": "sha256:0"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "damaged"),
        (b"text", "damaged"),
        (gzip.compress(b"not a tar"), "damaged"),
        (archive({"../evil": b"x"}), "no plain file inside"),
        (archive({"/etc/evil": b"x"}), "no plain file inside"),
        (archive({"link": b""}, tarfile.SYMTYPE), "no plain file inside"),
        (archive({"other.txt": b"x"}), "manifest.json"),
        (archive({"manifest.json": b"{"}), "damaged"),
        (archive({"manifest.json": json.dumps({**MANIFEST, "format": 99}).encode()}), "newer version"),
        (archive({"manifest.json": json.dumps({**MANIFEST, "entities": [WORKFLOW]}).encode()}), "damaged"),
        (archive({"manifest.json": json.dumps(MANIFEST).encode(), "bundles/00/a.py": b"x"}), "not what it was"),
        (archive({"manifest.json": json.dumps(MANIFEST).encode(), "constants/00": b"x"}), "not what it was"),
    ],
)
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    from flytepath.cli.archive import read_archive
    from flytepath.cli.constants import ConstantBlobs
    from flytepath.errors import UsageError

    (tmp_path / "a.tgz").write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_archive(tmp_path / "a.tgz", ConstantBlobs())
    assert said in str(caught.value)
