"""What the log says of remote jobs, as facts of an explanation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from flytepath.client.explanations import Fact, Surroundings, fact_of
from flytepath.client.job_viewing import JobViews, counted, job_view, wait_words
from flytepath.client.wording import span
from flytepath.engine.jobs import Job
from flytepath.engine.state import ExecutionState
from flytepath.model.events import Event, JobParked, JobPlanned, JobSubmitted
from flytepath.plugin.backend import Phase

#: Why nodes that have begun do not get on.
STANDSTILLS: Final = ("wait for a pool", "are parked")


class JobFacts:
    """Facts of the jobs of one execution.

    Args:
        state, events: where it is, and what led there.
        around: what the log does not say.
    """

    def __init__(self, state: ExecutionState, events: Sequence[Event], around: Surroundings) -> None:
        self._state = state
        self._around = around
        self._views = JobViews(state)
        live = state.jobs.keys()
        self._last: dict[tuple[str, str], Event] = {}
        for event in events if live else ():
            key = getattr(event.payload, "key", "")
            if key in live:
                self._last[key, event.payload.type] = event
        self._parked = {event.payload.node: event for event in events if isinstance(event.payload, JobParked)}

    def explain(self, path: str) -> tuple[str, list[Fact], str]:
        """Of a node whose attempt is a job: what is being done, the facts, and the command that helps."""
        parked = self._state.parked.get(path, "")
        if parked:
            return f"it is parked: {parked}", [fact_of("it goes on by itself", self._parked.get(path))], ""
        job = self._state.jobs.get(self._state.job_of.get(path, ""))
        if job is None:
            return "its job is being planned", [], ""
        view = job_view(job, self._around.waits)
        return view.doing, self._facts(job), _command(job)

    def standstill(self, path: str) -> str:
        """Why a node that has begun does not get on, as one of :data:`STANDSTILLS`; empty where it does."""
        if path in self._state.parked:
            return STANDSTILLS[1]
        job = self._state.jobs.get(self._state.job_of.get(path, ""))
        if job is None:
            return ""
        return STANDSTILLS[1] if job.parked else STANDSTILLS[0] if job.is_waiting and job.pools else ""

    def of_map(self, path: str) -> list[Fact]:
        """How many items of a map are in which phase, and why no more of them can become jobs."""
        phases, parked = self._views.phases(path), self._state.parked.get(path, "")
        facts = [Fact(text=f"its jobs: {counted(phases)}")] if phases else []
        return [*facts, fact_of(f"it is parked: {parked}", self._parked.get(path))] if parked else facts

    def _facts(self, job: Job) -> list[Fact]:
        planned, submitted = self._last.get((job.key, "job_planned")), self._last.get((job.key, "job_submitted"))
        facts = [fact_of(f"job {job.key[7:19]} for {job.backend} was planned", planned)]
        if planned is not None and isinstance(planned.payload, JobPlanned) and planned.payload.resources:
            policies = ", ".join(planned.payload.resources.get("policies", ()))
            facts.append(fact_of(f"its resources were changed by policy {policies}", planned))
        wait = self._around.waits(job.key) if job.is_waiting and job.pools else None
        if wait is not None and wait.since is not None:
            since = span(max(0.0, self._around.now - wait.since))
            facts.append(Fact(text=f"it has waited for {since} for {wait_words(wait)}"))
        if submitted is not None and isinstance(submitted.payload, JobSubmitted):
            verb = "was found at the vendor" if submitted.payload.adopted else "was submitted"
            facts.append(fact_of(f"it {verb} as {job.plan.get('name', '')}".rstrip(), submitted))
        observed = self._last.get((job.key, "job_observed"))
        if observed is not None:
            said = f" ({job.raw_state})" if job.raw_state else ""
            why = f": {job.reason}" if job.reason else ""
            facts.append(fact_of(f"since then it is {job.phase}{said}{why}", observed))
        for kind, text in (("job_ambiguous", "its submission was cut off"), ("job_returned", "the vendor had no room")):
            event = self._last.get((job.key, kind))
            if event is not None and (submitted is None or event.seq > submitted.seq):
                facts.append(fact_of(f"{text}: {getattr(event.payload, 'reason', '')}", event))
        if job.cancelling is not None:
            facts.append(fact_of(f"it is to end: {job.cancelling}", self._last.get((job.key, "job_cancelling"))))
        if job.parked:
            facts.append(fact_of(f"it is parked: {job.parked}", self._last.get((job.key, "job_parked"))))
        facts += [Fact(text=f"{title}: {url}") for title, url in job.links]
        held = [f"{tokens} of {pool}" for pool, tokens in job.pools]
        if held and not job.is_waiting:
            facts.append(Fact(text=f"it holds {' and '.join(held)}"))
        return facts


def _command(job: Job) -> str:
    """What a person can do for a job that waits for one."""
    if job.phase is Phase.AMBIGUOUS and (job.parked or job.cancelling is not None):
        return f"flytepath jobs adopt {job.key[7:19]} --handle JSON (or --not-there)"
    return ""
