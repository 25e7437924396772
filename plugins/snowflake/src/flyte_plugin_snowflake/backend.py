"""The backend ``snowflake``: queries that are submitted, found by their tag, looked at, cancelled, and read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar

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
    Plan,
    PlanRequest,
    RateLimit,
    Resources,
    Tenant,
    Terminal,
    Unknown,
)

from flyte_plugin_snowflake import history, stamps
from flyte_plugin_snowflake.authentication import SECRETS
from flyte_plugin_snowflake.bound_values import bound
from flyte_plugin_snowflake.configuration import PLACES, reference_of
from flyte_plugin_snowflake.connections import Connections, is_rewritten
from flyte_plugin_snowflake.looking import Looking, link
from flyte_plugin_snowflake.plans import access_of, plan_of
from flyte_plugin_snowflake.results import result_literal
from flyte_plugin_snowflake.settings import SnowflakeSettings
from flyte_plugin_snowflake.vendor_errors import observed

Json = Any
T = TypeVar("T")
#: How long one call may take in its thread; a collection of a large result may take longer.
_SECONDS: Final = 110.0
_COLLECT_SECONDS: Final = 3500.0


class SnowflakeBackend(Backend):
    """Queries of Snowflake. Class B: each bears a tag with its key, and is searched for by that in the history."""

    settings: SnowflakeSettings

    def __init__(self, settings: SnowflakeSettings, *, credential_scope: str = "") -> None:
        super().__init__(settings, credential_scope=credential_scope)
        self.rate_limits = (RateLimit(per_second=settings.calls_per_second, burst=settings.burst),)
        self._connections = Connections()
        self._looking = Looking(self._row_of, settings.missing_seconds)

    # --- planning and submitting ---

    def plan(self, request: PlanRequest) -> Plan:
        return plan_of(request, self.settings)

    async def submit(self, plan: Plan) -> Handle:
        """Looks first: Snowflake itself refuses no second query with the same tag."""
        access = plan.spec["access"]
        row = await self._on(access, partial(self._tagged, access, plan.key))
        if row is not None:
            stamps.check_stamp(row.tag, plan, row.query_id)
            return _handle(plan, row.query_id)
        if plan.spec["own_session"]:
            secrets = await self._secrets_of(access)
            call = partial(self._connections.use_own, access, self._address(access), secrets, partial(_submitted, plan))
            return _handle(plan, await self.in_thread(call, seconds=_SECONDS))
        return _handle(plan, await self._on(access, partial(_submitted, plan)))

    async def find(self, plan: Plan) -> Found | NotFound | Unknown:
        access = plan.spec["access"]
        row = await self._on(access, partial(self._tagged, access, plan.key))
        if row is None:
            return NotFound()
        stamps.check_stamp(row.tag, plan, row.query_id)
        return Found(_handle(plan, row.query_id))

    def _tagged(self, access: Mapping[str, Json], key: JobKey, connection: Any) -> history.Row | None:
        asked = self._asked(access, "startswith(query_tag, ?)", stamps.key_prefix(key))
        return history.first_of(connection, **asked)

    def _row_of(self, connection: Any, access: Mapping[str, Json], query_id: str) -> history.Row | None:
        return history.first_of(connection, **self._asked(access, "query_id = ?", query_id))

    def _asked(self, access: Mapping[str, Json], condition: str, value: str) -> dict[str, Any]:
        settings = self.settings
        return {
            "database": access.get("database", ""),
            "hours": settings.history_hours,
            "size": settings.history_page,
            "condition": condition,
            "value": value,
        }

    # --- looking ---

    async def poll(self, handles: Sequence[Handle]) -> Mapping[Handle, Observation | BackendError]:
        """One session for all queries of the same account, user and place."""
        answers: dict[Handle, Observation | BackendError] = {}
        groups: dict[str, list[Handle]] = {}
        for handle in handles:
            if handle.version not in self.handle_versions or not {"id", "access", "key"} <= set(handle.data):
                answers[handle] = BackendError("not a handle of this backend", error_class=ErrorClass.PROTOCOL)
            else:
                groups.setdefault(repr(sorted(handle.data["access"].items())), []).append(handle)
        for group in groups.values():
            access = group[0].data["access"]
            try:
                answers.update(await self._on(access, partial(self._looking.at_all, access, group)))
            except BackendError as error:
                if len(groups) == 1:
                    raise
                answers.update(dict.fromkeys(group, error))
        return answers

    async def list_owned(self, scope: str, cursor: str | None = None) -> OwnedPage:
        """All queries of the settings' own user; those of tasks that name another user are that user's to list."""
        settings = self.settings
        if not (settings.account and settings.user and settings.database):
            return OwnedPage((), None)
        access = {
            name: getattr(settings, "schema_name" if name == "schema" else name) for name in (*PLACES, "authenticator")
        }
        access = {name: value for name, value in access.items() if value}
        asked = self._asked(access, "contains(query_tag, ?)", stamps.installation_part(scope))
        found = await self._on(access, lambda connection: list(history.pages(connection, **asked)))
        jobs: dict[str, OwnedJob] = {}
        for row in (row for page in found for row in page):
            stamp = stamps.stamp_of(row.tag)
            # Several of one key are the statements of one query, which is the first.
            if stamp is None or stamp.owner.installation != scope or stamp.key.value in jobs:
                continue
            handle = Handle({"id": row.query_id, "access": access, "key": stamp.key.value})
            seen = observed(row.state, history.error_of_row(row), link(access, row.query_id))
            jobs[stamp.key.value] = OwnedJob(handle, stamp.key, stamp.owner, stamp.digest, seen)
        return OwnedPage(tuple(jobs.values()), None)

    # --- ending ---

    async def cancel(self, key: JobKey, handle: Handle | None, reason: str) -> Gone | Terminal | InProgress | NotOurs:
        """Without a handle, of the settings' own user; see :meth:`cancel_planned`."""
        if handle is not None:
            if handle.data.get("key") != key.value:
                return NotOurs(str(handle.data.get("key")))
            access = handle.data["access"]
            return await self._on(access, partial(self._looking.cancelled, access, handle.data["id"]))
        return await self._cancel_tagged(access_of({}, _nobody(key), self.settings), key)

    async def cancel_planned(self, plan: Plan, reason: str) -> Gone | Terminal | InProgress | NotOurs:
        return await self._cancel_tagged(plan.spec["access"], plan.key)

    async def _cancel_tagged(self, access: Mapping[str, Json], key: JobKey) -> Gone | Terminal | InProgress | NotOurs:
        row = await self._on(access, partial(self._tagged, access, key))
        if row is None:
            return Gone()
        return await self._on(access, partial(self._looking.cancelled, access, row.query_id))

    async def collect(self, handle: Handle, sink: BlobAccess) -> Mapping[str, Literal]:
        outputs: Mapping[str, Json] = handle.data.get("outputs", {})
        if not outputs:
            return {}
        call = partial(result_literal, handle.data, sink)
        literal = await self._on(handle.data["access"], call, seconds=_COLLECT_SECONDS)
        return dict.fromkeys(outputs, literal)

    async def close(self) -> None:
        await self.in_thread(self._connections.close)

    # --- one call ---

    async def _on(self, access: Mapping[str, Json], call: Callable[[Any], T], seconds: float = _SECONDS) -> T:
        """What ``call`` returns for a connection; secrets are fetched only for a login, and kept nowhere."""
        use = partial(self.in_thread, self._connections.use, access, self._address(access), seconds=seconds)
        done: list[T] = []

        def kept(connection: Any) -> bool:
            done[:] = [call(connection)]
            return True

        if not (self._connections.has(access) and await use(None, kept)):
            await use(await self._secrets_of(access), kept)
        if not done:
            raise BackendError("the session ended again at once", error_class=ErrorClass.TRANSIENT)
        return done[0]

    def _address(self, access: Mapping[str, Json]) -> dict[str, Json]:
        names: tuple[str, ...] = ("login_seconds", "answer_seconds")
        account = self.settings.account.casefold()
        if not account or access["account"].casefold() == account:
            names += ("host", "port", "protocol")  # of another account they are its own
        return {name: getattr(self.settings, name) for name in names}

    async def _secrets_of(self, access: Mapping[str, Json]) -> dict[str, bytes]:
        if "secrets" in access:
            tenant = Tenant(*access["tenant"])
            return {name: await self.secret(reference_of(found), tenant) for name, found in access["secrets"].items()}
        found = {name: getattr(self.settings, name) for name in SECRETS}
        return {name: await self.secret(reference) for name, reference in found.items() if reference is not None}


def _submitted(plan: Plan, connection: Any) -> str:
    """Submit a query; its id. A try that is made again bears the same request id, which Snowflake runs once."""
    spec = plan.spec
    options = {**spec["session_parameters"], "QUERY_TAG": stamps.tag_of(plan.key, plan.owner, plan.digest)}
    if not is_rewritten():  # version 5 of the connector makes the id itself, and would send this as a parameter
        options["requestId"] = stamps.request_id(plan)
    parameters = tuple(bound(kept) for kept in spec["parameters"]) or None
    with connection.cursor() as cursor:
        cursor.execute_async(
            spec["statement"], parameters, _statement_params=options, num_statements=spec["statements"]
        )
        return str(cursor.sfqid)


def _handle(plan: Plan, query_id: str) -> Handle:
    data = {"id": query_id, "access": plan.spec["access"], "key": plan.key.value}
    if plan.spec["outputs"]:
        data.update(outputs=plan.spec["outputs"], result=plan.spec["result"], statements=plan.spec["statements"])
    return Handle(data)


def _nobody(key: JobKey) -> PlanRequest:
    owner = Owner("", Tenant(), "", "")
    return PlanRequest(key, owner, "cancel", "snowflake", {}, {}, Resources(), Resources())
