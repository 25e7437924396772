"""The base of kinds whose whole request the author writes: names, role, region, and the description as the result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final

from flytepath.plugin import BlobAccess, Handle, Literal, LiteralType, PlanRequest

from flyte_plugin_sagemaker.boto_call import answer_as_json
from flyte_plugin_sagemaker.kind import Kind
from flyte_plugin_sagemaker.service_request import Filled, filled_request

if TYPE_CHECKING:
    from flyte_plugin_sagemaker.api import Api
    from flyte_plugin_sagemaker.settings import SageMakerSettings

Json = Any
_DICT: Final = LiteralType.dict_of(LiteralType("string"), LiteralType("any"))
_TEXT: Final = LiteralType("string")


class RequestKind(Kind):
    """A kind whose tasks are :class:`~flyte_plugin_sagemaker.service_request.SageMakerTask`."""

    #: Whether ``{idempotence_token}`` in a name stands for the run: a job of the same content is another job.
    is_per_run: ClassVar[bool] = True
    #: Where the settings' execution role goes that a request does not name; empty where there is none.
    role_field: ClassVar[str] = ""
    #: What of the description is the result; empty: all of it.
    result_fields: ClassVar[tuple[str, ...]] = ()

    def request(self, request: PlanRequest, settings: SageMakerSettings) -> dict[str, Json]:
        body = self.filled(request).parameters
        if self.role_field and settings.role_arn:
            body.setdefault(self.role_field, settings.role_arn)
        return body

    def filled(self, request: PlanRequest) -> Filled:
        """The author's parameters with their values."""
        return filled_request(
            request, is_per_run=self.is_per_run, name_field=self.name_field, name_limit=self.name_limit
        )

    def job_name(self, request: PlanRequest, body: Mapping[str, Json]) -> str:
        """The author's, or one made of the key."""
        return str(body.get(self.name_field) or "") or super().job_name(request, body)

    def more(self, request: PlanRequest, settings: SageMakerSettings) -> dict[str, Json]:
        filled = self.filled(request)
        facts = {"region": filled.region, "token": filled.token, "outputs": sorted(request.payload["outputs"])}
        return {name: fact for name, fact in facts.items() if fact}

    def extra(self, spec: Mapping[str, Json] | None, description: Mapping[str, Json]) -> dict[str, Json]:
        # A sweep makes the same handle of what is listed: what is usual is not said.
        outputs = [] if spec is None else spec.get("outputs", [])
        told = {"outputs": outputs} if outputs not in ([], ["result"]) else {}
        return told | ({"token": spec["token"]} if spec is not None and "idempotence_token" in outputs else {})

    def create(self, api: Api, spec: Mapping[str, Json]) -> Mapping[str, Json] | None:
        answer = api.call("sagemaker", self.create_call, **spec["request"])
        # What was made need not be seen at once.
        return {**spec["request"], self.arn_field: answer[self.arn_field]}

    def result(
        self, api: Api, handle: Handle, description: Mapping[str, Json], blobs: BlobAccess
    ) -> Mapping[str, Literal]:
        """``result``, what SageMaker says of it, and ``idempotence_token`` where the task gives it."""
        extra = handle.data.get("extra") or {}
        made = {
            "result": Literal.make(_DICT, self.outcome(api, handle, description)),
            "idempotence_token": Literal.make(_TEXT, extra.get("token", "")),
        }
        return {name: made[name] for name in extra.get("outputs") or ("result",)}

    def outcome(self, api: Api, handle: Handle, description: Mapping[str, Json]) -> dict[str, Json]:
        """The result as JSON."""
        told = answer_as_json(description)
        told.pop("ResponseMetadata", None)
        return {name: told[name] for name in self.result_fields if name in told} if self.result_fields else told
