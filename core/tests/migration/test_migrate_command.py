"""``flytepath migrate`` over a code base: what it prints, writes, refuses, and the status it exits with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

pytest.importorskip("libcst")

sys.path.insert(0, str(Path(__file__).parent.parent / "plugin"))

from fake_distributions import Distributions
from flytepath.cli.migrate import migrate
from flytepath.errors import UsageError
from flytepath.plugin.manager import PluginManager, set_current

Migrate = Callable[..., Result]
OLD = "from flytekit import task, FlyteRemote\n\n@task\ndef f() -> None: ...\n"
NEW = "from flytepath import task\nfrom flytekit import FlyteRemote\n\n@task\ndef f() -> None: ...\n"


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "code"
    folder.mkdir()
    monkeypatch.chdir(folder)
    previous = set_current(PluginManager(home=tmp_path / "home"))
    yield folder
    set_current(previous)


@pytest.fixture
def run(code: Path) -> Migrate:
    def invoke(*arguments: str, status: int = 0) -> Result:
        result = CliRunner().invoke(migrate, list(arguments))
        if not isinstance(result.exception, UsageError):
            assert result.exit_code == status, result.output
        return result

    return invoke


def test_a_dry_run_shows_a_diff_and_what_is_left_and_writes_nothing(run: Migrate, code: Path) -> None:
    (code / "flow.py").write_text(OLD)
    output = run(".").output
    assert "--- a/flow.py\n+++ b/flow.py\n" in output
    assert "-from flytekit import task, FlyteRemote\n+from flytepath import task\n" in output
    assert "flow.py:1: flytekit.FlyteRemote: " in output
    assert "hint: there is no Flyte service" in output
    assert "1 would change" in output and "--write" in output
    assert (code / "flow.py").read_text() == OLD


def test_write_changes_the_files_and_a_second_time_nothing(run: Migrate, code: Path) -> None:
    (code / "flow.py").write_text(OLD)
    (code / "flow.py").chmod(0o750)
    assert "1 changed" in run("--write", ".").output
    assert (code / "flow.py").read_text() == NEW
    assert (code / "flow.py").stat().st_mode & 0o777 == 0o750
    assert [path.name for path in code.iterdir()] == ["flow.py"]
    before = (code / "flow.py").stat().st_mtime_ns
    assert "0 changed" in run("--write", ".").output
    assert (code / "flow.py").stat().st_mtime_ns == before


def test_check_exits_with_1_until_nothing_would_change(run: Migrate, code: Path) -> None:
    (code / "flow.py").write_text(OLD)
    run("--check", "flow.py", status=1)
    assert (code / "flow.py").read_text() == OLD
    run("--write", "flow.py")
    run("--check", "flow.py")


def test_json_is_one_document_with_files_and_findings(run: Migrate, code: Path) -> None:
    (code / "flow.py").write_text(OLD)
    (code / "Dockerfile").write_text("RUN pip install flytekit\n")
    (code / "other.py").write_text("import os\n")
    report = json.loads(run("--json", ".").output)
    assert {item["path"]: item["status"] for item in report["files"]} == {
        "Dockerfile": "unchanged",
        "flow.py": "would change",
    }
    assert "+from flytepath import task" in report["files"][1]["diff"]
    assert [(found["file"], found["line"], found["name"]) for found in report["left"]] == [
        ("Dockerfile", 1, "RUN pip install flytekit"),
        ("flow.py", 1, "flytekit.FlyteRemote"),
    ]
    assert all(found["reason"] and found["hint"] for found in report["left"])


def test_a_whole_code_base(run: Migrate, code: Path) -> None:
    files = {
        "pkg/__init__.py": ("from flytekit import task as task\n", "from flytepath import task as task\n"),
        "pkg/types.pyi": ("import flytekit\nx: flytekit.Resources\n", "import flytepath\nx: flytepath.Resources\n"),
        "requirements-dev.txt": ("flytekit>=1\n", "flytepath\n"),
        "requirements/base.in": ("flytekitplugins-ray\n", "flyte-plugin-ray\n"),
        "pyproject.toml": ('[project]\ndependencies = ["flytekit"]\n', '[project]\ndependencies = ["flytepath"]\n'),
        "setup.cfg": ("[options]\ninstall_requires =\n  flytekit\n", "[options]\ninstall_requires =\n  flytepath\n"),
        "setup.py": ("setup(install_requires=['flytekit>1'])\n", "setup(install_requires=['flytepath'])\n"),
        "conf.yaml": ("image: flytekit\n", "image: flytekit\n"),
        ".github/workflows/ci.yml": ("run: pyflyte run\n", "run: pyflyte run\n"),
        "notes.md": ("import flytekit\n", "import flytekit\n"),
        ".hidden/a.py": ("import flytekit\n", "import flytekit\n"),
        "venv/a.py": ("import flytekit\n", "import flytekit\n"),
        "env/pyvenv.cfg": ("flytekit\n", "flytekit\n"),
        "env/lib/a.py": ("import flytekit\n", "import flytekit\n"),
        "old/py2.py": ("print 'nothing of ours'\n", "print 'nothing of ours'\n"),
    }
    for name, (before, _) in files.items():
        (code / name).parent.mkdir(parents=True, exist_ok=True)
        (code / name).write_text(before)
    output = run("--write", ".", "pkg").output
    assert {name: (code / name).read_text() for name in files} == {name: after for name, (_, after) in files.items()}
    assert "conf.yaml:1: image: flytekit" in output
    assert ".github/workflows/ci.yml:1: run: pyflyte run" in output
    assert "7 changed, 0 skipped" in output


def test_a_file_that_does_not_parse_is_reported_and_the_others_are_written(run: Migrate, code: Path) -> None:
    (code / "bad.py").write_text("import flytekit\nprint 'x'\n")
    (code / "flow.py").write_text("import flytekit\n")
    assert "bad.py:2: not read" in run(".").output
    run("--check", ".", status=1)
    output = run("--write", ".", status=1).output
    assert "1 changed, 1 skipped" in output
    assert (code / "flow.py").read_text() == "import flytepath\n"


def test_links_and_read_only_files_are_reported_and_left(run: Migrate, code: Path, tmp_path: Path) -> None:
    (code / "flow.py").write_text("import flytekit\n")
    (code / "a_link.py").symlink_to("flow.py")
    (tmp_path / "shared.py").write_text("import flytekit\n")
    (code / "link.py").symlink_to("../shared.py")
    (code / "locked.py").write_text("import flytekit\n")
    (code / "locked.py").chmod(0o444)
    output = run("--write", ".", status=1).output
    assert "link.py:1: it is a link" in output
    assert "locked.py:1: it is read-only" in output
    assert "a_link.py" not in output
    assert (code / "link.py").is_symlink() and (code / "a_link.py").is_symlink()
    assert (tmp_path / "shared.py").read_text() == "import flytekit\n"
    assert (code / "flow.py").read_text() == "import flytepath\n"
    assert (code / "locked.py").read_text() == "import flytekit\n"


def test_links_to_folders_are_not_followed(run: Migrate, code: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a.py").write_text("import flytekit\n")
    (code / "inside").symlink_to(tmp_path / "outside")
    assert "0 changed" in run("--write", ".").output


def test_pipes_and_dead_links_are_passed_over(run: Migrate, code: Path) -> None:
    os.mkfifo(code / "pipe.py")
    (code / "dead.py").symlink_to("nowhere.py")
    assert "0 would change, 0 skipped" in run(".").output


def test_a_failed_write_leaves_the_old_file_whole(run: Migrate, code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code / "flow.py").write_text(OLD)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    output = run("--write", ".", status=1).output
    assert "not written: No space left on device" in output
    assert (code / "flow.py").read_text() == OLD
    assert [path.name for path in code.iterdir()] == ["flow.py"]


def test_a_file_that_changes_meanwhile_is_not_overwritten(
    run: Migrate, code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code / "flow.py").write_text(OLD)
    monkeypatch.setattr(os, "fsync", lambda _: (code / "flow.py").write_text("# somebody's edit\n"))
    assert "changed by something else" in run("--write", ".", status=1).output
    assert (code / "flow.py").read_text() == "# somebody's edit\n"


def test_a_missing_path_contradicting_options_and_a_missing_libcst_are_usage_errors(
    run: Migrate, code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "no such file or folder: nowhere" in str(run("nowhere").exception)
    assert "exclude each other" in str(run("--write", "--check", ".").exception)
    monkeypatch.setitem(sys.modules, "libcst", None)
    error = run(".").exception
    assert isinstance(error, UsageError)
    assert error.hint == 'pip install "flytepath[migrate]"'


def test_installed_plugins_extend_the_table_and_a_broken_one_does_no_harm(tmp_path: Path) -> None:
    fakes = Distributions(tmp_path / "site", tmp_path / "home")
    fakes.add(
        "tracker",
        """
        @hookimpl
        def flytepath_migrations():
            return [MigrationDeclaration(source="flytekitplugins.mlflow", target="flyte_plugin_tracker",
                                         names=(("mlflow_autolog", "autolog"),))]
        """,
    )
    fakes.add("broken", "raise RuntimeError('no')")
    (tmp_path / "requirements.txt").write_text("flytekitplugins-mlflow\n")
    (tmp_path / "flow.py").write_text("from flytekitplugins.mlflow.tracking import mlflow_autolog\n")
    done = subprocess.run(
        [sys.executable, "-m", "flytepath", "migrate", "--write", "flow.py", "requirements.txt"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(fakes.folder), "FLYTEPATH_HOME": str(fakes.home)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "flow.py").read_text() == "from flyte_plugin_tracker import autolog as mlflow_autolog\n"
    assert (tmp_path / "requirements.txt").read_text() == "flyte-plugin-tracker\n"
