"""``ContainerTask`` on a cluster: the user's image between two containers that fetch and keep its values.

The image need not know FlytePath. Its container is the last *init* container of the pod, so that the order is the
cluster's own: what fails ends the pod, and what follows begins only when the one before has ended well.

1. ``flytepath-inputs`` runs the task's worker, which writes the inputs as files;
2. the primary container runs the user's command;
3. ``flytepath-outputs`` runs the worker again, which reads the files and keeps them as outputs. Its end is the task's.

Sidecars of the pod template become init containers that keep running, beside all three.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from flytepath.plugin import PlanRequest, WorkerLaunch

from flyte_plugin_kubernetes.errors import ContainerValueError, PodSpecError
from flyte_plugin_kubernetes.literal_text import text_of
from flyte_plugin_kubernetes.merging import Data, merge
from flyte_plugin_kubernetes.pod_spec import PRIMARY_ANNOTATION, escaped, finished, merged_role, worker_argv
from flyte_plugin_kubernetes.settings import KubernetesSettings

INPUTS: Final = "flytepath-inputs"
OUTPUTS: Final = "flytepath-outputs"
#: Tells the worker of a container task which part of it it runs, and where the files lie.
STAGE_VARIABLE: Final = "FLYTEPATH_CONTAINER_STAGE"
INPUTS_VARIABLE: Final = "FLYTEPATH_CONTAINER_INPUTS"
OUTPUTS_VARIABLE: Final = "FLYTEPATH_CONTAINER_OUTPUTS"

#: A template of ours. Everything else between braces is the command's own.
_TEMPLATE: Final = re.compile(r"\{\{\s*\.(\w+)(?:\.(\w+))?\s*\}\}")
_FILES: Final = frozenset({"file", "directory"})
#: What only containers have that run beside others.
_NOT_IN_ORDER: Final = ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe")


def container_template(
    request: PlanRequest, settings: KubernetesSettings, *, item_position: str | None = None
) -> dict[str, Any]:
    """``metadata`` and ``spec`` of the pod of a ``ContainerTask``.

    Raises:
        ContainerValueError: an input cannot stand in the command.
        PodSpecError, KubernetesNameError, KubernetesResourcesError: no pod can be made of it.
    """
    payload, worker = request.payload, request.worker
    if worker is None:
        raise PodSpecError("a container task needs a worker to carry its values", place=request.task)
    helper = settings.helper_image or settings.image
    if not helper:
        raise PodSpecError(
            f"nothing says which image carries the values of container task {request.task}",
            place=f"{request.task}(image)",
            expected="helper_image or image in [backends.kubernetes]: an image with Python and flytepath",
            actual="neither",
        )
    if len(request.items) > 1 and _uses_inputs(payload):
        raise ContainerValueError(
            "the items of a map are one job, whose command is the same for all of them",
            place=f"{request.task}(command)",
            expected="a command without {{.inputs...}}",
            hint=f"read the inputs from files below {payload['input_data_dir']}, or call it in a @dynamic",
        )
    metadata, spec, name = merged_role(request, settings, image=payload["image"], container=_own(request, payload))
    helpers = _helpers(worker, payload, helper, settings, item_position)
    spec = _in_order(spec, name, helpers, payload, request.task)
    metadata = merge(metadata, {"annotations": {PRIMARY_ANNOTATION: OUTPUTS}})
    return finished(request, settings, metadata, spec, OUTPUTS, secrets_in=(INPUTS, name))


def _own(request: PlanRequest, payload: Data) -> dict[str, Any]:
    """What the user's container runs. An empty command leaves the image's entry point."""
    if payload.get("metadata_format") == "proto":
        raise PodSpecError(
            "the list of all inputs is written as JSON or YAML",
            place=f"{request.task}(metadata_format)",
            expected="ContainerTask.MetadataFormat.JSON or YAML",
            actual="PROTO",
        )
    texts = _Texts(request, payload["input_data_dir"])
    command = [escaped(texts.filled(part)) for part in payload["command"]]
    arguments = [escaped(texts.filled(part)) for part in payload["arguments"]]
    variables = {**request.variables, **payload["environment"]}
    env = [{"name": key, "value": escaped(value), "valueFrom": None} for key, value in sorted(variables.items())]
    return {"command": command or None, "args": arguments or None, **({"env": env} if env else {})}


class _Texts:
    """The inputs as text, each made when a template first asks for it."""

    def __init__(self, request: PlanRequest, folder: str) -> None:
        self._inputs = request.item_inputs[0] if request.items else request.inputs
        self._task = request.task
        self._folder = folder

    def filled(self, part: str) -> str:
        """A part of the command with its inputs. No shell reads it, so that a value is never more than a value."""
        return _TEMPLATE.sub(
            lambda found: self._text(found.group(2)) if found.group(1).lower() == "inputs" else found.group(0), part
        )

    def _text(self, name: str) -> str:
        literal = self._inputs.get(name)
        place = f"{self._task}({name})"
        if literal is None:
            raise ContainerValueError(f"the command wants input {name!r}, which has no value", place=place)
        if literal.type.kind in _FILES:
            return f"{self._folder}/{name}"
        return text_of(literal, place)


def _uses_inputs(payload: Data) -> bool:
    parts = (*payload["command"], *payload["arguments"])
    return any(found.group(1).lower() == "inputs" for part in parts for found in _TEMPLATE.finditer(part))


def _helpers(
    worker: WorkerLaunch, payload: Data, image: str, settings: KubernetesSettings, item_position: str | None
) -> dict[str, dict[str, Any]]:
    """The two containers around the user's."""

    def helper(name: str, stage: str) -> dict[str, Any]:
        variables = {
            **worker.env,
            STAGE_VARIABLE: stage,
            INPUTS_VARIABLE: payload["input_data_dir"],
            OUTPUTS_VARIABLE: payload["output_data_dir"],
        }
        return {
            "name": name,
            "image": image,
            **({"imagePullPolicy": settings.image_pull_policy} if settings.image_pull_policy else {}),
            "command": worker_argv(worker, item_position),
            "env": [{"name": key, "value": escaped(value)} for key, value in sorted(variables.items())],
            "resources": {side: dict(found) for side, found in settings.helper_resources.items()},
        }

    return {INPUTS: helper(INPUTS, "inputs"), OUTPUTS: helper(OUTPUTS, "outputs")}


