"""The cache key: what must be the same for the outputs of one run of a task to be those of another.

Pure and byte stable: the same facts give the same key in every process, on every machine and in every release, so that
a result of a direct call serves a durable run and the other way round. A test holds one key for ever.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from flytepath.errors import LiteralError, UsageError
from flytepath.model.literal import canonical_json, sha256
from flytepath.model.task import Interface

#: Raised when the meaning of a key changes; keys of different formats never meet.
KEY_FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class KeyParts:
    """What a key is made of, kept beside the outputs, so that two keys can be compared part by part.

    Attributes:
        task: the task's name.
        interface: the digest of the names and types of its inputs and outputs.
        version: the version the author or the cache policies gave.
        inputs: ``(name, what stands for the value)`` of the inputs that count, by name.
        ignored: the names of those that do not.
        salt: anything else that tells results apart.
    """

    task: str
    interface: str
    version: str
    inputs: tuple[tuple[str, str], ...] = ()
    ignored: tuple[str, ...] = ()
    salt: str = ""

    @classmethod
    def of(
        cls,
        *,
        task: str,
        interface: Interface,
        version: str,
        inputs: Mapping[str, str],
        ignored: Collection[str] = (),
        salt: str = "",
    ) -> KeyParts:
        """The parts for given inputs; the arguments are those of :func:`cache_key`.

        Raises:
            UsageError: an ignored input does not exist.
        """
        if not ignored:
            return cls(task, shape_digest(interface), version, tuple(sorted(inputs.items())), (), salt)
        _check_ignored(task, interface, ignored)
        counted = tuple((name, inputs[name]) for name in sorted(inputs) if name not in ignored)
        return cls(task, shape_digest(interface), version, counted, tuple(sorted(set(ignored))), salt)

    @property
    def key(self) -> str:
        """The key. Ignored inputs are not in it; that they are missing tells it from one that counts them."""
        facts = [
            KEY_FORMAT,
            self.task,
            self.interface,
            self.version,
            self.inputs,
            self.salt,
        ]
        return sha256(canonical_json(facts))

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "format": KEY_FORMAT,
            "task": self.task,
            "interface": self.interface,
            "version": self.version,
            "inputs": dict(self.inputs),
            "ignored": list(self.ignored),
            "salt": self.salt,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> KeyParts:
        """The inverse of :meth:`to_json`.

        Raises:
            LiteralError: this is not what it wrote.
        """
        try:
            return cls(
                str(data["task"]),
                str(data["interface"]),
                str(data["version"]),
                tuple(sorted((str(name), str(value)) for name, value in data["inputs"].items())),
                tuple(sorted(str(name) for name in data["ignored"])),
                str(data["salt"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise LiteralError("these are not the parts of a cache key", actual=repr(data)[:200]) from error

    def differing(self, other: KeyParts) -> tuple[tuple[str, str], ...]:
        """What differs from ``other``: ``(part, name)``, where ``name`` is that of an input and empty otherwise.

        Example:
            >>> from flytepath.model.types import INTEGER
            >>> from flytepath.model.task import Variable
            >>> interface = Interface(inputs=(Variable(name="a", type=INTEGER),))
            >>> one = KeyParts.of(task="t", interface=interface, version="1", inputs={"a": "sha256:1"})
            >>> two = KeyParts.of(task="t", interface=interface, version="2", inputs={"a": "sha256:2"})
            >>> one.differing(two)
            (('version', ''), ('input', 'a'))
        """
        plain = ("task", "interface", "version", "ignored", "salt")
        found = [(part, "") for part in plain if getattr(self, part) != getattr(other, part)]
        ours, theirs = dict(self.inputs), dict(other.inputs)
        skipped = {*self.ignored, *other.ignored}
        found += [("input", name) for name in sorted({*ours, *theirs} - skipped) if ours.get(name) != theirs.get(name)]
        return tuple(found)


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
    made = KeyParts.of(task=task, interface=interface, version=version, inputs=inputs, ignored=ignored, salt=salt)
    return made.key


def shape_digest(interface: Interface) -> str:
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


def _check_ignored(task: str, interface: Interface, ignored: Collection[str]) -> None:
    names = {variable.name for variable in interface.inputs}
    unknown = sorted(set(ignored) - names)
    if unknown:
        raise UsageError(
            f"the cache of {task} ignores an input that does not exist: {unknown[0]}",
            place=task,
            expected="one of " + (", ".join(sorted(names)) or "no inputs"),
            hint="correct the ignored inputs of the cache",
        )


_KEPT: Final = "_shape_digest"
