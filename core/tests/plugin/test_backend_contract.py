"""The backend's interface: a complete one can be written against the public door, and its values behave."""

from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from flytepath.model.identity import Tenant
from flytepath.plugin import (
    Backend,
    BackendError,
    BlobAccess,
    ErrorClass,
    Found,
    Gone,
    Handle,
    InProgress,
    JobKey,
    Literal,
    NotFound,
    NotOurs,
    Observation,
    OwnedJob,
    OwnedPage,
    Owner,
    Phase,
    Plan,
    PlanRequest,
    Resources,
    Terminal,
    Unknown,
)

OWNER = Owner("here", Tenant("p", "d"), "x1", "n0")
KEY = JobKey("sha256:" + "ab" * 32)


class OneDict(Backend):
    """A vendor that is a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: dict[str, Plan] = {}

    def plan(self, request: PlanRequest) -> Plan:
        name = request.key.name(request.task, 32)
        return Plan(request.key, request.owner, name, {"payload": request.payload}, "sha256:00", request.items)

    async def submit(self, plan: Plan) -> Handle:
        self.jobs.setdefault(plan.key.value, plan)
        return Handle({"key": plan.key.value})

    async def find(self, plan: Plan) -> Found | NotFound | Unknown:
        return Found(Handle({"key": plan.key.value})) if plan.key.value in self.jobs else NotFound()

    async def poll(self, handles: Sequence[Handle]) -> Mapping[Handle, Observation | BackendError]:
        lost = BackendError("no such job", error_class=ErrorClass.LOST)
        return {h: Observation(Phase.RUNNING, "RUN") if h.data["key"] in self.jobs else lost for h in handles}

    async def cancel(self, key: JobKey, handle: Handle | None, reason: str) -> Gone | Terminal | InProgress | NotOurs:
        return Terminal(Observation(Phase.CANCELLED, "GONE")) if self.jobs.pop(key.value, None) else Gone()

    async def collect(self, handle: Handle, sink: BlobAccess) -> Mapping[str, Literal]:
        return {}

    async def list_owned(self, scope: str, cursor: str | None = None) -> OwnedPage:
        jobs = (OwnedJob(Handle({"key": k}), plan.key, plan.owner, plan.digest) for k, plan in self.jobs.items())
        return OwnedPage(tuple(jobs))


def request() -> PlanRequest:
    return PlanRequest(KEY, OWNER, "flow.Train Model!", "python", {"a": 1}, {}, Resources(), Resources(cpu=1))


def test_a_backend_is_written_with_the_contracts_words_alone() -> None:
    async def life() -> None:
        backend = OneDict()
        plan = backend.plan(request())
        assert backend.plan(request()) == plan
        assert await backend.find(plan) == NotFound()
        handle = await backend.submit(plan)
        assert await backend.submit(plan) == handle
        assert await backend.find(plan) == Found(handle)
        strange = Handle({"key": "other"})
        seen = await backend.poll([handle, strange])
        assert isinstance(seen[handle], Observation)
        assert isinstance(seen[strange], BackendError)
        assert [job.key for job in (await backend.list_owned("here")).jobs] == [KEY]
        assert (await backend.logs(handle)).complete
        assert isinstance(await backend.cancel(KEY, None, "enough"), Terminal)
        assert await backend.cancel(KEY, handle, "enough") == Gone()

    asyncio.run(life())


def test_a_backend_that_leaves_a_call_out_cannot_be_made() -> None:
    class Partial(OneDict):
        cancel = Backend.cancel  # type: ignore[assignment]

    with pytest.raises(TypeError, match="cancel"):
        Partial()


@pytest.mark.parametrize("limit", [16, 24, 63])
@pytest.mark.parametrize("prefix", ["flow.train", "", "9lives", "x" * 200, "Ünï"])
def test_names_fit_the_vendors_limit_and_tell_near_keys_apart(prefix: str, limit: int) -> None:
    keys = [JobKey("sha256:" + f"{number:08x}" + "0" * 56) for number in range(50)]
    names = {key.name(prefix, limit) for key in keys}
    assert len(names) == 50
    assert all(len(name) <= limit and name[0].isalpha() and name == name.lower() for name in names)


def test_handles_are_equal_and_hashed_by_content() -> None:
    one, other = Handle({"a": 1, "b": {"c": [2]}}), Handle({"b": {"c": [2]}, "a": 1})
    assert one == other
    assert hash(one) == hash(other)
    assert Handle({"a": 1}) != Handle({"a": 1}, version=2)


def test_an_error_survives_the_way_to_another_process() -> None:
    error = BackendError("slow down", error_class=ErrorClass.THROTTLED, retry_after=2.5, accepted=False, hint="wait")
    for again in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        facts: Any = (again.message, again.error_class, again.retry_after, again.accepted, again.hint)
        assert facts == ("slow down", ErrorClass.THROTTLED, 2.5, False, "wait")


@pytest.mark.parametrize("phase", list(Phase))
def test_exactly_three_phases_are_terminal(phase: Phase) -> None:
    assert phase.is_terminal == (phase in {Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED})
