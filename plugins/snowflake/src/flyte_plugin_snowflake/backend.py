"""The backend ``snowflake``: queries that are submitted, found by their tag, looked at, cancelled, and read."""

from __future__ import annotations

import time
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
    PoolAsk,
    Tenant,
    Terminal,
    Unknown,
    render_sql,
)

from flyte_plugin_snowflake import history, stamps
from flyte_plugin_snowflake.bound_values import bound, native, parameter
from flyte_plugin_snowflake.configuration import PLACES, SECRETS, reference_of
from flyte_plugin_snowflake.connections import Connections
from flyte_plugin_snowflake.results import result_literal
from flyte_plugin_snowflake.settings import SnowflakeSettings
from flyte_plugin_snowflake.vendor_errors import number_of, observed, text_of

Json = Any
T = TypeVar("T")
#: How long one call may take in its thread; a collection of a large result may take longer.
_SECONDS: Final = 110.0
_COLLECT_SECONDS: Final = 3600.0


class SnowflakeBackend(Backend):
    """Queries of Snowflake. Class B: each bears a tag with its key, and is searched for by that in the history."""

    settings: SnowflakeSettings

    def __init__(self, settings: SnowflakeSettings, *, credential_scope: str = "") -> None:
        super().__init__(settings, credential_scope=credential_scope)
        self._connections = Connections()
        self._missing: dict[str, float] = {}

    # --- planning and submitting ---

    def plan(self, request: PlanRequest) -> Plan:
        payload = request.payload
        config = payload["config"]
        access = self._access(config, request)
        values = {name: native(literal, name) for name, literal in request.inputs.items()}
        query = render_sql(payload["query"], values, "qmark")
        spec: dict[str, Json] = {
            "access": access,
            "statement": query.text,
            "statements": payload["query"].get("statements", 1),
            "parameters": [parameter(value) for value in query.parameters],
            "session_parameters": config.get("session_parameters", {}),
            "outputs": payload["outputs"],
            "result": config.get("result", "frame"),
        }
        plan = Plan(
            key=request.key,
            owner=request.owner,
            external_name=request.key.name("fp", 63),
            spec=spec,
            digest=stamps.digest_of(spec),
            pools=(PoolAsk(f"snowflake/{access['account']}"),),
            secrets=tuple(reference_of(found) for found in access.get("secrets", {}).values()) or self._own_secrets(),
            scope="/".join((access["account"], access["user"], access.get("role", ""))),
        )
        stamps.tag_of(plan.key, plan.owner, plan.digest)  # that it fits is said here, not when it is submitted
        return plan

    def _access(self, config: Mapping[str, Json], request: PlanRequest) -> dict[str, Json]:
        """Where a query goes and as whom: the task's own words, and the settings for what it does not say."""
        access: dict[str, Json] = {}
        for name in (*PLACES, "authenticator"):
            value = config.get(name) or getattr(self.settings, "schema_name" if name == "schema" else name)
            if value:
                access[name] = value
        own = {name: config[name] for name in SECRETS if name in config}
        if own:
            tenant = request.owner.tenant
            access.update(secrets=own, tenant=[tenant.project, tenant.domain])
        for name in ("account", "user", "database"):
            if not access.get(name):
                raise BackendError(
                    f"nothing says which {name} of Snowflake the query is for",
                    error_class=ErrorClass.INVALID,
                    accepted=False,
                    place=request.task,
                    hint=f"set {name} in SnowflakeConfig or in [backends.snowflake]",
                )
        if not (own or self._own_secrets()):
            raise BackendError(
                "nothing says how to log in to Snowflake",
                error_class=ErrorClass.AUTH,
                accepted=False,
                place=request.task,
                hint="name a secret as password, private_key or token in [backends.snowflake] or SnowflakeConfig",
            )
        return access

    def _own_secrets(self) -> tuple[Any, ...]:
        return tuple(found for name in SECRETS if (found := getattr(self.settings, name)) is not None)

    async def submit(self, plan: Plan) -> Handle:
        """Looks first: Snowflake itself refuses no second query with the same tag."""
        access = plan.spec["access"]
        row = await self._on(access, partial(self._tagged, access, plan.key))
        if row is not None:
            stamps.check_stamp(row.tag, plan, row.query_id)
            return _handle(plan, row.query_id)
        query_id = await self._on(access, partial(_submitted, plan))
        return _handle(plan, query_id)

    async def find(self, plan: Plan) -> Found | NotFound | Unknown:
        access = plan.spec["access"]
        row = await self._on(access, partial(self._tagged, access, plan.key))
        if row is None:
            return NotFound()
        stamps.check_stamp(row.tag, plan, row.query_id)
        return Found(_handle(plan, row.query_id))

    def _tagged(self, access: Mapping[str, Json], key: JobKey, connection: Any) -> history.Row | None:
        """The newest query of a key."""
        condition = "startswith(query_tag, ?)"
        return next(self._history(access, connection, condition, stamps.key_prefix(key)), None)

    def _history(self, access: Mapping[str, Json], connection: Any, condition: str, value: str) -> Any:
        return history.queries(
            connection,
            user=access["user"],
            database=access.get("database", ""),
            hours=self.settings.history_hours,
            size=self.settings.history_page,
            condition=condition,
            value=value,
        )

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
                answers.update(await self._on(access, partial(self._looked_at, access, group)))
            except BackendError as error:
                if len(groups) == 1:
                    raise
                answers.update(dict.fromkeys(group, error))
        return answers

    def _looked_at(
        self, access: Mapping[str, Json], handles: Sequence[Handle], connection: Any
    ) -> dict[Handle, Observation | BackendError]:
        return {handle: self._looked(access, handle.data["id"], connection) for handle in handles}

    def _looked(self, access: Mapping[str, Json], query_id: str, connection: Any) -> Observation | BackendError:
        from snowflake.connector.errors import DatabaseError

        error: DatabaseError | None = None
        try:
            status = connection.get_query_status(query_id)
            state = status.name
            if state.startswith("FAILED") and connection.is_an_error(status):
                # Asked again it may answer otherwise: then the first answer was trouble of the service.
                state = connection.get_query_status_throw_if_error(query_id).name
        except KeyError as unknown:
            state = str(unknown.args[0])  # the connector has no name for the word
        except ValueError as wrong:
            return BackendError(str(wrong), error_class=ErrorClass.PROTOCOL)
        except DatabaseError as refused:
            if getattr(refused, "sfqid", None) != query_id:
                raise
            error = refused
            if number_of(refused) < 0:
                # The connector says "failed" of an answer that tells nothing of the query: the service had trouble.
                return self._failed_or_not(access, query_id, connection, refused)
        if state == "NO_DATA":
            return self._unseen(access, query_id, connection)
        self._missing.pop(query_id, None)
        return observed(state, error, _link(access, query_id))

    def _failed_or_not(
        self, access: Mapping[str, Json], query_id: str, connection: Any, error: BaseException
    ) -> Observation | BackendError:
        row = next(self._history(access, connection, "query_id = ?", query_id), None)
        if row is not None and row.error_code >= 0:
            return observed(row.state, _Told(row), _link(access, query_id))
        return BackendError(f"Snowflake: {text_of(error)}", error_class=ErrorClass.TRANSIENT)

    def _unseen(self, access: Mapping[str, Json], query_id: str, connection: Any) -> Observation:
        """Of a new query there is no news at first: it is gone only when that stays so, and the history has none."""
        row = next(self._history(access, connection, "query_id = ?", query_id), None)
        if row is not None:
            return observed(row.state, _Told(row) if row.error_code >= 0 else None, _link(access, query_id))
        since = self._missing.setdefault(query_id, time.monotonic())
        gone = time.monotonic() - since >= self.settings.missing_seconds
        return Observation(None, "NO_DATA", "Snowflake shows nothing of the query", gone=gone)

    async def list_owned(self, scope: str, cursor: str | None = None) -> OwnedPage:
        """All queries of the settings' own user; those of tasks that name another user are that user's to list."""
        settings = self.settings
        if not (settings.account and settings.user and settings.database):
            return OwnedPage((), None)
        access = {
            name: getattr(settings, "schema_name" if name == "schema" else name) for name in (*PLACES, "authenticator")
        }
        access = {name: value for name, value in access.items() if value}
        part = stamps.installation_part(scope)
        rows = await self._on(
            access, lambda connection: list(self._history(access, connection, "contains(query_tag, ?)", part))
        )
        jobs: list[OwnedJob] = []
        for row in rows:
            stamp = stamps.stamp_of(row.tag)
            if stamp is None or stamp.owner.installation != scope:
                continue
            handle = Handle({"id": row.query_id, "access": access, "key": stamp.key.value})
            seen = observed(row.state, _Told(row) if row.error_code >= 0 else None, _link(access, row.query_id))
            jobs.append(OwnedJob(handle, stamp.key, stamp.owner, stamp.digest, seen))
        return OwnedPage(tuple(jobs), None)

    # --- ending ---

    async def cancel(self, key: JobKey, handle: Handle | None, reason: str) -> Gone | Terminal | InProgress | NotOurs:
        """Without a handle, of the settings' own user; see :meth:`cancel_planned`."""
        if handle is not None:
            if handle.data.get("key") != key.value:
                return NotOurs(str(handle.data.get("key")))
            access = handle.data["access"]
            return await self._on(access, partial(self._cancelled, access, handle.data["id"]))
        access = self._access({}, _nobody(key))
        return await self._cancel_tagged(access, key)

    async def cancel_planned(self, plan: Plan, reason: str) -> Gone | Terminal | InProgress | NotOurs:
        return await self._cancel_tagged(plan.spec["access"], plan.key)

    async def _cancel_tagged(self, access: Mapping[str, Json], key: JobKey) -> Gone | Terminal | InProgress | NotOurs:
        row = await self._on(access, partial(self._tagged, access, key))
        if row is None:
            return Gone()
        return await self._on(access, partial(self._cancelled, access, row.query_id))

    def _cancelled(
        self, access: Mapping[str, Json], query_id: str, connection: Any
    ) -> Gone | Terminal | InProgress | NotOurs:
        from snowflake.connector.errors import ProgrammingError

        seen = self._looked(access, query_id, connection)
        if isinstance(seen, Observation) and not seen.gone and not (seen.phase and seen.phase.is_terminal):
            try:
                with connection.cursor() as cursor:
                    cursor.execute("select system$cancel_query(?)", (query_id,))
            except ProgrammingError:
                return InProgress("it ended just now")  # asked again, the service tells how
            seen = self._looked(access, query_id, connection)
        if isinstance(seen, BackendError):
            raise seen
        if seen.gone:
            return Gone()
        return Terminal(seen) if seen.phase is not None and seen.phase.is_terminal else InProgress(seen.raw_state)

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
        address = self._address()
        use = partial(self.in_thread, self._connections.use, access, address, seconds=seconds)
        done: list[T] = []

        def kept(connection: Any) -> bool:
            done[:] = [call(connection)]
            return True

        if not (self._connections.has(access) and await use(None, kept)):
            await use(await self._secrets_of(access), kept)
        if not done:
            raise BackendError("the session ended again at once", error_class=ErrorClass.TRANSIENT)
        return done[0]

    def _address(self) -> dict[str, Json]:
        names = ("host", "port", "protocol", "login_seconds", "answer_seconds")
        return {name: getattr(self.settings, name) for name in names}

    async def _secrets_of(self, access: Mapping[str, Json]) -> dict[str, bytes]:
        if "secrets" in access:
            tenant = Tenant(*access["tenant"])
            return {name: await self.secret(reference_of(found), tenant) for name, found in access["secrets"].items()}
        found = {name: getattr(self.settings, name) for name in SECRETS}
        return {name: await self.secret(reference) for name, reference in found.items() if reference is not None}


class _Told(Exception):
    """What the history says of a query that failed, in the shape of the connector's errors."""

    def __init__(self, row: history.Row) -> None:
        super().__init__(row.error_message)
        self.errno, self.msg = row.error_code, row.error_message


def _submitted(plan: Plan, connection: Any) -> str:
    """Submit a query; its id. A try that is made again bears the same request id, which Snowflake runs once."""
    spec = plan.spec
    options = {
        **spec["session_parameters"],
        "QUERY_TAG": stamps.tag_of(plan.key, plan.owner, plan.digest),
        "requestId": stamps.request_id(plan),
    }
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


def _link(access: Mapping[str, Json], query_id: str) -> tuple[tuple[str, str], ...]:
    organization, _, name = access["account"].partition("-")
    place = f"{organization}/{name}" if name else organization
    return (
        ("the query at Snowflake", f"https://app.snowflake.com/{place}/#/compute/history/queries/{query_id}/detail"),
    )


def _nobody(key: JobKey) -> PlanRequest:
    from flytepath.plugin import Resources

    owner = Owner("", Tenant(), "", "")
    return PlanRequest(key, owner, "cancel", "snowflake", {}, {}, Resources(), Resources())
