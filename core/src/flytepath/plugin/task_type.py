"""The interface of a kind of task: how its declaration becomes a payload, and what happens around its body."""

from __future__ import annotations

import enum
from abc import ABC
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, Protocol

from flytepath.model.resources import Resources
from flytepath.model.types import LiteralType

Json = Any
#: Calls the task's own body with native inputs; returns what the body returns.
CallBody = Callable[[Mapping[str, Any]], Any]


class _NoOutput(enum.Enum):
    NO_OUTPUT = "no output"

    def __repr__(self) -> str:
        return "NO_OUTPUT"


#: Returned by ``execute`` on ranks whose result does not count (every rank of a gang but the first).
NO_OUTPUT: Final = _NoOutput.NO_OUTPUT


@dataclass(frozen=True, slots=True)
class TaskDeclaration:
    """What the author declared, as ``TaskType.compile`` sees it.

    Args:
        name: the task's full name, ``module.function``.
        config: the ``task_config`` object, or ``None``.
        inputs, outputs: literal types by name, in order.
        python_inputs, python_outputs: the Python types they were declared with.
        body: what the body is made of.
        source: a body that is text or a path (notebook, shell, SQL); empty otherwise.
        requests, limits: the resources asked for.
        backend: where it runs, as far as it is known; ``local`` on this machine and in a direct call.
    """

    name: str
    config: Any = None
    inputs: Mapping[str, LiteralType] = field(default_factory=dict)
    outputs: Mapping[str, LiteralType] = field(default_factory=dict)
    python_inputs: Mapping[str, Any] = field(default_factory=dict)
    python_outputs: Mapping[str, Any] = field(default_factory=dict)
    body: Literal["function", "notebook", "shell", "sql", "none"] = "function"
    source: str = ""
    requests: Resources = field(default_factory=Resources)
    limits: Resources = field(default_factory=Resources)
    backend: str = "local"


class CarriedAttempt(Protocol):
    """An attempt that other processes of this machine can enter, as the members of a gang do."""

    def entered(
        self, tell: Callable[[Any], None], *, member: str = ""
    ) -> AbstractContextManager[tuple[TaskContext, CallBody]]:
        """The context and the body, for as long as the process runs the attempt.

        Args:
            tell: called with news, from any thread; returns when :meth:`TaskContext.heard` has heard them.
            member: the name of this process in its gang, for what it tells.
        """


class TaskContext(Protocol):
    """What ``execute`` knows of the attempt it runs in. The same locally and remotely."""

    @property
    def declaration(self) -> TaskDeclaration:
        """The task as declared, with its configuration."""

    @property
    def payload(self) -> Json:
        """What ``compile`` returned."""

    @property
    def execution_id(self) -> str:
        """The execution; ``local`` in a direct call."""

    @property
    def node_path(self) -> str:
        """The node inside the execution; the task's name in a direct call."""

    @property
    def attempt(self) -> int:
        """The attempt's number, from 1."""

    @property
    def working_directory(self) -> Path:
        """An empty folder of this attempt's own."""

    @property
    def raw_output_prefix(self) -> str:
        """Where files of this attempt may lie that its outputs refer to: a folder or a URL."""

    @property
    def code_path(self) -> Path | None:
        """The folder with the code of the workflow, which other processes of a task need; ``None`` in a direct call."""

    def attach(self, name: str, value: Any) -> None:
        """Offer ``value`` to the task's code as ``current_context().<name>``."""

    def carried(self) -> CarriedAttempt:
        """This attempt, for other processes of this machine to enter; it pickles."""

    def heard(self, news: Any) -> None:
        """Take what a process that entered this attempt has told."""

    def add_deck(self, name: str, html: str) -> None:
        """Keep ``html`` as a deck of this attempt, also if the attempt fails afterwards."""


class TaskType(ABC):
    """A kind of task. Stateless: one instance serves every task of the kind, in every thread.

    Example:
        >>> class Loud(TaskType):
        ...     def execute(self, context, inputs, call_body):
        ...         return str(call_body(inputs)).upper()
    """

    #: ``full``: a direct call does what the platform does. ``emulated``: a stand-in, which the docs describe.
    #: ``unsupported``: a direct call is refused with a clear error.
    local_fidelity: ClassVar[Literal["full", "emulated", "unsupported"]] = "full"
    #: Settings of ``@task`` and ``with_overrides`` that tasks of this kind cannot honour, by their names there
    #: (``requests``, ``container_image``, ...). Asking for one is an error.
    ignored_settings: ClassVar[frozenset[str]] = frozenset()

    def compile(self, declaration: TaskDeclaration) -> Json:
        """The task's payload: plain JSON, the same bytes for the same declaration, the configuration left untouched.

        Raises:
            DefinitionError: the configuration can never run.
        """
        return {}

    def around(self, context: TaskContext) -> AbstractContextManager[object]:
        """What must hold from before the inputs are decoded until after the outputs are encoded; nothing by default.

        For a session, say, that lazy values come from and are written by.
        """
        return nullcontext()

    def execute(self, context: TaskContext, inputs: Mapping[str, Any], call_body: CallBody) -> Any:
        """Run one attempt: by default, call the body.

        Args:
            context: the attempt.
            inputs: native Python values, already decoded and checked.
            call_body: calls the user's function; tasks without a body never call it.

        Returns:
            What the body returns: one value, a tuple for several outputs, ``None`` for none, or :data:`NO_OUTPUT`.
        """
        return call_body(inputs)
