"""The pod of a task: one merge order for all that has a say in it.

============ ===================================================================================================
defaults     what is built in, then ``[backends.kubernetes]`` of everybody, of the project and of its domain
template     the one that ``pod_template_name`` names, then the task's own ``pod_template`` or ``Pod(...)``
task         its image, variables, resources, accelerator, shared memory, secrets, labels and annotations
override     what ``with_overrides`` of a node says takes the place of what the task says of the same
============ ===================================================================================================

Later lines are laid over earlier ones by :func:`flyte_plugin_kubernetes.merging.merge`. The worker's command is last of
all. Everything here is pure and needs no client.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from flytepath.plugin import PlanRequest, Resources, Tenant, WorkerLaunch

from flyte_plugin_kubernetes.errors import PodSpecError
from flyte_plugin_kubernetes.merging import Data, merge
from flyte_plugin_kubernetes.placement import place
from flyte_plugin_kubernetes.pod_checks import check_pod, check_template
from flyte_plugin_kubernetes.resources import container_resources, with_devices, with_shared_memory
from flyte_plugin_kubernetes.secret_mounts import with_secrets
from flyte_plugin_kubernetes.settings import KubernetesSettings

#: The container that runs a task, unless its template says another.
PRIMARY: Final = "primary"
#: Names, in the annotations of a pod, the container whose end is the task's; tools that show logs read it too.
PRIMARY_ANNOTATION: Final = "kubectl.kubernetes.io/default-container"
#: Core's task type of raw containers.
CONTAINER: Final = "container"
#: A sign that would not be left as it is: it begins a variable, or escapes the next one.
_EXPANDED: Final = re.compile(r"\$(?=[$(])")
#: What every pod begins with: attempts are started anew by FlytePath alone, and a worker asks for no services.
BUILT_IN: Final[Mapping[str, Any]] = {"spec": {"restartPolicy": "Never", "enableServiceLinks": False}}


def pod_template_of(
    request: PlanRequest, settings: KubernetesSettings, *, item_position: str | None = None
) -> dict[str, Any]:
    """``metadata`` and ``spec`` of the pod that runs an attempt, or every item of an array job.

    Args:
        request: what core asks for.
        settings: of the backend, those of the tenant.
        item_position: for an array job, what Kubernetes puts in place of an item's position:
            ``"$(JOB_COMPLETION_INDEX)"``.

    Raises:
        PodSpecError, KubernetesNameError, KubernetesResourcesError: no pod can be made of it.
    """
    if request.task_type == CONTAINER:
        from flyte_plugin_kubernetes.container_task import container_template

        return container_template(request, settings, item_position=item_position)
    return role_template(request, settings, item_position=item_position)


def role_template(
    request: PlanRequest,
    settings: KubernetesSettings,
    *,
    template: Data | None = None,
    primary: str | None = None,
    image: str | None = None,
    container: Data | None = None,
    requests: Resources | None = None,
    limits: Resources | None = None,
    item_position: str | None = None,
    secrets_in: Iterable[str] = (),
) -> dict[str, Any]:
    """The pod of one role of a task: a driver, an executor, the workers of a training job.

    Args:
        request: what core asks for; what the other arguments leave open is taken from it.
        settings: of the backend, those of the tenant.
        template: a ``PodTemplate`` as JSON for this role alone; laid over the task's own.
        primary: the container that runs the worker; by default as the templates say, else ``primary``.
        image: of this role, over the task's; empty is none.
        container: what the primary container is given in place of the worker's command and variables, for a role that
            runs something else; see :func:`worker_container`.
        requests, limits: of this role, in place of the task's.
        item_position: see :func:`pod_template_of`.
        secrets_in: containers besides the primary one that are given the task's secrets.

    Raises:
        PodSpecError, KubernetesNameError, KubernetesResourcesError: no pod can be made of it.
    """
    metadata, spec, name = merged_role(
        request,
        settings,
        template=template,
        primary=primary,
        image=image,
        container=container,
        requests=requests,
        limits=limits,
        item_position=item_position,
    )
    return finished(request, settings, metadata, spec, name, secrets_in=secrets_in)


def merged_role(
    request: PlanRequest,
    settings: KubernetesSettings,
    *,
    template: Data | None = None,
    primary: str | None = None,
    image: str | None = None,
    container: Data | None = None,
    requests: Resources | None = None,
    limits: Resources | None = None,
    item_position: str | None = None,
) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Metadata and spec of a role with all but secrets, unchecked, and its primary container; see ``role_template``."""
    layers = _templates(request, settings, template)
    name = primary or next((n for _, n in reversed(layers) if n), PRIMARY)
    found = base_template(settings, request.owner.tenant)
    for layer, _ in layers:
        found = merge(found, layer)
    resources = container_resources(
        request.requests if requests is None else requests,
        request.limits if limits is None else limits,
        settings,
        request.accelerator,
    )
    if container is None:
        container = worker_container(request, item_position)
    own = {**container, "name": name, **({"resources": resources} if resources else {})}
    chosen = image or (request.worker.image if request.worker is not None else "")
    if chosen:
        own["image"] = chosen
    spec = merge(found.get("spec") or {}, {"containers": [own]})
    spec["containers"] = _with_default_images(spec["containers"], name, settings)
    spec = with_devices(spec, resources, settings, request.accelerator)
    where = settings.interruptible if request.interruptible else settings.uninterruptible
    spec = place(spec, node_selector=where.node_selector, tolerations=where.tolerations, affinity=where.affinity)
    spec = with_shared_memory(spec, name, request.shared_memory)
    said = {"labels": dict(request.labels), "annotations": {**request.annotations, PRIMARY_ANNOTATION: name}}
    return merge(found.get("metadata") or {}, said), spec, name


