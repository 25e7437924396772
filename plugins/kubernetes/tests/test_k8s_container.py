"""``ContainerTask`` on a cluster: inputs as data in the command, and the order of the three containers."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import math
import zoneinfo
from typing import Any

import pytest
from flyte_plugin_kubernetes import ContainerValueError, KubernetesSettings, PodSpecError, pod_template_of
from flyte_plugin_kubernetes.literal_text import text_of
from flytepath.plugin import BlobRef, Literal, LiteralType, Resources, SecretReference
from hypothesis import given
from hypothesis import strategies as st
from k8s_pod_requests import container, expanded, literal_of, request, variables

SETTINGS: dict[str, Any] = {"helper_image": "helper:1"}


def payload(command: list[str], arguments: list[str] | None = None, **others: Any) -> dict[str, Any]:
    return {
        "image": "alpine:3.20",
        "command": command,
        "arguments": arguments or [],
        "input_data_dir": "/var/inputs",
        "output_data_dir": "/var/outputs",
        "metadata_format": "json",
        "environment": {},
        "local_logs": False,
        **others,
    }


def pod(
    command: list[str],
    arguments: list[str] | None = None,
    *,
    inputs: dict[str, Literal] | None = None,
    settings: dict[str, Any] = SETTINGS,
    item_position: str | None = None,
    more: dict[str, Any] | None = None,
    **changes: Any,
) -> dict[str, Any]:
    asked = request(
        task_type="container", payload=payload(command, arguments, **(more or {})), inputs=inputs or {}, **changes
    )
    return pod_template_of(asked, KubernetesSettings(**settings), item_position=item_position)


def names(found: list[dict[str, Any]]) -> list[str]:
    return [one["name"] for one in found]


def test_the_users_container_runs_between_two_workers_and_the_last_one_ends_the_task() -> None:
    made = pod(["run"])
    spec = made["spec"]
    assert names(spec["initContainers"]) == ["flytepath-inputs", "primary"]
    assert names(spec["containers"]) == ["flytepath-outputs"]
    assert made["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"] == "flytepath-outputs"
    assert container(made)["image"] == "alpine:3.20"
    for stage in ("inputs", "outputs"):
        helper = container(made, f"flytepath-{stage}")
        assert helper["image"] == "helper:1"
        assert helper["command"] == list(request().worker.argv)  # type: ignore[union-attr]
        assert variables(helper)["FLYTEPATH_CONTAINER_STAGE"] == stage
        assert variables(helper)["FLYTEPATH_CONTAINER_INPUTS"] == "/var/inputs"
        assert variables(helper)["FLYTEPATH_CONTAINER_OUTPUTS"] == "/var/outputs"


def test_all_three_share_the_folders_of_inputs_and_outputs() -> None:
    made = pod(["run"], more={"input_data_dir": "/in", "output_data_dir": "/out"})
    assert names(made["spec"]["volumes"]) == ["flytepath-inputs", "flytepath-outputs"]
    for name in ("flytepath-inputs", "primary", "flytepath-outputs"):
        assert [mount["mountPath"] for mount in container(made, name)["volumeMounts"]] == ["/in", "/out"]


def test_the_users_container_has_the_resources_and_variables_of_the_task_and_not_the_workers() -> None:
    made = pod(["run"], variables={"A": "1"}, more={"environment": {"B": "$(A)"}}, requests=Resources(cpu=2))
    assert variables(container(made)) == {"A": "1", "B": "$$(A)"}
    assert container(made)["resources"] == {"requests": {"cpu": "2"}}
    assert container(made, "flytepath-outputs")["resources"] == {"requests": {"cpu": "100m", "memory": "256Mi"}}


def test_an_empty_command_leaves_the_entry_point_of_the_image() -> None:
    found = container(pod([], ["--fast"]))
    assert "command" not in found
    assert found["args"] == ["--fast"]


def test_templates_of_inputs_are_whole_arguments_or_pieces_of_one() -> None:
    inputs = {"a": literal_of(3), "b": literal_of("x y")}
    found = container(pod(["run", "{{.inputs.a}}"], ["--b=<{{ .inputs.b }}>", "{{.other}}"], inputs=inputs))
    assert found["command"] == ["run", "3"]
    assert found["args"] == ["--b=<x y>", "{{.other}}"]


HOSTILE = "a'b\"c $(id) `id` ; | & \n é {{.inputs.a}} $$ $(HOME)"


def test_a_value_is_never_more_than_a_value() -> None:
    found = container(pod(["run", "{{.inputs.a}}"], inputs={"a": literal_of(HOSTILE)}))
    assert expanded(found["command"][1], {"HOME": "/root", "id": "x"}) == HOSTILE


def test_a_file_is_its_path_in_the_container() -> None:
    file = Literal.make(LiteralType("file"), None, format="file", ref=BlobRef("s3://bucket/x", "sha256:00", 1))
    found = container(pod(["cat", "{{.inputs.data}}"], inputs={"data": file}))
    assert found["command"] == ["cat", "/var/inputs/data"]


@pytest.mark.parametrize("letter", ["\0", "\ud800"])
def test_what_no_argument_can_hold_is_refused(letter: str) -> None:
    with pytest.raises(ContainerValueError, match="no argument") as caught:
        pod(["run", "{{.inputs.a}}"], inputs={"a": literal_of(f"a{letter}b")})
    assert caught.value.place == "flow.train(a)"


def test_a_value_too_large_for_a_command_is_refused_and_left_to_its_file() -> None:
    large = literal_of("x" * 100).offloaded(BlobRef("s3://bucket/x", "sha256:00", 100))
    with pytest.raises(ContainerValueError, match="too large") as caught:
        pod(["run", "{{.inputs.a}}"], inputs={"a": large})
    assert "file" in str(caught.value.hint)
    assert pod(["run"], inputs={"a": large})


def test_the_items_of_a_map_share_a_command() -> None:
    items = {"items": (3, 5), "item_inputs": ({"a": literal_of(1)}, {"a": literal_of(2)}), "item_position": "$(INDEX)"}
    with pytest.raises(ContainerValueError, match="the same for all"):
        pod(["run", "{{.inputs.a}}"], **items)
    made = pod(["run"], **items)
    for stage in ("flytepath-inputs", "flytepath-outputs"):
        assert container(made, stage)["command"][-2:] == ["--item", "$(INDEX)"]


def test_the_only_item_of_a_slice_has_its_value_in_the_command() -> None:
    made = pod(["run", "{{.inputs.a}}"], items=(3,), item_inputs=({"a": literal_of(7)},), item_position="$(INDEX)")
    assert container(made)["command"] == ["run", "7"]


def test_sidecars_run_beside_all_three() -> None:
    spec = {"containers": [{"name": "proxy", "image": "envoy:1"}], "initContainers": [{"name": "get", "image": "g:1"}]}
    made = pod(["run"], pod_template={"pod_spec": spec})
    assert names(made["spec"]["initContainers"]) == ["get", "proxy", "flytepath-inputs", "primary"]
    assert container(made, "proxy")["restartPolicy"] == "Always"


def test_what_only_containers_side_by_side_have_is_refused() -> None:
    spec = {"containers": [{"name": "primary", "livenessProbe": {"exec": {"command": ["true"]}}}]}
    with pytest.raises(PodSpecError, match="has no livenessProbe"):
        pod(["run"], pod_template={"pod_spec": spec})


def test_without_an_image_for_the_workers_it_is_refused() -> None:
    with pytest.raises(PodSpecError) as caught:
        pod(["run"], settings={})
    assert "helper_image" in str(caught.value.expected)
    assert container(pod(["run"], settings={"image": "flows:1"}), "flytepath-inputs")["image"] == "flows:1"


def test_protocol_buffers_are_refused() -> None:
    with pytest.raises(PodSpecError, match="JSON or YAML"):
        pod(["run"], more={"metadata_format": "proto"})


def test_the_users_container_is_given_the_secrets_it_asked_for() -> None:
    made = pod(["run"], secrets=(SecretReference("db", "password"),))
    for name in ("flytepath-inputs", "primary", "flytepath-outputs"):
        assert "_FSEC_DB_PASSWORD" in variables(container(made, name))


# --- the text of a value is that of a direct call ----------------------------------------------------------------


class Colour(enum.Enum):
    RED = "#f00"


@dataclasses.dataclass
class Config:
    rate: float
    wait: dt.timedelta
    colours: list[Colour]
    inner: Config | None = None


PARIS = zoneinfo.ZoneInfo("Europe/Paris")


@pytest.mark.parametrize(
    ("declared", "value", "text"),
    [
        (int, 2**70, str(2**70)),
        (float, 3.0, "3.0"),
        (float, math.nan, "NaN"),
        (float, -math.inf, "-Infinity"),
        (bool, True, "true"),
        (int | None, None, ""),
        (int | str, "5", "5"),
        (int | str, 5, "5"),
        (dt.datetime, dt.datetime(2024, 1, 1, tzinfo=PARIS), "2024-01-01T00:00:00+01:00"),
        (dt.date, dt.date(2024, 1, 1), "2024-01-01"),
        (dt.timedelta, dt.timedelta(days=1, microseconds=1), "86400.000001"),
        (decimal.Decimal, decimal.Decimal("1.10"), "1.10"),
        (bytes, b"ab", "YWI="),
        (Colour, Colour.RED, "#f00"),
        (list[int], [1, 2], "[1, 2]"),
        (set[str], {"b", "a"}, '["a", "b"]'),
        (tuple[int, str], (1, "é"), '[1, "é"]'),
        (dict[int, bool], {1: True}, '{"1": true}'),
        (
            Config,
            Config(0.5, dt.timedelta(seconds=1), [Colour.RED], Config(1.0, dt.timedelta(0), [])),
            '{"rate": 0.5, "wait": 1.0, "colours": ["#f00"], '
            '"inner": {"rate": 1.0, "wait": 0.0, "colours": [], "inner": null}}',
        ),
    ],
)
def test_every_kind_of_value_has_the_text_that_a_direct_call_gives_it(declared: Any, value: Any, text: str) -> None:
    assert text_of(literal_of(value, declared), "x") == text


@given(st.text())
def test_text_is_itself(value: str) -> None:
    literal = literal_of(value)
    if "\0" in value or not isinstance(literal.data, str):
        with pytest.raises(ContainerValueError):
            text_of(literal, "x")
    else:
        assert text_of(literal, "x") == value
