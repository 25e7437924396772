"""The small interfaces: one method each, for wrappers, policies, renderers, sinks, codecs and stores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

from flytepath.model.identity import Tenant
from flytepath.model.literal import Literal
from flytepath.model.resources import Resources
from flytepath.plugin.plans import Plan, PlanRequest
from flytepath.plugin.task_type import TaskContext
from flytepath.plugin.transformer import BlobSink, BlobSource

Json = Any

#: ``wrapper(context) -> context manager`` entered before the task's call and left after it, on failure too.
TaskWrapper = Callable[[TaskContext], AbstractContextManager[Any]]


@dataclass(frozen=True, slots=True)
class ResourceRequest:
    """What is asked for one attempt; a policy returns the same, a changed one, or raises ``DefinitionError``."""

    tenant: Tenant
    task: str
    task_type: str
    backend: str
    requests: Resources
    limits: Resources


#: A resource policy is a pure function.
ResourcePolicy = Callable[[ResourceRequest], ResourceRequest]


@dataclass(frozen=True, slots=True)
class RenderRequest:
    """One task type's payload on its way to a backend: the request, and the backend's settings as plain data."""

    plan: PlanRequest
    settings: Mapping[str, Json]


class Renderer(ABC):
    """Turns a task type's payload into the spec that a backend submits. Pure."""

    @abstractmethod
    def render(self, request: RenderRequest) -> Plan:
        """The plan of one job."""


class EventSink(ABC):
    """A listener. ``emit`` gets batches of events as JSON, in order per execution; what it raises is logged."""

    @abstractmethod
    def emit(self, events: tuple[Mapping[str, Json], ...]) -> None:
        """Take ``events``. Called from a thread of the sink's own."""

    def close(self) -> None:
        """Flush; called once, with a deadline, when the process ends."""


class DeckRenderer(ABC):
    """Shows values of one Python type."""

    @abstractmethod
    def to_html(self, value: Any) -> str:
        """HTML in which every text that came from ``value`` is escaped."""


class DataframeEncoder(Protocol):
    """Writes a frame: ``(frame, uri, sink) -> literal`` of the kind ``dataframe``.

    With a URI the frame goes there, and the literal's data hold it as ``{"uri": uri}``; without one it goes to the
    sink, and the literal's ``ref`` is the blob. What is ``arrow-ipc``, ``parquet`` or ``csv`` opens as core's frames.
    One that takes ``columns`` is told the names of those that an annotation declares, and writes no other.
    The one of ``pyarrow.lib.Table`` writes pandas' and polars' frames too, where nobody declares another for them:
    core makes tables of them.
    """

    def __call__(self, frame: Any, uri: str | None, sink: BlobSink, /) -> Literal: ...


class DataframeDecoder(Protocol):
    """Reads a frame, or only ``columns`` of it: ``(literal, columns, source) -> frame``, or an iterator of frames.

    Gets what any encoder wrote in the declared format, core's own too. An iterator's frames are pieces of one table,
    read as they are asked for; all of them in one are made only where core knows frames of the class. The one of
    ``pyarrow.lib.Table`` reads pandas' and polars' frames too, where nobody declares another for them.
    """

    def __call__(self, literal: Literal, columns: tuple[str, ...] | None, source: BlobSource, /) -> Any: ...


class BlobStore(ABC):
    """Blobs of one URI scheme."""

    @abstractmethod
    def open_read(self, uri: str) -> BinaryIO:
        """The blob as a seekable stream; ``FileNotFoundError`` where there is none."""

    @abstractmethod
    def write(self, uri: str, content: BinaryIO) -> int:
        """Keep ``content`` at ``uri``, all of it or nothing; the number of bytes."""

    @abstractmethod
    def exists(self, uri: str) -> bool:
        """Whether there is a blob at ``uri``."""

    @abstractmethod
    def delete(self, uri: str) -> None:
        """Remove the blob; nothing happens where there is none."""
