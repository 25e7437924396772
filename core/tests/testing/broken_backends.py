"""Backends with one rule broken each; ``BROKEN`` names the check that must tell."""

from __future__ import annotations

import asyncio
import datetime
import itertools
import json
import logging
import os
import random
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from flytepath.model.types import INTEGER
from flytepath.plugin import (
    BackendError,
    ErrorClass,
    Found,
    Gone,
    Handle,
    InProgress,
    ItemPhases,
    Literal,
    LogChunk,
    NotFound,
    NotOurs,
    Observation,
    OwnedPage,
    Phase,
    Plan,
    Terminal,
)
from memory_cloud import CANARY, TOKEN, CloudError, MemoryBackend

BROKEN: list[tuple[str, type[MemoryBackend]]] = []
_count = itertools.count()


def breaks(*checks: str) -> Any:
    def add(kind: type[MemoryBackend]) -> type[MemoryBackend]:
        BROKEN.extend((check, kind) for check in checks)
        return kind

    return add


# --- plans ---


class AddsToSpec(MemoryBackend):
    def extra(self) -> Any: ...

    def spec(self, request: Any) -> Any:
        return {**super().spec(request), "extra": self.extra()}


@breaks("test_plan_does_nothing_but_plan")
class ReadsTheClock(AddsToSpec):
    def extra(self) -> Any:
        return datetime.datetime.now(datetime.UTC).year


@breaks("test_plan_does_nothing_but_plan")
class SwallowsItsClock(AddsToSpec):
    def extra(self) -> Any:
        return None if time.time() else 1


@breaks("test_plan_does_nothing_but_plan")
class RollsDice(AddsToSpec):
    def extra(self) -> Any:
        return random.random() < 2


@breaks("test_plan_does_nothing_but_plan")
class ReadsAFile(AddsToSpec):
    def extra(self) -> Any:
        return len(Path(__file__).read_text()) > 0


@breaks("test_plan_does_nothing_but_plan")
class ReadsTheEnvironment(AddsToSpec):
    def extra(self) -> Any:
        return os.environ.get("CLOUD_REGION")


@breaks("test_plan_gives_the_same_bytes_twice")
class CountsPlans(AddsToSpec):
    def extra(self) -> Any:
        return next(_count)


@breaks("test_plan_gives_the_same_bytes_twice")
class HashOrdered(AddsToSpec):
    def extra(self) -> Any:
        return list({"a", "b", "c", "d", "e", "f"})


@breaks("test_plan_is_plain_and_says_what_was_asked")
class CannotPlan(MemoryBackend):
    def spec(self, request: Any) -> Any:
        return request.payload["no such field"]


@breaks("test_plan_leaves_the_request_alone")
class ChangesThePayload(MemoryBackend):
    def spec(self, request: Any) -> Any:
        request.payload["seen"] = True
        return super().spec(request)


@breaks("test_plan_is_plain_and_says_what_was_asked")
class TupleInSpec(AddsToSpec):
    def extra(self) -> Any:
        return (1, 2)


@breaks("test_plan_is_plain_and_says_what_was_asked")
class OneDigest(MemoryBackend):
    def digest(self, spec: Any) -> str:
        return "digest"


@breaks("test_plan_is_plain_and_says_what_was_asked")
class ForgetsThePayload(MemoryBackend):
    def spec(self, request: Any) -> Any:
        return {"course": "ends", "items": [], "more": None}


@breaks("test_names_fit_the_vendor_and_are_unique")
class LongNames(MemoryBackend):
    def name(self, request: Any) -> str:
        return f"{request.task}-{super().name(request)}"


@breaks("test_names_fit_the_vendor_and_are_unique")
class CutNames(MemoryBackend):
    def name(self, request: Any) -> str:
        return f"fp-{request.key.value}"[:40]


@breaks("test_names_fit_the_vendor_and_are_unique")
class NamesOfTheEnd(MemoryBackend):
    def name(self, request: Any) -> str:
        return "fp-" + request.key.value[-20:]


# --- submitting and finding ---


@breaks("test_submitting_one_key_twice_makes_one_job")
class SubmitsBlindly(MemoryBackend):
    async def submit(self, plan: Plan) -> Handle:
        token = await self.secret(TOKEN, plan.owner.tenant)
        with self.calling():
            return self.handle(self.cloud.submit(f"n{next(_count)}", self.tags(plan), plan.spec, token))


