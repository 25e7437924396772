"""The request of a training job that runs a worker, made of the task, its configuration and the settings."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from flytepath.plugin import Owner, PlanRequest

from flyte_plugin_sagemaker.container_command import container_command
from flyte_plugin_sagemaker.errors import SageMakerSettingsError, SageMakerTaskError
from flyte_plugin_sagemaker.instance_types import check_resources
from flyte_plugin_sagemaker.training_config import CHECKPOINT_PATH

if TYPE_CHECKING:
    from flyte_plugin_sagemaker.settings import SageMakerSettings

Json = Any

#: SageMaker waits so long between SIGTERM and SIGKILL.
STOP_SECONDS: Final = 120
#: Core ends what takes too long; SageMaker's own limit is for when nobody else does.
_MARGIN_SECONDS: Final = 600
_LONGEST_SECONDS: Final = 28 * 86_400
_GIB: Final = 2**30


def training_request(request: PlanRequest, settings: SageMakerSettings) -> dict[str, Json]:
    """``CreateTrainingJob`` without the name and our tags.

    Raises:
        SageMakerSettingsError: neither task nor settings say what a job cannot be without.
        SageMakerTaskError: the task asks for what SageMaker has not.
        SageMakerRequestError: a command or variables beyond SageMaker's limits.
    """
    config: Mapping[str, Json] = request.payload if request.task_type.startswith("sagemaker") else {}
    body = {**_algorithm(request, settings, config), **job_defaults(request, settings, config), **_data(config)}
    own = config.get("request") or {}
    for name, why in (
        ("TrainingJobName", "the name is made of the job's key, so that it is found again"),
        ("EnableNetworkIsolation", "the worker has to reach S3"),
    ):
        if own.get(name):
            raise SageMakerTaskError(
                f"{name} is not the author's to set: {why}", place=f"{request.task}(request.{name})"
            )
    found = laid_over(body, own)
    if isinstance(own.get("Tags"), list) and body.get("Tags"):
        # Lists are not merged, and the task's labels are not to be lost.
        named = {one.get("Key") for one in own["Tags"] if isinstance(one, Mapping)}
        found["Tags"] = [*(one for one in body["Tags"] if one["Key"] not in named), *own["Tags"]]
    return found


def job_defaults(
    request: PlanRequest, settings: SageMakerSettings, config: Mapping[str, Json] | None = None
) -> dict[str, Json]:
    """What any training job has: role, place of its artifacts, machines, limits, network, tags.

    Raises:
        SageMakerSettingsError: neither task nor settings say what a job cannot be without.
        SageMakerTaskError: it asks for more than its machine has.
    """
    config = config or {}
    role = config.get("role_arn") or settings.role_arn
    found: dict[str, Json] = {
        "RoleArn": needed(role, request.task, "role_arn", "the execution role"),
        "OutputDataConfig": _output(request, settings, config),
        "ResourceConfig": _machines(request, settings, config),
        **_limits(request, settings, config),
        **_network(settings, config),
    }
    tags = {**request.labels, **request.annotations}
    if tags:
        found["Tags"] = [{"Key": name, "Value": value} for name, value in sorted(tags.items())]
    return found


def _algorithm(request: PlanRequest, settings: SageMakerSettings, config: Mapping[str, Json]) -> dict[str, Json]:
    worker = request.worker
    if worker is None:
        raise SageMakerTaskError("a training job of a task runs the task's own code", place=request.task)
    _check_place(worker.inputs_uri, request.task)
    image = worker.image or config.get("image") or settings.image
    spot = is_spot(request, config)
    variables = {
        **settings.environment,
        # What SIGTERM leaves an attempt for saving.
        "FLYTEPATH_TERMINATION_SECONDS": str(STOP_SECONDS),
        **worker.env,
    }
    if spot or config.get("checkpoint_s3_uri"):
        variables["SM_CHECKPOINT_DIR"] = config.get("checkpoint_local_path") or CHECKPOINT_PATH
    command = container_command(worker.argv, variables, request.task)
    specification: dict[str, Json] = {
        "TrainingImage": needed(image, request.task, "image", "the container image"),
        "TrainingInputMode": config.get("input_mode") or "File",
        "ContainerEntrypoint": list(command.entrypoint),
    }
    metrics = config.get("metric_definitions") or {}
    if metrics:
        specification["MetricDefinitions"] = [{"Name": name, "Regex": regex} for name, regex in sorted(metrics.items())]
    return {"AlgorithmSpecification": specification, "Environment": dict(sorted(command.environment.items()))}


def _check_place(uri: str, task: str) -> None:
    """A container at SageMaker has nothing of this machine's."""
    if ("://" in uri and not uri.startswith("s3://")) or uri.startswith("/"):
        raise SageMakerSettingsError(
            "the storage of FlytePath is not one that SageMaker's machines reach",
            place="store.blobs",
            expected="s3://bucket/prefix",
            actual=uri.rpartition("/")[0],
            hint=f"set [store] blobs, for {task} to be run there",
        )


def needed(value: str, task: str, name: str, what: str) -> str:
    """A value that a request cannot be without.

    Raises:
        SageMakerSettingsError: nobody has said it.
    """
    if not value:
        raise SageMakerSettingsError(
            f"nothing says {what} of {task}",
            place=f"backends.sagemaker.{name}",
            expected=f"{name} of the task's configuration, or of [backends.sagemaker]",
        )
    return value


