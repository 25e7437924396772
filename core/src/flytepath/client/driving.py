"""Driving an execution from this process: with workers of its own, or for debuggers right here."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from pathlib import Path

from flytepath.bundle import unpacked
from flytepath.engine.dispatch import AttemptPool, WorkerPool, WorkerSetting
from flytepath.engine.places import Places
from flytepath.engine.ports import Listener
from flytepath.engine.reuse import Reuses
from flytepath.engine.scheduler import Scheduler
from flytepath.engine.state import ExecutionState, ExecutionStatus
from flytepath.errors import StoreError
from flytepath.model.identity import Tenant
from flytepath.store.blobs import BlobFolder
from flytepath.store.events import Store
from flytepath.store.output_cache import CACHE_NAME, OutputCache


class Driver:
    """One execution that this process owns.

    Args:
        home: where code, blobs and folders of attempts lie.
        store: the event store.
        execution: its id.
        state: the state folded from its log.
        listener: told what happens.
    """

    def __init__(self, home: Path, store: Store, execution: str, state: ExecutionState, listener: Listener) -> None:
        if state.created is None:
            raise StoreError("the log does not begin with the execution's creation", place=execution)
        self._home = home
        self._store = store
        self._execution = execution
        self._state = state
        self._listener = listener
        self._created = state.created
        self._tenant = Tenant(state.created.project, state.created.domain)
        self._blobs = BlobFolder(str(home / "blobs"), self._tenant.project, self._tenant.domain)

    def drive(self, owner: str, epoch: int, slots: int) -> None:
        """Drive it to its end, on at most ``slots`` workers.

        Raises:
            KeyboardInterrupt: SIGINT or SIGTERM came; the execution can be resumed.
        """
        setting = WorkerSetting(
            self._tenant.project,
            self._tenant.domain,
            self._code_path(self._created.bundle),
            str(self._home / "blobs"),
            str(self._home),
        )
        asyncio.run(self._run(owner, epoch, WorkerPool(setting, slots, self._code_path), slots))

    def _code_path(self, bundle: str) -> str:
        return str(unpacked(bundle, self._home))

    def drive_here(self, owner: str, epoch: int) -> None:
        """Drive it in a thread beside, so that this one is free to run tasks, and a debugger in them."""
        from flytepath.worker import InProcessPool

        pool = InProcessPool(self._blobs, self._tenant, str(self._home))
        failures: list[BaseException] = []
        ends: list[Callable[[], object]] = []

        async def run() -> None:
            task, loop = asyncio.current_task(), asyncio.get_running_loop()
            if task is not None:
                ends.append(lambda: loop.call_soon_threadsafe(task.cancel))
            await self._run(owner, epoch, pool, 1)

        def engine() -> None:
            try:
                asyncio.run(run())
            except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
                failures.append(error)
            finally:
                pool.jobs.put(None)

        thread = threading.Thread(target=engine, name="flytepath engine")
        thread.start()
        try:
            while (job := pool.jobs.get()) is not None:
                job()
        except BaseException:
            for end in ends:
                end()
            raise
        finally:
            thread.join()
        if failures:
            raise failures[0]

    async def _run(self, owner: str, epoch: int, pool: AttemptPool, slots: int) -> None:
        cache = OutputCache(self._home / CACHE_NAME, self._tenant.project, self._tenant.domain)
        places = Places(self._home, self._execution)
        scheduler = Scheduler(
            self._execution,
            self._state,
            self._store,
            self._blobs,
            pool,
            slots=slots,
            places=places,
            reuses=Reuses(cache, self._blobs, self._execution, overwrite=self._created.overwrite_cache),
            listener=self._listener,
        )
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        handled = threading.current_thread() is threading.main_thread() and task is not None
        if handled:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, task.cancel)  # type: ignore[union-attr]
        try:
            await scheduler.run(owner, epoch)
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None
        finally:
            if handled:
                for number in (signal.SIGINT, signal.SIGTERM):
                    loop.remove_signal_handler(number)
            await pool.close()
            cache.close()
            places.sweep(ended_well=self._state.status is ExecutionStatus.SUCCEEDED)
