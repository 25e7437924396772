"""Does a look at jobs tell what is there: each job's own state, errors as errors, and the vendor's own words?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from flytepath.plugin.backend import (
    BackendError,
    ErrorClass,
    Handle,
    LogChunk,
    Observation,
    Phase,
)
from flytepath.testing.backend_conformance.scene import Scene, scenario
from flytepath.testing.backend_conformance.stage import PASSING, Stage
from flytepath.testing.backend_conformance.vendor import Course
from flytepath.testing.findings import refuse

_THROTTLED_SECONDS = 7.0
_FAILED_LOOKS = 25
_PIECES = 10_000


class ObserveChecks(Stage):
    """The checks of ``poll``, ``collect`` and ``logs``."""

    @scenario
    async def test_a_job_is_seen_to_begin_and_to_succeed(self, scene: Scene) -> None:
        """Phases only go forward, raw states are the vendor's words, and the end is ``SUCCEEDED``."""
        handle = await scene.submit(scene.plan(Course.ENDS))
        order = [Phase.QUEUED, Phase.INITIALIZING, Phase.RUNNING, Phase.SUCCEEDED]
        furthest = 0

        async def look() -> Observation | None:
            nonlocal furthest
            seen = await scene.observe(handle)
            if seen.phase not in order or order.index(seen.phase) < furthest or not seen.raw_state:
                refuse(
                    "a job that goes well is not seen to go well",
                    place=scene.place("poll"),
                    expected=f"one of {', '.join(order[furthest:])}, and the vendor's word for it in raw_state",
                    actual=repr(seen),
                    hint="map every state of the vendor in one table",
                )
            furthest = order.index(seen.phase)
            return seen if seen.phase is Phase.SUCCEEDED else None

        await scene.until("the success of a job", look, "poll() gives SUCCEEDED once the job has succeeded")
        again = await scene.observe(handle)
        if again.phase is not Phase.SUCCEEDED:
            refuse(
                "a job that has succeeded is seen otherwise later",
                place=scene.place("poll"),
                actual=repr(again),
                hint="map every final state of the vendor to one that is terminal",
            )

    @scenario
    async def test_a_failure_of_the_user_is_told_as_one(self, scene: Scene) -> None:
        """A job that failed by the user's fault is ``FAILED``, ``USER``, with a reason for people."""
        handle = await scene.submit(scene.plan(Course.FAILS))
        seen = await scene.ended(handle)
        if seen.phase is not Phase.FAILED or seen.error_class is not ErrorClass.USER or not seen.reason:
            refuse(
                "a job failed by the user's fault, and is not told so",
                place=scene.place("poll"),
                expected="phase failed, error_class user, and the vendor's words in reason",
                actual=repr(seen),
                hint="a program that ends badly is the user's: system errors are retried on another budget",
            )

    @scenario
    async def test_many_jobs_are_seen_in_one_look(self, scene: Scene) -> None:
        """A batch as large as declared is answered handle by handle; an empty one is answered as well."""
        many = min(self.crowd, scene.declaration.batch_limit)
        plans = [scene.plan() for _ in range(many)]
        handles = [await scene.submit(plan) for plan in plans]
        seen = await scene.poll(handles)
        wrong = [answer for answer in seen.values() if not isinstance(answer, Observation) or _has_ended(answer)]
        if wrong or await scene.poll([]):
            refuse(
                "running jobs are not all seen to run in one look",
                place=scene.place("poll"),
                actual=repr(wrong[:3]),
                hint="ask for all handles at once, and answer {} for none",
            )
        repeated = await scene.poll([handles[0], handles[0]])
        if len(repeated) != 1:
            refuse(
                "a handle given twice has no single answer",
                place=scene.place("poll"),
                hint="answer by handle, in a dict",
            )
        for plan, handle in zip(plans, handles, strict=True):
            await scene.cancelled(plan.key, handle)

    @scenario
    async def test_an_unknown_state_keeps_the_phase(self, scene: Scene) -> None:
        """A state that the backend cannot know gives ``phase=None`` and the vendor's own word; it never raises."""
        plan = scene.plan()
        handle = await scene.submit(plan)
        word = await scene.vendor_does(scene.vendor.unknown_state, handle)
        try:
            seen = await scene.observe(handle)
        except BackendError as error:
            refuse(
                f"poll() of a job in the unknown state {word!r} is an error",
                place=scene.place("poll"),
                expected=f"Observation(phase=None, raw_state={word!r})",
                actual=f"error_class {error.error_class.value}: {error.message}",
                hint="use table.get(state): vendors add states, and a job must not fail of it",
                cause=error,
            )
        if seen.phase is not None or seen.gone or word not in seen.raw_state:
            refuse(
                f"the unknown state {word!r} is taken for a known one",
                place=scene.place("poll"),
                expected=f"Observation(phase=None, raw_state={word!r})",
                actual=repr(seen),
                hint="use table.get(state) without a default",
            )

    @scenario
    async def test_one_bad_handle_does_not_spoil_the_others(self, scene: Scene) -> None:
        """A handle that cannot be read has an error of its own, and its neighbours their observations."""
        plans = [scene.plan(), scene.plan()]
        good = [await scene.submit(plan) for plan in plans]
        strange = Handle({"nobody": "wrote this"}, version=max(type(scene.backend).handle_versions))
        future = Handle(dict(good[0].data), version=max(type(scene.backend).handle_versions) + 1)
        for bad, what in ((strange, "without the fields of one"), (future, "of a version from the future")):
            seen = await self._answers(scene, [good[0], bad, good[1]], f"a handle {what}")
            self._others_unspoilt(scene, [seen[handle] for handle in good], f"a handle {what}")
            if not isinstance(seen[bad], BackendError) or seen[bad].error_class in PASSING:
                refuse(
                    f"a handle {what} is answered as if it were a job",
                    place=scene.place("poll"),
                    expected="BackendError with error_class protocol, as that handle's answer",
                    actual=repr(seen[bad]),
                    hint="check the version and the fields of each handle; put the error into its answer",
                )
        for plan, handle in zip(plans, good, strict=True):
            await scene.cancelled(plan.key, handle)

    @scenario
    async def test_one_poisoned_job_does_not_spoil_the_others(self, scene: Scene) -> None:
        """Where the vendor fails for one job of a batch, the others are still seen."""
        plans = [scene.plan() for _ in range(3)]
        handles = [await scene.submit(plan) for plan in plans]
        await scene.vendor_does(scene.vendor.poison, handles[1])
        seen = await self._answers(scene, handles, "a job that the vendor cannot show")
        self._others_unspoilt(scene, [seen[handles[0]], seen[handles[2]]], "a job that the vendor cannot show")
        if isinstance(seen[handles[1]], Observation) and _has_ended(seen[handles[1]]):
            refuse(
                "a job that could not be seen is told to have ended",
                place=scene.place("poll"),
                actual=repr(seen[handles[1]]),
                hint="an error of a look is the answer BackendError(...); the job itself goes on",
            )

    @scenario
    async def test_a_job_that_is_gone_is_told_so(self, scene: Scene) -> None:
        """A job that somebody removed is ``gone``: not an error, and not a success."""
        plan = scene.plan()
        handle = await scene.submit(plan)
        await scene.observe(handle)
        await scene.vendor_does(scene.vendor.vanish, handle)

        async def look() -> Observation | None:
            answer = (await scene.poll([handle]))[handle]
            if not isinstance(answer, Observation) or answer.phase is Phase.SUCCEEDED:
                refuse(
                    "a job that is gone is not told so",
                    place=scene.place("poll"),
                    expected="Observation(phase=None, raw_state=..., gone=True)",
                    actual=repr(answer),
                    hint="map 'no such job' to gone=True; core decides what is lost",
                )
            return answer if answer.gone else None

        await scene.until("gone=True of a job that was removed", look, "map 'no such job' to gone=True")

    @scenario
    async def test_a_lost_machine_is_no_fault_of_the_user(self, scene: Scene) -> None:
        """A job whose machine was taken away ends as ``PREEMPTED`` or ``LOST``."""
        handle = await scene.submit(scene.plan())
        await scene.vendor_does(scene.vendor.preempt, handle)
        seen = await scene.ended(handle)
        if seen.phase is not Phase.FAILED or seen.error_class not in (ErrorClass.PREEMPTED, ErrorClass.LOST):
            refuse(
                "a job lost its machine, and is not told so",
                place=scene.place("poll"),
                expected="phase failed, error_class preempted or lost",
                actual=repr(seen),
                hint="tell by the vendor's reason: such a job is submitted again, and the user's budget is left alone",
            )

    @scenario
    async def test_a_look_that_fails_is_never_the_end_of_a_job(self, scene: Scene) -> None:
        """While the vendor has trouble, looks are errors that pass; afterwards the job is seen as it is."""
        plan = scene.plan()
        handle = await scene.submit(plan)
        await scene.vendor_does(scene.vendor.fail_polls, _FAILED_LOOKS)
        failures = 0
        for _ in range(_FAILED_LOOKS):
            try:
                answer = (await scene.poll([handle]))[handle]
            except BackendError as error:
                answer = error
            if isinstance(answer, BackendError):
                failures += 1
                _must_pass(scene, "poll", answer)
            elif _has_ended(answer):
                refuse(
                    "a look that failed is told as the end of a job",
                    place=scene.place("poll"),
                    expected="BackendError with error_class transient, throttled or unavailable",
                    actual=repr(answer),
                    hint="trouble of the service (a 5xx of HTTP, a cut connection) says nothing about the job",
                )
        if not failures:
            refuse(
                "no look failed although the vendor had trouble",
                place=scene.place("poll"),
                hint="an answer that could not be had is an error, never an observation from memory",
            )
        await scene.vendor_does(scene.vendor.fail_polls, 0)
        if _has_ended(await scene.observe(handle)):
            refuse("a running job is seen to have ended after some looks failed", hint="keep nothing of a failed look")
        await scene.cancelled(plan.key, handle)

    @scenario
    async def test_the_vendors_wish_to_wait_is_passed_on(self, scene: Scene) -> None:
        """A refusal as one call too many is ``THROTTLED`` with the seconds the vendor asked for."""
        first, second = scene.plan(), scene.plan()
        handle = await scene.submit(first)
        await self._throttled(scene, "poll", lambda: _one_answer(scene, handle))
        await self._throttled(scene, "submit", lambda: scene.submit(second))
        if await scene.vendor_does(scene.vendor.count, second.key):
            refuse(
                "a submission that was refused made a job", place=scene.place("submit"), hint="do not retry in submit()"
            )
        await scene.cancelled(first.key, handle)

    @scenario
    async def test_collecting_twice_gives_the_same(self, scene: Scene) -> None:
        """Outputs are the same again, and for another process."""
        handle = await scene.submit(scene.plan(Course.ENDS))
        await scene.ended(handle)
        first = await scene.collect(handle)
        for backend in (None, scene.another_backend()):
            again = await scene.collect(handle, backend)
            if [(name, value.digest) for name, value in again.items()] != [
                (name, value.digest) for name, value in first.items()
            ]:
                refuse(
                    "collect() gives other outputs the second time",
                    place=scene.place("collect"),
                    expected=repr(first)[:500],
                    actual=repr(again)[:500],
                    hint="read the result and leave it there; cleanup() removes it when core has it",
                )

    @scenario
    async def test_a_result_that_cannot_be_had_yet_is_an_error_that_passes(self, scene: Scene) -> None:
        """``collect`` that fails is an error apart from the job's state, and succeeds later."""
        handle = await scene.submit(scene.plan(Course.ENDS))
        await scene.ended(handle)
        await scene.vendor_does(scene.vendor.fail_collects, 2)
        for _ in range(2):
            try:
                await scene.collect(handle)
            except BackendError as error:
                _must_pass(scene, "collect", error)
        await scene.vendor_does(scene.vendor.fail_collects, 0)
        await scene.collect(handle)

    @scenario
    async def test_cleaning_up_is_safe_to_repeat(self, scene: Scene) -> None:
        """``cleanup`` may come again, also after the job is gone, also without a handle."""
        plan = scene.plan(Course.ENDS)
        handle = await scene.submit(plan)
        await scene.ended(handle)
        await scene.collect(handle)
        for known in (handle, handle, None):
            await scene.call("cleanup", scene.backend.cleanup(plan.key, known))
        never = scene.plan()
        await scene.call("cleanup", scene.backend.cleanup(never.key, None))

    @scenario
    async def test_logs_go_on_where_they_were_left(self, scene: Scene) -> None:
        """Pieces of a log put together are the log, whichever process reads them, and a piece can be read again."""
        plan = scene.plan(Course.ENDS)
        handle = await scene.submit(plan)
        await scene.ended(handle)
        pieces: list[str] = []
        cursor: str | None = None
        for number in range(_PIECES):
            backend = scene.another_backend() if number % 100 == 1 else scene.backend
            chunk = await scene.call("logs", backend.logs(handle, cursor))
            again = await scene.call("logs", scene.backend.logs(handle, cursor))
            if not isinstance(chunk, LogChunk) or not again.text.startswith(chunk.text[: len(again.text)]):
                refuse(
                    "one cursor gives two different pieces of a log",
                    place=scene.place("logs"),
                    expected=repr(chunk),
                    actual=repr(again),
                    hint="a cursor is a place in the log; keep none in the backend",
                )
            pieces.append(chunk.text)
            if chunk.complete:
                break
            if not chunk.text and chunk.cursor == cursor:
                refuse(
                    "the log of a job that has ended never becomes complete",
                    place=scene.place("logs"),
                    actual=repr(chunk),
                    hint="say complete=True where nothing will follow",
                )
            cursor = chunk.cursor
        expected = await scene.vendor_does(scene.vendor.logged, handle)
        if "".join(pieces) != expected:
            refuse(
                "the pieces of a log do not make the log",
                place=scene.place("logs"),
                expected=repr(expected)[-500:],
                actual=repr("".join(pieces))[-500:],
                hint="the cursor stands right after the text that came with it",
            )

    # --- how it is done ---

    async def _answers(self, scene: Scene, handles: list[Handle], what: str) -> dict[Handle, Any]:
        try:
            return dict(await scene.poll(handles))
        except BackendError as error:
            refuse(
                f"{what} spoils the whole look",
                place=scene.place("poll"),
                expected="an error as the answer of that one handle",
                actual=f"{error.error_class.value}: {error.message}",
                hint="catch the error of one handle and put it into its answer; ask for the others again if need be",
                cause=error,
            )

    def _others_unspoilt(self, scene: Scene, answers: list[Any], what: str) -> None:
        for answer in answers:
            if not isinstance(answer, Observation) or answer.gone or _has_ended(answer):
                refuse(
                    f"{what} spoils the answers of its neighbours",
                    place=scene.place("poll"),
                    expected="the observation of a running job",
                    actual=repr(answer),
                    hint="where the vendor refuses a whole batch for one of it, ask again without it, or one by one",
                )

    async def _throttled(self, scene: Scene, name: str, call: Callable[[], Awaitable[Any]]) -> None:
        await scene.vendor_does(scene.vendor.throttle, _THROTTLED_SECONDS)
        try:
            answer = await call()
        except BackendError as error:
            answer = error
        right = (
            isinstance(answer, BackendError)
            and answer.error_class is ErrorClass.THROTTLED
            and answer.retry_after is not None
            and 0 < answer.retry_after <= _THROTTLED_SECONDS + 1
            and (name != "submit" or answer.accepted is False)
        )
        if not right:
            told = [getattr(answer, field, None) for field in ("error_class", "retry_after", "accepted")]
            refuse(
                f"the vendor refused {name}() as too many and asked to wait {_THROTTLED_SECONDS:g} s",
                place=scene.place(name),
                expected=f"BackendError(error_class=throttled, retry_after={_THROTTLED_SECONDS:g}"
                + (", accepted=False)" if name == "submit" else ")"),
                actual=f"(error_class, retry_after, accepted) = {told} in {answer!r}",
                hint="read Retry-After, in seconds or as a date, and do not wait or try again in the backend",
            )


async def _one_answer(scene: Scene, handle: Handle) -> Any:
    return (await scene.poll([handle]))[handle]


def _has_ended(seen: Any) -> bool:
    return isinstance(seen, Observation) and (seen.gone or (seen.phase is not None and seen.phase.is_terminal))


def _must_pass(scene: Scene, name: str, error: BackendError) -> None:
    if error.error_class not in PASSING:
        refuse(
            f"{name}() tells trouble of the vendor's service as {error.error_class.value}",
            place=scene.place(name),
            expected="error_class transient, throttled or unavailable",
            actual=f"{error.error_class.value}: {error.message}",
            hint="map a 5xx of HTTP, a time-out, a cut connection and an unreadable answer to transient or unavailable",
            cause=error,
        )


__all__ = ["ObserveChecks"]
