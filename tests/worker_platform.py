"""A platform whose Python tasks run as processes that nobody here drives, and what can be looked up about them."""

from __future__ import annotations

import importlib
import os
import sys
import textwrap
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flytepath import FlytePath
from flytepath.client import LocalClient, Scope
from flytepath.model.identity import Tenant
from flytepath.plugin import manager as managers
from flytepath.types.engine import PickleFallbackWarning

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "core" / "tests" / "plugin"))

from fake_distributions import Distributions  # noqa: E402

DEADLINE = 120.0
PASSWORD = "swordfish-42"
SCOPE = Scope(Tenant("default", "development"), "tester")

MANIFEST = """
    @hookimpl
    def flytepath_backends():
        return [BackendDeclaration(
            name="process", backend="{backend}", settings="flytepath.testing.process_backend:ProcessSettings",
            idempotency="B", runs_workers=True, array_limit={array}, name_limit=40, visibility_seconds=0.3,
            poll=PollPolicy(first=0.05, longest=0.5))]

    @hookimpl
    def flytepath_boundary_checks():
        return [BoundaryCheckDeclaration(marker="worker_checks.AtMost", checker="worker_checks:Checker")]
"""
CHECKS = """
    from dataclasses import dataclass

    from flytepath.plugin import BoundaryChecker, BoundaryReport


    @dataclass(frozen=True)
    class AtMost:
        limit: int


    class Checker(BoundaryChecker):
        def check(self, value, marker, context):
            return BoundaryReport(
                value <= marker.limit, f"{value} of {context.variable}, at most {marker.limit}",
                details={"value": value}, decks=(("check", f"<p>{context.side} {value}</p>"),))
"""
PARTS = {
    "__init__.py": """
        import json
        from pathlib import Path

        from worker_parts.numbers import times

        def table():
            return json.loads((Path(__file__).parent / "table.json").read_text())
    """,
    "numbers.py": """
        def times(x: int, factor: int) -> int:
            return x * factor
    """,
    "table.json": '{"a": "first", "b": "second"}',
}
BACKEND = "flytepath.testing.process_backend:ProcessBackend"


class Platform:
    """A platform of this process whose Python tasks run as jobs of the process backend."""

    def __init__(self, api: FlytePath, flows: Any, home: Path, jobs: Path, work: Path, shared: Path) -> None:
        self.api, self.flows, self.home = api, flows, home
        self.jobs, self.work, self.shared = jobs, work, shared
        self._client: LocalClient | None = None

    @property
    def client(self) -> LocalClient:
        """Another door to the same home."""
        if self._client is None:
            self._client = LocalClient(self.home)
        return self._client

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def run(self, flow: str, /, **inputs: Any) -> Any:
        """The execution of a flow, when it has ended."""
        return self.api.wait(self.begin(flow, **inputs), DEADLINE)

    def begin(self, flow: str, /, **inputs: Any) -> Any:
        return self.api.execute(getattr(self.flows, flow), inputs)

    def events(self, execution: Any, kind: str = "") -> list[Any]:
        """What was recorded of an execution, all or of one type."""
        payloads = [event.payload for event in self.client.events(SCOPE, execution.id)]
        return [payload for payload in payloads if kind in ("", payload.type)]

    def submitted(self, execution: Any) -> int:
        """How many jobs it has made."""
        return len(self.events(execution, "job_submitted"))

    def text(self, blob: Any) -> str:
        """What a blob holds."""
        return Path(blob.uri.removeprefix("file://")).read_text()

    def log(self, execution: Any) -> str:
        """What the jobs of an execution have printed."""
        return "".join(self.text(written.log) for written in self.events(execution, "log_written"))

    def decks(self, execution: Any) -> dict[str, str]:
        """The decks of an execution by name."""
        return {written.name: self.text(written.deck) for written in self.events(execution, "deck_written")}

    def ran(self) -> list[str]:
        """What tasks have left word of."""
        path = self.work / "ran"
        return path.read_text().splitlines() if path.exists() else []

    def workers(self) -> list[int]:
        """The processes of jobs that still run."""
        found = []
        for part in self.jobs.glob("*/*/pid"):
            try:
                group = int(part.read_text())
                os.killpg(group, 0)
            except (OSError, ValueError):
                continue
            found.append(group)
        return found


def until(condition: Callable[[], Any], what: str = "it") -> Any:
    """Wait for a condition."""
    end = time.monotonic() + DEADLINE
    while not (found := condition()):
        assert time.monotonic() < end, f"{what} did not happen"
        time.sleep(0.02)
    return found


def code_for(work: Path) -> None:
    """Put the flows, and the package they import, where a user would have them."""
    (work / "worker_flow.py").write_text((HERE / "worker_flow.py").read_text())
    (work / "worker_parts").mkdir()
    for name, text in PARTS.items():
        (work / "worker_parts" / name).write_text(textwrap.dedent(text))


def flows_of_now() -> Any:
    """The flows as the file holds them now."""
    sys.modules.pop("worker_flow", None)
    importlib.invalidate_caches()
    with warnings.catch_warnings(category=PickleFallbackWarning, action="ignore"):
        return importlib.import_module("worker_flow")


@contextmanager
def worker_platform(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    configuration: str = "",
    array: int = 100,
    backend: str = BACKEND,
) -> Iterator[Platform]:
    """A platform; at its end no job is left."""
    home, jobs, shared = tmp_path / "home", tmp_path / "jobs", tmp_path / "shared"
    home.mkdir()
    jobs.mkdir()
    fakes = Distributions(tmp_path / "site", home)
    fakes.add("process", MANIFEST.format(backend=backend, array=array))
    (fakes.folder / "worker_checks.py").write_text(textwrap.dedent(CHECKS))
    fakes.configure(
        f"""
        [store]
        blobs = "{shared}"
        [task_backends]
        python = "process"
        shell = "process"
        [backends.process]
        folder = "{jobs}"
        """
        + textwrap.indent(textwrap.dedent(configuration), " " * 8)
    )
    code_for(fakes.work)
    variables = fakes.environment(FLYTEPATH_SECRET_DB_PASSWORD=PASSWORD, WORKER_MARKS=str(fakes.work))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(str(fakes.folder))
    monkeypatch.syspath_prepend(str(fakes.work))
    monkeypatch.chdir(fakes.work)
    before = managers.set_current(None)
    try:
        flows = flows_of_now()
        with FlytePath(home=home) as api:
            platform = Platform(api, flows, home, jobs, fakes.work, shared)
            try:
                yield platform
            finally:
                platform.close()
    finally:
        managers.set_current(before)
        for name in [name for name in sys.modules if name.startswith(("worker_flow", "worker_parts", "worker_checks"))]:
            monkeypatch.delitem(sys.modules, name, raising=False)
    until(lambda: not list(jobs.iterdir()), "the end of all jobs")
