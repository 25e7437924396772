"""Tasks: typed functions, and tasks without a function that a task type or a class of the user's own runs."""

from __future__ import annotations

import datetime as dt
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, overload

from flytepath.authoring.entity import Entity, Interface
from flytepath.authoring.settings import TaskMetadata, TaskSettings, task_settings
from flytepath.authoring.signature import read_signature
from flytepath.errors import DefinitionError, TypeTransformerFailedError
from flytepath.types import attempt_folder
from flytepath.types.named_types import NamedTypes

if TYPE_CHECKING:
    from flytepath.authoring.decks.deck import DeckField
    from flytepath.authoring.declared.attempts import Retry, Timeout
    from flytepath.authoring.declared.caching import Cache
    from flytepath.authoring.declared.documentation import Documentation
    from flytepath.authoring.declared.image_spec import ImageSpec
    from flytepath.authoring.declared.pod_template import PodTemplate
    from flytepath.authoring.settings import Caching
    from flytepath.model.accelerators import Accelerator
    from flytepath.model.resources import Resources
    from flytepath.model.secret import Secret
    from flytepath.plugin.task_type import TaskDeclaration


class Task(Entity):
    """A named, typed step.

    Args:
        name: unique in its project.
        inputs, outputs: Python types by name, in order.
        task_config: selects the task type.
        defaults: defaults of inputs.
        output_tuple: the NamedTuple class of several outputs.
        settings: as for :func:`task`.
    """

    body: ClassVar[Literal["function", "notebook", "shell", "sql", "none"]] = "none"
    #: What the body gives: outputs, or (``dynamic``) a graph, or (``eager``) outputs by way of calls.
    mode: ClassVar[Literal["task", "dynamic", "eager"]] = "task"
    #: The text a body is made of, where it is no function.
    source: str = ""
    #: Whether the text travels in the compiled task, so that a worker runs what was compiled, and counts for the cache.
    source_is_compiled: ClassVar[bool] = False

    def __init__(
        self,
        name: str,
        inputs: Mapping[str, Any],
        outputs: Mapping[str, Any],
        *,
        task_config: Any = None,
        defaults: Mapping[str, Any] | None = None,
        output_tuple: type[Any] | None = None,
        function: Callable[..., Any] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(name, inputs, outputs, defaults or {}, output_tuple)
        self.task_config = task_config
        self.function = function
        self.settings: TaskSettings = task_settings(name, self.inputs, function, settings)
        self._isolate = {name: codec.isolate for name, codec in self.input_codecs.items()}
        if task_config is not None and not self.has_own_execute:
            from flytepath.authoring.call import check_config

            check_config(self)
        markers = [m for codec in (*self.input_codecs.values(), *self.output_codecs.values()) for m in codec.markers]
        if markers:
            from flytepath.authoring.call import check_markers

            check_markers(self)
        #: Outputs that are taken over while the attempt lasts: in any run, and in direct calls, whose folder ends then.
        self.streams = self._outputs_with(attempt_folder.STREAMS)
        self.in_folder = self._outputs_with(attempt_folder.IN_FOLDER)
        #: Nothing happens around the body but checks of types.
        self.is_plain = (
            task_config is None
            and not markers
            and self.settings.caching is None
            and not self.settings.decks
            and not self.settings.process_variables
            and not self.settings.secrets
            and self.mode == "task"
        )

    def _outputs_with(self, kinds: frozenset[str]) -> tuple[str, ...]:
        codecs = self.output_codecs.items()
        return tuple(name for name, codec in codecs if attempt_folder.holds(codec.literal_type, kinds))

    @property
    def metadata(self) -> TaskMetadata:
        """The settings flytekit knows by this name."""
        settings = self.settings
        caching = settings.caching
        return TaskMetadata(
            cache=caching is not None,
            cache_version=caching.version if caching else "",
            cache_serialize=caching.serialize if caching else False,
            cache_ignore_input_vars=caching.ignored if caching else (),
            interruptible=settings.interruptible,
            deprecated=settings.deprecated,
            retries=settings.retries if settings.retry is None else replace(settings.retry, count=settings.retries),
            timeout=_timeout_of(settings),
            pod_template_name=settings.pod_template_name or None,
            generates_deck=bool(settings.decks),
            is_eager=self.mode == "eager",
            labels=settings.labels,
            annotations=settings.annotations,
        )

    @property
    def has_own_execute(self) -> bool:
        """Whether the class says itself how it runs, and needs no task type for it."""
        return type(self).execute is not Task.execute

    def execute(self, **inputs: Any) -> Any:
        """What a subclass overrides to do the task's work with native inputs."""
        raise DefinitionError(
            f"task {self.name} has no body to call",
            place=self.name,
            hint="its class must override execute(), or its task type must, and not call the body",
        )

    def run_here(self, inputs: dict[str, Any]) -> Any:
        """Run one attempt in this process with native inputs, checked and kept apart from the caller's."""
        if self.stand_in is not None:
            return self.answered(inputs)
        if self.task_config is not None:
            from flytepath.authoring.call import call_inside, has_surroundings

            if has_surroundings(self):
                return call_inside(self, lambda: self._own(inputs))
        from flytepath.authoring.call import call_here  # with the first call: a definition needs nothing of it

        return call_here(self, self._own(inputs))

    def _own(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """The inputs, checked, and kept apart from the caller's."""
        own = {}
        isolate, key = self._isolate, ""
        try:
            for key, value in inputs.items():
                own[key] = isolate[key](value)
        except TypeTransformerFailedError as error:  # not tried again: an iterator would be half consumed
            error.place = f"{self.name}({key}{error.place or ''})"
            raise
        return own

    async def run_async(self, inputs: dict[str, Any]) -> Any:
        """Run one attempt of a task whose body is a coroutine in the caller's loop."""
        from flytepath.authoring.call import call_async, call_inside_async, has_surroundings

        if self.stand_in is not None:
            result = self.stand_in(**{key: self.checked_input(key, value) for key, value in inputs.items()})
            result = await result if inspect.isawaitable(result) else result
            return self.checked(self.named(result)) if self.outputs else None
        if has_surroundings(self):
            return await call_inside_async(self, lambda: self._own(inputs))
        return await call_async(self, self._own(inputs))

    def call_body(self, inputs: Mapping[str, Any]) -> Any:
        """Call the user's function, or :meth:`execute`."""
        if self.function is None:
            return self.execute(**inputs)
        return self.function(**inputs)

    def as_outputs(self, result: Any) -> dict[str, Any]:
        """What the body returned, by output name."""
        return self.named(result)

    @property
    def caching(self) -> Caching | None:
        """How outputs are reused: as the settings say, and as long as the compiled source stays the same."""
        caching = self.settings.caching
        if caching is None or not self.source_is_compiled:
            return caching
        from flytepath.model.literal import sha256

        return replace(caching, version=f"{caching.version}+{sha256(self.source.encode())[:23]}")

    def declaration(self, backend: str = "local", source: str = "") -> TaskDeclaration:
        """The task as its task type sees it, on a backend; ``source`` is the one that was compiled, if any."""
        from flytepath.plugin.task_type import TaskDeclaration

        return TaskDeclaration(
            name=self.name,
            config=self.task_config,
            inputs={name: codec.literal_type for name, codec in self.input_codecs.items()},
            outputs={name: codec.literal_type for name, codec in self.output_codecs.items()},
            python_inputs=self.inputs,
            python_outputs=self.outputs,
            body=self.body,
            source=source or self.source,
            requests=self.settings.requests,
            limits=self.settings.limits,
            backend=backend,
        )

    def __repr__(self) -> str:
        return f"<task {self.name}>"


def _timeout_of(settings: TaskSettings) -> dt.timedelta | Timeout | None:
    runtime = None if settings.timeout_seconds is None else dt.timedelta(seconds=settings.timeout_seconds)
    if settings.queue_timeout_seconds is None:
        return runtime
    from flytepath.authoring.declared.attempts import Timeout

    return Timeout(runtime, dt.timedelta(seconds=settings.queue_timeout_seconds))


class PythonFunctionTask(Task):
    """A task whose body is a Python function; what ``@task`` makes.

    Args:
        task_config: a plugin's configuration object, or ``None``.
        task_function: a function with annotations.
        settings: as for :func:`task`.
    """

    body = "function"

    def __init__(
        self, task_config: Any, task_function: Callable[..., Any], *, pickle_untyped: bool = False, **settings: Any
    ) -> None:
        if not callable(task_function) or not hasattr(task_function, "__code__"):
            raise DefinitionError(
                "@task takes a plain function",
                actual=repr(task_function),
                hint="decorate a function defined with 'def', with @task outermost",
            )
        signature = read_signature(task_function, "task", pickle_untyped=pickle_untyped)
        self.is_async = inspect.iscoroutinefunction(inspect.unwrap(task_function))
        take_names(self, task_function)
        settings.setdefault("docs", None)
        super().__init__(
            full_name(task_function),
            signature.inputs,
            signature.outputs,
            task_config=task_config,
            defaults=signature.defaults,
            output_tuple=signature.output_tuple,
            function=task_function,
            **settings,
        )

    def execute(self, **inputs: Any) -> Any:
        """Call the function."""
        return self.task_function(**inputs)

    @property
    def has_own_execute(self) -> bool:
        """A function's task type decides how it runs."""
        return False

    @property
    def task_function(self) -> Callable[..., Any]:
        """The function."""
        return self.function  # type: ignore[return-value]


class PythonTask(Task):
    """The base of tasks that are a class of the user's own: override :meth:`execute`.

    Assign each to a module variable; that is how a worker finds it.

    Args:
        task_type: a word for people; what runs is ``execute``.
        name: unique in its project.
        task_config: kept as ``self.task_config`` for ``execute``.
        interface: inputs and outputs.
        environment: environment variables of the process that runs it.
        settings: as for :func:`task`.

    Example:
        >>> class Greeting(PythonTask):
        ...     def __init__(self, name: str, word: str):
        ...         super().__init__("greeting", name, word, Interface({"who": str}, {"o0": str}))
        ...     def execute(self, **inputs):
        ...         return f"{self.task_config} {inputs['who']}"
        >>> hello = Greeting("hello", "Hello")
        >>> hello(who="Ada")
        'Hello Ada'
    """

    def __init__(
        self,
        task_type: str,
        name: str,
        task_config: Any = None,
        interface: Interface | None = None,
        environment: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> None:
        interface = interface or Interface()
        self.task_type = task_type
        settings.setdefault("docs", inspect.cleandoc(type(self).__doc__ or ""))
        super().__init__(
            name,
            interface.inputs,
            interface.outputs,
            task_config=task_config,
            defaults=interface.defaults,
            environment=environment,
            **settings,
        )

    @property
    def python_interface(self) -> Interface:
        """The inputs and outputs."""
        return self.interface


class PythonInstanceTask(Task):
    """A task without a function: the task type of its ``task_config`` does all the work, or an own ``execute``.

    Assign it to a module variable; that is how a worker finds it.

    Args:
        name: the task's name, unique in its project.
        task_config: selects the task type.
        inputs, outputs: types by name, from :func:`kwtypes` or a dict.
        interface: the same as one object.
        task_type: a word for people.
        settings: as for :func:`task`.
    """

    def __init__(
        self,
        name: str,
        task_config: Any = None,
        inputs: Mapping[str, Any] | None = None,
        outputs: Mapping[str, Any] | None = None,
        *,
        interface: Interface | None = None,
        task_type: str = "",
        defaults: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        if task_config is None and not self.has_own_execute:
            raise DefinitionError(f"task {name} has no body and no task_config", place=name)
        self.task_type = task_type
        settings.setdefault("docs", inspect.cleandoc(type(self).__doc__ or ""))
        interface = interface or Interface(inputs, outputs, defaults)
        super().__init__(
            name,
            interface.inputs,
            interface.outputs,
            task_config=task_config,
            defaults=interface.defaults,
            **settings,
        )


def kwtypes(**types: Any) -> NamedTypes:
    """Types by name, for tasks that have no signature and for the columns of frames.

    Example:
        >>> kwtypes(x=int, y=str)
        {'x': <class 'int'>, 'y': <class 'str'>}
    """
    return NamedTypes(types)


def full_name(function: Callable[..., Any]) -> str:
    """``module.function``."""
    return f"{function.__module__}.{function.__qualname__}"


def take_names(entity: Entity, function: Callable[..., Any]) -> None:
    """Let ``entity`` look like the function it was made of."""
    entity.__doc__ = function.__doc__
    entity.__name__ = function.__name__  # type: ignore[attr-defined]
    entity.__qualname__ = function.__qualname__  # type: ignore[attr-defined]
    entity.__module__ = function.__module__
    entity.__wrapped__ = function  # type: ignore[attr-defined]


@overload
def task(function: Callable[..., Any], /) -> PythonFunctionTask: ...
@overload
def task(
    *,
    task_config: Any = None,
    cache: bool | Cache | None = None,
    retries: int | Retry | None = None,
    interruptible: bool | None = None,
    deprecated: str | None = None,
    timeout: dt.timedelta | float | Timeout | None = None,
    container_image: str | ImageSpec | None = None,
    environment: Mapping[str, str] | None = None,
    requests: Resources | None = None,
    limits: Resources | None = None,
    secret_requests: list[Secret] | None = None,
    node_dependency_hints: Iterable[Entity] | None = None,
    docs: Documentation | None = None,
    disable_deck: bool | None = None,
    enable_deck: bool | None = None,
    deck_fields: tuple[DeckField, ...] | None = None,
    pod_template: PodTemplate | None = None,
    pod_template_name: str | None = None,
    accelerator: Accelerator | None = None,
    pickle_untyped: bool = False,
    shared_memory: bool | str | None = None,
    resources: Resources | None = None,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    pools: Mapping[str, int] | None = None,
    detach: bool | None = None,
    idempotent: bool | None = None,
    backend: str | None = None,
    cache_version: str | None = None,
    cache_serialize: bool | None = None,
    cache_ignore_input_vars: tuple[str, ...] | None = None,
) -> Callable[[Callable[..., Any]], PythonFunctionTask]: ...
def task(function: Callable[..., Any] | None = None, /, *, task_config: Any = None, **settings: Any) -> Any:
    """Make a task of a typed function.

    Args:
        task_config: a plugin's configuration object; it selects the task type.
        cache: reuse outputs for equal inputs, a :class:`Cache` or ``True`` with ``cache_version``; also in direct
            calls, unless ``FLYTEPATH_LOCAL_CACHE=0``. ``cache_serialize`` lets one of several equal calls run at a
            time, ``cache_ignore_input_vars`` names inputs that do not matter.
        retries: how often a failed attempt is tried again in a durable run, on the task's own budget; :class:`Retry`
            also says how long to wait in between.
        interruptible: whether it may run on machines that can be taken away; its last attempt does not.
        deprecated: why it should no longer be used.
        timeout: the longest one attempt may take in a durable run, a ``timedelta`` or seconds; none by default.
            :class:`Timeout` also says how long it may wait for its turn.
        container_image: the image it needs on backends that run containers, or an :class:`ImageSpec`.
        environment: environment variables of the process that runs it.
        requests, limits: the resources an attempt asks for and may use; ``resources`` gives both at once.
        secret_requests: the secrets it may ask its context for.
        node_dependency_hints: taken for flytekit's sake; a compiled dynamic task needs no hints.
        docs: documentation for people, beside the docstring.
        enable_deck, disable_deck, deck_fields: whether FlytePath writes its own decks for it, and which.
        pod_template, pod_template_name: the pod it runs in on Kubernetes.
        accelerator: the kind of device its GPUs must be.
        pickle_untyped: take inputs and outputs without annotation, and pickle them.
        shared_memory: ``True`` or a size, for backends that give ``/dev/shm``.
        labels, annotations: on whatever the backend makes for it.
        pools: tokens of shared pools that each attempt holds in a durable run, by the pool's full name, as in
            ``{"matlab": 1}``; it waits until it has them all. A remote job asks for them in a direct call too.
        detach: leave its remote job alone when what started it is aborted or fails, instead of cancelling it.
        idempotent: its remote job may be submitted a second time where nobody can know whether the first call
            reached a vendor that cannot be asked. These two say nothing of tasks that run in workers of this machine.
        backend: where a durable run runs it, as ``"kubernetes"`` or ``"local"``; by default what the configuration
            says in ``[task_backends]`` for tasks of its type, or else the type itself.

    Raises:
        DefinitionError: the function cannot be a task; the error says why.

    Example:
        >>> from flytepath import task
        >>> @task
        ... def double(x: int) -> int:
        ...     return 2 * x
        >>> double(x=21)
        42
    """

    def decorate(function: Callable[..., Any]) -> PythonFunctionTask:
        given = known_settings(settings, function)
        return PythonFunctionTask(task_config, function, **given)

    return decorate if function is None else decorate(function)


def known_settings(settings: dict[str, Any], function: Callable[..., Any]) -> dict[str, Any]:
    """``settings`` without those that mean nothing here, and with an error for those that cannot be kept."""
    place = getattr(function, "__qualname__", repr(function))
    given = {name: value for name, value in settings.items() if value is not None}
    given.pop("node_dependency_hints", None)
    for name, hint in _REFUSED.items():
        if name in given:
            raise DefinitionError(f"a task has no {name}", place=f"{place}({name})", hint=hint)
    return given


_REFUSED = {
    "task_resolver": "a worker finds a task by the module variable that holds it",
    "execution_mode": "use @dynamic or @eager",
}
