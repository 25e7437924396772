"""The table ``[backends.sagemaker]``: the account, where it is, and what a job has that its task does not say."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Self

from flytepath.plugin import SecretReference
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from flyte_plugin_sagemaker.errors import SageMakerSettingsError

_ROLE: Final = re.compile(r"arn:aws[a-z\-]*:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+")
_URL: Final = re.compile(r"https?://[^\s/?#]+(/\S*)?")
_S3: Final = re.compile(r"s3://[^/]+(/.*)?")
#: What AWS lets stand in a tag.
_TAG: Final = re.compile(r"[\w\s.:/=+\-@]*")


class SageMakerSettings(BaseModel):
    """What ``[backends.sagemaker]`` may say.

    Attributes:
        region: the AWS region; without it ``AWS_REGION``, ``AWS_DEFAULT_REGION`` or the profile say it.
        endpoint_url: where SageMaker is, for a private endpoint or a double; S3 and CloudWatch Logs then are there too
            unless ``endpoint_urls`` says otherwise.
        endpoint_urls: by service (``sagemaker``, ``sagemaker-runtime``, ``s3``, ``logs``).
        access_key_id, secret_access_key, session_token: credentials as references to secrets; without them boto3's own
            chain finds some (variables, profile, the machine's role).
        profile: of the AWS configuration files.
        role_arn: the execution role that SageMaker assumes for jobs that name none.
        image: the container image of Python tasks that name none.
        output_path: ``s3://bucket/prefix`` for what SageMaker writes itself: model artifacts and checkpoints.
        instance_type, volume_gb: of training jobs that say nothing else.
        max_runtime_seconds: of jobs without a timeout of their own; at most 28 days.
        spot_wait_seconds: how long a spot job may wait for machines, over its run time.
        tags: put on everything made, beside our own.
        subnets, security_group_ids: the VPC of jobs, both or none.
        volume_kms_key, output_kms_key: keys that encrypt volumes and outputs.
        encrypt_traffic: between the machines of one job.
        environment: variables of every Python task's container.
        describes_per_second: how many jobs are looked at in a second; AWS throttles an account as a whole.
        connect_seconds, read_seconds: how long a connection and an answer are waited for.

    Example:
        >>> SageMakerSettings(region="eu-west-1", output_path="s3://models/").output_path
        's3://models'
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    region: str = ""
    endpoint_url: str = ""
    endpoint_urls: Mapping[str, str] = Field(default_factory=dict)
    access_key_id: SecretReference | None = None
    secret_access_key: SecretReference | None = None
    session_token: SecretReference | None = None
    profile: str = ""
    role_arn: str = ""
    image: str = ""
    output_path: str = ""
    instance_type: Annotated[str, Field(pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9-]+$")] = "ml.m5.large"
    volume_gb: Annotated[int, Field(ge=1)] = 30
    max_runtime_seconds: Annotated[int, Field(ge=1, le=28 * 86_400)] = 86_400
    spot_wait_seconds: Annotated[int, Field(ge=0)] = 86_400
    tags: Mapping[str, str] = Field(default_factory=dict)
    subnets: tuple[str, ...] = ()
    security_group_ids: tuple[str, ...] = ()
    volume_kms_key: str = ""
    output_kms_key: str = ""
    encrypt_traffic: bool = False
    environment: Mapping[str, str] = Field(default_factory=dict)
    describes_per_second: Annotated[float, Field(gt=0)] = 10.0
    connect_seconds: Annotated[float, Field(gt=0)] = 10.0
    read_seconds: Annotated[float, Field(gt=0)] = 30.0

    @field_validator("role_arn")
    @classmethod
    def _is_role(cls, value: str) -> str:
        if value and not _ROLE.fullmatch(value):
            raise ValueError("expected arn:aws:iam::123456789012:role/NAME")
        return value

    @field_validator("output_path")
    @classmethod
    def _is_s3(cls, value: str) -> str:
        if value and not _S3.fullmatch(value):
            raise ValueError("expected s3://bucket/prefix")
        return value.rstrip("/")

    @field_validator("endpoint_url")
    @classmethod
    def _is_url(cls, value: str) -> str:
        if value and not _URL.fullmatch(value):
            raise ValueError("expected https://host")
        return value

    @field_validator("endpoint_urls")
    @classmethod
    def _are_urls(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        for service, url in value.items():
            if not _URL.fullmatch(url):
                raise ValueError(f"{service}: expected https://host")
        return value

    @model_validator(mode="after")
    def _are_pairs(self) -> Self:
        for one, other in (("access_key_id", "secret_access_key"), ("subnets", "security_group_ids")):
            if bool(getattr(self, one)) != bool(getattr(self, other)):
                raise ValueError(f"{one} and {other} are given together, or neither is")
        return self

    @field_validator("tags")
    @classmethod
    def _are_tags(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        for name, text in value.items():
            if not 1 <= len(name) <= 128 or len(text) > 256 or not _TAG.fullmatch(name) or not _TAG.fullmatch(text):
                raise ValueError(f"{name!r} is no tag of AWS: 128 and 256 letters, digits, spaces and . : / = + - @ _")
            if name.lower().startswith(("aws:", "flytepath:")):
                raise ValueError(f"{name!r}: tags of aws: and flytepath: are not for settings")
        if len(value) > _OWN_TAGS:
            raise ValueError(f"at most {_OWN_TAGS} tags: AWS takes 50, and some are FlytePath's")
        return value

    def endpoint_of(self, service: str) -> str | None:
        """The URL of a service, where one is configured."""
        return self.endpoint_urls.get(service) or self.endpoint_url or None


_OWN_TAGS: Final = 30


def read_settings(values: Mapping[str, Any]) -> SageMakerSettings:
    """The settings of a table.

    Raises:
        SageMakerSettingsError: the first thing that is wrong with it, without any value.

    Example:
        >>> read_settings({"region": "eu-west-1"}).region
        'eu-west-1'
    """
    try:
        return SageMakerSettings(**values)
    except ValueError as error:  # pydantic's is one
        findings = getattr(error, "errors", None)
        first = findings(include_url=False, include_input=False)[0] if callable(findings) else None
        where = ".".join(str(part) for part in first["loc"]) if first else ""
        what, hint = first["msg"] if first else "they cannot be read", None
        if first and first["type"] == "extra_forbidden":
            near = difflib.get_close_matches(where, SageMakerSettings.model_fields, 1)
            what, hint = "there is no such setting", f"is it {near[0]}?" if near else None
        raise SageMakerSettingsError(
            f"the settings of backend sagemaker are wrong: {what}",
            place=f"backends.sagemaker.{where}" if where else "backends.sagemaker",
            hint=hint,
        ) from None


__all__ = ["SageMakerSettings", "read_settings"]
