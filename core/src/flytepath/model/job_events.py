"""The events of remote jobs: each is durable before what it says is done at the vendor.

A job is named by its ``key``. One job runs one attempt of a node, or a *slice* of a map: some of its items at once.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from flytepath.model.facts import ErrorRecord, EventPayload, LiteralDigests


class JobPlanned(EventPayload):
    """What will be submitted is settled and never computed again for this key; now the job waits for its pools.

    ``node`` is the node, or for a slice the map, whose ``items`` are ``(index, attempt)``. ``attempt`` is that of the
    node. ``plan`` is the plan as JSON, ``settings`` which settings of the backend it was made with, ``pools`` the
    tokens it asks for. ``detached`` jobs are left alone when the execution ends, ``idempotent`` ones may be submitted
    again where nobody can know whether they were. ``resources`` is what policies made of the request, where they
    changed it.
    """

    added: ClassVar[tuple[str, ...]] = ("items", "pools", "detached", "idempotent", "resources", "task")
    type: Literal["job_planned"] = "job_planned"
    key: str
    node: str
    attempt: int
    submission: int = 0
    backend: str
    settings: str
    plan: dict[str, Any]
    items: tuple[tuple[int, int], ...] = ()
    pools: tuple[tuple[str, int], ...] = ()
    detached: bool = False
    idempotent: bool = False
    resources: dict[str, Any] = {}
    task: str = ""


class JobSubmitting(EventPayload):
    """The job holds its pools and is about to be submitted by the owner of lease ``epoch``."""

    type: Literal["job_submitting"] = "job_submitting"
    key: str
    epoch: int


class JobAmbiguous(EventPayload):
    """Nobody knows whether the vendor took the job: it is looked for before anything else is done."""

    type: Literal["job_ambiguous"] = "job_ambiguous"
    key: str
    reason: str


class JobReturned(EventPayload):
    """The vendor certainly did not take the job and may later: it waits for its pools again."""

    type: Literal["job_returned"] = "job_returned"
    key: str
    reason: str


class JobSubmitted(EventPayload):
    """The vendor has the job. ``adopted``: it was found there, or a person said so."""

    added: ClassVar[tuple[str, ...]] = ("adopted",)
    type: Literal["job_submitted"] = "job_submitted"
    key: str
    handle: dict[str, Any]
    handle_version: int = 1
    adopted: bool = False


class JobObserved(EventPayload):
    """The vendor says something new of the job.

    ``phase`` is ours, ``raw_state`` the vendor's word. ``error`` says why it failed. For a slice, ``items`` counts the
    phases of what has not ended, and ``settled`` are the indices whose attempts end with this. ``progress`` is how far
    it has come, where the vendor tells.
    """

    added: ClassVar[tuple[str, ...]] = ("reason", "error", "exit_code", "links", "items", "settled", "progress")
    type: Literal["job_observed"] = "job_observed"
    key: str
    phase: str
    raw_state: str
    reason: str = ""
    error: ErrorRecord | None = None
    exit_code: int | None = None
    links: tuple[tuple[str, str], ...] = ()
    items: dict[str, int] = {}
    settled: tuple[int, ...] = ()
    progress: float | None = None


class JobParked(EventPayload):
    """Nothing can be done for a job, or for a node that is to become one, until something is put right.

    It goes on by itself when it is. ``key`` is empty where nothing is planned yet, ``reason`` where it goes on.
    """

    added: ClassVar[tuple[str, ...]] = ("key",)
    type: Literal["job_parked"] = "job_parked"
    node: str
    key: str = ""
    reason: str = ""


class JobCollected(EventPayload):
    """The outputs of a job that succeeded are kept; the vendor needs it no more."""

    type: Literal["job_collected"] = "job_collected"
    key: str
    outputs: LiteralDigests = {}


class JobCancelling(EventPayload):
    """The job is to end before its time; with ``error`` if its attempt fails of that."""

    added: ClassVar[tuple[str, ...]] = ("error",)
    type: Literal["job_cancelling"] = "job_cancelling"
    key: str
    reason: str
    error: ErrorRecord | None = None


class JobEnded(EventPayload):
    """Nothing of the job is left at the vendor that core knows of, and what it held of its pools is free."""

    added: ClassVar[tuple[str, ...]] = ("reason",)
    type: Literal["job_ended"] = "job_ended"
    key: str
    phase: Literal["succeeded", "failed", "cancelled"]
    reason: str = ""


#: Every event of a job.
JobEvent = (
    JobPlanned
    | JobSubmitting
    | JobAmbiguous
    | JobReturned
    | JobSubmitted
    | JobObserved
    | JobParked
    | JobCollected
    | JobCancelling
    | JobEnded
)
