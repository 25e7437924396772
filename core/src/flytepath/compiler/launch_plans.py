"""Launch plans as specs."""

from __future__ import annotations

from typing import Any

from flytepath.authoring.launch_plan import LaunchPlan
from flytepath.compiler.literals import encode, interface_of
from flytepath.model.launch_plan import LaunchPlanSpec
from flytepath.plugin.transformer import BlobSink


def compile_launch_plan(plan: LaunchPlan, spec_digest: str, sink: BlobSink) -> LaunchPlanSpec:
    """The spec of a launch plan.

    Args:
        plan: what the author wrote.
        spec_digest: the digest of its own compiled graph, from :func:`compile_entity`.
        sink: keeps fixed inputs that are too large.
    """
    settings = plan.settings
    prefix = settings.get("raw_output_data_config")
    return LaunchPlanSpec(
        name=plan.name,
        workflow=plan.workflow.name,
        spec=spec_digest,
        interface=interface_of(plan, sink),
        fixed={
            name: encode(plan.workflow.input_codecs[name], value, sink, f"{plan.name}({name})")
            for name, value in plan.fixed_inputs.items()
        },
        schedule=_described(settings.get("schedule")),
        notifications=tuple(_described(item) for item in plan.notifications),
        concurrency=_described(settings.get("concurrency")),
        labels=_texts(settings.get("labels")),
        annotations=_texts(settings.get("annotations")),
        raw_output_prefix=getattr(prefix, "output_location_prefix", "") or "",
        max_parallelism=settings.get("max_parallelism"),
        overwrite_cache=settings.get("overwrite_cache"),
        auto_activate=settings.get("auto_activate", False),
        documentation=(plan.workflow.__doc__ or "").strip(),
    )


def _described(setting: Any) -> Any:
    """A setting as data, with the name of its kind."""
    return None if setting is None else {"kind": type(setting).__name__, **setting.to_json()}


def _texts(setting: Any) -> dict[str, str]:
    return {} if setting is None else dict(setting.values)
