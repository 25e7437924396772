"""Slices of a map as array jobs: which of their items have ended, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from flytepath.engine.jobs import Job, error_of
from flytepath.engine.jobs.worker_outcomes import Left
from flytepath.model.events import ErrorRecord
from flytepath.model.literal import Literal
from flytepath.plugin.backend import ErrorClass, ItemPhases, Observation, Phase


@dataclass(frozen=True, slots=True)
class ItemsSeen:
    """What a poll saw of a slice, with the outputs, or the error, of each item that has ended since."""

    observation: Observation
    outputs: Mapping[int, Mapping[str, Literal] | ErrorRecord]
    failed: Mapping[int, ErrorRecord]
    #: What the workers left that ran them, where workers did.
    left: Mapping[int, Left] = field(default_factory=dict)

    @property
    def settled(self) -> tuple[int, ...]:
        """The items that have ended."""
        return tuple(sorted({*self.outputs, *self.failed}))


@dataclass(frozen=True, slots=True)
class NewlyEnded:
    """Items that ended since the last look: those whose outputs are to be collected, and why others failed."""

    succeeded: tuple[int, ...]
    failed: Mapping[int, ErrorRecord]


def newly_ended(job: Job, seen: Observation) -> NewlyEnded:
    """The items of a slice that have ended, of those that had not.

    Items that say nothing of themselves share the fate of a job that has ended: where it failed or is gone they have
    failed of that, and where it says that it succeeded they are lost.
    """
    items = seen.items or ItemPhases({})
    phase_of = {index: phase for phase, indices in items.by_phase.items() for index in indices}
    is_over = seen.gone or (seen.phase is not None and seen.phase.is_terminal)
    succeeded: list[int] = []
    failed: dict[int, ErrorRecord] = {}
    for index in job.items:
        phase = phase_of.get(index)
        if phase is Phase.SUCCEEDED:
            succeeded.append(index)
        elif phase in (Phase.FAILED, Phase.CANCELLED):
            reason = items.reasons.get(index) or f"item {index} {phase}"
            failed[index] = error_of(job, items.error_classes.get(index, ErrorClass.USER), reason)
        elif is_over:
            failed[index] = _with_the_job(job, index, seen)
    return NewlyEnded(tuple(succeeded), failed)


def _with_the_job(job: Job, index: int, seen: Observation) -> ErrorRecord:
    reason = f"item {index} ended with its job: {seen.reason or seen.raw_state or 'gone'}"
    if seen.phase is Phase.FAILED and not seen.gone:
        return error_of(job, seen.error_class or ErrorClass.USER, reason, exit_code=seen.exit_code)
    return error_of(job, seen.error_class or ErrorClass.LOST, reason)
