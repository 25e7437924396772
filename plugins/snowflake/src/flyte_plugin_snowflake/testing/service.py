"""A double of Snowflake: fakesnow's server with what it lacks, on loopback.

fakesnow runs SQL at once and knows neither running queries nor a history. Around it this adds, each after a page of the
vendor's documentation, and refuses what the service refuses:

- asynchronous queries with states (Python connector, "Performing an asynchronous query"): a statement that is wrong is
  accepted and fails afterwards; ``SYSTEM$WAIT`` (page of that function) is what runs for some time;
- ``SYSTEM$CANCEL_QUERY`` (page of that function): a cancelled statement fails with 000604; of one that has ended it is
  an error, and so is what is no query id;
- several statements, results in pieces, missing rights: see :mod:`~flyte_plugin_snowflake.testing.statements`;
- the query history: see :mod:`~flyte_plugin_snowflake.testing.query_history`;
- temporary tables, and rights on stages: see :mod:`~flyte_plugin_snowflake.testing.stages`;
- logins and sessions: see :mod:`~flyte_plugin_snowflake.testing.logins`; a session without a warehouse runs no query
  (000606, "Overview of warehouses");
- one query for one request id (SQL API, "Resubmitting a request").

It needs fakesnow and version 4 of the connector; ``python -m flyte_plugin_snowflake.testing.service PORT`` serves
clients of any version.
"""

from __future__ import annotations

import sys
import threading
import time
import uuid
from typing import Any

from flyte_plugin_snowflake.testing import query_history
from flyte_plugin_snowflake.testing.account import LIVE, Account, Query, Refusal, Session
from flyte_plugin_snowflake.testing.sessions import Sessions
from flyte_plugin_snowflake.testing.statements import (
    CANCEL,
    DONE_ALL,
    RESULT,
    check_count,
    check_rights,
    cut,
    playable,
    seconds_of,
    split,
)

Json = Any
_TROUBLE = ("000603", "SQL execution internal error:\nProcessing aborted by error 300002:1234", "XX000")

__all__ = ["Account", "Query", "SnowflakeService"]