@breaks("test_submitting_one_key_twice_makes_one_job")
class HandlesOfTheCall(MemoryBackend):
    def handle(self, id: str) -> Handle:
        return Handle({"id": id, "call": next(_count)})


@breaks("test_a_handle_is_json_with_a_version_and_serves_another_process")
class LiveHandles(MemoryBackend):
    def handle(self, id: str) -> Handle:
        return Handle({"id": id, "made": datetime.datetime(2020, 1, 1)})


@breaks("test_a_handle_is_json_with_a_version_and_serves_another_process")
class HandlesOfNoVersion(MemoryBackend):
    handle_versions = (2,)


@breaks("test_a_handle_is_json_with_a_version_and_serves_another_process")
class RemembersItself(MemoryBackend):
    """Right where jobs live in this process."""

    def __init__(self, cloud: Any) -> None:
        super().__init__(cloud)
        self.known: set[str] = set()

    def handle(self, id: str) -> Handle:
        self.known.add(id)
        return super().handle(id)

    def looked_at(self, ids: list[str]) -> dict[str, Any]:
        answers = super().looked_at(ids)
        return {id: answer if id in self.known else self.gone() for id, answer in answers.items()}


@breaks("test_find_shows_what_was_submitted_and_nothing_else")
class NeverReturns(MemoryBackend):
    async def find(self, plan: Plan) -> Any:
        await asyncio.Event().wait()


@breaks("test_find_shows_what_was_submitted_and_nothing_else")
class FindsNothing(MemoryBackend):
    async def find(self, plan: Plan) -> Any:
        return NotFound()


@breaks("test_find_shows_what_was_submitted_and_nothing_else")
class FindsAnything(MemoryBackend):
    async def find(self, plan: Plan) -> Any:
        found = self.cloud.search("installation", plan.owner.installation)
        return Found(self.handle(found[0].id)) if found else NotFound()


@breaks("test_a_submission_cut_off_after_it_was_accepted_is_adopted")
class TakesResetsForRefusals(MemoryBackend):
    def error(self, error: CloudError) -> BackendError:
        made = super().error(error)
        made.accepted = False
        return made


@breaks("test_a_submission_cut_off_after_it_was_accepted_is_adopted")
class TriesAgainItself(MemoryBackend):
    async def submit(self, plan: Plan) -> Handle:
        try:
            return await super().submit(plan)
        except BackendError as error:
            if error.error_class is not ErrorClass.TRANSIENT:
                raise
            plan_again = Plan(plan.key, plan.owner, plan.external_name + "2", plan.spec, plan.digest)
            return self.handle(self.cloud.submit(plan_again.external_name, self.tags(plan), plan.spec, CANARY))


@breaks("test_a_new_job_that_is_not_visible_yet_is_found_in_the_end")
class RemembersNotFound(MemoryBackend):
    missing: set[str] = set()

    async def find(self, plan: Plan) -> Any:
        if plan.key.value in self.missing:
            return NotFound()
        found = await super().find(plan)
        if isinstance(found, NotFound):
            self.missing.add(plan.key.value)
        return found


@breaks("test_a_refused_submission_says_that_it_was_not_accepted")
class NeverSure(MemoryBackend):
    def error(self, error: CloudError) -> BackendError:
        made = super().error(error)
        made.accepted = None
        return made


@breaks("test_one_key_with_another_digest_or_owner_is_a_conflict")
class IgnoresDigests(MemoryBackend):
    def check_stamp(self, job: Any, plan: Plan) -> None:
        return


@breaks("test_one_key_with_another_digest_or_owner_is_a_conflict")
class IgnoresOwners(MemoryBackend):
    def check_stamp(self, job: Any, plan: Plan) -> None:
        if job.tags["digest"] != plan.digest:
            super().check_stamp(job, plan)


class ByName(MemoryBackend):
    def named(self, name: str) -> Any:
        return next((job for job in self.cloud.jobs.values() if job.name == name), None)


@breaks("test_a_foreign_job_of_the_same_name_is_neither_adopted_nor_touched")
class AdoptsByName(ByName):
    async def find(self, plan: Plan) -> Any:
        job = self.named(plan.external_name)
        return NotFound() if job is None else Found(self.handle(job.id))


@breaks(
    "test_a_foreign_job_of_the_same_name_is_neither_adopted_nor_touched",
    "test_somebody_elses_job_of_our_name_is_a_conflict_and_untouched",
)
class ReplacesByName(ByName):
    async def submit(self, plan: Plan) -> Handle:
        job = self.named(plan.external_name)
        if job is not None:
            del self.cloud.jobs[job.id]
        return await super().submit(plan)


