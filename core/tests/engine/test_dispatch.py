"""Local workers: they come up or say why not, and never outlive whoever started them."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import pytest
from flytepath.engine.dispatch import LocalWorker, WorkerPool, WorkerSetting
from flytepath.errors import WorkerError
from flytepath.model.messages import AttemptErred, RunAttempt
from flytepath.model.task import Body, Interface, TaskSpec


def setting(folder: Path, **changes: str) -> WorkerSetting:
    code = folder / "code"
    code.mkdir(exist_ok=True)
    facts = {"project": "p", "domain": "d", "code_path": str(code), "blob_root": str(folder / "blobs")}
    return WorkerSetting(**facts | changes)


def children() -> set[str]:
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if parent == str(os.getpid()) and b"flytepath.worker" in command:
            found.add(entry.name)
    return found


@pytest.mark.parametrize("after", [0.0, 0.005, 0.02, 0.1])
def test_a_start_that_is_cancelled_leaves_no_process(tmp_path: Path, after: float) -> None:
    async def cancelled() -> None:
        starting = asyncio.create_task(LocalWorker.start(setting(tmp_path)))
        await asyncio.sleep(after)
        starting.cancel()
        try:
            worker = await starting
        except asyncio.CancelledError:
            return
        await worker.close()

    asyncio.run(cancelled())
    assert not children()


def test_an_interpreter_that_is_not_there_is_an_error_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match="cannot be started") as caught:
        asyncio.run(LocalWorker.start(setting(tmp_path, python="/no/such/python")))
    assert caught.value.place == "/no/such/python"


def test_a_worker_that_does_not_come_up_is_reported_with_what_it_printed(tmp_path: Path) -> None:
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\necho no module named flytepath >&2\nexit 1\n")
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    with pytest.raises(WorkerError, match="did not come up") as caught:
        asyncio.run(LocalWorker.start(setting(tmp_path, python=str(fake))))
    assert "no module named flytepath" in str(caught.value.actual)


def attempt(number: int, entry: str, folder: Path) -> RunAttempt:
    task = TaskSpec(name="t", interface=Interface(), body=Body(entry=entry))
    return RunAttempt(execution="x", node="n0", attempt=number, task=task, working_directory=str(folder / "attempt"))


def test_a_warm_worker_keeps_its_attempts_output_apart(tmp_path: Path) -> None:
    where = setting(tmp_path)
    (tmp_path / "code" / "noisy.py").write_text(
        "import os\nfrom flytepath import current_context, task\n"
        "@task\ndef say() -> None:\n"
        "    os.write(1, f'attempt {current_context().attempt} of {os.getpid()}'.encode())\n"
    )

    async def both() -> list[str]:
        pool = WorkerPool(where, 1)
        try:
            requests = [attempt(number, "noisy:say", tmp_path) for number in (1, 2)]
            results = [await pool.run(request, None, lambda _: None, None) for request in requests]
            return [result.log.decode() for result in results]
        finally:
            await pool.close()

    first, second = asyncio.run(both())
    assert first.startswith("attempt 1 of ")
    assert second == first.replace("attempt 1", "attempt 2")
    assert not children()


def test_a_task_that_is_not_in_the_bundle_is_a_failure_of_the_system(tmp_path: Path) -> None:
    where = setting(tmp_path)
    (tmp_path / "code" / "empty.py").write_text("")

    async def run() -> object:
        pool = WorkerPool(where, 1)
        try:
            return (await pool.run(attempt(1, "empty:gone", tmp_path), None, lambda _: None, None)).message
        finally:
            await pool.close()

    message = asyncio.run(run())
    assert isinstance(message, AttemptErred)
    assert message.error.kind == "system"
    assert "empty:gone" in message.error.message
