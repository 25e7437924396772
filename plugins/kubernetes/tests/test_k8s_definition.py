"""Tasks for a cluster as they are defined and compiled: what is wrong is said before anything runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from flyte_plugin_kubernetes import (
    KubernetesNameError,
    KubernetesResourcesError,
    KubernetesSettingsError,
    Pod,
    PodSpecError,
)
from flyte_plugin_kubernetes.pod import PodTaskType
from flytepath import (
    ContainerTask,
    PodTemplate,
    Resources,
    Secret,
    kwtypes,
    map_task,
    task,
    workflow,
)
from flytepath.compiler import compile_entity
from flytepath.plugin import DefinitionError, TaskDeclaration, Tenant
from flytepath.testing import MemoryBlobs

TENANT = Tenant("vision", "production")
SETTINGS = '[backends.kubernetes]\nimage = "flows:1"\n'


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Says what the configuration holds."""
    monkeypatch.chdir(tmp_path)

    def write(text: str = SETTINGS) -> None:
        (tmp_path / "flytepath.toml").write_text(f'[store]\nblobs = "{tmp_path}/blobs"\n{text}')

    write()
    return write


def compiled(entity: Any) -> dict[str, Any]:
    """The tasks of an entity by name."""
    return dict(compile_entity(entity, TENANT, MemoryBlobs()).tasks)


# --- Pod(...) ----------------------------------------------------------------------------------------------------


SPEC = {
    "containers": [{"name": "primary"}, {"name": "proxy", "image": "envoy:1"}],
    "volumes": [{"name": "scratch", "emptyDir": {}}],
    "nodeSelector": {"disk": "ssd"},
}


def of_the_client() -> Any:
    from kubernetes import client

    return client.V1PodSpec(
        containers=[client.V1Container(name="primary"), client.V1Container(name="proxy", image="envoy:1")],
        volumes=[client.V1Volume(name="scratch", empty_dir=client.V1EmptyDirVolumeSource())],
        node_selector={"disk": "ssd"},
    )


@pytest.mark.parametrize("make", [lambda: SPEC, of_the_client, lambda: PodTemplate(pod_spec=SPEC)])
def test_a_pod_is_data_an_object_of_the_client_or_a_template(make: Any) -> None:
    assert Pod(pod_spec=make()).to_json() == {"pod_spec": SPEC, "primary_container_name": "primary"}
    assert Pod(pod_spec=make()) == Pod(pod_spec=SPEC)


def test_a_pod_is_not_changed_by_what_is_done_to_its_data_later() -> None:
    spec: dict[str, Any] = {"containers": [{"name": "primary"}]}
    pod = Pod(pod_spec=spec)
    spec["containers"][0]["name"] = "other"
    assert pod.to_json()["pod_spec"] == {"containers": [{"name": "primary"}]}


def test_a_pod_without_a_spec_is_the_workers_container_alone() -> None:
    assert Pod(labels={"team": "vision"}).to_json() == {
        "labels": {"team": "vision"},
        "primary_container_name": "primary",
    }


@pytest.mark.parametrize(
    ("spec", "place", "hint"),
    [
        ({"container": []}, "Pod(pod_spec))", "did you mean containers?"),
        ({"containers": [{"name": "primary", "volume_mounts": []}]}, "containers[0]", "did you mean volumeMounts?"),
        ({"affinity": {"nodeAfinity": {}}}, "affinity", "did you mean nodeAffinity?"),
        ({"hostAliases": {"ip": "1.1.1.1"}}, "hostAliases", None),
        ({"hostNetwork": "yes"}, "hostNetwork", None),
        ({"activeDeadlineSeconds": "60"}, "activeDeadlineSeconds", None),
        ({"activeDeadlineSeconds": True}, "activeDeadlineSeconds", None),
        ({"tolerations": [{"keyy": "spot"}]}, "tolerations[0]", "did you mean key?"),
        ({"nodeSelector": {"a": 1}}, "nodeSelector['a']", None),
        ({"zzz": 1}, "Pod(pod_spec))", "a newer release of `kubernetes` may know it"),
    ],
)
def test_a_field_that_pods_do_not_have_is_refused_with_its_place(
    spec: dict[str, Any], place: str, hint: str | None
) -> None:
    pod = Pod(pod_spec=spec)
    with pytest.raises(PodSpecError) as caught:
        PodTaskType().compile(TaskDeclaration("flow.train", pod))
    assert str(caught.value.place).endswith(place)
    assert str(caught.value.place).startswith("flow.train(Pod(pod_spec))")
    assert caught.value.hint == hint