def finished(
    request: PlanRequest,
    settings: KubernetesSettings,
    metadata: Data,
    spec: Data,
    primary: str,
    *,
    secrets_in: Iterable[str] = (),
) -> dict[str, Any]:
    """The pod with its secrets, checked."""
    containers = (primary, *secrets_in)
    spec = with_secrets(spec, containers, request.secrets, settings, request.owner.tenant)
    made = {"metadata": {key: value for key, value in metadata.items() if value}, "spec": spec}
    check_pod(made, primary, request.task)
    return made


def worker_container(request: PlanRequest, item_position: str | None = None) -> dict[str, Any]:
    """What the container that runs the worker is given: command and variables; only variables where there is none."""
    worker = request.worker
    variables = request.variables if worker is None else worker.env
    env = [{"name": key, "value": escaped(value), "valueFrom": None} for key, value in sorted(variables.items())]
    found: dict[str, Any] = {"env": env} if env else {}
    if worker is None:
        return found
    # Arguments of a template belong to a command that is not run.
    return {"command": worker_argv(worker, item_position), "args": None, **found}


def worker_argv(worker: WorkerLaunch, item_position: str | None = None) -> list[str]:
    """The worker's command, as a container has to be told it."""
    argv = [escaped(part) for part in worker.argv]
    if item_position is not None:
        argv += worker.item_argv(item_position)[len(worker.argv) :]
    return argv


def base_template(settings: KubernetesSettings, tenant: Tenant) -> dict[str, Any]:
    """What every pod of a tenant begins with."""
    spec: dict[str, Any] = {}
    account = settings.service_account_of(tenant)
    if account:
        spec["serviceAccountName"] = account
    if settings.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in settings.image_pull_secrets]
    metadata = {"labels": dict(settings.labels), "annotations": dict(settings.annotations)}
    said = merge(BUILT_IN, {"metadata": {key: value for key, value in metadata.items() if value}, "spec": spec})
    return merge(said, settings.pod_template)


def namespace_of(request: PlanRequest, settings: KubernetesSettings) -> str:
    """The namespace of a request's project and domain."""
    return settings.namespace_of(request.owner.tenant)


def escaped(text: str) -> str:
    """``text`` such that a container is given it as it is: Kubernetes puts variables in place of ``$(NAME)``.

    Example:
        >>> escaped("echo $HOME $(id)")
        'echo $HOME $$(id)'
    """
    return _EXPANDED.sub("$$", text)


def template_parts(template: Data, place: str) -> tuple[dict[str, Any], str]:
    """A ``PodTemplate`` as JSON, as ``metadata`` and ``spec``, and the name it gives the primary container.

    Raises:
        PodSpecError, KubernetesNameError, KubernetesResourcesError: it can be no part of a pod.
    """
    metadata = {key: template[key] for key in ("labels", "annotations") if template.get(key)}
    found = {"metadata": metadata, "spec": template.get("pod_spec") or {}}
    check_template(found, place)
    return found, template.get("primary_container_name") or ""


def _templates(
    request: PlanRequest, settings: KubernetesSettings, of_role: Data | None
) -> list[tuple[dict[str, Any], str]]:
    """The templates of a task, lowest first, each with the primary container it names."""
    layers: list[tuple[dict[str, Any], str]] = []
    declared = dict(request.pod_template or {})
    name = declared.pop("name", None)
    if name:
        if name not in settings.pod_templates:
            raise PodSpecError(
                f"there is no pod template {name!r}",
                place=f"{request.task}(pod_template_name)",
                expected=", ".join(sorted(settings.pod_templates)) or "one in [backends.kubernetes.pod_templates]",
                actual=name,
            )
        layers.append((dict(settings.pod_templates[name]), ""))
    if declared:
        layers.append(template_parts(declared, f"{request.task}(pod_template)"))
    of_config = request.payload.get("pod") if isinstance(request.payload, Mapping) else None
    if of_config:
        if declared:
            raise PodSpecError(
                f"task {request.task} has a Pod(...) and a pod_template, which say the same thing twice",
                place=f"{request.task}(pod_template)",
                expected="one of them",
                hint="pod_template_name goes well with either",
            )
        layers.append(template_parts(of_config, f"{request.task}(task_config)"))
    if of_role:
        layers.append(template_parts(of_role, f"{request.task}(pod_template of a role)"))
    return layers


def _with_default_images(
    containers: Sequence[Data], primary: str, settings: KubernetesSettings
) -> list[dict[str, Any]]:
    found = []
    for container in containers:
        given = dict(container)
        if given["name"] == primary and settings.image:
            given.setdefault("image", settings.image)
        if settings.image_pull_policy:
            given.setdefault("imagePullPolicy", settings.image_pull_policy)
        found.append(given)
    return found
