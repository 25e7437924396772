"""An engine in a thread of a process that has other things to do."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import Final

from flytepath.client.commands import Started
from flytepath.client.driving import local_engine
from flytepath.client.local import LocalClient
from flytepath.engine.engine import Engine
from flytepath.engine.state import ExecutionState
from flytepath.errors import UsageError

#: What becomes of an execution that is driven here.
Drive = Future[ExecutionState]


class Host:
    """An engine in a thread of its own. Every method may be called from any thread.

    Args:
        client: whose store it works on, with so many slots.
    """

    def __init__(self, client: LocalClient) -> None:
        self._client = client
        self._ready: Final[Future[Engine]] = Future()
        self._futures: dict[str, Drive] = {}
        self._lock = threading.Lock()
        self._is_closed = False
        self._thread = threading.Thread(target=self._main, name="flytepath engine", daemon=True)
        self._thread.start()
        self.engine = self._ready.result()

    def _main(self) -> None:
        try:
            asyncio.run(self._run())
        except BaseException as error:  # noqa: BLE001 - whoever waits for the engine is told
            if not self._ready.done():
                self._ready.set_exception(error)

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        async with local_engine(self._client.home, self._client.store, self._client.slots) as engine:
            self._ready.set_result(engine)
            await self._ended.wait()

    def drive(self, started: Started) -> None:
        """Drive an execution, unless it is driven here already.

        Raises:
            UsageError: the engine has been ended.
        """
        with self._lock:
            if self._is_closed:
                raise closed()
            known = self._futures.get(started.execution)
            if known is not None and not known.done():
                return
            work = self.engine.drive(started.execution, begun=started.begun)
            future = self._futures[started.execution] = asyncio.run_coroutine_threadsafe(work, self._loop)
        future.add_done_callback(lambda done: self._forget(started.execution, done))

    def future_of(self, execution: str) -> Drive | None:
        """What becomes of an execution that is driven here; a bad end too, until somebody has asked for it."""
        return self._futures.get(execution)

    def forget(self, execution: str, future: Drive) -> None:
        """Whoever waited knows."""
        with self._lock:
            if self._futures.get(execution) is future:
                del self._futures[execution]

    def _forget(self, execution: str, future: Drive) -> None:
        """What has ended well needs no future: the store tells."""
        if not future.cancelled() and future.exception() is None and future.result().status.is_final:
            self.forget(execution, future)

    def close(self) -> None:
        """End the engine and everything it runs."""
        with self._lock:
            self._is_closed = True
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()


def closed() -> UsageError:
    """Something was asked of a session that is closed."""
    return UsageError("this session is closed", hint="use it inside its `with` block, or open another one")
