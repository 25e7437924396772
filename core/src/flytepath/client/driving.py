"""Driving an execution from this process: with workers of its own, or for debuggers right here."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path

from flytepath.config import blob_root
from flytepath.config.settings import Configuration, JobSettings, LocalSettings, load_configuration
from flytepath.engine.engine import Engine
from flytepath.engine.environments import Environments
from flytepath.engine.jobs.backends import Backends
from flytepath.engine.jobs.of_execution import Remote
from flytepath.engine.jobs.planning import Planner
from flytepath.engine.jobs.reaper import Reaper
from flytepath.engine.jobs.services import JobServices
from flytepath.engine.jobs.vendor_calls import Patience
from flytepath.engine.jobs.worker_launches import WorkerLaunches
from flytepath.engine.local.machine import Machine
from flytepath.engine.local.room import Room
from flytepath.engine.local.worker_pool import WorkerPool
from flytepath.engine.ownership import this_engine
from flytepath.engine.ports import AttemptPool, Listener
from flytepath.engine.quota.admission import Admission
from flytepath.engine.quota.pools import PoolRules
from flytepath.engine.reuse import Outputs
from flytepath.engine.secrets.resolving import resolve_secret
from flytepath.engine.state import ExecutionState
from flytepath.model.identity import Tenant
from flytepath.model.resources import Resources
from flytepath.store.blobs import BlobFolder
from flytepath.store.events import Store
from flytepath.store.shared_outputs import outputs_in


def local_engine(home: Path, store: Store, slots: int, pool: AttemptPool | None = None) -> Engine:
    """An engine with workers of its own on this machine.

    Args:
        home: where code, blobs and folders of attempts lie.
        store: the event store.
        slots: how many attempts run at once.
        pool: runs attempts in place of worker processes.
    """

    def outputs_of(tenant: Tenant) -> Outputs:
        return outputs_in(home, store.database, tenant.project, tenant.domain)

    name = this_engine()
    configuration = load_configuration(home_folder=home)
    local = LocalSettings.model_validate(configuration.get("local", default={}))

    @cache
    def room() -> Room:
        memory = Resources(mem=local.memory).mem_bytes
        return Room(Machine.detect(local.cpu, memory, local.gpu), dict(local.weights))

    return Engine(
        home,
        store,
        pool or worker_pool(home, slots),
        slots=slots,
        room=room,
        weights=local.weights,
        outputs_of=outputs_of,
        name=name,
        remote=remote_of(home, store, name, configuration),
    )


def remote_of(home: Path, store: Store, engine: str, configuration: Configuration | None = None) -> Remote:
    """What an engine needs to run remote jobs and to share what there is little of.

    Args:
        home: where the configuration of this person lies.
        store: keeps who holds what.
        engine: its name.
        configuration: of this moment, where it is known.
    """
    rules = PoolRules.here(home=home)
    backends = Backends(resolve_secret)
    configuration = configuration or load_configuration(home_folder=home)
    settings = JobSettings.model_validate(configuration.get("jobs", default={}))
    services = JobServices(backends, Admission(store, engine, rules), Patience(outage=settings.outage))
    reaper = Reaper(store, services, grace_seconds=settings.grace, sweep_seconds=settings.sweep)
    return Remote(services, Planner(backends, rules, store.installation, WorkerLaunches(home)), rules, reaper.run)


def drive(home: Path, store: Store, execution: str, listener: Listener, slots: int) -> ExecutionState:
    """Drive an execution to its end, on at most ``slots`` workers.

    Raises:
        KeyboardInterrupt: SIGINT or SIGTERM came; the execution can be resumed.
    """

    async def run() -> ExecutionState:
        async with local_engine(home, store, slots) as engine:
            return await engine.drive(execution, listener)

    return asyncio.run(interruptible(run()))


async def interruptible(work: Awaitable[ExecutionState]) -> ExecutionState:
    """Do ``work``, and end it when SIGINT or SIGTERM comes to this process."""
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)
    handled = threading.current_thread() is threading.main_thread()
    for number in (signal.SIGINT, signal.SIGTERM) if handled else ():
        loop.add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    finally:
        for number in (signal.SIGINT, signal.SIGTERM) if handled else ():
            loop.remove_signal_handler(number)


def drive_here(home: Path, store: Store, execution: str, listener: Listener, tenant: Tenant) -> ExecutionState:
    """Drive it in a thread beside, so that this one is free to run tasks, and a debugger in them."""
    from flytepath.worker import InProcessPool

    pool = InProcessPool(BlobFolder(blob_root(home), tenant.project, tenant.domain), tenant, str(home))
    outcome: list[ExecutionState | BaseException] = []
    ends: list[Callable[[], object]] = []

    async def run() -> ExecutionState:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        if task is not None:
            ends.append(lambda: loop.call_soon_threadsafe(task.cancel))
        async with local_engine(home, store, 1, pool) as engine:
            return await engine.drive(execution, listener)

    def engine() -> None:
        try:
            outcome.append(asyncio.run(run()))
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            outcome.append(error)
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
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]


def worker_pool(home: Path, slots: int) -> AttemptPool:
    """Worker processes of this machine, in the environments that tasks ask for."""
    environments = Environments(home)
    return WorkerPool(
        home=home,
        slots=slots,
        blob_root=blob_root(home),
        python_of=environments.python_of,
        on_close=environments.close,
    )
