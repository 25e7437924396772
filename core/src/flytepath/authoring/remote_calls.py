"""Direct calls of tasks that run on a backend: the whole life of a job, as in a durable run, with a journal in memory.

Jobs of direct calls live in an event loop of their own thread, so that a call may come from any thread, also from one
whose loop is running, and calls made at the same time share connections, polls and pools. Nothing here is imported,
and no thread is started, before the first such call.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from flytepath import config
from flytepath.authoring.context import LOCAL_EXECUTION, current_context
from flytepath.authoring.direct_jobs import DirectJobs, Outputs, jobs_thread
from flytepath.authoring.remote_tasks import (
    RemoteBodyError,
    RemoteTaskError,
    checked_backend,
    error_from,
    job_spec,
    needs_worker,
)
from flytepath.errors import FlytePathError, TypeTransformerFailedError
from flytepath.model.events import ErrorRecord
from flytepath.model.identity import Tenant
from flytepath.store.blobs import BlobFolder
from flytepath.store.literals import offload

if TYPE_CHECKING:
    from flytepath.authoring.task import Task
    from flytepath.model.literal import Literal

log = logging.getLogger("flytepath")

#: How often a call that blocks an event loop looks whether that loop's task was cancelled.
_LOOK_SECONDS: Final = 0.2


def call_remotely(task: Task, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Run one task as a job; its native outputs by name.

    Args:
        task: what runs.
        inputs: checked native inputs.

    Raises:
        RemoteTaskError: its job failed, and no retry helped; code, place and hint are those of the failure.
        RemoteTimeoutError: it took longer than it may.
        FlytePathError: it cannot be run at all; nobody was asked for anything.
    """
    place = _place(task)
    [found] = _waited(place.jobs([_encoded(task, inputs, place.blobs)], path=""))
    if isinstance(found, ErrorRecord):
        raise error_from(found)
    return _decoded(task, found, place.blobs)


def map_remotely(
    task: Task, items: Sequence[Mapping[str, Any]], *, path: str, concurrency: int | None, needed: int
) -> list[dict[str, Any] | Exception]:
    """Run one task for many items, as array jobs where its backend has them: outputs or an error for each.

    Args:
        task: what runs for an item.
        items: checked native inputs of each.
        path: the name of the map.
        concurrency: how many items run at once.
        needed: so many must succeed; when they no longer can, what runs is cancelled.
    """
    if not items:
        return []
    place = _place(task)
    literals = [_encoded(task, inputs, place.blobs) for inputs in items]
    found = _waited(place.jobs(literals, path=path, concurrency=concurrency, needed=needed))
    return [_one(task, item, place.blobs) for item in found]


def _one(task: Task, found: Outputs | ErrorRecord, blobs: BlobFolder) -> dict[str, Any] | Exception:
    if isinstance(found, ErrorRecord):
        return error_from(found)
    try:
        return _decoded(task, found, blobs)
    except FlytePathError as error:
        return error


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the jobs of a call run, and for whom."""

    task: Task
    backend: str
    tenant: Tenant
    blobs: BlobFolder

    def jobs(
        self,
        items: Sequence[Mapping[str, Literal]],
        *,
        path: str,
        concurrency: int | None = None,
        needed: int | None = None,
    ) -> DirectJobs:
        """The jobs of one call."""
        return DirectJobs(
            job_spec(self.task, self.backend),
            self.tenant,
            f"{LOCAL_EXECUTION}-{uuid.uuid4().hex[:16]}",
            items,
            self.blobs,
            path=path,
            concurrency=concurrency,
            needed=len(items) if needed is None else needed,
        )


def _place(task: Task) -> _Place:
    if current_context().tenant is not None:
        raise RemoteTaskError(
            f"task {task.name} runs on a backend and was called by the body of another task",
            place=task.name,
            expected="a call in a workflow, a @dynamic or an @eager task",
            hint="nobody could cancel its job when the task that called it ends; make the caller @eager",
        )
    tenant = Tenant()
    kind, backend = checked_backend(task, tenant)
    if needs_worker(task, kind):
        raise RemoteBodyError(
            f"task {task.name} cannot be called directly: its body runs on backend {backend!r} alone",
            place=task.name,
            expected="a durable run, which sends its code there",
            hint="flytepath run, or FlytePath().execute(...)",
        )
    blobs = BlobFolder(config.blob_root(config.home()), tenant.project, tenant.domain)
    return _Place(task, backend, tenant, blobs)


def _encoded(task: Task, inputs: Mapping[str, Any], blobs: BlobFolder) -> dict[str, Literal]:
    found = {}
    for name, value in inputs.items():
        try:
            found[name] = offload(task.input_codecs[name].encode(value, blobs), blobs)
        except TypeTransformerFailedError as error:
            error.place = f"{task.name}({name}{error.place or ''})"
            raise
    return found


def _decoded(task: Task, outputs: Outputs, blobs: BlobFolder) -> dict[str, Any]:
    missing = task.outputs.keys() - outputs.keys()
    if missing:
        raise RemoteTaskError(
            f"the job of {task.name} gave no output {min(missing)!r}",
            place=task.name,
            expected=", ".join(task.outputs),
            actual=", ".join(outputs) or "no outputs",
            code="FP-JOB-PROTOCOL",
        )
    found = {}
    for name, codec in task.output_codecs.items():
        try:
            found[name] = codec.decode(outputs[name], blobs)
        except FlytePathError as error:
            error.place = f"{task.name}() -> {name}{error.place or ''}"
            raise
    return found


# --- waiting -----------------------------------------------------------------------------------------------------


def _waited(jobs: DirectJobs) -> list[Outputs | ErrorRecord]:
    """What became of the jobs. What interrupts the wait cancels them, and is raised when they are gone."""
    thread = jobs_thread()
    ended = thread.begin(jobs)
    try:
        return _result(ended)
    except BaseException as interrupt:
        if ended.done():
            raise
        _leave(jobs, ended, interrupt)
        raise


def _leave(jobs: DirectJobs, ended: Future[list[Outputs | ErrorRecord]], interrupt: BaseException) -> None:
    """Cancel the jobs and wait until they are gone, unless somebody does not want to wait either."""
    log.warning(
        "cancelling %s; it is over when nothing of it is left. Interrupt again to leave at once", jobs.described()
    )
    jobs_thread().cancel(jobs, f"the call was interrupted ({type(interrupt).__name__})")
    try:
        with suppress(Exception):  # what it came to does not matter any more
            ended.result()
    except BaseException as again:
        jobs.is_left_alone = True
        left = jobs.described(running_only=True)
        if left:
            text = f"not waited for: {left} may still run"
            log.warning("%s", text)
            again.add_note(text)
        raise


def _result(ended: Future[list[Outputs | ErrorRecord]]) -> list[Outputs | ErrorRecord]:
    """Wait; where this blocks an event loop, a cancellation of the task that called is seen too.

    There an interrupt only cancels that task, which would not be told before the call returns.
    """
    try:
        caller = asyncio.current_task()
    except RuntimeError:
        caller = None
    if caller is None:
        return ended.result()
    before = caller.cancelling()
    while True:
        try:
            return ended.result(_LOOK_SECONDS)
        except NotYet:
            if ended.done():
                return ended.result()
            if caller.cancelling() > before:
                raise asyncio.CancelledError from None
