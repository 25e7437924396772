"""Snapshots: the state of an execution after one of its events, so that what came before need not be folded again.

A snapshot may be lost, damaged or of another release at any time: then the log is folded from its beginning. It is a
pickle that is read by a reader which makes nothing but the plain data of this package, so a tampered one can do no
more than be refused. Compiled graphs are left out; they are content-addressed and read from where they are kept.
"""

from __future__ import annotations

import enum
import io
import logging
import pickle
import platform
from concurrent.futures import Future
from dataclasses import fields
from functools import lru_cache
from typing import Any, Final, Protocol

from flytepath.engine.expansion import map_item
from flytepath.engine.items import Items
from flytepath.engine.jobs import Job
from flytepath.engine.state import ExecutionState, Frame, NodeState, Specs
from flytepath.model.literal import sha256
from flytepath.model.workflow import WorkflowSpec

log = logging.getLogger("flytepath")

#: A first snapshot after so many events, the next when the log is twice as long: what they cost grows with the log.
FIRST_AFTER: Final = 2000


@lru_cache(maxsize=1)
def snapshot_format() -> str:
    """What a snapshot must say of itself to be read by this release on this interpreter."""
    names = [[kind.__name__, *(field.name for field in fields(kind))] for kind in _DATA]
    return f"2/{'.'.join(platform.python_version_tuple()[:2])}/{sha256(repr(names).encode())[7:23]}"


_DATA: Final = (ExecutionState, NodeState, Frame, Items, Job)


def taken(state: ExecutionState) -> bytes:
    """``state`` as bytes; :func:`restored` gives it back."""
    buffer = io.BytesIO()
    _Writer(buffer, state).dump(state)
    return buffer.getvalue()


def restored(body: bytes, spec: WorkflowSpec, specs: Specs) -> ExecutionState | None:
    """The state in a snapshot; ``None`` where it cannot be read, which harms nothing.

    Args:
        body: what :func:`taken` gave.
        spec: the compiled workflow.
        specs: compiled graphs that came up in the run, by digest.
    """
    try:
        state = _Reader(io.BytesIO(body), spec, specs).load()
    except Exception as error:  # noqa: BLE001 - whatever is wrong with it, the log has everything
        log.warning("a snapshot cannot be read, the log is folded from its beginning: %s", error)
        return None
    return state if isinstance(state, ExecutionState) else None


def _kept(kind: str, digest: str, name: str) -> Any:
    """Stands in a snapshot for what is kept elsewhere; only :class:`_Reader` knows where."""
    raise pickle.UnpicklingError(f"{kind} {name} of {digest} is not in a snapshot")


class _Writer(pickle.Pickler):
    def __init__(self, buffer: io.BytesIO, state: ExecutionState) -> None:
        super().__init__(buffer, protocol=5)
        self._known: dict[int, tuple[Any, tuple[Any, ...]]] = {id(state.specs): (_kept, ("specs", "", ""))}
        for digest, spec in [("", state.spec), *state.graphs.items()]:
            self._known[id(spec)] = (_kept, ("graph", digest, ""))
            self._known.update((id(node), (_kept, ("node", digest, node.path))) for node in spec.nodes)
            self._known.update((id(task), (_kept, ("task", digest, name))) for name, task in spec.tasks.items())
        for node in state.nodes.values():
            if node.frame is not None and node.frame.items is not None:
                items = node.frame.items.nodes
                self._known.update((id(item.spec), (map_item, (node.spec, index))) for index, item in items.items())

    def reducer_override(self, value: Any) -> Any:
        """What is kept elsewhere is named, and items of a map follow from it: neither is written out.

        Asked of our own objects only, not of every text and number.
        """
        return self._known.get(id(value), NotImplemented)


class _Reader(pickle.Unpickler):
    def __init__(self, buffer: io.BytesIO, spec: WorkflowSpec, specs: Specs) -> None:
        super().__init__(buffer)
        self._spec = spec
        self._specs = specs
        self._nodes: dict[str, dict[str, Any]] = {}

    def _found(self, kind: str, digest: str, name: str) -> Any:
        if kind == "specs":
            return self._specs
        spec = self._specs(digest) if digest else self._spec
        if kind == "graph":
            return spec
        if kind == "task":
            return spec.tasks[name]
        if digest not in self._nodes:
            self._nodes[digest] = {node.path: node for node in spec.nodes}
        return self._nodes[digest][name]

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == (__name__, _kept.__name__):
            return self._found
        if (module, name) == (map_item.__module__, map_item.__name__):
            return map_item
        if module.startswith(_ROOMS) and name.isidentifier():
            found = super().find_class(module, name)
            if _is_data(found, module):
                return found
        if (module, name) in _PLAIN:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"a snapshot holds no {module}.{name}")


def _is_data(found: Any, module: str) -> bool:
    """Whether it is plain data of that very module: what a module has imported may do anything when it is made."""
    if not isinstance(found, type) or found.__module__ != module:
        return False
    return found in _DATA or issubclass(found, enum.Enum) or module.startswith("flytepath.model.")


#: Whose plain data a snapshot may hold.
_ROOMS: Final = ("flytepath.engine.", "flytepath.model.", "flytepath.plugin.backend")
_PLAIN: Final = frozenset(
    {("array", "_array_reconstructor"), ("array", "array"), ("copyreg", "__newobj__"), ("builtins", "set")}
)


class Keeper(Protocol):
    """Where snapshots are kept."""

    def put_snapshot(self, execution: str, seq: int, format: str, body: bytes) -> Future[None]: ...


class SnapshotKeeper:
    """Takes snapshots of one execution from time to time."""

    def __init__(self, execution: str, state: ExecutionState, keeper: Keeper) -> None:
        self._execution = execution
        self._state = state
        self._keeper = keeper
        self._next = max(FIRST_AFTER, 2 * state.seq)

    def consider(self) -> None:
        """Take one, if the log has grown enough; called when all that the state holds is durable."""
        state = self._state
        if state.seq < self._next:
            return
        self._next = 2 * state.seq
        future = self._keeper.put_snapshot(self._execution, state.seq, snapshot_format(), taken(state))
        future.add_done_callback(_noted)


def _noted(future: Future[None]) -> None:
    if not future.cancelled() and future.exception() is not None:
        log.warning("a snapshot could not be kept: %s", future.exception())


class Snapshots(Protocol):
    """Where a snapshot and the events after it are found."""

    def snapshot(self, execution: str) -> tuple[int, str, bytes] | None: ...


def latest(keeper: Snapshots, execution: str, spec: WorkflowSpec, specs: Specs) -> ExecutionState | None:
    """The state in the latest snapshot of an execution, where there is one that can be read."""
    found = keeper.snapshot(execution)
    if found is None or found[1] != snapshot_format():
        return None
    return restored(found[2], spec, specs)
