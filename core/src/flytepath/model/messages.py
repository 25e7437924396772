"""What an engine and a worker say to each other: framed, versioned JSON after a handshake.

A frame is four bytes of length (big endian) and that many bytes of JSON, an object with ``type``. Remote workers
exchange the same messages as blobs. Literals travel whole: small ones inline, large ones as references.

A worker on this machine is given each task once (:class:`TaskGiven`); its attempts (:class:`StartAttempt`) name it.
What a task prints does not pass here: the worker's standard output and error go to the attempt's log file.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from flytepath.model.events import Blob, ErrorRecord, Usage
from flytepath.model.literal import Literal as LiteralValue
from flytepath.model.task import Record, TaskSpec

PROTOCOL_VERSION = 2
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

    ``home`` is where registered entities are found, for references in graphs that come up in a run; ``output`` the file
    that the worker's standard output and error were opened on.
    """

    type: Literal["welcome"] = "welcome"
    protocol: int = PROTOCOL_VERSION
    project: str
    domain: str
    code_path: str
    blob_root: str
    home: str = ""
    output: str = ""


class AttemptFacts(Record):
    """What an attempt is told of itself.

    ``version`` is that of what the execution runs, ``created_at`` when it was asked for (seconds since the epoch, UTC).
    ``checkpoint_sources`` are the folders that earlier attempts may have left checkpoints in, newest first.
    ``log_path`` is the file that takes standard output and error; empty: nobody wants them.
    """

    execution: str
    node: str
    attempt: int
    inputs: dict[str, LiteralValue] = {}
    working_directory: str
    checkpoint_source: str | None = None
    checkpoint_sources: tuple[str, ...] = ()
    checkpoint_destination: str | None = None
    raw_output_prefix: str = ""
    version: str = ""
    created_at: float = 0.0
    log_path: str = ""
    interruptible: bool = False


class RunAttempt(AttemptFacts):
    """Run this: all there is to know of an attempt, as a pool takes it. ``code_path`` is where its code bundle lies."""

    type: Literal["run_attempt"] = "run_attempt"
    #: The devices it may use, where it asked for some.
    gpus: tuple[str, ...] = ()
    task: TaskSpec
    project: str = ""
    domain: str = ""
    code_path: str = ""


class RemoteAttempts(Record):
    """What a worker elsewhere is given, as a blob: attempts of one task, of which it runs one.

    ``bundle`` is the code as a zip file; none where the image holds it. ``outcomes`` are the places, one for each
    attempt, that take what comes of it: an :class:`AttemptOutcome`.
    """

    protocol: int
    project: str
    domain: str
    blob_root: str
    bundle: Blob | None = None
    task: TaskSpec
    attempts: tuple[AttemptFacts, ...]
    outcomes: tuple[str, ...]


class TaskGiven(Record):
    """Engine to worker: a task, in place of another of its name. Attempts that come after this run it."""

    type: Literal["task_given"] = "task_given"
    task: TaskSpec


class StartAttempt(AttemptFacts):
    """Engine to worker: run the task that was given under this name, on these processors (none: on all)."""

    type: Literal["start_attempt"] = "start_attempt"
    task: str
    processors: tuple[int, ...] = ()

    @classmethod
    def of(cls, request: RunAttempt, processors: tuple[int, ...] = ()) -> StartAttempt:
        """The attempt without what the worker knows already."""
        facts = {name: getattr(request, name) for name in AttemptFacts.model_fields}
        # The fields come from a validated message as they are.
        return cls.model_construct(task=request.task.name, processors=processors, **facts)


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
    """Worker to engine: the error; ``progress`` is the step of the last checkpoint that was saved."""

    type: Literal["attempt_erred"] = "attempt_erred"
    error: ErrorRecord
    usage: Usage = Usage()
    progress: float | None = None


class AttemptEnded(Record):
    """Worker to engine: the attempt is over.

    ``printed`` is the size of its log; a log with nothing in it is gone. With ``leaving`` the worker takes no other
    attempt, because this one left something running in it, or because it was told to go.
    """

    type: Literal["attempt_ended"] = "attempt_ended"
    outcome: Annotated[AttemptSucceeded | GraphProduced | AttemptErred, Field(discriminator="type")]
    printed: int = 0
    leaving: bool = False


class AttemptOutcome(Record):
    """A worker elsewhere, as a blob: what came of the attempt, and what was told while it ran.

    ``at`` is when it ended (seconds since the epoch, UTC), ``host`` where it ran. A member of a gang that gives no
    outputs has no ``outcome``.
    """

    protocol: int
    at: float
    host: str = ""
    outcome: Annotated[AttemptSucceeded | GraphProduced | AttemptErred, Field(discriminator="type")] | None = None
    reports: tuple[Annotated[DeckReport | BoundaryResult, Field(discriminator="type")], ...] = ()


ToWorker = Annotated[
    Welcome | RunAttempt | TaskGiven | StartAttempt | CallEnded | Shutdown, Field(discriminator="type")
]
FromWorker = Annotated[
    Hello
    | DeckReport
    | BoundaryResult
    | CallRequested
    | GraphProduced
    | AttemptSucceeded
    | AttemptErred
    | AttemptEnded,
    Field(discriminator="type"),
]

TO_WORKER: TypeAdapter[ToWorker] = TypeAdapter(ToWorker)
FROM_WORKER: TypeAdapter[FromWorker] = TypeAdapter(FromWorker)


def frame(message: Record) -> bytes:
    """One message as it goes over the pipe."""
    body = message.model_dump_json().encode()
    if len(body) > FRAME_LIMIT:
        raise ValueError(f"a message of {len(body)} bytes is over the limit of {FRAME_LIMIT}")
    return len(body).to_bytes(4, "big") + body
