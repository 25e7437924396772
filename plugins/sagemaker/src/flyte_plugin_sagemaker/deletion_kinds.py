"""Deletions: of an endpoint, until it is gone; of a configuration or a model, at once.

What is not there any more is deleted: asking twice does no harm, so a call that was cut off is made again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final

from flytepath.plugin import (
    BackendError,
    ErrorClass,
    Gone,
    Handle,
    InProgress,
    JobKey,
    NotOurs,
    Observation,
    Phase,
    Plan,
    Terminal,
)

from flyte_plugin_sagemaker.endpoint_kinds import check_tenant, deleted
from flyte_plugin_sagemaker.request_kind import RequestKind
from flyte_plugin_sagemaker.tags import Stamp

if TYPE_CHECKING:
    from flyte_plugin_sagemaker.api import Api

Json = Any
_GONE: Final = "Deleted"


class DeletionKind(RequestKind):
    """The deletion of what has a name. It is ``found`` as soon as nothing is left of it, or little."""

    is_per_run: ClassVar[bool] = False
    status_field: ClassVar[str] = "State"
    states: ClassVar[Mapping[str, Phase]] = {_GONE: Phase.SUCCEEDED, "Deleting": Phase.RUNNING}

    def describe(self, api: Api, name: str) -> dict[str, Json] | None:
        """The deletion; ``None`` as long as the thing is there and nobody deletes it."""
        known = super().describe(api, name)
        if known is None:
            return {self.name_field: name, self.arn_field: "", "State": _GONE}
        return {**known, "State": "Deleting"} if self.is_going(known) else None

    def is_going(self, known: Mapping[str, Json]) -> bool:
        """Whether it is being deleted."""
        return False

    def create(self, api: Api, spec: Mapping[str, Json]) -> Mapping[str, Json] | None:
        known = super().describe(api, spec["name"])
        if known is None or self.is_going(known):
            return None
        check_tenant(self, api, known, spec)
        self.delete(api, spec["name"])
        return None

    def delete(self, api: Api, name: str) -> None:
        """Ask for it."""
        api.call("sagemaker", self.create_call, **{self.name_field: name})

    def adopts(self, stamp: Stamp | None, plan: Plan) -> bool:
        """Whose it was was looked at before it was deleted."""
        return True

    def stamp(self, api: Api, description: Mapping[str, Json]) -> Stamp | None:
        return super().stamp(api, description) if description.get(self.arn_field) else None

    def observe(self, api: Api, handle: Handle, description: Mapping[str, Json] | None) -> Observation:
        if description is None:
            # It was asked for, and is not going: AWS gave it up, or somebody has made another of the name.
            return Observation(
                Phase.FAILED, "NotDeleted", f"the {self.title} was asked for, and it is still there", ErrorClass.LOST
            )
        return Observation(self.states.get(description["State"]), description["State"])

    def cancelled(self, api: Api, key: JobKey, name: str) -> Gone | Terminal | InProgress | NotOurs | None:
        """A deletion cannot be taken back: one that has begun is waited for."""
        description = self.describe(api, name)
        return InProgress("Deleting") if description is not None and description["State"] == "Deleting" else Gone()

    def outcome(self, api: Api, handle: Handle, description: Mapping[str, Json]) -> dict[str, Json]:
        return {self.name_field: str(handle.data["name"])}


class EndpointDeletionKind(DeletionKind):
    """https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DeleteEndpoint.html"""

    name: ClassVar[str] = "endpoint_deletion"
    title: ClassVar[str] = "deletion of an endpoint"
    name_field: ClassVar[str] = "EndpointName"
    arn_field: ClassVar[str] = "EndpointArn"
    create_call: ClassVar[str] = "delete_endpoint"
    describe_call: ClassVar[str] = "describe_endpoint"

    def is_going(self, known: Mapping[str, Json]) -> bool:
        return known.get("EndpointStatus") == "Deleting"

    def delete(self, api: Api, name: str) -> None:
        """Ask for it; what SageMaker is at work on it refuses, and is asked for again."""
        if not deleted(api, name):
            raise BackendError(
                f"endpoint {name} is being made or updated, and cannot be deleted until that is over",
                error_class=ErrorClass.TRANSIENT,
                accepted=False,
            )


class EndpointConfigDeletionKind(DeletionKind):
    """https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DeleteEndpointConfig.html"""

    name: ClassVar[str] = "endpoint_config_deletion"
    title: ClassVar[str] = "deletion of an endpoint configuration"
    name_field: ClassVar[str] = "EndpointConfigName"
    arn_field: ClassVar[str] = "EndpointConfigArn"
    create_call: ClassVar[str] = "delete_endpoint_config"
    describe_call: ClassVar[str] = "describe_endpoint_config"


class ModelDeletionKind(DeletionKind):
    """https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DeleteModel.html"""

    name: ClassVar[str] = "model_deletion"
    title: ClassVar[str] = "deletion of a model"
    name_field: ClassVar[str] = "ModelName"
    arn_field: ClassVar[str] = "ModelArn"
    create_call: ClassVar[str] = "delete_model"
    describe_call: ClassVar[str] = "describe_model"