@breaks("test_a_foreign_job_of_the_same_name_is_neither_adopted_nor_touched")
class CancelsByName(ByName):
    async def cancel(self, key: Any, handle: Any, reason: str) -> Any:
        request = type("Request", (), {"key": key})
        job = self.named(self.name(request)) if handle is None else None
        return await super().cancel(key, handle, reason) if job is None else self.cancel_by_id(job.id)


@breaks("test_a_submission_that_is_given_up_leaves_one_job_or_none")
class CatchesCancellation(MemoryBackend):
    async def submit(self, plan: Plan) -> Handle:
        try:
            return await super().submit(plan)
        except asyncio.CancelledError as error:
            raise RuntimeError("interrupted") from error


# --- looking ---


@breaks("test_a_job_is_seen_to_begin_and_to_succeed")
class EndsTooEarly(MemoryBackend):
    phases = {**MemoryBackend.phases, "PENDING": Phase.RUNNING, "ACTIVE": Phase.QUEUED}


@breaks("test_a_job_is_seen_to_begin_and_to_succeed")
class NoWords(MemoryBackend):
    def observation(self, job: Any) -> Observation:
        return Observation(self.phases.get(job.state), "", items=self.items(job))


@breaks("test_a_failure_of_the_user_is_told_as_one")
class BlamesTheSystem(MemoryBackend):
    classes = {"ERRORED": ErrorClass.LOST}


@breaks("test_many_jobs_are_seen_in_one_look")
class OneByTwo(MemoryBackend):
    async def poll(self, handles: Any) -> Any:
        return await super().poll(handles[:5])


@breaks("test_many_jobs_are_seen_in_one_look")
class NotNone(MemoryBackend):
    async def poll(self, handles: Any) -> Any:
        return await super().poll(handles or [self.handle("1")])


@breaks("test_an_unknown_state_keeps_the_phase")
class KnowsAllStates(MemoryBackend):
    def observation(self, job: Any) -> Observation:
        return Observation(self.phases[job.state], job.state)


@breaks("test_an_unknown_state_keeps_the_phase", "test_an_unknown_state_on_the_way_is_no_end")
class TakesUnknownForFailed(MemoryBackend):
    def observation(self, job: Any) -> Observation:
        return Observation(self.phases.get(job.state, Phase.FAILED), job.state)


@breaks("test_one_bad_handle_does_not_spoil_the_others")
class SpoiltByOne(MemoryBackend):
    async def poll(self, handles: Any) -> Any:
        for handle in handles:
            self.id_of(handle)
        return await super().poll(handles)


@breaks("test_one_bad_handle_does_not_spoil_the_others")
class ReadsTheFuture(MemoryBackend):
    def id_of(self, handle: Handle) -> str:
        if "id" not in handle.data:
            return super().id_of(handle)
        return str(handle.data["id"])


@breaks("test_one_poisoned_job_does_not_spoil_the_others")
class SpoiltByPoison(MemoryBackend):
    def looked_at(self, ids: list[str]) -> dict[str, Any]:
        try:
            return {id: self.observation(job) for id, job in self.cloud.look(ids).items()}
        except CloudError as error:
            return dict.fromkeys(ids, self.error(error))


@breaks("test_a_job_that_is_gone_is_told_so")
class GoneIsAnError(MemoryBackend):
    def gone(self) -> Any:
        return BackendError("404", error_class=ErrorClass.TRANSIENT)


@breaks("test_a_job_that_is_gone_is_told_so")
class GoneIsGood(MemoryBackend):
    def gone(self) -> Observation:
        return Observation(Phase.SUCCEEDED, "404", gone=True)


@breaks("test_a_lost_machine_is_no_fault_of_the_user", "test_a_job_whose_machine_was_lost_is_not_the_users_fault")
class BlamesTheUser(MemoryBackend):
    classes = {"ERRORED": ErrorClass.USER, "EVICTED": ErrorClass.USER}


@breaks(
    "test_a_look_that_fails_is_never_the_end_of_a_job",
    "test_a_thousand_scattered_errors_of_looks_do_not_fail_a_job",
)
class FailsOfLooks(MemoryBackend):
    def looked_at(self, ids: list[str]) -> dict[str, Any]:
        try:
            return super().looked_at(ids) if not self.cloud.fail_polls else self.fail(ids)
        except CloudError:
            return {id: Observation(Phase.FAILED, "503") for id in ids}

    def fail(self, ids: list[str]) -> dict[str, Any]:
        self.cloud.look(ids)
        return {}


