"""What hooks return: frozen facts and ``"module:attribute"`` references, never live objects.

Every declaration carries ``contract_minor``, the smallest minor version of the contract it needs (0 by default). All
of them become JSON in the plugin index, so their fields are strings, numbers, tuples of those, and each other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliesTo:
    """A filter. An empty tuple means "all"; names may hold ``*`` and ``?``."""

    task_types: tuple[str, ...] = ()
    backends: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskTypeDeclaration:
    """A kind of task.

    Args:
        name: the task type's name, for example ``spark``.
        task_type: reference to the :class:`~flytepath.plugin.TaskType` class.
        config: reference to the class of ``task_config`` that selects it; empty for a type that is chosen by name.
        default_backend: where its tasks run unless the user says otherwise.
        plain_worker: its tasks need nothing but a worker, so every backend that runs workers can run them, without a
            renderer for the pair.
    """

    name: str
    task_type: str
    config: str = ""
    default_backend: str = "local"
    plain_worker: bool = False
    contract_minor: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformerDeclaration:
    """Values of some Python types, to literals and back.

    Args:
        python_types: qualified names, as ``module.Class``. The type's *defining* module, not one that re-exports it.
        transformer: reference to the :class:`~flytepath.plugin.TypeTransformer` class.
        format: the id of what it writes, for example ``arrow-ipc``; literals record it.
        version: the version of that format.
        match: ``exact`` the type itself, ``subclass`` it and what derives from it, ``origin`` a generic's origin.
    """

    python_types: tuple[str, ...]
    transformer: str
    format: str
    version: int = 1
    match: Literal["exact", "subclass", "origin"] = "exact"
    contract_minor: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DataframeCodecDeclaration:
    """How one kind of frame is written to, and read from, one URI scheme in one format.

    Frames of a class with a codec can be the type of an input or output, and a ``StructuredDataset`` opens as them.

    Args:
        frame_type: the qualified name of the frame's class, as ``module.Class``, from its defining module.
        scheme: the scheme of the URIs (``bq``, ``s3``, ...); the empty one is the blob store, for frames that go from
            task to task without a URI.
        format: the format that literals record; the empty one serves whatever no other codec of the class does.
        encoder: reference to a :class:`~flytepath.plugin.DataframeEncoder`; empty where frames are only read.
        decoder: reference to a :class:`~flytepath.plugin.DataframeDecoder`; empty where frames are only written.
    """

    frame_type: str
    scheme: str = ""
    format: str = ""
    encoder: str = ""
    decoder: str = ""
    contract_minor: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundaryCheckDeclaration:
    """A check of values at a task's boundary, asked for by a marker in ``Annotated``.

    Args:
        marker: qualified name of the marker's class.
        checker: reference to the :class:`~flytepath.plugin.BoundaryChecker` class.
        side: ``reading`` (after inputs are decoded), ``writing`` (before outputs are encoded), ``both``, or
            ``marker``: the marker's own attribute ``side`` says which.
    """

    marker: str
    checker: str
    side: Literal["reading", "writing", "both", "marker"] = "both"
    contract_minor: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskWrapperDeclaration:
    """A context manager around the call in the worker. Lower ``order`` is further out.

    A wrapper that is not ``required`` and fails is reported and left out; a required one fails the attempt.
    """

    name: str
    wrapper: str
    applies_to: AppliesTo = field(default_factory=AppliesTo)
    order: int = 100
    required: bool = False
    contract_minor: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourcePolicyDeclaration:
    """A function from a resource request to another, or to a refusal. Lower ``order`` comes first."""

    name: str
    policy: str
    applies_to: AppliesTo = field(default_factory=AppliesTo)
    order: int = 100
    contract_minor: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PollPolicy:
    """How often jobs are looked at: seconds, growing from ``first`` to ``longest`` while nothing changes."""

    first: float = 1.0
    longest: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """A token bucket per credential scope: ``per_second`` calls of ``call`` (``*`` is any), bursts up to ``burst``."""

    per_second: float
    burst: int = 1
    call: str = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolDeclaration:
    """A shared limit the backend brings. ``name`` may hold ``{setting}`` fields, as in ``snowflake/{account}``."""

    name: str
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendDeclaration:
    """Where jobs run.

    Args:
        name: for example ``kubernetes``.
        backend: reference to the :class:`~flytepath.plugin.Backend` class.
        settings: reference to the pydantic model of its settings; empty for none.
        idempotency: ``A`` the vendor dedupes by a key, ``B`` tag and search, ``C`` none, ``D`` in this process.
        batch_limit: the most handles one ``poll`` takes.
        array_limit: the most items one array job takes; 0 where there are no array jobs.
        visibility_seconds: how long a submitted job may stay invisible to ``find``.
        name_limit: the longest external name the vendor takes.
        call_seconds: after so many seconds a call counts as cut off; nobody knows whether the vendor has heard it.
        runs_workers: it starts :class:`~flytepath.plugin.WorkerLaunch` commands, and so runs bodies of any task that
            needs nothing else.
        settings_base: another backend, whose settings are laid under this one's.
        settings_merge: reference to a function ``(lower, upper) -> merged`` of two mappings that lays the settings of a
            project over everybody's, and of a domain over its project's; by default the upper one's keys win.
        check: reference to a function ``(request, settings) -> None`` that raises what ``plan`` would raise of a task:
            asked when a task is compiled for the backend, with placeholders for what only a run knows, and with the
            settings of the tenant as a mapping.
    """

    name: str
    backend: str
    settings: str = ""
    settings_base: str = ""
    settings_merge: str = ""
    check: str = ""
    runs_workers: bool = False
    idempotency: Literal["A", "B", "C", "D"]
    batch_limit: int = 100
    array_limit: int = 0
    visibility_seconds: float = 0.0
    name_limit: int = 63
    call_seconds: float = 60.0
    poll: PollPolicy = field(default_factory=PollPolicy)
    rate_limits: tuple[RateLimit, ...] = ()
    pools: tuple[PoolDeclaration, ...] = ()
    contract_minor: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RendererDeclaration:
    """How tasks of one type are rendered for one backend; a pair without a renderer is a compile error."""

    task_type: str
    backend: str
    renderer: str
    contract_minor: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretProviderDeclaration:
    """Where secrets of one scheme come from."""

    scheme: str
    provider: str
    contract_minor: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobStoreDeclaration:
    """Where blobs of one URI scheme are kept."""

    scheme: str
    store: str
    contract_minor: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSinkDeclaration:
    """A listener to events: best effort, behind a queue of ``queue_limit``; it can neither delay nor fail anything."""

    name: str
    sink: str
    queue_limit: int = 10_000
    contract_minor: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeckRendererDeclaration:
    """How values of a Python type (qualified name) are shown in a deck."""

    python_type: str
    renderer: str
    contract_minor: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CliCommandDeclaration:
    """A sub-command of ``flytepath``: reference to a ``click.Command``, and the line that ``--help`` shows for it."""

    name: str
    command: str
    help: str = ""
    contract_minor: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationDeclaration:
    """One row of the flytekit migration table: a module there, the module here, and names that changed (old, new)."""

    source: str
    target: str
    names: tuple[tuple[str, str], ...] = ()
    contract_minor: int = 0
