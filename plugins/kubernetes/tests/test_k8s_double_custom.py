"""The API server double checks custom resources by the schema of their CustomResourceDefinition."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flyte_plugin_kubernetes.testing import Cluster, RestRefusal

Json = dict[str, Any]

SCHEMA: Json = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["mode"],
            "properties": {
                "mode": {"type": "string", "enum": ["fast", "slow"]},
                "replicas": {"type": "integer", "minimum": 1, "maximum": 9, "default": 1},
                "title": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 5},
                "port": {"x-kubernetes-int-or-string": True},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "limits": {"type": "object", "additionalProperties": {"type": "string"}},
                "items": {
                    "type": "array",
                    "maxItems": 2,
                    "items": {
                        "type": "object",
                        "required": ["a"],
                        "properties": {"a": {"type": "string"}, "b": {"type": "string", "default": "x"}},
                    },
                },
                "maybe": {"type": "string", "nullable": True},
            },
        },
        "status": {"type": "object", "properties": {"phase": {"type": "string"}}},
    },
}
DEFINITION: Json = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "things.flytepath-test.dev"},
    "spec": {
        "group": "flytepath-test.dev",
        "scope": "Namespaced",
        "names": {"kind": "Thing", "plural": "things", "singular": "thing", "listKind": "ThingList"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": SCHEMA},
                "subresources": {"status": {}},
            }
        ],
    },
}
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@pytest.fixture
def things(cluster: Cluster) -> Iterator[str]:
    name = DEFINITION["metadata"]["name"]
    if cluster.find(f"{CRDS}/{name}") is None:
        cluster.rest.post(CRDS, DEFINITION)
    path = f"/apis/flytepath-test.dev/v1/namespaces/{cluster.namespace}/things"
    cluster.wait(lambda: cluster.find(path), "the resource to be served")
    yield path
    if cluster.find(f"{CRDS}/{name}") is not None:
        cluster.rest.delete(f"{CRDS}/{name}")


def thing(name: str = "a", **spec: Any) -> Json:
    return {
        "apiVersion": "flytepath-test.dev/v1",
        "kind": "Thing",
        "metadata": {"name": name},
        "spec": {"mode": "fast"} | spec,
    }


def test_defaults_are_filled_in_and_unknown_fields_pruned(cluster: Cluster, things: str) -> None:
    made = cluster.rest.post(things, thing(unknown=1, free={"any": 1}, items=[{"a": "1", "c": "2"}]))
    assert made["spec"] == {"mode": "fast", "replicas": 1, "free": {"any": 1}, "items": [{"a": "1", "b": "x"}]}
    assert made["metadata"]["generation"] == 1


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"mode": "other"}, 'spec.mode: Unsupported value: "other": supported values: "fast", "slow"'),
        ({"replicas": 0}, "spec.replicas in body should be greater than or equal to 1"),
        ({"replicas": 10}, "spec.replicas in body should be less than or equal to 9"),
        ({"replicas": "2"}, "spec.replicas in body must be of type integer"),
        ({"title": "UP"}, "spec.title in body should match '^[a-z]+$'"),
        ({"port": True}, "spec.port"),
        ({"limits": {"cpu": 1}}, "spec.limits.cpu in body must be of type string"),
        ({"items": [{}]}, "spec.items[0].a: Required value"),
        ({"items": [{"a": "1"}] * 3}, "spec.items: Too many"),
    ],
)
def test_what_the_schema_forbids_is_invalid(cluster: Cluster, things: str, spec: Json, words: str) -> None:
    if "items" in spec:
        cluster.needs((1, 24), "these words for faults in lists")
    with pytest.raises(RestRefusal) as error:
        cluster.rest.post(things, thing(**spec))
    assert (error.value.code, error.value.reason) == (422, "Invalid")
    assert words in str(error.value)


def test_a_missing_field_is_required(cluster: Cluster, things: str) -> None:
    body = thing()
    del body["spec"]["mode"]
    with pytest.raises(RestRefusal, match=r"spec\.mode: Required value"):
        cluster.rest.post(things, body)


def test_strictness_refuses_unknown_fields(cluster: Cluster, things: str) -> None:
    cluster.needs((1, 25), "fieldValidation")
    with pytest.raises(RestRefusal) as error:
        cluster.rest.ask("POST", things, thing(unknown=1), {"fieldValidation": "Strict"})
    assert error.value.code == 400
    assert 'strict decoding error: unknown field "spec.unknown"' in str(error.value)


def test_both_sorts_of_a_port_and_null_where_it_may_be(cluster: Cluster, things: str) -> None:
    cluster.rest.post(things, thing(port=80, maybe=None))
    cluster.rest.post(things, thing("b", port="http"))


def test_the_generation_counts_changes_of_the_spec(cluster: Cluster, things: str) -> None:
    cluster.rest.post(things, thing())
    merge = "application/merge-patch+json"
    cluster.rest.patch(f"{things}/a", {"metadata": {"labels": {"x": "y"}}}, merge)
    assert cluster.rest.get(f"{things}/a")["metadata"]["generation"] == 1
    cluster.rest.patch(f"{things}/a", {"spec": {"replicas": 2}, "status": {"phase": "x"}}, merge)
    found = cluster.rest.get(f"{things}/a")
    assert (found["metadata"]["generation"], "status" in found) == (2, False)
    cluster.rest.patch(f"{things}/a/status", {"spec": {"replicas": 5}, "status": {"phase": "Running"}}, merge)
    found = cluster.rest.get(f"{things}/a")
    assert (found["spec"]["replicas"], found["status"], found["metadata"]["generation"]) == (2, {"phase": "Running"}, 2)


@pytest.mark.parametrize(
    ("wrong", "code", "words"),
    [
        (
            {"kind": "Other"},
            422,
            'Other.flytepath-test.dev "a" is invalid: kind: Invalid value: "Other": must be Thing',
        ),
        ({"apiVersion": "flytepath-test.dev/v2"}, 400, "does not match the expected API version"),
        ({"kind": None}, 400, "Object 'Kind' is missing"),
    ],
)
def test_another_kind_or_version_in_the_body_is_refused(
    cluster: Cluster, things: str, wrong: Json, code: int, words: str
) -> None:
    with pytest.raises(RestRefusal) as error:
        cluster.rest.post(things, {k: v for k, v in (thing() | wrong).items() if v is not None})
    assert (error.value.code, words in str(error.value)) == (code, True), str(error.value)


def test_another_kind_in_the_body_of_one_of_its_own_is_a_bad_request(cluster: Cluster) -> None:
    with pytest.raises(RestRefusal, match='Other in version "v1" cannot be handled as a ConfigMap: no kind') as error:
        cluster.rest.post(f"/api/v1/namespaces/{cluster.namespace}/configmaps", {"kind": "Other", "metadata": {}})
    assert error.value.code == 400


def test_a_definition_taken_away_takes_its_objects_along(cluster: Cluster, things: str) -> None:
    cluster.double()
    cluster.rest.post(things, thing())
    cluster.rest.delete(f"{CRDS}/{DEFINITION['metadata']['name']}")
    cluster.wait(lambda: cluster.find(things) is None, "the resource to be gone")


@pytest.mark.parametrize("plural", ["pytorchjobs", "mpijobs", "tfjobs"])
def test_the_real_definitions_are_served(cluster: Cluster, plural: str) -> None:
    assert f"{plural}.kubeflow.org" in cluster.install_definitions("kubeflow.org")
    assert cluster.rest.get(f"/apis/kubeflow.org/v1/namespaces/{cluster.namespace}/{plural}")["items"] == []
