"""Does a job come to the right end, once, whatever happens to the process, the calls and the job? Core's own machine
drives the backend here, from plan to cleanup.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, ClassVar

from flytepath.engine.jobs.session import JobOutcome, JobSession
from flytepath.model.events import JobAmbiguous, JobObserved, JobSubmitted
from flytepath.plugin.backend import Handle, Phase
from flytepath.plugin.plans import PlanRequest
from flytepath.store.events import open_store
from flytepath.testing.backend_conformance.discretion import secrets_told
from flytepath.testing.backend_conformance.lives import Life, reaped
from flytepath.testing.backend_conformance.scene import Scene, scenario
from flytepath.testing.backend_conformance.stage import Stage
from flytepath.testing.backend_conformance.vendor import Course
from flytepath.testing.findings import refuse

_STEPS = 40
_ROUND = 50


class LifeChecks(Stage):
    """The checks of whole lives."""

    #: So many looks fail, scattered over the life of one job.
    scattered_errors: ClassVar[int] = 1000

    @scenario
    async def test_a_crash_at_every_step_ends_with_one_job_and_the_right_end(self, scene: Scene) -> None:
        """The process dies before or after each event is durable; the next one brings the one job to its end."""
        self._needs_search(scene)
        whole = await Life(scene, scene.request(Course.ENDS)).lived()
        for course, phase in ((Course.ENDS, "succeeded"), (Course.FAILS, "failed")):
            await self._crashes(scene, lambda course=course: scene.request(course), phase, whole)  # type: ignore[misc]

    @scenario
    async def test_processes_that_all_die_get_there_in_the_end(self, scene: Scene) -> None:
        """Each process makes one event durable and dies right after the next call: the calls are all made twice."""
        self._needs_search(scene)
        life, outcome = Life(scene, scene.request(Course.ENDS)), None
        while outcome is None and life.processes < _STEPS:
            outcome = await life.lived(die_before=len(life.events) + 2)
        await life.settled(outcome, "succeeded", f"{life.processes} processes died one after the other")

    @scenario
    async def test_a_crash_at_every_step_of_a_cancellation_leaves_nothing_running(self, scene: Scene) -> None:
        """Cancelled at any moment, by a process that dies at any moment, the job is gone in the end."""
        self._needs_search(scene)
        for moment in ("submitting", "queued"):
            for number in range(1, _STEPS):
                life = Life(scene, scene.request(Course.RUNS))
                outcome = await life.lived(die_before=3 if moment == "submitting" else 4)
                outcome = outcome or await life.lived(cancelled="not wanted", die_after=len(life.events) + number)
                is_over = outcome is not None
                outcome = outcome or await life.lived(cancelled="not wanted")
                await life.settled(
                    outcome, "cancelled", f"cancelled while {moment}, and the process died {number} event(s) later"
                )
                if is_over:
                    break

    @scenario
    async def test_a_job_can_be_cancelled_at_any_moment(self, scene: Scene) -> None:
        """Cancelled after any number of events, it ends as cancelled, and nothing of it runs on."""
        for number in range(5):
            life = Life(scene, scene.request(Course.RUNS))

            async def cancel(session: JobSession, number: int = number) -> None:
                async def look() -> bool | None:
                    return True if len(session.events) >= number else None

                await scene.until("the beginning of a job", look, "the job runs until it is cancelled")
                session.cancel("not wanted")

            outcome = await life.run(cancel)
            await life.settled(outcome, "cancelled", f"cancelled after {number} event(s)")

    @scenario
    async def test_an_answer_that_was_lost_leads_to_one_job(self, scene: Scene) -> None:
        """A submission that was accepted and cut off is found again, and the job comes to its end."""
        self._needs_search(scene)
        life = Life(scene, scene.request(Course.ENDS))
        await scene.vendor_does(scene.vendor.cut_off_after_accept)
        outcome = await life.settled(await life.lived(), "succeeded", "the answer to the submission was lost")
        adopted = [event for event in life.events if isinstance(event, JobSubmitted) and event.adopted]
        if any(isinstance(event, JobAmbiguous) for event in life.events) and not adopted:
            refuse(
                "a job was submitted anew instead of adopted",
                place=scene.place("find"),
                actual=repr(outcome),
                hint="answer Found(handle)",
            )

    @scenario
    async def test_a_crash_while_the_new_job_is_hidden_makes_no_second_one(self, scene: Scene) -> None:
        """As long as a new job may be invisible, "not found" is not believed."""
        self._needs_search(scene)
        if not scene.declaration.visibility_seconds:
            self.skip("the backend declares that new jobs are found at once (visibility_seconds is 0)")
        await scene.vendor_does(scene.vendor.hide_new_jobs, scene.declaration.visibility_seconds / 2)
        life = Life(scene, scene.request(Course.ENDS))
        outcome = await life.lived(die_before=3) or await life.lived()
        await life.settled(outcome, "succeeded", "the process died while the new job was not visible yet")

    @scenario
    async def test_a_lost_answer_and_a_cancellation_leave_nothing_running(self, scene: Scene) -> None:
        """Where only the key is known, cancelling finds the job and ends it."""
        self._needs_search(scene)
        life = Life(scene, scene.request(Course.RUNS))
        await scene.vendor_does(scene.vendor.cut_off_after_accept)
        # Planned, submitting, ambiguous: the next event would say how the job is called there.
        outcome = await life.lived(die_before=4)
        outcome = outcome or await life.lived(cancelled="not wanted")
        await life.settled(outcome, "cancelled", "cancelled while its answer was lost")

    @scenario
    async def test_a_thousand_scattered_errors_of_looks_do_not_fail_a_job(self, scene: Scene) -> None:
        """However many looks fail, the job is seen to its own end."""
        life = Life(scene, scene.request(Course.RUNS))

        async def trouble(session: JobSession) -> None:
            handle = await life.handle(session)
            failed = 0
            while failed < self.scattered_errors:
                await scene.vendor_does(scene.vendor.fail_polls, _ROUND)
                failed += _ROUND
                await self._counted(scene, life, "failed", failed)
                await self._counted(scene, life, "seen", life.counts["seen"] + 1)
            await scene.vendor_does(scene.vendor.finish, handle)

        outcome = await life.run(trouble)
        await life.settled(outcome, "succeeded", f"{life.counts['failed']} looks failed")

    @scenario
    async def test_throttling_delays_and_does_not_fail(self, scene: Scene) -> None:
        """A vendor that asks to wait is waited for."""
        life = Life(scene, scene.request(Course.ENDS))
        await scene.vendor_does(scene.vendor.throttle, 0.1)
        await life.settled(await life.lived(), "succeeded", "the vendor asked to wait")

    @scenario
    async def test_a_result_that_is_late_is_waited_for(self, scene: Scene) -> None:
        """The job has succeeded whether or not its result can be had at once."""
        life = Life(scene, scene.request(Course.ENDS))
        await scene.vendor_does(scene.vendor.fail_collects, 3)
        await life.settled(await life.lived(), "succeeded", "its result could not be had at once")

    @scenario
    async def test_an_unknown_state_on_the_way_is_no_end(self, scene: Scene) -> None:
        """The phase is kept while the state is unknown, its word is recorded, and the end is the job's own."""
        life = Life(scene, scene.request(Course.RUNS))

        async def puzzle(session: JobSession) -> None:
            handle = await life.handle(session)
            word = await scene.vendor_does(scene.vendor.unknown_state, handle)

            async def look() -> bool | None:
                seen = [event for event in session.events if isinstance(event, JobObserved)]
                return True if any(word in event.raw_state for event in seen) else None

            await scene.until("a look at the unknown state", look, "raw_state is the vendor's own word")
            await scene.vendor_does(scene.vendor.finish, handle)

        await life.settled(await life.run(puzzle), "succeeded", "it was in a state that nobody knows")

    @scenario
    async def test_a_job_that_was_removed_is_lost_and_not_the_users_fault(self, scene: Scene) -> None:
        """Removed at the vendor, the job has failed on the system's budget."""

        async def remove(session: JobSession, life: Life) -> None:
            await scene.vendor_does(scene.vendor.vanish, await life.handle(session))

        await self._fails(scene, remove, ("system",), "somebody removed it")

    @scenario
    async def test_a_job_whose_machine_was_lost_is_not_the_users_fault(self, scene: Scene) -> None:
        """Preempted, the job has failed on the system's budget."""

        async def preempt(session: JobSession, life: Life) -> None:
            await scene.vendor_does(scene.vendor.preempt, await life.handle(session))

        await self._fails(scene, preempt, ("system", "preempted"), "its machine was taken away")

    @scenario
    async def test_a_job_that_takes_too_long_is_ended(self, scene: Scene) -> None:
        """At its time limit the job is cancelled, and has failed of that."""
        life = Life(scene, scene.request(Course.RUNS))
        outcome = await life.settled(await life.lived(timeout_seconds=0.2), "failed", "it took longer than it may")
        if outcome.error is None or outcome.error.kind != "timeout":
            refuse("a time-out is told otherwise", actual=repr(outcome.error), hint="this is a mistake of core")

    @scenario
    async def test_a_detached_job_runs_on(self, scene: Scene) -> None:
        """Where the author asked for it, nobody cancels the job when it is wanted no more."""
        life = Life(scene, scene.request(Course.RUNS), detached=True)

        async def leave(session: JobSession) -> None:
            await life.handle(session)
            session.cancel("not wanted")

        await life.settled(await life.run(leave), "cancelled", "it is detached")
        if not await scene.vendor_does(scene.vendor.live, life.request.key):
            refuse("a detached job was stopped", place=scene.place("close"), hint="close() lets go of connections only")
        [submitted] = [event for event in life.events if isinstance(event, JobSubmitted)]
        await scene.cancelled(life.request.key, Handle(submitted.handle, submitted.handle_version))

    @scenario
    async def test_somebody_elses_job_of_our_name_is_a_conflict_and_untouched(self, scene: Scene) -> None:
        """The job fails, or runs beside the other; what bears the name is left alone."""
        request = scene.request(Course.ENDS)
        foreign = await scene.vendor_does(scene.vendor.make_foreign, scene.planned(request).external_name)
        life = Life(scene, request)
        outcome = await life.lived()
        made = await scene.vendor_does(scene.vendor.count, request.key)
        await life.settled(outcome, "succeeded" if made else "failed", "somebody else's job bears its name")
        if not made and (outcome is None or outcome.error is None or outcome.error.code != "FP-JOB-CONFLICT"):
            refuse(
                "a name that is taken by somebody else's job is not told as a conflict",
                place=scene.place("submit"),
                actual=repr(outcome and outcome.error),
                hint="raise BackendError(error_class=conflict, accepted=False)",
            )
        if not await scene.vendor_does(scene.vendor.is_untouched, foreign):
            refuse("somebody else's job was touched", place=scene.place(""), hint="compare the stamp before you act")

    @scenario
    async def test_the_reaper_ends_what_nobody_owns_and_spares_what_is_not_ours(self, scene: Scene) -> None:
        """Core's reaper ends the jobs of an installation without executions, and touches nobody else's."""
        with tempfile.TemporaryDirectory(prefix="flytepath-conformance-") as folder:
            store = await asyncio.to_thread(open_store, Path(folder))
            try:
                mine = [scene.plan(installation=await asyncio.to_thread(store.installation)) for _ in range(3)]
                theirs = scene.plan(installation="elsewhere")
                other = [await scene.submit(plan) for plan in (*mine, theirs)][-1]
                foreign = await scene.vendor_does(scene.vendor.make_foreign, scene.plan().external_name)

                async def swept() -> bool | None:
                    await reaped(scene, store)
                    alive = [await scene.vendor_does(scene.vendor.live, plan.key) for plan in mine]
                    return None if any(alive) else True

                await scene.until(
                    "the end of jobs that nobody owns", swept, "list_owned() lists them, cancel() ends them"
                )
            finally:
                await asyncio.to_thread(store.close)
        untouched = await scene.vendor_does(scene.vendor.is_untouched, foreign)
        if not untouched or not await scene.vendor_does(scene.vendor.live, theirs.key):
            refuse(
                "the reaper of one installation ended what is not its own",
                place=scene.place("list_owned"),
                hint="list by the exact stamp of the installation, and cancel by the id in the handle",
            )
        await scene.cancelled(theirs.key, other)

    @scenario
    async def test_no_secret_stands_in_the_journal(self, scene: Scene) -> None:
        """Neither events nor outputs nor errors hold what the backend was given in confidence."""
        lives = [Life(scene, scene.request(course)) for course in (Course.ENDS, Course.FAILS)]
        outcomes = [await life.lived() for life in lives]
        if not scene.secrets:
            self.skip("the backend has asked for no secret")
        texts: list[tuple[str, str]] = [
            (event.type, event.model_dump_json()) for life in lives for event in life.events
        ]
        texts += [("the outcome", repr(outcome)) for outcome in outcomes]
        texts += [("a blob", blob.decode("latin-1")) for blob in scene.blobs.contents.values()]
        found = secrets_told(texts, scene.secrets)
        if found:
            refuse(
                f"a secret stands in the journal: {', '.join(dict.fromkeys(found))}",
                place=scene.place(""),
                expected="references only",
                hint="what plan(), submit() and poll() return is kept for ever: ids and references only",
            )

    @scenario
    async def test_a_crash_at_every_step_of_an_array_job_leaves_one_job(self, scene: Scene) -> None:
        """Each item has its own end, whenever the process dies."""
        if not scene.declaration.array_limit:
            self.skip("the backend declares no array jobs (array_limit is 0)")
        self._needs_search(scene)
        items, failing = (1, 4, 5), (4,)
        payload = await scene.vendor_does(scene.vendor.array_payload, items, failing)

        def request() -> PlanRequest:
            return scene.request(payload=payload, items=items, item_inputs=tuple({} for _ in items))

        for life, outcome, story in await self._died_everywhere(scene, request):
            ended = {index: isinstance(result, dict) for index, result in (outcome.items if outcome else {}).items()}
            told = {index: index not in failing for index in items}
            made = await scene.vendor_does(scene.vendor.count, life.request.key)
            # What an earlier process has told of items is durable with the node, which a session does not keep.
            if made != 1 or any(told[index] != good for index, good in ended.items()):
                refuse(
                    f"the items of an array job do not come to their ends: {story}",
                    place=scene.place("poll"),
                    expected=f"1 job, {told}",
                    actual=f"{made} job(s), {ended}",
                    hint="give the phases of all items at every look, under the map's own indices",
                )

    # --- how it is done ---

    def _needs_search(self, scene: Scene) -> None:
        if scene.declaration.idempotency in ("C", "D"):
            self.skip(
                f"the backend declares idempotency {scene.declaration.idempotency}: what was submitted by a process "
                "that died is not found again"
            )

    async def _died_everywhere(
        self, scene: Scene, request: Callable[[], PlanRequest]
    ) -> list[tuple[Life, JobOutcome | None, str]]:
        """Lives whose first process died before, or after, each of its events."""
        lives: list[tuple[Life, JobOutcome | None, str]] = []
        for when in ("die_before", "die_after"):
            for number in range(1, _STEPS):
                life = Life(scene, request())
                dies: dict[str, Any] = {when: number}
                first = await life.lived(**dies)
                story = f"the process died {when.removeprefix('die_')} event {number} was durable"
                outcome = first or await life.lived()
                lives.append((life, outcome, story))
                if first is not None:
                    break
        return lives

    async def _crashes(
        self, scene: Scene, request: Callable[[], PlanRequest], phase: str, whole: JobOutcome | None
    ) -> None:
        for life, outcome, story in await self._died_everywhere(scene, request):
            settled = await life.settled(outcome, phase, story)
            names = dict.fromkeys(whole.outputs if whole else {})
            if phase == "succeeded" and dict.fromkeys(settled.outputs) != names:
                refuse(
                    f"outputs are missing: {story}",
                    place=scene.place("collect"),
                    expected=", ".join(names),
                    actual=", ".join(settled.outputs),
                    hint="collect() may be called again: leave the result where it is until cleanup()",
                )
            if phase == "failed" and (settled.error is None or settled.error.kind != "user"):
                refuse(
                    f"a failure of the user is told otherwise: {story}",
                    place=scene.place("poll"),
                    actual=repr(settled.error),
                    hint="a job that has ended must be seen to have ended the same way for as long as it is asked for",
                )

    async def _counted(self, scene: Scene, life: Life, what: str, number: int) -> None:
        async def look() -> bool | None:
            return True if life.counts[what] >= number else None

        await scene.until(f"the look that {what}, number {number},", look, "poll() is asked again and again")

    async def _fails(
        self, scene: Scene, act: Callable[[JobSession, Life], Awaitable[None]], kinds: tuple[str, ...], story: str
    ) -> None:
        life = Life(scene, scene.request(Course.RUNS))

        async def acted(session: JobSession) -> None:
            await act(session, life)

        outcome = await life.settled(await life.run(acted), "failed", story)
        if outcome.phase is not Phase.FAILED or outcome.error is None or outcome.error.kind not in kinds:
            refuse(
                f"a job has failed on the wrong budget: {story}",
                place=scene.place("poll"),
                expected=f"an error of kind {' or '.join(kinds)}",
                actual=repr(outcome.error),
                hint="error_class lost or preempted, or gone=True: such a job is submitted again",
            )
