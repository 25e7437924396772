"""A backend whose jobs are processes of this machine: the smallest that runs workers, for tests and as an example.

A job is a folder below the ``folder`` of the settings: who made it, what runs, what it prints, and the exit status. The
processes belong to nobody: they go on when whoever started them ends, as jobs of a vendor do.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from flytepath.plugin import (
    Backend,
    BackendError,
    BlobAccess,
    ErrorClass,
    Found,
    Gone,
    Handle,
    InProgress,
    ItemPhases,
    JobKey,
    Literal,
    LogChunk,
    NotFound,
    NotOurs,
    Observation,
    OwnedJob,
    OwnedPage,
    Owner,
    Phase,
    Plan,
    PlanRequest,
    Tenant,
    Terminal,
    Unknown,
)

#: How a worker ends that could not reach the storage.
_UNTOLD: Final = 75
#: Runs a command and keeps how it ended; the names appear whole or not at all.
_KEEPER = """
import os, subprocess, sys
folder, argv = sys.argv[1], sys.argv[2:]
with open(f"{folder}/log", "ab") as log:
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    status = process.wait()
with open(f"{folder}/.status", "w") as file:
    file.write(str(status))
os.rename(f"{folder}/.status", f"{folder}/status")
"""


class ProcessSettings(BaseModel):
    """``[backends.process]``: the folder of the jobs, and the interpreter that takes the place of ``python``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    folder: str
    python: str = sys.executable


