"""Executions as they are stored: the state that a log folds to, by way of a snapshot where there is one."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from flytepath.engine.fold import apply
from flytepath.engine.snapshots import latest
from flytepath.engine.state import ExecutionState
from flytepath.errors import StoreError
from flytepath.model.events import Event, ExecutionCreated
from flytepath.model.literal import Literal
from flytepath.model.workflow import WorkflowSpec
from flytepath.store.events import Store

#: How many compiled graphs are remembered.
REMEMBERED: Final = 64


@dataclass(frozen=True, slots=True)
class Begun:
    """An execution that was begun under a lease of this engine a moment ago: all there is to know of it."""

    created: Event
    spec: WorkflowSpec
    inputs: tuple[Literal, ...] = ()
    epoch: int = 1


class Histories:
    """The executions of one store. Every method may be called from any thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._specs: OrderedDict[str, WorkflowSpec] = OrderedDict()
        self._lock = threading.Lock()

    def spec(self, digest: str) -> WorkflowSpec:
        """A compiled graph."""
        with self._lock:
            known = self._specs.get(digest)
            if known is not None:
                self._specs.move_to_end(digest)
                return known
        made = WorkflowSpec.model_validate(self._store.get_spec(digest))
        with self._lock:
            self._specs[digest] = made
            if len(self._specs) > REMEMBERED:
                self._specs.popitem(last=False)
        return made

    def state(self, execution: str) -> ExecutionState:
        """An execution as it is now.

        Raises:
            NotFoundError: there is none.
        """
        first = self._store.read(execution, until=1)[0].payload
        if not isinstance(first, ExecutionCreated):
            raise StoreError("the log does not begin with the execution's creation", place=execution)
        spec = self.spec(first.spec)
        state = latest(self._store, execution, spec, self.spec) or ExecutionState.of(spec, self.spec)
        self.advance(state, execution)
        return state

    def advance(self, state: ExecutionState, execution: str) -> None:
        """Fold what was appended since."""
        for event in self._store.read(execution, state.seq):
            apply(state, event)
