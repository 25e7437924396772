"""What is refused when a task is compiled for a cluster: all that its plan would be, and misspelt fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from flytepath.plugin import Literal, LiteralType, PlanRequest

from flyte_plugin_kubernetes.errors import KubernetesSettingsError
from flyte_plugin_kubernetes.pod_fields import check_fields
from flyte_plugin_kubernetes.pod_spec import pod_template_of
from flyte_plugin_kubernetes.settings import KubernetesSettings


def check_request(request: PlanRequest, settings: Mapping[str, Any]) -> None:
    """Raise what would keep a task from becoming a pod.

    Args:
        request: the task as far as it is known before it runs.
        settings: ``[backends.kubernetes]`` as the tenant has it.

    Raises:
        PodSpecError, KubernetesNameError, KubernetesResourcesError, KubernetesSettingsError: why there is none.
    """
    read = read_settings(settings)
    read.namespace_of(request.owner.tenant)
    pod_template_of(replace(request, inputs=_AnyInput()), read)
    declared = request.pod_template or {}
    named = declared.get("name", "")
    for spec, place in (
        (declared.get("pod_spec"), f"{request.task}(pod_template)"),
        (read.pod_templates.get(named, {}).get("spec"), f"backends.kubernetes.pod_templates.{named}.spec"),
        (read.pod_template.get("spec"), "backends.kubernetes.pod_template.spec"),
    ):
        check_fields(spec or {}, place)


def read_settings(values: Mapping[str, Any]) -> KubernetesSettings:
    """The settings of a table.

    Raises:
        KubernetesSettingsError: the first thing that is wrong with it, without any value.
    """
    try:
        return KubernetesSettings(**values)
    except ValueError as error:  # pydantic's is one
        findings = getattr(error, "errors", None)
        first = findings(include_url=False, include_input=False)[0] if callable(findings) else None
        where = ".".join(str(part) for part in first["loc"]) if first else ""
        raise KubernetesSettingsError(
            f"the settings of backend kubernetes are wrong: {first['msg'] if first else 'they cannot be read'}",
            place=f"backends.kubernetes.{where}" if where else "backends.kubernetes",
        ) from None


class _AnyInput(Mapping[str, Literal]):
    """In place of inputs that are known only when the task runs."""

    def __getitem__(self, name: str) -> Literal:
        return Literal.make(LiteralType("string"), f"<{name}>")

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0
