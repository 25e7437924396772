"""The adapter that an author of a backend writes: how the kit plays with a fake, or an emulator, of the vendor."""

from __future__ import annotations

import enum
from typing import Any, NoReturn

from flytepath.plugin.backend import Backend, Handle
from flytepath.plugin.plans import JobKey, PlanRequest
from flytepath.plugin.secrets import SecretNotFoundError, SecretReference

Json = Any


class Course(enum.StrEnum):
    """What a sample job does."""

    #: It runs until it is cancelled or told to finish; a minute at the least.
    RUNS = "runs"
    #: It succeeds by itself, soon.
    ENDS = "ends"
    #: It fails by the user's fault, soon.
    FAILS = "fails"


class CannotDo(Exception):
    """The adapter does not say how the vendor is made to do this."""


class BackendVendor:
    """A running vendor, as the kit needs it. Subclass it, give the first four, and of the others what the fake can do.

    A check that needs one of the others is skipped, and says which. All of them are called in a thread, so they may
    block; none is called twice at once.

    Example:
        >>> class Vendor(BackendVendor):
        ...     def backend(self):
        ...         return MyBackend(MySettings(url=self.url))
        >>> Vendor().vanish(Handle({"id": "1"}))
        Traceback (most recent call last):
        ...
        flytepath.testing.backend_conformance.vendor.CannotDo: Vendor.vanish is not given: ...
    """

    #: The task type that requests name.
    task_type: str = "conformance"

    # --- what every vendor says ----------------------------------------------------------------------------------

    def backend(self) -> Backend:
        """A new backend for this vendor, as another process would make it; it shares nothing with those made before."""
        raise NotImplementedError("backend() makes a backend for the running vendor")

    def payload(self, course: Course) -> Json:
        """The payload of a task that takes this course."""
        raise NotImplementedError("payload(course) gives the payload of a sample task")

    def count(self, key: JobKey) -> int:
        """How many jobs the vendor ever made with that key."""
        raise NotImplementedError("count(key) counts the jobs that were ever made with the key")

    def live(self, key: JobKey) -> int:
        """How many jobs with that key are alive now."""
        raise NotImplementedError("live(key) counts the jobs with the key that are alive")

    # --- what a request needs besides ----------------------------------------------------------------------------

    def complete(self, request: PlanRequest) -> PlanRequest:
        """The request with what this backend needs besides: inputs, a worker's launch, secrets. By default as it is."""
        return request

    def secret(self, reference: SecretReference) -> bytes:
        """The value of a secret the backend asks for; the kit looks for it wherever it must not be."""
        raise SecretNotFoundError("the vendor's adapter gives no secrets", place=f"{reference.group}/{reference.key}")

    def array_payload(self, items: tuple[int, ...], failing: tuple[int, ...]) -> Json:
        """The payload of an array job of those items that ends soon; the ``failing`` ones fail by the user's fault."""
        self._cannot("array_payload", "say what an array job of some items is made of")

    # --- what may happen to a job --------------------------------------------------------------------------------

    def finish(self, handle: Handle) -> None:
        """Let a running job succeed now."""
        self._cannot("finish", "let a running job succeed")

    def vanish(self, handle: Handle) -> None:
        """Remove a job without a trace, as somebody with a console would."""
        self._cannot("vanish", "remove a job without a trace")

    def preempt(self, handle: Handle) -> None:
        """Take the job's machine away."""
        self._cannot("preempt", "take a job's machine away")

    def unknown_state(self, handle: Handle) -> str:
        """Put the job into a state that the backend cannot know; the vendor's word for it."""
        self._cannot("unknown_state", "put a job into a state that no client knows")

    def poison(self, handle: Handle) -> None:
        """Let every look at this one job fail, as a damaged record would."""
        self._cannot("poison", "let every look at one job fail")

    def logged(self, handle: Handle) -> str:
        """All that the job has logged so far."""
        self._cannot("logged", "say what a job has logged")

    # --- what may happen to a call -------------------------------------------------------------------------------

    def cut_off_after_accept(self) -> None:
        """The next submission is accepted, and the client never hears of it."""
        self._cannot("cut_off_after_accept", "accept a submission without an answer")

    def refuse_submit(self) -> None:
        """The next submission is certainly refused: the request is wrong."""
        self._cannot("refuse_submit", "refuse a submission")

    def fail_polls(self, times: int) -> None:
        """The next so many looks at jobs fail as a service does that has trouble; 0 ends it."""
        self._cannot("fail_polls", "fail looks at jobs")

    def fail_collects(self, times: int) -> None:
        """The next so many fetches of a result fail, as if it were not there yet."""
        self._cannot("fail_collects", "fail fetches of results")

    def throttle(self, seconds: float) -> None:
        """The next call is refused as too many, with the advice to wait so long."""
        self._cannot("throttle", "refuse a call as too many")

    def reject_credentials(self, rejected: bool) -> None:
        """From now on no credentials are good, or they are again."""
        self._cannot("reject_credentials", "reject credentials")

    def hide_new_jobs(self, seconds: float) -> None:
        """Jobs that are made from now on are not found for so long."""
        self._cannot("hide_new_jobs", "hide new jobs from searches")

    def linger(self, seconds: float) -> None:
        """Jobs that are cancelled from now on take so long to be gone."""
        self._cannot("linger", "let a cancelled job take its time")

    # --- what others do ------------------------------------------------------------------------------------------

    def make_foreign(self, name: str) -> str:
        """A running job of somebody else with that name, without any stamp of ours; the vendor's id of it."""
        self._cannot("make_foreign", "make a job of somebody else's")

    def is_untouched(self, foreign: str) -> bool:
        """Whether that job runs as it was made."""
        self._cannot("is_untouched", "tell whether a job of somebody else's is untouched")

    def _cannot(self, name: str, what: str) -> NoReturn:
        raise CannotDo(f"{type(self).__name__}.{name} is not given: the kit cannot {what}")
