"""A backend as it should be, for the fake vendor: the example to copy. ``docs/writing-a-backend.md`` walks through it.

It imports :mod:`flytepath.plugin` and the vendor's own client, nothing else of FlytePath. It keeps nothing: every
method can be called in another process than the one before, and after a newer version of it was installed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from pydantic import BaseModel, ConfigDict

from flytepath.plugin import (
    Backend,
    BackendError,
    BlobAccess,
    ErrorClass,
    FlytePathError,
    Found,
    Gone,
    Handle,
    InProgress,
    JobKey,
    Literal,
    LogChunk,
    NotFound,
    NotOurs,
    Observation,
    OwnedJob,
    OwnedPage,
    Owner,
    Plan,
    PlanRequest,
    PoolAsk,
    SecretReference,
    Tenant,
    Terminal,
    Unknown,
)
from flytepath.testing.fake_vendor.client import VendorClient, VendorError, VendorUnreachableError
from flytepath.testing.reference_mapping import (
    STATES,
    check_stamp,
    error_of,
    handle_of,
    has_ended,
    items_of,
    literals_of,
    name_of,
    stamp_of,
    values_of,
)

Json = Any


class VendorSettings(BaseModel):
    """The table ``[backends.vendor]``.

    Attributes:
        url: where the vendor is.
        account: whose jobs they are.
        token: the secret that opens the account; a reference, never the value.
        timeout_seconds: how long an answer is waited for.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    account: str = "main"
    token: SecretReference = SecretReference("vendor", "token")
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
        spec = {**payload["job"], "returns": payload["outputs"], "inputs": values_of(request.inputs)}
        if request.items:
            own = payload["items"]
            spec["map"] = list(request.items)
            spec["items"] = [
                {**own.get(str(index), {}), "inputs": values_of(inputs)}
                for index, inputs in zip(request.items, request.item_inputs or ({},) * len(request.items), strict=True)
            ]
        return Plan(
            key=request.key,
            owner=request.owner,
            external_name=name_of(request.key),
            spec=spec,
            digest=hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest(),
            items=request.items,
            pools=(PoolAsk(f"vendor/{self.settings.account}"),),
            secrets=(self.settings.token,),
            scope=self.settings.account,
        )

    async def submit(self, plan: Plan) -> Handle:
        body = {"name": plan.external_name, "tags": stamp_of(plan), "spec": plan.spec}
        try:
            made = await self._send("POST", "", body)
        except (VendorError, VendorUnreachableError) as error:
            if not isinstance(error, VendorError) or error.code != "NameTaken":
                raise error_of(error) from None
            # Whoever has the name: a call of ours that was cut off, or a stranger. Searches may not show it yet.
            made = await self._call("GET", f"/{error.details['id']}")
            check_stamp(made, plan)
        return handle_of(made["id"], plan.items)

    async def find(self, plan: Plan) -> Found | NotFound | Unknown:
        page = await self._call("GET", "", view="full", **{"tag.flytepath-key": plan.key.value})
        for job in page["jobs"]:
            check_stamp(job, plan)
        if not page["jobs"]:
            return NotFound()
        return Found(handle_of(page["jobs"][0]["id"], plan.items))

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
        if not ids:
            return {}
        try:
            page = await self._send("GET", "", ids=",".join(ids))
        except (VendorError, VendorUnreachableError) as error:
            if not isinstance(error, VendorError) or error.code != "DamagedRecord":
                raise error_of(error) from None
            if len(ids) == 1:
                return {ids[0]: error_of(error)}
            half = len(ids) // 2
            return {**await self._seen(ids[:half]), **await self._seen(ids[half:])}
        return {job["id"]: job for job in page["jobs"]}

    def _observed(self, job: Mapping[str, Json], handle: Handle) -> Observation:
        state = str(job["state"])
        phase, error_class = STATES.get(state, (None, None))
        reason = str(job.get("reason", ""))
        items = items_of(job, handle.data["map"]) if "map" in handle.data else None
        links = (("the job at the vendor", f"{self.settings.url}/accounts/{self.settings.account}/jobs/{job['id']}"),)
        return Observation(phase, state, reason, error_class, job.get("exit_code"), links=links, items=items)

    async def list_owned(self, scope: str, cursor: str | None = None) -> OwnedPage:
        page = await self._call("GET", "", view="full", cursor=cursor, **{"tag.flytepath-installation": scope})
        owned = (self._owned(job) for job in page["jobs"])
        return OwnedPage(tuple(job for job in owned if job is not None), page["cursor"])

    def _owned(self, job: Mapping[str, Json]) -> OwnedJob | None:
        """The job, if its stamp is whole; what bears only a part of one was not stamped by us."""
        tags = job["tags"]
        try:
            project, domain, execution, node_path = json.loads(tags["flytepath-owner"])
            owner = Owner(tags["flytepath-installation"], Tenant(project, domain), execution, node_path)
            key, digest = JobKey(tags["flytepath-key"]), tags["flytepath-digest"]
        except (KeyError, TypeError, ValueError, FlytePathError):
            return None
        handle = handle_of(job["id"], job["spec"].get("map", ()))
        return OwnedJob(handle, key, owner, digest, self._observed(job, handle))

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
        own = handle_of(job["id"], job["spec"].get("map", ()))
        seen = self._observed(job, own)
        if seen.phase is None or not seen.phase.is_terminal:
            try:
                seen = self._observed(await self._send("POST", f"/{job['id']}/cancel"), own)
            except (VendorError, VendorUnreachableError) as error:
                if isinstance(error, VendorError) and error.code in ("HasEnded", "NoSuchJob"):
                    return InProgress("it ended just now")  # asked again, the vendor tells how
                raise error_of(error) from None
        return Terminal(seen) if seen.phase is not None and seen.phase.is_terminal else InProgress(seen.raw_state)

    async def _job(self, key: JobKey, handle: Handle | None) -> Json | None:
        """The job of a handle; without one that of a key, first one that runs, or else whatever bears its name."""
        if handle is not None:
            try:
                return await self._call("GET", f"/{handle.data['id']}")
            except BackendError as error:
                if error.error_class is not ErrorClass.LOST:
                    raise
                return None
        for search in ({"tag.flytepath-key": key.value}, {"name": name_of(key)}):
            page = await self._call("GET", "", view="full", **search)
            if page["jobs"]:
                return min(page["jobs"], key=has_ended)
        return None

    async def collect(self, handle: Handle, sink: BlobAccess) -> Mapping[str, Literal]:
        job = await self._call("GET", f"/{handle.data['id']}")
        result = await self._call("GET", f"/{handle.data['id']}/result")
        return literals_of(job["spec"]["returns"], result["outputs"])

    async def collect_items(
        self, handle: Handle, items: Sequence[int], sink: BlobAccess
    ) -> Mapping[int, Mapping[str, Literal] | BackendError]:
        positions = {index: position for position, index in enumerate(handle.data["map"])}
        asked = ",".join(str(positions[index]) for index in items)
        job = await self._call("GET", f"/{handle.data['id']}")
        result = await self._call("GET", f"/{handle.data['id']}/result", positions=asked)
        found: dict[int, Mapping[str, Literal] | BackendError] = {}
        for index in items:
            try:
                found[index] = literals_of(job["spec"]["returns"], result["items"][str(positions[index])])
            except BackendError as error:  # it is this item's alone
                found[index] = error
        return found

    async def cleanup(self, key: JobKey, handle: Handle | None) -> None:
        job = await self._job(key, handle)
        if job is not None and job["tags"].get("flytepath-key") == key.value:
            await self._call("DELETE", f"/{job['id']}/files")

    async def close(self) -> None:
        await self.in_thread(self._client.close)

    # --- one call ---

    async def _call(self, method: str, path: str, body: Json = None, **query: str | None) -> Json:
        """What the vendor answers, with its errors as core knows them."""
        try:
            return await self._send(method, path, body, **query)
        except (VendorError, VendorUnreachableError) as error:
            # Without the cause: whoever prints it would print what was sent.
            raise error_of(error) from None

    async def _send(self, method: str, path: str, body: Json = None, **query: str | None) -> Json:
        """The vendor's client blocks, so it is called in a thread; the token is fetched now and kept nowhere."""
        token = (await self.secret(self.settings.token)).decode()
        return await self.in_thread(partial(self._client.call, method, path, token, body, **query))
