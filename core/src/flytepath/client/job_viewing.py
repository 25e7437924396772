"""From the remote jobs of an execution to what people are shown of them: phases, words, and why they wait."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from flytepath.client.views import JobView, WaitView
from flytepath.engine.jobs import Job
from flytepath.engine.state import ExecutionState, NodeState, NodeStatus
from flytepath.plugin.backend import Phase

#: How many slices of a map are shown with it.
SHOWN_SLICES: Final = 5

#: Why a job waits, by its key.
Waits = Callable[[str], WaitView | None]


def _waits_unknown(_key: str) -> WaitView | None:
    return None


class JobViews:
    """The jobs of an execution in one state, found by node.

    Args:
        state: where the execution is.
        waits: why jobs wait; without it, nobody can say.
        waits_at: why the next attempt of a node waits that runs on this machine, by its path.
    """

    def __init__(self, state: ExecutionState, waits: Waits = _waits_unknown, waits_at: Waits = _waits_unknown) -> None:
        self._state = state
        self._waits = waits
        self._waits_at = waits_at
        self._slices: dict[str, list[Job]] = {}
        self._phases: dict[str, Counter[str]] = {}
        for job in state.jobs.values():
            around = job.node if job.is_slice else job.node.rpartition("/")[0]
            if job.is_slice:
                self._slices.setdefault(job.node, []).append(job)
            if around:
                self._phases.setdefault(around, Counter()).update(item_phases(job))

    def of(self, path: str) -> tuple[JobView, ...]:
        """The job of a node or of an item, or the first few slices of a map."""
        key = self._state.job_of.get(path)
        job = self._state.jobs.get(key) if key is not None else None
        jobs = [job] if job is not None else self._slices.get(path, [])[:SHOWN_SLICES]
        return tuple(job_view(each, self._waits) for each in jobs)

    def phases(self, path: str) -> dict[str, int]:
        """How many items of a map remote jobs run, by phase."""
        counts: Mapping[str, int] = self._phases.get(path, {})
        return {phase.value: counts[phase.value] for phase in Phase if counts.get(phase.value)}

    def held_up(self, node: NodeState) -> str:
        """Why a node cannot begin: what it would run on cannot be used, or its pools are short."""
        parked = self._state.parked.get(node.path, "")
        if parked or node.is_remote or node.status is not NodeStatus.READY:
            return parked
        wait = self._waits_at(node.path)
        return f"waits for {wait_words(wait)}" if wait is not None else ""


def item_phases(job: Job) -> Mapping[str, int]:
    """How many items, of a slice that have not ended, are in which phase."""
    if not job.is_slice:
        return {job.phase.value: 1}
    left = len(job.items)
    if not job.item_phases or job.is_waiting or job.phase in (Phase.SUBMITTING, Phase.AMBIGUOUS):
        return {job.phase.value: left} if left else {}
    told = {phase: count for phase, count in job.item_phases.items() if not Phase(phase).is_terminal}
    missing = left - sum(told.values())
    if missing > 0:
        told[Phase.COLLECTING.value] = told.get(Phase.COLLECTING.value, 0) + missing
    return told


def job_view(job: Job, waits: Waits = _waits_unknown) -> JobView:
    """One job."""
    wait = waits(job.key) if job.is_waiting and job.pools and job.cancelling is None else None
    return JobView(
        key=job.key,
        node=job.node,
        backend=job.backend,
        phase=job.phase.value,
        raw_state=job.raw_state,
        reason=job.reason,
        external_name=job.plan.get("name", ""),
        since=job.changed_at,
        submission=job.submission,
        items=dict(item_phases(job)) if job.is_slice else {},
        links=job.links,
        cancelling=job.cancelling or "",
        parked=job.parked,
        waits=wait,
        doing=doing(job, wait),
    )


def doing(job: Job, wait: WaitView | None = None) -> str:
    """What is being done for a job, in a sentence.

    Example:
        >>> doing(Job("k", "n0", 1, "vendor", "", {"name": "query-1"}, phase=Phase.RUNNING, raw_state="ACTIVE"))
        'it runs on vendor as query-1 (ACTIVE)'
    """
    name = job.plan.get("name", "")
    called = f" as {name}" if name else ""
    state = f" ({job.raw_state})" if job.raw_state else ""
    if job.parked:
        return f"it is parked: {job.parked}"
    if job.cancelling is not None and not job.phase.is_terminal and job.outputs is None:
        where = "before it was submitted" if job.is_waiting else f"on {job.backend}{called}{state}"
        return f"it is being cancelled {where}: {job.cancelling}"
    match job.phase:
        case Phase.PLANNED:
            return f"it is about to be submitted to {job.backend}"
        case Phase.WAITING_QUOTA:
            return _waiting(job, wait)
        case Phase.SUBMITTING:
            return f"it is being submitted to {job.backend}{called}"
        case Phase.AMBIGUOUS:
            why = f" ({job.reason})" if job.reason else ""
            return (
                f"nobody knows whether {job.backend} took it{why}: it is looked for there{called} before anything else"
            )
        case Phase.QUEUED:
            return f"it waits for its turn at {job.backend}{called}{state}"
        case Phase.INITIALIZING:
            return f"it is made ready on {job.backend}{called}{state}"
        case Phase.RUNNING:
            return f"it runs on {job.backend}{called}{state}"
        case Phase.COLLECTING:
            return f"its outputs are taken over from {job.backend}{called}"
        case _:
            return f"it has {_ENDS[job.phase]} on {job.backend}{called}{state}, and is being cleaned up"


_ENDS: Final = {Phase.SUCCEEDED: "succeeded", Phase.FAILED: "failed", Phase.CANCELLED: "been cancelled"}


def _waiting(job: Job, wait: WaitView | None) -> str:
    if wait is not None:
        return f"it waits for {wait_words(wait)}"
    pools = " and ".join(f"{tokens} of {pool}" if tokens > 1 else pool for pool, tokens in job.pools)
    refused = f"{job.backend} has no room for it ({job.reason}); " if job.reason else ""
    return f"{refused}it waits for its turn in pool {pools}" if pools else f"{refused}it is submitted again"


def wait_words(wait: WaitView) -> str:
    """Why something waits, in a few words.

    Example:
        >>> wait_words(WaitView(pool="db", reason="all 2 of 'db' is held", blocker="sales", position=3))
        "pool db, in place 3: all 2 of 'db' is held (sales)"
    """
    place = f", in place {wait.position}" if wait.position else ""
    blocker = f" ({wait.blocker})" if wait.blocker else ""
    return f"pool {wait.pool}{place}: {wait.reason}{blocker}"


def counted(phases: Mapping[str, int]) -> str:
    """Phases with their counts, for people.

    Example:
        >>> counted({"running": 1200, "waiting_quota": 3})
        '1,200 running, 3 waiting for a pool'
    """
    return ", ".join(f"{count:,} {_WORDS.get(phase, phase)}" for phase, count in _in_order(phases))


_WORDS: Final = {"waiting_quota": "waiting for a pool", "initializing": "being made ready"}


def _in_order(phases: Mapping[str, int]) -> Iterable[tuple[str, int]]:
    known = [phase.value for phase in Phase]
    return sorted(phases.items(), key=lambda each: -known.index(each[0]) if each[0] in known else 1)
