from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from flytepath.authoring.declared.pod_template import PodTemplate
from flytepath.errors import DefinitionError


class Container:
    """Shaped like the generated classes of the Kubernetes client."""

    attribute_map = {"name": "name", "image_pull_policy": "imagePullPolicy", "resources": "resources"}

    def __init__(self, name: str) -> None:
        self.name = name
        self.image_pull_policy = "Always"
        self.resources = None

    def to_dict(self) -> dict[str, Any]:
        raise AssertionError("the names of Python are not those of the API")


class Spec:
    attribute_map = {"containers": "containers", "restart_policy": "restartPolicy"}

    def __init__(self) -> None:
        self.containers = [Container("primary")]
        self.restart_policy = "Never"


def test_an_object_of_the_kubernetes_client_becomes_the_api_s_json() -> None:
    assert PodTemplate(pod_spec=Spec()).to_json() == {
        "pod_spec": {"containers": [{"name": "primary", "imagePullPolicy": "Always"}], "restartPolicy": "Never"}
    }


def test_an_object_with_to_dict_is_taken() -> None:
    class Own:
        def to_dict(self) -> dict[str, Any]:
            return {"nodeSelector": {"disk": "ssd"}, "since": dt.date(2026, 1, 2)}

    assert PodTemplate(pod_spec=Own()).pod_spec == {"nodeSelector": {"disk": "ssd"}, "since": "2026-01-02"}


def test_a_template_is_apart_from_what_it_was_made_of() -> None:
    spec = {"containers": [{"name": "primary"}]}
    labels = {"a": "b"}
    template = PodTemplate(pod_spec=spec, labels=labels)
    digest = template.version_hash()
    spec["containers"].append({"name": "other"})
    labels["c"] = "d"
    template.to_json()["pod_spec"]["containers"].clear()
    assert template.version_hash() == digest
    assert template == PodTemplate(pod_spec={"containers": [{"name": "primary"}]}, labels={"a": "b"})
    assert hash(template) == hash(PodTemplate.from_json(template.to_json()))


@pytest.mark.parametrize(
    "arguments",
    [
        {"pod_spec": "yaml"},
        {"pod_spec": [1]},
        {"pod_spec": {1: 2}},
        {"pod_spec": {"containers": {"name": "x"}}},
        {"pod_spec": {"x": object()}},
        {"pod_spec": {"x": [b"bytes"]}},
        {"primary_container_name": ""},
        {"labels": ["a"]},
        {"labels": {"a": 1}},
        {"annotations": {"a": True}},
    ],
)
def test_what_no_cluster_takes_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError) as caught:
        PodTemplate(**arguments)
    assert "PodTemplate(" in str(caught.value)
