"""What a remote job is planned from, and the plan: frozen data, stored before the job is submitted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flytepath.model.identity import Tenant
from flytepath.model.literal import BlobRef
from flytepath.model.literal import Literal as LiteralValue
from flytepath.model.resources import Resources
from flytepath.plugin.secrets import SecretReference

Json = Any


@dataclass(frozen=True, slots=True)
class JobKey:
    """The identity of one submission: the digest that names it everywhere."""

    value: str

    def name(self, prefix: str, limit: int) -> str:
        """A vendor name of at most ``limit`` characters: lower-case ``prefix``, then enough of the key to be unique.

        It begins with a letter and holds nothing but lower-case letters, digits and single ``-``.

        Args:
            prefix: for people; shortened, and whatever a name cannot hold becomes ``-``.
            limit: of the vendor, at least 16.

        Example:
            >>> JobKey("sha256:" + "ab" * 32).name("Train Model!", 28)
            'train-mod-7b28e61bc1d2922341'
        """
        import hashlib
        import re

        # Of the whole key: keys that begin alike must not share a name.
        tail = hashlib.sha256(self.value.encode()).hexdigest()[: max(13, min(24, limit - 10))]
        head = re.sub(r"[^a-z0-9]+", "-", prefix.lower()).strip("-")[: max(0, limit - len(tail) - 1)].strip("-")
        return f"{head}-{tail}" if head and head[0].isalpha() else f"fp-{tail}"[:limit]


@dataclass(frozen=True, slots=True)
class Owner:
    """Who a remote resource belongs to; stamped on it together with the key and the digest of the plan."""

    installation: str
    tenant: Tenant
    execution: str
    node_path: str


@dataclass(frozen=True, slots=True)
class WorkerLaunch:
    """How a remote machine runs the worker for a body that needs one.

    The worker fetches its code and inputs itself, and leaves outputs, decks and errors where core finds them: the
    backend starts ``argv`` and says how that ended. Exit code 0: the outputs are there, or this member of a gang is not
    the one that gives them. Exit code 75: the storage was out of reach, nobody is to blame (an item is then ``LOST``).
    For such a job core calls neither ``collect`` nor ``collect_items``.

    Args:
        argv: the command; ``python`` is the interpreter of the image.
        env: environment variables it needs, those of the task among them.
        image: the container image the task asks for; empty: the backend's own choice.
        bundle: the code, as a zip file; ``None`` where the image holds it.
        inputs_uri: the blob with all the attempt needs.
        outputs_prefix: below it lies what the worker leaves.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    image: str
    bundle: BlobRef | None
    inputs_uri: str
    outputs_prefix: str

    def item_argv(self, position: str) -> tuple[str, ...]:
        """The command for one item of an array job.

        Args:
            position: its place in ``PlanRequest.items``, from 0, or what the vendor puts in place of that text.

        Example:
            >>> launch = WorkerLaunch(("python", "-m", "flytepath.worker"), {}, "", None, "", "")
            >>> launch.item_argv("$(JOB_COMPLETION_INDEX)")[-2:]
            ('--item', '$(JOB_COMPLETION_INDEX)')
        """
        return (*self.argv, "--item", position)


@dataclass(frozen=True, slots=True)
class PoolAsk:
    """Tokens of a shared pool that must be held while the job lives."""

    pool: str
    tokens: int = 1


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """Everything a job is made of.

    For an array job ``items`` are the indices of a map task that go into it, and ``item_inputs`` what each of them is
    given, in the same order; ``inputs`` is then empty. ``timeout_seconds`` is kept by core; a vendor may be told too.
    ``worker`` is how a body is run that is not the service's own; ``body`` says what it is (``function``, ``shell``,
    ``notebook``, ``sql``, ``none``). ``variables``, ``environment`` (an image's name or description), ``accelerator``,
    ``pod_template`` and ``shared_memory`` are the task's, as its spec holds them.
    """

    key: JobKey
    owner: Owner
    task: str
    task_type: str
    payload: Json
    inputs: Mapping[str, LiteralValue]
    requests: Resources
    limits: Resources
    worker: WorkerLaunch | None = None
    items: tuple[int, ...] = ()
    item_inputs: tuple[Mapping[str, LiteralValue], ...] = ()
    timeout_seconds: float | None = None
    interruptible: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[SecretReference, ...] = ()
    body: str = "none"
    variables: Mapping[str, str] = field(default_factory=dict)
    environment: Json = None
    accelerator: Mapping[str, Json] | None = None
    pod_template: Mapping[str, Json] | None = None
    shared_memory: bool | str = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be submitted, as plain JSON, stored before the call and never computed again for its key.

    Args:
        key, owner, digest: stamped on the resource; ``digest`` names the content of ``spec``.
        external_name: the vendor's name for it, made from the key.
        spec: what ``submit`` sends.
        items: the indices of a map task, for an array job.
        pools: tokens held while the job lives.
        secrets: references, resolved as late as ``submit``.
        scope: the credential scope, where one backend serves several accounts: jobs of one scope are polled together,
            and rate limits hold for each.
    """

    key: JobKey
    owner: Owner
    external_name: str
    spec: Json
    digest: str
    items: tuple[int, ...] = ()
    pools: tuple[PoolAsk, ...] = ()
    secrets: tuple[SecretReference, ...] = ()
    scope: str = ""
