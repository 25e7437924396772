"""What an engine and a worker say to each other: framed, versioned JSON after a handshake.

A frame is four bytes of length (big endian) and that many bytes of JSON, an object with ``type``. Remote workers
exchange the same messages as blobs. Literals travel whole: small ones inline, large ones as references.

What a task prints does not pass here: it goes down the worker's own standard output and error, each ended by
:func:`end_of_output` when an attempt is over.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from flytepath.model.events import Blob, ErrorRecord, Usage
from flytepath.model.literal import Literal as LiteralValue
from flytepath.model.task import Record, TaskSpec

PROTOCOL_VERSION = 1
#: A longer frame is refused: what is large belongs into the blob store.
FRAME_LIMIT = 64 * 1024 * 1024


class Hello(Record):
    """Worker to engine, first: who I am and what I speak."""

    type: Literal["hello"] = "hello"
    protocol: int = PROTOCOL_VERSION
    pid: int
    python: str
    flytepath: str


class Welcome(Record):
    """Engine to worker: the setting all its attempts share.

    ``home`` is where registered entities are found, for references in graphs that come up in a run.
    """

    type: Literal["welcome"] = "welcome"
    protocol: int = PROTOCOL_VERSION
    project: str
    domain: str
    code_path: str
    blob_root: str
    home: str = ""


class RunAttempt(Record):
    """Engine to worker: run this.

    ``version`` is that of what the execution runs, ``created_at`` when it was asked for (seconds since the epoch, UTC).
    The code lies below ``code_path``; ``log_path`` is the file that takes what the attempt prints. ``checkpoint_sources``
    are the folders of earlier attempts, the latest first. ``interruptible``: it may be taken away, and comes again.
    """

    type: Literal["run_attempt"] = "run_attempt"
    execution: str
    node: str
    attempt: int
    task: TaskSpec
    inputs: dict[str, LiteralValue] = {}
    working_directory: str
    project: str = ""
    domain: str = ""
    code_path: str = ""
    log_path: str = ""
    interruptible: bool = False
    checkpoint_source: str | None = None
    checkpoint_sources: tuple[str, ...] = ()
    checkpoint_destination: str | None = None
    raw_output_prefix: str = ""
    version: str = ""
    created_at: float = 0.0


class CallEnded(Record):
    """Engine to worker: what a call of an eager task came to, its outputs or its error."""

    type: Literal["call_ended"] = "call_ended"
    ordinal: int
    outputs: dict[str, LiteralValue] = {}
    error: ErrorRecord | None = None


class Shutdown(Record):
    """Engine to worker: end when idle."""

    type: Literal["shutdown"] = "shutdown"


class DeckReport(Record):
    """Worker to engine: the task wrote a deck."""

    type: Literal["deck_report"] = "deck_report"
    name: str
    deck: Blob


class BoundaryResult(Record):
    """Worker to engine: a boundary check was made."""

    type: Literal["boundary_result"] = "boundary_result"
    variable: str
    side: Literal["reading", "writing"]
    checker: str
    passed: bool
    message: str = ""
    details: dict[str, Any] = {}


class AttemptSucceeded(Record):
    """Worker to engine: the outputs."""

    type: Literal["attempt_succeeded"] = "attempt_succeeded"
    outputs: dict[str, LiteralValue] = {}
    usage: Usage = Usage()


class GraphProduced(Record):
    """Worker to engine: a dynamic task's graph, a ``WorkflowSpec`` as JSON; the attempt has ended well."""

    type: Literal["graph_produced"] = "graph_produced"
    graph: Blob
    usage: Usage = Usage()


class CallRequested(Record):
    """Worker to engine: an eager task called something, and waits. ``graph`` is a ``WorkflowSpec`` as JSON.

    Calls are numbered from 0 in the order they were made. ``call`` is the name of this one, the same in every attempt:
    coroutines that run side by side count their calls apart. Empty: the number itself.
    """

    type: Literal["call_requested"] = "call_requested"
    ordinal: int
    call: str = ""
    callee: str
    graph: Blob
    inputs: dict[str, LiteralValue] = {}


class AttemptErred(Record):
    """Worker to engine: the error."""

    type: Literal["attempt_erred"] = "attempt_erred"
    error: ErrorRecord
    usage: Usage = Usage()


ToWorker = Annotated[Welcome | RunAttempt | CallEnded | Shutdown, Field(discriminator="type")]
FromWorker = Annotated[
    Hello | DeckReport | BoundaryResult | CallRequested | GraphProduced | AttemptSucceeded | AttemptErred,
    Field(discriminator="type"),
]

TO_WORKER: TypeAdapter[ToWorker] = TypeAdapter(ToWorker)
FROM_WORKER: TypeAdapter[FromWorker] = TypeAdapter(FromWorker)


def end_of_output(execution: str, node: str, attempt: int) -> bytes:
    """The mark a worker writes to both of its output streams after an attempt; no text a task prints holds it."""
    return f"\0flytepath-end {execution} {node} {attempt}\0".encode()


def frame(message: Record) -> bytes:
    """One message as it goes over the pipe."""
    body = message.model_dump_json().encode()
    if len(body) > FRAME_LIMIT:
        raise ValueError(f"a message of {len(body)} bytes is over the limit of {FRAME_LIMIT}")
    return len(body).to_bytes(4, "big") + body
