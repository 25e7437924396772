"""The cache key: what must be the same for the outputs of one run of a task to be those of another.

Pure and byte stable: the same facts give the same key in every process, on every machine and in every release, so that
a result of a direct call serves a durable run and the other way round. A test holds one key for ever.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from flytepath.errors import UsageError
from flytepath.model.literal import canonical_json, sha256
from flytepath.model.task import Interface

#: Raised when the meaning of a key changes; keys of different formats never meet.
KEY_FORMAT: Final = 1


def cache_key(
    *,
    task: str,
    interface: Interface,
    version: str,
    inputs: Mapping[str, str],
    ignored: Collection[str] = (),
    salt: str = "",
) -> str:
    """The key of a task's outputs for given inputs.

    Args:
        task: the task's name.
        interface: its inputs and outputs; names and types count, defaults do not.
        version: the version the author or the cache policies gave.
        inputs: name -> what stands for the value: ``literal.hash or literal.digest``.
        ignored: inputs that make no difference.
        salt: anything else that tells results apart.

    Raises:
        UsageError: an ignored input does not exist.

    Example:
        >>> from flytepath.model.task import Variable
        >>> from flytepath.model.types import INTEGER
        >>> interface = Interface(inputs=(Variable(name="a", type=INTEGER), Variable(name="b", type=INTEGER)))
        >>> key = cache_key(task="t", interface=interface, version="1", inputs={"a": "x", "b": "y"}, ignored={"b"})
        >>> key == cache_key(task="t", interface=interface, version="1", inputs={"b": "z", "a": "x"}, ignored=["b"])
        True
        >>> key == cache_key(task="t", interface=interface, version="2", inputs={"a": "x", "b": "y"}, ignored={"b"})
        False
    """
    names = {variable.name for variable in interface.inputs}
    unknown = sorted(set(ignored) - names)
    if unknown:
        raise UsageError(
            f"the cache of {task} ignores an input that does not exist: {unknown[0]}",
            place=task,
            expected="one of " + (", ".join(sorted(names)) or "no inputs"),
            hint="correct the ignored inputs of the cache",
        )
    facts = [
        KEY_FORMAT,
        task,
        _digest(interface),
        version,
        [[name, inputs[name]] for name in sorted(inputs) if name not in ignored],
        salt,
    ]
    return sha256(canonical_json(facts))


def _digest(interface: Interface) -> str:
    """The digest of the names and types; kept on the interface itself, because a direct call asks every time."""
    known: str | None = getattr(interface, _KEPT, None)
    if known is not None:
        return known
    shape = [
        [[variable.name, variable.type.to_json()] for variable in variables]
        for variables in (interface.inputs, interface.outputs)
    ]
    digest = sha256(canonical_json(shape))
    object.__setattr__(interface, _KEPT, digest)
    return digest


_KEPT: Final = "_shape_digest"
