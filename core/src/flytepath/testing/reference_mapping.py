"""What the fake vendor's words mean to core, and core's to the vendor: tables and pure functions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from flytepath.plugin import (
    BackendError,
    ErrorClass,
    Handle,
    ItemPhases,
    JobKey,
    Literal,
    LiteralType,
    Phase,
    Plan,
)
from flytepath.testing.fake_vendor.client import VendorError, VendorUnreachableError

Json = Any

#: The longest name the vendor takes; repeated in the declaration.
NAME_LIMIT: Final = 40

#: Every state of the vendor's, and what it means to core: the phase, and for a failure who is to blame.
STATES: Final[Mapping[str, tuple[Phase, ErrorClass | None]]] = {
    "PENDING": (Phase.QUEUED, None),
    "PROVISIONING": (Phase.INITIALIZING, None),
    "ACTIVE": (Phase.RUNNING, None),
    "CANCELLING": (Phase.RUNNING, None),
    "FINISHED": (Phase.SUCCEEDED, None),
    "CANCELED": (Phase.CANCELLED, None),
    "ERRORED": (Phase.FAILED, ErrorClass.USER),
    "EXPIRED": (Phase.FAILED, ErrorClass.USER),
    "EVICTED": (Phase.FAILED, ErrorClass.PREEMPTED),
    "NODE_LOST": (Phase.FAILED, ErrorClass.LOST),
}

#: Every error of the vendor's, by its code where that says more than the status.
ERRORS: Final[Mapping[str | int, ErrorClass]] = {
    "TooManyJobs": ErrorClass.QUOTA_EXCEEDED,
    "ResultNotReady": ErrorClass.TRANSIENT,
    "CannotCancelNow": ErrorClass.TRANSIENT,
    "NoSuchAccount": ErrorClass.INVALID,
    400: ErrorClass.INVALID,
    401: ErrorClass.AUTH,
    403: ErrorClass.AUTH,
    404: ErrorClass.LOST,
    409: ErrorClass.CONFLICT,
    429: ErrorClass.THROTTLED,
    500: ErrorClass.UNAVAILABLE,
    503: ErrorClass.UNAVAILABLE,
}


def error_of(error: VendorError | VendorUnreachableError) -> BackendError:
    """The vendor's error as core knows errors, with the vendor's own words."""
    if isinstance(error, VendorUnreachableError):
        return BackendError(str(error), error_class=ErrorClass.TRANSIENT, accepted=None if error.sent else False)
    error_class = ERRORS.get(error.code) or ERRORS.get(error.status, ErrorClass.PROTOCOL)
    # A 5xx may come from a gateway in front of a service that has taken the request.
    accepted = False if error.status < 500 else None
    return BackendError(str(error), error_class=error_class, retry_after=error.retry_after, accepted=accepted)


def name_of(key: JobKey) -> str:
    """Made from the key alone, so that it can be found when nothing but the key is known."""
    return key.name("fp", NAME_LIMIT)


def stamp_of(plan: Plan) -> dict[str, str]:
    """The tags by which a job is known as ours."""
    owner = plan.owner
    return {
        "flytepath-key": plan.key.value,
        "flytepath-digest": plan.digest,
        "flytepath-installation": owner.installation,
        "flytepath-owner": json.dumps([owner.tenant.project, owner.tenant.domain, owner.execution, owner.node_path]),
    }


def check_stamp(job: Mapping[str, Json], plan: Plan) -> None:
    """Raise ``CONFLICT`` where the job is another's, or ours with another content."""
    if job["tags"] != stamp_of(plan):
        raise BackendError(
            f"job {job['id']} bears the name or the key of this one, and is not it",
            error_class=ErrorClass.CONFLICT,
            accepted=False,
            hint="look at it in the vendor's console: it was left as it is",
        )


def handle_of(id: str, items: Sequence[int]) -> Handle:
    """The id; for an array job also which item of the map stands at which position."""
    return Handle({"id": id, "map": list(items)} if items else {"id": id})


def has_ended(job: Mapping[str, Json]) -> bool:
    """Whether nothing follows."""
    state = STATES.get(job["state"])
    return state is not None and state[0].is_terminal


def items_of(job: Mapping[str, Json], indices: Sequence[int]) -> ItemPhases:
    """The vendor counts positions from 0, core the indices of the map."""
    by_phase: dict[Phase, tuple[int, ...]] = {}
    reasons: dict[int, str] = {}
    classes: dict[int, ErrorClass] = {}
    for state, positions in job["items"].items():
        phase, error_class = STATES.get(state, (Phase.RUNNING, None))  # of an unknown word: it has not ended
        by_phase[phase] = by_phase.get(phase, ()) + tuple(indices[position] for position in positions)
        if error_class is not None:
            for position in positions:
                classes[indices[position]] = error_class
                reasons[indices[position]] = job["failed"][str(position)]["reason"] or state
    return ItemPhases(by_phase, reasons, classes)


def values_of(inputs: Mapping[str, Literal]) -> dict[str, Json]:
    """Inputs as JSON. What is too large to lie in the request is refused here, before anything was asked for."""
    large = [name for name, literal in inputs.items() if literal.ref is not None or literal.refs]
    if large:
        raise BackendError(
            f"input {large[0]!r} is a file or too large: the vendor takes values only",
            error_class=ErrorClass.INVALID,
            accepted=False,
            hint="give the job a URI that it can read",
        )
    return {name: literal.data for name, literal in inputs.items()}


def literals_of(returns: Mapping[str, Json], values: Mapping[str, Json]) -> dict[str, Literal]:
    """Outputs by the types that the task declares. Core keeps large ones as blobs."""
    missing = [name for name in returns if name not in values]
    if missing:
        raise BackendError(f"the job gave no output {missing[0]!r}", error_class=ErrorClass.USER)
    return {name: Literal.make(LiteralType.from_json(kind), values[name]) for name, kind in returns.items()}
