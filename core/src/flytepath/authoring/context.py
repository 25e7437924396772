"""What a running task can ask about itself: ``flytepath.current_context()``.

A context is made for every call, so it costs next to nothing until something is asked of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any

from flytepath.types import attempt_folder

if TYPE_CHECKING:
    import datetime as dt
    import logging
    from pathlib import Path

    from flytepath.authoring.carried import CarriedAttempt
    from flytepath.authoring.checkpoint import Checkpoint
    from flytepath.authoring.decks.deck import Deck, TimelineDeck
    from flytepath.authoring.secrets import SecretsManager
    from flytepath.authoring.stats import NoStats
    from flytepath.model.identity import Identity, Tenant
    from flytepath.model.secret import Secret
    from flytepath.plugin.task_type import TaskDeclaration

LOCAL_EXECUTION = "local"


class ExecutionId(str):
    """An execution's identity. It is its name, and knows where it belongs.

    Example:
        >>> found = ExecutionId("f3a1", project="vision", domain="production")
        >>> found, found.name, found.project, found.domain
        ('f3a1', 'f3a1', 'vision', 'production')
    """

    project: str
    domain: str

    def __new__(cls, name: str, project: str = LOCAL_EXECUTION, domain: str = LOCAL_EXECUTION) -> ExecutionId:
        """Make ``name`` an identity in a project and a domain."""
        made = super().__new__(cls, name)
        made.project = project
        made.domain = domain
        return made

    @property
    def name(self) -> str:
        """The execution's name, as plain text."""
        return str.__str__(self)


