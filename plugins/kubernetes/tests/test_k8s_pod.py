"""The pod of a task: what it runs, what it is given, and what is refused before a cluster is asked."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from flyte_plugin_kubernetes import (
    KubernetesNameError,
    KubernetesResourcesError,
    KubernetesSettings,
    PodSpecError,
    pod_template_of,
    role_template,
)
from flyte_plugin_kubernetes.pod_spec import escaped
from flytepath.plugin import PlanRequest, Resources, SecretReference
from hypothesis import given
from hypothesis import strategies as st
from k8s_pod_requests import WORKER, container, expanded, request, variables


def pod(settings: dict[str, Any] | None = None, asked: PlanRequest | None = None, **changes: Any) -> dict[str, Any]:
    return pod_template_of(asked or request(**changes), KubernetesSettings(**(settings or {})))


# --- what runs ---------------------------------------------------------------------------------------------------


def test_the_worker_runs_in_the_image_of_the_task() -> None:
    made = pod()
    assert made == {
        "metadata": {"annotations": {"kubectl.kubernetes.io/default-container": "primary"}},
        "spec": {
            "restartPolicy": "Never",
            "enableServiceLinks": False,
            "containers": [
                {
                    "name": "primary",
                    "image": "example.com/team/flows:1",
                    "command": list(WORKER.argv),
                    "env": [{"name": "FLYTEPATH_HOME", "value": "/tmp/home"}, {"name": "MODE", "value": "fast"}],
                }
            ],
        },
    }


def test_a_task_without_an_image_runs_in_that_of_its_template_or_else_of_the_settings() -> None:
    spec = {"containers": [{"name": "primary", "image": "template:1"}]}
    asked = request(worker={"image": ""})
    assert container(pod({"image": "settings:1"}, asked))["image"] == "settings:1"
    templated = request(worker={"image": ""}, pod_template={"pod_spec": spec})
    assert container(pod({"image": "settings:1"}, templated))["image"] == "template:1"


def test_a_task_without_any_image_is_refused() -> None:
    with pytest.raises(PodSpecError, match="has no image") as caught:
        pod(asked=request(worker={"image": ""}))
    assert "`image` in [backends.kubernetes]" in str(caught.value.hint)


def test_what_the_worker_is_told_arrives_as_it_is_whatever_the_cluster_would_make_of_it() -> None:
    hostile = "$(HOME) $$ $ $(MODE"
    asked = request(worker={"argv": ("python", hostile), "env": {"MODE": hostile}})
    found = container(pod(asked=asked))
    assert expanded(found["command"][1], {"HOME": "/root", "MODE": "x"}) == hostile
    assert expanded(variables(found)["MODE"], {"HOME": "/root"}) == hostile


@given(st.text(alphabet="$()AB ", max_size=12), st.booleans())
def test_no_text_is_expanded_by_the_cluster(text: str, known: bool) -> None:
    assert expanded(escaped(text), {"A": "1", "B": "2", "": "3"} if known else {}) == text


def test_an_item_of_an_array_job_learns_its_position_from_the_cluster() -> None:
    made = pod_template_of(request(), KubernetesSettings(), item_position="$(JOB_COMPLETION_INDEX)")
    assert container(made)["command"][-2:] == ["--item", "$(JOB_COMPLETION_INDEX)"]


def test_a_template_with_a_command_of_its_own_gives_way_to_the_worker() -> None:
    primary = {"name": "primary", "command": ["sleep"], "args": ["1"], "env": [{"name": "MODE", "value": "slow"}]}
    found = container(pod(pod_template={"pod_spec": {"containers": [primary]}}))
    assert found["command"] == list(WORKER.argv)
    assert "args" not in found
    assert variables(found)["MODE"] == "fast"


def test_a_variable_of_the_task_takes_the_place_of_one_that_came_from_elsewhere() -> None:
    elsewhere = {"name": "MODE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    primary = {"name": "primary", "env": [elsewhere]}
    found = container(pod(pod_template={"pod_spec": {"containers": [primary]}}))
    assert {"name": "MODE", "value": "fast"} in found["env"]


def test_the_same_request_gives_the_same_bytes_and_is_left_alone() -> None:
    spec = {"containers": [{"name": "primary"}, {"name": "proxy", "image": "envoy:1"}]}
    asked = request(pod_template={"pod_spec": spec}, labels={"b": "1", "a": "2"}, requests=Resources(cpu=1))
    before = copy.deepcopy(asked)
    assert json.dumps(pod(asked=asked)) == json.dumps(pod(asked=asked))
    assert asked == before


def test_a_pod_imports_no_client() -> None:
    import subprocess
    import sys

    code = (
        "import sys; import flyte_plugin_kubernetes.pod_spec; import flyte_plugin_kubernetes.plugin;"
        "assert not [m for m in sys.modules if m.partition('.')[0] == 'kubernetes']"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- the merge order ---------------------------------------------------------------------------------------------


def node_selector(made: dict[str, Any]) -> dict[str, str]:
    return made["spec"].get("nodeSelector", {})  # type: ignore[no-any-return]


def test_each_step_of_the_merge_order_is_laid_over_the_one_before() -> None:
    labels = {"step": "settings", "settings": "1"}
    settings: dict[str, Any] = {
        "labels": labels,
        "pod_template": {
            "metadata": {"labels": {"step": "of-all", "all": "1"}},
            "spec": {"nodeSelector": {"step": "all"}, "terminationGracePeriodSeconds": 1},
        },
        "pod_templates": {
            "fast": {
                "metadata": {"labels": {"step": "named", "named": "1"}},
                "spec": {"nodeSelector": {"step": "named"}, "terminationGracePeriodSeconds": 2},
            }
        },
    }

    def steps(**changes: Any) -> tuple[str, str, int]:
        made = pod(settings, **changes)
        given = made["metadata"]["labels"]
        return given["step"], node_selector(made)["step"], made["spec"]["terminationGracePeriodSeconds"]

    named = {"name": "fast"}
    own = {"labels": {"step": "own"}, "pod_spec": {"nodeSelector": {"step": "own"}}}
    assert pod({"labels": labels})["metadata"]["labels"] == labels
    assert steps() == ("of-all", "all", 1)
    assert steps(pod_template=named) == ("named", "named", 2)
    assert steps(pod_template=own) == ("own", "own", 1)
    assert steps(pod_template={**named, **own}) == ("own", "own", 2)
    assert steps(pod_template={**named, **own}, labels={"step": "task"}) == ("task", "own", 2)
    everything = pod(settings, pod_template={**named, **own}, labels={"task": "1"})["metadata"]["labels"]
    assert {name for name, value in everything.items() if value == "1"} == {"settings", "all", "named", "task"}


def test_resources_of_the_task_are_laid_over_those_of_its_template() -> None:
    resources = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}
    spec = {"containers": [{"name": "primary", "resources": resources}]}
    found = container(pod(pod_template={"pod_spec": spec}, requests=Resources(cpu=2)))
    assert found["resources"] == {"requests": {"cpu": "2", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}


def test_the_account_and_the_pull_secrets_are_those_of_the_settings_and_a_template_may_add_to_them() -> None:
    settings = {"service_account": "worker-{domain}", "image_pull_secrets": ["registry"]}
    spec = pod(settings)["spec"]
    assert spec["serviceAccountName"] == "worker-production"
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    own = {"pod_spec": {"serviceAccountName": "own", "imagePullSecrets": [{"name": "other"}]}}
    spec = pod(settings, pod_template=own)["spec"]
    assert spec["serviceAccountName"] == "own"
    assert spec["imagePullSecrets"] == [{"name": "registry"}, {"name": "other"}]


def test_the_pull_policy_is_for_every_container_that_has_none() -> None:
    spec = {"containers": [{"name": "proxy", "image": "envoy:1", "imagePullPolicy": "Never"}]}
    made = pod({"image_pull_policy": "Always"}, pod_template={"pod_spec": spec})
    assert container(made)["imagePullPolicy"] == "Always"
    assert container(made, "proxy")["imagePullPolicy"] == "Never"


def test_labels_and_annotations_of_the_task_are_its_pods() -> None:
    metadata = pod(labels={"team": "vision"}, annotations={"example.com/note": "any text, really"})["metadata"]
    assert metadata["labels"] == {"team": "vision"}
    assert metadata["annotations"]["example.com/note"] == "any text, really"


def test_a_named_template_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(PodSpecError) as caught:
        pod({"pod_templates": {"fast": {}, "slow": {}}}, pod_template={"name": "quick"})
    assert caught.value.expected == "fast, slow"


def test_a_pod_and_a_template_say_the_same_thing_twice() -> None:
    payload = {"pod": {"pod_spec": {"containers": [{"name": "primary"}]}}}
    with pytest.raises(PodSpecError, match="twice"):
        pod(payload=payload, pod_template={"pod_spec": {}, "labels": {"a": "b"}})
    assert pod({"pod_templates": {"fast": {"spec": {"priority": 1}}}}, payload=payload, pod_template={"name": "fast"})


# --- sidecars and other containers -------------------------------------------------------------------------------


def test_the_primary_container_is_the_one_that_is_named_and_the_others_are_left_alone() -> None:
    spec = {
        "containers": [{"name": "proxy", "image": "envoy:1", "command": ["envoy"]}, {"name": "main"}],
        "initContainers": [{"name": "vpn", "image": "vpn:1", "restartPolicy": "Always"}],
        "volumes": [{"name": "scratch", "emptyDir": {}}],
    }
    made = pod(pod_template={"pod_spec": spec, "primary_container_name": "main"})
    assert [one["name"] for one in made["spec"]["containers"]] == ["proxy", "main"]
    assert container(made, "main")["command"] == list(WORKER.argv)
    assert container(made, "proxy") == spec["containers"][0]
    assert made["spec"]["initContainers"] == spec["initContainers"]
    assert made["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"] == "main"


def test_a_role_has_a_template_image_and_resources_of_its_own() -> None:
    asked = request(requests=Resources(cpu=1), labels={"team": "vision"})
    made = role_template(
        asked,
        KubernetesSettings(),
        template={"pod_spec": {"nodeSelector": {"role": "executor"}}, "labels": {"role": "executor"}},
        primary="executor",
        image="executor:1",
        container={"args": ["executor"]},
        requests=Resources(cpu=4),
    )
    (found,) = made["spec"]["containers"]
    assert found == {
        "name": "executor",
        "image": "executor:1",
        "args": ["executor"],
        "resources": {"requests": {"cpu": "4"}},
    }
    assert node_selector(made) == {"role": "executor"}
    assert made["metadata"]["labels"] == {"role": "executor", "team": "vision"}


# --- secrets -----------------------------------------------------------------------------------------------------


def test_a_secret_is_a_reference_where_the_worker_looks_for_it() -> None:
    found = container(pod(secrets=(SecretReference("my-db", "password"),)))
    assert variables(found)["_FSEC_MY_DB_PASSWORD"] == {"secretKeyRef": {"name": "my-db", "key": "password"}}


def test_only_the_worker_is_given_secrets() -> None:
    spec = {"containers": [{"name": "proxy", "image": "envoy:1"}]}
    made = pod(pod_template={"pod_spec": spec}, secrets=(SecretReference("db", "password"),))
    assert "env" not in container(made, "proxy")


def test_secrets_may_be_files_where_the_worker_looks_for_them() -> None:
    asked = (SecretReference("db", "user"), SecretReference("db", "password"), SecretReference("s3", "key", "file"))
    made = pod({"secrets": {"mount": "file"}}, secrets=asked)
    (volume,) = made["spec"]["volumes"]
    sources = [source["secret"] for source in volume["projected"]["sources"]]
    assert sources == [
        {"name": "db", "items": [{"key": "user", "path": "db/user"}, {"key": "password", "path": "db/password"}]},
        {"name": "s3", "items": [{"key": "key", "path": "s3/key"}]},
    ]
    (mount,) = container(made)["volumeMounts"]
    assert mount == {"name": volume["name"], "mountPath": "/etc/secrets", "readOnly": True}


def test_a_version_of_a_secret_is_a_secret_of_its_own() -> None:
    found = container(pod(secrets=(SecretReference("db", "password", "", "v2"),)))
    assert variables(found)["_FSEC_DB_V2_PASSWORD"] == {"secretKeyRef": {"name": "db-v2", "key": "password"}}


def test_names_of_secrets_are_made_of_the_group_as_the_settings_say() -> None:
    rules = {"secrets": {"name": "{project}-{group}", "ungrouped": "shared", "key": "token"}}
    asked = (SecretReference("db", ""), SecretReference("", "api"))
    found = variables(container(pod(rules, secrets=asked)))
    assert found["_FSEC_DB"] == {"secretKeyRef": {"name": "vision-db", "key": "token"}}
    assert found["_FSEC_API"] == {"secretKeyRef": {"name": "shared", "key": "api"}}


@pytest.mark.parametrize("scheme", ["vault", "keyring"])
def test_what_another_provider_has_is_left_to_the_worker(scheme: str) -> None:
    assert "env" in container(pod(secrets=()))
    assert pod(secrets=(SecretReference("db", "password", scheme),)) == pod()


def test_settings_can_leave_secrets_without_a_scheme_to_the_worker() -> None:
    rules = {"secrets": {"mount": "none"}}
    asked = (SecretReference("db", "password"), SecretReference("db", "user", "env"))
    found = variables(container(pod(rules, secrets=asked)))
    assert "_FSEC_DB_PASSWORD" not in found
    assert "_FSEC_DB_USER" in found


@pytest.mark.parametrize(
    "secret",
    [SecretReference("DB", "x"), SecretReference("", "x"), SecretReference("db", "a b"), SecretReference("db", "..")],
)
def test_a_secret_that_kubernetes_cannot_name_is_refused(secret: SecretReference) -> None:
    with pytest.raises(KubernetesNameError) as caught:
        pod(secrets=(secret,))
    assert str(caught.value.place).startswith("Secret(")


def test_two_secrets_that_share_a_variable_are_refused() -> None:
    with pytest.raises(KubernetesNameError, match="share the variable"):
        pod(secrets=(SecretReference("a-b", "c"), SecretReference("a", "b-c")))


# --- what is refused ---------------------------------------------------------------------------------------------

IMAGE = {"image": "a:1"}


@pytest.mark.parametrize(
    ("spec", "place"),
    [
        ({"containers": [{"name": "Side", **IMAGE}]}, "containers[0].name"),
        ({"containers": [{"name": "x" * 64, **IMAGE}]}, "containers[0].name"),
        ({"containers": [{**IMAGE}]}, "containers[0].name"),
        ({"containers": [{"name": "a", **IMAGE}], "initContainers": [{"name": "a", **IMAGE}]}, "containers[0]"),
        ({"containers": [{"name": "a"}]}, "containers[0]"),
        ({"volumes": [{"name": "v"}, {"name": "v"}]}, "volumes[1]"),
        ({"volumes": [{"name": "V_1"}]}, "volumes[0].name"),
        ({"volumes": {"name": "v"}}, "volumes"),
        ({"restartPolicy": "Always"}, "restartPolicy"),
        ({"restartPolicy": "OnFailure"}, "restartPolicy"),
        ({"containers": [{"name": "a", "restartPolicy": "Always", **IMAGE}]}, "containers[0].restartPolicy"),
        ({"initContainers": [{"name": "a", "restartPolicy": "Never", **IMAGE}]}, "initContainers[0].restartPolicy"),
        ({"containers": [{"name": "a", "command": "sh", **IMAGE}]}, "containers[0].command"),
        ({"containers": [{"name": "a", "args": [1], **IMAGE}]}, "containers[0].args"),
        ({"containers": [{"name": "a", "env": [{"name": "A=B"}], **IMAGE}]}, "containers[0].env[0]"),
        ({"containers": [{"name": "a", "env": [{"name": "A"}] * 2, **IMAGE}]}, "containers[0].env[1]"),
        ({"containers": [{"name": "a", "env": [{"name": "A", "value": 1}], **IMAGE}]}, "containers[0].env[0].value"),
        ({"containers": [{"name": "a", "volumeMounts": [{"name": "v"}], **IMAGE}]}, "containers[0].volumeMounts[0]"),
        (
            {"containers": [{"name": "a", "volumeMounts": [{"name": "v", "mountPath": "/v"}], **IMAGE}]},
            "containers[0].volumeMounts[0]",
        ),
        ({"containers": ["a"]}, "containers[0]"),
    ],
)
def test_a_template_that_is_no_pod_is_refused_with_its_place(spec: dict[str, Any], place: str) -> None:
    with pytest.raises((PodSpecError, KubernetesNameError)) as caught:
        pod(pod_template={"pod_spec": spec})
    assert str(caught.value.place).endswith(place)


@pytest.mark.parametrize(
    "resources",
    [
        {"requests": {"memory": "1GB"}},
        {"limits": {"cpu": "-1"}},
        {"requests": {"cpu": "2"}, "limits": {"cpu": "1999m"}},
        {"requests": {"example.com/fpga": "1"}, "limits": {"example.com/fpga": "2"}},
    ],
)
def test_resources_that_no_container_can_have_are_refused(resources: dict[str, Any]) -> None:
    spec = {"containers": [{"name": "side", "resources": resources, **IMAGE}]}
    with pytest.raises(KubernetesResourcesError) as caught:
        pod(pod_template={"pod_spec": spec})
    assert "containers[0].resources" in str(caught.value.place)


@pytest.mark.parametrize(
    "labels", [{"team": "x" * 64}, {"team": "a b"}, {"-team": "x"}, {"a/b/c": "x"}, {"": "x"}, {"Example.com/x": "y"}]
)
def test_labels_that_no_cluster_takes_are_refused(labels: dict[str, str]) -> None:
    with pytest.raises(KubernetesNameError):
        pod(labels=labels)


def test_annotations_of_more_than_256_kib_are_refused() -> None:
    with pytest.raises(KubernetesNameError, match="too large"):
        pod(annotations={"note": "x" * (256 * 1024)})
