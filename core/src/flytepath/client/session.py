"""FlytePath from Python: register, run and look at executions, with the same calls for code that waits and for asyncio.

The first execution starts an engine in a thread of this process, which drives what this process has begun. Executions
are durable from the moment they are begun: if the process ends, another session, ``flytepath executions resume`` or an
engine that is looking for work goes on with them.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from flytepath import config
from flytepath.authoring.entity import Entity
from flytepath.authoring.launch_plan import LaunchPlan
from flytepath.bundle import collect
from flytepath.client.commands import Started
from flytepath.client.driving import local_engine
from flytepath.client.local import LocalClient
from flytepath.client.plans import Plans
from flytepath.client.protocol import Kind
from flytepath.client.views import ExecutionSummary, ExecutionView, Scope
from flytepath.compiler import compile_entity, compile_launch_plan, parse_inputs
from flytepath.engine.engine import Engine
from flytepath.errors import ExecutionStateError, InputError, NotFoundError, UsageError
from flytepath.model.events import ErrorRecord
from flytepath.model.identity import DEFAULT_DOMAIN, DEFAULT_PROJECT, Identity, Tenant
from flytepath.model.literal import JSON_FORMAT, Literal
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
        self._client = LocalClient(Path(home) if home is not None else config.home(), slots=slots)
        self._plans = Plans(self._client.store)
        self._scope = Scope.of_this_user(Tenant(project, domain))
        self._drives = engine
        self._host: _Host | None = None
        self._lock = threading.Lock()
        self._known: dict[tuple[int, str | None], _Registered] = {}
        self._begun: dict[str, Entity] = {}

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
        if host is not None:
            host.close()
        self._client.close()

    @property
    def home(self) -> Path:
        """The folder that holds everything."""
        return self._client.home

    # --- what can be run ---

    def register(self, *entities: Any, version: str | None = None) -> list[Identity]:
        """Keep workflows, tasks and launch plans with their code; what they are called now.

        Args:
            entities: what is to be registered.
            version: by default a digest of code and graph.

        Raises:
            VersionConflictError: the version exists with other content.
        """
        return [self._registered(_entity(each), version).identity for each in entities]

    def _registered(self, entity: Entity, version: str | None) -> _Registered:
        known = self._known.get((id(entity), version))
        if known is not None:
            return known
        loaded, file, root = _importable(entity)
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
        if isinstance(entity, str):
            identity, kind, literals = self._named(entity, version, inputs or {})
            known = None
        else:
            registered = self._registered(_entity(entity), version)
            known, identity, kind = registered.entity, registered.identity, registered.kind
            literals = parse_inputs(registered.imported, {}, inputs or {}, client.blobs(scope))
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
        name = execution if isinstance(execution, str) else execution.id
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            future = self._host.futures.get(name) if self._host is not None else None
            if future is not None:
                left = None if until is None else max(0.0, until - time.monotonic())
                try:
                    error = future.exception(left)
                except TimeoutError:
                    raise TimeoutError(f"execution {name} has not ended within {timeout:g} s") from None
                if error is None:
                    return self._execution(name, future.result().status)
                self._raise_unless_elsewhere(name, error)
            status = self._client.store.status(name)
            if status in ENDED:
                return self._execution(name, status)
            if until is not None and time.monotonic() > until:
                raise TimeoutError(f"execution {name} has not ended within {timeout:g} s")
            if self._drives and not self._client.is_driven(self._scope, name):
                self._engine().drive(Started(name))
            elif future is None:
                time.sleep(LOOK_SECONDS)

    def _raise_unless_elsewhere(self, execution: str, error: BaseException) -> None:
        """An error of driving is the caller's, unless another engine has simply taken over."""
        if self._host is not None:
            self._host.futures.pop(execution, None)
        if not self._client.has_ended(execution) and not self._client.is_driven(self._scope, execution):
            raise error

    def get(self, execution: str) -> Execution:
        """An execution as it is now.

        Raises:
            NotFoundError: there is none.
        """
        return self._execution(execution, self._client.store.status(execution))

    def list(self, limit: int = 50, status: str | None = None) -> Sequence[ExecutionSummary]:
        """The newest executions of the project and domain."""
        return self._client.executions(self._scope, limit, status)

    def abort(self, execution: str | Execution, reason: str = "") -> None:
        """Ask for an execution to end; what runs is killed.

        Raises:
            ExecutionStateError: it has already ended.
        """
        self._client.abort(self._scope, execution if isinstance(execution, str) else execution.id, reason)

    # --- inside ---

    def _named(
        self, name: str, version: str | None, inputs: Mapping[str, Any]
    ) -> tuple[Identity, Kind, dict[str, Literal]]:
        kinds: tuple[Kind, ...] = ("workflow", "launch_plan")
        for kind in kinds:
            try:
                chosen = version or ("latest" if kind == "workflow" else self._plans.to_run(self._scope, name).version)
                found = self._client.fetch(self._scope, kind, name, chosen)
            except NotFoundError:
                continue
            interface = found.spec.interface
            return found.identity, kind, self._client.literals_of(self._scope, interface, inputs, name)
        raise NotFoundError(
            f"there is no workflow or launch plan {name!r} in {self._scope.tenant}",
            place=name,
            actual=version,
            hint="register it first",
        )

    def _execution(self, execution: str, status: str) -> Execution:
        return Execution(
            execution, status, lambda: self._client.execution(self._scope, execution), self._decoder(execution)
        )

    def _decoder(self, execution: str) -> Callable[[Mapping[str, Literal]], dict[str, Any]]:
        entity, blobs = self._begun.get(execution), self._client.blobs(self._scope)

        def decode(literals: Mapping[str, Literal]) -> dict[str, Any]:
            if entity is not None:
                codecs = entity.output_codecs
                return {name: codecs[name].decode(literal, blobs) for name, literal in literals.items()}
            found = {name: inline(literal, blobs) for name, literal in literals.items()}
            return {name: each.data if each.format == JSON_FORMAT else each for name, each in found.items()}

        return decode

    def _engine(self) -> _Host:
        with self._lock:
            if self._host is None:
                self._host = _Host(self._client)
            return self._host


