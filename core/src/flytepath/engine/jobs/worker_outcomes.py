"""What workers elsewhere left of their attempts, read when their job has ended, or one item of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from flytepath.engine.jobs import Job, error_of
from flytepath.engine.local.places import outcome_place
from flytepath.engine.outage import in_one_line
from flytepath.errors import FlytePathError, StoreError
from flytepath.model.events import ErrorRecord, Usage
from flytepath.model.literal import Literal
from flytepath.model.messages import (
    AttemptErred,
    AttemptOutcome,
    AttemptSucceeded,
    BoundaryResult,
    DeckReport,
)
from flytepath.plugin.backend import BackendError, ErrorClass, Observation, Phase
from flytepath.store.blobs import local_path_of
from flytepath.store.outcomes import outcomes_at

_NONE: Final = Usage()
#: Of the place of an outcome, the names below the folder of its tenant, less one: ``outputs/execution/node/1.outcome``.
_BELOW_TENANT: Final = 3


@dataclass(frozen=True, slots=True)
class Left:
    """What was left of one attempt.

    Attributes:
        outputs: the outputs, where they were committed.
        error: why it failed, as the first process says that did.
        usage: what it used; of a gang, the member that gave the outputs.
        progress: how far it had come.
        reports: decks and checks of all processes, in the order of their ends.
    """

    outputs: Mapping[str, Literal] | None = None
    error: ErrorRecord | None = None
    usage: Usage = _NONE
    progress: float | None = None
    reports: tuple[DeckReport | BoundaryResult, ...] = ()


#: What the vendor says of a machine counts for more than what a process says that lost others with it.
_TAKEN_AWAY: Final = frozenset({ErrorClass.PREEMPTED, ErrorClass.LOST})


def left_at(place: str) -> Left:
    """What was left of an attempt at ``place``. Blocks.

    Raises:
        BackendError: it cannot be read now, or was written by another version.
    """
    outcomes = outcomes_at(place)
    try:
        result = outcomes.result()
        beside = [*outcomes.all_of("errors"), *outcomes.all_of("reports")]
        if result is None and not beside:
            _check_shelf(place)
    except (FlytePathError, OSError) as error:
        raise BackendError(
            f"what its worker left cannot be read: {in_one_line(error)}",
            error_class=ErrorClass.UNAVAILABLE,
            place=place,
        ) from error
    try:
        made = None if result is None else AttemptOutcome.model_validate_json(result)
        others = [AttemptOutcome.model_validate_json(content) for content in beside]
    except ValueError as error:
        raise BackendError(
            f"what its worker left cannot be understood: {error}",
            error_class=ErrorClass.INVALID,
            place=place,
            hint="use an image with the flytepath of the engine",
        ) from error
    others.sort(key=lambda each: each.at)
    reports = tuple(report for each in (*others, *([made] if made else [])) for report in each.reports)
    if made is not None and isinstance(made.outcome, AttemptSucceeded):
        return Left(made.outcome.outputs, usage=made.outcome.usage, reports=reports)
    for each in others:
        if isinstance(each.outcome, AttemptErred):
            erred = each.outcome
            return Left(error=erred.error, usage=erred.usage, progress=erred.progress, reports=reports)
    return Left(reports=reports)


def _check_shelf(place: str) -> None:
    """Where nothing was left: whether there is anything at all, or a folder that this machine has lost sight of.

    Raises:
        StoreError: not even what the worker was started with is there.
    """
    local = local_path_of(place)
    of_tenant = local.parents[_BELOW_TENANT] if local is not None and len(local.parents) > _BELOW_TENANT else None
    if of_tenant is not None and not of_tenant.is_dir():
        raise StoreError("the folder of the blobs is not there", place=str(of_tenant), hint="is it mounted?")


def place_of(job: Job, index: int | None = None) -> str | None:
    """Where the attempt of a job, or of one item of a slice, leaves what comes of it; ``None``: no worker runs it."""
    worker = job.plan.get("worker")
    if worker is None:
        return None
    node, attempt = (job.node, job.attempt) if index is None else (f"{job.node}/{index}", job.items[index])
    return outcome_place(worker["shelf"], node, attempt)


def failure(job: Job, left: Left, error_class: ErrorClass, seen: ErrorRecord) -> ErrorRecord:
    """What the attempt fails with: what its worker said, unless the machine was taken away beneath it.

    Args:
        job: the job.
        left: what its worker left.
        error_class: of what the vendor says.
        seen: the record of that.
    """
    if left.error is None:
        return seen
    if error_class in _TAKEN_AWAY and left.error.kind == "user":
        said = "\n".join(filter(None, (left.error.traceback, left.error.message)))
        return seen.model_copy(update={"traceback": said})
    return left.error if left.error.place else left.error.model_copy(update={"place": job.node})


def without_outputs(job: Job, index: int | None = None) -> ErrorRecord:
    """What an attempt fails with that ended well and left nothing."""
    which = "" if index is None else f"item {index}: "
    return error_of(
        job, ErrorClass.LOST, f"{which}its process ended well and left no outputs", "did the image run something else?"
    )


def as_it_came(seen: Observation, left: Left) -> Observation:
    """What the vendor says of a job, in the light of what its worker left.

    Outputs that were committed count, whatever became of the machine afterwards.
    """
    if left.outputs is None or seen.phase is Phase.SUCCEEDED:
        return seen
    return replace(seen, phase=Phase.SUCCEEDED, gone=False, error_class=None)
