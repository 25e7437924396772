"""An attempt carried into other processes of this machine: what the members of a gang know of the task they run.

The process that has the attempt makes a :class:`CarriedAttempt`, which pickles. Whoever enters it has the task's body,
and a context like the first one's. What happens there and concerns the attempt (a deck, a checkpoint, a secret that was
looked up) is *told* as news, which the first process has to hear before the telling returns.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flytepath.authoring import preemption
from flytepath.authoring.call import complete
from flytepath.authoring.context import ExecutionContext, entered
from flytepath.authoring.scratch import folder_of_this_process
from flytepath.engine.secrets import given
from flytepath.errors import WorkerError

if TYPE_CHECKING:
    from flytepath.authoring.task import Task
    from flytepath.model.secret import Secret
    from flytepath.plugin.task_type import CallBody

#: Takes news, and returns when the process that has the attempt has heard them.
Tell = Callable[[Any], None]


@dataclass(frozen=True, slots=True)
class DeckKept:
    """A deck was made, or made anew."""

    name: str
    html: str


@dataclass(frozen=True, slots=True)
class SecretGiven:
    """A secret is about to be given to the task's code; it must not be told."""

    label: str
    value: bytes

    def __repr__(self) -> str:
        return f"SecretGiven({self.label!r})"


@dataclass(frozen=True, slots=True)
class CheckpointSaved:
    """A checkpoint was saved."""

    step: int | None


News = DeckKept | SecretGiven | CheckpointSaved


@dataclass(frozen=True, slots=True)
class CarriedAttempt:
    """An attempt that other processes can enter. Made by :meth:`ExecutionContext.carried`.

    Args:
        module, variable: where the task is found; without a module ``body`` is its pickled function.
        body: see there.
        backend, source: where the task runs, and what its body is made of, as its declaration says.
        facts: what the context is made of.
        sources, destination: the folders of checkpoints. The attempt's own is among the sources too, so that a member
            that is started again goes on where the one before it stood.
        requests, folder: the secrets the task asks for, and where those lie that it wants as files.
        imports: the import path.
    """

    module: str
    variable: str
    body: bytes
    backend: str
    source: str
    facts: Mapping[str, Any]
    sources: tuple[str, ...]
    destination: str
    requests: tuple[Secret, ...]
    folder: Path | None
    imports: tuple[str, ...]

    @contextmanager
    def entered(self, tell: Tell, *, member: str = "") -> Iterator[tuple[ExecutionContext, CallBody]]:
        """The context and the body, for as long as this process runs the attempt.

        SIGTERM is taken from now on, for hooks of checkpoints; a process that ends by it has the exit status 143.

        Args:
            tell: called with news, from any thread; returns when they were heard.
            member: who this process is, where several enter one attempt: stands behind the names of its decks.

        Raises:
            WorkerError: the task is not where it was.
        """
        sys.path[:] = self.imports
        given.keep(lambda label, value: tell(SecretGiven(label, value)))
        task, call_body = self._found()
        facts = dict(self.facts)
        context = ExecutionContext(
            **facts,
            declare=partial(task.declaration, self.backend, self.source) if task is not None else None,
            on_deck=lambda name, html: tell(DeckKept(f"{name} ({member})" if member else name, html)),
            checkpoint_sources=self.sources,
            checkpoint_destination=self.destination,
        )
        context.secrets_given(self.requests, self.folder)
        takes_signals = threading.current_thread() is threading.main_thread()
        if takes_signals:
            preemption.install(lambda _report: None, lambda step: tell(CheckpointSaved(step)))
            preemption.attempt_begins()
        failed = True
        try:
            with entered(context):
                yield context, call_body
            failed = False
        finally:
            if takes_signals:
                preemption.attempt_ended(failed)

    def _found(self) -> tuple[Task | None, CallBody]:
        if not self.module:
            import cloudpickle

            return None, cloudpickle.loads(self.body)
        task = getattr(importlib.import_module(self.module), self.variable, None)
        if task is None:
            raise WorkerError(
                f"there is no task at {self.module}:{self.variable}",
                place=f"process {os.getpid()}",
                hint="a member of a gang imports the module anew; tasks must be module variables that always exist",
            )
        return task, body_of(task)


def body_of(task: Task) -> CallBody:
    """The body, to be called with native inputs; a coroutine is run to its end."""
    if task.is_async:
        return lambda inputs: complete(task.call_body(inputs))
    return task.call_body


class _Function:
    """A function that takes its inputs as one mapping; the class travels by name, the function as it is."""

    def __init__(self, function: Callable[..., Any], is_async: bool) -> None:
        self._function = function
        self._is_async = is_async

    def __call__(self, inputs: Mapping[str, Any]) -> Any:
        result = self._function(**inputs)
        return complete(result) if self._is_async else result


def carried(context: ExecutionContext) -> CarriedAttempt:
    """The attempt of ``context``, for other processes of this machine.

    Raises:
        WorkerError: there is no task, or its function cannot be given to another process.
    """
    declare: Any = context._declare
    # What gives the declaration is a method of the task, for a backend or for none.
    task: Task | None = getattr(declare.func if isinstance(declare, partial) else declare, "__self__", None)
    if task is None:
        raise WorkerError("outside a task there is no attempt to carry into other processes")
    module, variable = _place_of(task)
    body = b"" if module else _pickled(task)
    destination = context._checkpoint_destination or str(folder_of_this_process())
    declaration = context.declaration
    return CarriedAttempt(
        module=module,
        variable=variable,
        body=body,
        backend=declaration.backend,
        source=declaration.source if task.source_is_compiled else "",
        facts={
            "node_path": context.node_path,
            "execution_id": str(context.execution_id),
            "attempt": context.attempt,
            "tenant": context.tenant,
            "payload": context.payload,
            "working_directory": context.working_directory,
            "task_version": context.task_id.version,
            "execution_date": context.execution_date,
            "enable_deck": context.enable_deck,
            "raw_output_prefix": context.raw_output_prefix,
            "code_path": context.code_path,
        },
        sources=(destination, *(source for source in context._checkpoint_sources if source != destination)),
        destination=destination,
        requests=context._secret_requests,
        folder=context._secret_folder,
        imports=tuple(sys.path),
    )


def _pickled(task: Task) -> bytes:
    import pickle

    import cloudpickle

    function = task.function or task.execute
    try:
        pickled: bytes = cloudpickle.dumps(_Function(function, task.is_async))
    except (pickle.PicklingError, TypeError, AttributeError, RecursionError) as error:
        raise WorkerError(
            f"the function of task {task.name} cannot be given to another process: {error}",
            place=task.name,
            expected="a task at the top level of a module that can be imported",
            hint="move it into a module of its own, or keep what cannot be pickled out of the globals that it uses",
        ) from error
    return pickled


def _place_of(task: Task) -> tuple[str, str]:
    """Where another process finds the task: no place where that would be this program run again, or no variable."""
    name = getattr(task, "__name__", "")
    module = sys.modules.get(task.__module__)
    if module is None or module.__name__ == "__main__":
        return "", ""
    if name and getattr(module, name, None) is task:
        return module.__name__, name
    found = next((key for key, value in vars(module).items() if value is task), "")
    return (module.__name__, found) if found else ("", "")


def hear(context: ExecutionContext, news: News) -> None:
    """Take what a process that entered the attempt of ``context`` has told."""
    if isinstance(news, DeckKept):
        context.add_deck(news.name, news.html)
    elif isinstance(news, SecretGiven):
        given.note(news.label, news.value)
    else:
        preemption.note_saved(news.step)
