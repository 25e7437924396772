"""A backend as it should be, for the fake vendor: the example to copy. ``docs/writing-a-backend.md`` walks through it.

It imports :mod:`flytepath.plugin` and the vendor's own client, nothing else of FlytePath. It keeps nothing: every
method can be called in another process than the one before, and after a newer version of it was installed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

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
    ItemPhases,
    JobKey,
    Literal,
    LiteralType,
    LogChunk,
    NotFound,
    NotOurs,
    Observation,
    OwnedJob,
    OwnedPage,
    Owner,
    Phase,
    Plan,
    PlanRequest,
    PoolAsk,
    SecretReference,
    Terminal,
    Unknown,
)
from flytepath.testing.fake_vendor.client import VendorClient, VendorError, VendorUnreachableError

Json = Any

#: The longest name the vendor takes; repeated in the declaration.
NAME_LIMIT: Final = 40

#: Every state of the vendor's, and what it means to core: the phase, and for a failure who is to blame.
STATES: Final[Mapping[str, tuple[Phase, ErrorClass | None]]] = {
    "PENDING": (Phase.QUEUED, None),
    "PROVISIONING": (Phase.INITIALIZING, None),
    "ACTIVE": (Phase.RUNNING, None),
    "CANCELLING": (Phase.RUNNING, None),
    "FINISHED": (Phase.SUCCEEDED, None),
    "CANCELED": (Phase.CANCELLED, None),
    "ERRORED": (Phase.FAILED, ErrorClass.USER),
    "EXPIRED": (Phase.FAILED, ErrorClass.USER),
    "EVICTED": (Phase.FAILED, ErrorClass.PREEMPTED),
    "NODE_LOST": (Phase.FAILED, ErrorClass.LOST),
}

#: Every error of the vendor's, by its code where that says more than the status.
ERRORS: Final[Mapping[str | int, ErrorClass]] = {
    "TooManyJobs": ErrorClass.QUOTA_EXCEEDED,
    "ResultNotReady": ErrorClass.TRANSIENT,
    "CannotCancelNow": ErrorClass.TRANSIENT,
    400: ErrorClass.INVALID,
    401: ErrorClass.AUTH,
    403: ErrorClass.AUTH,
    404: ErrorClass.LOST,
    409: ErrorClass.CONFLICT,
    429: ErrorClass.THROTTLED,
    500: ErrorClass.UNAVAILABLE,
    503: ErrorClass.UNAVAILABLE,
}


class VendorSettings(BaseModel):
    """The table ``[backends.vendor]``.

    Attributes:
        url: where the vendor is.
        account: whose jobs they are.
        token: the secret that opens the account; a reference, never the value.
        tenant_project, tenant_domain: whose secret it is.
        timeout_seconds: how long an answer is waited for.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    account: str = "main"
    token: SecretReference = SecretReference("vendor", "token")
    tenant_project: str = "default"
    tenant_domain: str = "development"
    timeout_seconds: float = 20.0