def test_fields_of_every_kind_are_known() -> None:
    probe = {"httpGet": {"port": "http", "path": "/"}, "periodSeconds": 1}
    pod = Pod(
        pod_spec={
            "containers": [
                {
                    "name": "primary",
                    "resources": {"requests": {"cpu": 1, "memory": "1Gi"}},
                    "readinessProbe": probe,
                    "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                }
            ],
            "volumes": [
                {"name": "a", "emptyDir": {"sizeLimit": "1Gi"}},
                {"name": "b", "csi": {"driver": "x", "volumeAttributes": {"k": "v"}}},
            ],
            "securityContext": {"runAsUser": 1000, "sysctls": [{"name": "a", "value": "b"}]},
            "overhead": {"cpu": 1},
        }
    )
    assert PodTaskType().compile(TaskDeclaration("flow.train", pod))


def test_a_pod_is_made_without_the_client() -> None:
    code = (
        "import sys; from flyte_plugin_kubernetes import Pod; Pod(pod_spec={'containers': [{'name': 'primary'}]});"
        "assert not [m for m in sys.modules if m.partition('.')[0] == 'kubernetes']"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"pod_spec": {"containers": [{"name": "main"}]}}, PodSpecError),
        ({"primary_container_name": "Primary"}, KubernetesNameError),
        ({"pod_spec": {"restartPolicy": "Always"}}, PodSpecError),
        ({"labels": {"team": "x" * 64}}, KubernetesNameError),
        ({"pod_spec": {"containers": [{"name": "primary"}] * 2}}, PodSpecError),
        ({"pod_spec": {"volumes": [{"name": "a"}, {"name": "a"}]}}, PodSpecError),
        (
            {"pod_spec": {"containers": [{"name": "primary", "resources": {"limits": {"cpu": "much"}}}]}},
            KubernetesResourcesError,
        ),
        ({"pod_spec": PodTemplate(labels={"a": "b"}), "labels": {"c": "d"}}, PodSpecError),
        ({"pod_spec": PodTemplate(), "primary_container_name": "main"}, PodSpecError),
        ({"pod_spec": [1]}, DefinitionError),
        ({"pod_spec": {"containers": [{"name": {1, 2}}]}}, DefinitionError),
        ({"labels": {"a": 1}}, DefinitionError),
    ],
)
def test_a_pod_that_could_run_no_task_is_refused_where_it_is_made(arguments: dict[str, Any], error: type) -> None:
    with pytest.raises(error):
        Pod(**arguments)


@task(task_config=Pod(pod_spec=SPEC), requests=Resources(cpu="1"))
def in_a_pod(x: int) -> int:
    return x + 1


def test_a_direct_call_runs_the_function_here() -> None:
    assert in_a_pod(x=1) == 2


def test_a_task_in_a_pod_is_for_the_cluster_and_the_same_bytes_every_time(configure: Any) -> None:
    first, second = compiled(in_a_pod)[in_a_pod.name], compiled(in_a_pod)[in_a_pod.name]
    assert (first.task_type, first.backend) == ("pod", "kubernetes")
    assert json.dumps(first.payload) == json.dumps(second.payload)
    assert first.payload["pod"]["pod_spec"] == SPEC


# --- what the compiler refuses -----------------------------------------------------------------------------------


@task(backend="kubernetes", pod_template=PodTemplate(pod_spec={"containers": [{"name": "primary", "imag": "x"}]}))
def misspelt() -> None: ...


@task(backend="kubernetes", labels={"team": "no label at all"})
def mislabelled() -> None: ...


@task(task_config=Pod(pod_spec=SPEC), pod_template=PodTemplate(pod_spec=SPEC))
def twice() -> None: ...


@task(backend="kubernetes", requests=Resources(mem="2Gi"), pod_template_name="small")
def too_large() -> None: ...


@task(backend="kubernetes", pod_template_name="missing")
def templated() -> None: ...


@task(backend="kubernetes", secret_requests=[Secret("Not_A_Name", "x")])
def secretive() -> None: ...


listed = ContainerTask(
    name="listed",
    image="alpine:3.20",
    command=["true"],
    metadata_format=ContainerTask.MetadataFormat.PROTO,
    backend="kubernetes",
)


@pytest.mark.parametrize(
    ("entity", "error"),
    [
        (misspelt, PodSpecError),
        (mislabelled, KubernetesNameError),
        (twice, PodSpecError),
        (too_large, KubernetesResourcesError),
        (templated, PodSpecError),
        (secretive, KubernetesNameError),
        (listed, PodSpecError),
    ],
)
def test_what_no_cluster_would_take_is_refused_as_it_is_compiled(configure: Any, entity: Any, error: type) -> None:
    small = '[backends.kubernetes.pod_templates.small.spec]\ncontainers = [{name = "primary", resources = %s}]\n'
    configure(SETTINGS + small % '{limits = {memory = "1Gi"}}')
    with pytest.raises(error):
        compiled(entity)


@task(backend="kubernetes")
def plain(x: int) -> int:
    return x


@workflow
def overridden(x: int) -> int:
    return plain(x=x).with_overrides(pod_template=PodTemplate(pod_spec={"volumes": [{"name": "A"}]}))  # type: ignore


def test_an_override_is_looked_at_too(configure: Any) -> None:
    compiled(plain)
    with pytest.raises(KubernetesNameError):
        compiled(overridden)


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ('[backends.kubernetes]\nimagee = "x"\n', KubernetesSettingsError),
        ("[backends.kubernetes]\n", PodSpecError),
        (SETTINGS + 'namespace = "{project}_x"\n', KubernetesNameError),
        (SETTINGS + "[backends.kubernetes.pod_template.spec]\nhostNetwrk = true\n", PodSpecError),
    ],
)
def test_settings_that_are_wrong_are_refused_as_a_task_is_compiled(configure: Any, settings: str, error: type) -> None:
    configure(settings)
    with pytest.raises(error):
        compiled(plain)


def test_settings_of_the_tenant_count(configure: Any) -> None:
    configure('[projects.vision.domains.production.backends.kubernetes]\nimage = "flows:1"\n')
    assert compiled(plain)


# --- other tasks on a cluster ------------------------------------------------------------------------------------

area = ContainerTask(
    name="area",
    image="alpine:3.20",
    command=["sh", "-c", "echo $(($0 * 2)) > /var/outputs/area", "{{.inputs.a}}"],
    inputs=kwtypes(a=int),
    outputs=kwtypes(area=int),
    backend="kubernetes",
)


@workflow
def mixed(a: int) -> list[int]:

    area(a=a)
    return map_task(plain)(x=[a, a])


def test_containers_and_maps_go_to_the_cluster(configure: Any) -> None:
    assert {spec.backend for spec in compiled(mixed).values()} == {"kubernetes"}


def test_a_container_task_needs_an_image_for_its_workers(configure: Any) -> None:
    configure("")
    with pytest.raises(PodSpecError, match="carries the values"):
        compiled(area)
