"""The backend ``sagemaker``: one thing at AWS for one key, whatever its kind and whatever happens.

Calls are those of one resource: it is described by its name, never searched for among all others while it lives.
"""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from flytepath.plugin import (
    Backend,
    BackendError,
    BlobAccess,
    DefinitionError,
    ErrorClass,
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
    OwnedPage,
    Plan,
    PlanRequest,
    Terminal,
    Unknown,
)

from flyte_plugin_sagemaker.api import Api, Clients, Credentials, Pace
from flyte_plugin_sagemaker.api_errors import ApiError, backend_error
from flyte_plugin_sagemaker.errors import MissingAwsLibraryError
from flyte_plugin_sagemaker.kind import Kind
from flyte_plugin_sagemaker.kinds import kind_of
from flyte_plugin_sagemaker.owned import jobs_of_key, owned_page
from flyte_plugin_sagemaker.settings import SageMakerSettings
from flyte_plugin_sagemaker.tags import Stamp, digest_of, tags_of

Json = Any
T = TypeVar("T")

#: A call of core's may take several requests; each has its own bound.
_CALL_SECONDS: Final = 55.0
#: After so long a poll begins no further look: those that were made must be told in time.
_LOOK_SECONDS: Final = 40.0
#: So many threads look at the jobs of one poll.
_LOOKERS: Final = 4


