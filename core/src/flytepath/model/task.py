"""Tasks as compiled: what is stored, versioned and sent to workers."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from flytepath.model.literal import Literal as LiteralValue
from flytepath.model.resources import Resources
from flytepath.model.types import LiteralType

#: Bodies that a worker has to run; a service runs the others.
BODIES_OF_WORKERS: Final = frozenset({"function", "notebook", "shell"})


class Record(BaseModel):
    """The base of every model that crosses a boundary: frozen, and closed against unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Variable(Record):
    """One input or output."""

    name: str
    type: LiteralType
    required: bool = True
    default: LiteralValue | None = None
    pickled: bool = False


class Interface(Record):
    """Inputs and outputs, in their declared order."""

    inputs: tuple[Variable, ...] = ()
    outputs: tuple[Variable, ...] = ()


class Body(Record):
    """What a worker calls: ``entry`` is ``module:name`` in the code bundle, or else it is ``cloudpickle``d.

    ``worked`` says that a worker runs it although its kind does not say so: the task's own code does. ``source`` is
    what the body is made of, where that is a text that the code bundle need not hold: a notebook.
    """

    kind: Literal["function", "notebook", "shell", "sql", "none"] = "function"
    entry: str = ""
    cloudpickle: bool = False
    worked: bool = False
    source: str = ""

    @property
    def needs_worker(self) -> bool:
        """Whether a worker runs it, and no service does."""
        return self.worked or self.kind in BODIES_OF_WORKERS


class RetryPolicy(Record):
    """How often, and how far apart, a failed attempt is tried again. ``retries`` of the user's, ``system`` of ours.

    ``jitter`` is the largest share of a wait that chance adds to it.
    """

    retries: int = Field(default=0, ge=0)
    system: int = Field(default=3, ge=0)
    backoff_seconds: float = Field(default=0.0, ge=0)
    backoff_factor: float = Field(default=2.0, ge=1)
    backoff_limit_seconds: float = Field(default=300.0, ge=0)
    jitter: float = Field(default=1.0, ge=0, le=1)

    def delay(self, failures: int, chance: float = 0.0) -> float:
        """The wait in seconds after so many failures, from 1; ``chance`` in [0, 1) spreads it.

        Example:
            >>> policy = RetryPolicy(backoff_seconds=1)
            >>> policy.delay(1), policy.delay(4), policy.delay(4, 0.5), policy.delay(5000)
            (1.0, 8.0, 12.0, 300.0)
        """
        if not self.backoff_seconds:
            return 0.0
        try:
            wait = self.backoff_seconds * self.backoff_factor ** (failures - 1)
        except OverflowError:
            wait = self.backoff_limit_seconds
        return min(wait, self.backoff_limit_seconds) * (1 + self.jitter * chance)


class CacheSpec(Record):
    """Whether a task's outputs are reused, and under which version."""

    enabled: bool = False
    version: str = ""
    serialize: bool = False
    ignored_inputs: tuple[str, ...] = ()
    overwrite: bool = False
    salt: str = ""


class TaskSpec(Record):
    """A compiled task.

    Args:
        mode: ``task``, or what its body gives instead of outputs: ``dynamic`` a graph, ``eager`` calls as it runs.
        timeout_seconds, queue_timeout_seconds: the longest one attempt may run, and the longest it may wait for its
            turn.
        environment: what the code needs around it: an image's name, or an image's description as data.
        variables: environment variables of the process that runs it.
        secrets: references to the secrets it may ask for, never their values.
        accelerator, pod_template: where it runs, as data that backends read.
        decks: the reports that are written for it without its asking.
        pools: tokens of shared pools that an attempt holds while it runs, by the pool's name.
        detach: its remote job is left alone when the execution ends before it.
        idempotent: its remote job may be submitted again where nobody can know whether it was.
        bundle: the code bundle it lies in, where that is not the execution's own: a task that was referred to.
    """

    name: str
    mode: Literal["task", "dynamic", "eager"] = "task"
    task_type: str = "python"
    backend: str = "local"
    interface: Interface
    body: Body = Body()
    payload: Any = None
    retry: RetryPolicy = RetryPolicy()
    timeout_seconds: float | None = None
    queue_timeout_seconds: float | None = None
    cache: CacheSpec = CacheSpec()
    interruptible: bool | None = None
    requests: Resources = Resources()
    limits: Resources = Resources()
    environment: Any = None
    variables: dict[str, str] = {}
    secrets: tuple[dict[str, Any], ...] = ()
    accelerator: dict[str, Any] | None = None
    pod_template: dict[str, Any] | None = None
    shared_memory: bool | str = False
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    decks: tuple[str, ...] = ()
    pools: dict[str, int] = {}
    detach: bool = False
    idempotent: bool = False
    bundle: str = ""
    plugin: str = ""
    documentation: str = ""


class Overrides(Record):
    """What one node changes of its task; ``None`` keeps the task's own.

    ``retry`` is the whole policy, ``retries`` only the user's budget; a timeout of 0 takes the task's own away.
    """

    backend: str | None = None
    payload: Any = None
    retry: RetryPolicy | None = None
    retries: int | None = Field(default=None, ge=0)
    timeout_seconds: float | None = Field(default=None, ge=0)
    queue_timeout_seconds: float | None = Field(default=None, ge=0)
    cache: CacheSpec | None = None
    interruptible: bool | None = None
    requests: Resources | None = None
    limits: Resources | None = None
    environment: Any = None
    variables: dict[str, str] | None = None
    accelerator: dict[str, Any] | None = None
    pod_template: dict[str, Any] | None = None
    shared_memory: bool | str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    pools: dict[str, int] | None = None

    def applied(self, task: TaskSpec) -> TaskSpec:
        """``task`` with these changes."""
        changed = {
            name: value
            for name in type(self).model_fields
            if name != "retries" and (value := getattr(self, name)) is not None
        }
        if self.retries is not None:
            changed["retry"] = (self.retry or task.retry).model_copy(update={"retries": self.retries})
        for limit in ("timeout_seconds", "queue_timeout_seconds"):
            if getattr(self, limit) == 0:
                changed[limit] = None
        return task.model_copy(update=changed)