class ExecutionContext:
    """One attempt of one task, as the code inside it sees it.

    Outside any task it is an anonymous local context, so that library code can call it anywhere.

    Args:
        node_path: the node inside the execution; the task's name in a direct call.
        execution_id: the execution's name.
        attempt: the attempt's number, from 1.
        tenant: the project and domain it runs for, ``None`` in a direct call.
        declare: gives the task as declared.
        payload: what the task's type compiled.
        working_directory: a folder of the attempt's own, made when it is asked for.
        on_deck: told of each deck that is kept: name and HTML. A name that comes again replaces what it was.
        task_version: the version of the task.
        execution_date: when the execution was created, with its time zone; now by default.
        enable_deck: whether the task asks for the decks that FlytePath writes.
        raw_output_prefix: where files of this attempt are kept: a path or a URI.
        output_metadata_prefix: where the attempt's outputs are recorded, if anywhere.
        checkpoint_sources: the folders (paths or URIs) of earlier attempts' checkpoints, newest first.
        checkpoint_source: one more, before them.
        checkpoint_destination: the folder (path or URI) this attempt's checkpoints go to.
        code_path: the folder with the code of the workflow; ``None`` where the user's own modules run.
    """

    __slots__ = (
        "_attached",
        "_checkpoint",
        "_checkpoint_destination",
        "_checkpoint_sources",
        "_decks",
        "_declare",
        "_execution",
        "_execution_date",
        "_folder",
        "_logger",
        "_on_deck",
        "_raw_output_prefix",
        "_reported",
        "_secret_folder",
        "_secret_requests",
        "_task_version",
        "_working_directory",
        "attempt",
        "code_path",
        "enable_deck",
        "node_path",
        "output_metadata_prefix",
        "payload",
        "tenant",
    )

    def __init__(
        self,
        *,
        node_path: str = "",
        execution_id: str = LOCAL_EXECUTION,
        attempt: int = 1,
        tenant: Tenant | None = None,
        declare: Callable[[], TaskDeclaration] | None = None,
        payload: Any = None,
        working_directory: Path | None = None,
        on_deck: Callable[[str, str], None] | None = None,
        task_version: str = LOCAL_EXECUTION,
        execution_date: dt.datetime | None = None,
        enable_deck: bool = False,
        raw_output_prefix: str | None = None,
        output_metadata_prefix: str | None = None,
        checkpoint_sources: tuple[str, ...] = (),
        checkpoint_source: str | None = None,
        checkpoint_destination: str | None = None,
        code_path: Path | None = None,
    ) -> None:
        self.node_path = node_path
        self.code_path = code_path
        self.attempt = attempt
        self.payload = payload
        self.tenant = tenant
        self.enable_deck = enable_deck
        self.output_metadata_prefix = output_metadata_prefix
        self._execution = execution_id
        self._execution_date = execution_date
        self._task_version = task_version
        self._declare = declare
        self._working_directory = working_directory
        self._raw_output_prefix = raw_output_prefix
        self._checkpoint_sources = (
            checkpoint_sources if checkpoint_source is None else (checkpoint_source, *checkpoint_sources)
        )
        self._checkpoint_destination = checkpoint_destination
        self._on_deck = on_deck
        self._attached: dict[str, Any] | None = None
        self._checkpoint: Checkpoint | None = None
        self._decks: dict[str, Deck] | None = None
        self._folder: Path | None = None
        self._logger: logging.Logger | None = None
        self._reported: dict[str, str] | None = None
        self._secret_folder: Path | None = None
        self._secret_requests: tuple[Secret, ...] = ()

    # --- who and where ---

    @property
    def execution_id(self) -> ExecutionId:
        """The execution: text, with ``name``, ``project`` and ``domain``; ``local`` in a direct call."""
        if self.tenant is None:
            return ExecutionId(self._execution)
        return ExecutionId(self._execution, self.tenant.project, self.tenant.domain)

    @property
    def task_id(self) -> Identity:
        """The task: ``name``, ``version``, ``project`` and ``domain``; ``local`` where a direct call has none."""
        from flytepath.model.identity import Identity

        execution = self.execution_id
        name = self.declaration.name or LOCAL_EXECUTION
        return Identity(execution.project, execution.domain, name, self._task_version)

    @property
    def execution_date(self) -> dt.datetime:
        """When the execution was created, in UTC; in a direct call, when this was first asked."""
        if self._execution_date is None:
            import datetime as dt

            self._execution_date = dt.datetime.now(dt.UTC)
        return self._execution_date

    @property
    def declaration(self) -> TaskDeclaration:
        """The task as declared, with its configuration."""
        if self._declare is None:
            from flytepath.plugin.task_type import TaskDeclaration

            return TaskDeclaration(name=self.node_path)
        return self._declare()

    # --- places ---

    @property
    def working_directory(self) -> Path:
        """An empty folder of this attempt's own; removed with it in a direct call."""
        if self._working_directory is None:
            from flytepath.authoring.scratch import folder_of_this_process

            self._folder = self._working_directory = folder_of_this_process()
        self._working_directory.mkdir(parents=True, exist_ok=True)
        return self._working_directory

    @property
    def raw_output_prefix(self) -> str:
        """Where files that outlive the attempt are kept: a path or URI that ends with ``/``.

        In a direct call it is a folder that goes away with the process.
        """
        if self._raw_output_prefix is None:
            from flytepath.authoring.scratch import folder_of_this_process

            self._raw_output_prefix = str(folder_of_this_process())
        return self._raw_output_prefix.rstrip("/") + "/"

    # --- what it offers ---

    @property
    def logging(self) -> logging.Logger:
        """A logger named after the task."""
        if self._logger is None:
            import logging

            self._logger = logging.getLogger(f"flytepath.task.{self.node_path}" if self.node_path else "flytepath.task")
        return self._logger

    @property
    def secrets(self) -> SecretsManager:
        """The values of secrets: ``secrets.get(group, key)`` or ``secrets.<group>.<key>``."""
        from flytepath.authoring.secrets import SecretsManager

        return SecretsManager(self.tenant, self._secret_requests, self._secret_folder)

    def backend_settings(self, name: str) -> Any:
        """The settings of a backend for the attempt's tenant, where the attempt runs: ``[backends.<name>]``.

        For plugins whose values lie at the service that the backend speaks to, such as the tables of a warehouse.

        Returns:
            The plugin's own model of them, with references to secrets, never a secret.

        Raises:
            PluginNotFoundError, PluginDeniedError: no plugin provides the backend, or not for this tenant.
            ConfigError: they are wrong.
        """
        from flytepath.authoring.backend_settings import backend_settings

        return backend_settings(name, self.tenant)

    def secrets_given(self, requests: tuple[Secret, ...], folder: Path | None) -> None:
        """The secrets that the task asks for are at hand; ``folder`` holds those that it asks for as files."""
        self._secret_requests, self._secret_folder = requests, folder

    @property
    def checkpoint(self) -> Checkpoint:
        """What earlier attempts left, and a place for what this one leaves.

        In a direct call there is no earlier attempt, and what is saved is forgotten when it ends.
        """
        if self._checkpoint is None:
            from flytepath.authoring.checkpoint import Checkpoint

            self._checkpoint = Checkpoint(
                self._checkpoint_destination,
                sources=self._checkpoint_sources,
                attempt=self.attempt,
                scratch=self._checkpoint_scratch(),
            )
        return self._checkpoint

    def _checkpoint_scratch(self) -> Path | None:
        """Where copies of what is loaded outlive the body: outputs that are made of them are encoded after it."""
        own = self._working_directory
        if self._checkpoint_destination is None or own is None:
            return None
        from flytepath.authoring.saves.places import copies_beside

        return copies_beside(own)

    @property
    def stats(self) -> NoStats:
        """Counters and timers that go nowhere; code that uses them runs on."""
        from flytepath.authoring.stats import NoStats

        return NoStats()

    def without_secrets(self, text: str) -> str:
        """``text`` with each value replaced of the secrets that this process was given, as it is in logs and decks.

        For what a task leaves somewhere else. In a direct call nothing is replaced.

        Example:
            >>> current_context().without_secrets("nothing to hide")
            'nothing to hide'
        """
        from flytepath.engine.secrets.known import redactor

        known = redactor()
        return text if known is None else known.text(text)

    # --- decks ---

    @property
    def decks(self) -> tuple[Deck, ...]:
        """The decks of this attempt, in the order they were made."""
        return tuple(self._decks.values()) if self._decks else ()

    @property
    def default_deck(self) -> Deck:
        """A deck that every task has, named ``Default``."""
        from flytepath.authoring.decks.deck import DEFAULT_DECK, Deck

        found = (self._decks or {}).get(DEFAULT_DECK)
        if found is None:
            found = Deck(DEFAULT_DECK, auto_add_to_deck=False)
            self.keep_deck(found)
        return found

    @property
    def timeline_deck(self) -> TimelineDeck:
        """A deck of what took how long."""
        from flytepath.authoring.decks.deck import TIMELINE_DECK, TimelineDeck

        found = (self._decks or {}).get(TIMELINE_DECK)
        if not isinstance(found, TimelineDeck):
            found = TimelineDeck(auto_add_to_deck=False)
            self.keep_deck(found)
        return found

    def add_deck(self, name: str, html: str) -> None:
        """Keep ``html`` as a deck of this attempt at once, also if the attempt fails afterwards."""
        from flytepath.authoring.decks.deck import Deck

        self.keep_deck(Deck(name, html, auto_add_to_deck=False))
        self._report(name, html)

    def keep_deck(self, deck: Deck) -> None:
        """Make ``deck`` one of this attempt's, in place of another of its name."""
        if self._decks is None:
            self._decks = {}
        self._decks[deck.name] = deck

    def report_decks(self) -> None:
        """Hand on the decks that changed since they were last handed on; those with nothing in them are left out."""
        for name, deck in tuple((self._decks or {}).items()):
            self._report(name, deck.html)

    def _report(self, name: str, html: str) -> None:
        if self._on_deck is None or not html:
            return
        if self._reported is None:
            self._reported = {}
        if self._reported.get(name) != html:
            self._on_deck(name, html)
            self._reported[name] = html

    # --- what others put in ---

    def attach(self, name: str, value: Any) -> None:
        """Offer ``value`` to the task's code as ``current_context().<name>``, for task types and wrappers.

        Example:
            >>> context = ExecutionContext()
            >>> context.attach("spark_session", "a session")
            >>> context.spark_session, context.get("SPARK_SESSION"), context.has_attr("ray")
            ('a session', 'a session', False)
        """
        if self._attached is None:
            self._attached = {}
        self._attached[name.lower()] = value

    def carried(self) -> CarriedAttempt:
        """This attempt, for other processes of this machine to enter; it pickles."""
        from flytepath.authoring.carried import carried

        return carried(self)

    def heard(self, news: Any) -> None:
        """Take what a process that entered this attempt has told."""
        from flytepath.authoring.carried import hear

        hear(self, news)

    def has_attr(self, attr_name: str) -> bool:
        """Whether something of this name was attached."""
        return attr_name.lower() in (self._attached or {})

    def get(self, key: str) -> Any:
        """What was attached under a name, in any case of letters; ``AttributeError`` where nothing was."""
        return self.__getattr__(key.lower())

    def __getattr__(self, name: str) -> Any:
        # Only names that are neither fields nor properties come here.
        attached = None if name.startswith("_") else self._attached
        if attached is not None and name in attached:
            return attached[name]
        raise AttributeError(
            f"the context of {self.node_path or 'no task'} has no {name!r}" if name[:1] != "_" else name
        )

    def close(self) -> None:
        """Remove what goes away with a direct call."""
        if self._folder is not None:
            import shutil

            shutil.rmtree(self._folder, ignore_errors=True)
        if self._checkpoint is not None:
            self._checkpoint.close()


