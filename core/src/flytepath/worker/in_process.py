"""Attempts in the engine's own process, so that a debugger can stop in them."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any

from flytepath.engine.ports import AttemptResult, OnReport
from flytepath.model.identity import Tenant
from flytepath.model.messages import CallEnded, RunAttempt
from flytepath.store.blobs import BlobFolder
from flytepath.worker.attempts import AttemptRunner, Outcome


class InProcessPool:
    """Runs attempts in this very process.

    Jobs go to ``jobs``, for the thread that wants to run them; eager tasks get a thread each, because they wait for
    others. What they print goes where it goes; timeouts and bounds on resources do not count, and a killed attempt runs
    on to its end.
    """

    def __init__(self, blobs: BlobFolder, tenant: Tenant, home: str) -> None:
        self._home = home
        self.jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._blobs = blobs
        self._tenant = tenant
        self._running: dict[tuple[str, str, int], AttemptRunner] = {}

    async def run(self, request: RunAttempt, on_report: OnReport) -> AttemptResult:
        """Run an attempt to its end."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Outcome] = loop.create_future()

        def send(message: Any) -> None:
            loop.call_soon_threadsafe(on_report, message)

        def settle(outcome: Outcome) -> None:
            if not done.done():
                done.set_result(outcome)

        runner = AttemptRunner("", self._blobs, self._tenant, send, home=self._home, interrupts=True)
        key = request.execution, request.node, request.attempt
        self._running[key] = runner

        def job() -> None:
            outcome = runner.run(request.task, request)
            loop.call_soon_threadsafe(settle, outcome)

        if request.task.mode == "eager":
            threading.Thread(target=job, name=f"flytepath {request.node}", daemon=True).start()
        else:
            self.jobs.put(job)
        try:
            return AttemptResult(await done)
        finally:
            del self._running[key]

    async def tell(self, execution: str, node: str, attempt: int, message: CallEnded) -> None:
        """Pass a message on to a running attempt."""
        runner = self._running.get((execution, node, attempt))
        if runner is not None:
            runner.answered(message)

    async def close(self) -> None:
        """Let the thread that runs the jobs go."""
        self.jobs.put(None)
