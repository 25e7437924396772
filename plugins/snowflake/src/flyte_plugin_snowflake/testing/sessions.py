"""The double's sessions: what is sent and answered, what fakesnow is asked in them, and how they begin and end."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable
from typing import Any

from flyte_plugin_snowflake.testing import logins
from flyte_plugin_snowflake.testing.account import Account, Refusal, Session
from flyte_plugin_snowflake.testing.rows import as_one, with_missing_moments
from flyte_plugin_snowflake.testing.stages import Stages
from flyte_plugin_snowflake.testing.statements import bindable

Json = Any


class Sessions:
    """The part of the double that knows who asks.

    Args:
        account: what it is an account of.
        port: where it listens, once it does.
    """

    def __init__(self, account: Account, port: int) -> None:
        self.account = account
        self.port = port
        self._stages = Stages(account)
        self._turns: dict[str, asyncio.Lock] = {}

    def _ask_at(self, app: Any) -> None:
        """Where statements are played: fakesnow's application, asked without a network."""
        import httpx

        self._inner = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://fakesnow")

    def _answering(self, handler: Callable[[Any], Awaitable[Json]]) -> Any:
        """What a handler gives, as an answer; a refusal as the service words it."""
        from starlette.requests import Request
        from starlette.responses import JSONResponse, Response

        async def answer(request: Request) -> Response:
            self.account.requests.append(request.url.path)
            if self.account.throttled:
                self.account.throttled -= 1
                return Response(status_code=429)
            try:
                found = await handler(request)
            except Refusal as refusal:
                # Of a session that is over, and nothing else, there is no data.
                is_over = refusal.code in logins.OVER
                data = None if is_over else {"errorCode": refusal.code, "sqlState": refusal.state}
                body = {"success": False, "code": refusal.code, "message": refusal.message, "data": data}
                return JSONResponse(body, status_code=refusal.status)
            return found if isinstance(found, Response) else JSONResponse(found)

        return answer

    async def _sent(self, request: Any) -> Json:
        body = await request.body()
        if not body:
            return {}
        return json.loads(gzip.decompress(body) if request.headers.get("content-encoding") == "gzip" else body)

    async def _asked(self, session: Session, text: str, bindings: Json = None, *, describe: bool = False) -> Json:
        """What fakesnow answers to a statement. It makes the address of an upload from the host it is asked at."""
        headers = {"Authorization": f'Snowflake Token="{session.inner}"', "Host": f"127.0.0.1:{self.port}"}

        async def ask(one: str, own: Json) -> Json:
            body = {"sqlText": one, "describeOnly": describe, **({"bindings": own} if own else {})}
            found = (await self._inner.post("/queries/v1/query-request", json=body, headers=headers)).json()
            return {**found, "data": with_missing_moments(found.get("data"))}

        text, bindings = bindable(self._stages.sent(session.inner, text), bindings)
        # The service takes several statements of a session at once; fakesnow refuses the second.
        async with self._turns.setdefault(session.inner, asyncio.Lock()):
            return await as_one(ask, text, bindings)

    async def _login(self, request: Any) -> Json:
        data = (await self._sent(request))["data"]
        self.account.logins.append({**data, "query": dict(request.query_params)})
        warehouse = logins.check_login(self.account, data, request.query_params)
        body = {"data": {**data, "SESSION_PARAMETERS": data.get("SESSION_PARAMETERS") or {}}}
        answer = await self._inner.post("/session/v1/login-request", params=request.query_params, json=body)
        found = answer.json()
        token, session = logins.open_session(self.account, self.account.user, found["data"]["token"], warehouse)
        found["data"].update(
            token=token, masterToken=session.master, validityInSeconds=3600, masterValidityInSeconds=14400
        )
        found["data"]["sessionInfo"].update(
            warehouseName=warehouse or None, roleName=request.query_params.get("roleName") or "ANALYST"
        )
        found["data"].setdefault("sessionId", len(self.account.sessions))
        return found

    async def _renewal(self, request: Any) -> Json:
        old = (await self._sent(request)).get("oldSessionToken", "")
        token, session = logins.renewed(self.account, request.headers.get("authorization", ""), old)
        data = {
            "sessionToken": token,
            "masterToken": session.master,
            "validityInSecondsST": 3600,
            "validityInSecondsMT": 14400,
            "sessionId": len(self.account.sessions),
        }
        return {"success": True, "data": data, "code": None, "message": None}

    async def _session(self, request: Any) -> Json:
        if request.query_params.get("delete"):
            ended = self.account.sessions.pop(request.headers.get("authorization", "")[17:-1], None)
            if ended is not None:
                for text in self._stages.closed(ended.inner):
                    await self._asked(ended, text)
        else:
            self._of(request)
        return {"success": True, "data": None, "code": None, "message": None}

    def _of(self, request: Any) -> Session:
        return logins.session_of(self.account, request.headers.get("authorization", ""))
