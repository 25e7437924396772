"""A double of Snowflake: fakesnow's server with what it lacks, on loopback.

fakesnow runs SQL at once and knows neither running queries nor a history. Around it this adds, each after a page of the
vendor's documentation:

- asynchronous queries with states (Python connector, "Performing an asynchronous query"): a statement that is wrong is
  accepted and fails afterwards; ``SYSTEM$WAIT`` (page of that function) is what runs for some time;
- ``SYSTEM$CANCEL_QUERY`` (page of that function): a cancelled statement fails with 000604; of one that has ended it is
  an error;
- ``INFORMATION_SCHEMA.QUERY_HISTORY_BY_USER`` (page QUERY_HISTORY): the limit counts before any condition, those that run
  come first, their end is the beginning of time;
- one query for one request id (SQL API, "Resubmitting a request"), and logins that are refused (390100).
"""

from __future__ import annotations

import datetime as dt
import gzip
import json
import re
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any, Final

Json = Any
_WAIT: Final = re.compile(r"system\$wait\((\d+)\)", re.IGNORECASE)
_CANCEL: Final = re.compile(r"system\$cancel_query\(\?\)", re.IGNORECASE)
_HISTORY: Final = re.compile(
    r"table\(\w+\.information_schema\.query_history_by_user\((.*result_limit => \d+)\)\)", re.S
)
_RESULT: Final = re.compile(r"result_scan\('([^']+)'\)", re.IGNORECASE)


@dataclass(slots=True)
class Query:
    """One query of the account."""

    id: str
    tag: str
    user: str
    text: str
    request: str
    started: float
    visible: float
    until: float | None = None
    state: str = ""
    code: int = -1
    message: str = ""
    ended: float | None = None
    inner: str = ""
    aborting: float | None = None

    def now(self) -> str:
        """The state at this moment."""
        if self.ended is None and self.aborting is not None and time.time() >= self.aborting:
            self.end("FAILED_WITH_ERROR", 604, "SQL execution canceled")
        if self.ended is None and self.until is not None and time.time() >= self.until:
            self.end("SUCCESS")
        return self.state or ("RUNNING" if self.aborting is None else "ABORTING")

    def end(self, state: str, code: int = -1, message: str = "") -> None:
        """Let it end now."""
        self.state, self.code, self.message, self.ended = state, code, message, time.time()


@dataclass
class Account:
    """The account, and what a test lets happen to it."""

    user: str = "ETL"
    password: str = "a password that stands nowhere else"
    queries: dict[str, Query] = field(default_factory=dict)
    users: dict[str, str] = field(default_factory=dict)
    rejecting: bool = False
    refusals: int = 0
    lost_answers: int = 0
    failing_looks: int = 0
    hidden_seconds: float = 0.0
    linger_seconds: float = 0.0

    def of(self, key: str) -> list[Query]:
        """Queries whose tag names a key."""
        return [query for query in self.queries.values() if json.dumps(key) in query.tag]