class VendorBackend(Backend):
    """Jobs of the fake vendor. Class B: what is submitted bears our tags, and is searched for by them."""

    settings: VendorSettings

    def __init__(self, settings: VendorSettings, *, credential_scope: str = "") -> None:
        super().__init__(settings, credential_scope=credential_scope)
        self._client = VendorClient(settings.url, settings.account, settings.timeout_seconds)

    # --- planning and submitting ---

    def plan(self, request: PlanRequest) -> Plan:
        payload = request.payload
        spec = {**payload["job"], "returns": payload["outputs"], "inputs": _values(request.inputs)}
        if request.items:
            own = payload["items"]
            spec["map"] = list(request.items)
            spec["items"] = [
                {**own.get(str(index), {}), "inputs": _values(inputs)}
                for index, inputs in zip(request.items, request.item_inputs or ({},) * len(request.items), strict=True)
            ]
        return Plan(
            key=request.key,
            owner=request.owner,
            external_name=_name(request.key),
            spec=spec,
            digest=hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest(),
            items=request.items,
            pools=(PoolAsk(f"vendor/{self.settings.account}"),),
            secrets=(self.settings.token,),
            scope=self.settings.account,
        )

    async def submit(self, plan: Plan) -> Handle:
        body = {"name": plan.external_name, "tags": _stamp(plan), "spec": plan.spec}
        try:
            made = await self._call("POST", "", body)
        except BackendError as error:
            if error.error_class is not ErrorClass.CONFLICT:
                raise
            found = await self.find(plan)  # the name is taken: by a call of ours that was cut off, or by a stranger
            if isinstance(found, Found):
                return found.handle
            raise
        return _handle(made["id"], plan.items)

    async def find(self, plan: Plan) -> Found | NotFound | Unknown:
        page = await self._call("GET", "", view="full", **{"tag.flytepath-key": plan.key.value})
        for job in page["jobs"]:
            if job["tags"] != _stamp(plan):
                raise BackendError(
                    f"job {job['id']} bears this key with another owner or another content",
                    error_class=ErrorClass.CONFLICT,
                    accepted=False,
                    hint="look at the job in the vendor's console: it was left as it is",
                )
        if not page["jobs"]:
            return NotFound()
        return Found(_handle(page["jobs"][0]["id"], plan.items))

    # --- looking ---

    async def poll(self, handles: Sequence[Handle]) -> Mapping[Handle, Observation | BackendError]:
        ids = {handle: str(handle.data.get("id", "")) for handle in handles}
        seen = await self._seen(sorted({id for id in ids.values() if id}))
        answers: dict[Handle, Observation | BackendError] = {}
        for handle, id in ids.items():
            answer = seen.get(id)
            if not id or handle.version not in self.handle_versions:
                answers[handle] = BackendError("not a handle of this backend", error_class=ErrorClass.PROTOCOL)
            elif answer is None:
                answers[handle] = Observation(None, "404 NoSuchJob", "the vendor does not know the job", gone=True)
            else:
                answers[handle] = answer if isinstance(answer, BackendError) else self._observed(answer, handle)
        return answers

    async def _seen(self, ids: list[str]) -> dict[str, Json | BackendError]:
        """The jobs of those ids; where one spoils the whole answer, it is searched for by halves."""
        try:
            page = await self._call("GET", "", ids=",".join(ids)) if ids else {"jobs": []}
        except BackendError as error:
            if "DamagedRecord" in error.message and len(ids) > 1:
                half = len(ids) // 2
                return {**await self._seen(ids[:half]), **await self._seen(ids[half:])}
            return dict.fromkeys(ids, error)
        return {job["id"]: job for job in page["jobs"]}

    def _observed(self, job: Mapping[str, Json], handle: Handle) -> Observation:
        state = str(job["state"])
        phase, error_class = STATES.get(state, (None, None))
        reason = str(job.get("reason", ""))
        items = _items(job, handle.data["map"]) if "map" in handle.data else None
        links = (("the job at the vendor", f"{self.settings.url}/accounts/{self.settings.account}/jobs/{job['id']}"),)
        return Observation(phase, state, reason, error_class, job.get("exit_code"), links=links, items=items)

    async def list_owned(self, scope: str, cursor: str | None = None) -> OwnedPage:
        page = await self._call("GET", "", view="full", cursor=cursor, **{"tag.flytepath-installation": scope})
        return OwnedPage(tuple(self._owned(job) for job in page["jobs"]), page["cursor"])

    def _owned(self, job: Mapping[str, Json]) -> OwnedJob:
        tags = job["tags"]
        project, domain, execution, node_path = json.loads(tags["flytepath-owner"])
        owner = Owner(tags["flytepath-installation"], Tenant(project, domain), execution, node_path)
        handle = _handle(job["id"], job["spec"].get("map", ()))
        observation = self._observed(job, handle)
        return OwnedJob(handle, JobKey(tags["flytepath-key"]), owner, tags["flytepath-digest"], observation)

    async def logs(self, handle: Handle, cursor: str | None = None) -> LogChunk:
        piece = await self._call("GET", f"/{handle.data['id']}/logs", cursor=cursor)
        return LogChunk(piece["text"], piece["cursor"], piece["complete"])

    # --- ending ---

    async def cancel(self, key: JobKey, handle: Handle | None, reason: str) -> Gone | Terminal | InProgress | NotOurs:
        job = await self._job(key, handle)
        if job is None:
            return Gone()
        if job["tags"].get("flytepath-key") != key.value:
            return NotOurs(json.dumps(job["tags"]))
        own = _handle(job["id"], job["spec"].get("map", ()))
        seen = self._observed(job, own)
        if seen.phase is None or not seen.phase.is_terminal:
            try:
                seen = self._observed(await self._call("POST", f"/{job['id']}/cancel"), own)
            except BackendError as error:
                if "HasEnded" not in error.message and error.error_class is not ErrorClass.LOST:
                    raise
                return InProgress("it ended just now")  # asked again, the vendor tells how
        return Terminal(seen) if seen.phase is not None and seen.phase.is_terminal else InProgress(seen.raw_state)

    async def _job(self, key: JobKey, handle: Handle | None) -> Json | None:
        """The job of a handle; without one the job of a key, or else whatever bears its name."""
        if handle is not None:
            try:
                return await self._call("GET", f"/{handle.data['id']}")
            except BackendError as error:
                if error.error_class is not ErrorClass.LOST:
                    raise
                return None
        for search in ({"tag.flytepath-key": key.value}, {"name": _name(key)}):
            page = await self._call("GET", "", view="full", **search)
            if page["jobs"]:
                return page["jobs"][0]
        return None

    async def collect(self, handle: Handle, sink: BlobAccess) -> Mapping[str, Literal]:
        job = await self._call("GET", f"/{handle.data['id']}")
        result = await self._call("GET", f"/{handle.data['id']}/result")
        return _literals(job["spec"]["returns"], result["outputs"])

    async def collect_items(
        self, handle: Handle, items: Sequence[int], sink: BlobAccess
    ) -> Mapping[int, Mapping[str, Literal] | BackendError]:
        positions = {index: position for position, index in enumerate(handle.data["map"])}
        asked = ",".join(str(positions[index]) for index in items)
        job = await self._call("GET", f"/{handle.data['id']}")
        result = await self._call("GET", f"/{handle.data['id']}/result", positions=asked)
        returns, found = job["spec"]["returns"], result["items"]
        return {index: _literals(returns, found[str(positions[index])]) for index in items}

    async def cleanup(self, key: JobKey, handle: Handle | None) -> None:
        job = await self._job(key, handle)
        if job is not None and job["tags"].get("flytepath-key") == key.value:
            await self._call("DELETE", f"/{job['id']}/files")

    async def close(self) -> None:
        await self.in_thread(self._client.close)

    # --- one call ---

    async def _call(self, method: str, path: str, body: Json = None, **query: str | None) -> Json:
        """What the vendor answers. Its client blocks, so it is called in a thread; the token is kept nowhere."""
        tenant = Tenant(self.settings.tenant_project, self.settings.tenant_domain)
        token = (await self.secret(self.settings.token, tenant)).decode()
        try:
            return await self.in_thread(partial(self._client.call, method, path, token, body, **query))
        except VendorError as error:
            error_class = ERRORS.get(error.code) or ERRORS.get(error.status, ErrorClass.PROTOCOL)
            # A 5xx may come from a gateway in front of a service that has taken the request.
            accepted = False if error.status < 500 else None
            raise BackendError(
                str(error), error_class=error_class, retry_after=error.retry_after, accepted=accepted
            ) from None
        except VendorUnreachableError as error:
            raise BackendError(
                str(error), error_class=ErrorClass.TRANSIENT, accepted=None if error.sent else False
            ) from None


