"""Endpoints: made and waited for until they serve, updated until they serve the new configuration or have gone back.

States are those of the page DescribeEndpoint of the SageMaker API reference. An endpoint whose update failed is
``InService`` again with its old configuration and a ``FailureReason``.
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

from flyte_plugin_sagemaker.api_errors import ApiError
from flyte_plugin_sagemaker.model_kinds import is_same
from flyte_plugin_sagemaker.request_kind import RequestKind
from flyte_plugin_sagemaker.tags import Stamp, stamp_of

if TYPE_CHECKING:
    from flyte_plugin_sagemaker.api import Api

Json = Any
#: The states in which SageMaker takes neither an update nor a deletion.
BUSY: Final = frozenset({"Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"})
_RESULT: Final = ("EndpointArn", "EndpointName", "EndpointConfigName", "EndpointStatus")


class EndpointKind(RequestKind):
    """https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DescribeEndpoint.html

    SageMaker cannot stop the making of an endpoint, and refuses to delete one that is ``Creating``. An abort asks again
    until it is deleted, so that nothing is left that costs.
    """

    name: ClassVar[str] = "endpoint"
    title: ClassVar[str] = "endpoint"
    name_field: ClassVar[str] = "EndpointName"
    arn_field: ClassVar[str] = "EndpointArn"
    status_field: ClassVar[str] = "EndpointStatus"
    create_call: ClassVar[str] = "create_endpoint"
    describe_call: ClassVar[str] = "describe_endpoint"
    delete_call: ClassVar[str] = "delete_endpoint"
    list_call: ClassVar[str] = "list_endpoints"
    list_field: ClassVar[str] = "Endpoints"
    live_states: ClassVar[tuple[str, ...]] = ("Creating",)
    states: ClassVar[Mapping[str, Phase]] = {
        "Creating": Phase.INITIALIZING,
        "Updating": Phase.RUNNING,
        "SystemUpdating": Phase.RUNNING,
        "RollingBack": Phase.RUNNING,
        "InService": Phase.SUCCEEDED,
        "OutOfService": Phase.RUNNING,
        "Deleting": Phase.RUNNING,
        "Failed": Phase.FAILED,
        "UpdateRollbackFailed": Phase.FAILED,
    }
    log_group: ClassVar[str] = ""
    console: ClassVar[str] = "endpoints/{name}"
    is_per_run: ClassVar[bool] = False
    result_fields: ClassVar[tuple[str, ...]] = _RESULT

    def create(self, api: Api, spec: Mapping[str, Json]) -> Mapping[str, Json] | None:
        """Make it; one of that name whose making failed, which cannot serve and was ours, makes way first."""
        try:
            return super().create(api, spec)
        except ApiError as error:
            if not error.is_taken:
                raise
            known = self.describe(api, spec["name"])
            state = "Deleting" if known is None else str(known.get("EndpointStatus"))
            if known is not None and (state not in ("Failed", "Deleting") or not self._is_older(api, known, spec)):
                raise
            if state == "Failed":
                api.call("sagemaker", "delete_endpoint", EndpointName=spec["name"])
            raise BackendError(
                f"an older endpoint {spec['name']} is being deleted", error_class=ErrorClass.TRANSIENT, accepted=False
            ) from None

    def _is_older(self, api: Api, known: Mapping[str, Json], spec: Mapping[str, Json]) -> bool:
        """Whether a failed endpoint is of another attempt at the same: same owner and content, another key."""
        stamp, ours = self.stamp(api, known), stamp_of(spec["request"]["Tags"])
        return (
            stamp is not None
            and ours is not None
            and stamp.owner.tenant == ours.owner.tenant
            and stamp.owner.installation == ours.owner.installation
            and (stamp.digest, stamp.key == ours.key) == (ours.digest, False)
        )

    def adopts(self, stamp: Stamp | None, plan: Plan) -> bool:
        """One of the same name and configuration is the endpoint that was asked for, whichever run has made it."""
        return is_same(stamp, plan)

    def extra(self, spec: Mapping[str, Json] | None, description: Mapping[str, Json]) -> dict[str, Json]:
        wanted = (description if spec is None else spec["request"]).get("EndpointConfigName")
        return super().extra(spec, description) | ({"config": wanted} if wanted else {})

    def observe(self, api: Api, handle: Handle, description: Mapping[str, Json] | None) -> Observation:
        seen = super().observe(api, handle, description)
        wanted = (handle.data.get("extra") or {}).get("config")
        if seen.phase is not Phase.SUCCEEDED or description is None or not wanted:
            return seen
        serves = description.get("EndpointConfigName")
        if serves == wanted:
            return seen
        return Observation(
            Phase.FAILED,
            seen.raw_state,
            f"the endpoint serves configuration {serves}, not {wanted}: it was updated since it was made",
            ErrorClass.CONFLICT,
            links=seen.links,
        )

    def stop(self, api: Api, description: Mapping[str, Json]) -> None:
        deleted(api, str(description["EndpointName"]))

    def cancelled(self, api: Api, key: JobKey, name: str) -> Gone | Terminal | InProgress | NotOurs | None:
        """One that was to be made by a job that is not wanted any more is deleted, also when it serves by now."""
        description = self.describe(api, name)
        if description is None:
            return Gone()
        stamp = self.stamp(api, description)
        if stamp is None or stamp.key != key:
            return NotOurs("" if stamp is None else stamp.key.value)
        if description.get("EndpointStatus") != "Deleting":
            self.stop(api, description)
            description = self.describe(api, name)
        return Gone() if description is None else InProgress(str(description.get("EndpointStatus")))


class EndpointUpdateKind(RequestKind):
    """https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_UpdateEndpoint.html

    Asking twice for the same is asking once: an endpoint that serves the configuration already is left as it is. While
    another update is under way SageMaker takes none, and it is waited for.
    """

    name: ClassVar[str] = "endpoint_update"
    title: ClassVar[str] = "update of an endpoint"
    name_field: ClassVar[str] = "EndpointName"
    arn_field: ClassVar[str] = "EndpointArn"
    status_field: ClassVar[str] = "EndpointStatus"
    create_call: ClassVar[str] = "update_endpoint"
    describe_call: ClassVar[str] = "describe_endpoint"
    states: ClassVar[Mapping[str, Phase]] = {**EndpointKind.states, "Creating": Phase.RUNNING}
    console: ClassVar[str] = "endpoints/{name}"
    is_per_run: ClassVar[bool] = False
    result_fields: ClassVar[tuple[str, ...]] = _RESULT

    def create(self, api: Api, spec: Mapping[str, Json]) -> Mapping[str, Json] | None:
        name, wanted = spec["name"], spec["request"]["EndpointConfigName"]
        known = self.describe(api, name)
        if known is None:
            raise BackendError(
                f"there is no endpoint {name} to update",
                error_class=ErrorClass.INVALID,
                accepted=False,
                hint="make it with SageMakerEndpointTask",
            )
        check_tenant(self, api, known, spec)
        if is_under_way(known, wanted):
            return None
        if known.get("EndpointStatus") in BUSY:
            raise BackendError(
                f"endpoint {name} is {known['EndpointStatus']}, and takes no update until that is over",
                error_class=ErrorClass.TRANSIENT,
                accepted=False,
            )
        parameters = {key: value for key, value in spec["request"].items() if key != "Tags"}
        try:
            api.call("sagemaker", "update_endpoint", **parameters)
        except ApiError as error:
            if is_busy(error):  # somebody was faster
                raise BackendError(
                    f"endpoint {name}: {error}", error_class=ErrorClass.TRANSIENT, accepted=False
                ) from None
            raise
        return None

    def found(self, api: Api, plan: Plan) -> dict[str, Json] | None:
        """The endpoint, if the update was heard: it is under way, done, or undone."""
        known = self.describe(api, plan.external_name)
        if known is None or not is_under_way(known, plan.spec["request"]["EndpointConfigName"]):
            return None
        return known

    def adopts(self, stamp: Stamp | None, plan: Plan) -> bool:
        """Whose the endpoint is was looked at before it was updated."""
        return True

    def extra(self, spec: Mapping[str, Json] | None, description: Mapping[str, Json]) -> dict[str, Json]:
        wanted = None if spec is None else spec["request"]["EndpointConfigName"]
        return super().extra(spec, description) | ({"config": wanted} if wanted else {})

    def observe(self, api: Api, handle: Handle, description: Mapping[str, Json] | None) -> Observation:
        seen = super().observe(api, handle, description)
        wanted = (handle.data.get("extra") or {}).get("config")
        if seen.phase is not Phase.SUCCEEDED or description is None:
            return seen
        serves = description.get("EndpointConfigName")
        if serves == wanted:
            return Observation(Phase.SUCCEEDED, seen.raw_state, links=seen.links)
        why = f": {seen.reason}" if seen.reason else ""
        return Observation(
            Phase.FAILED,
            seen.raw_state,
            f"the update to {wanted} was undone, the endpoint serves {serves}{why}",
            self.blame(seen.raw_state, seen.reason),
            links=seen.links,
        )

    def cancelled(self, api: Api, key: JobKey, name: str) -> Gone | Terminal | InProgress | NotOurs | None:
        """SageMaker cannot stop an update: it is waited for, and what serves then goes on serving."""
        description = self.describe(api, name)
        if description is None:
            return Gone()
        state = str(description.get("EndpointStatus"))
        return InProgress(state) if state in BUSY else Gone()


def is_under_way(known: Mapping[str, Json], wanted: str) -> bool:
    """Whether an endpoint serves a configuration, or is being changed to it."""
    pending = (known.get("PendingDeploymentSummary") or {}).get("EndpointConfigName")
    if known.get("EndpointStatus") in ("Updating", "SystemUpdating", "RollingBack"):
        return wanted in (pending, known.get("EndpointConfigName"))
    return known.get("EndpointStatus") == "InService" and known.get("EndpointConfigName") == wanted


def is_busy(error: ApiError) -> bool:
    """Whether SageMaker refuses to touch what it is working on: ``Cannot update in-progress endpoint ...``."""
    return error.code == "ValidationException" and (
        "in-progress" in error.message or "in progress" in error.message or "is being" in error.message
    )


def deleted(api: Api, name: str) -> bool:
    """Ask for the deletion of an endpoint; whether it was taken, ``False`` where SageMaker is busy with it."""
    try:
        api.call("sagemaker", "delete_endpoint", EndpointName=name)
    except ApiError as error:
        if is_busy(error):
            return False
        if not error.is_absent:
            raise
    return True


def check_tenant(kind: RequestKind, api: Api, known: Mapping[str, Json], spec: Mapping[str, Json]) -> None:
    """Let nobody touch what another project or domain has made. What bears no tags of ours is the account's own.

    Raises:
        BackendError: it is another tenant's.
    """
    theirs, ours = kind.stamp(api, known), stamp_of(spec["request"]["Tags"])
    if theirs is None or ours is None:
        return
    if (theirs.owner.installation, theirs.owner.tenant) == (ours.owner.installation, ours.owner.tenant):
        return
    whose = f"{theirs.owner.tenant.project}/{theirs.owner.tenant.domain}"
    raise BackendError(
        f"{spec['name']} was made by {whose}, and is not touched from elsewhere",
        error_class=ErrorClass.CONFLICT,
        accepted=False,
        hint=f"do it in a workflow of {whose}",
    )


__all__ = ["BUSY", "EndpointKind", "EndpointUpdateKind", "check_tenant", "deleted", "is_busy", "is_under_way"]
