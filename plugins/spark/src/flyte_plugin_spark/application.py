"""A Spark task as a ``SparkApplication``: its driver, its executors, and their pods. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from flyte_plugin_kubernetes import role_template
from flyte_plugin_kubernetes.pod_spec import PRIMARY_ANNOTATION, escaped, worker_container
from flyte_plugin_kubernetes.quantities import read_quantity
from flytepath.plugin import DefinitionError, PlanRequest, Resources

from flyte_plugin_spark.configuration import HADOOP, MASTER, PYTHON, REMOTE

if TYPE_CHECKING:
    from flyte_plugin_spark.operator_settings import SparkOperatorSettings

Json = Any

#: What the operator, and Spark, call the container of either role in the template of its pod.
CONTAINERS: Final = {"driver": "spark-kubernetes-driver", "executor": "spark-kubernetes-executor"}
#: What the operator says to spark-submit itself; a task that sets it would be ignored, or break what is looked for.
_OF_THE_OPERATOR: Final = (
    MASTER,
    REMOTE,
    "spark.kubernetes.namespace",
    "spark.kubernetes.driver.pod.name",
    "spark.kubernetes.driver.podTemplateFile",
    "spark.kubernetes.driver.podTemplateContainerName",
    "spark.kubernetes.executor.podTemplateFile",
    "spark.kubernetes.executor.podTemplateContainerName",
    "spark.kubernetes.submission.waitAppCompletion",
)
_MEBI: Final = 1024 * 1024
#: What a pod of Spark needs beside Java's heap: this share of it where Python runs there too, and so much at least.
_OVERHEAD: Final = Decimal("0.4")
_LEAST_OVERHEAD: Final = 384


def application(request: PlanRequest, settings: SparkOperatorSettings) -> dict[str, Json]:
    """``apiVersion``, ``kind`` and ``spec`` of the application that runs one attempt.

    Args:
        request: what core asks for; its payload is a Spark task's.
        settings: of the backend, those of the tenant.

    Raises:
        DefinitionError: a setting that the operator decides, or one that is no number.
        PodSpecError, KubernetesNameError, KubernetesResourcesError: one of the pods cannot be made.
    """
    payload = request.payload
    conf = dict(payload["spark_conf"])
    _check_conf(conf, request.task)
    if payload["executor_path"]:
        conf[PYTHON] = payload["executor_path"]
    driver = _role("driver", request, settings, payload["driver_pod"], conf)
    executor = _role(
        "executor",
        # An executor is given neither the task's resources, which are the driver's, nor its secrets.
        replace(request, requests=Resources(), limits=Resources(), accelerator=None, secrets=()),
        settings,
        payload["executor_pod"],
        conf,
    )
    if "spark.executor.instances" not in conf and conf.get("spark.dynamicAllocation.enabled") != "true":
        executor["instances"] = settings.executors
    if "serviceAccount" not in driver:
        account = settings.service_account_of(request.owner.tenant)
        if account:
            driver["serviceAccount"] = account
    spec: dict[str, Json] = {
        "type": "Python",
        "pythonVersion": "3",
        "mode": "cluster",
        "sparkVersion": settings.spark_version,
        "mainApplicationFile": payload["applications_path"] or settings.application_file,
        "arguments": [escaped(word) for word in (request.worker.argv if request.worker is not None else ())],
        # Attempts are core's: what fails is told, and started again by nobody else.
        "restartPolicy": {"type": "Never"},
        "driver": driver,
        "executor": executor,
    }
    if conf:
        spec["sparkConf"] = dict(sorted(conf.items()))
    hadoop = dict(payload["hadoop_conf"])
    if hadoop:
        spec["hadoopConf"] = dict(sorted(hadoop.items()))
    if settings.image_pull_policy:
        spec["imagePullPolicy"] = settings.image_pull_policy
    if settings.image_pull_secrets:
        spec["imagePullSecrets"] = list(settings.image_pull_secrets)
    if settings.keep_finished:
        spec["timeToLiveSeconds"] = int(settings.keep_finished)
    return {"apiVersion": "sparkoperator.k8s.io/v1beta2", "kind": "SparkApplication", "spec": spec}


def _check_conf(conf: Mapping[str, str], task: str) -> None:
    for name in _OF_THE_OPERATOR:
        if name in conf:
            raise DefinitionError(
                f"on Kubernetes the operator decides {name}",
                place=f"{task}(spark_conf[{name!r}])",
                actual=conf[name],
                hint="leave it out, or run the task on another backend",
            )


def _role(
    role: str,
    request: PlanRequest,
    settings: SparkOperatorSettings,
    template: Mapping[str, Json] | None,
    conf: Mapping[str, str],
) -> dict[str, Json]:
    """One of the two roles: what spark-submit is told of it, and the template of its pod with all the rest."""
    told = worker_container(request if role == "driver" else replace(request, worker=None))
    # Spark itself says what its containers run.
    env = {"env": told["env"]} if told.get("env") else {}
    pod = role_template(request, settings, template=template, container=env)
    container = _named_as_spark_does(pod, CONTAINERS[role])
    found: dict[str, Json] = {}
    if container.get("image"):
        found["image"] = container["image"]
    found.update(_sizes(role, container, conf, request.task))
    if pod["spec"].get("serviceAccountName"):
        found["serviceAccount"] = pod["spec"]["serviceAccountName"]
    found["template"] = pod
    return found


def _named_as_spark_does(pod: dict[str, Json], name: str) -> dict[str, Json]:
    """The primary container, under the name that Spark looks for in a template."""
    annotations = pod["metadata"]["annotations"]
    primary = annotations[PRIMARY_ANNOTATION]
    annotations[PRIMARY_ANNOTATION] = name
    container: dict[str, Json] = next(one for one in pod["spec"]["containers"] if one["name"] == primary)
    container["name"] = name
    for said in ("command", "args"):
        container.pop(said, None)  # of a template: Spark says what its containers run
    # Spark takes the first where it finds none by name, and some versions of it look no further.
    pod["spec"]["containers"].sort(key=lambda one: one["name"] != name)
    return container


def _sizes(role: str, container: dict[str, Json], conf: Mapping[str, str], task: str) -> dict[str, Json]:
    """Cores and memory as Spark is told them; it puts them into the pod itself, so the template has them not."""
    resources = container.get("resources") or {}
    asked, bound = (dict(resources.get(side) or {}) for side in ("requests", "limits"))
    cores, most = asked.pop("cpu", None), bound.pop("cpu", None)
    memory, room = asked.pop("memory", None), bound.pop("memory", None)
    kept = {side: left for side, left in (("requests", asked), ("limits", bound)) if left}
    if kept:
        container["resources"] = kept
    else:
        container.pop("resources", None)
    found: dict[str, Json] = {}
    place = f"{task}({role})"
    if (cores or most) is not None and f"spark.{role}.cores" not in conf:
        found["cores"] = max(1, math.ceil(read_quantity(cores or most, place)))
    if cores is not None:
        found["coreRequest"] = str(cores)
    if most is not None:
        found["coreLimit"] = str(most)
    total = room if room is not None else memory
    if total is not None and f"spark.{role}.memory" not in conf:
        heap, overhead = _heap_and_overhead(read_quantity(total, place), place)
        found["memory"], found["memoryOverhead"] = f"{heap}m", f"{overhead}m"
    return found


def _heap_and_overhead(total: Decimal, place: str) -> tuple[int, int]:
    """Java's heap and what is beside it, in mebibytes; together what the pod is given.

    Raises:
        DefinitionError: so little that no Java starts in it.
    """
    whole = int(total / _MEBI)
    heap = min(int(whole / (1 + _OVERHEAD)), whole - _LEAST_OVERHEAD)
    if heap < 450:
        raise DefinitionError(
            "Spark does not start in so little memory",
            place=place,
            expected="at least 834Mi, of which 384Mi are beside Java's heap",
            actual=f"{whole}Mi",
        )
    return heap, whole - heap


__all__ = ["CONTAINERS", "HADOOP", "application"]
