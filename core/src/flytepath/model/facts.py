"""What events are made of: who, a blob, a failure, what was used, and the base of every kind of event."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from flytepath.errors import FlytePathError
from flytepath.model.literal import BlobRef
from flytepath.model.task import Record

#: Digests of literals by variable name; the literals themselves lie in the store.
LiteralDigests = dict[str, str]


class Actor(Record):
    """Who made it happen: a person, an engine, a schedule."""

    kind: Literal["user", "engine", "worker", "schedule", "backend"]
    name: str


class Blob(Record):
    """A blob reference as a field of an event."""

    uri: str
    digest: str
    size: int

    @classmethod
    def of(cls, ref: BlobRef) -> Blob:
        """The same reference."""
        return cls(uri=ref.uri, digest=ref.digest, size=ref.size)


class ErrorRecord(Record):
    """A failure as it is kept. ``kind`` says whose: the user's code, the system, or a worker that was lost.

    ``traceback`` is the user's own, without our frames. ``recoverable`` is false where a retry cannot help.
    """

    kind: Literal["user", "system", "preempted", "timeout"]
    code: str
    type: str = ""
    message: str
    place: str | None = None
    expected: str | None = None
    actual: str | None = None
    hint: str | None = None
    traceback: str = ""
    recoverable: bool = True

    @classmethod
    def of(cls, error: FlytePathError, *, place: str | None = None, **facts: Any) -> ErrorRecord:
        """The record of an error of ours; ``place`` is where, unless the error knows better."""
        return cls(**{**error.to_json(), "place": error.place or place, **facts})


class Usage(Record):
    """What an attempt used."""

    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0


class EventPayload(Record):
    """One kind of event."""

    #: The current schema version of this kind of event.
    version: ClassVar[int] = 1
    #: Fields that came later: left out of the stored form while they say nothing, so they need no new version.
    added: ClassVar[tuple[str, ...]] = ()