class ProcessBackend(Backend):
    """Jobs as processes."""

    settings: ProcessSettings

    def plan(self, request: PlanRequest) -> Plan:
        """The commands, one for each item."""
        worker = request.worker
        if worker is None:
            raise BackendError("a task without a body has no command", error_class=ErrorClass.INVALID)
        commands = [worker.item_argv(str(position)) for position in range(len(request.items))] or [worker.argv]
        spec = {"commands": [list(command) for command in commands], "env": dict(worker.env)}
        return Plan(
            key=request.key,
            owner=request.owner,
            external_name=request.key.name(request.task.rpartition(".")[2], 40),
            spec=spec,
            digest=request.key.value,
            items=request.items,
        )

    async def submit(self, plan: Plan) -> Handle:
        """Start the processes, once."""
        return await self.in_thread(self._submit, plan)

    def _submit(self, plan: Plan) -> Handle:
        folder = Path(self.settings.folder) / plan.external_name
        handle = Handle({"name": plan.external_name})
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            self._check_ours(folder, plan)
            return handle
        owner = plan.owner
        tenant = owner.tenant
        facts = {
            "key": plan.key.value,
            "owner": [owner.installation, tenant.project, tenant.domain, owner.execution, owner.node_path],
            "items": list(plan.items),
        }
        (folder / "job.json").write_text(json.dumps(facts))
        for number, command in enumerate(plan.spec["commands"]):
            part = folder / str(number)
            part.mkdir()
            argv = [self.settings.python if word == "python" else word for word in command]
            started = subprocess.Popen(
                [sys.executable, "-c", _KEEPER, str(part), *argv],
                env={**os.environ, **plan.spec["env"]},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            (part / "pid").write_text(str(started.pid))
            # Nobody here waits for it: it is looked at as a stranger's.
            started.returncode = 0
        return handle

    def _check_ours(self, folder: Path, plan: Plan) -> None:
        if self._facts(folder).get("key") not in (plan.key.value, None):
            raise BackendError(f"{folder.name} is another's job", error_class=ErrorClass.CONFLICT, accepted=False)

    async def find(self, plan: Plan) -> Found | NotFound | Unknown:
        """Look for the folder."""
        folder = Path(self.settings.folder) / plan.external_name
        if not folder.is_dir():
            return NotFound()
        self._check_ours(folder, plan)
        return Found(Handle({"name": plan.external_name}))

    async def poll(self, handles: Sequence[Handle]) -> Mapping[Handle, Observation | BackendError]:
        """Look at the statuses."""
        return {handle: self._observed(Path(self.settings.folder) / str(handle.data["name"])) for handle in handles}

    def _observed(self, folder: Path) -> Observation:
        if not folder.is_dir():
            return Observation(None, "missing", gone=True)
        items = self._facts(folder).get("items", [])
        phases = [self._phase(part) for part in _parts(folder)]
        by_phase: dict[Phase, tuple[int, ...]] = {}
        statuses: dict[int, int] = {}
        for index, (phase, status) in zip(items, phases, strict=False):
            by_phase[phase] = (*by_phase.get(phase, ()), index)
            if status:
                statuses[index] = status
        ended = all(phase.is_terminal for phase, _ in phases) and bool(phases)
        worst = max((abs(status) for _, status in phases), default=0)
        whole = (Phase.FAILED if worst else Phase.SUCCEEDED) if ended else Phase.RUNNING
        return Observation(
            whole,
            f"status {worst}" if ended else "runs",
            reason=f"exit status {worst}" if ended and worst else "",
            error_class=ErrorClass.USER if ended and worst else None,
            exit_code=worst if ended else None,
            items=_items(by_phase, statuses) if items else None,
        )

    @staticmethod
    def _phase(part: Path) -> tuple[Phase, int]:
        try:
            status = int((part / "status").read_text())
        except FileNotFoundError:
            return Phase.RUNNING, 0
        return (Phase.FAILED if status else Phase.SUCCEEDED), status

    async def cancel(self, key: JobKey, handle: Handle | None, reason: str) -> Gone | Terminal | InProgress | NotOurs:
        """Tell the processes to end, and look whether they have."""
        for folder, facts in self._jobs():
            if facts.get("key") != key.value:
                continue
            seen = self._observed(folder)
            if seen.phase is not None and seen.phase.is_terminal:
                return Terminal(seen)
            living = [part for part in _parts(folder) if _is_told_to_end(part)]
            if living:
                return InProgress("told to end")
            shutil.rmtree(folder, ignore_errors=True)
        return Gone()

    async def collect(self, handle: Handle, sink: BlobAccess) -> Mapping[str, Literal]:
        """Never called: workers leave their outputs themselves."""
        raise BackendError("only workers run here", error_class=ErrorClass.PROTOCOL)

    async def cleanup(self, key: JobKey, handle: Handle | None) -> None:
        """Remove the folder."""
        if handle is not None:
            shutil.rmtree(Path(self.settings.folder) / str(handle.data["name"]), ignore_errors=True)

    async def list_owned(self, scope: str, cursor: str | None = None) -> OwnedPage:
        """The folders whose owner is ``scope``."""
        found = []
        for folder, facts in self._jobs():
            installation, project, domain, execution, node = facts["owner"]
            if installation == scope:
                owner = Owner(installation, Tenant(project, domain), execution, node)
                key = JobKey(facts["key"])
                found.append(OwnedJob(Handle({"name": folder.name}), key, owner, key.value, self._observed(folder)))
        return OwnedPage(tuple(found))

    async def logs(self, handle: Handle, cursor: str | None = None) -> LogChunk:
        """What they printed since ``cursor``."""
        folder, begin = Path(self.settings.folder) / str(handle.data["name"]), int(cursor or 0)
        text = b"".join((part / "log").read_bytes() for part in _parts(folder) if (part / "log").exists())
        seen = self._observed(folder)
        ended = seen.gone or (seen.phase is not None and seen.phase.is_terminal)
        return LogChunk(text[begin:].decode(errors="replace"), str(len(text)), complete=ended)

    def _jobs(self) -> Iterator[tuple[Path, dict[str, Any]]]:
        for path in sorted(Path(self.settings.folder).glob("*/job.json")):
            with suppress(FileNotFoundError):
                yield path.parent, self._facts(path.parent)

    @staticmethod
    def _facts(folder: Path) -> dict[str, Any]:
        try:
            facts: dict[str, Any] = json.loads((folder / "job.json").read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return facts


def _items(by_phase: Mapping[Phase, tuple[int, ...]], statuses: Mapping[int, int]) -> ItemPhases:
    return ItemPhases(
        by_phase,
        {index: f"item {index}: exit status {status}" for index, status in statuses.items()},
        {index: ErrorClass.LOST for index, status in statuses.items() if status == _UNTOLD},
    )


def _is_told_to_end(part: Path) -> bool:
    """Whether the processes of a part still run; they are told to end."""
    try:
        group = int((part / "pid").read_text())
        with suppress(ChildProcessError):
            os.waitpid(group, os.WNOHANG)
        os.killpg(group, signal.SIGTERM)
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return False
    return True


def _parts(folder: Path) -> list[Path]:
    return sorted((path for path in folder.glob("[0-9]*") if path.is_dir()), key=lambda path: int(path.name))
