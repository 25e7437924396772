"""Models and endpoint configurations: made at once, never changed, and the same thing for whoever asks for the same.

SageMaker has no call that changes one. So what bears the name and was made by the same tenant with the same content is
taken over; what bears it and is anything else is a conflict, and is left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from flytepath.plugin import Gone, Handle, InProgress, JobKey, NotOurs, Observation, Phase, Plan, Terminal

from flyte_plugin_sagemaker.request_kind import RequestKind
from flyte_plugin_sagemaker.tags import Stamp

if TYPE_CHECKING:
    from flyte_plugin_sagemaker.api import Api

Json = Any


def is_same(stamp: Stamp | None, plan: Plan) -> bool:
    """Whether a thing was made by the plan's tenant from the same request, by whichever run."""
    return (
        stamp is not None
        and stamp.digest == plan.digest
        and stamp.owner.tenant == plan.owner.tenant
        and stamp.owner.installation == plan.owner.installation
    )


class UnchangingKind(RequestKind):
    """What has no states: it is there, or it is not."""

    is_per_run: ClassVar[bool] = False
    status_field: ClassVar[str] = ""
    states: ClassVar[Mapping[str, Phase]] = {}

    def adopts(self, stamp: Stamp | None, plan: Plan) -> bool:
        return is_same(stamp, plan)

    def observe(self, api: Api, handle: Handle, description: Mapping[str, Json] | None) -> Observation:
        if description is None:
            return super().observe(api, handle, description)
        return Observation(Phase.SUCCEEDED, "Created", links=self.links(api, handle))

    def cancelled(self, api: Api, key: JobKey, name: str) -> Gone | Terminal | InProgress | NotOurs | None:
        """It is left where it is: it costs nothing, and others with the same content may have taken it over."""
        description = self.describe(api, name)
        return Gone() if description is None else Terminal(Observation(Phase.SUCCEEDED, "Created"))


class ModelKind(UnchangingKind):
    """https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateModel.html"""

    name: ClassVar[str] = "model"
    title: ClassVar[str] = "model"
    name_field: ClassVar[str] = "ModelName"
    arn_field: ClassVar[str] = "ModelArn"
    create_call: ClassVar[str] = "create_model"
    describe_call: ClassVar[str] = "describe_model"
    console: ClassVar[str] = "models/{name}"
    role_field: ClassVar[str] = "ExecutionRoleArn"
    result_fields: ClassVar[tuple[str, ...]] = ("ModelArn", "ModelName")


class EndpointConfigKind(UnchangingKind):
    """https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateEndpointConfig.html"""

    name: ClassVar[str] = "endpoint_config"
    title: ClassVar[str] = "endpoint configuration"
    name_field: ClassVar[str] = "EndpointConfigName"
    arn_field: ClassVar[str] = "EndpointConfigArn"
    create_call: ClassVar[str] = "create_endpoint_config"
    describe_call: ClassVar[str] = "describe_endpoint_config"
    console: ClassVar[str] = "endpointConfig/{name}"
    result_fields: ClassVar[tuple[str, ...]] = ("EndpointConfigArn", "EndpointConfigName")
