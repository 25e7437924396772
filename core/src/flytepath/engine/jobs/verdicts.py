"""What is made of calls that went wrong: what is told of them, and what follows for the job."""

from __future__ import annotations

from typing import Any, Final

from flytepath.engine.jobs import Answer, Cancel, Done, Job, Refused, Trouble, error_of
from flytepath.engine.jobs.backends import BackendInstance
from flytepath.engine.jobs.plans import bad_handle
from flytepath.engine.jobs.troubles import CANCEL_LOOKS, CANCEL_WAITS, CHANGED
from flytepath.plugin.backend import BackendError, ErrorClass, InProgress, Phase

#: What a vendor says of a request it has certainly not taken.
SETTLED: Final = frozenset(
    {ErrorClass.USER, ErrorClass.INVALID, ErrorClass.AUTH, ErrorClass.CONFLICT, ErrorClass.QUOTA_EXCEEDED}
)


def why_bad(handle: Any, instance: BackendInstance) -> str:
    """What is wrong with a handle that a plugin gave; empty where it can be kept."""
    bad = bad_handle(handle)
    if not bad and instance.redactor and instance.redactor.json(dict(handle.data)) != dict(handle.data):
        bad = "it holds the value of a secret"
    return f"plugin {instance.plugin} gave a handle that cannot be kept: {bad}" if bad else ""


def after_mistake(job: Job, error: Exception) -> Answer | None:
    """What follows from a mistake in a step; ``None`` where the step is just done again.

    A job that the vendor may have is cancelled, never left behind.
    """
    message = f"{type(error).__name__}: {error}"
    if job.phase.is_terminal or job.outputs is not None:
        return Done()
    if job.cancelling is not None and not job.is_waiting:
        return None
    if job.is_waiting or job.phase is Phase.COLLECTING:
        return Refused(ErrorClass.PROTOCOL, message)
    return Cancel(message, error_of(job, ErrorClass.PROTOCOL, message))


def changed(instance: BackendInstance) -> str:
    """Why a job that is not there is not taken for lost."""
    return (
        f"{CHANGED} of backend {instance.name!r} have changed since it was planned, and with them it is not there: "
        "restore them, or abort the execution and end the job by hand"
    )


def ending_slowly(job: Job, instance: BackendInstance, answer: object, looks: int) -> Trouble | None:
    """What is told, once, of a job that takes long to end; ``None`` where that is nothing."""
    if not isinstance(answer, InProgress) or not answer.reason or looks < CANCEL_LOOKS:
        return None
    if job.reason.startswith(CANCEL_WAITS):
        return None
    return Trouble(f"{CANCEL_WAITS}: {instance.redactor.text(answer.reason)}")


def given_up(job: Job, error: BackendError) -> Answer:
    """Nothing was learned of the job for too long: it is cancelled, when that can be done, and has failed."""
    reason = f"nothing could be learned of the job for too long: {error.message}"
    return Cancel(reason, error_of(job, ErrorClass.UNAVAILABLE, reason).model_copy(update={"recoverable": False}))
