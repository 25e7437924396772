"""Events as reasons: what the cluster tells of an object that does not get on, where its status says nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flyte_plugin_kubernetes.api_errors import ApiAnswerError

if TYPE_CHECKING:
    from flyte_plugin_kubernetes.client import KubernetesClient

Json = Any


def last_warning(client: KubernetesClient, thing: Mapping[str, Json], pods: Sequence[Mapping[str, Json]]) -> str:
    """The last warning about an object's first pod that has not begun, or about the object; empty for none.

    Reasons are a help, so an account that may not list events goes without.
    """
    waiting = [pod for pod in pods if (pod.get("status") or {}).get("phase") == "Pending"]
    about = (waiting or [thing])[0]["metadata"]
    try:
        return warning_of(client.events(about["namespace"], about["uid"]))
    except ApiAnswerError as error:
        if error.status == 403:
            return ""
        raise


def warning_of(events: Sequence[Mapping[str, Json]]) -> str:
    """The latest of some events that is a warning.

    Example:
        >>> warning_of([{"type": "Warning", "reason": "FailedMount", "message": "no such secret"}])
        'FailedMount: no such secret'
    """
    warnings = [event for event in events if event.get("type") == "Warning"]
    if not warnings:
        return ""
    last = max(warnings, key=_time)
    return ": ".join(part for part in (str(last.get("reason") or ""), str(last.get("message") or "").strip()) if part)


def _time(event: Mapping[str, Json]) -> str:
    series = event.get("series") or {}
    times = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    return next(
        (str(time) for time in times if time), str((event.get("metadata") or {}).get("creationTimestamp") or "")
    )


__all__ = ["last_warning", "warning_of"]