@breaks("test_a_look_that_fails_is_never_the_end_of_a_job")
class TroubleIsProtocol(MemoryBackend):
    passing = {0: ErrorClass.TRANSIENT, 500: ErrorClass.UNAVAILABLE}
    refusals = {**MemoryBackend.refusals, 503: ErrorClass.PROTOCOL}


@breaks("test_a_look_that_fails_is_never_the_end_of_a_job")
class RaisesItsOwnErrors(MemoryBackend):
    def looked_at(self, ids: list[str]) -> dict[str, Any]:
        jobs = self.cloud.look(ids)
        return {id: self.observation(jobs[id]) for id in ids}


@breaks("test_the_vendors_wish_to_wait_is_passed_on")
class WaitsNotAsAsked(MemoryBackend):
    def throttled(self, error: CloudError) -> BackendError:
        return BackendError(str(error), error_class=ErrorClass.THROTTLED, accepted=False)


@breaks("test_the_vendors_wish_to_wait_is_passed_on")
class ThrottledMaybeAccepted(MemoryBackend):
    def throttled(self, error: CloudError) -> BackendError:
        return BackendError(str(error), error_class=ErrorClass.THROTTLED, retry_after=error.retry_after)


@breaks("test_collecting_twice_gives_the_same")
class TakesTheResultAway(MemoryBackend):
    async def collect(self, handle: Handle, sink: Any) -> Any:
        return {"o0": Literal.make(INTEGER, next(_count))}


@breaks(
    "test_a_result_that_cannot_be_had_yet_is_an_error_that_passes",
    "test_a_result_that_is_late_is_waited_for",
)
class NoResultIsTheUsers(MemoryBackend):
    async def collect(self, handle: Handle, sink: Any) -> Any:
        try:
            return await super().collect(handle, sink)
        except BackendError as error:
            raise BackendError("no result", error_class=ErrorClass.USER) from error


@breaks("test_cleaning_up_is_safe_to_repeat")
class CleansOnce(MemoryBackend):
    async def cleanup(self, key: Any, handle: Handle | None) -> None:
        if handle is None or self.cloud.jobs.pop(self.id_of(handle), None) is None:
            raise BackendError("404", error_class=ErrorClass.LOST)


@breaks("test_logs_go_on_where_they_were_left")
class LogsFromTheStart(MemoryBackend):
    async def logs(self, handle: Handle, cursor: str | None = None) -> LogChunk:
        chunk = await super().logs(handle, None)
        return LogChunk(chunk.text, chunk.cursor, complete=cursor is not None)


@breaks("test_logs_go_on_where_they_were_left")
class SkipsALetter(MemoryBackend):
    async def logs(self, handle: Handle, cursor: str | None = None) -> LogChunk:
        chunk = await super().logs(handle, cursor)
        return LogChunk(chunk.text[:-1], chunk.cursor, chunk.complete)


@breaks("test_logs_go_on_where_they_were_left")
class LogsForEver(MemoryBackend):
    async def logs(self, handle: Handle, cursor: str | None = None) -> LogChunk:
        chunk = await super().logs(handle, cursor)
        return LogChunk(chunk.text, chunk.cursor if chunk.text else cursor)


# --- cancelling ---


@breaks("test_cancelling_before_anything_was_submitted_finds_nothing")
class NothingIsAnError(MemoryBackend):
    def cancel_by_key(self, key: Any) -> Any:
        if not self.cloud.search("key", key.value):
            raise BackendError("404", error_class=ErrorClass.INVALID)
        return super().cancel_by_key(key)


@breaks(
    "test_cancelling_stops_the_job_and_no_other",
    "test_a_job_can_be_cancelled_at_any_moment",
    "test_a_job_that_takes_too_long_is_ended",
)
class ThanksForTheRequest(MemoryBackend):
    async def cancel(self, key: Any, handle: Any, reason: str) -> Any:
        return Gone()


@breaks("test_cancelling_stops_the_job_and_no_other")
class CancelsAll(MemoryBackend):
    async def cancel(self, key: Any, handle: Any, reason: str) -> Any:
        for job in list(self.cloud.jobs.values()):
            self.cancel_by_id(job.id)
        return Gone()


@breaks("test_a_cancelled_job_is_seen_as_cancelled")
class CancelledIsFailed(MemoryBackend):
    phases = {**MemoryBackend.phases, "CANCELED": Phase.FAILED}