class SageMakerBackend(Backend):
    """Jobs at SageMaker. Class B: names are made of the key, AWS has no two of a name, and each bears our tags."""

    settings: SageMakerSettings

    def __init__(self, settings: Any = None, *, credential_scope: str = "") -> None:
        super().__init__(settings or SageMakerSettings(), credential_scope=credential_scope)
        self._clients = Clients(self.settings)
        self._pace = Pace(self.settings.describes_per_second)

    # --- planning and submitting ---

    def plan(self, request: PlanRequest) -> Plan:
        kind = kind_of(kind_name(request))
        try:
            body = copy.deepcopy(kind.request(request, self.settings))
        except DefinitionError as error:
            # Said when it was compiled, as far as it could be known then.
            facts = [f"{what} {fact}" for what, fact in (("is", error.actual), ("expected is", error.expected)) if fact]
            raise BackendError(
                f"{error.message} ({', '.join(facts)})" if facts else str(error.message),
                error_class=ErrorClass.INVALID,
                accepted=False,
                place=error.place,
                hint=error.hint,
            ) from error
        name = kind.job_name(request, body)
        asked = {kind.name_field: name, **body}
        spec: dict[str, Json] = {"kind": kind.name, "name": name, "request": asked}
        spec.update(kind.more(request, self.settings))
        digest = digest_of(spec)
        own = body.get("Tags") or ()
        more = {**self.settings.tags, **{tag["Key"]: tag["Value"] for tag in own}}
        asked["Tags"] = tags_of(Stamp(request.key, request.owner, digest), more)
        return Plan(
            key=request.key,
            owner=request.owner,
            external_name=name,
            spec=spec,
            digest=digest,
            secrets=request.secrets,
        )

    async def submit(self, plan: Plan) -> Handle:
        return await self._threaded(self._submit, plan)

    def _submit(self, api: Api, plan: Plan) -> Handle:
        api = api.at(plan.spec.get("region", ""))
        kind = kind_of(plan.spec["kind"])
        what = f"making the {kind.title} {plan.external_name}"
        try:
            made = kind.create(api, plan.spec)
        except ApiError as error:
            if not error.is_taken:
                raise _refused(error, what) from None
            made = None
        except MissingAwsLibraryError as error:
            # Nothing was sent, and no waiting brings it.
            raise _without_library(error, ErrorClass.INVALID) from error
        if made is not None:
            return _handle(kind, made, plan.spec)
        # Whoever has the name: a call of ours, perhaps one that was cut off, or a stranger.
        try:
            return self._own(api, kind, plan)
        except ApiError as error:
            # It was made, and only its ARN is not known yet.
            raise BackendError(
                f"{what}: {error}",
                error_class=error.error_class,
                retry_after=error.retry_after,
                accepted=None,
                hint=error.hint,
            ) from None

    def _own(self, api: Api, kind: Kind, plan: Plan) -> Handle:
        description = kind.found(api, plan)
        if description is None:
            raise BackendError(
                f"the {kind.title} {plan.external_name} was made and is not seen yet", error_class=ErrorClass.TRANSIENT
            )
        self._check_stamp(api, kind, plan, description)
        return _handle(kind, description, plan.spec)

    def _check_stamp(self, api: Api, kind: Kind, plan: Plan, description: Mapping[str, Json]) -> None:
        stamp = kind.stamp(api, description)
        if kind.adopts(stamp, plan):
            return
        if stamp is None:
            whose = "bears no tags of ours"
        else:
            other = stamp.owner.tenant == plan.owner.tenant and stamp.digest != plan.digest
            whose = f"{'is of another request: ' if other else 'is '}job {stamp.key.value} of {stamp.owner.execution}"
        raise BackendError(
            f"the {kind.title} {plan.external_name} is there, and {whose}",
            error_class=ErrorClass.CONFLICT,
            accepted=False,
            hint="it was left as it is: look at its tags. What ends in {idempotence_token} has a name of its own",
        )

    async def find(self, plan: Plan) -> Found | NotFound | Unknown:
        return await self._threaded(self._find, plan)

    def _find(self, api: Api, plan: Plan) -> Found | NotFound | Unknown:
        api = api.at(plan.spec.get("region", ""))
        kind = kind_of(plan.spec["kind"])
        description = kind.found(api, plan)
        if description is None:
            return NotFound()
        self._check_stamp(api, kind, plan, description)
        return Found(_handle(kind, description, plan.spec))

    # --- looking ---

    async def poll(self, handles: Sequence[Handle]) -> Mapping[Handle, Observation | BackendError]:
        shares = [list(handles)[first::_LOOKERS] for first in range(min(_LOOKERS, len(handles)))]
        try:
            api = await self._api()
        except BackendError as error:
            return dict.fromkeys(handles, error)
        answers: dict[Handle, Observation | BackendError] = {}
        for seen in await asyncio.gather(*(self._looked(api, share) for share in shares)):
            answers.update(seen)
        return answers

    async def _looked(self, api: Api, handles: Sequence[Handle]) -> Mapping[Handle, Observation | BackendError]:
        try:
            return await self.in_thread(self._look, api, handles, seconds=_CALL_SECONDS)
        except MissingAwsLibraryError as error:
            return dict.fromkeys(handles, _without_library(error))
        except BackendError as error:
            return dict.fromkeys(handles, error)

    def _look(self, api: Api, handles: Sequence[Handle]) -> dict[Handle, Observation | BackendError]:
        until = time.monotonic() + _LOOK_SECONDS
        answers: dict[Handle, Observation | BackendError] = {}
        for place, handle in enumerate(handles):
            try:
                kind = self._kind(handle)
                late = self._pace.wait(until)
                if late:
                    told = BackendError(
                        "there are more jobs than `describes_per_second` lets be looked at now",
                        error_class=ErrorClass.THROTTLED,
                        retry_after=late,
                    )
                    answers.update(dict.fromkeys(handles[place:], told))
                    break
                there = api.at(_region(handle))
                answers[handle] = kind.observe(there, handle, kind.describe(there, str(handle.data["name"])))
            except BackendError as error:
                answers[handle] = error
            except ApiError as error:
                told = answers[handle] = backend_error(error)
                if told.error_class in (ErrorClass.THROTTLED, ErrorClass.AUTH):
                    # It is said to the account: whoever asked on would only make it longer.
                    answers.update(dict.fromkeys(handles[place:], told))
                    break
        return answers

    async def list_owned(self, scope: str, cursor: str | None = None) -> OwnedPage:
        return await self._threaded(owned_page, scope, cursor, self._pace.wait)

    async def logs(self, handle: Handle, cursor: str | None = None) -> LogChunk:
        from flyte_plugin_sagemaker.job_logs import log_chunk

        kind = self._kind(handle)
        if not kind.log_group:
            return LogChunk("", cursor, complete=True)
        return await self._threaded(lambda api: log_chunk(api.at(_region(handle)), kind, handle, cursor))

    # --- ending ---

    async def cancel(self, key: JobKey, handle: Handle | None, reason: str) -> Gone | Terminal | InProgress | NotOurs:
        if handle is None:
            return await self._threaded(self._cancel_key, key)
        return await self._threaded(self._cancel, key, self._kind(handle), str(handle.data["name"]), _region(handle))

    async def cancel_planned(self, plan: Plan, reason: str) -> Gone | Terminal | InProgress | NotOurs:
        """Stop the job of a plan of which no handle is known: its kind and name are, unlike a key's."""
        kind, region = kind_of(plan.spec["kind"]), plan.spec.get("region", "")
        return await self._threaded(self._cancel, plan.key, kind, plan.external_name, region)

    def _cancel_key(self, api: Api, key: JobKey) -> Gone | Terminal | InProgress | NotOurs:
        answers = [self._cancel(api, key, kind, name) for kind, name in jobs_of_key(api, key)]
        waiting = [answer for answer in answers if isinstance(answer, InProgress | NotOurs)]
        return (waiting or answers or [Gone()])[0]

    def _cancel(
        self, api: Api, key: JobKey, kind: Kind, name: str, region: str = ""
    ) -> Gone | Terminal | InProgress | NotOurs:
        api = api.at(region)
        own = kind.cancelled(api, key, name)
        if own is not None:
            return own
        description = kind.describe(api, name)
        if description is None:
            return Gone()
        stamp = kind.stamp(api, description)
        if stamp is None or stamp.key != key:
            return NotOurs("" if stamp is None else stamp.key.value)
        handle = _handle(kind, description, None)
        seen = kind.observe(api, handle, description)
        if seen.phase is None or not seen.phase.is_terminal:
            kind.stop(api, description)
            description = kind.describe(api, name)
            if description is None:
                return Gone()
            seen = kind.observe(api, handle, description)
        return Terminal(seen) if seen.phase is not None and seen.phase.is_terminal else InProgress(seen.raw_state)

    async def collect(self, handle: Handle, sink: BlobAccess) -> Mapping[str, Literal]:
        return await self._threaded(self._collect, handle, sink)

    def _collect(self, api: Api, handle: Handle, sink: BlobAccess) -> Mapping[str, Literal]:
        kind, api = self._kind(handle), api.at(_region(handle))
        description = kind.describe(api, str(handle.data["name"]))
        return kind.result(api, handle, description or {}, sink)

    async def cleanup(self, key: JobKey, handle: Handle | None) -> None:
        if handle is not None:
            await self._threaded(lambda api: self._kind(handle).clean(api.at(_region(handle)), handle))

    async def close(self) -> None:
        await self.in_thread(self._clients.close)

    # --- how it is done ---

    async def _api(self) -> Api:
        """The account, with the credentials as they are now."""
        names = ("access_key_id", "secret_access_key", "session_token")
        found = {}
        for name in names:
            reference = getattr(self.settings, name)
            if reference is not None:
                found[name] = (await self.secret(reference)).decode()
        return Api(self._clients, Credentials(**found))

    async def _threaded(self, call: Callable[..., T], *arguments: Any) -> T:
        """A call that makes requests, in a thread, with AWS's refusals as core knows errors."""
        api = await self._api()
        try:
            return await self.in_thread(partial(call, api, *arguments), seconds=_CALL_SECONDS)
        except ApiError as error:
            raise backend_error(error) from None
        except MissingAwsLibraryError as error:
            raise _without_library(error) from error

    def _kind(self, handle: Handle) -> Kind:
        name = handle.data.get("kind")
        if handle.version not in self.handle_versions or not isinstance(name, str) or "name" not in handle.data:
            raise BackendError("not a handle of this backend", error_class=ErrorClass.PROTOCOL)
        return kind_of(name)


