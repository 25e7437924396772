"""Tasks as compiled: what is stored, versioned and sent to workers."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from flytepath.model.literal import Literal as LiteralValue
from flytepath.model.resources import Resources
from flytepath.model.types import LiteralType


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
    """What a worker calls: ``entry`` is ``module:name`` in the code bundle, or else it is ``cloudpickle``d."""

    kind: Literal["function", "notebook", "shell", "sql", "none"] = "function"
    entry: str = ""
    cloudpickle: bool = False


class RetryPolicy(Record):
    """How often, and how far apart, a failed attempt is tried again. ``retries`` of the user's, ``system`` of ours."""

    retries: int = Field(default=0, ge=0)
    system: int = Field(default=3, ge=0)
    backoff_seconds: float = Field(default=0.0, ge=0)
    backoff_factor: float = Field(default=2.0, ge=1)
    backoff_limit_seconds: float = Field(default=300.0, ge=0)


class CacheSpec(Record):
    """Whether a task's outputs are reused, and under which version."""

    enabled: bool = False
    version: str = ""
    serialize: bool = False
    ignored_inputs: tuple[str, ...] = ()


class TaskSpec(Record):
    """A compiled task."""

    name: str
    task_type: str = "python"
    backend: str = "local"
    interface: Interface
    body: Body = Body()
    payload: Any = None
    retry: RetryPolicy = RetryPolicy()
    timeout_seconds: float | None = None
    cache: CacheSpec = CacheSpec()
    interruptible: bool = False
    requests: Resources = Resources()
    limits: Resources = Resources()
    environment: Any = None
    plugin: str = ""
    documentation: str = ""