@breaks(
    "test_cancelling_without_a_handle_finds_the_job_by_its_key",
    "test_a_crash_at_every_step_of_a_cancellation_leaves_nothing_running",
    "test_a_lost_answer_and_a_cancellation_leave_nothing_running",
)
class NeedsAHandle(MemoryBackend):
    def cancel_by_key(self, key: Any) -> Any:
        return Gone()


@breaks("test_cancelling_twice_is_as_good_as_once")
class CancelsOnce(MemoryBackend):
    def cancel_by_id(self, id: str) -> Any:
        job = self.cloud.jobs[id]
        if job.state == "CANCELED":
            raise BackendError("409 is being cancelled", error_class=ErrorClass.CONFLICT)
        return super().cancel_by_id(id)


@breaks("test_cancelling_after_the_end_leaves_the_end_as_it_was")
class CancelsTheEnd(MemoryBackend):
    def cancel_by_id(self, id: str) -> Any:
        self.cloud.jobs[id].state = "CANCELED"
        return Gone()


@breaks("test_cancelling_after_the_end_leaves_the_end_as_it_was")
class TellsAnotherEnd(MemoryBackend):
    def cancel_by_id(self, id: str) -> Any:
        answer = super().cancel_by_id(id)
        return Terminal(Observation(Phase.CANCELLED, "CANCELED")) if isinstance(answer, Terminal) else answer


@breaks("test_cancelling_a_job_that_vanished_is_done_at_once")
class VanishedIsAnError(MemoryBackend):
    def cancel_by_id(self, id: str) -> Any:
        if id not in self.cloud.jobs:
            raise BackendError("404", error_class=ErrorClass.LOST)
        return super().cancel_by_id(id)


@breaks("test_cancelling_a_job_that_vanished_is_done_at_once")
class VanishedIsForeign(MemoryBackend):
    def cancel_by_id(self, id: str) -> Any:
        return super().cancel_by_id(id) if id in self.cloud.jobs else NotOurs()


@breaks("test_cancelling_during_a_look_harms_neither")
class OneCallAtATime(MemoryBackend):
    busy = False

    async def poll(self, handles: Any) -> Any:
        if self.busy:
            raise BackendError("the connection is in use", error_class=ErrorClass.TRANSIENT)
        self.busy = True
        try:
            return await super().poll(handles)
        finally:
            self.busy = False


@breaks("test_cancelling_waits_for_the_job_to_be_gone")
class LetsGoEarly(MemoryBackend):
    def cancel_by_id(self, id: str) -> Any:
        answer = super().cancel_by_id(id)
        return Gone() if isinstance(answer, InProgress) else answer


# --- owning ---


@breaks("test_exactly_our_jobs_are_listed")
class FirstPageOnly(MemoryBackend):
    async def list_owned(self, scope: str, cursor: str | None = None) -> OwnedPage:
        return OwnedPage((await super().list_owned(scope, cursor)).jobs)


@breaks("test_exactly_our_jobs_are_listed")
class ListsByBeginning(MemoryBackend):
    async def list_owned(self, scope: str, cursor: str | None = None) -> OwnedPage:
        found = [job for job in self.cloud.jobs.values() if job.tags.get("installation", "").startswith(scope)]
        return OwnedPage(tuple(self.owned(job) for job in found))


@breaks("test_exactly_our_jobs_are_listed")
class LosesTheOwner(MemoryBackend):
    def tags(self, plan: Plan) -> dict[str, str]:
        return {**super().tags(plan), "owner": json.dumps(["vision", "staging", "", ""])}


@breaks("test_the_reaper_ends_what_nobody_owns_and_spares_what_is_not_ours")
class ListsEverybodyAsOurs(MemoryBackend):
    async def list_owned(self, scope: str, cursor: str | None = None) -> OwnedPage:
        listed = [self.owned(job) for job in self.cloud.jobs.values() if job.tags]
        return OwnedPage(tuple(replace(job, owner=replace(job.owner, installation=scope)) for job in listed))


@breaks("test_a_sweep_spares_what_is_not_ours")
class ListsEverybody(MemoryBackend):
    async def list_owned(self, scope: str, cursor: str | None = None) -> OwnedPage:
        return OwnedPage(tuple(self.owned(job) for job in self.cloud.jobs.values() if job.tags))


# --- arrays ---


