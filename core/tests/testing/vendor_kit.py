"""The kit's adapter for the fake vendor and the reference backend, as an author of a plugin would write it."""

from __future__ import annotations

from typing import Any

from flytepath.plugin import Backend, Handle, JobKey, SecretReference
from flytepath.testing.backend_conformance import BackendVendor, Course
from flytepath.testing.fake_vendor import FakeVendor, FaultKind
from flytepath.testing.reference_backend import VendorBackend, VendorSettings

CANARY = "canary-77ab/+token"


class ReferenceVendor(BackendVendor):
    task_type = "vendor-job"

    def __init__(self, fake: FakeVendor) -> None:
        self.fake = fake
        self.polls_fail: Any = None

    def backend(self) -> Backend:
        return VendorBackend(VendorSettings(url=self.fake.url, timeout_seconds=5.0))

    def secret(self, reference: SecretReference) -> bytes:
        assert reference == SecretReference("vendor", "token")
        return CANARY.encode()

    def payload(self, course: Course) -> Any:
        job = {
            Course.RUNS: {"seconds": None},
            Course.ENDS: {"seconds": 0.1, "outputs": {"rows": 3}},
            Course.FAILS: {"seconds": 0.05, "outcome": "ERRORED", "exit_code": 3, "message": "no such table"},
        }[course]
        log = [f"line {number}" for number in range(250)] if course is Course.ENDS else []
        outputs = {"rows": {"kind": "integer"}} if course is Course.ENDS else {}
        return {"job": {**job, "log": log}, "items": {}, "outputs": outputs}

    def array_payload(self, items: tuple[int, ...], failing: tuple[int, ...]) -> Any:
        bad = {str(index): {"outcome": "ERRORED", "message": "bad item"} for index in failing}
        job = {"seconds": 0.05, "outputs": {"rows": 3}}
        return {"job": job, "items": bad, "outputs": {"rows": {"kind": "integer"}}}

    def count(self, key: JobKey) -> int:
        return self.fake.made(key.value)

    def live(self, key: JobKey) -> int:
        return self.fake.live(key.value)

    def finish(self, handle: Handle) -> None:
        self.fake.finish(handle.data["id"])

    def vanish(self, handle: Handle) -> None:
        self.fake.vanish(handle.data["id"])

    def preempt(self, handle: Handle) -> None:
        self.fake.evict(handle.data["id"])

    def unknown_state(self, handle: Handle) -> str:
        self.fake.set_state(handle.data["id"], "DEFROSTING")
        return "DEFROSTING"

    def poison(self, handle: Handle) -> None:
        self.fake.poison(handle.data["id"])

    def logged(self, handle: Handle) -> str:
        lines, _ = self.fake.job(handle.data["id"]).log(self.fake.now())
        return "".join(line + "\n" for line in lines)

    def cut_off_after_accept(self) -> None:
        self.fake.faults.add(FaultKind.RESET_AFTER, "submit", times=1)

    def refuse_submit(self) -> None:
        self.fake.faults.add(FaultKind.REFUSED, "submit", times=1)

    def fail_polls(self, times: int) -> None:
        if self.polls_fail is not None:
            self.fake.faults.remove(self.polls_fail)
        self.polls_fail = self.fake.faults.add(FaultKind.UNAVAILABLE, "list", times=times)

    def fail_collects(self, times: int) -> None:
        self.fake.faults.add(FaultKind.NO_RESULT_YET, times=times)

    def throttle(self, seconds: float) -> None:
        self.fake.faults.add(FaultKind.THROTTLED, times=1, seconds=seconds)

    def reject_credentials(self, rejected: bool) -> None:
        (self.fake.expire_token if rejected else self.fake.renew_token)()

    def hide_new_jobs(self, seconds: float) -> None:
        self.fake.faults.add(FaultKind.HIDDEN, seconds=seconds)

    def linger(self, seconds: float) -> None:
        self.fake.faults.add(FaultKind.LINGERING, seconds=seconds)

    def make_foreign(self, name: str) -> str:
        return self.fake.make_foreign(name)

    def is_untouched(self, foreign: str) -> bool:
        return self.fake.state(foreign) == "ACTIVE"
