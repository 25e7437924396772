"""``BotoTask``: calls of real boto3 against moto, and what happens when a call is refused, lost, or asked too often."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from boto_answers import Answer, Answers, answering, refusal
from flyte_plugin_sagemaker import (
    BotoAccessError,
    BotoCallError,
    BotoConfig,
    BotoOutcomeUnknownError,
    BotoParameterError,
    BotoTask,
    BotoUnavailableError,
    MissingBotoError,
    ParameterValueError,
    SageMakerDescribeProcessingJobTask,
)
from flyte_plugin_sagemaker.boto_call import TRIES, Call, make_call
from flyte_plugin_sagemaker.boto_task import BotoTaskType
from flyte_plugin_sagemaker.plain_values import literal_value, plain_value
from flyte_plugin_sagemaker.testing import SageMakerDouble
from flytepath import FlyteFile, ImageSpec, Secret, TypeEngine, kwtypes, map_task, workflow
from flytepath.plugin import DefinitionError
from flytepath.testing import MemoryBlobs, TaskTypeConformance


@pytest.fixture
def aws(sagemaker_double: SageMakerDouble, monkeypatch: pytest.MonkeyPatch) -> SageMakerDouble:
    for name, value in sagemaker_double.environment().items():
        monkeypatch.setenv(name, value)
    return sagemaker_double


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Answers]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATESTS")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "tests")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with answering() as told:
        yield told


put = BotoTask(
    name="put",
    task_config=BotoConfig(
        "s3", "put_object", {"Bucket": "artifacts", "Key": "{inputs.key}.json", "Body": "{inputs.body}"}
    ),
    inputs=kwtypes(key=str, body=str),
)
get = BotoTask(
    name="get",
    task_config=BotoConfig("s3", "get_object", {"Bucket": "artifacts", "Key": "{inputs.key}"}),
    inputs=kwtypes(key=str),
)
listed = BotoTask(
    name="listed",
    task_config=BotoConfig(
        "s3", "list_objects_v2", {"Bucket": "artifacts", "PaginationConfig": {"PageSize": 2}}, paginate=True
    ),
)


@workflow
def round_trip(body: str) -> dict:
    first = put(key="a b{inputs.body}", body=body)
    second = get(key="a b{inputs.body}.json")
    first >> second
    return second.result


def test_a_call_is_made_and_its_answer_is_data(aws: SageMakerDouble) -> None:
    hostile = "é {inputs.key} {{idempotence_token}} %s {0.__class__}"
    answer = round_trip(body=hostile)
    assert answer["Body"] == hostile
    assert answer["ContentLength"] == len(hostile.encode())
    assert answer["LastModified"].startswith("20")
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_a_file_is_where_it_lies(aws: SageMakerDouble) -> None:
    put(key="mine", body="{}")
    file = FlyteFile("s3://artifacts/mine.json")
    literal = TypeEngine.to_literal(file, FlyteFile, MemoryBlobs())
    received = TypeEngine.to_python_value(literal, FlyteFile, MemoryBlobs())
    assert {plain_value(one, "x") for one in (file, received)} == {"s3://artifacts/mine.json"}
    assert literal_value(literal, "x") == "s3://artifacts/mine.json"


def test_calls_of_a_map_are_calls_of_their_own(aws: SageMakerDouble) -> None:
    map_task(put)(key=["1", "2", "3"], body=["a", "b", "c"])
    keys = [each["Key"] for each in listed().result["Contents"]]
    assert keys == ["1.json", "2.json", "3.json"]


def test_the_services_own_code_and_words_are_told(aws: SageMakerDouble) -> None:
    with pytest.raises(BotoCallError, match="NoSuchKey") as refused:
        get(key="nothing")
    assert refused.value.place == "get"
    describe = SageMakerDescribeProcessingJobTask("d", {"ProcessingJobName": "{inputs.job}"}, inputs=kwtypes(job=str))
    with pytest.raises(BotoCallError, match="Could not find requested job"):
        describe(job="nothing")


def test_a_token_is_an_output_and_names_what_is_made(aws: SageMakerDouble) -> None:
    named = BotoTask(
        name="named",
        task_config=BotoConfig(
            "s3", "put_object", {"Bucket": "artifacts", "Key": "{idempotence_token}", "Body": "{inputs.body}"}
        ),
        inputs=kwtypes(body=str),
    )
    first, again, other = named(body="a"), named(body="a"), named(body="b")
    assert first.idempotence_token == again.idempotence_token != other.idempotence_token
    assert get(key=first.idempotence_token).result["Body"] == "a"
    assert put(key="x", body="y").idempotence_token == ""


def test_a_region_and_a_key_of_secrets(aws: SageMakerDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("_FSEC_AWS_ID", "AKIASECRET")
    monkeypatch.setenv("_FSEC_AWS_KEY", "swordfish")
    described = BotoTask(
        name="described",
        task_config=BotoConfig(
            "sagemaker",
            "create_model",
            {"ModelName": "m", "PrimaryContainer": {"Image": "{images.x}"}, "ExecutionRoleArn": "{inputs.role}"},
            images={"x": ImageSpec(name="server", registry="ghcr.io/acme")},
            access_key_id=Secret("aws", "id"),
            secret_access_key=Secret("aws", "key"),
        ),
        inputs=kwtypes(role=str, region=str),
    )
    answer = described(role="arn:aws:iam::123456789012:role/SageMakerRole", region="eu-west-2")
    assert ":eu-west-2:" in answer.result["ModelArn"]
    assert aws.services.get("Model", "m").request["PrimaryContainer"]["Image"].startswith("ghcr.io/acme/server")
    with pytest.raises(BotoAccessError, match="NoCredentials"):
        get(key="x")


@pytest.mark.parametrize(
    ("service", "method", "config", "kind", "words"),
    [
        ("s3", "put_objekt", {}, BotoParameterError, "no method"),
        ("s3", "get_objekt", {}, BotoParameterError, "is it get_object"),
        ("s3", "meta", {}, BotoParameterError, "no method"),
        ("s3", "put_object", {}, BotoParameterError, "Missing required parameter"),
        ("s3", "generate_presigned_url", {"Methode": "x"}, BotoParameterError, "Methode|ClientMethod"),
        ("sagemakr", "x", {}, BotoParameterError, "boto3 knows no service 'sagemakr'(.|\n)*is it sagemaker"),
        ("s3", "get_object", {"Bucket": "b"}, BotoParameterError, "Missing required parameter"),
        ("s3", "get_object", {"Bucket": "b", "Key": 1}, BotoParameterError, "Invalid type"),
    ],
)
def test_parameters_that_fit_no_operation(
    aws: SageMakerDouble, service: str, method: str, config: dict[str, Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        BotoTask(name="odd", task_config=BotoConfig(service, method, config))()


def test_a_method_of_boto3s_own_tells_the_services_words(aws: SageMakerDouble) -> None:
    asked = {"Filename": __file__, "Bucket": "none-of-that-name", "Key": "k"}
    with pytest.raises(BotoCallError, match="NoSuchBucket"):
        BotoTask(name="odd", task_config=BotoConfig("s3", "upload_file", asked))()
    BotoTask(name="even", task_config=BotoConfig("s3", "upload_file", {**asked, "Bucket": "artifacts"}))()


def test_a_refusal_is_no_story_of_boto3s_insides(aws: SageMakerDouble) -> None:
    with pytest.raises(BotoCallError) as refused:
        get(key="nothing-there")
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


def test_boto3_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(MissingBotoError) as refused:
        listed()
    assert "pip install flyte-plugin-sagemaker" in str(refused.value.hint)


def test_to_define_a_task_imports_neither_boto3_nor_pandas() -> None:
    code = (
        "import sys, flyte_plugin_sagemaker as s\n"
        "s.BotoTask('t', s.BotoConfig('s3', 'list_buckets', {}))\n"
        "s.SageMakerModelTask('m', {'PrimaryContainer': {'Image': 'x'}})\n"
        "s.SageMakerInvokeEndpointTask('i', {'EndpointName': 'e', 'Body': 'x'}, output_type=dict)\n"
        "s.create_sagemaker_deployment\n"
        "print(sorted({'boto3', 'botocore', 'pandas', 'moto'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_region_that_nobody_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    with pytest.raises(BotoParameterError, match="region") as refused:
        BotoTask(name="nowhere", task_config=BotoConfig("sagemaker", "list_models", {}))()
    assert "AWS_DEFAULT_REGION" in str(refused.value.hint)


@pytest.mark.parametrize(
    ("code", "kind"),
    [("AccessDeniedException", BotoAccessError), ("ExpiredTokenException", BotoAccessError), ("Odd", BotoCallError)],
)
def test_a_refusal_is_told_and_not_repeated(service: Answers, code: str, kind: type[Exception]) -> None:
    service.answers = [refusal(code, "you may not")]
    with pytest.raises(kind, match=f"{code}: you may not"):
        make_call(Call("sagemaker", "list_models", endpoint_url=service.url), {}, place="t")
    assert len(service.requests) == 1


def test_what_is_out_of_reach_is_the_systems_to_repeat(service: Answers) -> None:
    waits: list[float] = []
    call = Call("sagemaker", "create_model", endpoint_url="http://127.0.0.1:1")
    with pytest.raises(BotoUnavailableError, match="EndpointConnectionError") as refused:
        make_call(call, {"ModelName": "m"}, place="t", sleep=waits.append)
    assert refused.value.blame == "system"
    assert len(waits) == TRIES - 1


def test_a_rate_that_is_exceeded_is_waited_for_as_long_as_the_service_says(service: Answers) -> None:
    service.answers = [refusal("ThrottlingException", Retry_After="3"), refusal("SlowDown"), Answer({"ModelArn": "a"})]
    waits: list[float] = []
    call = Call("sagemaker", "create_model", endpoint_url=service.url)
    assert make_call(call, {"ModelName": "m"}, place="t", sleep=waits.append)["ModelArn"] == "a"
    assert waits[0] >= 3.0
    assert len(service.requests) == 3


@pytest.mark.parametrize("answer", [Answer(cut=True), refusal("InternalFailure", status=500)])
def test_a_call_that_was_sent_and_lost_is_not_made_twice(service: Answers, answer: Answer) -> None:
    service.answers = [answer]
    with pytest.raises(BotoOutcomeUnknownError, match="must not be sent twice"):
        make_call(Call("sagemaker", "create_model", endpoint_url=service.url), {"ModelName": "m"}, place="t", sleep=len)
    assert len(service.requests) == 1


@pytest.mark.parametrize("answer", [Answer(cut=True), refusal("InternalFailure", status=500)])
def test_a_call_that_only_reads_is_made_again(service: Answers, answer: Answer) -> None:
    service.answers = [answer, answer, Answer({"Models": []})]
    waits: list[float] = []
    got = make_call(Call("sagemaker", "list_models", endpoint_url=service.url), {}, place="t", sleep=waits.append)
    assert got["Models"] == []
    assert len(service.requests) == 3


def test_a_call_with_a_token_is_made_again_with_the_same_one(service: Answers) -> None:
    service.answers = [Answer(cut=True), Answer({"PipelineArn": "a"})]
    call = Call("sagemaker", "create_pipeline", endpoint_url=service.url)
    given = {"PipelineName": "p", "RoleArn": "arn:aws:iam::123456789012:role/SageMakerRole", "PipelineDefinition": "{}"}
    make_call(call, given, place="t", seed="execution/node", sleep=lambda _: None)
    tokens = {one["body"]["ClientRequestToken"] for one in service.requests}
    assert len(tokens) == 1
    make_call(call, given, place="t", seed="execution/node")
    make_call(call, given, place="t", seed="execution/other")
    make_call(call, {**given, "PipelineName": "q"}, place="t", seed="execution/node")
    make_call(call, {**given, "ClientRequestToken": "x" * 36}, place="t", seed="execution/node")
    seen = [one["body"]["ClientRequestToken"] for one in service.requests[2:]]
    assert seen[0] in tokens  # whoever repeats the attempt makes the same call
    assert not tokens & set(seen[1:])
    assert seen[-1] == "x" * 36


def test_none_leaves_a_parameter_out(service: Answers) -> None:
    task = BotoTask(
        name="optional",
        task_config=BotoConfig(
            "sagemaker",
            "list_models",
            {"NameContains": "{inputs.part}", "MaxResults": "{inputs.most}"},
            endpoint_url=service.url,
        ),
        inputs={"part": str | None, "most": int},
    )
    task(part=None, most=3)
    assert service.requests[0]["body"] == {"MaxResults": 3}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: BotoTask("t", BotoConfig("s3", "x", {"a": "{inputs.y}"})), "names no input"),
        (lambda: BotoTask("t", {"service": "s3"}), "configured by BotoConfig"),  # type: ignore[arg-type]
        (lambda: BotoConfig("", "x", {}), "the service is its name"),
        (lambda: BotoConfig("s3", "_private", {}), "the method is its name"),
        (lambda: BotoConfig("s3", "x", []), "parameters by name"),  # type: ignore[arg-type]
        (lambda: BotoConfig("s3", "x", {}, access_key_id="AKIA"), "an id and a secret"),  # type: ignore[arg-type]
        (
            lambda: BotoConfig("s3", "x", {}, access_key_id="AKIA", secret_access_key="x"),  # type: ignore[arg-type]
            "never written down",
        ),
        (lambda: BotoTask("t", BotoConfig("s3", "x", {}, images={"a": ImageSpec(name="n")})), "with a registry"),
    ],
)
def test_what_can_never_be_called_is_refused_at_definition(make: Any, words: str) -> None:
    with pytest.raises(DefinitionError, match=words):
        make()


def test_a_value_that_cannot_stand_where_it_is_put(aws: SageMakerDouble) -> None:
    task = BotoTask(
        name="t",
        task_config=BotoConfig("s3", "get_object", {"Bucket": "b", "Key": "x-{inputs.keys}"}),
        inputs=kwtypes(keys=list[str]),
    )
    with pytest.raises(ParameterValueError) as refused:
        task(keys=["a"])
    assert refused.value.place == "t(config)['Key']"


class TestBotoTaskType(TaskTypeConformance):
    task_type = BotoTaskType
    name = "boto"
    calls_body = False

    def config_samples(self) -> list[BotoConfig]:
        return [
            BotoConfig("s3", "list_buckets", {}),
            BotoConfig(
                "sagemaker",
                "create_model",
                {"ModelName": "{inputs.x}", "Containers": ({"Image": "{images.a}"},)},
                "eu-west-1",
                {"a": "ghcr.io/a:1"},
                "http://127.0.0.1:1",
                "arn:aws:iam::123456789012:role/r",
                Secret("a", "b"),
                Secret("a", "c"),
                Secret("a", "d"),
            ),
        ]

    def declaration(self, config: Any) -> Any:
        from dataclasses import replace

        return replace(super().declaration(config), body="none")
