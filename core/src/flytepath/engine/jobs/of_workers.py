"""Jobs whose work a worker does: when the vendor says that one has ended, its worker's word decides how."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from flytepath.engine.jobs import Job, Seen, error_of
from flytepath.engine.jobs.slices import ItemsSeen, NewlyEnded
from flytepath.engine.jobs.vendor_calls import Patience, Pauses
from flytepath.engine.jobs.worker_outcomes import Left, as_it_came, failure, left_at, place_of, without_outputs
from flytepath.model.events import ErrorRecord
from flytepath.model.literal import Literal
from flytepath.plugin.backend import BackendError, ErrorClass, Observation, Phase
from flytepath.store.outcomes import UNTOLD

#: Takes over outputs, or says what is wrong with them; asked in a thread.
Take = Callable[[Job, Mapping[str, Literal]], Mapping[str, Literal]]
#: So many outcomes are read at once.
_AT_ONCE: Final = 16


@dataclass(frozen=True, slots=True)
class WorkerEnded:
    """A job of a worker has ended: what the vendor saw, what the worker left, and the outputs if there are any."""

    seen: Seen
    left: Left = field(default_factory=Left)
    outputs: Mapping[str, Literal] | None = None


def is_over(seen: Observation) -> bool:
    """Whether nothing more comes of the job."""
    return seen.gone or (seen.phase is not None and seen.phase.is_terminal)


async def ended_worker(job: Job, seen: Observation, take: Take, patience: Patience) -> WorkerEnded:
    """What came of a job that is over."""
    found = await _came(job, None, take, patience)
    if isinstance(found, ErrorRecord):  # nobody can tell what it left
        return WorkerEnded(Seen(replace(seen, phase=Phase.FAILED, gone=False), error=found))
    left, outputs = found
    seen = as_it_came(seen, left)
    if left.progress is not None:
        seen = replace(seen, progress=left.progress)
    if outputs is not None:
        return WorkerEnded(Seen(seen), left, outputs)
    if seen.phase is Phase.CANCELLED and seen.error_class is None:
        return WorkerEnded(Seen(seen), left)  # by somebody at the vendor: that its worker was told to go is no news
    if seen.phase is Phase.SUCCEEDED:
        error_class, error = ErrorClass.USER, without_outputs(job)
        seen = replace(seen, phase=Phase.FAILED, error_class=ErrorClass.LOST, reason=error.message)
    elif seen.exit_code == UNTOLD and left.error is None:
        error_class = ErrorClass.LOST
        error = error_of(job, error_class, "its worker could not reach the storage", exit_code=seen.exit_code)
    else:
        error_class = seen.error_class or (ErrorClass.LOST if seen.gone else ErrorClass.USER)
        reason = seen.reason or f"the job ended as {seen.raw_state or 'gone'}"
        error = error_of(job, error_class, reason, exit_code=seen.exit_code)
    return WorkerEnded(Seen(seen, error=failure(job, left, error_class, error)), left)


async def ended_items(job: Job, seen: Observation, ended: NewlyEnded, take: Take, patience: Patience) -> ItemsSeen:
    """What came of the items of a slice that have ended since the last look."""
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one(index: int) -> tuple[Left, Mapping[str, Literal] | None] | ErrorRecord:
        async with turns:
            return await _came(job, index, take, patience)

    indices = (*ended.succeeded, *ended.failed)
    came = dict(zip(indices, await asyncio.gather(*(one(index) for index in indices)), strict=True))
    outputs: dict[int, Mapping[str, Literal] | ErrorRecord] = {}
    failed: dict[int, ErrorRecord] = {}
    lefts: dict[int, Left] = {}
    classes = {} if seen.items is None else seen.items.error_classes
    for index, found in came.items():
        if isinstance(found, ErrorRecord):
            failed[index] = found
            continue
        lefts[index], given = found
        if given is not None:
            outputs[index] = given
        elif index in ended.failed:
            error_class = classes.get(index, ErrorClass.USER)
            failed[index] = failure(job, lefts[index], error_class, ended.failed[index])
        else:
            failed[index] = failure(job, lefts[index], ErrorClass.USER, without_outputs(job, index))
    return ItemsSeen(seen, outputs, failed, lefts)


async def _came(
    job: Job, index: int | None, take: Take, patience: Patience
) -> tuple[Left, Mapping[str, Literal] | None] | ErrorRecord:
    """What an attempt left, with its outputs as they may be kept; or why nobody can tell."""
    place, pauses = place_of(job, index), Pauses(patience)
    while True:
        try:
            left = await asyncio.to_thread(left_at, place or "")
            if left.outputs is None:
                return left, None
            return left, await asyncio.to_thread(take, job, left.outputs)
        except BackendError as error:
            if error.error_class is not ErrorClass.UNAVAILABLE or pauses.is_outage:
                return error_of(job, error.error_class, error.message, error.hint)
            await pauses.wait()
