"""Is a job stopped whenever and however often one asks, and only the job that was meant?"""

from __future__ import annotations

import asyncio

from flytepath.plugin.backend import (
    BackendError,
    Gone,
    Handle,
    InProgress,
    NotOurs,
    Observation,
    Phase,
    Terminal,
)
from flytepath.plugin.plans import Plan
from flytepath.testing.backend_conformance.scene import CancelAnswer, Scene, scenario
from flytepath.testing.backend_conformance.stage import Stage
from flytepath.testing.backend_conformance.vendor import Course
from flytepath.testing.findings import refuse

_ROUNDS = 5


class CancelChecks(Stage):
    """The checks of ``cancel``."""

    @scenario
    async def test_cancelling_before_anything_was_submitted_finds_nothing(self, scene: Scene) -> None:
        """A key without a job is ``Gone``, and nothing is made of it."""
        if scene.declaration.idempotency == "C":
            self.skip("the backend declares idempotency C: its vendor finds no job by a key")
        plan = scene.plan()
        await self._gone(scene, plan, None, "a key that was never submitted")
        if await scene.vendor_does(scene.vendor.count, plan.key):
            refuse("cancel() made a job", place=scene.place("cancel"), hint="look for the key and leave it at that")

    @scenario
    async def test_cancelling_stops_the_job_and_no_other(self, scene: Scene) -> None:
        """Cancelled until gone, the job is dead; its neighbour lives on."""
        plan, neighbour = scene.plan(), scene.plan()
        handle, other = await scene.submit(plan), await scene.submit(neighbour)
        await scene.cancelled(plan.key, handle)
        await self._dead(scene, plan, "cancel() answered that there is nothing left")
        seen = await scene.observe(other)
        if seen.gone or (seen.phase is not None and seen.phase.is_terminal):
            refuse(
                "cancel() stopped another job as well",
                place=scene.place("cancel"),
                actual=repr(seen),
                hint="cancel by the id in the handle, or by the exact key",
            )
        await scene.cancelled(neighbour.key, other)

    @scenario
    async def test_a_cancelled_job_is_seen_as_cancelled(self, scene: Scene) -> None:
        """A look at it gives ``CANCELLED``, or ``gone`` where the vendor forgets it; never a success."""
        plan = scene.plan()
        handle = await scene.submit(plan)
        await scene.cancelled(plan.key, handle)
        seen = await scene.observe(handle)
        if not seen.gone and seen.phase is not Phase.CANCELLED:
            refuse(
                "a cancelled job is seen otherwise",
                place=scene.place("poll"),
                expected="phase cancelled, or gone=True",
                actual=repr(seen),
                hint="map the vendor's word for a cancelled job to Phase.CANCELLED",
            )

    @scenario
    async def test_cancelling_without_a_handle_finds_the_job_by_its_key(self, scene: Scene) -> None:
        """Where the answer to a submission was lost there is only the key, and it is enough, in any process."""
        if scene.declaration.idempotency == "C":
            self.skip("the backend declares idempotency C: its vendor finds no job by a key")
        plan, neighbour = scene.plan(), scene.plan()
        await scene.submit(plan)
        other = await scene.submit(neighbour)
        if scene.declaration.idempotency != "A":  # a vendor that dedupes need not be able to search
            await scene.found(plan)
        await scene.cancelled(plan.key, None, scene.another_backend())
        await self._dead(scene, plan, "cancel() without a handle answered that there is nothing left")
        if not await scene.vendor_does(scene.vendor.live, neighbour.key):
            refuse(
                "cancel() without a handle stopped the job of another key",
                place=scene.place("cancel"),
                hint="compare the stamped key exactly, not by a prefix or by the owner",
            )
        await scene.cancelled(neighbour.key, other)

    @scenario
    async def test_cancelling_twice_is_as_good_as_once(self, scene: Scene) -> None:
        """Again, at the same time, after it is gone, with and without a handle: never an error."""
        plan = scene.plan()
        handle = await scene.submit(plan)
        await self._safe(
            scene, "two at the same time", scene.cancelled(plan.key, handle), scene.cancelled(plan.key, handle)
        )
        await self._gone(scene, plan, handle, "a job that was cancelled before")
        if scene.declaration.idempotency != "C":
            await self._gone(scene, plan, None, "the key of a job that was cancelled before")
        await self._dead(scene, plan, "it was cancelled several times")

    @scenario
    async def test_cancelling_after_the_end_leaves_the_end_as_it_was(self, scene: Scene) -> None:
        """A job that has succeeded is ``Terminal`` with that observation, or ``Gone``, and its outputs stay."""
        plan = scene.plan(Course.ENDS)
        handle = await scene.submit(plan)
        await scene.ended(handle)
        answer = await scene.cancelled(plan.key, handle)
        if isinstance(answer, Terminal) and answer.observation.phase is not Phase.SUCCEEDED:
            refuse(
                "cancel() after the end tells another end",
                place=scene.place("cancel"),
                expected="Terminal with an observation of phase succeeded, or Gone()",
                actual=repr(answer),
                hint="look at the job: whether it succeeded decides whether its outputs are kept",
            )
        self._known(scene, answer, "a job that has ended")
        seen = await scene.observe(handle)
        if seen.phase is not Phase.SUCCEEDED:
            refuse(
                "cancel() after the end changes the end",
                place=scene.place("cancel"),
                actual=repr(seen),
                hint="a job that has ended is left alone",
            )
        await scene.collect(handle)

    @scenario
    async def test_cancelling_a_job_that_vanished_is_done_at_once(self, scene: Scene) -> None:
        """A job that somebody removed is ``Gone``."""
        plan = scene.plan()
        handle = await scene.submit(plan)
        await scene.vendor_does(scene.vendor.vanish, handle)
        await self._gone(scene, plan, handle, "a job that somebody removed")

    @scenario
    async def test_cancelling_during_a_look_harms_neither(self, scene: Scene) -> None:
        """Looks and cancellations at the same time: no error, and the job ends."""
        plan = scene.plan()
        handle = await scene.submit(plan)
        looks = [scene.poll([handle]) for _ in range(_ROUNDS)]
        results = await asyncio.gather(
            *looks, scene.cancelled(plan.key, handle), scene.poll([handle]), return_exceptions=True
        )
        for result in results:
            failed = [result] if isinstance(result, BaseException) else []
            if isinstance(result, dict):
                failed += [answer for answer in result.values() if isinstance(answer, BackendError)]
            if failed:
                refuse(
                    "a look and a cancellation at the same time disturb each other",
                    place=scene.place("cancel"),
                    actual=repr(failed[0]),
                    hint="share no connection or cursor between calls that may overlap",
                    cause=failed[0],
                )
        await self._dead(scene, plan, "it was cancelled while it was looked at")

    @scenario
    async def test_cancelling_waits_for_the_job_to_be_gone(self, scene: Scene) -> None:
        """While the vendor is still stopping the job the answer is ``InProgress``."""
        plan = scene.plan()
        handle = await scene.submit(plan)
        await scene.vendor_does(scene.vendor.linger, 0.3)

        async def again() -> CancelAnswer | None:
            answer = await scene.cancel(plan.key, handle)
            # Asked after the answer, so that a job that ends in between is not held against the backend.
            alive = await scene.vendor_does(scene.vendor.live, plan.key)
            if isinstance(answer, Gone | Terminal) and alive:
                refuse(
                    "cancel() lets go of a job that still runs",
                    place=scene.place("cancel"),
                    expected="InProgress() until the vendor says that it has stopped",
                    actual=repr(answer),
                    hint="answer by the job's state and not by the vendor's thanks for the request",
                )
            return None if isinstance(answer, InProgress) else answer

        await scene.until("the end of a cancelled job", again, "cancel() answers Gone or Terminal once it has stopped")

    # --- how it is done ---

    async def _gone(self, scene: Scene, plan: Plan, handle: Handle | None, what: str) -> None:
        try:
            answer = await scene.cancelled(plan.key, handle)
        except BackendError as error:
            refuse(
                f"cancel() of {what} is an error",
                place=scene.place("cancel"),
                expected="Gone(), or Terminal(observation)",
                actual=f"{error.error_class.value}: {error.message}",
                hint="what is not there needs no cancelling: map 'no such job' and 'has ended' to an answer",
                cause=error,
            )
        self._known(scene, answer, what)
        if isinstance(answer, Terminal) and answer.observation.phase is Phase.SUCCEEDED:
            refuse(
                f"cancel() of {what} answers a success",
                place=scene.place("cancel"),
                actual=repr(answer),
                hint="tell what the vendor says of the job; Gone() where it says nothing",
            )

    def _known(self, scene: Scene, answer: CancelAnswer, what: str) -> None:
        if isinstance(answer, NotOurs) or not isinstance(answer, Gone | Terminal):
            refuse(
                f"cancel() of {what}",
                place=scene.place("cancel"),
                expected="Gone(), or Terminal(observation)",
                actual=repr(answer),
                hint="answer with one of the four classes of the contract",
            )
        if isinstance(answer, Terminal) and not _is_end(answer.observation):
            refuse(
                f"cancel() of {what} answers Terminal with a state that is not the end",
                place=scene.place("cancel"),
                actual=repr(answer),
                hint="InProgress() while the vendor is still stopping it",
            )

    async def _safe(self, scene: Scene, what: str, *calls: object) -> None:
        results = await asyncio.gather(*calls, return_exceptions=True)  # type: ignore[call-overload]
        for result in results:
            if isinstance(result, BaseException):
                refuse(
                    f"cancelling {what} is an error",
                    place=scene.place("cancel"),
                    actual=repr(result),
                    hint="a job that is being cancelled already is InProgress(), whoever asked first",
                    cause=result,
                )

    async def _dead(self, scene: Scene, plan: Plan, story: str) -> None:
        alive = await scene.vendor_does(scene.vendor.live, plan.key)
        if alive:
            refuse(
                f"{story}, and {alive} job(s) of the key run on",
                place=scene.place("cancel"),
                expected="no live job",
                hint="answer by the job's state and not by the vendor's thanks for the request",
            )


def _is_end(seen: Observation) -> bool:
    return seen.gone or (seen.phase is not None and seen.phase.is_terminal)
