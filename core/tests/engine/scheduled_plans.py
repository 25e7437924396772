"""Launch plans with schedules in real stores, without the code of any workflow."""

from __future__ import annotations

from typing import Any

from flytepath.model.events import ExecutionCreated
from flytepath.model.identity import Identity, Tenant
from flytepath.model.launch_plan import LaunchPlanSpec
from flytepath.model.literal import Literal, canonical_json, sha256
from flytepath.model.task import Interface, Variable
from flytepath.model.types import LiteralType
from flytepath.model.workflow import WorkflowSpec
from flytepath.store.events import Store

SHOP = Tenant("shop", "production")
DATETIME = LiteralType("datetime")
INTEGER = LiteralType("integer")
HOURLY = {"kind": "cron", "schedule": "0 * * * *"}


def put(store: Store, data: Any) -> str:
    digest = sha256(canonical_json(data))
    store.put_spec(digest, data)
    return digest


def register(
    store: Store, name: str = "nightly", version: str = "v1", *, tenant: Tenant = SHOP, **changes: Any
) -> LaunchPlanSpec:
    """A version of a launch plan of an empty workflow."""
    inputs = (Variable(name="size", type=INTEGER, required=False, default=Literal.make(INTEGER, 7)),)
    if (changes.get("schedule") or {}).get("kickoff_time_input_arg"):
        kind = changes.pop("kickoff_type", DATETIME)
        inputs = (*inputs, Variable(name=changes["schedule"]["kickoff_time_input_arg"], type=kind))
    interface = changes.pop("interface", Interface(inputs=inputs))
    graph = WorkflowSpec(name=f"{name}.wf", interface=interface)
    digest = put(store, graph.model_dump(mode="json", exclude_defaults=True))
    spec = LaunchPlanSpec(
        **{"name": name, "workflow": "flow.wf", "spec": digest, "interface": interface, "schedule": HOURLY, **changes}
    )
    plan = put(store, spec.model_dump(mode="json", exclude_defaults=True))
    identity = Identity(tenant.project, tenant.domain, name, version)
    store.registry.register(identity, "launch_plan", plan, "sha256:code", {"principal": "ada"})
    return spec


def runs(store: Store, tenant: Tenant = SHOP) -> list[tuple[str, str, float]]:
    """Name, version and moment of every execution, by moment."""
    found = []
    for row in store.executions(project=tenant.project, domain=tenant.domain, limit=10_000):
        created = store.read(row.id)[0].payload
        assert isinstance(created, ExecutionCreated)
        found.append((created.plan, created.workflow_version, created.scheduled_at))
    return sorted(found, key=lambda run: (run[2], run[0]))
