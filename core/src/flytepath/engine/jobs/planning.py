"""From attempts to plans: what a job is made of, which backend runs it, and which of a map's items go together.

A plan is made once for its key, in a thread, because a plugin's first import may take seconds. What is wrong with a
request is found here, before anybody is asked for anything.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, Protocol, TypeVar, cast

from flytepath.engine.jobs import job_key
from flytepath.engine.jobs.backends import BackendInstance, BackendSource, BackendUnavailableError
from flytepath.engine.jobs.desk import PARKED_SECONDS
from flytepath.engine.jobs.plans import plan_to_json
from flytepath.engine.jobs.worker_launches import WorkerLaunches
from flytepath.errors import FlytePathError, StoreUnavailableError
from flytepath.model.events import ErrorRecord, JobPlanned
from flytepath.model.identity import Tenant
from flytepath.model.literal import canonical_text
from flytepath.model.messages import RunAttempt
from flytepath.model.resources import Resources
from flytepath.model.task import TaskSpec
from flytepath.plugin.backend import BackendError, ErrorClass
from flytepath.plugin.plans import JobKey, Owner, Plan, PlanRequest, PoolAsk
from flytepath.plugin.secrets import SecretReference

log = logging.getLogger("flytepath")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NotPlanned:
    """A node waits for its backend; without a reason it waits no longer."""

    node: str
    reason: str


@dataclass(frozen=True, slots=True)
class Unplanned:
    """These attempts can never become a job."""

    attempts: tuple[tuple[str, int], ...]
    error: ErrorRecord | None


Planned = JobPlanned | NotPlanned | Unplanned
#: How many jobs are planned in a thread before it is told of them.
PLANS_AT_ONCE: Final = 64
#: The user's attempt, and how many submissions of it are gone already.
Counts = Callable[[RunAttempt], tuple[int, int]]


class Asks(Protocol):
    """Whoever knows the pools."""

    def asks_for(self, task: TaskSpec, tenant: Tenant, planned: Iterable[PoolAsk] = ()) -> tuple[PoolAsk, ...]:
        """What a task asks for: by the plan of its job, by itself and by configuration."""


class Planner:
    """Plans jobs.

    Args:
        backends: where they run.
        asks: knows the pools.
        installation: gives the name of this installation, which is stamped on every job; asked in a thread.
        launches: makes the launches of workers; without it there are none here.
    """

    def __init__(
        self,
        backends: BackendSource,
        asks: Asks,
        installation: Callable[[], str],
        launches: WorkerLaunches | None = None,
    ) -> None:
        self._launches = launches
        self._backends = backends
        self._asks = asks
        self._installation = installation

    async def plan(
        self, map_path: str, requests: Sequence[RunAttempt], counts: Counts, tell: Callable[[Planned], None]
    ) -> None:
        """Plan the jobs of attempts that are alike.

        Args:
            map_path: the map whose items they are; empty for a node.
            requests: the attempts.
            counts: of their failures so far.
            tell: told of every job, and of what cannot become one.
        """
        first = requests[0]
        tenant = Tenant(first.project, first.domain)
        instance = await self._instance(first, map_path or first.node, tenant, tell)
        limit = instance.declaration.array_limit
        if map_path and limit > 0:
            for start in range(0, len(requests), limit):
                slice_of = requests[start : start + limit]
                make = partial(asyncio.to_thread, self._planned, instance, tenant, map_path, slice_of, counts)
                tell(await _as_soon_as_possible(make, map_path, tell))
        else:
            for start in range(0, len(requests), PLANS_AT_ONCE):
                few = requests[start : start + PLANS_AT_ONCE]
                make_each = partial(asyncio.to_thread, self._each, instance, tenant, few, counts)
                for planned in await _as_soon_as_possible(make_each, map_path or first.node, tell):
                    tell(planned)

    async def _instance(
        self, request: RunAttempt, path: str, tenant: Tenant, tell: Callable[[Planned], None]
    ) -> BackendInstance:
        """The backend, as soon as it can be used."""
        get = partial(self._backends.get, request.task.backend, tenant, request.task.task_type)
        return await _as_soon_as_possible(get, path, tell)

    def _each(
        self, instance: BackendInstance, tenant: Tenant, requests: Sequence[RunAttempt], counts: Counts
    ) -> list[Planned]:
        """A job for each attempt."""
        return [self._planned(instance, tenant, "", (request,), counts) for request in requests]

    def _planned(
        self, instance: BackendInstance, tenant: Tenant, map_path: str, requests: Sequence[RunAttempt], counts: Counts
    ) -> Planned:
        """One job for all of them, or why there is none."""
        try:
            return self._made(instance, tenant, map_path, requests, counts)
        except StoreUnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 - the attempts fail of it
            attempts = tuple((request.node, request.attempt) for request in requests)
            return Unplanned(attempts, _why(error, instance, requests[0]))

    def _made(
        self,
        instance: BackendInstance,
        tenant: Tenant,
        map_path: str,
        requests: Sequence[RunAttempt],
        counts: Counts,
    ) -> JobPlanned:
        first, task = requests[0], requests[0].task
        items: tuple[tuple[int, int], ...] = ()
        user, submission = counts(first)
        node = first.node
        if map_path:
            node = map_path
            items = tuple((int(r.node.rpartition("/")[2]), r.attempt) for r in requests)
        key = job_key(tenant.project, tenant.domain, first.execution, node, user, submission, items)
        requested, resources = after_policies(task, tenant)
        worker = self._launches.of(requests) if self._launches is not None and task.body.needs_worker else None
        request = replace(
            plan_request(task, JobKey(key), Owner(self._installation(), tenant, first.execution, node), requested),
            inputs={} if map_path else first.inputs,
            worker=worker,
            items=tuple(index for index, _ in items),
            item_inputs=tuple(r.inputs for r in requests) if map_path else (),
            interruptible=first.interruptible,
        )
        plan = checked(instance.render(request), request, instance)
        asks = self._asks.asks_for(task, tenant, plan.pools)
        return JobPlanned(
            key=key,
            node=node,
            attempt=0 if map_path else first.attempt,
            submission=submission,
            backend=instance.name,
            settings=instance.settings,
            plan=plan_to_json(plan, worker),
            items=items,
            pools=tuple((ask.pool, ask.tokens) for ask in asks),
            detached=task.detach,
            idempotent=task.idempotent,
            resources=resources,
            task=task.name,
        )


async def _as_soon_as_possible(ask: Callable[[], Awaitable[T]], path: str, tell: Callable[[Planned], None]) -> T:
    """What ``ask`` returns, asked again as long as the backend cannot be used or the storage is away."""
    parked = ""
    while True:
        try:
            found = await ask()
        except (BackendUnavailableError, StoreUnavailableError) as error:
            if error.message != parked:
                parked = error.message
                tell(NotPlanned(path, parked))
            await asyncio.sleep(PARKED_SECONDS)
            continue
        if parked:
            tell(NotPlanned(path, ""))
        return found


def checked(plan: Any, request: PlanRequest, instance: BackendInstance) -> Plan:
    """The plan, if it can be kept and found again.

    Raises:
        BackendError: it is not what was asked for, or not what the contract wants.
    """
    limit = instance.declaration.name_limit
    wrong = ""
    if not isinstance(plan, Plan):
        wrong = f"plan() gave a {type(plan).__name__}, no Plan"
    elif plan.key != request.key or plan.owner != request.owner or plan.items != request.items:
        wrong = "the plan has another key, owner or items than the request"
    elif not plan.digest:
        wrong = "the plan has no digest"
    elif len(plan.external_name) > limit:
        wrong = f"the name {plan.external_name!r} is longer than the {limit} characters the backend declares"
    else:
        try:
            canonical_text(plan_to_json(plan))
        except (TypeError, ValueError, FlytePathError) as error:
            wrong = f"the plan is no JSON: {error}"
    if wrong:
        raise BackendError(f"plugin {instance.plugin}: {wrong}", error_class=ErrorClass.PROTOCOL)
    return cast(Plan, plan)


def plan_request(task: TaskSpec, key: JobKey, owner: Owner, requested: tuple[Resources, Resources]) -> PlanRequest:
    """What a backend is told of a task, without inputs.

    Args:
        task: the task, with what its node changes.
        key, owner: of the job.
        requested: requests and limits after the policies.
    """
    return PlanRequest(
        key=key,
        owner=owner,
        task=task.name,
        task_type=task.task_type,
        payload=task.payload,
        inputs={},
        requests=requested[0],
        limits=requested[1],
        timeout_seconds=task.timeout_seconds,
        labels=task.labels,
        annotations=task.annotations,
        secrets=tuple(_reference(secret) for secret in task.secrets),
        body=task.body.kind,
        variables=task.variables,
        environment=task.environment,
        accelerator=task.accelerator,
        pod_template=task.pod_template,
        shared_memory=task.shared_memory,
    )


def _reference(secret: Mapping[str, Any]) -> SecretReference:
    return SecretReference(
        group=secret.get("group") or "",
        key=secret.get("key") or "",
        scheme=secret.get("scheme") or "",
        version=secret.get("group_version") or "",
    )


def after_policies(task: TaskSpec, tenant: Tenant) -> tuple[tuple[Resources, Resources], dict[str, Any]]:
    """Requests and limits after the policies of this tenant, and what they made of them where they changed them."""
    from flytepath.plugin.extensions import ResourceRequest
    from flytepath.plugin.manager import current

    manager = current()
    asked = ResourceRequest(tenant, task.name, task.task_type, task.backend, task.requests, task.limits)
    given = asked
    by: list[str] = []
    for claim in manager.resource_policies(task.task_type, task.backend, tenant):
        answer = manager.resolve(claim.declaration.policy)(given)
        if answer != given:
            by.append(claim.declaration.name)
        given = answer
    if given == asked:
        return (task.requests, task.limits), {}
    told = {"policies": by, "requests": given.requests.to_json(), "limits": given.limits.to_json()}
    return (given.requests, given.limits), told


_MISTAKE: Final = "this is a mistake of the backend's plugin; report it to its authors"


def _why(error: Exception, instance: BackendInstance, request: RunAttempt) -> ErrorRecord:
    """What attempts fail with that cannot be planned: nobody's job, and no retry mends it."""
    name = f"{request.task.name} on {instance.name}"
    if isinstance(error, BackendError):
        code = "FP-JOB-PROTOCOL" if error.error_class is ErrorClass.PROTOCOL else "FP-JOB-INVALID"
        record = ErrorRecord.of(error, place=request.node, kind="user", recoverable=False)
        hint = error.hint or (_MISTAKE if code == "FP-JOB-PROTOCOL" else None)
        return record.model_copy(update={"code": code, "message": f"{name}: {error.message}", "hint": hint})
    if isinstance(error, FlytePathError):
        return ErrorRecord.of(error, place=request.node, kind="user", recoverable=False)
    return ErrorRecord(
        kind="system",
        code="FP-JOB-PROTOCOL",
        message=f"{name} cannot be planned: plugin {instance.plugin} raised {type(error).__name__}: {error}",
        place=request.node,
        hint=_MISTAKE,
        recoverable=False,
    )
