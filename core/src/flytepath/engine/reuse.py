"""Reuse of outputs in durable runs: the look-up before an attempt, what is kept after it, and who computes meanwhile.

Of all that need the outputs of one key, one computes them: the nodes of one process take turns in a *flight*
(:mod:`flytepath.engine.flights`), processes by a *reservation*, a lease in the cache itself. Whatever goes wrong with
the cache, tasks run without it.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from flytepath.engine.flights import FLIGHTS, Ticket
from flytepath.engine.ownership import is_dead
from flytepath.engine.state import NodeState
from flytepath.model.cache_key import KeyParts
from flytepath.model.literal import Literal
from flytepath.model.task import TaskSpec
from flytepath.plugin.transformer import BlobSource
from flytepath.store.cache_entry import RENEWAL_SECONDS, CacheEntry, Reservation, facts_of, missing, told_of

log = logging.getLogger("flytepath")

T = TypeVar("T")

#: The first and the longest pause between two looks at what another process computes (seconds).
FIRST_PAUSE: Final = 0.02
LONGEST_PAUSE: Final = 0.5
#: How many looks share a thread, and how many threads look at once: one may wait for a store far away.
MOST_LOOKS: Final = 32
MOST_LOOKERS: Final = 4


class Outputs(Protocol):
    """Outputs by cache key, of one project and domain. None of the calls ever fails: without a cache, tasks run."""

    @property
    def place(self) -> tuple[str, ...]:
        """What two objects have in common that share their results."""

    def get(self, key: str) -> dict[str, Literal] | None:
        """The outputs under ``key``."""

    def put(self, key: str, outputs: Mapping[str, Literal], facts: Mapping[str, Any] | None = None) -> None:
        """Keep outputs in place of what is there."""

    def forget(self, key: str) -> None:
        """Drop what is kept under ``key``."""

    def reserve(
        self, key: str, holder: str, *, execution: str = "", node: str = "", instead_of: str = ""
    ) -> Reservation | None:
        """Reserve ``key``; the reservation of another that is in force, ``None`` where it is ours now."""

    def renew(self, holder: str, keys: Collection[str]) -> None:
        """Let reservations last on."""

    def release(self, key: str, holder: str) -> None:
        """End a reservation."""

    def entry(self, key: str) -> CacheEntry | None:
        """What is known of the result under ``key``."""

    def entries(self, task: str | None = None, *, limit: int = 1000) -> list[CacheEntry]:
        """The newest results."""

    def clear(self, task: str | None = None, *, before: float | None = None) -> int:
        """Drop results; how many."""

    def close(self) -> None:
        """Let go of what is open."""


@dataclass(frozen=True, slots=True)
class Found:
    """Outputs that were there already."""

    key: str
    outputs: dict[str, Literal]


@dataclass(slots=True)
class _Asked:
    """What a node that computes was asked for: kept beside its outputs. ``ticket``: others may wait for it."""

    parts: KeyParts
    key: str
    told: dict[str, Any] = field(default_factory=dict)
    ticket: Ticket | None = None
    dropped: str = ""


@dataclass(frozen=True, slots=True)
class _Effect:
    """A change of the cache: ``work`` in a thread, when ``after`` has ended; then ``then`` in the loop."""

    work: Callable[[], None]
    then: Callable[[], None]
    after: asyncio.Future[Any] | None = None


class Reuses:
    """What one execution finds in the cache and adds to it. To be used in one event loop.

    Args:
        cache: the outputs of its project and domain; ``None`` where nothing is reused.
        source: the blobs that outputs refer to.
        execution: its id, kept as a fact.
        holder: the process that drives it, as :func:`flytepath.engine.ownership.this_process` names it.
        overwrite: look nothing up and wait for nobody, but keep what comes out.
    """

    def __init__(
        self, cache: Outputs | None, source: BlobSource, execution: str, *, holder: str, overwrite: bool = False
    ) -> None:
        self._cache = cache
        self._source = source
        self._execution = execution
        self._holder = f"{holder}#{uuid.uuid4().hex[:12]}"
        self._overwrite = overwrite
        self._asked: dict[str, _Asked] = {}  # by node
        self._looks: dict[Ticket, asyncio.Future[Any]] = {}
        self._wanted: list[tuple[_Asked, Ticket, asyncio.Future[Any]]] = []
        self._lookers: set[asyncio.Task[None]] = set()
        self._keeper: asyncio.Task[None] | None = None
        self._effects: list[_Effect] = []
        self._working: asyncio.Task[None] | None = None
        self._closed = False

    def applies_to(self, node: NodeState) -> bool:
        """Whether the outputs of this node are looked up or kept at all."""
        return self._cache is not None and node.task is not None and node.task.cache.enabled

    async def resolve(self, node: NodeState, inputs: Mapping[str, Literal]) -> Found | None:
        """Outputs for a node that is about to start; ``None``: it computes them, until :meth:`kept` or :meth:`forget`.

        Waits while another node computes the same, in this execution, another one or another process. A node that
        computes already, and is tried again, goes on.

        Raises:
            UsageError: the task ignores an input that does not exist.
        """
        cache, task, path = self._cache, node.task, node.path
        if cache is None or task is None or not task.cache.enabled:
            return None
        parts = parts_of(task, inputs)
        key = parts.key
        known = self._asked.get(path)
        if known is not None and known.key == key:
            return None
        asked = _Asked(parts, key)
        if self._overwrite or task.cache.overwrite:
            asked.told = told_of(inputs)
            self._asked[path] = asked
            return None
        ticket = FLIGHTS.join((*cache.place, key), self._execution, path)
        try:
            outputs = await FLIGHTS.wait(ticket)
            if outputs is None and not ticket.alone:
                outputs = await self._claim(cache, asked, ticket)
        except (asyncio.CancelledError, Exception):
            if ticket in self._looks:
                self._give_up(cache, key, ticket)
            else:  # without a look, there is no reservation to release
                FLIGHTS.leave(ticket)
            raise
        if outputs is not None:
            return Found(key, outputs)
        asked.told = told_of(inputs)
        asked.ticket = None if ticket.alone else ticket
        self._asked[path] = asked
        if self._keeper is None and not self._closed:
            self._keeper = asyncio.create_task(self._renew(cache))
        return None

    def kept(self, node: NodeState, outputs: Mapping[str, Literal]) -> None:
        """Keep the outputs of a node that has succeeded, now that this is durable."""
        cache, task, path = self._cache, node.task, node.path
        if cache is None or task is None or not task.cache.enabled:
            return
        asked = self._asked.pop(path, None)
        if asked is None:
            # Another engine looked it up: a dynamic task whose nodes were driven to their end after a takeover.
            parts = parts_of(task, node.inputs)
            asked = _Asked(parts, parts.key)
        origin = {"execution": self._execution, "node": path, "dropped": asked.dropped}
        facts = facts_of(asked.parts, task.interface, asked.told, **origin)
        given, ticket = dict(outputs), asked.ticket

        def work() -> None:
            cache.put(asked.key, given, facts)
            if ticket is not None:
                cache.release(asked.key, self._holder)

        # It lands when it is there: who comes next finds the outputs, and needs no reservation.
        self._later(_Effect(work, lambda: None if ticket is None else FLIGHTS.land(ticket, given)))

    def forget(self, path: str) -> None:
        """A node has failed for good, or was stopped: let another compute what it would have given."""
        cache, asked = self._cache, self._asked.pop(path, None)
        if cache is None or asked is None or asked.ticket is None:
            return
        self._give_up(cache, asked.key, asked.ticket)

    async def close(self) -> None:
        """Finish what is under way and release what is held."""
        self._closed = True
        for path in list(self._asked):
            self.forget(path)
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper
            self._keeper = None
        while self._working is not None:
            await asyncio.shield(self._working)

    # --- look-up and reservation ---

    async def _claim(self, cache: Outputs, asked: _Asked, ticket: Ticket) -> dict[str, Literal] | None:
        """The outputs of ``asked``, or ``None`` with the reservation held; waits for other processes."""
        pause = FIRST_PAUSE
        while True:
            looking = self._looks[ticket] = self._later_looked(cache, asked, ticket)
            # Nothing can stop a thread: cancelled, this leaves it to what is done later to wait for its end.
            answer: dict[str, Literal] | Reservation | None = await asyncio.shield(looking)
            del self._looks[ticket]
            if not isinstance(answer, Reservation):
                break
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)
        if answer is not None:
            FLIGHTS.land(ticket, answer)
        return answer

    def _later_looked(self, cache: Outputs, asked: _Asked, ticket: Ticket) -> asyncio.Future[Any]:
        """What :meth:`_look` will return. Looks that are due together share a thread, which costs more than a look."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._wanted.append((asked, ticket, future))
        if len(self._lookers) < MOST_LOOKERS:
            looker = loop.create_task(self._look_together(cache))
            self._lookers.add(looker)
            looker.add_done_callback(self._lookers.discard)
        return future

    async def _look_together(self, cache: Outputs) -> None:
        while self._wanted:
            batch, self._wanted = self._wanted[:MOST_LOOKS], self._wanted[MOST_LOOKS:]
            answers = await asyncio.to_thread(self._look_each, cache, [(asked, ticket) for asked, ticket, _ in batch])
            for (_, _, future), answer in zip(batch, answers, strict=True):
                if isinstance(answer, Exception):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)

    def _look_each(self, cache: Outputs, batch: list[tuple[_Asked, Ticket]]) -> list[Any]:
        answers: list[Any] = []
        for asked, ticket in batch:
            try:
                answers.append(self._look(cache, asked, ticket))
            except Exception as error:  # noqa: BLE001 - it belongs to the node that asked
                answers.append(error)
        return answers

    def _look(self, cache: Outputs, asked: _Asked, ticket: Ticket) -> dict[str, Literal] | Reservation | None:
        found = self._usable(cache, asked)
        if found is not None:
            return found
        facts = {"execution": ticket.execution, "node": ticket.node}
        other = cache.reserve(asked.key, self._holder, **facts)
        if other is not None and _is_gone(other, ticket):
            other = cache.reserve(asked.key, self._holder, **facts, instead_of=other.holder)
        if other is not None:
            return other
        # Whoever had the reservation may have put its outputs since the first look.
        found = self._usable(cache, asked)
        if found is not None:
            cache.release(asked.key, self._holder)
        return found

    def _usable(self, cache: Outputs, asked: _Asked) -> dict[str, Literal] | None:
        outputs = cache.get(asked.key)
        if outputs is None:
            return None
        gone = missing(outputs, self._source)
        if gone is None:
            return outputs
        asked.dropped = gone.uri
        log.warning(
            "what was kept for %s refers to something that is gone, it is computed anew: %s", asked.parts.task, gone.uri
        )
        cache.forget(asked.key)
        return None

    # --- changes, one after the other ---

    def _give_up(self, cache: Outputs, key: str, ticket: Ticket) -> None:
        """Let the next one compute, once the reservation is released."""
        work = partial(cache.release, key, self._holder)
        self._later(_Effect(work, partial(FLIGHTS.leave, ticket), self._looks.pop(ticket, None)))

    def _later(self, effect: _Effect) -> None:
        self._effects.append(effect)
        if self._working is None:
            self._working = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        try:
            while self._effects:
                batch, self._effects = self._effects, []
                before = [effect.after for effect in batch if effect.after is not None]
                if before:
                    await asyncio.gather(*before, return_exceptions=True)
                await asyncio.to_thread(_carry_out, batch)
                for effect in batch:
                    effect.then()
        finally:
            self._working = None

    async def _renew(self, cache: Outputs) -> None:
        while True:
            await asyncio.sleep(RENEWAL_SECONDS)
            held = [asked.key for asked in self._asked.values() if asked.ticket is not None]
            if held:
                await asyncio.to_thread(cache.renew, self._holder, held)


def parts_of(task: TaskSpec, inputs: Mapping[str, Literal] | Mapping[str, str]) -> KeyParts:
    """What the cache key of ``task`` is made of for these inputs, or for what their digests say of them.

    Raises:
        UsageError: the task ignores an input that does not exist.
    """
    stands = {name: given if isinstance(given, str) else given.hash or given.digest for name, given in inputs.items()}
    return KeyParts.of(
        task=task.name,
        interface=task.interface,
        version=task.cache.version,
        inputs=stands,
        ignored=task.cache.ignored_inputs,
        salt=task.cache.salt,
    )


def _is_gone(other: Reservation, ticket: Ticket) -> bool:
    """Whether a reservation no longer counts: its process has ended, or drove this very node before it was taken over.

    A node below the one that holds it cannot wait for it either.
    """
    if is_dead(other.holder.rpartition("#")[0]):
        return True
    if not ticket.execution or other.execution != ticket.execution:
        return False
    return ticket.node == other.node or ticket.node.startswith(f"{other.node}/")


def _carry_out(batch: list[_Effect]) -> None:
    for effect in batch:
        try:
            effect.work()
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a cache, those that wait must go on
            log.warning("the output cache could not be changed: %s", error)
