"""Tasks that run as jobs of a backend: which backend it is, whether it can run them, and what it is told of them.

The same questions are asked when a workflow is compiled and when a task is called directly, so that what can never run
is refused with the same words in both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flytepath.authoring.call import LOCAL, task_type_name, task_type_of
from flytepath.errors import AttemptTimeoutError, CompileError, PluginNotFoundError, TaskFailedError
from flytepath.model.task import BODIES_OF_WORKERS, Body, Interface, RetryPolicy, TaskSpec, Variable

if TYPE_CHECKING:
    from flytepath.authoring.settings import TaskSettings
    from flytepath.authoring.task import Task
    from flytepath.model.events import ErrorRecord
    from flytepath.model.identity import Tenant
    from flytepath.plugin.manager import Claim, PluginManager


class RendererMissingError(CompileError):
    """Nothing says how a task of this type becomes a job of its backend."""

    code = "FP-RENDERER-MISSING"


class RemoteBodyError(CompileError):
    """The task needs a worker beside its body, and nobody runs one for it there."""

    code = "FP-REMOTE-BODY"


class StorageNotSharedError(CompileError):
    """A worker elsewhere could not find its code and inputs: the blobs lie on this machine alone."""

    code = "FP-STORAGE-NOT-SHARED"


class RemoteImageError(CompileError):
    """The task describes an image that no registry holds: whoever runs it elsewhere has nothing to start."""

    code = "FP-REMOTE-IMAGE"


class RemoteTaskError(TaskFailedError):
    """The job of a task failed, or cannot be run from here; ``code`` is that of the failure.

    Example:
        >>> error = RemoteTaskError("train on spark: exit code 1", place="train", code="FP-JOB-FAILED")
        >>> error.code
        'FP-JOB-FAILED'
    """

    code = "FP-REMOTE-TASK"

    def __init__(self, message: str, *, code: str = "", **facts: str | None) -> None:
        super().__init__(message, **facts)
        if code:
            vars(self)["code"] = code

    def __reduce__(self) -> tuple[Any, ...]:
        facts = {name: getattr(self, name) for name in ("place", "expected", "actual", "hint", "code")}
        return (_rebuilt_error, (type(self), self.message, facts))


def _rebuilt_error(kind: type[RemoteTaskError], message: str, facts: dict[str, Any]) -> RemoteTaskError:
    return kind(message, **facts)


class RemoteTimeoutError(RemoteTaskError, AttemptTimeoutError):
    """A job, or its wait for a turn, took longer than its task allows."""

    code = "FP-REMOTE-TIMEOUT"


def error_from(record: ErrorRecord) -> RemoteTaskError:
    """What the caller of a task sees of a failure."""
    kind = RemoteTimeoutError if record.kind == "timeout" else RemoteTaskError
    error = kind(
        record.message,
        place=record.place,
        expected=record.expected,
        actual=record.actual,
        hint=record.hint,
        code=record.code,
    )
    if record.traceback:
        error.add_note(f"the end of its log:\n{record.traceback}")
    return error


def checked_backend(task: Task, tenant: Tenant | None, workers: str = "") -> tuple[Claim | None, str]:
    """Who brings the task's type, ``None`` for core's own, and the backend that runs it.

    Args:
        task: any task.
        tenant: whose policy counts; ``None`` for everyone's.
        workers: the backend of tasks that a worker runs and that name none, in place of what configuration says.

    Raises:
        PluginNotFoundError: nobody brings the backend; the hint says what to install or enable.
        PluginDeniedError: a plugin it needs is not enabled for ``tenant``.
        PluginQuarantinedError, PluginConflictError: who brings it is broken, or not alone.
        RendererMissingError: nobody says how a task of this type becomes a job there.
        RemoteBodyError: it needs a worker there.
        StorageNotSharedError: a worker there would not find its inputs.
        RemoteImageError: nobody has built the image it describes.
    """
    has_type = task.task_config is not None and not task.has_own_execute
    chosen, whose = _chosen(task, tenant, workers)
    if not has_type and chosen in ("", LOCAL):
        return None, LOCAL
    from flytepath.plugin.manager import current

    manager = current()
    kind: Claim | None = None
    if has_type:
        kind = manager.task_type_for(type(task.task_config))
        manager.check_enabled(kind, tenant)
        chosen, whose = chosen or kind.declaration.default_backend, whose or f"where {_named(kind)} puts tasks"
    if chosen == LOCAL:
        return kind, LOCAL
    backend = _backend(manager, task, chosen, whose)
    manager.check_enabled(backend, tenant)
    is_worked = needs_worker(task, kind)
    if is_worked:
        _check_worker(task, backend)
        _check_image(task, kind, chosen)
    if not (is_worked and _is_plain(kind)):
        _check_renderer(manager, task, kind, backend, tenant)
    if not is_worked:
        _check_boundaries(manager, task, chosen)
    return kind, chosen


def _chosen(task: Task, tenant: Tenant | None, workers: str) -> tuple[str, str]:
    """Which backend the task or the configuration names, and who says so; empty where neither does."""
    own = task.settings.backend
    if own:
        return own, "as the task says"
    if task.mode != "task":
        return "", ""  # it leads others, which go where they belong
    if workers and (task.body in BODIES_OF_WORKERS or task.has_own_execute):
        return workers, "as was asked for"
    from flytepath.config import task_backends

    routes = task_backends(*((tenant.project, tenant.domain) if tenant is not None else ("", "")))
    found = routes.get(task_type_name(task), "") if routes else ""
    return found, "as [task_backends] in the configuration says" if found else ""


def needs_worker(task: Task, kind: Claim | None) -> bool:
    """Whether a worker runs the task, and no service does.

    Args:
        task: any task.
        kind: who brings its type; ``None`` for core's own.
    """
    return (
        task.body in BODIES_OF_WORKERS or task.has_own_execute or (kind is not None and kind.declaration.plain_worker)
    )


def _is_plain(kind: Claim | None) -> bool:
    """Whether tasks of the type need nothing but a worker."""
    return kind is None or kind.declaration.plain_worker


def _backend(manager: PluginManager, task: Task, name: str, whose: str) -> Claim:
    try:
        return manager.backend(name)
    except PluginNotFoundError as error:
        usual = f"flyte-plugin-{name}"
        denied = [r for r in manager.plugins if r.state == "denied" and (r.name == name or r.distribution == usual)]
        hint = f"install the plugin that brings it (by its usual name: pip install {usual})"
        if denied:
            hint = f"plugin {denied[0].name!r} ({denied[0].distribution}) is installed, not enabled: {denied[0].hint}"
        raise PluginNotFoundError(
            f"task {task.name} runs on backend {name!r}, which no enabled plugin brings",
            place=task.name,
            expected=error.expected,
            actual=f"{name}, {whose} of type {task_type_name(task)!r}" if "puts" in whose else f"{name}, {whose}",
            hint=hint,
        ) from error


def _check_renderer(
    manager: PluginManager, task: Task, kind: Claim | None, backend: Claim, tenant: Tenant | None
) -> None:
    """A plugin's backend reads the payloads of its own task types; for those of others somebody must render them."""
    task_type, name = task_type_name(task), backend.declaration.name
    try:
        renderer = manager.renderer(task_type, name)
    except PluginNotFoundError as error:
        if kind is not None and (kind.plugin, kind.distribution) == (backend.plugin, backend.distribution):
            return
        raise RendererMissingError(
            f"nothing says how a task of type {task_type!r} becomes a job of backend {name!r}",
            place=task.name,
            expected=f"an enabled plugin with a renderer for the pair ({task_type}, {name})",
            actual=f"the type is brought by {'core' if kind is None else _named(kind)}, "
            f"the backend by {_named(backend)}",
            hint="install the plugin that joins the two, or ask the authors of either for a renderer",
        ) from error
    manager.check_enabled(renderer, tenant)


