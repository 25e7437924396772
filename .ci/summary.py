"""Sum what every tox environment reported into one line: ``N passed, N failed, N skipped``.

An environment with pytest leaves ``<environment>.xml`` (JUnit) beside ``tox.json``; one without counts as a single
check. Nothing that went wrong can vanish: an environment that failed, or a tox that died, is at least one failure.
"""

from __future__ import annotations

import argparse
import json
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Counts:
    """How many checks passed, failed and were skipped.

    Example:
        >>> print(Counts(passed=2) + Counts(failed=1))
        2 passed, 1 failed, 0 skipped
    """

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def read_junit(path: Path) -> Counts:
    """The counts of one JUnit file; a file that was torn by a crash is one failure.

    Args:
        path: what ``pytest --junitxml`` wrote.
    """
    try:
        suites = ET.parse(path).getroot().iter("testsuite")
        total = Counts()
        for suite in suites:
            failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            skipped = int(suite.get("skipped", 0))
            # A test that passed and whose teardown then broke is counted in both; it is a failure only.
            total += Counts(max(int(suite.get("tests", 0)) - failed - skipped, 0), failed, skipped)
    except (ET.ParseError, OSError, ValueError):
        return Counts(failed=1)
    return total


def environment_counts(result: dict[str, Any], junit: Path) -> Counts:
    """The counts of one tox environment.

    Args:
        result: the ``result`` object tox wrote for it; empty when tox never came to run it.
        junit: where its pytest run, if it has one, left its report.
    """
    if result.get("skipped"):
        return Counts(skipped=1)
    counts = read_junit(junit) if junit.exists() else Counts()
    if result.get("success"):
        return counts if junit.exists() else Counts(passed=1)
    return counts if counts.failed else counts + Counts(failed=1)


def summarise(folder: Path, exit_status: int) -> tuple[Counts, list[str]]:
    """The sum over all environments, and the names of those that failed.

    Args:
        folder: holds ``tox.json`` and the JUnit files.
        exit_status: tox's own.
    """
    report = folder / "tox.json"
    try:
        environments: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))["testenvs"]
    except (OSError, ValueError, KeyError):
        environments = {}
    total, broken = Counts(), []
    for name, content in environments.items():
        if not content:  # tox names an environment that was not asked for, such as the long tier, and says no more
            continue
        counts = environment_counts(content.get("result") or {}, folder / f"{name}.xml")
        total += counts
        if counts.failed:
            broken.append(name)
    if not environments or (exit_status and not total.failed):
        total += Counts(failed=1)
        broken.append("tox")
    return total, broken


def main(arguments: list[str] | None = None) -> int:
    """Print the line; the exit status is 1 when anything failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--exit-status", type=int, default=0, help="what tox itself returned")
    options = parser.parse_args(arguments)
    total, broken = summarise(options.folder, options.exit_status)
    if broken:
        sys.stdout.write(f"failed: {', '.join(broken)}\n")
    sys.stdout.write(f"{total}\n")
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