class _Host:
    """An engine in a thread of its own."""

    def __init__(self, client: LocalClient) -> None:
        self._client = client
        self._ready: Future[Engine] = Future()
        self.futures: dict[str, Future[Any]] = {}
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
        ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._ended = ended
        async with local_engine(self._client.home, self._client.store, self._client.slots) as engine:
            self._ready.set_result(engine)
            await ended.wait()

    def drive(self, started: Started) -> None:
        """Drive an execution; its future is done when it has ended."""
        known = self.futures.get(started.execution)
        if known is not None and not known.done():
            return
        future = asyncio.run_coroutine_threadsafe(self.engine.drive(started.execution, begun=started.begun), self._loop)
        self.futures[started.execution] = future
        future.add_done_callback(lambda done: self._forget(started.execution, done))

    def _forget(self, execution: str, future: Future[Any]) -> None:
        """What has ended well needs no future: the store tells."""
        if not future.cancelled() and future.exception() is None and future.result().status.is_final:
            self.futures.pop(execution, None)

    def close(self) -> None:
        """End the engine and everything it runs."""
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()


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
        name = execution if isinstance(execution, str) else execution.id
        return await asyncio.to_thread(self._platform.wait, name, timeout)

    async def get(self, execution: str) -> Execution:
        """As :meth:`FlytePath.get`."""
        return await asyncio.to_thread(self._platform.get, execution)

    async def list(self, limit: int = 50, status: str | None = None) -> Sequence[ExecutionSummary]:
        """As :meth:`FlytePath.list`."""
        return await asyncio.to_thread(self._platform.list, limit, status)

    async def abort(self, execution: str | Execution, reason: str = "") -> None:
        """As :meth:`FlytePath.abort`."""
        await asyncio.to_thread(self._platform.abort, execution, reason)


def _entity(thing: Any) -> Entity:
    if isinstance(thing, Entity):
        return thing
    raise UsageError(
        "only workflows, tasks and launch plans can be registered and run",
        expected="what @workflow, @task or LaunchPlan made, or the name of something registered",
        actual=repr(thing)[:200],
    )


def _importable(entity: Entity) -> tuple[Entity, Path, Path]:
    """The entity as a worker imports it, its file, and the folder it is importable from."""
    inner = entity.workflow if isinstance(entity, LaunchPlan) else entity
    name = str(vars(inner).get("__module__") or getattr(inner, "__module__", ""))
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    if module is None or file is None:
        raise UsageError(
            f"{entity.name} is not defined in a file",
            place=entity.name,
            expected="a module that workers can import",
            hint="put it into a .py file, not into a shell or a notebook cell",
        )
    path = Path(file).resolve()
    root = path.parent
    for _ in range(name.count(".") + (path.name == "__init__.py")):
        root = root.parent
    if name != "__main__":
        return entity, path, root
    return _imported_again(entity, path), path, path.parent


def _imported_again(entity: Entity, path: Path) -> Entity:
    """An entity of the script that runs, from the module that workers import it from."""
    import importlib

    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    held = next((key for key, value in vars(sys.modules["__main__"]).items() if value is entity), "")
    again = getattr(importlib.import_module(path.stem), held, None)
    if not isinstance(again, Entity):
        raise InputError(
            f"{entity.name} is not a variable of its module", place=str(path), hint="give it a name at the top level"
        )
    return again
