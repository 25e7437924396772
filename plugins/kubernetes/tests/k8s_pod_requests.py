"""Requests as core makes them, for the tests of pods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from flytepath.plugin import JobKey, Literal, Owner, PlanRequest, Resources, Tenant, WorkerLaunch
from flytepath.testing import MemoryBlobs
from flytepath.types.engine import codec

WORKER = WorkerLaunch(
    argv=("python", "-m", "flytepath.worker", "--attempt", "s3://bucket/attempt"),
    env={"FLYTEPATH_HOME": "/tmp/home", "MODE": "fast"},
    image="example.com/team/flows:1",
    bundle=None,
    inputs_uri="s3://bucket/attempt",
    outputs_prefix="s3://bucket/outputs",
)


def request(worker: Mapping[str, Any] | None = None, **changes: Any) -> PlanRequest:
    """An attempt of a Python task; ``worker`` changes its launch, the rest the request."""
    made = PlanRequest(
        key=JobKey("sha256:" + "ab" * 32),
        owner=Owner("installation", Tenant("vision", "production"), "e1", "n0"),
        task="flow.train",
        task_type="python",
        payload={},
        inputs={},
        requests=Resources(),
        limits=Resources(),
        worker=replace(WORKER, **(worker or {})),
        body="function",
    )
    return replace(made, **changes)


def container(pod: Mapping[str, Any], name: str = "primary") -> dict[str, Any]:
    """A container of a pod, wherever it stands."""
    spec = pod["spec"]
    (found,) = [c for c in (*spec.get("initContainers", ()), *spec["containers"]) if c["name"] == name]
    return found


def variables(found: Mapping[str, Any]) -> dict[str, Any]:
    """The variables of a container by name: values, or where they come from."""
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in found.get("env", ())}


def expanded(text: str, known: Mapping[str, str]) -> str:
    """What a kubelet makes of ``$(NAME)`` and ``$$``."""
    out, rest = "", text
    while rest:
        if rest.startswith("$$"):
            out, rest = out + "$", rest[2:]
        elif rest.startswith("$(") and ")" in rest:
            name, _, rest = rest[2:].partition(")")
            out += known.get(name, f"$({name})")
        else:
            out, rest = out + rest[0], rest[1:]
    return out


def literal_of(value: Any, declared: Any = None) -> Literal:
    """A value as core hands it over."""
    return codec(declared or type(value)).encode(value, MemoryBlobs())
