"""A Spark task as an application of the Spark operator: what is asked for, what its states mean, and one that runs."""

from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import flyte_plugin_spark.spark_driver as driver_program
import pytest
from flyte_plugin_kubernetes.testing import ApiServer, Cluster
from flyte_plugin_spark import Spark
from flyte_plugin_spark.operator_backend import SparkOperatorBackend, check_request
from flyte_plugin_spark.operator_settings import SparkOperatorSettings
from flyte_plugin_spark.task import SparkTaskType
from flytepath import FlytePath, PodTemplate, Resources
from flytepath.plugin import (
    DefinitionError,
    ErrorClass,
    JobKey,
    Observation,
    Owner,
    Phase,
    PlanRequest,
    SecretReference,
    TaskDeclaration,
    Tenant,
    WorkerLaunch,
)
from flytepath.testing import run_unblocked
from spark_operator_double import SparkOperatorDouble

Json = dict[str, Any]

WORKER = WorkerLaunch(
    ("python", "-m", "flytepath.worker", "--attempt", "s3://bucket/attempt-$(X)"),
    {"HOME": "/home/u", "PRICE": "$(5)"},
    "example.com/team/spark:4",
    None,
    "s3://bucket/attempt",
    "s3://bucket/outputs",
)


def request(config: Spark | None = None, **changes: Any) -> PlanRequest:
    declaration = TaskDeclaration(name="flow.count", config=config or Spark())
    made = PlanRequest(
        key=JobKey("sha256:" + "ab" * 32),
        owner=Owner("installation-1", Tenant("vision", "production"), "e1", "n0"),
        task="flow.count",
        task_type="spark",
        payload=SparkTaskType().compile(declaration),
        inputs={},
        requests=Resources(),
        limits=Resources(),
        worker=WORKER,
        body="function",
    )
    return replace(made, **changes)


def backend(**settings: Any) -> SparkOperatorBackend:
    return SparkOperatorBackend(SparkOperatorSettings(**settings))


def spec_of(asked: PlanRequest, **settings: Any) -> Json:
    found: Json = backend(**settings).plan(asked).spec["spec"]
    return found


def container(role: Json) -> Json:
    found: Json = role["template"]["spec"]["containers"][0]
    return found


# --- what is asked for ---


def test_an_attempt_is_an_application_that_nobody_starts_again() -> None:
    plan = backend().plan(request())
    thing = plan.spec
    assert (thing["apiVersion"], thing["kind"]) == ("sparkoperator.k8s.io/v1beta2", "SparkApplication")
    assert thing["metadata"]["namespace"] == "vision-production"
    assert len(plan.external_name) <= 44
    spec = thing["spec"]
    assert (spec["type"], spec["mode"]) == ("Python", "cluster")
    assert spec["restartPolicy"] == {"type": "Never"}
    assert spec["mainApplicationFile"] == "local:///usr/local/bin/flytepath-spark-driver.py"
    assert spec["arguments"][:3] == ["python", "-m", "flytepath.worker"]
    assert spec["arguments"][-1] == "s3://bucket/attempt-$$(X)"
    assert spec["executor"]["instances"] == 1
    for role, name in (("driver", "spark-kubernetes-driver"), ("executor", "spark-kubernetes-executor")):
        assert container(spec[role])["name"] == name
        assert "command" not in container(spec[role])
        assert spec[role]["image"] == "example.com/team/spark:4"
        assert spec[role]["template"]["metadata"]["labels"].items() >= thing["metadata"]["labels"].items()
    variables = {one["name"]: one["value"] for one in container(spec["driver"])["env"]}
    assert variables == {"HOME": "/home/u", "PRICE": "$$(5)"}


def test_the_same_request_gives_the_same_plan() -> None:
    asked = request(Spark(spark_conf={"spark.b": "1", "spark.a": "2"}))
    assert backend().plan(asked) == backend().plan(asked)


def test_settings_of_the_task_are_those_of_the_application() -> None:
    config = Spark(
        spark_conf={"spark.executor.instances": "3", "spark.executor.memory": "2g"},
        hadoop_conf={"fs.s3a.endpoint": "http://minio"},
        executor_path="/opt/python",
        applications_path="local:///opt/app.py",
    )
    spec = spec_of(request(config), service_account="spark", image_pull_secrets=("pull",), keep_finished=60)
    assert spec["sparkConf"] == {
        "spark.executor.instances": "3",
        "spark.executor.memory": "2g",
        "spark.pyspark.python": "/opt/python",
    }
    assert spec["hadoopConf"] == {"fs.s3a.endpoint": "http://minio"}
    assert spec["mainApplicationFile"] == "local:///opt/app.py"
    assert "instances" not in spec["executor"]
    assert spec["driver"]["serviceAccount"] == "spark"
    assert spec["imagePullSecrets"] == ["pull"]
    assert spec["timeToLiveSeconds"] == 60


