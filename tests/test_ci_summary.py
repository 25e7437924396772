"""The last line of a CI run counts everything, and nothing that went wrong can vanish from it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SUMMARY = Path(__file__).resolve().parent.parent / ".ci" / "summary.py"


def junit(tests: int = 0, failures: int = 0, errors: int = 0, skipped: int = 0) -> str:
    counts = f'tests="{tests}" failures="{failures}" errors="{errors}" skipped="{skipped}"'
    return f'<?xml version="1.0"?><testsuites><testsuite name="x" {counts}></testsuite></testsuites>'


def environment(success: bool = True, skipped: bool = False) -> dict[str, object]:
    return {"result": {"success": success, "exit_code": 0 if success else 1, "skipped": skipped}}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path


def summarise(folder: Path, environments: dict[str, object] | None, *, exit_status: int = 0) -> tuple[int, list[str]]:
    if environments is not None:
        (folder / "tox.json").write_text(json.dumps({"testenvs": environments}))
    command = [sys.executable, str(SUMMARY), str(folder), "--exit-status", str(exit_status)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not done.stderr
    return done.returncode, done.stdout.splitlines()


def test_sums_tests_of_all_environments_and_counts_a_check_without_tests_as_one(results: Path) -> None:
    (results / "core-py311.xml").write_text(junit(tests=10, skipped=2))
    (results / "core-py312.xml").write_text(junit(tests=5))
    code, lines = summarise(results, {"lint": environment(), "core-py311": environment(), "core-py312": environment()})
    assert (code, lines) == (0, ["14 passed, 0 failed, 2 skipped"])


def test_failures_and_errors_both_fail_and_are_named(results: Path) -> None:
    (results / "e2e.xml").write_text(junit(tests=5, failures=1, errors=1))
    code, lines = summarise(results, {"e2e": environment(success=False), "lint": environment()}, exit_status=1)
    assert (code, lines) == (1, ["failed: e2e", "4 passed, 2 failed, 0 skipped"])


def test_an_environment_that_failed_without_tests_is_one_failure(results: Path) -> None:
    code, lines = summarise(results, {"lint": environment(success=False)}, exit_status=1)
    assert (code, lines[-1]) == (1, "0 passed, 1 failed, 0 skipped")


def test_an_environment_that_could_not_be_installed_is_a_failure(results: Path) -> None:
    code, lines = summarise(results, {"plugin-x": {"setup": []}, "lint": environment()}, exit_status=1)
    assert (code, lines) == (1, ["failed: plugin-x", "1 passed, 1 failed, 0 skipped"])


def test_an_environment_that_died_after_green_tests_is_still_a_failure(results: Path) -> None:
    (results / "e2e.xml").write_text(junit(tests=3))
    code, lines = summarise(results, {"e2e": environment(success=False)}, exit_status=1)
    assert (code, lines[-1]) == (1, "3 passed, 1 failed, 0 skipped")


def test_a_missing_interpreter_is_a_skip(results: Path) -> None:
    code, lines = summarise(results, {"core-py313": environment(skipped=True), "lint": environment()})
    assert (code, lines) == (0, ["1 passed, 0 failed, 1 skipped"])


def test_an_environment_nobody_asked_for_does_not_count(results: Path) -> None:
    code, lines = summarise(results, {"proof": {}, "lint": environment()})
    assert (code, lines) == (0, ["1 passed, 0 failed, 0 skipped"])


@pytest.mark.parametrize("content", ["", "<testsuites><testsuite tests='3'", '<testsuite tests="many"/>'])
def test_a_torn_report_is_a_failure(results: Path, content: str) -> None:
    (results / "e2e.xml").write_text(content)
    code, lines = summarise(results, {"e2e": environment()})
    assert (code, lines[-1]) == (1, "0 passed, 1 failed, 0 skipped")


def test_a_tox_that_never_reported_is_a_failure(results: Path) -> None:
    code, lines = summarise(results, None, exit_status=1)
    assert (code, lines) == (1, ["failed: tox", "0 passed, 1 failed, 0 skipped"])


def test_a_tox_that_failed_though_all_environments_passed_is_a_failure(results: Path) -> None:
    code, lines = summarise(results, {"lint": environment()}, exit_status=2)
    assert (code, lines) == (1, ["failed: tox", "1 passed, 1 failed, 0 skipped"])