class SnowflakeService:
    """The double, in a thread. A context manager.

    Example:
        .. code-block:: python

            with SnowflakeService() as service:
                SnowflakeSettings(host="127.0.0.1", port=service.port, protocol="http", ...)
    """

    def __init__(self) -> None:
        self.account = Account()
        self.port = 0

    def __enter__(self) -> SnowflakeService:
        import uvicorn

        server = uvicorn.Server(uvicorn.Config(self._app(), port=0, log_level="critical", lifespan="off"))
        self._server = server
        self._thread = threading.Thread(target=server.run, daemon=True)
        self._thread.start()
        deadline = time.monotonic() + 30
        while not server.started:
            if time.monotonic() > deadline:
                raise TimeoutError("the double did not start")
            time.sleep(0.01)
        self.port = server.servers[0].sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(30)

    def _app(self) -> Any:
        import httpx
        from fakesnow.server import app as inner
        from starlette.applications import Starlette
        from starlette.requests import Request
        from starlette.responses import JSONResponse, Response
        from starlette.routing import Mount, Route

        account = self.account
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app=inner), base_url="http://fakesnow")

        def no(code: str, message: str, status: int = 200) -> JSONResponse:
            answer = {"success": False, "code": code, "message": message, "data": {"errorCode": code}}
            return JSONResponse(answer, status_code=status)

        async def sent(request: Request) -> Json:
            body = await request.body()
            return json.loads(gzip.decompress(body) if request.headers.get("content-encoding") == "gzip" else body)

        async def asked(request: Request, text: str, bindings: Json = None) -> Json:
            headers = {"Authorization": request.headers.get("authorization", "")}
            body = {"sqlText": text, **({"bindings": bindings} if bindings else {})}
            answer = await client.post("/queries/v1/query-request", json=body, headers=headers)
            return answer.json()

        async def login(request: Request) -> Response:
            data = (await sent(request))["data"]
            right = data.get("LOGIN_NAME") == account.user and data.get("PASSWORD") == account.password
            if account.rejecting or not right:
                return no("390100", "Incorrect username or password was specified.")
            answer = await client.post("/session/v1/login-request", params=request.query_params, json={"data": data})
            found = answer.json()
            account.users[found["data"]["token"]] = data["LOGIN_NAME"]
            return JSONResponse(found)

        def known(request: Request) -> bool:
            return not account.rejecting and request.headers.get("authorization", "")[17:-1] in account.users

        async def query(request: Request) -> Response:
            if not known(request):
                return no("390104", "User must login again to access the service.")
            body = await sent(request)
            text, bindings = body["sqlText"], body.get("bindings")
            if body.get("asyncExec"):
                return await submit(request, body, text, bindings)
            if _CANCEL.search(text):
                return await cancel(request, bindings["1"]["value"])
            text = _HISTORY.sub(lambda found: rows(found.group(1)), text)
            text = _RESULT.sub(lambda found: f"result_scan('{inner_of(found.group(1))}')", text)
            return JSONResponse(await asked(request, text, bindings))

        def inner_of(id: str) -> str:
            return account.queries[id].inner if id in account.queries else id

        async def submit(request: Request, body: Json, text: str, bindings: Json) -> Response:
            if account.refusals:
                account.refusals -= 1
                return no("000606", "No active warehouse selected in the current session.")
            request_id = request.query_params["requestId"]
            made = next((found for found in account.queries.values() if found.request == request_id), None)
            if made is None:
                now = time.time()
                tag = (body.get("parameters") or {}).get("QUERY_TAG", "")
                made = Query(str(uuid.uuid4()), tag, account.user, text, request_id, now, now + account.hidden_seconds)
                account.queries[made.id] = made
                await run(request, made, text, bindings)
            if account.lost_answers:
                account.lost_answers -= 1
                return Response(status_code=503)
            data = {"queryId": made.id, "getResultUrl": f"/queries/{made.id}/result", "progressDesc": None}
            return JSONResponse({"success": True, "code": "333334", "message": "in progress", "data": data})

        async def run(request: Request, made: Query, text: str, bindings: Json) -> None:
            waits = _WAIT.search(text)
            answer: Json = {}
            for part in [f"select 'waited' as {'waited'}"] if waits else [p for p in text.split(";") if p.strip()]:
                answer = await asked(request, part, bindings)
                if not answer["success"]:
                    return made.end("FAILED_WITH_ERROR", int(answer["code"] or 0), answer["message"])
            made.inner = answer["data"]["queryId"]
            made.until = made.started + (int(waits.group(1)) if waits else 0)
            return None

        async def cancel(request: Request, id: str) -> Response:
            found = account.queries.get(id)
            if found is None or found.now() not in ("RUNNING", "ABORTING", "QUEUED"):
                return no("000709", "Identified SQL statement is not currently executing.")
            found.aborting = found.aborting or time.time() + account.linger_seconds
            return JSONResponse(await asked(request, f"select 'query [{id}] terminated.' as answer"))

        def rows(arguments: str) -> str:
            limit = int(re.search(r"result_limit => (\d+)", arguments).group(1))  # type: ignore[union-attr]
            user = re.search(r"user_name => '([^']*)'", arguments).group(1)  # type: ignore[union-attr]
            until = re.search(r"end_time_range_end => '([^']*)'", arguments)
            found = [q for q in account.queries.values() if q.user == user and time.time() >= q.visible and q.now()]
            if until:
                latest = dt.datetime.fromisoformat(until.group(1)).replace(tzinfo=dt.UTC).timestamp()
                found = [q for q in found if q.ended is not None and q.ended <= latest + 1e-6]
            found.sort(key=lambda q: (q.ended is None, q.ended or q.started), reverse=True)
            return _table(found[:limit])

        async def look(request: Request) -> Response:
            if account.failing_looks:
                account.failing_looks -= 1
                return no("000610", "The service is busy.")
            if not known(request):
                return no("390104", "User must login again to access the service.")
            found = account.queries.get(request.path_params["id"])
            if found is None:
                return JSONResponse({"success": True, "data": {"queries": []}})
            one: Json = {"id": found.id, "status": found.now()}
            if found.code >= 0:
                one.update(errorCode=str(found.code), errorMessage=found.message)
            return JSONResponse({"success": True, "data": {"queries": [one]}})

        routes = [
            Route("/session/v1/login-request", login, methods=["POST"]),
            Route("/queries/v1/query-request", query, methods=["POST"]),
            Route("/monitoring/queries/{id}", look, methods=["GET"]),
            Mount("/", app=inner),
        ]
        return Starlette(routes=routes)


def _table(found: list[Query]) -> str:
    def text(value: str) -> str:
        return "'" + value.replace("'", "''") + "'"

    def moment(at: float | None) -> str:
        return text(dt.datetime.fromtimestamp(at or 0, dt.UTC).replace(tzinfo=None).isoformat(" ")) + "::timestamp_ntz"

    lines = [
        f"select {text(q.id)} as query_id, {text(q.tag)} as query_tag, {text(q.now())} as execution_status, "
        f"{text(str(q.code)) if q.code >= 0 else 'null::varchar'} as error_code, {text(q.message)} as error_message, "
        f"{moment(q.started)} as start_time, {moment(q.ended)} as end_time"
        for q in found
    ]
    nothing = _table([Query("", "", "", "", "", 0, 0, ended=1)])[1:-1] + " where 1 = 0" if not found else ""
    return "(" + (" union all ".join(lines) or nothing) + ")"
