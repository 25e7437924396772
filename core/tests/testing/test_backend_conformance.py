"""The backend kit passes what is right, says what it skips, and fails the check that a broken backend breaks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from broken_backends import BROKEN, RemembersItself, SubmitsAndForgets
from flytepath.plugin import BackendDeclaration, Handle, Plan, Unknown
from flytepath.testing import ConformanceError
from flytepath.testing.backend_conformance import BackendConformance, BackendVendor
from memory_cloud import CANARY, TOKEN, MemoryBackend, MemoryConformance, MemoryVendor

CHECKS = sorted(name for name in dir(BackendConformance) if name.startswith("test_"))


class TestTheKitPasses(MemoryConformance):
    """The class as an author would write it: pytest collects and passes every check."""


class Deduping(MemoryBackend):
    """For a vendor that takes a key of ours, and cannot be searched by it."""

    def ours(self, plan: Plan) -> Any:
        with self.calling():
            self.cloud.enter()
        for job in self.cloud.jobs.values():
            if job.tags.get("key") == plan.key.value:
                self.check_stamp(job, plan)
                return job
        return None

    async def submit(self, plan: Plan) -> Handle:
        await self.secret(TOKEN, plan.owner.tenant)  # so that nothing comes between the look and the submission
        known = self.ours(plan)
        if known is not None:
            return self.handle(known.id)
        with self.calling():
            return self.handle(self.cloud.submit(plan.external_name, self.tags(plan), plan.spec, CANARY))

    async def find(self, plan: Plan) -> Any:
        return Unknown("the vendor has no search")


class KitWhereTheVendorDedupes(MemoryConformance):
    declaration = replace(MemoryConformance.declaration, idempotency="A")
    backend_class = Deduping
    scattered_errors = 50


class KitWhereJobsLiveInThisProcess(MemoryConformance):
    declaration = replace(MemoryConformance.declaration, idempotency="D")
    backend_class = RemembersItself
    scattered_errors = 50


class KitWhereNothingIsFoundAgain(MemoryConformance):
    declaration = replace(MemoryConformance.declaration, idempotency="C")
    backend_class = SubmitsAndForgets
    scattered_errors = 50


@pytest.mark.parametrize(
    ("kit", "left_out", "why"),
    [
        (KitWhereTheVendorDedupes, 2, "find() answers Unknown"),
        (KitWhereJobsLiveInThisProcess, 7, "idempotency D"),
        (KitWhereNothingIsFoundAgain, 15, "idempotency C"),
    ],
)
def test_the_kit_asks_what_can_be_asked_of_each_class(kit: type[MemoryConformance], left_out: int, why: str) -> None:
    reasons: list[str] = []
    for check in CHECKS:
        try:
            getattr(kit(), check)()
        except pytest.skip.Exception as skipped:
            reasons.append(str(skipped))
    assert len(reasons) == left_out
    assert all(why in reason for reason in reasons)


class BrokenConformance(MemoryConformance):
    """The kit over one broken backend; found by its name also in another process."""

    declaration = replace(MemoryConformance.declaration, call_seconds=1.0)
    patience_seconds = 0.4
    scattered_errors = 50


for _kind in {kind for _, kind in BROKEN}:
    globals()[f"KitFor{_kind.__name__}"] = type(
        f"KitFor{_kind.__name__}", (BrokenConformance,), {"backend_class": _kind, "__module__": __name__}
    )


@pytest.mark.parametrize(
    ("check", "kind"), [pytest.param(*pair, id=f"{pair[1].__name__}-{pair[0]}") for pair in BROKEN]
)
def test_a_broken_backend_fails_the_check_that_it_breaks(check: str, kind: type[MemoryBackend]) -> None:
    kit = globals()[f"KitFor{kind.__name__}"]()
    with pytest.raises(ConformanceError) as caught:
        getattr(kit, check)()
    assert caught.value.hint


def test_every_check_is_broken_by_some_backend() -> None:
    assert set(CHECKS) == {check for check, _ in BROKEN}


class Bare(MemoryVendor):
    """An adapter that says only what every adapter must say."""

    vanish = BackendVendor.vanish
    cut_off_after_accept = BackendVendor.cut_off_after_accept


class BareKit(MemoryConformance):
    vendor_class = Bare


def test_what_the_adapter_cannot_do_is_skipped_by_name() -> None:
    with pytest.raises(pytest.skip.Exception, match=r"Bare\.vanish is not given: .* remove a job without a trace"):
        BareKit().test_a_job_that_is_gone_is_told_so()
    with pytest.raises(pytest.skip.Exception, match=r"Bare\.cut_off_after_accept"):
        BareKit().test_a_submission_cut_off_after_it_was_accepted_is_adopted()


class AnonymousKit(MemoryConformance):
    declaration = BackendDeclaration(name="memory", backend="memory_cloud:MemoryBackend", idempotency="C")


def test_what_the_declaration_leaves_out_is_skipped_by_name() -> None:
    with pytest.raises(pytest.skip.Exception, match="idempotency C"):
        AnonymousKit().test_submitting_one_key_twice_makes_one_job()
    with pytest.raises(pytest.skip.Exception, match="array_limit is 0"):
        AnonymousKit().test_each_item_of_an_array_job_has_its_own_end()


class NamelessKit(MemoryConformance):
    declaration = None


def test_a_kit_without_a_declaration_says_so() -> None:
    with pytest.raises(ConformanceError, match="names no backend"):
        NamelessKit().test_many_jobs_are_seen_in_one_look()
