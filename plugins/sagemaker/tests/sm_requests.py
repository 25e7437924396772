"""What core asks of the backend for one job, for tests that ask it themselves."""

from __future__ import annotations

import itertools
from typing import Any

from flytepath.plugin import JobKey, Owner, PlanRequest, Resources, Tenant, WorkerLaunch

_numbers = itertools.count()
WORKER = WorkerLaunch(("python", "-m", "flytepath.worker"), {}, "", None, "s3://store/attempt", "s3://store/out")
OWNER = Owner("installation-1", Tenant("vision", "production"), "e1", "n0/train")


def request(**changes: Any) -> PlanRequest:
    """A request for a training job; every one has a key of its own."""
    facts: dict[str, Any] = {
        "key": JobKey(f"sha256:{next(_numbers):064x}"),
        "owner": OWNER,
        "task": "flow.train",
        "task_type": "sagemaker-training",
        "payload": {},
        "inputs": {},
        "requests": Resources(),
        "limits": Resources(),
        "worker": WORKER,
        "body": "function",
    }
    return PlanRequest(**{**facts, **changes})
