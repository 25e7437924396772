"""FlytePath from Python: register, run and look at executions, with the same calls for code that waits and for asyncio.

The first execution starts an engine in a thread of this process, which drives what this process has begun. Executions
are durable from the moment they are begun: if the process ends, another session, ``flytepath executions resume`` or an
engine that is looking for work goes on with them.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from flytepath import config
from flytepath.authoring.entity import Entity
from flytepath.authoring.launch_plan import LaunchPlan
from flytepath.authoring.task import Task
from flytepath.bundle import collect
from flytepath.client.commands import Started
from flytepath.client.hosting import Drive, Host, closed
from flytepath.client.importing import entity_of, importable, renamed
from flytepath.client.local import LocalClient
from flytepath.client.plans import Plans
from flytepath.client.protocol import Kind
from flytepath.client.views import ExecutionSummary, ExecutionView, Scope
from flytepath.compiler import compile_entity, compile_launch_plan, compile_task, parse_inputs
from flytepath.errors import ExecutionStateError, NotFoundError, UsageError
from flytepath.model.events import ErrorRecord
from flytepath.model.identity import DEFAULT_DOMAIN, DEFAULT_PROJECT, Identity, Tenant
from flytepath.model.literal import JSON_FORMAT, Literal
from flytepath.store.blobs import BlobFolder
from flytepath.store.literals import inline

#: How often an execution that another process drives is looked at.
LOOK_SECONDS: Final = 0.05
ENDED: Final = ("succeeded", "failed", "aborted")


@dataclass(frozen=True, slots=True)
class Execution:
    """An execution; ``status`` is what it was when it was asked for: running, succeeded, failed or aborted."""

    id: str
    status: str
    _look: Callable[[], ExecutionView] = field(repr=False, compare=False)
    _decode: Callable[[Mapping[str, Literal]], dict[str, Any]] = field(repr=False, compare=False)

    @property
    def is_done(self) -> bool:
        """Whether it had ended."""
        return self.status in ENDED

    @property
    def view(self) -> ExecutionView:
        """Everything about it as it is now: nodes, decks, logs, gates."""
        return self._look()

    @property
    def error(self) -> ErrorRecord | None:
        """Why it failed."""
        return self.view.error

    @property
    def outputs(self) -> dict[str, Any]:
        """Its outputs by name, as Python values.

        Raises:
            ExecutionStateError: it has none: it still runs, failed or was aborted.
        """
        view = self.view
        if view.status == "succeeded":
            return self._decode(view.outputs)
        done = view.status in ENDED
        raise ExecutionStateError(
            f"execution {self.id} has no outputs, it {view.status if done else 'is running'}",
            place=self.id,
            actual=None if view.error is None else f"{view.failed_node or ''}: {view.error.message}".strip(": "),
            hint=None if done else "wait for it",
        )


@dataclass(frozen=True, slots=True)
class _Registered:
    """``entity`` is what the caller has, ``imported`` the same as workers import it."""

    entity: Entity
    imported: Entity
    identity: Identity
    kind: Kind

    def literals(self, inputs: Mapping[str, Any], blobs: BlobFolder) -> dict[str, Literal]:
        """The caller's values as workers read them."""
        here, there = self.entity.input_codecs, self.imported.input_codecs
        return {
            name: renamed(literal, here[name].literal_type, there[name].literal_type, blobs)
            for name, literal in parse_inputs(self.entity, {}, inputs, blobs).items()
        }

    def values(self, literals: Mapping[str, Literal], blobs: BlobFolder) -> dict[str, Any]:
        """What workers gave as the caller's values."""
        here, there = self.entity.output_codecs, self.imported.output_codecs
        return {
            name: here[name].decode(renamed(literal, there[name].literal_type, here[name].literal_type, blobs), blobs)
            for name, literal in literals.items()
        }


