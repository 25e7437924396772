"""Training jobs: what the container runs, on which machines, and what their states mean.

States, secondary states and limits are those of ``CreateTrainingJob`` and ``DescribeTrainingJob`` in the SageMaker API
reference: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DescribeTrainingJob.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final

from flytepath.plugin import BlobAccess, ErrorClass, Handle, Literal, Observation, Phase, PlanRequest

from flyte_plugin_sagemaker.request_kind import RequestKind
from flyte_plugin_sagemaker.training_request import training_request
from flyte_plugin_sagemaker.training_service import completed, is_service, results_of

if TYPE_CHECKING:
    from flyte_plugin_sagemaker.api import Api
    from flyte_plugin_sagemaker.settings import SageMakerSettings

Json = Any

#: While a job is in progress, by its secondary state; those that are no longer used among them.
SECONDARY: Final[Mapping[str, Phase]] = {
    "Pending": Phase.QUEUED,
    "Starting": Phase.INITIALIZING,
    "LaunchingMLInstances": Phase.INITIALIZING,
    "PreparingTrainingStack": Phase.INITIALIZING,
    "PreparingTraining": Phase.INITIALIZING,
    "Downloading": Phase.INITIALIZING,
    "DownloadingTrainingImage": Phase.INITIALIZING,
    "Restarting": Phase.INITIALIZING,
    # The spot machine was taken away; SageMaker looks for another and starts the container again.
    "Interrupted": Phase.QUEUED,
    "Training": Phase.RUNNING,
    "Updating": Phase.RUNNING,
    "Uploading": Phase.RUNNING,
    "Stopping": Phase.RUNNING,
    # They are told a moment before the primary state follows.
    "Completed": Phase.RUNNING,
    "Failed": Phase.RUNNING,
    "Stopped": Phase.RUNNING,
    "MaxRuntimeExceeded": Phase.RUNNING,
    "MaxWaitTimeExceeded": Phase.RUNNING,
}
_EXIT: Final = re.compile(r"exit ?code:? ?(-?\d+)", re.IGNORECASE)
_MEMORY: Final = re.compile(
    r"out[ -]?of[ -]?memory|\bOOM(?:Killed)?\b|MemoryError|Cannot allocate memory", re.IGNORECASE
)
#: How the worker ends that could not reach its storage.
_UNTOLD: Final = 75
_KILLED: Final = 137
_TERMINATED: Final = 143
_REQUEST_SAYS: Final = re.compile(r"^\s*ClientError", re.IGNORECASE)


class TrainingKind(RequestKind):
    """Training jobs: a task's own function in a container, or a request that the author has written."""

    name: ClassVar[str] = "training"
    title: ClassVar[str] = "training job"
    name_field: ClassVar[str] = "TrainingJobName"
    arn_field: ClassVar[str] = "TrainingJobArn"
    status_field: ClassVar[str] = "TrainingJobStatus"
    create_call: ClassVar[str] = "create_training_job"
    describe_call: ClassVar[str] = "describe_training_job"
    stop_call: ClassVar[str] = "stop_training_job"
    list_call: ClassVar[str] = "list_training_jobs"
    list_field: ClassVar[str] = "TrainingJobSummaries"
    live_states: ClassVar[tuple[str, ...]] = ("InProgress", "Stopping")
    states: ClassVar[Mapping[str, Phase]] = {
        "InProgress": Phase.RUNNING,
        "Stopping": Phase.RUNNING,
        "Completed": Phase.SUCCEEDED,
        "Failed": Phase.FAILED,
        "Stopped": Phase.CANCELLED,
    }
    log_group: ClassVar[str] = "/aws/sagemaker/TrainingJobs"
    console: ClassVar[str] = "jobs/{name}"

    role_field: ClassVar[str] = "RoleArn"

    def request(self, request: PlanRequest, settings: SageMakerSettings) -> dict[str, Json]:
        if is_service(request):
            return completed(super().request(request, settings), request, settings)
        return training_request(request, settings)

    def more(self, request: PlanRequest, settings: SageMakerSettings) -> dict[str, Json]:
        return super().more(request, settings) if is_service(request) else {}

    def create(self, api: Api, spec: Mapping[str, Json]) -> Mapping[str, Json] | None:
        """Make it. The answer has the ARN: nothing has to be looked up that may not be seen yet."""
        return {self.name_field: spec["name"], **api.call("sagemaker", self.create_call, **spec["request"])}

    def result(
        self, api: Api, handle: Handle, description: Mapping[str, Json], blobs: BlobAccess
    ) -> Mapping[str, Literal]:
        """What SageMaker says of it, where its artifact lies, and the last values of its metrics."""
        wanted = (handle.data.get("extra") or {}).get("outputs", ())
        made = results_of(description, wanted)
        general = [name for name in wanted if name not in made]
        if general:
            narrowed = Handle({**handle.data, "extra": {**handle.data["extra"], "outputs": general}}, handle.version)
            made.update(super().result(api, narrowed, description, blobs))
        return made

    def observe(self, api: Api, handle: Handle, description: Mapping[str, Json] | None) -> Observation:
        if description is None or description.get("TrainingJobStatus") == "Deleting":
            return super().observe(api, handle, None)
        status = str(description.get("TrainingJobStatus", ""))
        secondary = str(description.get("SecondaryStatus") or "")
        links = self.links(api, handle)
        raw = f"{status}/{secondary}" if secondary and secondary != status else status
        if status == "Completed":
            return Observation(Phase.SUCCEEDED, raw, links=links)
        if status == "Failed":
            reason = str(description.get("FailureReason") or "it failed, and SageMaker does not say why")
            code = exit_code_of(reason)
            return Observation(Phase.FAILED, raw, reason, self.blame(status, reason), code, links=links)
        if status == "Stopped":
            return self._stopped(raw, secondary, description, links)
        if status == "InProgress" and secondary:
            return Observation(SECONDARY.get(secondary), raw, _message(description), links=links)
        return Observation(self.states.get(status), raw, _message(description), links=links)

    def blame(self, state: str, reason: str) -> ErrorClass:
        code = exit_code_of(reason)
        if code == _UNTOLD:
            return ErrorClass.LOST
        if code == _TERMINATED:
            return ErrorClass.PREEMPTED
        if code == _KILLED or (_MEMORY.search(reason) and not _REQUEST_SAYS.search(reason)):
            return ErrorClass.OUT_OF_MEMORY
        found = super().blame(state, reason)
        # "ClientError: ...": what was asked for cannot be done: no data in a channel, no such image.
        return ErrorClass.INVALID if found is ErrorClass.USER and _REQUEST_SAYS.search(reason) else found

    def _stopped(
        self, raw: str, secondary: str, description: Mapping[str, Json], links: tuple[tuple[str, str], ...]
    ) -> Observation:
        said = _message(description)
        if secondary == "MaxRuntimeExceeded":
            limit = (description.get("StoppingCondition") or {}).get("MaxRuntimeInSeconds", "?")
            reason = f"SageMaker ended it after MaxRuntimeInSeconds = {limit}"
            return Observation(Phase.FAILED, raw, reason, ErrorClass.USER, links=links)
        if secondary == "MaxWaitTimeExceeded":
            limit = (description.get("StoppingCondition") or {}).get("MaxWaitTimeInSeconds", "?")
            reason = f"no spot machines were to be had for long enough within MaxWaitTimeInSeconds = {limit}"
            return Observation(Phase.FAILED, raw, reason, ErrorClass.PREEMPTED, links=links)
        return Observation(Phase.CANCELLED, raw, said or "it was stopped", links=links)


def exit_code_of(reason: str) -> int | None:
    """The exit code of a container in the reason of a failure.

    Example:
        >>> exit_code_of("AlgorithmError: , exit code: 137"), exit_code_of("CapacityError: none")
        (137, None)
    """
    found = _EXIT.search(reason)
    return int(found.group(1)) if found else None


def _message(description: Mapping[str, Json]) -> str:
    """What SageMaker says of the state that the job is in now."""
    steps = description.get("SecondaryStatusTransitions") or ()
    return str(steps[-1].get("StatusMessage") or "") if steps else ""


__all__ = ["SECONDARY", "TrainingKind", "exit_code_of"]
