"""Requests to endpoints: bodies and results with their types, answers through S3, models that fail."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pytest
from flyte_plugin_sagemaker import (
    BotoCallError,
    InferenceResultError,
    ParameterValueError,
    SageMakerInvokeEndpointTask,
)
from flyte_plugin_sagemaker.invoke import InvocationTaskType
from flyte_plugin_sagemaker.testing import SageMakerDouble
from flytepath import FlyteFile, kwtypes
from flytepath.plugin import BackendError, DefinitionError, ErrorClass, Gone, Phase
from flytepath.testing import TaskTypeConformance
from sm_account import IMAGE, Account, account_at

ROLE = "arn:aws:iam::123456789012:role/SageMakerRole"


@pytest.fixture
def aws(sagemaker_double: SageMakerDouble, monkeypatch: pytest.MonkeyPatch) -> SageMakerDouble:
    for name, value in sagemaker_double.environment().items():
        monkeypatch.setenv(name, value)
    sagemaker = sagemaker_double.client("sagemaker")
    sagemaker.create_model(ModelName="m", PrimaryContainer={"Image": IMAGE}, ExecutionRoleArn=ROLE)
    variant = {"VariantName": "v", "ModelName": "m", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    output = {"S3OutputPath": "s3://artifacts/results", "S3FailurePath": "s3://artifacts/failures"}
    sagemaker.create_endpoint_config(EndpointConfigName="plain", ProductionVariants=[variant])
    sagemaker.create_endpoint_config(
        EndpointConfigName="async", ProductionVariants=[variant], AsyncInferenceConfig={"OutputConfig": output}
    )
    for name in ("plain", "async"):
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
        sagemaker_double.services.go("Endpoint", name, "InService")
    return sagemaker_double


def asked(output_type: Any = None, input_type: Any = str, **config: Any) -> SageMakerInvokeEndpointTask:
    return SageMakerInvokeEndpointTask(
        name="ask",
        config={"EndpointName": "plain", "Body": "{inputs.body}", **config},
        inputs=kwtypes(body=input_type),
        output_type=output_type,
    )


@dataclass
class Score:
    label: str
    probability: float


class Odd:
    """What no JSON holds."""


FRAME = pd.DataFrame({"a": [1, 2], "b": [0.5, 1.5]})


@pytest.mark.parametrize(
    ("value", "kind", "content_type", "sent", "told"),
    [
        ("plain", str, "", b"plain", "text/plain"),
        ("1,2\n", str, "text/csv", b"1,2\n", "text/csv"),
        (b"\x00\xff", bytes, "", b"\x00\xff", "application/octet-stream"),
        ({"rows": [1, 2.5]}, dict, "", b'{"rows": [1, 2.5]}', "application/json"),
        ([[1.0, 2.0]], list[list[float]], "text/csv", b"1.0,2.0\n", "text/csv"),
        ([{"a": 1}, {"a": 2}], list[dict[str, int]], "application/jsonlines", b'{"a": 1}\n{"a": 2}\n', ""),
        (FRAME, pd.DataFrame, "", b"1,0.5\n2,1.5\n", "text/csv"),
        (FRAME, pd.DataFrame, "application/json", b'[{"a":1,"b":0.5},{"a":2,"b":1.5}]', "application/json"),
    ],
)
def test_a_body_is_what_its_content_type_says(
    aws: SageMakerDouble, value: Any, kind: Any, content_type: str, sent: bytes, told: str
) -> None:
    seen: list[tuple[bytes, str]] = []
    aws.invocations.model = lambda body, content: seen.append((body, content)) or (b"ok", "text/plain")
    more = {"ContentType": content_type} if content_type else {}
    asked(str, kind, **more)(body=value)
    assert seen == [(sent, told or content_type)]


@pytest.mark.parametrize(
    ("answer", "content_type", "kind", "value"),
    [
        (b"0.5", "text/csv", float, 0.5),
        (b"0.5,0.25\n", "text/csv", list[float], [0.5, 0.25]),
        (b"1,2\n3,4\n", "text/csv", list[list[int]], [[1, 2], [3, 4]]),
        (b'{"a": [1]}', "application/json", dict[str, list[int]], {"a": [1]}),
        (b'{"label": "cat", "probability": 0.5}', "application/json", Score, Score("cat", 0.5)),
        (b'{"a": 1}\n{"a": 2}\n', "application/jsonlines", list[dict[str, int]], [{"a": 1}, {"a": 2}]),
        (b"\xff", "image/png", bytes, b"\xff"),
        ("é".encode(), "text/plain", str, "é"),
    ],
)
def test_a_result_has_the_type_that_the_task_gives(
    aws: SageMakerDouble, answer: bytes, content_type: str, kind: Any, value: Any
) -> None:
    aws.invocations.model = lambda body, content: (answer, content_type)
    assert asked(kind)(body="x") == value


def test_a_result_can_be_a_frame(aws: SageMakerDouble) -> None:
    pd.testing.assert_frame_equal(
        asked(pd.DataFrame, pd.DataFrame)(body=FRAME), FRAME.rename(columns={"a": "0", "b": "1"})
    )


def test_without_a_type_all_that_the_answer_says(aws: SageMakerDouble) -> None:
    aws.invocations.model = lambda body, content: (b'{"score": 1}', "application/json")
    told = asked(CustomAttributes="trace=7", InferenceId="id-1")(body="x")
    assert told["Body"] == {"score": 1}
    assert told["ContentType"] == "application/json"
    assert told["CustomAttributes"] == "trace=7"
    assert told["InvokedProductionVariant"] == "only"
    assert aws.invocations.requests[0]["inference-id"] == "id-1"


def test_a_result_that_is_no_such_value(aws: SageMakerDouble) -> None:
    aws.invocations.model = lambda body, content: (b"<html>", "text/html")
    with pytest.raises(InferenceResultError) as refused:
        asked(list[float])(body="x")
    assert "<html>" in str(refused.value.actual)
    assert refused.value.place == "ask() -> result"


def test_a_model_that_fails_and_an_endpoint_that_is_not_there(aws: SageMakerDouble) -> None:
    def broken(body: bytes, content: str) -> tuple[bytes, str]:
        raise ValueError("no such column")

    aws.invocations.model = broken
    with pytest.raises(BotoCallError, match=r"ModelError: .*no such column"):
        asked()(body="x")
    assert len(aws.invocations.requests) == 1
    with pytest.raises(BotoCallError, match="not found"):
        asked(EndpointName="nothing")(body="x")


def test_a_model_that_is_being_loaded_is_asked_again(aws: SageMakerDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flyte_plugin_sagemaker.boto_call._PAUSE", 0.01)
    aws.faults.refuse("InvokeEndpoint", "ModelNotReadyException", "the model is being loaded", status=429, times=2)
    assert asked(str)(body="x") == "x"
    aws.faults.cut_after("InvokeEndpoint")
    assert asked(str)(body="x") == "x"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: SageMakerInvokeEndpointTask("t", {"Body": "x"}), "needs an EndpointName"),
        (lambda: SageMakerInvokeEndpointTask("t", {"EndpointName": "e"}), "has one body"),
        (lambda: SageMakerInvokeEndpointTask("t", {"EndpointName": "e", "Body": "x"}, wait=False), "always waited"),
        (lambda: asked(Odd), "no answer of a model"),
        (lambda: asked(FlyteFile), "only an asynchronous request"),
        (lambda: asynchronous(Score), "without your classes"),
        (
            lambda: SageMakerInvokeEndpointTask(
                "t", {"EndpointName": "e", "InputLocation": "s3://a/b"}, endpoint_url="http://x"
            ),
            "made by the backend",
        ),
    ],
)
def test_what_can_never_be_asked_is_refused_at_definition(make: Any, words: str) -> None:
    with pytest.raises(DefinitionError, match=words):
        make()


# --- through S3 ---


def asynchronous(output_type: Any = None, wait: bool = True, **config: Any) -> SageMakerInvokeEndpointTask:
    body = config or {"Body": "{inputs.body}"}
    return SageMakerInvokeEndpointTask(
        name="ask",
        config={"EndpointName": "async", **body},
        inputs=kwtypes(body=dict) if "Body" in body else None,
        output_type=output_type,
        asynchronous=True,
        wait=wait,
    )


@pytest.fixture
def account(aws: SageMakerDouble) -> Account:
    return account_at(aws)


def test_a_result_in_s3_is_waited_for(account: Account) -> None:
    invocations = account.double.invocations
    invocations.holds = True
    invocations.model = lambda body, content: (json.dumps({"asked": json.loads(body)}).encode(), "application/json")
    handle = account.submit(asynchronous(dict), body={"x": [1, 2]})
    assert account.look(handle).phase is Phase.RUNNING
    assert invocations.answer() == 1
    assert account.end(handle).phase is Phase.SUCCEEDED
    assert account.outputs(handle)["result"] == {"asked": {"x": [1, 2]}}
    assert invocations.requests[0]["inputlocation"].startswith("s3://artifacts/jobs/inference-inputs/")


def test_without_a_type_it_says_where_everything_lies(account: Account) -> None:
    account.double.client("s3").put_object(Bucket="artifacts", Key="in.csv", Body=b"1,2")
    told = account.result(asynchronous(InputLocation="s3://artifacts/in.csv"))
    assert told["OutputLocation"].startswith("s3://artifacts/results/")
    assert told["FailureLocation"].startswith("s3://artifacts/failures/")
    found = account.double.client("s3").get_object(Bucket="artifacts", Key=told["OutputLocation"][15:])
    assert found["Body"].read() == b"1,2"


@pytest.mark.parametrize(
    ("answer", "kind", "data"),
    [(b"0.5,1.5", list[float], [0.5, 1.5]), (b"7", int, 7), (b"text", str, "text")],
)
def test_a_result_in_s3_has_its_type(account: Account, answer: bytes, kind: Any, data: Any) -> None:
    account.double.invocations.model = lambda body, content: (answer, "text/csv")
    assert account.result(asynchronous(kind), body={}) == data


def test_a_result_in_s3_can_be_the_file_itself(account: Account) -> None:
    handle = account.submit(asynchronous(FlyteFile), body={"a": 1})
    account.end(handle)
    from flytepath.testing import MemoryBlobs

    literal = account.call("collect", handle, MemoryBlobs())["result"]
    assert "s3://artifacts/results/" in json.dumps(literal.to_json())


def test_a_failure_in_s3_is_the_error(account: Account) -> None:
    def broken(body: bytes, content: str) -> tuple[bytes, str]:
        raise ValueError("no such column")

    account.double.invocations.model = broken
    seen = account.end(account.submit(asynchronous(), body={}))
    assert (seen.phase, seen.error_class) == (Phase.FAILED, ErrorClass.USER)
    assert "no such column" in seen.reason


def test_an_endpoint_that_goes_away_is_not_waited_for(account: Account) -> None:
    account.double.invocations.holds = True
    handle = account.submit(asynchronous(), body={})
    assert account.look(handle).phase is Phase.RUNNING
    del account.double.services.things["Endpoint", "async"]
    seen = account.look(handle)
    assert (seen.phase, seen.raw_state) == (Phase.FAILED, "EndpointGone")


def test_without_waiting_it_is_done_when_it_is_taken(account: Account) -> None:
    account.double.invocations.holds = True
    assert account.result(asynchronous(wait=False), body={})["OutputLocation"]


def test_an_abort_takes_nothing_back_and_waits_for_nothing(account: Account) -> None:
    account.double.invocations.holds = True
    plan = account.plan(asynchronous(), body={})
    handle = account.call("submit", plan)
    assert isinstance(account.call("cancel", plan.key, handle, "enough"), Gone)


def test_what_cannot_be_asked_asynchronously(account: Account) -> None:
    with pytest.raises(ParameterValueError, match="lies in S3"):
        account.plan(asynchronous(InputLocation="/tmp/x"))
    with pytest.raises(ParameterValueError, match="nothing says where"):
        Account(account.double, output_path="").plan(asynchronous(), body={})
    with pytest.raises(BackendError, match="asynchronous"):
        config = {"EndpointName": "plain", "InputLocation": "s3://artifacts/in"}
        account.submit(SageMakerInvokeEndpointTask("t", config))


class TestInvocationTaskType(TaskTypeConformance):
    task_type = InvocationTaskType
    name = "sagemaker-invocation"
    calls_body = False

    def config_samples(self) -> list[Any]:
        return [asked().task_config, asked(list[float], ContentType="text/csv").task_config]

    def declaration(self, config: Any) -> Any:
        from dataclasses import replace

        return replace(super().declaration(config), body="none")