def kind_name(request: PlanRequest) -> str:
    """The kind of job that a task becomes: what its payload says; whatever has a worker is a training job."""
    named = request.payload.get("kind") if isinstance(request.payload, Mapping) else None
    return str(named) if named and request.task_type.startswith("sagemaker") else "training"


def _handle(kind: Kind, description: Mapping[str, Json], spec: Mapping[str, Json] | None) -> Handle:
    data = {"kind": kind.name, "name": description[kind.name_field], "arn": description[kind.arn_field]}
    if spec is not None and spec.get("region"):
        data["region"] = spec["region"]
    extra = kind.extra(spec, description)
    return Handle({**data, "extra": extra} if extra else data)


def _region(handle: Handle) -> str:
    """The region that the task names; empty for that of the settings."""
    return str(handle.data.get("region") or "")


def _without_library(error: MissingAwsLibraryError, error_class: ErrorClass = ErrorClass.UNAVAILABLE) -> BackendError:
    """boto3 is not here: a job that is there goes on without this engine, and what was to be made is not made."""
    return BackendError(str(error.message), error_class=error_class, accepted=False, hint=error.hint)


def _refused(error: ApiError, what: str) -> BackendError:
    told = backend_error(error, what=what)
    if error.is_absent:
        # What the request names is not there: a role, an image, a model.
        return BackendError(f"{what}: {error}", error_class=ErrorClass.INVALID, accepted=False)
    return told


__all__ = ["SageMakerBackend", "kind_name"]
