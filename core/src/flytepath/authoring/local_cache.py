"""Caching in direct calls: the same keys and the same file as durable runs, so each finds what the other computed."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from flytepath.errors import FlytePathError

if TYPE_CHECKING:
    from flytepath.authoring.task import Task
    from flytepath.model.cache_key import KeyParts
    from flytepath.model.literal import Literal
    from flytepath.store.blobs import BlobFolder
    from flytepath.store.output_cache import OutputCache

log = logging.getLogger("flytepath")

#: Set to ``0``, direct calls neither look up nor keep outputs; ``flytepath run`` does not look at it.
SWITCH = "FLYTEPATH_LOCAL_CACHE"
#: Set to ``1``, direct calls compute anew and keep what they computed.
OVERWRITE = "FLYTEPATH_LOCAL_CACHE_OVERWRITE"

_OFF = ("0", "false", "off", "no")

_open: dict[str, tuple[OutputCache, BlobFolder]] = {}
#: The calls that are being computed, of tasks that let one of several equal calls run at a time.
_turns: WeakValueDictionary[str, _Turn] = WeakValueDictionary()
_turns_lock = threading.Lock()
#: What is reserved in the cache right now, by holder: the cache and the key.
_reserved: dict[str, tuple[OutputCache, str]] = {}
_reserved_lock = threading.Lock()
_keeper: threading.Thread | None = None
_hashes: ContextVar[Mapping[str, str] | None] = ContextVar("flytepath_hashes", default=None)


class Slot:
    """The place where the outputs of one call are kept.

    Attributes:
        value: what an earlier call gave, once :meth:`is_filled` has found it.
    """

    def __init__(
        self, task: Task, parts: KeyParts, inputs: Mapping[str, Literal], cache: OutputCache, blobs: BlobFolder
    ) -> None:
        self._task = task
        self._parts = parts
        self._key = parts.key
        self._inputs = inputs
        self._cache = cache
        self._blobs = blobs
        self._dropped = ""
        self.value: Any = None

    def is_filled(self) -> bool:
        """Whether an equal call has been computed before, and everything it gave is still there."""
        if _is_overwriting():
            return False
        found = self._cache.get(self._key)
        if found is None:
            return False
        from flytepath.store.cache_entry import missing

        task, blobs = self._task, self._blobs
        gone = missing(found, blobs)
        if gone is not None:
            self._dropped = gone.uri
            log.warning("what was kept for %s is gone, it is computed anew: %s", task.name, gone.uri)
            self._cache.forget(self._key)
            return False
        try:
            self.value = task.returned(
                {name: codec.decode(found[name], blobs) for name, codec in task.output_codecs.items()}
            )
        except (FlytePathError, OSError, KeyError) as error:
            log.warning("what was kept for %s cannot be read, it is computed anew: %s", task.name, error)
            self._cache.forget(self._key)
            return False
        return True

    def keep(self, result: Any) -> None:
        """Keep what the call gave."""
        from flytepath.store.cache_entry import facts_of, told_of

        task = self._task
        facts = facts_of(self._parts, _interface(task), told_of(self._inputs), dropped=self._dropped)
        try:
            kept = {name: task.output_codecs[name].encode(v, self._blobs) for name, v in task.named(result).items()}
            self._cache.put(self._key, kept, facts)
        except (FlytePathError, OSError) as error:
            log.warning("the outputs of %s could not be kept: %s", task.name, error)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait until no equal call is computed, here or in another process, where the task's cache is serialised."""
        if not self._is_serial() or self._cache.get(self._key) is not None:
            yield
            return
        with _turns_lock:
            turn = _turns.setdefault(f"{self._cache.path} {self._key}", _Turn())
        with turn.lock:
            if turn.is_taken:  # by a call of this very thread, which waits for this one
                yield
                return
            turn.is_taken = True
            try:
                holder, pauses = _new_holder(), _pauses()
                while not self._may_go_on(holder):
                    time.sleep(next(pauses))
                with self._held(holder):
                    yield
            finally:
                turn.is_taken = False

    @asynccontextmanager
    async def turn_async(self) -> AsyncIterator[None]:
        """:meth:`turn` for a task that is a coroutine: the loop turns meanwhile."""
        if not self._is_serial() or self._cache.get(self._key) is not None:
            yield
            return
        import asyncio

        holder, pauses = _new_holder(), _pauses()
        while not self._may_go_on(holder):
            await asyncio.sleep(next(pauses))
        with self._held(holder):
            yield

    def _is_serial(self) -> bool:
        caching = self._task.settings.caching
        return caching is not None and caching.serialize and not _is_overwriting()

    def _may_go_on(self, holder: str) -> bool:
        """Whether nobody else computes this call, so that ``holder`` may, or its outputs are there."""
        if self._cache.get(self._key) is not None:
            return True
        other = self._cache.reserve(self._key, holder)
        if other is None:
            return True
        from flytepath.engine.ownership import is_dead

        if not is_dead(other.holder.rpartition("#")[0]):
            return False
        return self._cache.reserve(self._key, holder, instead_of=other.holder) is None

    @contextmanager
    def _held(self, holder: str) -> Iterator[None]:
        """Keep the reservation alive, if there is one, and release it in the end."""
        global _keeper
        with _reserved_lock:
            _reserved[holder] = (self._cache, self._key)
            if _keeper is None or not _keeper.is_alive():  # it does not live on in a forked process
                _keeper = threading.Thread(target=_renew, name="flytepath-cache-keeper", daemon=True)
                _keeper.start()
        try:
            yield
        finally:
            with _reserved_lock:
                del _reserved[holder]
            self._cache.release(self._key, holder)