_current: ContextVar[ExecutionContext | None] = ContextVar("flytepath_context", default=None)


def _folder_of_attempt() -> Path | None:
    context = _current.get()
    return None if context is None else context.working_directory


attempt_folder.find = _folder_of_attempt


def current_context() -> ExecutionContext:
    """The context of the task that is running, or an anonymous one outside any task.

    Example:
        >>> current_context().execution_id
        'local'
    """
    context = _current.get()
    return context if context is not None else ExecutionContext()


@contextmanager
def being_current(context: ExecutionContext) -> Iterator[None]:
    """Make ``context`` the current one for what comes before and after the task's own code."""
    token = _current.set(context)
    try:
        yield
    finally:
        _current.reset(token)


class entered:
    """Make ``context`` the current one; when it ends, well or badly, its decks are handed on and it is closed."""

    __slots__ = ("_context", "_token")

    def __init__(self, context: ExecutionContext) -> None:
        self._context = context

    def __enter__(self) -> ExecutionContext:
        self._token: Token[ExecutionContext | None] = _current.set(self._context)
        return self._context

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        context = self._context
        try:
            if context._decks:
                context.report_decks()
        except Exception as lost:
            if error is None:
                raise
            # The task's own failure is what must be told.
            error.add_note(f"its decks could not be kept: {lost}")
        finally:
            _current.reset(self._token)
            context.close()
