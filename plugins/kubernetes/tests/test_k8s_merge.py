"""One template over another: what Kubernetes' strategic merge does, and what every merge must keep to."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from flyte_plugin_kubernetes import PodSpecError
from flyte_plugin_kubernetes.merging import merge, merge_settings
from hypothesis import given, settings
from hypothesis import strategies as st

NAMES = st.sampled_from(["a", "b", "c"])
TEXTS = st.sampled_from(["x", "y"])


def by(key: str, values: st.SearchStrategy[Any], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    items = st.fixed_dictionaries({key: values}, optional=fields)
    return st.lists(items, max_size=3, unique_by=lambda item: item[key])


MAPS = st.dictionaries(NAMES, TEXTS, max_size=3)
CONTAINERS = by(
    "name",
    NAMES,
    image=TEXTS,
    command=st.lists(TEXTS, max_size=2),
    env=by("name", NAMES, value=TEXTS),
    volumeMounts=by("mountPath", st.sampled_from(["/a", "/b"]), name=NAMES),
    ports=by("containerPort", st.integers(1, 3), protocol=st.just("TCP")),
    resources=st.fixed_dictionaries({}, optional={"limits": MAPS, "requests": MAPS}),
)
TEMPLATES = st.fixed_dictionaries(
    {},
    optional={
        "metadata": st.fixed_dictionaries({}, optional={"labels": MAPS, "annotations": MAPS}),
        "spec": st.fixed_dictionaries(
            {},
            optional={
                "containers": CONTAINERS,
                "initContainers": CONTAINERS,
                "volumes": by("name", NAMES, emptyDir=st.just({})),
                "tolerations": st.lists(st.fixed_dictionaries({"key": NAMES}), max_size=3),
                "nodeSelector": MAPS,
                "imagePullSecrets": by("name", NAMES),
                "priority": st.integers(0, 3),
            },
        ),
    },
)


@given(TEMPLATES)
@settings(max_examples=150, deadline=None)
def test_the_empty_template_changes_nothing(template: dict[str, Any]) -> None:
    assert merge(template, {}) == template
    assert merge({}, template) == template


@given(TEMPLATES, TEMPLATES, TEMPLATES)
@settings(max_examples=200, deadline=None)
def test_it_does_not_matter_which_levels_are_merged_first(a: Any, b: Any, c: Any) -> None:
    assert json.dumps(merge(merge(a, b), c)) == json.dumps(merge(a, merge(b, c)))


@given(TEMPLATES, TEMPLATES)
@settings(max_examples=150, deadline=None)
def test_a_merge_changes_neither_side_and_shares_nothing_with_them(a: Any, b: Any) -> None:
    before = copy.deepcopy((a, b))
    merged = merge(a, b)
    spoil(merged)
    assert (a, b) == before


@given(TEMPLATES, TEMPLATES)
@settings(max_examples=100, deadline=None)
def test_the_same_templates_give_the_same_bytes(a: Any, b: Any) -> None:
    assert json.dumps(merge(a, b)) == json.dumps(merge(copy.deepcopy(a), copy.deepcopy(b)))


@given(TEMPLATES)
@settings(max_examples=100, deadline=None)
def test_a_template_over_itself_is_itself_but_for_doubles(template: dict[str, Any]) -> None:
    once = merge(template, template)
    assert merge(once, template) == once


def spoil(value: Any) -> None:
    if isinstance(value, dict):
        for item in value.values():
            spoil(item)
        value["spoilt"] = True
    elif isinstance(value, list):
        for item in value:
            spoil(item)
        value.append("spoilt")


def test_containers_are_merged_by_name_and_new_ones_come_last() -> None:
    lower = {"containers": [{"name": "a", "image": "1", "tty": True}, {"name": "b"}]}
    upper = {"containers": [{"name": "c"}, {"name": "a", "image": "2"}]}
    assert merge(lower, upper)["containers"] == [{"name": "a", "image": "2", "tty": True}, {"name": "b"}, {"name": "c"}]


def test_variables_mounts_ports_and_pull_secrets_are_merged_by_what_names_them() -> None:
    lower = {
        "containers": [
            {
                "name": "a",
                "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "1"}],
                "volumeMounts": [{"mountPath": "/data", "name": "old", "readOnly": True}],
                "ports": [{"containerPort": 53}, {"containerPort": 53, "protocol": "UDP"}],
            }
        ],
        "imagePullSecrets": [{"name": "one"}],
    }
    upper = {
        "containers": [
            {
                "name": "a",
                "env": [{"name": "X", "value": "2"}],
                "volumeMounts": [{"mountPath": "/data", "name": "new"}],
                "ports": [{"containerPort": 53, "protocol": "UDP", "name": "dns"}],
            }
        ],
        "imagePullSecrets": [{"name": "two"}, {"name": "one"}],
    }
    merged = merge(lower, upper)
    (found,) = merged["containers"]
    assert found["env"] == [{"name": "X", "value": "2"}, {"name": "Y", "value": "1"}]
    assert found["volumeMounts"] == [{"mountPath": "/data", "name": "new", "readOnly": True}]
    assert found["ports"] == [{"containerPort": 53}, {"containerPort": 53, "protocol": "UDP", "name": "dns"}]
    assert merged["imagePullSecrets"] == [{"name": "one"}, {"name": "two"}]


def test_tolerations_are_joined_without_doubles_whatever_the_order_of_their_fields() -> None:
    lower = {"tolerations": [{"key": "gpu", "operator": "Exists"}]}
    upper = {"tolerations": [{"operator": "Exists", "key": "gpu"}, {"key": "spot"}]}
    assert merge(lower, upper)["tolerations"] == [{"key": "gpu", "operator": "Exists"}, {"key": "spot"}]


def test_other_lists_are_replaced_as_a_whole() -> None:
    lower = {"containers": [{"name": "a", "command": ["one", "two"]}]}
    upper = {"containers": [{"name": "a", "command": ["three"]}]}
    assert merge(lower, upper)["containers"][0]["command"] == ["three"]


def test_nothing_takes_a_field_away() -> None:
    merged = merge({"spec": {"priority": 3, "nodeSelector": {"a": "1", "b": "2"}}}, {"spec": {"priority": None}})
    assert merged == {"spec": {"nodeSelector": {"a": "1", "b": "2"}}}
    assert merge({}, {"spec": {"priority": None}}) == {"spec": {}}


@pytest.mark.parametrize("nameless", [{}, {"name": ""}, {"name": None}, "a", ["name"]])
def test_an_item_that_cannot_be_told_from_others_is_refused_with_its_place(nameless: Any) -> None:
    with pytest.raises(PodSpecError) as caught:
        merge({"spec": {"containers": [{"name": "a"}]}}, {"spec": {"containers": [nameless]}})
    assert caught.value.place == "spec.containers[0]"


def test_an_item_that_stands_twice_is_refused() -> None:
    with pytest.raises(PodSpecError, match="'a' stands twice among env"):
        merge({"env": []}, {"env": [{"name": "a"}, {"name": "a"}]})


def test_settings_of_a_domain_are_laid_over_those_of_its_project_like_templates() -> None:
    lower = {
        "image": "base",
        "image_pull_secrets": ["shared"],
        "labels": {"team": "vision", "tier": "low"},
        "pod_template": {"spec": {"nodeSelector": {"pool": "a"}, "tolerations": [{"key": "a"}]}},
        "pod_templates": {"fast": {"spec": {"priority": 1}}},
        "interruptible": {"tolerations": [{"key": "spot"}]},
    }
    upper = {
        "image": "own",
        "image_pull_secrets": ["own", "shared"],
        "labels": {"tier": "high"},
        "pod_template": {"spec": {"nodeSelector": {"disk": "ssd"}, "tolerations": [{"key": "b"}]}},
        "pod_templates": {"slow": {"spec": {"priority": 0}}},
        "interruptible": {"node_selector": {"spot": "true"}},
    }
    assert merge_settings(lower, upper) == {
        "image": "own",
        "image_pull_secrets": ["shared", "own"],
        "labels": {"team": "vision", "tier": "high"},
        "pod_template": {
            "spec": {"nodeSelector": {"pool": "a", "disk": "ssd"}, "tolerations": [{"key": "a"}, {"key": "b"}]}
        },
        "pod_templates": {"fast": {"spec": {"priority": 1}}, "slow": {"spec": {"priority": 0}}},
        "interruptible": {"tolerations": [{"key": "spot"}], "node_selector": {"spot": "true"}},
    }