def _in_order(spec: Data, name: str, helpers: Mapping[str, dict[str, Any]], payload: Data, task: str) -> dict[str, Any]:
    """The pod spec with the primary container between the two others, and its sidecars before them."""
    own: dict[str, Any] = {}
    before = [dict(container) for container in spec.get("initContainers", ())]
    after = helpers[OUTPUTS]
    for container in spec["containers"]:
        if container["name"] == name:
            own = dict(container)
        elif container["name"] in helpers:
            # A template may say more of a container of ours, but not what it runs.
            helpers = {**helpers, container["name"]: merge(container, helpers[container["name"]])}
            after = helpers[OUTPUTS]
        else:
            before.append({**container, "restartPolicy": "Always"})
    for field in _NOT_IN_ORDER:
        if field in own:
            raise PodSpecError(
                f"the container of a container task has no {field}",
                place=f"{task}(pod_template).containers[{name!r}].{field}",
                expected="what a container has that others wait for",
                hint="a task that is a service beside others is a sidecar of a Pod(...)",
            )
    folders: dict[str, Any] = {"volumes": [{"name": each, "emptyDir": {}} for each in (INPUTS, OUTPUTS)]}
    mounts = [{"name": INPUTS, "mountPath": payload["input_data_dir"]}]
    mounts.append({"name": OUTPUTS, "mountPath": payload["output_data_dir"]})
    steps = [merge(container, {"volumeMounts": mounts}) for container in (helpers[INPUTS], own, after)]
    return {**merge(spec, folders), "initContainers": [*before, *steps[:2]], "containers": steps[2:]}
