"""``SagemakerTraining``: what a training job has that a task does not say otherwise."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal

from flyte_plugin_sagemaker.errors import SageMakerTaskError

Json = Any

CHECKPOINT_PATH: Final = "/opt/ml/checkpoints"
_DAYS: Final = 86_400
_TEXTS: Final = ("instance_type", "role_arn", "image", "output_path", "checkpoint_s3_uri", "checkpoint_local_path")
_NUMBERS: Final = ("instance_count", "volume_gb", "max_runtime_seconds", "max_wait_seconds", "keep_alive_seconds")


@dataclass(frozen=True, slots=True)
class SagemakerTraining:
    """Runs a task's function as a SageMaker training job, on machines of the job's own.

    Args:
        instance_type: as ``ml.g5.xlarge``; by default that of the settings.
        instance_count: how many machines. Each runs the function; the first one's result is the task's.
        volume_gb: the disk of each.
        spot: on managed spot machines; by default as the task's ``interruptible`` says.
        max_runtime_seconds: how long SageMaker lets it run; by default the task's timeout, and some minutes more.
        max_wait_seconds: for spot: how long it may wait for machines and run, together.
        keep_alive_seconds: keep the machines warm for the next job, at the price of that time.
        checkpoint_s3_uri: what SageMaker keeps in step with ``checkpoint_local_path``; by default, for spot, a folder
            of the node's own below ``output_path``, which all its attempts share.
        checkpoint_local_path: where the container sees it.
        hyperparameters: for libraries that read ``/opt/ml/input/config/hyperparameters.json``.
        channels: S3 prefixes by channel, as folders in ``/opt/ml/input/data``.
        input_mode: how channels come: ``File``, ``Pipe`` or ``FastFile``.
        metric_definitions: metrics by name, as the expression that finds them in the log.
        image: by default the task's ``container_image``, or that of the settings.
        role_arn, output_path, subnets, security_group_ids: by default those of the settings.
        request: anything else of ``CreateTrainingJob``, laid over what is made of the rest.

    Raises:
        SageMakerTaskError: a value that can mean nothing.

    Source: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateTrainingJob.html

    Example:
        >>> from flytepath import task
        >>> @task(task_config=SagemakerTraining(instance_type="ml.g5.xlarge", spot=True))
        ... def train(epochs: int) -> float:
        ...     return 1 / epochs
    """

    instance_type: str = ""
    instance_count: int = 1
    volume_gb: int | None = None
    spot: bool | None = None
    max_runtime_seconds: int | None = None
    max_wait_seconds: int | None = None
    keep_alive_seconds: int | None = None
    checkpoint_s3_uri: str = ""
    checkpoint_local_path: str = CHECKPOINT_PATH
    hyperparameters: Mapping[str, Json] = field(default_factory=dict)
    channels: Mapping[str, str] = field(default_factory=dict)
    input_mode: Literal["File", "Pipe", "FastFile"] = "File"
    metric_definitions: Mapping[str, str] = field(default_factory=dict)
    image: str = ""
    role_arn: str = ""
    output_path: str = ""
    subnets: tuple[str, ...] = ()
    security_group_ids: tuple[str, ...] = ()
    request: Mapping[str, Json] = field(default_factory=dict)

    def __post_init__(self) -> None:
        place = type(self).__name__
        for name in _TEXTS:
            _check(isinstance(getattr(self, name), str), f"{place}({name})", "text", getattr(self, name))
        for name in _NUMBERS:
            value = getattr(self, name)
            good = (value is None and name != "instance_count") or (type(value) is int and value >= 1)
            _check(good, f"{place}({name})", "a whole number from 1", value)
        for name in ("hyperparameters", "channels", "metric_definitions", "request"):
            _check(isinstance(getattr(self, name), Mapping), f"{place}({name})", "a dict", getattr(self, name))
        _check(self.spot in (None, True, False), f"{place}(spot)", "True, False or None", self.spot)
        _check(
            self.input_mode in ("File", "Pipe", "FastFile"),
            f"{place}(input_mode)",
            "File, Pipe or FastFile",
            self.input_mode,
        )
        _check(
            self.instance_type == "" or self.instance_type.startswith("ml."),
            f"{place}(instance_type)",
            "a machine of SageMaker, as ml.m5.large",
            self.instance_type,
        )
        run, wait = self.max_runtime_seconds, self.max_wait_seconds
        _check(run is None or run <= 28 * _DAYS, f"{place}(max_runtime_seconds)", "at most 28 days", run)
        _check(self.spot is not False or wait is None, f"{place}(max_wait_seconds)", "none, without spot", wait)
        _check(
            run is None or wait is None or wait >= run,
            f"{place}(max_wait_seconds)",
            "at least max_runtime_seconds: waiting and running together",
            wait,
        )
        _check(
            bool(self.subnets) == bool(self.security_group_ids),
            f"{place}(subnets)",
            "subnets and security_group_ids, or neither",
            self.subnets,
        )
        self._check_data(place)
        for name, uri in (("checkpoint_s3_uri", self.checkpoint_s3_uri), ("output_path", self.output_path)):
            _check(not uri or uri.startswith("s3://"), f"{place}({name})", "s3://bucket/prefix", uri)

    def _check_data(self, place: str) -> None:
        """What stands in dicts and lists is refused here, where the author has written it."""
        for name in ("channels", "metric_definitions"):
            for key, value in getattr(self, name).items():
                good = isinstance(key, str) and isinstance(value, str)
                _check(good, f"{place}({name}[{key!r}])", "text by text", value)
        for channel, uri in self.channels.items():
            _check(uri.startswith("s3://"), f"{place}(channels[{channel!r}])", "s3://bucket/prefix", uri)
        for name in ("hyperparameters", "request"):
            for key, value in getattr(self, name).items():
                good = isinstance(key, str) and _is_data(value)
                _check(good, f"{place}({name}[{key!r}])", "what JSON holds, by text", value)
        for name in ("subnets", "security_group_ids"):
            value = getattr(self, name)
            good = isinstance(value, list | tuple) and all(isinstance(one, str) for one in value)
            _check(good, f"{place}({name})", "a tuple of names", value)

    def to_json(self) -> dict[str, Json]:
        """The fields that differ from their defaults, as plain data."""
        blank = SagemakerTraining()
        found = {}
        for one in fields(SagemakerTraining):
            value = getattr(self, one.name)
            if value != getattr(blank, one.name):
                found[one.name] = list(value) if isinstance(value, tuple) else value
        return found


def _is_data(value: Json) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _check(good: bool, place: str, expected: str, actual: Json) -> None:
    if not good:
        raise SageMakerTaskError(
            f"{place} is not what it can be", place=place, expected=expected, actual=repr(actual)[:200]
        )


__all__ = ["CHECKPOINT_PATH", "SagemakerTraining"]
