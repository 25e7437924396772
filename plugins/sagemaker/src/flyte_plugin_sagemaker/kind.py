"""One kind of thing at AWS that a job can be: its calls, fields and states. The backend does the rest."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import quote

from flytepath.plugin import (
    BlobAccess,
    ErrorClass,
    Gone,
    Handle,
    InProgress,
    JobKey,
    Literal,
    NotOurs,
    Observation,
    Phase,
    Plan,
    PlanRequest,
    Terminal,
)

from flyte_plugin_sagemaker.api_errors import ApiError
from flyte_plugin_sagemaker.tags import Stamp, stamp_of

if TYPE_CHECKING:
    from flyte_plugin_sagemaker.api import Api
    from flyte_plugin_sagemaker.settings import SageMakerSettings

Json = Any

#: How SageMaker begins what it tells of the algorithm's own words; whatever these are like, the author is to blame.
_ALGORITHM: Final = re.compile(r"^\s*AlgorithmError", re.IGNORECASE)
#: How SageMaker begins the reason of a failure that is not the algorithm's.
_PLATFORM: Final = re.compile(r"^\s*(InternalServerError|Internal ?Failure|ServiceUnavailable)", re.IGNORECASE)
_CAPACITY: Final = re.compile(
    r"^\s*CapacityError|insufficient\w*capacity|insufficient .*capacity|unable to provision .*capacity", re.IGNORECASE
)
_LIMIT: Final = re.compile(r"ResourceLimitExceeded|exceed.*(?:account|service)[- ]level.*limit", re.IGNORECASE)


class Kind(ABC):
    """A kind of job. Stateless. Subclasses give the class variables and :meth:`request`; the rest where they differ.

    What is not pure runs in a thread, may block, and raises :class:`~flyte_plugin_sagemaker.api_errors.ApiError`.
    """

    #: In payloads, plans and handles.
    name: ClassVar[str]
    #: For people.
    title: ClassVar[str]
    name_field: ClassVar[str]
    arn_field: ClassVar[str]
    status_field: ClassVar[str]
    reason_field: ClassVar[str] = "FailureReason"
    name_limit: ClassVar[int] = 63
    #: Methods of boto3's client ``sagemaker``; empty where there is none.
    create_call: ClassVar[str]
    describe_call: ClassVar[str]
    stop_call: ClassVar[str] = ""
    delete_call: ClassVar[str] = ""
    list_call: ClassVar[str] = ""
    #: Where the answer of ``list_call`` has its things.
    list_field: ClassVar[str] = ""
    #: The values of ``StatusEquals`` that live jobs have; empty: the kind has no jobs that outlive a call.
    live_states: ClassVar[tuple[str, ...]] = ()
    #: Every documented state.
    states: ClassVar[Mapping[str, Phase]]
    log_group: ClassVar[str] = ""
    #: Where the console shows one: ``{name}`` and ``{region}`` are put in.
    console: ClassVar[str] = ""

    # --- pure ---

    @abstractmethod
    def request(self, request: PlanRequest, settings: SageMakerSettings) -> dict[str, Json]:
        """The parameters of the call that makes it, without its name and tags.

        Raises:
            DefinitionError: it could never be made.
        """

    def job_name(self, request: PlanRequest, body: Mapping[str, Json]) -> str:
        """The name: by default made of the key, so that a key has one job."""
        return request.key.name(request.task.rpartition(".")[2], self.name_limit)

    def more(self, request: PlanRequest, settings: SageMakerSettings) -> dict[str, Json]:
        """What the plan's spec holds beside the request, for :meth:`extra` and :meth:`create`; nothing by default."""
        return {}

    def extra(self, spec: Mapping[str, Json] | None, description: Mapping[str, Json]) -> dict[str, Json]:
        """What a handle holds beside name and ARN. ``spec`` is ``None`` for a job that a sweep has found."""
        return {}

    # --- effects ---

    def create(self, api: Api, spec: Mapping[str, Json]) -> Mapping[str, Json] | None:
        """Make it. ``spec["request"]`` has its name and its tags.

        Returns:
            What :meth:`describe` would say, for a kind that only the answer tells of; else ``None``.
        """
        api.call("sagemaker", self.create_call, **spec["request"])
        return None

    def found(self, api: Api, plan: Plan) -> Mapping[str, Json] | None:
        """What the plan has made, whoever made it; ``None`` where it was not made. By default what bears its name."""
        return self.describe(api, plan.external_name)

    def describe(self, api: Api, name: str) -> dict[str, Json] | None:
        """What it is; ``None`` where there is no such thing."""
        try:
            return api.call("sagemaker", self.describe_call, **{self.name_field: name})
        except ApiError as error:
            if error.is_absent:
                return None
            raise

    def stamp(self, api: Api, description: Mapping[str, Json]) -> Stamp | None:
        """Whose it is."""
        return stamp_of(tags_at(api, str(description[self.arn_field])))

    def adopts(self, stamp: Stamp | None, plan: Plan) -> bool:
        """Whether a thing that bears the plan's name is the one that the plan makes."""
        return stamp is not None and (stamp.key, stamp.owner, stamp.digest) == (plan.key, plan.owner, plan.digest)

    def observe(self, api: Api, handle: Handle, description: Mapping[str, Json] | None) -> Observation:
        """How it stands; without a description it is gone."""
        if description is None:
            return Observation(None, "ResourceNotFound", f"SageMaker no longer knows the {self.title}", gone=True)
        state = str(description.get(self.status_field, ""))
        phase = self.states.get(state)
        reason = str(description.get(self.reason_field) or "")
        error_class = self.blame(state, reason) if phase is Phase.FAILED else None
        return Observation(phase, state, reason, error_class, links=self.links(api, handle))

    def blame(self, state: str, reason: str) -> ErrorClass:
        """Who is to blame for a failure, by the reason that SageMaker gives."""
        if _ALGORITHM.search(reason):
            return ErrorClass.USER
        if _CAPACITY.search(reason):
            return ErrorClass.PREEMPTED
        if _LIMIT.search(reason):
            return ErrorClass.QUOTA_EXCEEDED
        return ErrorClass.LOST if _PLATFORM.search(reason) else ErrorClass.USER

    def stop(self, api: Api, description: Mapping[str, Json]) -> None:
        """Ask for its end; what is said of one that has ended meanwhile is no error."""
        if not self.stop_call:
            return
        try:
            api.call("sagemaker", self.stop_call, **{self.name_field: description[self.name_field]})
        except ApiError as error:
            # "The request was rejected because the training job is in status Completed."
            if not error.is_absent and not (error.code == "ValidationException" and "status" in error.message):
                raise

    def cancelled(self, api: Api, key: JobKey, name: str) -> Gone | Terminal | InProgress | NotOurs | None:
        """How it ends, for kinds that do not end as most do. ``None``: by :meth:`stop`, if its tags bear the key."""
        return None

    def result(
        self, api: Api, handle: Handle, description: Mapping[str, Json], blobs: BlobAccess
    ) -> Mapping[str, Literal]:
        """The outputs of one that succeeded."""
        return {}

    def clean(self, api: Api, handle: Handle) -> None:
        """Remove what it leaves behind; nothing by default."""

    def log_prefix(self, name: str) -> str:
        """How the names of its log streams begin."""
        return f"{name}/"

    def links(self, api: Api, handle: Handle) -> tuple[tuple[str, str], ...]:
        """Where people look at it: AWS's console, and its log in CloudWatch."""
        region, name = api.region, str(handle.data["name"])
        home = f"https://{region}.console.aws.amazon.com"
        found = []
        if self.console:
            place = self.console.format(name=name, region=region)
            found.append((f"the {self.title} in the console", f"{home}/sagemaker/home?region={region}#/{place}"))
        if self.log_group:
            # The console's addresses are escaped twice, with $ for %.
            group, stream = (_twice(text) for text in (self.log_group, self.log_prefix(name)))
            address = f"{home}/cloudwatch/home?region={region}#logsV2:log-groups/log-group/{group}"
            found.append(("its log in CloudWatch", f"{address}$3FlogStreamNameFilter$3D{stream}"))
        return tuple(found)


def tags_at(api: Api, arn: str) -> list[dict[str, Json]]:
    """All tags of a thing; none where it is gone."""
    found: list[dict[str, Json]] = []
    token: dict[str, str] = {}
    while True:
        try:
            page = api.call("sagemaker", "list_tags", ResourceArn=arn, **token)
        except ApiError as error:
            if error.is_absent:
                return []
            raise
        found += page.get("Tags") or []
        if not page.get("NextToken"):
            return found
        token = {"NextToken": page["NextToken"]}


def _twice(text: str) -> str:
    return quote(quote(text, safe=""), safe="").replace("%", "$")


__all__ = ["Kind", "tags_at"]
