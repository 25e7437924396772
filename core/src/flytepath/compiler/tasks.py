"""Tasks as specs, and where a worker finds them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from flytepath.authoring.call import LOCAL, task_type_name
from flytepath.authoring.overrides import NodeOverrides
from flytepath.authoring.remote_tasks import checked_backend, needs_worker, payload_of, retry_policy
from flytepath.authoring.settings import Caching, TaskSettings
from flytepath.authoring.task import Task
from flytepath.compiler.backend_checks import check_on_backend
from flytepath.compiler.literals import interface_of
from flytepath.errors import NestedTaskError
from flytepath.model.identity import Tenant
from flytepath.model.task import BODIES_OF_WORKERS, Body, CacheSpec, Overrides, TaskSpec
from flytepath.plugin.transformer import BlobSink

if TYPE_CHECKING:
    from flytepath.authoring.declared.image_spec import ImageSpec
    from flytepath.plugin.manager import Claim


def compile_task(task: Task, tenant: Tenant, sink: BlobSink, workers: str = "") -> TaskSpec:
    """The spec of one task; ``workers`` as of :func:`checked_backend`.

    Raises:
        NestedTaskError: a worker could not find it.
        PluginDeniedError: it needs a plugin that the policy does not enable for ``tenant``.
        PluginNotFoundError, RendererMissingError, RemoteBodyError, RemoteImageError: no backend can run it.
        BackendRefusalError: its backend says so.
    """
    _check_boundary_plugins(task, tenant)
    kind, backend = checked_backend(task, tenant, workers)
    settings = task.settings
    spec = TaskSpec(
        name=task.name,
        mode=task.mode,
        task_type=task_type_name(task),
        backend=backend,
        interface=interface_of(task, sink),
        body=body_of(task, kind, backend),
        payload=payload_of(task, backend),
        retry=retry_policy(settings),
        timeout_seconds=settings.timeout_seconds,
        queue_timeout_seconds=settings.queue_timeout_seconds,
        cache=_cache(task.caching),
        interruptible=settings.interruptible,
        requests=settings.requests,
        limits=settings.limits,
        environment=_image(settings.image, backend),
        variables=dict(settings.process_variables),
        secrets=tuple(secret.to_json() for secret in settings.secrets),
        accelerator=None if settings.accelerator is None else settings.accelerator.to_json(),
        pod_template=_pod_template(settings),
        shared_memory=settings.shared_memory,
        labels=dict(settings.labels),
        annotations=dict(settings.annotations),
        decks=settings.decks,
        pools=dict(settings.pools),
        detach=settings.detach,
        idempotent=settings.idempotent,
        plugin="" if kind is None else f"{kind.distribution} {kind.version}",
        documentation=_documentation(task),
    )
    check_on_backend(spec, tenant)
    return spec


def compile_overrides(task: Task, overrides: NodeOverrides, tenant: Tenant, workers: str = "") -> Overrides:
    """What a node changes of its task; ``workers`` as of :func:`checked_backend`.

    Raises:
        PluginDeniedError, PluginNotFoundError, RendererMissingError, RemoteBodyError: no backend can run it so.
    """
    changed = overrides.entity(task)
    backend = checked_backend(changed, tenant, workers)[1]  # type: ignore[arg-type]
    settings: TaskSettings = changed.settings  # type: ignore[attr-defined]
    given: dict[str, Any] = {}
    for field in overrides.settings:
        match field:
            case "caching":
                given["cache"] = _cache(changed.caching)  # type: ignore[attr-defined]
            case "image":
                given["environment"] = _image(settings.image, backend)
                if settings.process_variables != task.settings.process_variables:
                    given["variables"] = dict(settings.process_variables)
            case "accelerator" if settings.accelerator is not None:
                given["accelerator"] = settings.accelerator.to_json()
            case "pod_template" | "pod_template_name":
                given["pod_template"] = _pod_template(settings)
            case "timeout_seconds" | "queue_timeout_seconds":
                given[field] = getattr(settings, field) or 0.0
            case "retry":
                given["retry"] = retry_policy(settings)
            case "variables":
                given["variables"] = dict(settings.process_variables)
            case "labels" | "annotations" | "pools":
                given[field] = dict(getattr(settings, field))
            case "backend":
                given[field] = backend
            case _:
                given[field] = getattr(settings, field)
    if "backend" in given and not isinstance(settings.image, str | None):
        given["environment"] = _image(settings.image, backend)
    if overrides.task_config is not None or "backend" in given:
        given["payload"] = payload_of(changed, backend)  # type: ignore[arg-type]
    return Overrides(**given)


def body_of(task: Task, kind: Claim | None, backend: str) -> Body:
    """What is called, and by whom. What a service does for itself needs no worker that finds it."""
    says_so = task.body in BODIES_OF_WORKERS
    is_worked = needs_worker(task, kind)
    try:
        entry = entry_of(task)
    except NestedTaskError:
        if is_worked or backend == LOCAL:
            raise
        entry = ""
    source = task.source if task.source_is_compiled else ""
    return Body(kind=task.body, entry=entry, worked=not says_so and is_worked, source=source)


def _cache(caching: Caching | None) -> CacheSpec:
    if caching is None:
        return CacheSpec()
    return CacheSpec(
        enabled=True,
        version=caching.version,
        serialize=caching.serialize,
        ignored_inputs=tuple(caching.ignored),
        salt=caching.salt,
    )


def _image(image: str | ImageSpec | None, backend: str) -> Any:
    """What the code needs around it; elsewhere than here, also under which name a registry holds it.

    On this machine an environment is made of the description, so that its spec is the same wherever images are pushed.
    """
    if image is None or isinstance(image, str):
        return image
    compiled = image.compiled()
    return {**compiled, "image": image.image_name()} if image.registry and backend != LOCAL else compiled


def _pod_template(settings: TaskSettings) -> dict[str, Any] | None:
    if settings.pod_template is None:
        return {"name": settings.pod_template_name} if settings.pod_template_name else None
    named = {"name": settings.pod_template_name} if settings.pod_template_name else {}
    return {**named, **settings.pod_template.to_json()}


def _documentation(task: Task) -> str:
    declared = task.settings.documentation
    if isinstance(declared, str):
        return (declared or task.__doc__ or "").strip()
    return declared.short_description or (task.__doc__ or "").strip()


def _check_boundary_plugins(task: Task, tenant: Tenant) -> None:
    markers = [m for codec in (*task.input_codecs.values(), *task.output_codecs.values()) for m in codec.markers]
    if not markers:
        return
    from flytepath.plugin.manager import current

    for marker in markers:
        claim = current().boundary_check_for(type(marker))
        if claim is not None:
            current().check_enabled(claim, tenant)


def entry_of(task: Task) -> str:
    """``module:name`` under which a worker finds the task.

    Raises:
        NestedTaskError: no module variable holds it, for example because it is nested in a function.
    """
    own = sys.modules.get(task.__module__)
    name = getattr(task, "__name__", "")
    if own is not None and getattr(own, name, None) is task:
        return f"{own.__name__}:{name}"
    for module in [own, *sys.modules.values()]:
        if module is None or (module is not own and module.__name__.startswith(("flytepath.", "_"))):
            continue
        for name, value in list(getattr(module, "__dict__", {}).items()):
            if value is task:
                return f"{module.__name__}:{name}"
    raise NestedTaskError(
        f"a worker could not find task {task.name}: no module variable holds it",
        place=task.name,
        expected="a task defined at the top level of a module",
        hint="move it out of the function it is nested in, or assign it to a module variable",
    )
