"""Who makes the calls of an eager task: nobody in a direct call, the engine in a durable run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from concurrent.futures import Future

    from flytepath.authoring.entity import Entity


class Conductor(Protocol):
    """Makes the calls of an eager task somewhere else."""

    def call(self, entity: Entity, inputs: Mapping[str, Any]) -> Future[dict[str, Any]]:
        """Begin to run ``entity`` with checked native inputs.

        Returns:
            A future of the native outputs by name; its exception is made by
            :func:`flytepath.authoring.eager.call_failed`.
        """


class CallsHere:
    """Marks an eager task that runs in a direct call: what it calls runs in this process too."""


HERE: Final = CallsHere()

#: The conductor of the eager task that is running, if any.
conductor: ContextVar[Conductor | CallsHere | None] = ContextVar("flytepath_conductor", default=None)


@contextmanager
def conducted(by: Conductor | CallsHere | None) -> Iterator[None]:
    """Let calls made inside go to the conductor ``by``; ``None`` brings direct calls back."""
    token = conductor.set(by)
    try:
        yield
    finally:
        conductor.reset(token)
