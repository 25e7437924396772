"""Training jobs whose request the author has written: what the settings add to it, and what comes of one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Final

from flytepath.plugin import Literal, LiteralType, PlanRequest

from flyte_plugin_sagemaker.placeholders import places
from flyte_plugin_sagemaker.training_request import hyperparameter, job_defaults

if TYPE_CHECKING:
    from flyte_plugin_sagemaker.settings import SageMakerSettings

Json = Any

_FILE: Final = LiteralType("file", format="tar.gz")
_METRICS: Final = LiteralType.dict_of(LiteralType("string"), LiteralType("float"))


def is_service(request: PlanRequest) -> bool:
    """Whether the author has written the request, and no worker runs."""
    return isinstance(request.payload, Mapping) and request.payload.get("kind") == "training"


def completed(body: Mapping[str, Json], request: PlanRequest, settings: SageMakerSettings) -> dict[str, Json]:
    """The author's request with what it leaves out.

    Raises:
        SageMakerSettingsError: nobody says what a job cannot be without.
    """
    found = dict(body)
    options = request.payload.get("options") or {}
    names = options.get("channels") or {}
    if names:
        # Channels whose inputs were not given are not there.
        found["InputDataConfig"] = [one for one in found.get("InputDataConfig") or () if _has_data(one)]
        if not found["InputDataConfig"]:
            del found["InputDataConfig"]
    parameters = found.get("HyperParameters")
    if isinstance(parameters, Mapping):
        found["HyperParameters"] = {
            str(name): value if any(places(value)) else hyperparameter(value) for name, value in parameters.items()
        }
    specification = dict(found["AlgorithmSpecification"])
    specification.setdefault("TrainingInputMode", "File")
    found["AlgorithmSpecification"] = specification
    for name, value in job_defaults(request, settings).items():
        if isinstance(value, Mapping):
            found[name] = {**value, **(found.get(name) or {})}
        else:
            found.setdefault(name, value)
    return found


def _has_data(channel: Mapping[str, Json]) -> bool:
    source = (channel.get("DataSource") or {}).get("S3DataSource") or {}
    return source.get("S3Uri") not in (None, "")


def results_of(description: Mapping[str, Json], outputs: Collection[str]) -> dict[str, Literal]:
    """Those outputs of a task that are read from its job's description.

    Args:
        description: of a job that has ended well.
        outputs: their names.
    """
    found: dict[str, Literal] = {}
    if "model" in outputs:
        uri = str((description.get("ModelArtifacts") or {}).get("S3ModelArtifacts") or "")
        # A name is given to one job only, so that the artifact's place is as good as its content.
        data = {"name": "model.tar.gz", "uri": uri, "version": {"job": str(description.get("TrainingJobArn") or "")}}
        found["model"] = Literal.make(_FILE, data, format="file")
    if "metrics" in outputs:
        values = {one["MetricName"]: float(one["Value"]) for one in description.get("FinalMetricDataList") or ()}
        found["metrics"] = Literal.make(_METRICS, values)
    return found


__all__ = ["completed", "is_service", "results_of"]