def _check_worker(task: Task, backend: Claim) -> None:
    """Whether the backend can run a worker for the task, and the worker can reach what it needs."""
    name = backend.declaration.name
    if not backend.declaration.runs_workers:
        raise RemoteBodyError(
            f"task {task.name} has a {task.body} body, and backend {name!r} has nobody to run it",
            place=task.name,
            expected="a task without a Python body, whose work the backend's service does",
            actual=f"a {task.body} body on backend {name!r}",
            hint="run it on this machine, or on a backend that starts workers, as `kubernetes` does",
        )
    if task.mode != "task":
        raise RemoteBodyError(
            f"task {task.name} leads other tasks while it runs, which a worker elsewhere cannot",
            place=task.name,
            expected=f"backend 'local' for a task that is {task.mode}",
            actual=name,
            hint="leave its backend out: the tasks it calls go to theirs",
        )
    from flytepath.config import home, shared_blobs

    if shared_blobs() is None:
        raise StorageNotSharedError(
            f"task {task.name} runs on backend {name!r}, whose workers cannot reach the blobs of this machine",
            place=task.name,
            expected="a place that every machine reaches: an object store, or a folder they share",
            actual=str(home() / "blobs"),
            hint='say it once: [store] blobs = "s3://bucket/prefix" in flytepath.toml, or FLYTEPATH_BLOBS',
        )