def _name(key: JobKey) -> str:
    """Made from the key alone, so that it can be found when nothing but the key is known."""
    return key.name("fp", NAME_LIMIT)


def _stamp(plan: Plan) -> dict[str, str]:
    """The tags by which a job is known as ours."""
    owner = plan.owner
    return {
        "flytepath-key": plan.key.value,
        "flytepath-digest": plan.digest,
        "flytepath-installation": owner.installation,
        "flytepath-owner": json.dumps([owner.tenant.project, owner.tenant.domain, owner.execution, owner.node_path]),
    }


def _handle(id: str, items: Sequence[int]) -> Handle:
    """The id; for an array job also which item of the map stands at which position."""
    return Handle({"id": id, "map": list(items)} if items else {"id": id})


def _items(job: Mapping[str, Json], indices: Sequence[int]) -> ItemPhases:
    """The vendor counts positions from 0, core the indices of the map."""
    by_phase: dict[Phase, tuple[int, ...]] = {}
    reasons: dict[int, str] = {}
    classes: dict[int, ErrorClass] = {}
    for state, positions in job["items"].items():
        phase, error_class = STATES.get(state, (Phase.RUNNING, None))
        by_phase[phase] = by_phase.get(phase, ()) + tuple(indices[position] for position in positions)
        if error_class is not None:
            for position in positions:
                classes[indices[position]] = error_class
                reasons[indices[position]] = job["failed"][str(position)]["reason"] or state
    return ItemPhases(by_phase, reasons, classes)


def _values(inputs: Mapping[str, Literal]) -> dict[str, Json]:
    """Inputs as JSON. What is too large to lie in the request is refused here, before anything was asked for."""
    large = [name for name, literal in inputs.items() if literal.ref is not None or literal.refs]
    if large:
        raise BackendError(
            f"input {large[0]!r} is a file or too large: the vendor takes values only",
            error_class=ErrorClass.INVALID,
            accepted=False,
            hint="give the job a URI that it can read",
        )
    return {name: literal.data for name, literal in inputs.items()}


def _literals(returns: Mapping[str, Json], values: Mapping[str, Json]) -> dict[str, Literal]:
    """Outputs by the types that the task declares. Core keeps large ones as blobs."""
    missing = [name for name in returns if name not in values]
    if missing:
        raise BackendError(f"the job gave no output {missing[0]!r}", error_class=ErrorClass.INVALID)
    return {name: Literal.make(LiteralType.from_json(kind), values[name]) for name, kind in returns.items()}