def _output(request: PlanRequest, settings: SageMakerSettings, config: Mapping[str, Json]) -> dict[str, Json]:
    path = needed(output_path(settings, config), request.task, "output_path", "where SageMaker writes the artifacts")
    return {"S3OutputPath": path, **({"KmsKeyId": settings.output_kms_key} if settings.output_kms_key else {})}


def output_path(settings: SageMakerSettings, config: Mapping[str, Json]) -> str:
    """Where SageMaker writes."""
    return str(config.get("output_path") or settings.output_path).rstrip("/")


def _machines(request: PlanRequest, settings: SageMakerSettings, config: Mapping[str, Json]) -> dict[str, Json]:
    disk = request.requests.ephemeral_storage_bytes or request.limits.ephemeral_storage_bytes or 0
    found: dict[str, Json] = {
        "InstanceType": config.get("instance_type") or settings.instance_type,
        "InstanceCount": config.get("instance_count") or 1,
        "VolumeSizeInGB": max(config.get("volume_gb") or settings.volume_gb, math.ceil(disk / _GIB)),
    }
    check_resources(found["InstanceType"], request.requests, request.task)
    if settings.volume_kms_key:
        found["VolumeKmsKeyId"] = settings.volume_kms_key
    if config.get("keep_alive_seconds"):
        found["KeepAlivePeriodInSeconds"] = config["keep_alive_seconds"]
    return found


def is_spot(request: PlanRequest, config: Mapping[str, Json]) -> bool:
    """Whether it runs on machines that may be taken away."""
    said = config.get("spot")
    return request.interruptible if said is None else bool(said)


def _limits(request: PlanRequest, settings: SageMakerSettings, config: Mapping[str, Json]) -> dict[str, Json]:
    longest = config.get("max_runtime_seconds")
    if longest is None:
        timeout = request.timeout_seconds
        longest = settings.max_runtime_seconds if timeout is None else math.ceil(timeout) + _MARGIN_SECONDS
    longest = min(longest, _LONGEST_SECONDS)
    condition = {"MaxRuntimeInSeconds": longest}
    found: dict[str, Json] = {"StoppingCondition": condition}
    spot = is_spot(request, config)
    if spot:
        wait = config.get("max_wait_seconds") or longest + settings.spot_wait_seconds
        condition["MaxWaitTimeInSeconds"] = max(wait, longest)
        found["EnableManagedSpotTraining"] = True
    uri = config.get("checkpoint_s3_uri")
    if not uri and spot:
        uri = f"{output_path(settings, config)}/checkpoints/{_node_digest(request.owner)}"
    if uri:
        path = config.get("checkpoint_local_path") or CHECKPOINT_PATH
        found["CheckpointConfig"] = {"S3Uri": uri, "LocalPath": path}
    return found


def _node_digest(owner: Owner) -> str:
    """The same for all attempts of a node, and for nothing else."""
    parts = [owner.installation, owner.tenant.project, owner.tenant.domain, owner.execution, owner.node_path]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _data(config: Mapping[str, Json]) -> dict[str, Json]:
    found: dict[str, Json] = {}
    if config.get("hyperparameters"):
        found["HyperParameters"] = {name: hyperparameter(value) for name, value in config["hyperparameters"].items()}
    if config.get("channels"):
        found["InputDataConfig"] = [channel(name, uri) for name, uri in sorted(config["channels"].items())]
    return found


def hyperparameter(value: Json) -> str:
    """A value as SageMaker hands it to an algorithm: text as it is, anything else as JSON.

    Example:
        >>> hyperparameter("auto"), hyperparameter(0.1), hyperparameter(True), hyperparameter([1, 2])
        ('auto', '0.1', 'true', '[1, 2]')
    """
    return value if isinstance(value, str) else json.dumps(value)


def channel(name: str, uri: str, content_type: str = "") -> dict[str, Json]:
    """One channel of input data: everything below an S3 prefix, whole on every machine."""
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    found: dict[str, Json] = {"ChannelName": name, "DataSource": {"S3DataSource": source}}
    return {**found, "ContentType": content_type} if content_type else found


def _network(settings: SageMakerSettings, config: Mapping[str, Json]) -> dict[str, Json]:
    subnets = list(config.get("subnets") or settings.subnets)
    groups = list(config.get("security_group_ids") or settings.security_group_ids)
    found: dict[str, Json] = {}
    if subnets and groups:
        found["VpcConfig"] = {"Subnets": subnets, "SecurityGroupIds": groups}
    if settings.encrypt_traffic:
        found["EnableInterContainerTrafficEncryption"] = True
    return found


def laid_over(lower: Mapping[str, Json], upper: Mapping[str, Json]) -> dict[str, Json]:
    """Two requests as one: dicts are merged, everything else is the upper one's.

    Example:
        >>> laid_over({"a": {"x": 1, "y": 2}}, {"a": {"y": 3}})
        {'a': {'x': 1, 'y': 3}}
    """
    found = dict(lower)
    for name, value in upper.items():
        below = found.get(name)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        found[name] = laid_over(below, value) if both else value  # type: ignore[arg-type]
    return found


__all__ = [
    "STOP_SECONDS",
    "channel",
    "hyperparameter",
    "is_spot",
    "job_defaults",
    "laid_over",
    "needed",
    "training_request",
]
