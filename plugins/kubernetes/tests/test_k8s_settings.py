"""Settings: what is taken, what is refused and where, and what a tenant's namespace and account are."""

from __future__ import annotations

from typing import Any

import pytest
from flyte_plugin_kubernetes import KubernetesNameError, KubernetesSettings
from flytepath.plugin import Tenant
from pydantic import ValidationError

TENANT = Tenant("vision", "production")


def refused(**values: Any) -> dict[str, Any]:
    with pytest.raises(ValidationError) as caught:
        KubernetesSettings(**values)
    return caught.value.errors(include_url=False)[0]  # type: ignore[return-value]


def test_a_tenant_has_a_namespace_of_its_own() -> None:
    assert KubernetesSettings().namespace_of(TENANT) == "vision-production"
    assert KubernetesSettings(namespace="flows").namespace_of(TENANT) == "flows"
    assert KubernetesSettings(namespace="{domain}-x-{project}").namespace_of(TENANT) == "production-x-vision"


@pytest.mark.parametrize(("namespace", "tenant"), [("{project}-{domain}", Tenant("a_b", "c")), ("Upper", TENANT)])
def test_a_namespace_that_cannot_be_is_refused_with_what_to_say_instead(namespace: str, tenant: Tenant) -> None:
    with pytest.raises(KubernetesNameError) as caught:
        KubernetesSettings(namespace=namespace).namespace_of(tenant)
    assert f"[projects.{tenant.project}.domains.{tenant.domain}.backends.kubernetes]" in str(caught.value.hint)


def test_a_namespace_of_more_than_63_characters_is_refused_and_never_cut() -> None:
    with pytest.raises(KubernetesNameError):
        KubernetesSettings().namespace_of(Tenant("a" * 40, "b" * 40))


def test_a_service_account_is_made_of_the_tenant() -> None:
    assert KubernetesSettings(service_account="worker-{project}").service_account_of(TENANT) == "worker-vision"
    assert KubernetesSettings().service_account_of(TENANT) == ""


@pytest.mark.parametrize(
    "template", ["{project", "{team}", "{project!r}", "{project:>9}", "{project:{domain}}", "{}", "{0}"]
)
def test_a_template_with_other_fields_is_refused(template: str) -> None:
    assert refused(namespace=template)["loc"] == ("namespace",)
    assert refused(service_account=template)["loc"] == ("service_account",)


def test_namespaces_are_names_of_namespaces() -> None:
    assert KubernetesSettings(namespaces=["a", "b-c"]).namespaces == ("a", "b-c")
    assert refused(namespaces=["a", "No Name"])["loc"] == ("namespaces",)


def test_attributes_of_a_field_are_not_reached() -> None:
    assert refused(namespace="{project.__class__}")["loc"] == ("namespace",)


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"imagee": "x"}, ("imagee",)),
        ({"accelerators": {"nvidia-l4": {"colour": "red"}}}, ("accelerators", "nvidia-l4", "colour")),
        ({"keep_finished": -1}, ("keep_finished",)),
        ({"keep_finished": float("inf")}, ("keep_finished",)),
        ({"request_seconds": 0}, ("request_seconds",)),
        ({"image_pull_policy": "Sometimes"}, ("image_pull_policy",)),
        ({"secrets": {"mount": "paper"}}, ("secrets", "mount")),
        ({"secrets": {"name": "{key}"}}, ("secrets", "name")),
        ({"namespace": ""}, ("namespace",)),
        ({"labels": {"team": "v" * 64}}, ("labels",)),
        ({"annotations": {"no key": "x"}}, ("annotations",)),
        ({"pod_template": {"containers": []}}, ("pod_template",)),
        ({"pod_template": {"metadata": {"name": "x"}}}, ("pod_template",)),
        ({"pod_templates": {"fast": {"spec": {"restartPolicy": "Always"}}}}, ("pod_templates",)),
        ({"helper_resources": {"least": {"cpu": "1"}}}, ("helper_resources", "least", "[key]")),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(values: dict[str, Any], place: tuple[str, ...]) -> None:
    assert refused(**values)["loc"] == place


def test_an_error_shows_no_value_of_a_setting() -> None:
    with pytest.raises(ValidationError) as caught:
        KubernetesSettings(image={"password": "hunter2"})  # type: ignore[arg-type]
    assert "hunter2" not in str(caught.value)


def test_settings_do_not_change() -> None:
    settings = KubernetesSettings()
    with pytest.raises(ValidationError):
        settings.image = "other"  # type: ignore[misc]


def test_a_device_is_asked_for_as_configured_and_else_as_by_default() -> None:
    own = {"nvidia-l4": {"resource": "acme.com/l4", "label": "acme.com/device", "value": "L4"}}
    known = KubernetesSettings(accelerators=own).accelerator("nvidia-l4")
    assert (known.resource, known.label, known.value) == ("acme.com/l4", "acme.com/device", "L4")
    default = KubernetesSettings().accelerator("nvidia-l4")
    assert (default.resource, default.value) == ("nvidia.com/gpu", "nvidia-l4")
    tpu = KubernetesSettings().accelerator("tpu-v5-lite-podslice")
    assert (tpu.resource, tpu.label) == ("google.com/tpu", "cloud.google.com/gke-tpu-accelerator")