class _Turn:
    """Whose turn it is among the threads of this process."""

    __slots__ = ("__weakref__", "is_taken", "lock")

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.is_taken = False


def _new_holder() -> str:
    import uuid

    from flytepath.engine.ownership import this_process

    return f"{this_process()}#{uuid.uuid4().hex[:12]}"


def _pauses() -> Iterator[float]:
    """How long to wait before looking again at what another computes, in seconds."""
    pause = 0.02
    while True:
        yield pause
        pause = min(pause * 1.5, 0.5)


def _renew() -> None:
    from flytepath.store.cache_entry import RENEWAL_SECONDS

    while True:
        time.sleep(RENEWAL_SECONDS)
        with _reserved_lock:
            held = list(_reserved.items())
        for holder, (cache, key) in held:
            cache.renew(holder, [key])


def _is_overwriting() -> bool:
    return os.environ.get(OVERWRITE, "0").lower() not in ("", *_OFF)


def slot_of(task: Task, inputs: Mapping[str, Any]) -> Slot | None:
    """The slot of a call; ``None`` where nothing is kept: caching is switched off, or an input can have no key."""
    if os.environ.get(SWITCH, "1").lower() in _OFF:
        return None
    cache, blobs = _opened()
    try:
        parts, literals = _key_parts_of(task, inputs, blobs)
    except (FlytePathError, OSError) as error:
        log.warning("the inputs of %s cannot be kept, so its outputs are not looked up: %s", task.name, error)
        return None
    return Slot(task, parts, literals, cache, blobs)


def _key_parts_of(task: Task, inputs: Mapping[str, Any], blobs: BlobFolder) -> tuple[KeyParts, dict[str, Literal]]:
    """What the key of a call with these native inputs is made of, and the literals of those that count."""
    from flytepath.model.cache_key import KeyParts

    caching = task.caching
    if caching is None:
        raise ValueError(f"{task.name} is not cached")
    ignored = caching.ignored
    given = _hashes.get() or {}
    _hashes.set(None)  # they are this call's, and not of those its body makes
    literals: dict[str, Literal] = {
        name: task.input_codecs[name].encode(value, blobs) for name, value in inputs.items() if name not in ignored
    }
    parts = KeyParts.of(
        task=task.name,
        interface=_interface(task),
        version=caching.version,
        inputs={name: given.get(name) or literal.hash or literal.digest for name, literal in literals.items()},
        ignored=ignored,
        salt=caching.salt,
    )
    return parts, literals


@contextmanager
def hashes_given(hashes: Mapping[str, str]) -> Iterator[None]:
    """Let the next call take ``hashes`` for its inputs: those that travel with the values in a durable run."""
    token = _hashes.set(hashes)
    try:
        yield
    finally:
        _hashes.reset(token)


def _interface(task: Task) -> Any:
    from flytepath.model.task import Interface, Variable

    found = getattr(task, "_interface_record", None)
    if found is None:
        found = Interface(
            inputs=tuple(Variable(name=name, type=codec.literal_type) for name, codec in task.input_codecs.items()),
            outputs=tuple(Variable(name=name, type=codec.literal_type) for name, codec in task.output_codecs.items()),
        )
        task._interface_record = found  # type: ignore[attr-defined]
    return found


def _opened() -> tuple[OutputCache, BlobFolder]:
    from flytepath import config

    home = config.home()
    found = _open.get(str(home))
    if found is None:
        from flytepath.model.identity import Tenant
        from flytepath.store.blobs import BlobFolder
        from flytepath.store.output_cache import OutputCache

        tenant = Tenant()
        cache = OutputCache(home / "cache.db")
        atexit.register(cache.close)
        found = _open[str(home)] = (cache, BlobFolder(config.blob_root(home), tenant.project, tenant.domain))
    return found
