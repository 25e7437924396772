"""Caching in direct calls: the same keys and the same file as durable runs, so each finds what the other computed."""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from flytepath.errors import FlytePathError

if TYPE_CHECKING:
    from flytepath.authoring.task import Task
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
_turns: WeakValueDictionary[str, Any] = WeakValueDictionary()
_turns_lock = threading.Lock()
_hashes: ContextVar[Mapping[str, str] | None] = ContextVar("flytepath_hashes", default=None)


class Slot:
    """The place where the outputs of one call are kept.

    Attributes:
        value: what an earlier call gave, once :meth:`is_filled` has found it.
    """

    def __init__(self, task: Task, key: str, cache: OutputCache, blobs: BlobFolder) -> None:
        self._task = task
        self._key = key
        self._cache = cache
        self._blobs = blobs
        self.value: Any = None

    def is_filled(self) -> bool:
        """Whether an equal call has been computed before, and everything it gave is still there."""
        if os.environ.get(OVERWRITE, "0").lower() not in ("", *_OFF):
            return False
        found = self._cache.get(self._key)
        if found is None:
            return False
        task, blobs = self._task, self._blobs
        try:
            for literal in found.values():
                for ref in literal.refs if literal.ref is None else (*literal.refs, literal.ref):
                    blobs.open(ref).close()
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
        task = self._task
        try:
            kept = {name: task.output_codecs[name].encode(v, self._blobs) for name, v in task.named(result).items()}
            self._cache.put(self._key, kept, {"task": task.name})
        except (FlytePathError, OSError) as error:
            log.warning("the outputs of %s could not be kept: %s", task.name, error)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait until no equal call is computed in this process, where the task's cache is to be serialised."""
        caching = self._task.settings.caching
        if caching is None or not caching.serialize:
            yield
            return
        with _turns_lock:
            lock = _turns.setdefault(self._key, threading.RLock())
        with lock:
            yield


def slot_of(task: Task, inputs: Mapping[str, Any]) -> Slot | None:
    """The slot of a call; ``None`` where nothing is kept: caching is switched off, or an input can have no key."""
    if os.environ.get(SWITCH, "1").lower() in _OFF:
        return None
    cache, blobs = _opened()
    try:
        return Slot(task, cache_key_of(task, inputs, blobs), cache, blobs)
    except (FlytePathError, OSError) as error:
        log.warning("the inputs of %s cannot be kept, so its outputs are not looked up: %s", task.name, error)
        return None


def cache_key_of(task: Task, inputs: Mapping[str, Any], blobs: BlobFolder) -> str:
    """The key of a call with these native inputs."""
    from flytepath.model.cache_key import cache_key

    caching = task.settings.caching
    if caching is None:
        raise ValueError(f"{task.name} is not cached")
    ignored = caching.ignored
    given = _hashes.get() or {}
    _hashes.set(None)  # they are this call's, and not of those its body makes
    literals: dict[str, Literal] = {
        name: task.input_codecs[name].encode(value, blobs) for name, value in inputs.items() if name not in ignored
    }
    return cache_key(
        task=task.name,
        interface=_interface(task),
        version=caching.version,
        inputs={name: given.get(name) or literal.hash or literal.digest for name, literal in literals.items()},
        ignored=ignored,
    )


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
        found = _open[str(home)] = (cache, BlobFolder(str(home / "blobs"), tenant.project, tenant.domain))
    return found
