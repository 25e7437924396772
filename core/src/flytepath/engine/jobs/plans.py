"""Plans and handles of jobs, as events keep them and as backends take them."""

from __future__ import annotations

import json
from typing import Any

from flytepath.engine.jobs import Job
from flytepath.model.identity import Tenant
from flytepath.plugin.backend import Handle
from flytepath.plugin.plans import JobKey, Owner, Plan, PoolAsk, WorkerLaunch
from flytepath.plugin.secrets import SecretReference


def handle_of(job: Job) -> Handle:
    """How the vendor knows the job."""
    return Handle(job.handle or {}, job.handle_version)


def bad_handle(handle: Any) -> str:
    """What is wrong with a handle a plugin gave; empty where it can be kept."""
    if not isinstance(handle, Handle):
        return f"a {type(handle).__name__}, no Handle"
    try:
        json.dumps(dict(handle.data), allow_nan=False)
    except (TypeError, ValueError) as error:
        return f"its data is no JSON: {error}"
    return ""


def plan_to_json(plan: Plan, worker: WorkerLaunch | None = None) -> dict[str, Any]:
    """A plan as an event holds it; of its worker, what has to be kept and where its outcome will be."""
    owner = plan.owner
    worked = {}
    if worker is not None:
        bundle = "" if worker.bundle is None else worker.bundle.digest
        worked["worker"] = {"shelf": worker.outputs_prefix, "inputs": _digest(worker.inputs_uri), "bundle": bundle}
    return {
        **worked,
        "name": plan.external_name,
        "spec": plan.spec,
        "digest": plan.digest,
        "scope": plan.scope,
        "items": list(plan.items),
        "owner": [owner.installation, owner.tenant.project, owner.tenant.domain, owner.execution, owner.node_path],
        "secrets": [[s.group, s.key, s.scheme, s.version] for s in plan.secrets],
    }


def _digest(uri: str) -> str:
    """The digest of a blob, as whoever looks for blobs that are needed finds it."""
    return f"sha256:{uri.rpartition('/')[2]}"


def plan_of(job: Job) -> Plan:
    """The plan that is stored of a job."""
    data = job.plan
    installation, project, domain, execution, node_path = data["owner"]
    return Plan(
        key=JobKey(job.key),
        owner=Owner(installation, Tenant(project, domain), execution, node_path),
        external_name=data["name"],
        spec=data.get("spec"),
        digest=data["digest"],
        items=tuple(data["items"]),
        pools=tuple(PoolAsk(pool, tokens) for pool, tokens in job.pools),
        secrets=tuple(SecretReference(*reference) for reference in data["secrets"]),
        scope=data["scope"],
    )