class SnowflakeService(Sessions):
    """The double, in a thread. A context manager.

    Args:
        port: where it listens on the loopback; 0: any that is free.

    Example:
        .. code-block:: python

            with SnowflakeService() as service:
                SnowflakeSettings(host="127.0.0.1", port=service.port, protocol="http", ...)
    """

    def __init__(self, port: int = 0) -> None:
        super().__init__(Account(), port)
        self._chunks: dict[str, bytes] = {}

    def __enter__(self) -> SnowflakeService:
        import uvicorn

        config = uvicorn.Config(self._app(), port=self.port, log_level="critical", lifespan="off")
        self._server = server = uvicorn.Server(config)
        self._thread = threading.Thread(target=server.run, daemon=True)
        self._thread.start()
        deadline = time.monotonic() + 30
        while not server.started:
            if time.monotonic() > deadline or not self._thread.is_alive():
                raise TimeoutError("the double did not start")
            time.sleep(0.01)
        self.port = server.servers[0].sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(30)

    def wait(self) -> None:
        """Serve until somebody ends the process."""
        self._thread.join()

    # --- the application ---

    def _app(self) -> Any:
        from fakesnow.server import app as inner
        from starlette.applications import Starlette
        from starlette.routing import Mount, Route

        self._ask_at(inner)
        routes = [
            Route("/session/v1/login-request", self._answering(self._login), methods=["POST"]),
            Route("/session/token-request", self._answering(self._renewal), methods=["POST"]),
            Route("/session", self._answering(self._session), methods=["POST"]),
            Route("/session/heartbeat", self._answering(self._session), methods=["POST"]),
            Route("/queries/v1/query-request", self._answering(self._query), methods=["POST"]),
            Route("/queries/{id}/result", self._answering(self._result), methods=["GET"]),
            Route("/monitoring/queries/{id}", self._answering(self._look), methods=["GET"]),
            # As version 5 of the connector asks.
            Route("/monitoring/queries//{id}", self._answering(self._look), methods=["GET"]),
            Route("/chunks/{id}/{number}", self._chunk, methods=["GET"]),
            Mount("/", app=inner),
        ]
        return Starlette(routes=routes)

    # --- queries ---

    async def _query(self, request: Any) -> Json:
        session = self._of(request)
        body = await self._sent(request)
        text, bindings = body["sqlText"], body.get("bindings")
        if body.get("asyncExec"):
            return await self._submitted(request, session, body)
        cancelled = CANCEL.search(text)
        if cancelled:
            return await self._cancelled(session, cancelled.group(1))
        text = query_history.rewritten(self.account, text, session.user)
        check_rights(self.account, text)
        if RESULT.search(text):
            self._count_down("failing_results")
        text = RESULT.sub(lambda found: f"result_scan('{self._inner_id(found.group(1))}')", text)
        answer = await self._asked(session, text, bindings, describe=bool(body.get("describeOnly")))
        return self._in_pieces(request, str(uuid.uuid4()), answer)

    def _count_down(self, fault: str) -> None:
        left = getattr(self.account, fault)
        if left:
            setattr(self.account, fault, left - 1)
            raise Refusal(*_TROUBLE)

    def _inner_id(self, id: str) -> str:
        found = self.account.queries.get(id)
        if found is not None and found.now() != "SUCCESS":
            raise Refusal("000709", f"Statement {id} not found", "02000")
        return found.inner if found is not None else id

    def _in_pieces(self, request: Any, id: str, answer: Json) -> Json:
        if not (answer.get("success") and self.account.chunk_rows):
            return answer
        place = f"{request.url.scheme}://{request.url.netloc}/chunks/{id}/"
        answer["data"], chunks = cut(answer["data"], self.account.chunk_rows, place)
        self._chunks.update(chunks)
        return answer

    async def _chunk(self, request: Any) -> Any:
        from starlette.responses import Response

        self.account.chunks_given.append(request.url.path)
        return Response(self._chunks[str(request.url)])

    async def _submitted(self, request: Any, session: Session, body: Json) -> Json:
        if self.account.refusals:
            self.account.refusals -= 1
            raise Refusal("001003", "SQL compilation error:\nsyntax error line 1 at position 0.", "42000")
        made = self._begun(request, session, body)
        if made.until is None and made.ended is None and made.answer is None:
            await self._run(request, session, made)
        if self.account.lost_answers:
            from starlette.responses import Response

            self.account.lost_answers -= 1
            return Response(status_code=503)
        data = {"queryId": made.id, "getResultUrl": f"/queries/{made.id}/result", "progressDesc": None}
        return {"success": True, "code": "333334", "message": "in progress", "data": data}

    def _begun(self, request: Any, session: Session, body: Json) -> Query:
        account, request_id = self.account, request.query_params["requestId"]
        parameters = body.get("parameters") or {}
        with account.lock:
            made = next((found for found in account.queries.values() if found.request == request_id), None)
            if made is not None:
                return made
            if not session.warehouse:
                raise Refusal(
                    "000606",
                    "No active warehouse selected in the current session.  Select an active warehouse with the 'use "
                    "warehouse' command.",
                    "57P03",
                )
            running = account.running()
            if account.concurrent and running >= account.concurrent:
                raise Refusal("000625", f"Statement aborted: {running} statements run already.", "57014")
            account.most = max(account.most, running + 1)
            now = time.time()
            made = Query(
                str(uuid.uuid4()),
                str(parameters.get("QUERY_TAG", "")),
                session.user,
                body["sqlText"],
                request_id,
                now,
                now + account.hidden_seconds,
                bindings=body.get("bindings"),
                parameters=dict(parameters),
            )
            account.queries[made.id] = made
        return made

    async def _run(self, request: Any, session: Session, made: Query) -> None:
        """All is done at once and said to take as long as it says; what is wrong fails afterwards."""
        try:
            pieces = split(made.text, made.bindings)
            check_count(len(pieces), made.parameters)
            for text, own in pieces:
                check_rights(self.account, text)
                answer = await self._asked(session, playable(text), own)
                if not answer["success"]:
                    state = (answer.get("data") or {}).get("sqlState") or ""
                    raise Refusal(answer["code"] or "001003", answer["message"], state)
                if len(pieces) > 1:
                    self._child(made, text, answer)
            if len(pieces) > 1:
                answer = await self._asked(session, DONE_ALL)
                answer["data"].update(
                    resultIds=",".join(made.children),
                    resultTypes=",".join(["4096"] * len(pieces)),
                    statementTypeId=0xA000,
                )
        except Refusal as refusal:
            return made.end("FAILED_WITH_ERROR", int(refusal.code), refusal.message, refusal.state)
        except Exception as crash:  # noqa: BLE001 - fakesnow's own: a query that never ends would be waited for
            return made.end("FAILED_WITH_INCIDENT", 603, f"SQL execution internal error:\n{crash}", "XX000")
        made.inner, made.answer = answer["data"]["queryId"], answer
        made.until = made.started + seconds_of(made.text)
        return None

    def _child(self, made: Query, text: str, answer: Json) -> None:
        """One of several statements is a query of its own, with the same tag, that began and ended within the whole."""
        now = time.time()
        child = Query(str(uuid.uuid4()), made.tag, made.user, text, "", max(now, made.started + 1e-4), made.visible)
        child.end("SUCCESS")
        child.inner, child.answer = answer["data"]["queryId"], answer
        with self.account.lock:
            self.account.queries[child.id] = child
        made.children = (*made.children, child.id)

    async def _result(self, request: Any) -> Json:
        self._of(request)
        self._count_down("failing_results")
        found = self.account.queries.get(request.path_params["id"])
        if found is None or found.now() != "SUCCESS" or found.answer is None:
            raise Refusal("000709", "Statement not found", "02000")
        data = {**found.answer["data"], "queryId": found.id}
        return self._in_pieces(request, found.id, {**found.answer, "data": data})

    async def _cancelled(self, session: Session, id: str) -> Json:
        found = self.account.queries.get(id)
        if found is None or found.user != session.user or found.now() not in LIVE:
            raise Refusal("000709", "Identified SQL statement is not currently executing.", "02000")
        found.aborting = found.aborting or time.time() + self.account.linger_seconds
        return await self._asked(session, f"select 'query [{id}] terminated.' as answer")

    async def _look(self, request: Any) -> Json:
        id = request.path_params["id"]
        if id in self.account.poisoned:
            raise Refusal(*_TROUBLE)
        self._count_down("failing_looks")
        self._of(request)
        found = self.account.queries.get(id)
        if found is None:
            return {"success": True, "data": {"queries": []}}
        one: Json = {"id": found.id, "status": found.now()}
        data: Json = {"queries": [one]}
        if found.code >= 0:
            one.update(errorCode=str(found.code), errorMessage=found.message)
            data["sqlState"] = found.sql_state
        return {"success": True, "data": data}


if __name__ == "__main__":
    with SnowflakeService(int(sys.argv[1]) if len(sys.argv) > 1 else 0) as service:
        sys.stdout.write(f"{service.port} {service.account.user} {service.account.password}\n")
        sys.stdout.flush()
        service.wait()