def test_resources_are_the_drivers_and_a_pod_is_as_large_as_it_was_asked_for() -> None:
    sized = request(requests=Resources(cpu="1500m", mem="2Gi", gpu="1"), limits=Resources(cpu="2", mem="2Gi", gpu="1"))
    spec = spec_of(sized)
    driver = spec["driver"]
    assert (driver["cores"], driver["coreRequest"], driver["coreLimit"]) == (2, "1500m", "2")
    heap, overhead = int(driver["memory"][:-1]), int(driver["memoryOverhead"][:-1])
    assert heap + overhead == 2048
    assert overhead >= 384
    assert container(driver)["resources"] == {"requests": {"nvidia.com/gpu": "1"}, "limits": {"nvidia.com/gpu": "1"}}
    assert not {"cores", "memory", "coreRequest"} & spec["executor"].keys()
    said = spec_of(replace(sized, payload=request(Spark(spark_conf={"spark.driver.memory": "1g"})).payload))
    assert "memory" not in said["driver"]


def test_too_little_memory_is_refused() -> None:
    with pytest.raises(DefinitionError, match="so little memory"):
        spec_of(request(requests=Resources(mem="500Mi")))


def test_pods_are_merged_under_the_names_that_spark_looks_for() -> None:
    pod = {
        "containers": [
            {"name": "main", "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}], "command": ["x"]},
            {"name": "log", "image": "busybox"},
        ],
        "volumes": [{"name": "scratch", "emptyDir": {}}],
        "serviceAccountName": "driver-account",
    }
    executor = {
        "containers": [{"name": "primary", "resources": {"requests": {"cpu": "2", "memory": "4Gi"}}}],
        "nodeSelector": {"disk": "ssd"},
    }
    config = Spark(
        driver_pod=PodTemplate(pod_spec=pod, primary_container_name="main", labels={"team": "a"}),
        executor_pod=PodTemplate(pod_spec=executor),
    )
    spec = spec_of(request(config, secrets=(SecretReference("db", "password"),), variables={"MODE": "fast"}))
    driver = spec["driver"]
    assert driver["serviceAccount"] == "driver-account"
    assert driver["template"]["metadata"]["labels"]["team"] == "a"
    names = [one["name"] for one in driver["template"]["spec"]["containers"]]
    assert names == ["spark-kubernetes-driver", "log"]
    main = container(driver)
    assert main["volumeMounts"][0]["mountPath"] == "/scratch"
    assert "command" not in main
    assert "_FSEC_DB_PASSWORD" in {one["name"] for one in main["env"]}
    made = spec["executor"]
    assert (made["cores"], made["coreRequest"]) == (2, "2")
    assert int(made["memory"][:-1]) + int(made["memoryOverhead"][:-1]) == 4096
    assert made["template"]["spec"]["nodeSelector"] == {"disk": "ssd"}
    assert {one["name"] for one in container(made)["env"]} == {"MODE"}
    assert "resources" not in container(made)


@pytest.mark.parametrize("name", ["spark.master", "spark.kubernetes.driver.pod.name", "spark.kubernetes.namespace"])
def test_what_the_operator_decides_is_refused(name: str) -> None:
    value = "local[2]" if name == "spark.master" else "x"
    with pytest.raises(DefinitionError, match=f"the operator decides {name}"):
        check_request(request(Spark(spark_conf={name: value})), {"image": "i"})


def test_what_can_be_no_application_is_refused_when_it_is_compiled() -> None:
    with pytest.raises(DefinitionError, match="runs Spark tasks"):
        check_request(request(task_type="python"), {})
    with pytest.raises(DefinitionError, match="has no image"):
        check_request(request(worker=replace(WORKER, image="")), {})
    with pytest.raises(DefinitionError, match="settings of backend spark-operator are wrong"):
        check_request(request(), {"executors": 0})
    check_request(request(worker=replace(WORKER, image="")), {"image": "example.com/spark:4"})


# --- what its states mean ---


@pytest.mark.parametrize(
    ("state", "message", "phase", "error_class"),
    [
        ("", "", Phase.QUEUED, None),
        ("NEW", "", Phase.QUEUED, None),
        ("SUBMITTED", "", Phase.INITIALIZING, None),
        ("RUNNING", "", Phase.RUNNING, None),
        ("SUCCEEDING", "", Phase.RUNNING, None),
        ("FAILING", "", Phase.RUNNING, None),
        ("UNKNOWN", "", Phase.RUNNING, None),
        ("INVALIDATING", "", Phase.QUEUED, None),
        ("PENDING_RERUN", "", Phase.QUEUED, None),
        ("SUSPENDING", "", Phase.QUEUED, None),
        ("SUSPENDED", "", Phase.QUEUED, None),
        ("RESUMING", "", Phase.QUEUED, None),
        ("COMPLETED", "", Phase.SUCCEEDED, None),
        ("FAILED", "driver container failed with ExitCode: 1", Phase.FAILED, ErrorClass.USER),
        ("FAILED", "driver pod not found", Phase.FAILED, ErrorClass.LOST),
        ("SUBMISSION_FAILED", "failed to run spark-submit: bad option", Phase.FAILED, ErrorClass.INVALID),
        (
            "FAILED",
            "failed to submit SparkApplication: pods is forbidden: exceeded quota",
            Phase.FAILED,
            ErrorClass.QUOTA_EXCEEDED,
        ),
        ("FAILED", "failed to run spark-submit: connection refused", Phase.FAILED, ErrorClass.TRANSIENT),
        ("DREAMING", "", None, None),
    ],
)
def test_each_state_means_something(
    api_server: ApiServer, tmp_path: Path, state: str, message: str, phase: Phase | None, error_class: ErrorClass | None
) -> None:
    found, handle, place = submitted(api_server, tmp_path)
    if state:
        told = {"state": state, "errorMessage": message} if message else {"state": state}
        status = {"status": {"applicationState": told, "driverInfo": {}}}
        api_server.custom().patch_namespaced_custom_object_status(*place, status)
    seen = run_unblocked(found.poll([handle]))[handle]
    assert isinstance(seen, Observation)
    assert (seen.phase, seen.error_class) == (phase, error_class)
    if message:
        assert message in seen.reason


def submitted(server: ApiServer, folder: Path) -> tuple[SparkOperatorBackend, Any, tuple[str, ...]]:
    install(server)
    server.create_namespace("vision-production")
    found = backend(kubeconfig=str(server.kubeconfig(folder / "kubeconfig")))
    plan = found.plan(request())
    handle = run_unblocked(found.submit(plan))
    return (
        found,
        handle,
        ("sparkoperator.k8s.io", "v1beta2", "vision-production", "sparkapplications", plan.external_name),
    )


def install(server: ApiServer) -> None:
    from flyte_plugin_kubernetes.testing import definition_files, definitions_folder

    folder = definitions_folder(Path(__file__))
    files = [] if folder is None else definition_files(folder, "sparkoperator.k8s.io")
    if not files:
        pytest.skip("no CustomResourceDefinitions of sparkoperator.k8s.io: FLYTEPATH_TEST_CRDS names no folder")
    for file in files:
        server.install(file)


def test_executors_that_fail_do_not_speak_for_the_job(api_server: ApiServer, tmp_path: Path) -> None:
    found, handle, place = submitted(api_server, tmp_path)
    labels = found.plan(request()).spec["metadata"]["labels"]
    for role, code in (("executor", 137), ("driver", 3)):
        name = f"{place[-1]}-{role}"
        body = {
            "metadata": {"name": name, "labels": {**labels, "spark-role": role}},
            "spec": {"containers": [{"name": role, "image": "i"}]},
        }
        api_server.core().create_namespaced_pod("vision-production", body)
        ended = {"terminated": {"exitCode": code, "reason": "Error", "finishedAt": f"2030-01-01T00:00:0{code % 10}Z"}}
        one = {"name": role, "image": "i", "imageID": "", "ready": False, "restartCount": 0, "state": ended}
        status = {"status": {"phase": "Failed", "containerStatuses": [one]}}
        api_server.core().patch_namespaced_pod_status(name, "vision-production", status)
    told = {"applicationState": {"state": "FAILED", "errorMessage": "driver failed"}, "driverInfo": {}}
    api_server.custom().patch_namespaced_custom_object_status(*place, {"status": told})
    seen = run_unblocked(found.poll([handle]))[handle]
    assert isinstance(seen, Observation)
    assert seen.exit_code == 3


def test_an_operator_that_is_not_installed_is_named(api_server: ApiServer, tmp_path: Path) -> None:
    from flytepath.plugin import BackendError

    api_server.create_namespace("vision-production")
    found = backend(kubeconfig=str(api_server.kubeconfig(tmp_path / "kubeconfig")))
    with pytest.raises(BackendError, match="the Spark operator"):
        run_unblocked(found.submit(found.plan(request())))


# --- one that runs ---

FLOW = """
    import os

    import pandas as pd
    from flyte_plugin_spark import Spark
    from flytepath import Resources, Secret, current_context, task, workflow
    from pyspark.sql import DataFrame
    from pyspark.sql import functions as F

    import operator_rates


    @task
    def given() -> pd.DataFrame:
        return pd.DataFrame({"n": range(10)})


    @task(
        task_config=Spark(spark_conf={"spark.sql.shuffle.partitions": "1"}),
        backend="spark-operator",
        requests=Resources(cpu="1", mem="1Gi"),
        secret_requests=[Secret("db", "password")],
        environment={"FACTOR": "3"},
    )
    def tripled(frame: DataFrame) -> DataFrame:
        session = current_context().spark_session
        assert "PYSPARK_GATEWAY_PORT" in os.environ
        assert session.sparkContext.appName.startswith("tripled-"), session.sparkContext.appName
        assert session.conf.get("spark.sql.shuffle.partitions") == "1"
        assert current_context().secrets.get("db", "password") == "swordfish"
        times = F.udf(operator_rates.times, "long")
        return frame.select(times("n", F.lit(int(os.environ["FACTOR"]))).alias("n"))


    @task(task_config=Spark(spark_conf={"spark.master": "local[1]"}), backend="kubernetes")
    def counted() -> int:
        return current_context().spark_session.range(4).select(F.udf(operator_rates.times, "long")("id", "id")).count()


    @workflow
    def in_a_pod() -> int:
        return counted()


    @task(task_config=Spark(), backend="spark-operator")
    def broken() -> int:
        return current_context().spark_session.sql("select * from nowhere").count()


    @task
    def largest(frame: pd.DataFrame) -> int:
        return int(frame["n"].max())


    @workflow
    def flow() -> int:
        return largest(frame=tripled(frame=given()))


    @workflow
    def failing() -> int:
        return broken()
"""


class Platform:
    """A platform of this process whose Spark tasks run on a cluster."""

    def __init__(self, api: FlytePath, flows: Any) -> None:
        self._api, self._flows = api, flows

    def run(self, name: str) -> Any:
        return self._api.wait(self._api.execute(getattr(self._flows, name), {}), 150.0)


@pytest.fixture
def platform(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    if cluster.needs_worker_image:
        pytest.skip("the blobs of this test lie on this machine, where the cluster's nodes do not find them")
    cluster.install_definitions("sparkoperator.k8s.io", beside=Path(__file__))
    work = tmp_path / "work"
    work.mkdir()
    (work / "operator_flow.py").write_text(textwrap.dedent(FLOW))
    (work / "operator_rates.py").write_text("def times(n, factor):\n    return n * factor\n")
    (work / "flytepath.toml").write_text(
        textwrap.dedent(
            f"""
            [store]
            blobs = "{tmp_path / "shared"}"
            [backends.kubernetes]
            kubeconfig = "{cluster.kubeconfig}"
            namespace = "{cluster.namespace}"
            image = "{cluster.worker_image()}"
            [backends.spark-operator]
            application_file = "local://{driver_program.__file__}"
            """
        )
    )
    monkeypatch.syspath_prepend(str(work))
    monkeypatch.chdir(work)
    try:
        with FlytePath(home=tmp_path / "home") as api, SparkOperatorDouble(cluster.rest, cluster.namespace):
            yield Platform(api, importlib.import_module("operator_flow"))
    finally:
        for name in ("operator_flow", "operator_rates"):
            monkeypatch.delitem(sys.modules, name, raising=False)


def test_a_driver_in_a_pod_runs_the_task(platform: Platform, cluster: Cluster) -> None:
    secret = {"metadata": {"name": "db"}, "stringData": {"password": "swordfish"}}
    cluster.rest.post(f"/api/v1/namespaces/{cluster.namespace}/secrets", secret)
    ended = platform.run("flow")
    assert ended.error is None
    assert ended.outputs == {"o0": 27}


@pytest.mark.proof
def test_what_the_task_raises_in_its_pod_is_told(platform: Platform) -> None:
    error = platform.run("failing").error
    assert error.code == "FP-SPARK-JOB"
    assert "TABLE_OR_VIEW_NOT_FOUND" in error.message


@pytest.mark.proof
def test_a_plain_pod_is_a_driver_too(platform: Platform) -> None:
    ended = platform.run("in_a_pod")
    assert ended.error is None
    assert ended.outputs == {"o0": 4}
