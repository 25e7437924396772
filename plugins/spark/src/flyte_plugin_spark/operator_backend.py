"""The backend ``spark-operator``: a ``SparkApplication`` for each attempt of a Spark task."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final

from flyte_plugin_kubernetes import CustomResourceBackend, ResourceKind
from flyte_plugin_kubernetes.conditions import ConditionTable, Row, text_at
from flytepath.plugin import DefinitionError, ErrorClass, Observation, Phase, PlanRequest

from flyte_plugin_spark.application import application
from flyte_plugin_spark.operator_settings import SparkOperatorSettings

if TYPE_CHECKING:
    from flyte_plugin_kubernetes.classification import Bounds
    from flyte_plugin_kubernetes.looking import JobRef

Json = Any

_STATE: Final = "status.applicationState.state"
_MESSAGE: Final = "status.applicationState.errorMessage"
#: Spark's own label of its pods.
_ROLE: Final = "spark-role"
_SUBMISSION: Final = re.compile(r"failed to (?:submit|run spark-submit|build spark-submit)", re.IGNORECASE)
_QUOTA: Final = re.compile(r"exceeded quota", re.IGNORECASE)
_PASSING: Final = re.compile(
    r"timed? ?out|connection refused|connection reset|unavailable|too many requests|try again|no route to host",
    re.IGNORECASE,
)
_LOST: Final = re.compile(r"driver (?:pod )?not found|driver pod .*(?:missing|deleted)", re.IGNORECASE)


def _state(value: str, phase: Phase, error_class: ErrorClass | None = None) -> Row:
    return Row(path=_STATE, value=value, phase=phase, error_class=error_class, message=_MESSAGE)


class SparkOperatorBackend(CustomResourceBackend):
    """Starts the driver in a pod of its own, which asks for its executors there; the driver runs the worker."""

    settings: SparkOperatorSettings

    kinds: ClassVar[tuple[ResourceKind, ...]] = (
        ResourceKind(
            "sparkoperator.k8s.io/v1beta2", "SparkApplication", "sparkapplications", operator="the Spark operator"
        ),
    )
    #: Every state of the operator's ``ApplicationStateType``.
    conditions: ClassVar[ConditionTable] = ConditionTable(
        _state("COMPLETED", Phase.SUCCEEDED),
        _state("FAILED", Phase.FAILED),
        # With our restart policy nothing follows a submission that failed.
        _state("SUBMISSION_FAILED", Phase.FAILED),
        _state("", Phase.QUEUED),
        _state("NEW", Phase.QUEUED),
        _state("SUBMITTED", Phase.INITIALIZING),
        _state("RUNNING", Phase.RUNNING),
        # The driver has ended; executors are being removed.
        _state("SUCCEEDING", Phase.RUNNING),
        _state("FAILING", Phase.RUNNING),
        # The operator sees the driver's pod no more, as when its node is away; it goes on looking.
        _state("UNKNOWN", Phase.RUNNING),
        # Somebody has changed the application, or has stopped it for a while: its driver starts again.
        _state("INVALIDATING", Phase.QUEUED),
        _state("PENDING_RERUN", Phase.QUEUED),
        _state("SUSPENDING", Phase.QUEUED),
        _state("SUSPENDED", Phase.QUEUED),
        _state("RESUMING", Phase.QUEUED),
    )
    #: ``-driver``, ``-ui-svc`` and ``-exec-<number>`` come after it.
    name_limit: ClassVar[int] = 44

    def manifest(self, request: PlanRequest) -> dict[str, Json]:
        return application(request, self.settings)

    def observation(
        self, job: JobRef, thing: Mapping[str, Json], pods: Sequence[Mapping[str, Json]], bounds: Bounds
    ) -> Observation:
        # Executors come and go, and are Spark's own affair: the driver tells how the job stands.
        drivers = [pod for pod in pods if _is_driver(pod)]
        seen = super().observation(job, thing, drivers, bounds)
        if seen.phase is not Phase.FAILED:
            return seen
        blamed = _blamed(text_at(thing, _MESSAGE))
        return seen if blamed is None else replace(seen, error_class=blamed)


def _is_driver(pod: Mapping[str, Json]) -> bool:
    role = (pod["metadata"].get("labels") or {}).get(_ROLE, "")
    return role == "driver" or (not role and str(pod["metadata"]["name"]).endswith("-driver"))


def _blamed(message: str) -> ErrorClass | None:
    """Who is to blame for what the operator itself says; ``None`` where the driver's pod tells more."""
    if _LOST.search(message):
        return ErrorClass.LOST
    if not _SUBMISSION.search(message):
        return None
    if _QUOTA.search(message):
        return ErrorClass.QUOTA_EXCEEDED
    return ErrorClass.TRANSIENT if _PASSING.search(message) else ErrorClass.INVALID


def check_request(request: PlanRequest, settings: Mapping[str, Json]) -> None:
    """Refuse, when it is compiled, what can be no Spark application.

    Raises:
        DefinitionError: it is no Spark task, or one that could never start.
    """
    if request.task_type != "spark":
        raise DefinitionError(
            "the backend 'spark-operator' runs Spark tasks",
            place=request.task,
            expected="@task(task_config=Spark(...))",
            actual=f"a task of type {request.task_type!r}",
            hint="run it on the backend 'kubernetes'",
        )
    try:
        read = SparkOperatorSettings(**settings)
    except ValueError as error:
        findings = getattr(error, "errors", None)
        first = (
            findings(include_url=False, include_input=False)[0] if callable(findings) else {"loc": (), "msg": "wrong"}
        )
        where = ".".join(str(part) for part in first["loc"])
        raise DefinitionError(
            f"the settings of backend spark-operator are wrong: {first['msg']}",
            place=f"backends.spark-operator.{where}",
        ) from None
    application(request, read)


__all__ = ["SparkOperatorBackend", "check_request"]
