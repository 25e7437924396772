"""Is there one job for one key, whatever happens to the call, and is nobody else's job taken for ours?"""

from __future__ import annotations

import asyncio

from flytepath.plugin.backend import (
    BackendError,
    ErrorClass,
    Found,
    Gone,
    Handle,
    NotFound,
    NotOurs,
    Unknown,
)
from flytepath.plugin.plans import Plan
from flytepath.testing.backend_conformance.scene import Scene, scenario, stored
from flytepath.testing.backend_conformance.stage import PASSING, Stage
from flytepath.testing.backend_conformance.vendor import Course
from flytepath.testing.findings import refuse

_ONE_JOB_HINT = (
    "pass the key as the vendor's idempotency key; without one, look for the key's stamp (or a unique name) before "
    "submitting, and return the handle of what is there"
)


class SubmitChecks(Stage):
    """The checks of ``submit`` and ``find``."""

    @scenario
    async def test_submitting_one_key_twice_makes_one_job(self, scene: Scene) -> None:
        """A second submission of a key, also by another process, gives the handle of the first one's job."""
        self._needs_identity(scene)
        plan = scene.plan()
        first = await scene.submit(plan)
        if scene.declaration.idempotency == "A":
            await self._at_once(scene)
        again = [await scene.submit(plan), await scene.submit(plan, scene.another_backend())]
        await one_job(scene, plan, "submit() was called three times with one key")
        for handle in again:
            if handle != first:
                refuse(
                    "submitting a key again gives another handle",
                    place=scene.place("submit"),
                    expected=repr(first),
                    actual=repr(handle),
                    hint="return what names the job and nothing of the call (no request id, no time)",
                )
        await scene.cancelled(plan.key, first)

    @scenario
    async def test_a_handle_is_json_with_a_version_and_serves_another_process(self, scene: Scene) -> None:
        """A handle survives being stored, has a version the backend reads, and is all that another process needs."""
        plan = scene.plan(Course.ENDS)
        handle = await scene.submit(plan)
        versions = type(scene.backend).handle_versions
        if handle.version not in versions:
            refuse(
                f"submit() returns a handle of version {handle.version}",
                place=scene.place("submit"),
                expected=f"one of handle_versions: {versions}",
                actual=str(handle.version),
                hint="list every version that was ever released in handle_versions, newest last",
            )
        other = scene.another_backend()
        seen = await scene.ended(handle, other)
        if seen.phase is None or seen.phase.value != "succeeded":
            refuse(
                "another process sees another end of the job",
                place=scene.place("poll"),
                expected="succeeded",
                actual=repr(seen),
                hint="keep nothing in the backend: the handle holds all that finds the job again",
            )
        await scene.collect(handle, other)

    @scenario
    async def test_find_shows_what_was_submitted_and_nothing_else(self, scene: Scene) -> None:
        """``find`` is ``NotFound`` before the submission, and afterwards the handle that works like the first."""
        plan, other = scene.plan(), scene.plan()
        await self._needs_find(scene, plan)
        before = await scene.find(plan)
        if not isinstance(before, NotFound):
            refuse(
                "find() of a job that was never submitted",
                place=scene.place("find"),
                expected="NotFound()",
                actual=repr(before),
                hint="answer NotFound() where the vendor certainly has no job with the key",
            )
        handle = await scene.submit(plan)
        found = await scene.found(plan, scene.another_backend())
        if found != handle:
            refuse(
                "find() gives another handle than submit()",
                place=scene.place("find"),
                expected=repr(handle),
                actual=repr(found),
                hint="make handles in one place, from what both answers of the vendor have",
            )
        if not isinstance(await scene.find(other), NotFound):
            refuse(
                "find() takes the job of one key for that of another",
                place=scene.place("find"),
                hint="compare the stamped key, and not only the name or the owner",
            )
        await scene.cancelled(plan.key, handle)

    @scenario
    async def test_a_submission_cut_off_after_it_was_accepted_is_adopted(self, scene: Scene) -> None:
        """Where the answer is lost, ``submit`` says that it does not know, and ``find`` shows the one job."""
        self._needs_identity(scene)
        plan = scene.plan()
        await scene.vendor_does(scene.vendor.cut_off_after_accept)
        try:
            await scene.submit(plan)
        except BackendError as error:
            if error.accepted is not None or error.error_class not in PASSING:
                refuse(
                    "an error says more than anybody can know: the submission may have been accepted",
                    place=scene.place("submit"),
                    expected="BackendError with error_class transient or unavailable, and accepted=None",
                    actual=f"error_class {error.error_class.value}, accepted={error.accepted}",
                    hint="only an answer of the vendor tells that a request was refused (accepted=False)",
                )
        handle = await self._adopted(scene, plan)
        await one_job(scene, plan, "the answer to a submission was lost")
        await scene.cancelled(plan.key, handle)

    @scenario
    async def test_a_new_job_that_is_not_visible_yet_is_found_in_the_end(self, scene: Scene) -> None:
        """While a job is hidden ``find`` is ``NotFound`` or ``Unknown``; then it is ``Found``, and one."""
        plan = scene.plan()
        await self._needs_find(scene, plan)
        await scene.vendor_does(scene.vendor.hide_new_jobs, 0.3)
        handle = await scene.submit(plan)
        found = await scene.found(plan, scene.another_backend())
        await one_job(scene, plan, "the job was not visible at once")
        if found != handle:
            refuse(
                "the handle of a job that was found late is another one",
                place=scene.place("find"),
                expected=repr(handle),
                actual=repr(found),
                hint="make handles in one place, from what both answers of the vendor have",
            )
        await scene.cancelled(plan.key, handle)

    @scenario
    async def test_a_refused_submission_says_that_it_was_not_accepted(self, scene: Scene) -> None:
        """Where the vendor refused, the error says so (``accepted=False``), and there is no job."""
        plan = scene.plan()
        await scene.vendor_does(scene.vendor.refuse_submit)
        try:
            handle = await scene.submit(plan)
        except BackendError as error:
            if error.accepted is not False or error.error_class in PASSING:
                refuse(
                    "a refusal is not told as one",
                    place=scene.place("submit"),
                    expected="accepted=False, and the class of who is to blame: invalid, auth, quota_exceeded",
                    actual=f"error_class {error.error_class.value}, accepted={error.accepted}",
                    hint="map the vendor's refusals (a 4xx of HTTP) to accepted=False, so that nobody looks for a job",
                )
        else:
            refuse(
                "submit() returns a handle where the vendor refused",
                place=scene.place("submit"),
                actual=repr(handle),
                hint="raise BackendError with the vendor's own code and text",
            )
        if await scene.vendor_does(scene.vendor.count, plan.key):
            refuse("a refused submission made a job", place=scene.place("submit"), hint="do not try again in submit()")

    @scenario
    async def test_one_key_with_another_digest_or_owner_is_a_conflict(self, scene: Scene) -> None:
        """A job of the same key and another content or owner is neither taken for this one nor joined by a second."""
        self._needs_identity(scene)
        plan = scene.plan()
        handle = await scene.submit(plan)
        searches = await self._searches(scene, plan)
        other = scene.plan(Course.ENDS, key=plan.key)
        stranger = scene.plan(key=plan.key, installation=f"{scene.installation}-other")
        for name, call, what, asked in (
            ("find", scene.find, "digest", other),
            ("submit", scene.submit, "digest", other),
            ("find", scene.find, "owner", stranger),
        ):
            if name == "find" and not searches:
                continue
            try:
                answer: object = await call(asked)
            except BackendError as error:
                if error.error_class is ErrorClass.CONFLICT:
                    continue
                answer = f"{error.error_class.value} error: {error.message}"
            refuse(
                f"{name}() of a plan whose key has a job of another {what}",
                place=scene.place(name),
                expected="BackendError with error_class conflict",
                actual=repr(answer),
                hint="stamp owner and digest on the job, and compare them whenever a job is found by its key",
            )
        await one_job(scene, plan, "another plan has the same key")
        await scene.cancelled(plan.key, handle)

    @scenario
    async def test_a_foreign_job_of_the_same_name_is_neither_adopted_nor_touched(self, scene: Scene) -> None:
        """Somebody else's job that bears our name stays as it is, and is never taken for ours."""
        plan = scene.plan()
        foreign = await scene.vendor_does(scene.vendor.make_foreign, plan.external_name)
        await self._not_adopted(scene, plan, "find")
        answer = await scene.cancel(plan.key, None)
        if not isinstance(answer, NotOurs | Gone):
            refuse(
                "cancel() of a key whose name somebody else's job bears",
                place=scene.place("cancel"),
                expected="NotOurs(stamp) or Gone()",
                actual=repr(answer),
                hint="look at the stamp of what bears the name before touching it",
            )
        handle = await self._not_adopted(scene, plan, "submit")
        if handle is not None:
            await one_job(scene, plan, "the name was taken by somebody else, and submit() returned a handle")
            await scene.cancelled(plan.key, handle)
        owned, _ = await scene.owned()
        if handle is None and owned:
            refuse(
                "list_owned() lists somebody else's job",
                place=scene.place("list_owned"),
                actual=repr(owned),
                hint="list by the stamp of the installation, never by a name",
            )
        if not await scene.vendor_does(scene.vendor.is_untouched, foreign):
            refuse(
                "somebody else's job was touched",
                place=scene.place(""),
                expected=f"{foreign} as it was made",
                hint="find(), submit() and cancel() compare owner, key and digest before they act",
            )

    @scenario
    async def test_a_submission_that_is_given_up_leaves_one_job_or_none(self, scene: Scene) -> None:
        """When core stops waiting for ``submit``, what may have come of it can be found and cancelled."""
        self._needs_identity(scene)
        plan = scene.plan()
        task = asyncio.ensure_future(scene.backend.submit(plan))
        await asyncio.sleep(0)
        task.cancel()
        outcome = (await asyncio.gather(task, return_exceptions=True))[0]
        if isinstance(outcome, BaseException) and not isinstance(outcome, asyncio.CancelledError | BackendError):
            refuse(
                f"submit() that is cancelled raises {type(outcome).__name__}",
                place=scene.place("submit"),
                expected="asyncio.CancelledError to pass",
                actual=repr(outcome),
                hint="never catch BaseException or CancelledError around a call",
                cause=outcome,
            )
        handle = await scene.submit(plan)
        await one_job(scene, plan, "a submission was given up and made again")
        await scene.cancelled(plan.key, handle)

    # --- how it is done ---

    def _needs_identity(self, scene: Scene) -> None:
        if scene.declaration.idempotency == "C":
            self.skip("the backend declares idempotency C: its vendor neither dedupes nor finds jobs by a key")

    async def _at_once(self, scene: Scene) -> None:
        """An engine that was taken for dead may submit at the same time as the one that follows it."""
        plan = scene.plan()
        calls = [scene.submit(plan), scene.submit(plan, scene.another_backend())]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        failed = [answer for answer in answers if isinstance(answer, BaseException)]
        if len(failed) == len(answers):
            raise failed[0]
        await one_job(scene, plan, "submit() was called twice at the same time with one key")
        [handle, *_] = [answer for answer in answers if isinstance(answer, Handle)]
        await scene.cancelled(plan.key, handle)

    async def _searches(self, scene: Scene, plan: Plan) -> bool:
        """Whether ``find`` can tell; a vendor that dedupes by a key need not be able to search by it."""
        return not (scene.declaration.idempotency == "A" and isinstance(await scene.find(plan), Unknown))

    async def _needs_find(self, scene: Scene, plan: Plan) -> None:
        self._needs_identity(scene)
        if not await self._searches(scene, plan):
            self.skip("find() answers Unknown: the backend declares idempotency A, so core submits again instead")

    async def _adopted(self, scene: Scene, plan: Plan) -> Handle:
        """The handle as core gets it after the answer was lost: by asking again, or by searching."""
        another = scene.another_backend()
        if scene.declaration.idempotency == "A":
            return await scene.submit(plan, another)
        return await scene.found(plan, another)

    async def _not_adopted(self, scene: Scene, plan: Plan, name: str) -> Handle | None:
        """The handle of a job of our own, where the vendor allows two jobs of a name."""
        try:
            answer = await (scene.find(plan) if name == "find" else scene.submit(plan))
        except BackendError as error:
            if error.error_class is not ErrorClass.CONFLICT:
                refuse(
                    f"{name}() where somebody else's job bears the name",
                    place=scene.place(name),
                    expected="BackendError with error_class conflict",
                    actual=f"error_class {error.error_class.value}: {error.message}",
                    hint="a name that is taken by another's job is a conflict: it ends the job and touches nothing",
                    cause=error,
                )
            return None
        if isinstance(answer, Found):
            refuse(
                "find() adopts somebody else's job",
                place=scene.place("find"),
                expected="NotFound() or BackendError with error_class conflict",
                actual=repr(answer),
                hint="compare owner, key and digest of what bears the name",
            )
        return stored(answer) if isinstance(answer, Handle) else None


async def one_job(scene: Scene, plan: Plan, story: str) -> None:
    """A finding unless the vendor made exactly one job with the plan's key."""
    made = await scene.vendor_does(scene.vendor.count, plan.key)
    if made != 1:
        refuse(
            f"{made} jobs came of one key: {story}",
            place=scene.place("submit"),
            expected="1 job",
            actual=f"{made} jobs",
            hint=_ONE_JOB_HINT,
        )


__all__ = ["SubmitChecks", "one_job"]
