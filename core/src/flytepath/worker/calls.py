"""What an eager task calls while it runs: each call goes to the engine, which runs it and answers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from flytepath.authoring.entity import Entity
from flytepath.errors import FlytePathError
from flytepath.model.events import Blob
from flytepath.model.identity import Identity, Tenant
from flytepath.model.messages import CallEnded, CallRequested
from flytepath.model.task import TaskSpec
from flytepath.model.workflow import WorkflowSpec
from flytepath.store.blobs import BlobFolder

#: Finds what is registered, for references.
Fetch = Callable[[str, Identity], tuple[TaskSpec | WorkflowSpec, str]]


@dataclass(slots=True)
class _Lane:
    """Calls that one coroutine makes one after the other: those that run side by side count apart.

    So the names of calls do not depend on which coroutine is served first.
    """

    owner: object
    name: str = ""
    calls: int = 0
    lanes: int = 0


_lane: ContextVar[_Lane | None] = ContextVar("flytepath_lane", default=None)


@dataclass(slots=True)
class Calls:
    """The conductor of an eager task's attempt: each call goes to the engine, which runs it and answers."""

    tenant: Tenant
    blobs: BlobFolder
    send: Callable[[Any], None]
    fetch: Fetch | None = None
    _made: int = 0
    _open: dict[int, tuple[Future[dict[str, Any]], Entity]] = field(default_factory=dict)
    _graphs: dict[int, tuple[Entity, Blob]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _root: _Lane = field(default_factory=lambda: _Lane(None))

    def call(self, entity: Entity, inputs: Mapping[str, Any]) -> Future[dict[str, Any]]:
        """Ask for a call; a future of its outputs."""
        literals = {name: entity.input_codecs[name].encode(value, self.blobs) for name, value in inputs.items()}
        future: Future[dict[str, Any]] = Future()
        with self._lock:
            graph, name = self._graph(entity), self._name()
            ordinal = self._made
            self._made += 1
            self._open[ordinal] = (future, entity)
        self.send(CallRequested(ordinal=ordinal, call=name, callee=entity.name, graph=graph, inputs=literals))
        return future

    def ended(self, message: CallEnded) -> None:
        """The engine answers."""
        from flytepath.authoring.eager import call_failed

        future, entity = self._open.pop(message.ordinal)
        with suppress(InvalidStateError):  # nobody waits for it any more
            if message.error is not None:
                future.set_exception(call_failed(message.error))
                return
            try:
                codecs = entity.output_codecs
                outputs = {name: codecs[name].decode(literal, self.blobs) for name, literal in message.outputs.items()}
            except FlytePathError as error:
                future.set_exception(error)
                return
            future.set_result(outputs)

    def _graph(self, entity: Entity) -> Blob:
        from flytepath.compiler import compile_entity

        known = self._graphs.get(id(entity))
        if known is None:
            spec = compile_entity(entity, self.tenant, self.blobs, self.fetch)
            blob = Blob.of(self.blobs.put(spec.model_dump_json(exclude_defaults=True).encode()))
            known = self._graphs[id(entity)] = (entity, blob)
        return known[1]

    def _name(self) -> str:
        """The name of the next call: its number, after that of the coroutine that makes it."""
        lane = _lane.get() or self._root
        try:
            current: object = asyncio.current_task()
        except RuntimeError:
            current = None
        if lane.owner is None:
            lane.owner = current
        elif current is not lane.owner:
            # A coroutine that runs beside the one it was started from: it inherited that one's lane.
            lane.lanes += 1
            lane = _Lane(current, f"{lane.name}{lane.lanes - 1}-")
        _lane.set(lane)
        lane.calls += 1
        return f"{lane.name}{lane.calls - 1}"
