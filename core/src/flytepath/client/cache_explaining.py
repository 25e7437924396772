"""What is in the output cache, and why it served a node or did not: part by part of the key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from flytepath.client.history import created_of
from flytepath.client.queries import Queries
from flytepath.client.viewing import find_node
from flytepath.client.views import Scope
from flytepath.engine.reuse import Outputs, parts_of
from flytepath.engine.state import ExecutionState, NodeState
from flytepath.engine.values import Values
from flytepath.errors import FlytePathError, NotFoundError
from flytepath.model.cache_key import KeyParts
from flytepath.model.literal import Literal as LiteralValue
from flytepath.model.task import Record
from flytepath.plugin.transformer import BlobSource
from flytepath.store.cache_entry import CacheEntry, missing, signature_of, told_of
from flytepath.store.shared_outputs import outputs_in

#: How many results of a task are compared with a node's key, the newest first.
COMPARED: Final = 5000

Verdict = Literal[
    "hit",
    "recovered",
    "not_cached",
    "overwritten",
    "artifact_missing",
    "no_entry",
    "miss",
    "undecided",
]
Part = Literal["task", "interface", "version", "input", "ignored", "salt"]


class CacheSource(Record):
    """A result in the cache: what computed it, and when. ``execution`` and ``node`` are empty for a direct call."""

    key: str
    task: str
    execution: str
    node: str
    stored_at: float
    version: str = ""
    inputs: dict[str, str] = {}

    @classmethod
    def of(cls, entry: CacheEntry) -> CacheSource:
        """The source that an entry of the cache is."""
        version = entry.parts.version if entry.parts is not None else ""
        return cls(
            key=entry.key,
            task=entry.task,
            execution=entry.execution,
            node=entry.node,
            stored_at=entry.stored_at,
            version=version,
            inputs=entry.shown,
        )


class CacheDifference(Record):
    """One part of two keys that differs: ``name`` is that of an input; the values are as far as they are known."""

    part: Part
    name: str = ""
    here: str = ""
    there: str = ""


class CacheExplanation(Record):
    """Why the cache served a node, or did not.

    Attributes:
        verdict: ``hit``, ``recovered`` (taken over from the execution ``recovered``), ``not_cached``, ``overwritten``
            (nothing was looked up), ``artifact_missing`` (a result was there, but not what it refers to), ``no_entry``
            (no result of this task), ``miss`` (only results of other keys), ``undecided`` (it was not looked up yet).
        reason: the same in a sentence.
        key: the node's key, as far as its inputs are known.
        source: what it was served with, or else the nearest result of the same task.
        differences: every part of the key that differs from that of ``source``.
        missing: the place of what is gone.
    """

    execution: str
    node: str
    task: str
    verdict: Verdict
    reason: str
    key: str = ""
    source: CacheSource | None = None
    differences: tuple[CacheDifference, ...] = ()
    missing: str = ""
    recovered: str = ""


class Caches:
    """The output cache of a home, for people.

    Args:
        queries: the client that is asked; it stays open.
    """

    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    def explanation(self, scope: Scope, execution: str, path: str) -> CacheExplanation:
        """Why the cache served the node at ``path``, or did not.

        Raises:
            NotFoundError, ExecutionStateError: there is no such execution or node.
        """
        queries = self._queries
        state = queries._state(execution)
        node = find_node(state, path)
        created = created_of(state)
        blobs = queries._blobs_of(state)
        try:
            inputs: dict[str, LiteralValue] | None = Values(execution, state, queries._store, blobs).inputs_of(node)
        except (FlytePathError, LookupError):
            inputs = None  # what it is made of is not there yet, or was erased
        outputs = outputs_in(queries.home, queries._store.database, created.project, created.domain)
        try:
            return explain_cache(execution, state, node, inputs, outputs, blobs)
        finally:
            outputs.close()

    def entries(self, scope: Scope, task: str | None = None, limit: int = 50) -> list[CacheSource]:
        """The newest results of the scope's project and domain.

        Args:
            scope: whose.
            task: only those of this task, by its name or the last part of it.
            limit: the most that are listed.
        """
        outputs = self._outputs(scope)
        try:
            names = [None] if task is None else _names(outputs, task)
            found = [entry for name in names for entry in outputs.entries(name, limit=limit)]
            found.sort(key=lambda entry: -entry.stored_at)
            return [CacheSource.of(entry) for entry in found[:limit]]
        finally:
            outputs.close()

    def clear(self, scope: Scope, task: str | None = None, before: float | None = None) -> int:
        """Drop results of the scope's project and domain; how many. What computes right now is not disturbed.

        Args:
            scope: whose.
            task: only those of this task, by its name or the last part of it.
            before: only those put before this time (seconds since the epoch, UTC).

        Raises:
            NotFoundError: there is no result of this task.
        """
        outputs = self._outputs(scope)
        try:
            if task is None:
                return outputs.clear(before=before)
            names = _names(outputs, task)
            if not names:
                known = sorted({entry.task for entry in outputs.entries(limit=COMPARED)})
                raise NotFoundError(
                    f"the cache of {scope.tenant} holds nothing of a task {task}",
                    place=task,
                    expected=f"one of {', '.join(known)}" if known else "nothing: it is empty",
                )
            return sum(outputs.clear(name, before=before) for name in names)
        finally:
            outputs.close()

    def _outputs(self, scope: Scope) -> Outputs:
        tenant, queries = scope.tenant, self._queries
        return outputs_in(queries.home, queries._store.database, tenant.project, tenant.domain)


def _names(outputs: Outputs, task: str) -> list[str]:
    """The tasks that are meant: the one of this name, or else those whose name ends so."""
    if outputs.entries(task, limit=1):
        return [task]
    known = {entry.task for entry in outputs.entries(limit=COMPARED)}
    return sorted(name for name in known if name.rpartition(".")[2] == task)


def explain_cache(
    execution: str,
    state: ExecutionState,
    node: NodeState,
    inputs: Mapping[str, LiteralValue] | None,
    outputs: Outputs,
    blobs: BlobSource,
) -> CacheExplanation:
    """Why the cache served a node, or did not.

    Args:
        execution: its id.
        state: its state.
        node: one of its nodes.
        inputs: what the node is given, ``None`` where that is not known.
        outputs: the cache of its project and domain.
        blobs: the blobs that results refer to.
    """
    return _Explaining(execution, state, node, inputs, outputs, blobs).made()


class _Explaining:
    def __init__(
        self,
        execution: str,
        state: ExecutionState,
        node: NodeState,
        inputs: Mapping[str, LiteralValue] | None,
        outputs: Outputs,
        blobs: BlobSource,
    ) -> None:
        self._execution = execution
        self._state = state
        self._node = node
        self._inputs = inputs
        self._outputs = outputs
        self._blobs = blobs

    def made(self) -> CacheExplanation:
        node, state = self._node, self._state
        if node.recovered:
            reason = f"its outputs were taken over from execution {node.recovered}"
            return self._answer("recovered", reason, recovered=node.recovered)
        if node.cached:
            return self._hit(node.cached)
        task = node.task
        if task is None or not task.cache.enabled:
            return self._answer("not_cached", self._why_not_cached())
        if state.created is not None and state.created.overwrite_cache:
            return self._answer("overwritten", "this execution was asked to compute everything anew", self._key())
        if task.cache.overwrite:
            return self._answer("overwritten", "it is set to compute anew, whatever is there", self._key())
        if self._inputs is None:
            return self._answer("undecided", "its inputs are not known yet" if not node.attempt else _UNKNOWN)
        return self._compared(parts_of(task, self._inputs))

    def _why_not_cached(self) -> str:
        node = self._node
        items = node.tables.tasks.get(node.spec.task) if node.spec.map is not None else None
        if items is not None and items.cache.enabled:
            return f"the items of a map are cached each by its own inputs: ask for one of them, such as {node.path}/0"
        return "its task is not cached" if node.task is not None else f"a {node.kind} is not cached"

    def _hit(self, key: str) -> CacheExplanation:
        entry = self._outputs.entry(key)
        if entry is None:
            return self._answer("hit", "its outputs were in the cache; they have been dropped from it since", key)
        ended = self._node.ended_at
        since = ended is not None and entry.stored_at > ended
        reason = f"its outputs were computed by {_origin(entry)}"
        if since:
            reason = f"its outputs were in the cache; {_origin(entry)} has computed them anew since"
        return self._answer("hit", reason, key, entry)

    def _compared(self, ours: KeyParts) -> CacheExplanation:
        node, key = self._node, ours.key
        found = self._outputs.entry(key)
        own = found is not None and self._is_own(found)
        if found is not None and own and found.dropped:
            reason = "a result was there, but something it refers to was gone"
            return self._answer("artifact_missing", reason, key, gone=found.dropped)
        if found is not None and not own:
            gone = missing(self._outputs.get(key) or {}, self._blobs)
            if gone is not None:
                reason = "a result is there, but something it refers to is gone"
                return self._answer("artifact_missing", reason, key, found, gone=gone.uri)
            began = node.started_at
            if began is None:
                return self._answer("undecided", f"it has not started; {_origin(found)} has its outputs", key, found)
            when = "after it had started" if found.stored_at >= began else "and could not be read when it started"
            return self._answer("miss", f"{_origin(found)} has put the same result, {when}", key, found)
        others = [entry for entry in self._outputs.entries(ours.task, limit=COMPARED) if not self._is_own(entry)]
        told = [entry for entry in others if entry.parts is not None]
        verdict: Verdict = "miss" if node.attempt else "undecided"
        if not told:
            reason = (
                "there is no result of this task" if not others else "of the results of this task no parts are kept"
            )
            return self._answer("no_entry" if node.attempt else "undecided", reason, key)
        nearest = min(told, key=lambda entry: self._distance(ours, entry))
        differences = self._differences(ours, nearest)
        what = ", ".join(dict.fromkeys(_in_words(each) for each in differences))
        return self._answer(
            verdict, f"the nearest result, by {_origin(nearest)}, differs in {what}", key, nearest, differences
        )

    def _distance(self, ours: KeyParts, entry: CacheEntry) -> tuple[int, bool, bool, float]:
        """What was there first goes before what came later, what others computed before what this execution did."""
        began = self._node.started_at
        later = began is not None and entry.stored_at >= began
        count = len(ours.differing(entry.parts)) if entry.parts is not None else 0
        return (count, later, entry.execution == self._execution, -entry.stored_at)

    def _differences(self, ours: KeyParts, entry: CacheEntry) -> tuple[CacheDifference, ...]:
        theirs = entry.parts
        if theirs is None or self._node.task is None:
            return ()
        here: Mapping[str, str] = told_of(self._inputs or {})["shown"]
        made: list[CacheDifference] = []
        for part, name in ours.differing(theirs):
            match part:
                case "input":
                    sides: Sequence[str] = (
                        _value(ours, name, here),
                        _value(theirs, name, entry.shown),
                    )
                case "interface":
                    sides = (signature_of(self._node.task.interface), entry.signature)
                case "ignored":
                    sides = (", ".join(ours.ignored) or "none", ", ".join(theirs.ignored) or "none")
                case _:
                    sides = (getattr(ours, part), getattr(theirs, part))
            made.append(CacheDifference(part=part, name=name, here=sides[0], there=sides[1]))
        return tuple(made)

    def _is_own(self, entry: CacheEntry) -> bool:
        return entry.execution == self._execution and entry.node == self._node.path

    def _key(self) -> str:
        task = self._node.task
        return "" if task is None or self._inputs is None else parts_of(task, self._inputs).key

    def _answer(
        self,
        verdict: Verdict,
        reason: str,
        key: str = "",
        source: CacheEntry | None = None,
        differences: tuple[CacheDifference, ...] = (),
        *,
        gone: str = "",
        recovered: str = "",
    ) -> CacheExplanation:
        return CacheExplanation(
            execution=self._execution,
            node=self._node.path,
            task=self._node.name,
            verdict=verdict,
            reason=reason,
            key=key,
            source=None if source is None else CacheSource.of(source),
            differences=differences,
            missing=gone,
            recovered=recovered,
        )


_UNKNOWN: Final = "its inputs are no longer there to be compared"


def _origin(entry: CacheEntry) -> str:
    return f"{entry.node} of execution {entry.execution}" if entry.execution else "a direct call"


def _in_words(difference: CacheDifference) -> str:
    words = {"version": "the cache version", "ignored": "the ignored inputs", "input": f"input {difference.name}"}
    return words.get(difference.part, f"the {difference.part}")


def _value(parts: KeyParts, name: str, shown: Mapping[str, str]) -> str:
    """A value as it was shown; two that look alike are told apart by what stands for them."""
    stands = dict(parts.inputs).get(name)
    if stands is None:
        return "not there"
    digest = stands.removeprefix("sha256:")[:12]
    return f"{shown[name]} [{digest}]" if name in shown else f"[{digest}]"
