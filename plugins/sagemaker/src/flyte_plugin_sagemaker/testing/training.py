"""Training jobs as SageMaker's API has them: names that are taken once, and what it refuses.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateTrainingJob.html, and the pages of the other calls
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flyte_plugin_sagemaker.testing.calls import Call, Refusal, invalid
from flyte_plugin_sagemaker.testing.training_lives import TERMINAL, Course, TrainingJob, TrainingLives

if TYPE_CHECKING:
    from flyte_plugin_sagemaker.testing.server import SageMakerDouble

Json = Any


class TrainingJobs(TrainingLives):
    """The training jobs of a double, at ``double.training``."""

    def __init__(self, double: SageMakerDouble) -> None:
        super().__init__(double)
        for operation, handler in (
            ("CreateTrainingJob", self._create),
            ("DescribeTrainingJob", self._describe),
            ("StopTrainingJob", self._stop),
            ("DeleteTrainingJob", self._delete),
            ("ListTrainingJobs", self._list),
        ):
            double.handle(operation, handler)

    def _create(self, call: Call, forward: Callable[[], dict[str, Json]]) -> dict[str, Json]:
        body = call.body
        name = body["TrainingJobName"]
        with self._lock:
            if name in self.jobs:
                raise Refusal("ResourceInUse", f"Training job names must be unique within an AWS account: {name}")
            self._check(body)
            if sum(job.status not in TERMINAL for job in self.jobs.values()) >= self.limit:
                kind = body["ResourceConfig"]["InstanceType"]
                raise Refusal(
                    "ResourceLimitExceeded",
                    f"The account-level service limit '{kind} for training job usage' is {self.limit} Instances, "
                    f"with current utilization of {self.limit} Instances and a request delta of 1 Instances.",
                )
            answer = forward()
            job = TrainingJob(dict(body), answer["TrainingJobArn"], time.monotonic())
            self.jobs[name] = job
            self.made.append(dict(body))
            self.step(job, "InProgress", "Starting")
        threading.Thread(target=self.live_on, args=(job,), name=f"training job {name}", daemon=True).start()
        return answer

    def _check(self, body: dict[str, Json]) -> None:
        """What AWS refuses beyond the shape of a request."""
        condition = body.get("StoppingCondition") or {}
        run, wait = condition.get("MaxRuntimeInSeconds", 86_400), condition.get("MaxWaitTimeInSeconds")
        spot = body.get("EnableManagedSpotTraining", False)
        if run > 28 * 86_400:
            raise invalid("Invalid MaxRuntimeInSeconds. It must be at most 2419200")
        if wait is not None and not spot:
            raise invalid("Invalid MaxWaitTimeInSeconds. It is only supported for managed spot training")
        if spot and (wait is None or wait < run):
            raise invalid("Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntime")
        for tag in body.get("Tags") or ():
            if tag["Key"].lower().startswith("aws:"):
                raise invalid("aws: prefixed tag key names are not allowed for external use.")
        keys = [tag["Key"] for tag in body.get("Tags") or ()]
        if len(keys) != len(set(keys)):
            raise invalid("Duplicate tag keys found")
        channels = [channel["ChannelName"] for channel in body.get("InputDataConfig") or ()]
        if len(channels) != len(set(channels)):
            raise invalid("Duplicate channel names")

    def _describe(self, call: Call, forward: Callable[[], dict[str, Json]]) -> dict[str, Json]:
        job = self._seen(call.body["TrainingJobName"])
        if job is None:
            raise invalid("Requested resource not found.")
        if job.name in self.poisoned:
            raise Refusal("InternalFailure", "The request processing has failed", 500)
        answer = forward()
        with self._lock:
            kept = {name: value for name, value in job.request.items() if name != "Tags"}
            answer |= kept | {
                "TrainingJobArn": job.arn,
                "TrainingJobStatus": job.status,
                "SecondaryStatus": job.secondary,
                "SecondaryStatusTransitions": [dict(step) for step in job.steps],
                "FinalMetricDataList": self.metrics(job),
            }
            answer.pop("FailureReason", None)
            if job.reason:
                answer["FailureReason"] = job.reason
            if job.status != "Completed":
                answer.pop("ModelArtifacts", None)
            if job.status not in TERMINAL:
                answer.pop("TrainingEndTime", None)
        return answer

    def _stop(self, call: Call, forward: Callable[[], dict[str, Json]]) -> dict[str, Json]:
        job = self._seen(call.body["TrainingJobName"])
        if job is None:
            raise invalid("Requested resource not found.")
        with self._lock:
            if job.status in TERMINAL:
                raise invalid(f"The request was rejected because the training job is in status {job.status}.")
            if job.stopping:
                return {}
        self.begin_stop(job, "Stopped")
        return {}

    def _delete(self, call: Call, forward: Callable[[], dict[str, Json]]) -> dict[str, Json]:
        job = self._seen(call.body["TrainingJobName"])
        if job is None:
            raise Refusal("ResourceNotFound", "Requested resource not found.")
        if job.status not in TERMINAL:
            raise Refusal("ResourceInUse", f"The training job is in status {job.status}.")
        del self.jobs[job.name]
        return {}

    def _list(self, call: Call, forward: Callable[[], dict[str, Json]]) -> dict[str, Json]:
        body = call.body
        with self._lock:
            found = [
                job
                for name, job in sorted(self.jobs.items())
                if body.get("NameContains", "") in name
                and body.get("StatusEquals", job.status) == job.status
                and not self._double.faults.is_hidden(job.made_at)
            ]
            after, most = body.get("NextToken", ""), body.get("MaxResults", 10)
            page = [job for job in found if job.name > after][: most + 1]
            answer: dict[str, Json] = {
                "TrainingJobSummaries": [
                    {
                        "TrainingJobName": job.name,
                        "TrainingJobArn": job.arn,
                        "CreationTime": job.steps[0]["StartTime"],
                        "TrainingJobStatus": job.status,
                    }
                    for job in page[:most]
                ]
            }
        if len(page) > most:
            answer["NextToken"] = page[most - 1].name
        return answer

    def _seen(self, name: str) -> TrainingJob | None:
        job = self.jobs.get(name)
        return None if job is None or self._double.faults.is_hidden(job.made_at) else job


def install(double: SageMakerDouble) -> None:
    """Add training jobs to a double."""
    double.training = TrainingJobs(double)


__all__ = ["Course", "TrainingJob", "TrainingJobs", "install"]