class FlytePath:
    """FlytePath in this process.

    Args:
        home: the folder that holds everything; ``$FLYTEPATH_HOME`` or ``~/.flytepath`` by default.
        project, domain: where things are registered and run.
        slots: how many attempts run at once; the number of CPUs by default.
        engine: whether this process drives what it begins; without, an engine elsewhere has to.

    Example:
        >>> import tempfile
        >>> from flytepath import FlytePath
        >>> with tempfile.TemporaryDirectory() as home, FlytePath(home=home) as platform:
        ...     platform.list()
        []
    """

    def __init__(
        self,
        home: str | Path | None = None,
        *,
        project: str = DEFAULT_PROJECT,
        domain: str = DEFAULT_DOMAIN,
        slots: int | None = None,
        engine: bool = True,
    ) -> None:
        self._local = LocalClient(Path(home) if home is not None else config.home(), slots=slots)
        self._plans = Plans(self._local.store)
        self._scope = Scope.of_this_user(Tenant(project, domain))
        self._drives = engine
        self._host: Host | None = None
        self._lock = threading.Lock()
        self._registering = threading.Lock()
        self._is_closed = False
        self._known: dict[tuple[int, str | None], _Registered] = {}
        self._begun: dict[str, _Registered] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the engine and let go of the store. What still runs is ended and can be resumed."""
        with self._lock:
            host, self._host = self._host, None
            was_closed, self._is_closed = self._is_closed, True
        if host is not None:
            host.close()
        if not was_closed:
            self._local.close()

    @property
    def home(self) -> Path:
        """The folder that holds everything."""
        return self._local.home

    @property
    def _client(self) -> LocalClient:
        if self._is_closed:
            raise closed()
        return self._local

    # --- what can be run ---

    def register(self, *entities: Any, version: str | None = None) -> list[Identity]:
        """Keep workflows, tasks and launch plans with their code; what they are called now.

        Args:
            entities: what is to be registered.
            version: by default a digest of code and graph.

        Raises:
            VersionConflictError: the version exists with other content.
        """
        return [self._registered(entity_of(each), version).identity for each in entities]

    def _registered(self, entity: Entity, version: str | None) -> _Registered:
        with self._registering:
            known = self._known.get((id(entity), version))
            return known if known is not None else self._register(entity, version)

    def _register(self, entity: Entity, version: str | None) -> _Registered:
        loaded, file, root = importable(entity)
        blobs = self._client.blobs(self._scope)
        spec = compile_entity(loaded, self._scope.tenant, blobs, self._client.referred)
        bundle = collect(file, root)
        kind: Kind = "workflow"
        if isinstance(loaded, LaunchPlan):
            kind = "launch_plan"
            plan = compile_launch_plan(loaded, spec.digest(), blobs)
            identity = self._client.register_launch_plan(self._scope, plan, spec, bundle, version)
            if plan.auto_activate:
                self._plans.activate_new(self._scope, identity.name, identity.version)
        else:
            identity = self._client.register(self._scope, spec, bundle, version)
            if isinstance(loaded, Task):  # runs of it are of a workflow around it, references are to the task itself
                task = compile_task(loaded, self._scope.tenant, blobs)
                self._client.register_task(self._scope, task, bundle, identity.version)
        made = self._known[id(entity), version] = _Registered(entity, loaded, identity, kind)
        return made

    # --- executions ---

    def execute(
        self,
        entity: Any,
        inputs: Mapping[str, Any] | None = None,
        *,
        version: str | None = None,
        name: str | None = None,
        wait: bool = False,
        overwrite_cache: bool = False,
        variables: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        timeout: float = 0.0,
    ) -> Execution:
        """Begin an execution; it is durable when this returns.

        Args:
            entity: a workflow, task or launch plan, which is registered first, or the name of a registered one.
            inputs: by name.
            version: of what is run; for a name the latest by default, of a launch plan the active one.
            name: the execution's id, instead of one that is made up.
            wait: return when it has ended.
            overwrite_cache: compute everything anew, and keep that.
            variables: environment variables of its tasks.
            labels, annotations: recorded with it.
            timeout: seconds that the whole may take; 0 for what the workflow says.

        Raises:
            InputError: inputs that do not fit.
            NotFoundError: nothing is registered under the name.
            UsageError: the execution's name cannot be one, or is taken.
        """
        client, scope = self._client, self._scope
        if inputs is not None and not (isinstance(inputs, Mapping) and all(isinstance(name, str) for name in inputs)):
            raise UsageError("inputs are given by name", expected="a dict", actual=repr(inputs)[:200])
        if isinstance(entity, str):
            identity, kind, literals = self._named(entity, version, inputs or {})
            known = None
        else:
            known = self._registered(entity_of(entity), version)
            identity, kind = known.identity, known.kind
            literals = known.literals(inputs or {}, client.blobs(scope))
        host = self._engine() if self._drives else None
        started = client.begin(
            scope,
            identity,
            literals,
            kind=kind,
            name=name,
            overwrite_cache=overwrite_cache,
            variables=variables,
            labels=labels,
            annotations=annotations,
            timeout_seconds=timeout,
            owner=host.engine.name if host is not None else "",
        )
        if known is not None:
            self._begun[started.execution] = known
        if host is not None:
            host.drive(started)
        if wait:
            return self.wait(started.execution)
        return self._execution(started.execution, "running")

    def wait(self, execution: str | Execution, timeout: float | None = None) -> Execution:
        """Wait until an execution has ended, and go on with it where nobody drives it.

        Args:
            execution: its id.
            timeout: seconds to wait.

        Raises:
            TimeoutError: it has not ended by then; it goes on.
            NotFoundError: there is none.
        """
        name, until = _id_of(execution), _until(timeout)
        while True:
            step = self._step(name)
            if isinstance(step, Execution):
                return step
            left = _left(name, until, timeout)
            if step is None:
                time.sleep(LOOK_SECONDS if left is None else min(LOOK_SECONDS, left))
            else:
                concurrent.futures.wait([step], left)

    def _step(self, execution: str) -> Execution | Drive | None:
        """The execution where it has ended, what this process makes of it, or nothing where others drive it."""
        client, host = self._client, self._host
        future = host.future_of(execution) if host is not None else None
        if future is not None and not future.done():
            return future
        if future is not None and host is not None:
            if future.cancelled():
                raise closed()
            error = future.exception()
            if error is None and future.result().status.is_final:
                return self._execution(execution, future.result().status)
            host.forget(execution, future)
            # An error of driving is the caller's, unless another engine has simply taken over.
            if error is not None and not client.has_ended(execution) and not client.is_driven(self._scope, execution):
                raise error
        status = client.store.status(execution)
        if status in ENDED:
            return self._execution(execution, status)
        if self._drives and not client.is_driven(self._scope, execution):
            host = self._engine()
            host.drive(Started(execution))
            return host.future_of(execution)
        return None

    def get(self, execution: str | Execution) -> Execution:
        """An execution as it is now.

        Raises:
            NotFoundError: there is none.
        """
        name = _id_of(execution)
        return self._execution(name, self._client.store.status(name))

    def list(self, limit: int = 50, status: str | None = None) -> Sequence[ExecutionSummary]:
        """The newest executions of the project and domain."""
        return self._client.executions(self._scope, limit, status)

    def abort(self, execution: str | Execution, reason: str = "") -> None:
        """Ask for an execution to end; what runs is killed.

        Raises:
            ExecutionStateError: it has already ended.
        """
        self._client.abort(self._scope, _id_of(execution), reason)

    # --- inside ---

    def _named(
        self, name: str, version: str | None, inputs: Mapping[str, Any]
    ) -> tuple[Identity, Kind, dict[str, Literal]]:
        found = self._client.registered(self._scope, name, version)
        if found is None:
            raise NotFoundError(
                f"there is no workflow or launch plan {name!r} in {self._scope.tenant}",
                place=name,
                actual=version,
                hint="register it first",
            )
        kind, entity = found
        return entity.identity, kind, self._client.literals_of(self._scope, entity.spec.interface, inputs, name)

    def _execution(self, execution: str, status: str) -> Execution:
        return Execution(
            execution, status, lambda: self._client.execution(self._scope, execution), self._decoder(execution)
        )

    def _decoder(self, execution: str) -> Callable[[Mapping[str, Literal]], dict[str, Any]]:
        known, blobs = self._begun.get(execution), self._local.blobs(self._scope)

        def decode(literals: Mapping[str, Literal]) -> dict[str, Any]:
            if known is not None:
                return known.values(literals, blobs)
            found = {name: inline(literal, blobs) for name, literal in literals.items()}
            return {name: each.data if each.format == JSON_FORMAT else each for name, each in found.items()}

        return decode

    def _engine(self) -> Host:
        with self._lock:
            if self._host is None:
                self._host = Host(self._client)
            return self._host


class AsyncFlytePath:
    """:class:`FlytePath` for asyncio: the same calls, to be awaited; none blocks the loop.

    Example:
        >>> import asyncio, tempfile
        >>> from flytepath import AsyncFlytePath
        >>> async def newest(home):
        ...     async with AsyncFlytePath(home=home) as platform:
        ...         return await platform.list()
        >>> with tempfile.TemporaryDirectory() as home:
        ...     asyncio.run(newest(home))
        []
    """

    def __init__(self, home: str | Path | None = None, **settings: Any) -> None:
        self._platform = FlytePath(home, **settings)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """As :meth:`FlytePath.close`."""
        await asyncio.to_thread(self._platform.close)

    async def register(self, *entities: Any, version: str | None = None) -> list[Identity]:
        """As :meth:`FlytePath.register`."""
        return await asyncio.to_thread(self._platform.register, *entities, version=version)

    async def execute(self, entity: Any, inputs: Mapping[str, Any] | None = None, **settings: Any) -> Execution:
        """As :meth:`FlytePath.execute`."""
        wait = settings.pop("wait", False)
        begun = await asyncio.to_thread(self._platform.execute, entity, inputs, **settings)
        return await self.wait(begun) if wait else begun

    async def wait(self, execution: str | Execution, timeout: float | None = None) -> Execution:
        """As :meth:`FlytePath.wait`."""
        # No thread waits: who waits for many would leave none for the one call that ends them.
        name, until = _id_of(execution), _until(timeout)
        while True:
            step = await asyncio.to_thread(self._platform._step, name)
            if isinstance(step, Execution):
                return step
            left = _left(name, until, timeout)
            if step is None:
                await asyncio.sleep(LOOK_SECONDS if left is None else min(LOOK_SECONDS, left))
            else:
                await _done(step, left)

    async def get(self, execution: str | Execution) -> Execution:
        """As :meth:`FlytePath.get`."""
        return await asyncio.to_thread(self._platform.get, execution)

    async def list(self, limit: int = 50, status: str | None = None) -> Sequence[ExecutionSummary]:
        """As :meth:`FlytePath.list`."""
        return await asyncio.to_thread(self._platform.list, limit, status)

    async def abort(self, execution: str | Execution, reason: str = "") -> None:
        """As :meth:`FlytePath.abort`."""
        await asyncio.to_thread(self._platform.abort, execution, reason)


def _id_of(execution: str | Execution) -> str:
    if isinstance(execution, (str, Execution)):
        return execution if isinstance(execution, str) else execution.id
    raise UsageError("this is no execution", expected="its id, or what `execute` gave", actual=repr(execution)[:200])


def _until(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


def _left(execution: str, until: float | None, timeout: float | None) -> float | None:
    """How many seconds are left to wait."""
    left = None if until is None else until - time.monotonic()
    if left is not None and left <= 0:
        raise TimeoutError(f"execution {execution} has not ended within {timeout:g} s")
    return left


async def _done(future: Drive, timeout: float | None) -> None:
    """Wait for the end of what another thread does, whatever it is, and leave it alone if nobody waits any longer."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def tell(_future: Drive) -> None:
        with suppress(RuntimeError):  # the loop has been closed
            loop.call_soon_threadsafe(done.set)

    future.add_done_callback(tell)
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout):
            await done.wait()