@breaks(
    "test_each_item_of_an_array_job_has_its_own_end",
    "test_a_crash_at_every_step_of_an_array_job_leaves_one_job",
)
class CountsFromNought(MemoryBackend):
    def items(self, job: Any) -> ItemPhases | None:
        seen = super().items(job)
        if seen is None:
            return None
        wanted = job.spec["items"]
        moved = {phase: tuple(wanted.index(item) for item in items) for phase, items in seen.by_phase.items()}
        return ItemPhases(moved, seen.reasons)


@breaks("test_each_item_of_an_array_job_has_its_own_end")
class OneEndForAll(MemoryBackend):
    def items(self, job: Any) -> ItemPhases | None:
        return ItemPhases({self.phases[job.state]: tuple(job.spec["items"])}) if job.spec["items"] else None


@breaks("test_retried_items_are_a_slice_of_their_own")
class NoItems(MemoryBackend):
    def items(self, job: Any) -> ItemPhases | None:
        return None


@breaks("test_an_array_as_large_as_declared_is_taken")
class TakesTen(MemoryBackend):
    async def submit(self, plan: Plan) -> Handle:
        if len(plan.items) > 10:
            raise BackendError("400 too many", error_class=ErrorClass.INVALID, accepted=False)
        return await super().submit(plan)


# --- whole lives ---


@breaks(
    "test_a_crash_at_every_step_ends_with_one_job_and_the_right_end",
    "test_processes_that_all_die_get_there_in_the_end",
    "test_a_crash_while_the_new_job_is_hidden_makes_no_second_one",
    "test_an_answer_that_was_lost_leads_to_one_job",
)
class SubmitsAndForgets(SubmitsBlindly):
    async def find(self, plan: Plan) -> Any:
        return NotFound()


@breaks("test_throttling_delays_and_does_not_fail")
class ThrottledIsWrong(MemoryBackend):
    def throttled(self, error: CloudError) -> BackendError:
        return BackendError(str(error), error_class=ErrorClass.INVALID, accepted=False)


@breaks("test_a_job_that_was_removed_is_lost_and_not_the_users_fault")
class RemovedIsTheUsers(MemoryBackend):
    def gone(self) -> Observation:
        return Observation(Phase.FAILED, "404 NoSuchJob", error_class=ErrorClass.USER)


@breaks("test_a_detached_job_runs_on")
class TidiesUp(MemoryBackend):
    async def close(self) -> None:
        for job in self.cloud.jobs.values():
            job.state = "CANCELED"


# --- secrets, and the loop ---


class TellsItsToken(MemoryBackend):
    async def submit(self, plan: Plan) -> Handle:
        token = await self.secret(TOKEN, plan.owner.tenant)
        self.tell(token)
        return await super().submit(plan)

    def tell(self, token: bytes) -> None: ...


@breaks("test_no_secret_is_ever_told")
class KeepsItsToken(TellsItsToken):
    def tell(self, token: bytes) -> None:
        self.token = token


@breaks("test_no_secret_is_ever_told")
class LogsItsToken(TellsItsToken):
    def tell(self, token: bytes) -> None:
        logging.getLogger("cloud").debug("submitting with %s", token.decode())


@breaks("test_no_secret_is_ever_told", "test_no_secret_stands_in_the_journal")
class TokenInHandle(MemoryBackend):
    def handle(self, id: str) -> Handle:
        return Handle({"id": id, "url": f"cloud://{CANARY.hex()}@{id}"})


@breaks("test_no_secret_is_ever_told")
class TokenInErrors(MemoryBackend):
    def error(self, error: CloudError) -> BackendError:
        made = super().error(error)
        return BackendError(f"{made.message} for {CANARY!r}", error_class=made.error_class, accepted=made.accepted)


@breaks("test_no_secret_is_ever_told")
class TokenInBlobs(MemoryBackend):
    async def collect(self, handle: Handle, sink: Any) -> Any:
        sink.put(b"fetched with " + CANARY)
        return await super().collect(handle, sink)


@breaks("test_credentials_that_are_refused_are_told_as_such")
class BadTokenPasses(MemoryBackend):
    refusals = {**MemoryBackend.refusals, 401: ErrorClass.TRANSIENT}


@breaks("test_nothing_blocks_the_event_loop")
class Sleeps(MemoryBackend):
    async def find(self, plan: Plan) -> Any:
        time.sleep(0)
        return await super().find(plan)


@breaks("test_nothing_blocks_the_event_loop")
class WritesAFile(MemoryBackend):
    async def collect(self, handle: Handle, sink: Any) -> Any:
        with Path(os.devnull).open("wb") as file:
            file.write(b"x")
        return await super().collect(handle, sink)
