"""Caching in direct calls: the same keys and the same file as durable runs, so each finds what the other computed."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

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

_open: dict[str, tuple[OutputCache, BlobFolder]] = {}


def reused(task: Task, inputs: dict[str, Any], compute: Callable[[], Any]) -> Any:
    """What an earlier call with equal inputs gave, or what ``compute`` gives, which is kept."""
    if os.environ.get(SWITCH, "1").lower() in ("0", "false", "off", "no"):
        return compute()
    cache, blobs = _opened()
    try:
        key = cache_key_of(task, inputs, blobs)
    except FlytePathError as error:
        log.warning("the inputs of %s cannot be kept, so its outputs are not looked up: %s", task.name, error)
        return compute()
    if os.environ.get(OVERWRITE, "0").lower() not in ("1", "true", "on", "yes"):
        found = cache.get(key)
        if found is not None:
            try:
                return task.returned(
                    {name: task.output_codecs[name].decode(found[name], blobs) for name in task.outputs}
                )
            except (FlytePathError, OSError, KeyError) as error:
                log.warning("what was kept for %s cannot be read, it is computed anew: %s", task.name, error)
    result = compute()
    outputs = task.named(result)
    try:
        kept = {name: task.output_codecs[name].encode(value, blobs) for name, value in outputs.items()}
        cache.put(key, kept)
    except (FlytePathError, OSError) as error:
        log.warning("the outputs of %s could not be kept: %s", task.name, error)
    return result


def cache_key_of(task: Task, inputs: Mapping[str, Any], blobs: BlobFolder) -> str:
    """The key of a call with these native inputs."""
    from flytepath.model.cache_key import cache_key

    caching = task.settings.caching
    if caching is None:
        raise ValueError(f"{task.name} is not cached")
    ignored = caching.ignored
    literals: dict[str, Literal] = {
        name: task.input_codecs[name].encode(value, blobs) for name, value in inputs.items() if name not in ignored
    }
    return cache_key(
        task=task.name,
        interface=_interface(task),
        version=caching.version,
        inputs={name: literal.hash or literal.digest for name, literal in literals.items()},
        ignored=ignored,
    )


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
        found = _open[str(home)] = (
            OutputCache(home / "cache.db"),
            BlobFolder(str(home / "blobs"), tenant.project, tenant.domain),
        )
    return found
