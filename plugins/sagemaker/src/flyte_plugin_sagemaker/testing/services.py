"""What SageMaker has beside training: jobs of its own, models and endpoints.

moto makes each at once and forgets nothing it should refuse; here they go through their states, names are taken once,
and what is busy is left alone. A state follows the next with each look at it, so that nothing depends on a clock.

- Jobs: .../APIReference/API_DescribeProcessingJob.html, API_DescribeTransformJob.html,
  API_DescribeHyperParameterTuningJob.html, and of the same names with Stop; a taken name is ``ResourceInUse``.
- Models, configurations: API_CreateModel.html, API_CreateEndpointConfig.html; a taken name is a ValidationException
  "Cannot create already existing model ...".
- Endpoints: API_DescribeEndpoint.html (states), API_UpdateEndpoint.html, API_DeleteEndpoint.html. One that is being
  made or changed is neither updated nor deleted: "Cannot update in-progress endpoint ...".

All under https://docs.aws.amazon.com/sagemaker/latest/
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from flyte_plugin_sagemaker.testing.calls import Call, Refusal, invalid
from flyte_plugin_sagemaker.testing.things import Thing

if TYPE_CHECKING:
    from flyte_plugin_sagemaker.testing.server import SageMakerDouble

Json = Any
Forward = Callable[[], dict[str, Json]]

#: The operation's word: (ARN's word, name field, list field) of a job.
_JOBS: Final = {
    "ProcessingJob": ("processing-job", "ProcessingJobSummaries", "ListProcessingJobs"),
    "TransformJob": ("transform-job", "TransformJobSummaries", "ListTransformJobs"),
    "HyperParameterTuningJob": (
        "hyper-parameter-tuning-job",
        "HyperParameterTuningJobSummaries",
        "ListHyperParameterTuningJobs",
    ),
}
_MADE: Final = {
    "Model": ("model", "model"),
    "EndpointConfig": ("endpoint-config", "endpoint configuration"),
    "Endpoint": ("endpoint", "endpoint"),
}
_BUSY: Final = frozenset({"Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"})
_NOW: Final = 1_790_000_000.0


class Services:
    """The room of these things in a double, ``double.services``.

    Attributes:
        things: what there is, by word and name.
        made: how often each name was made.
        history: every request that made something.
        choose: the states of a thing by its request, and the reason; ``None``: those of :meth:`course`.
    """

    def __init__(self, double: SageMakerDouble) -> None:
        self._double = double
        self._lock = threading.RLock()
        self.reset()
        double.closing.append(self.reset)

    def reset(self) -> None:
        """Forget everything."""
        with self._lock:
            self.things: dict[tuple[str, str], Thing] = {}
            self.made: dict[tuple[str, str], int] = {}
            self.courses: dict[str, list[str]] = {}
            self.reasons: dict[str, str] = {}
            self.history: list[dict[str, Json]] = []
            self.choose: Callable[[str, dict[str, Json]], tuple[Sequence[str], str] | None] = lambda word, body: None

    # --- for tests ---

    def course(self, word: str, states: Sequence[str], reason: str = "") -> None:
        """The states that the next things of a kind go through; the last one stays.

        Args:
            word: ``ProcessingJob``, ``Endpoint``, ``EndpointUpdate``, ``EndpointDeletion``, ...
            states: as the API writes them.
            reason: of a failure.
        """
        self.courses[word], self.reasons[word] = list(states), reason

    def go(self, word: str, name: str, *states: str, reason: str = "") -> None:
        """Let a thing be in a state, and go through others."""
        with self._lock:
            thing = self.things[word, name]
            thing.state, thing.course, thing.reason = states[0], list(states[1:]), reason

    def get(self, word: str, name: str) -> Thing | None:
        """A thing."""
        return self.things.get((word, name))

    # --- jobs ---

    def create_job(self, word: str) -> Callable[[Call, Forward], dict[str, Json]]:
        name_field = f"{word}Name"

        def create(call: Call, forward: Forward) -> dict[str, Json]:
            name = call.body[name_field]
            with self._lock:
                known = self.things.get((word, name))
                if known is not None:
                    raise Refusal("ResourceInUse", f"Job name must be unique: {known.arn} already exists.")
                if word == "TransformJob" and ("Model", call.body["ModelName"]) not in self.things:
                    raise invalid(f'Could not find model "{_arn(call, "model", call.body["ModelName"])}".')
                request = dict(call.body)
                arn = forward()[f"{word}Arn"]
                thing = Thing(word, name, arn, request)
                self._begin(thing, ["InProgress", "InProgress", "Completed"])
                self.things[word, name] = thing
                self.made[word, name] = self.made.get((word, name), 0) + 1
                self.history.append(thing.request)
            return {f"{word}Arn": arn}

        return create

    def describe_job(self, word: str) -> Callable[[Call, Forward], dict[str, Json]]:
        def describe(call: Call, forward: Forward) -> dict[str, Json]:
            thing = self._seen(word, call.body[f"{word}Name"])
            told = {key: value for key, value in thing.request.items() if key != "Tags"}
            told |= {f"{word}Arn": thing.arn, f"{word}Status": thing.state, "CreationTime": _NOW, **thing.facts}
            if word == "HyperParameterTuningJob":
                done = int(thing.state == "Completed")
                counts = {"Completed": done, "InProgress": int(thing.state == "InProgress"), "Stopped": 0}
                told["TrainingJobStatusCounters"] = {**counts, "RetryableError": 0, "NonRetryableError": 0}
                told["ObjectiveStatusCounters"] = {"Succeeded": done, "Pending": 0, "Failed": 0}
            if thing.reason and thing.state == "Failed":
                told["FailureReason"] = thing.reason
            return told

        return describe

    def stop_job(self, word: str) -> Callable[[Call, Forward], dict[str, Json]]:
        def stop(call: Call, forward: Forward) -> dict[str, Json]:
            thing = self.known(word, call.body[f"{word}Name"])
            with self._lock:
                if thing.state not in ("InProgress", "Stopping"):
                    raise invalid(f"The request was rejected because the job is in status {thing.state}.")
                if thing.state == "InProgress":
                    thing.state, thing.course = "Stopping", ["Stopping", "Stopped"]
            return {}

        return stop

    def list_jobs(self, word: str) -> Callable[[Call, Forward], dict[str, Json]]:
        field_name = "Endpoints" if word == "Endpoint" else _JOBS[word][1]

        def listed(call: Call, forward: Forward) -> dict[str, Json]:
            state, part = call.body.get("StatusEquals"), call.body.get("NameContains", "")
            found = [
                {
                    f"{word}Name": thing.name,
                    f"{word}Arn": thing.arn,
                    f"{word}Status": thing.state,
                    "CreationTime": _NOW,
                    "LastModifiedTime": _NOW,
                    "HyperParameterTuningJobStrategy": "Bayesian",
                }
                for (kind, _), thing in sorted(self.things.items())
                if kind == word
                and state in (None, thing.state)
                and part in thing.name
                and not self._double.faults.is_hidden(thing.made_at)
            ]
            return {field_name: found}

        return listed

    # --- models, configurations, endpoints ---

    def create_made(self, word: str) -> Callable[[Call, Forward], dict[str, Json]]:
        what, title = _MADE[word]

        def create(call: Call, forward: Forward) -> dict[str, Json]:
            name = call.body[f"{word}Name"]
            arn = _arn(call, what, name)
            with self._lock:
                if (word, name) in self.things:
                    raise invalid(f'Cannot create already existing {title} "{arn}".')
                if word == "EndpointConfig":
                    for variant in call.body.get("ProductionVariants") or ():
                        if "ModelName" in variant and ("Model", variant["ModelName"]) not in self.things:
                            raise invalid(f'Could not find model "{_arn(call, "model", variant["ModelName"])}".')
                if word == "Endpoint":
                    self._check_config(call)
                thing = Thing(word, name, arn, dict(call.body))
                if word == "Endpoint":
                    self._begin(thing, ["Creating", "InService"])
                    thing.facts["EndpointConfigName"] = call.body["EndpointConfigName"]
                forward()
                self.things[word, name] = thing
                self.made[word, name] = self.made.get((word, name), 0) + 1
                self.history.append(thing.request)
            return {f"{word}Arn": arn}

        return create

    def describe_made(self, word: str) -> Callable[[Call, Forward], dict[str, Json]]:
        def describe(call: Call, forward: Forward) -> dict[str, Json]:
            name = call.body[f"{word}Name"]
            thing = self._seen(word, name)
            told = {key: value for key, value in thing.request.items() if key != "Tags"}
            told |= {f"{word}Arn": thing.arn, "CreationTime": _NOW}
            if word == "Endpoint":
                told |= {"EndpointStatus": thing.state, "LastModifiedTime": _NOW, **thing.facts}
                told.pop("DeploymentConfig", None)
                if thing.reason and thing.state in ("Failed", "InService", "UpdateRollbackFailed"):
                    told["FailureReason"] = thing.reason
            return told

        return describe

    def delete_made(self, word: str) -> Callable[[Call, Forward], dict[str, Json]]:
        def delete(call: Call, forward: Forward) -> dict[str, Json]:
            thing = self.known(word, call.body[f"{word}Name"])
            with self._lock:
                if word != "Endpoint":
                    forward()
                    del self.things[word, thing.name]
                    return {}
                if thing.state in _BUSY:
                    raise invalid(f'Cannot update in-progress endpoint "{thing.arn}".')
                thing.course = list(self.courses.get("EndpointDeletion") or ["Deleting", ""])
                thing.state = thing.course.pop(0)
            return {}

        return delete

    def update_endpoint(self, call: Call, forward: Forward) -> dict[str, Json]:
        """Change an endpoint; a course that ends ``InService`` with a reason goes back to the old configuration."""
        thing = self.known("Endpoint", call.body["EndpointName"])
        with self._lock:
            if thing.state != "InService":
                raise invalid(f'Cannot update in-progress endpoint "{thing.arn}".')
            self._check_config(call)
            wanted, before = call.body["EndpointConfigName"], thing.facts["EndpointConfigName"]
            thing.course = list(self.courses.get("EndpointUpdate") or ["Updating", "InService"])
            thing.reason = self.reasons.get("EndpointUpdate", "")
            thing.state = thing.course.pop(0)
            thing.facts["PendingDeploymentSummary"] = {"EndpointConfigName": wanted}
            thing.facts["after"] = before if thing.reason else wanted
        self.made["EndpointUpdate", thing.name] = self.made.get(("EndpointUpdate", thing.name), 0) + 1
        return {"EndpointArn": thing.arn}

    def tags(self, before: Any) -> Callable[[Call, Forward], dict[str, Json]]:
        """The tags of a thing of ours; of others whoever had them before."""

        def listed(call: Call, forward: Forward) -> dict[str, Json]:
            for thing in self.things.values():
                if thing.arn == call.body["ResourceArn"]:
                    return {"Tags": thing.tags}
            answer: dict[str, Json] = before(call, forward) if before is not None else forward()
            return answer

        return listed

    # --- how it is done ---

    def _begin(self, thing: Thing, usual: Sequence[str]) -> None:
        chosen = self.choose(thing.word, thing.request)
        states, reason = chosen or (self.courses.get(thing.word) or usual, self.reasons.get(thing.word, ""))
        thing.course, thing.reason = list(states), reason
        thing.state = thing.course.pop(0)

    def known(self, word: str, name: str) -> Thing:
        """A thing.

        Raises:
            Refusal: there is none.
        """
        with self._lock:
            thing = self.things.get((word, name))
        if thing is None or self._double.faults.is_hidden(thing.made_at):
            if word in _JOBS:
                raise Refusal("ResourceNotFound", f"Could not find requested job with name: {name}")
            what, title = _MADE[word]
            arn = f"arn:aws:sagemaker:us-east-1:123456789012:{what}/{name}"
            raise invalid(f'Could not find {title} "{arn}".')
        return thing

    def _seen(self, word: str, name: str) -> Thing:
        """A thing that is looked at, and so goes on."""
        thing = self.known(word, name)
        seen = Thing(**{**vars(thing), "course": [], "facts": _public(thing)})
        with self._lock:
            if thing.course:
                thing.state = thing.course.pop(0)
                if thing.state == "" and self.things.get((word, name)) is thing:
                    del self.things[word, name]
                if thing.state == "InService" and "after" in thing.facts:
                    thing.facts["EndpointConfigName"] = thing.facts.pop("after")
                    thing.facts.pop("PendingDeploymentSummary", None)
        return seen

    def _check_config(self, call: Call) -> None:
        name = call.body["EndpointConfigName"]
        if ("EndpointConfig", name) not in self.things:
            raise invalid(f'Could not find endpoint configuration "{_arn(call, "endpoint-config", name)}".')


def install(double: SageMakerDouble) -> None:
    """Let a double have them."""
    services = Services(double)
    double.services = services
    for word in _JOBS:
        double.handle(f"Create{word}", services.create_job(word))
        double.handle(f"Describe{word}", services.describe_job(word))
        double.handle(f"Stop{word}", services.stop_job(word))
        double.handle(f"List{word}s", services.list_jobs(word))
    for word in _MADE:
        double.handle(f"Create{word}", services.create_made(word))
        double.handle(f"Describe{word}", services.describe_made(word))
        double.handle(f"Delete{word}", services.delete_made(word))
    double.handle("ListEndpoints", services.list_jobs("Endpoint"))
    double.handle("UpdateEndpoint", services.update_endpoint)
    double.handle("ListTags", services.tags(double.handler("ListTags")))


def _public(thing: Thing) -> dict[str, Json]:
    return {name: value for name, value in thing.facts.items() if name != "after"}


def _arn(call: Call, what: str, name: str) -> str:
    return f"arn:aws:sagemaker:{call.region}:123456789012:{what}/{name}"


__all__ = ["Services", "install"]