def _check_image(task: Task, kind: Claim | None, backend: str) -> None:
    """An image that is described is built by its author: what nobody can pull is no image for a machine elsewhere."""
    image = task.settings.image
    if image is None or isinstance(image, str) or image.registry:
        return
    if kind is not None and "container_image" in task_type_of(task).ignored_settings:
        return  # it says itself what it starts
    raise RemoteImageError(
        f"task {task.name} runs on backend {backend!r} in an image that nobody builds",
        place=f"{task.name}(container_image)",
        expected="an image that a registry holds",
        actual=f"ImageSpec {image.image_name()}, without a registry",
        hint="build and push it, and name where: ImageSpec(registry='ghcr.io/acme', ...); "
        "or give the name of an image: container_image='...'",
    )


def _check_boundaries(manager: PluginManager, task: Task, backend: str) -> None:
    """A service hands values over without anybody looking at them."""
    for side, codecs in (("input", task.input_codecs), ("output", task.output_codecs)):
        for name, codec in codecs.items():
            for marker in codec.markers:
                if manager.boundary_check_for(type(marker)) is not None:
                    raise RemoteBodyError(
                        f"{side} {name!r} of {task.name} asks for a check that nobody makes on backend {backend!r}",
                        place=f"{task.name}({name})",
                        actual=type(marker).__name__,
                        hint="check the value in a task of its own, before or after this one",
                    )


def _named(claim: Claim) -> str:
    return f"plugin {claim.plugin!r} ({claim.distribution} {claim.version})"


def payload_of(task: Task, backend: str = LOCAL) -> Any:
    """What the task's type makes of its declaration, for a backend."""
    if task.task_config is None or task.has_own_execute:
        return None
    return task_type_of(task).compile(task.declaration(backend))


def retry_policy(settings: TaskSettings) -> RetryPolicy:
    """How often, and how far apart, a failed attempt is tried again."""
    retry = settings.retry
    if retry is None:
        return RetryPolicy(retries=settings.retries)
    return RetryPolicy(
        retries=settings.retries,
        system=retry.system,
        backoff_seconds=retry.backoff_seconds,
        backoff_factor=retry.factor,
        backoff_limit_seconds=retry.limit_seconds,
        jitter=retry.jitter,
    )


def job_spec(task: Task, backend: str) -> TaskSpec:
    """What a job is planned from in a direct call: the spec without what only a compiled workflow needs."""
    settings = task.settings
    return TaskSpec(
        name=task.name,
        task_type=task_type_name(task),
        backend=backend,
        interface=Interface(
            outputs=tuple(
                Variable(name=name, type=codec.literal_type, pickled=codec.pickled)
                for name, codec in task.output_codecs.items()
            )
        ),
        body=Body(kind=task.body),
        payload=payload_of(task, backend),
        retry=retry_policy(settings),
        timeout_seconds=settings.timeout_seconds,
        queue_timeout_seconds=settings.queue_timeout_seconds,
        interruptible=settings.interruptible,
        requests=settings.requests,
        limits=settings.limits,
        secrets=tuple(secret.to_json() for secret in settings.secrets),
        labels=dict(settings.labels),
        annotations=dict(settings.annotations),
        pools=dict(settings.pools),
        detach=settings.detach,
        idempotent=settings.idempotent,
    )
