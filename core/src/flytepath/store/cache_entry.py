"""What caches keep beside outputs: where they come from, what their key was made of, and who computes others."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from flytepath.errors import FlytePathError, LiteralError
from flytepath.model.cache_key import KeyParts
from flytepath.model.literal import JSON_FORMAT, BlobRef, Literal, canonical_text
from flytepath.model.task import Interface

if TYPE_CHECKING:
    from flytepath.plugin.transformer import BlobSource

#: How long a reservation lives unless it is renewed (seconds), and how often it is.
RESERVED_SECONDS: Final = 30.0
RENEWAL_SECONDS: Final = 10.0
#: The most characters of a value that are kept for people.
SHOWN_LIMIT: Final = 60


@dataclass(frozen=True, slots=True)
class Reservation:
    """Somebody computes the outputs of a key: ``holder``, for ``node`` of ``execution``, until ``expires_at``."""

    holder: str
    execution: str = ""
    node: str = ""
    expires_at: float = 0.0


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """One result that is kept.

    Attributes:
        key: its key.
        task: the task's name.
        stored_at: when it was put, in seconds since the epoch (UTC).
        execution, node: what computed it; empty for a direct call.
        parts: what the key was made of; ``None`` where that was not kept.
        signature: the interface in words.
        shown: inputs as far as they can be shown.
        dropped: what was there before and could not be used: the place of the artifact that was gone.
    """

    key: str
    task: str
    stored_at: float
    execution: str = ""
    node: str = ""
    parts: KeyParts | None = None
    signature: str = ""
    shown: dict[str, str] = field(default_factory=dict)
    dropped: str = ""

    @classmethod
    def read(cls, key: str, task: str, facts: str, stored_at: float) -> CacheEntry:
        """The entry of a row; facts that cannot be read are left out."""
        try:
            data = json.loads(facts)
            parts = KeyParts.from_json(data["parts"]) if "parts" in data else None
            shown = {str(name): str(text) for name, text in data.get("shown", {}).items()}
            texts = [str(data.get(name, "")) for name in ("execution", "node", "signature", "dropped")]
        except (ValueError, AttributeError, TypeError, LiteralError):
            return cls(key, task, stored_at)
        execution, node, signature, dropped = texts
        return cls(key, task, stored_at, execution, node, parts, signature, shown, dropped)


def told_of(inputs: Mapping[str, Literal]) -> dict[str, Any]:
    """What is kept of the inputs: how they look, and the digests of those that a hash stands for in the key.

    So each entry names every value that it was computed from, and goes when one of them is to be erased.
    """
    told: dict[str, Any] = {"shown": {name: short(literal) for name, literal in inputs.items()}}
    hashed = [literal.digest for literal in inputs.values() if literal.hash is not None]
    return told | {"hashed": hashed} if hashed else told


def facts_of(
    parts: KeyParts,
    interface: Interface,
    told: Mapping[str, Any],
    *,
    execution: str = "",
    node: str = "",
    dropped: str = "",
) -> dict[str, Any]:
    """The facts that are kept beside outputs; :meth:`CacheEntry.read` reads them."""
    facts: dict[str, Any] = {
        "task": parts.task,
        "parts": parts.to_json(),
        "signature": signature_of(interface),
        **told,
    }
    facts |= {name: text for name, text in (("execution", execution), ("node", node), ("dropped", dropped)) if text}
    return facts


def signature_of(interface: Interface) -> str:
    """An interface in words.

    Example:
        >>> from flytepath.model.task import Variable
        >>> from flytepath.model.types import INTEGER
        >>> signature_of(Interface(inputs=(Variable(name="a", type=INTEGER),)))
        '(a: integer) -> ()'
    """
    sides = (interface.inputs, interface.outputs)
    inputs, outputs = (", ".join(f"{variable.name}: {variable.type}" for variable in side) for side in sides)
    return f"({inputs}) -> ({outputs})"


def short(literal: Literal) -> str:
    """A value in a few words, for people who compare two.

    Example:
        >>> from flytepath.model.types import INTEGER
        >>> short(Literal.make(INTEGER, 3))
        '3'
    """
    if literal.format != JSON_FORMAT or literal.ref is not None:
        size = f" of {literal.ref.size} bytes" if literal.ref is not None else ""
        text = f"{literal.type}{size}"
    elif isinstance(literal.data, list | dict) and len(literal.data) > SHOWN_LIMIT:
        text = f"{literal.type} of {len(literal.data)} items"
    else:
        text = canonical_text(literal.data)
    return text if len(text) <= SHOWN_LIMIT else f"{text[: SHOWN_LIMIT - 3]}..."


def missing(outputs: Mapping[str, Literal], source: BlobSource) -> BlobRef | None:
    """The first blob that ``outputs`` refer to and that is not there; each is looked at once."""
    refs = {
        ref.digest: ref
        for literal in outputs.values()
        for ref in (literal.refs if literal.ref is None else (literal.ref, *literal.refs))
    }
    if not refs:
        return None
    exists: Callable[[BlobRef], bool] = getattr(source, "exists", None) or (lambda ref: _opens(source, ref))
    for ref in refs.values():
        try:
            if not exists(ref):
                return ref
        except (FlytePathError, OSError):
            return ref
    return None


def _opens(source: BlobSource, ref: BlobRef) -> bool:
    source.open(ref).close()
    return True
