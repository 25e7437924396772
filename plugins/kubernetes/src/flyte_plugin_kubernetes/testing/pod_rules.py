"""Defaults and checks of pods and pod templates: those of the real server that a wrong manifest meets."""

from __future__ import annotations

import re
from typing import Any

from flyte_plugin_kubernetes.testing import metadata_rules
from flyte_plugin_kubernetes.testing.amounts import amount
from flyte_plugin_kubernetes.testing.refusals import (
    FieldFault,
    duplicate,
    forbidden_field,
    invalid,
    required,
    unsupported,
)

Json = dict[str, Any]

_ENV_NAME = re.compile(r"^[^=\x00-\x1f\x7f-\uffff]+$")
_OVERCOMMIT = ("cpu", "memory", "ephemeral-storage", "storage")
_POLICIES = ["Always", "OnFailure", "Never"]


def with_pod_defaults(spec: Json) -> Json:
    """A pod's spec with what the server fills in."""
    filled: Json = {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "securityContext": {},
        "schedulerName": "default-scheduler",
        "enableServiceLinks": True,
    } | spec
    for name in ("containers", "initContainers"):
        if name in filled:
            filled[name] = [_container_defaults(item) for item in filled[name]]
    for account, other in (("serviceAccountName", "serviceAccount"), ("serviceAccount", "serviceAccountName")):
        if filled.get(account):
            filled.setdefault(other, filled[account])
    return filled


def _container_defaults(container: Json) -> Json:
    image = container.get("image", "")
    latest = "@" not in image and (":" not in image.rsplit("/", 1)[-1] or image.endswith(":latest"))
    filled: Json = {
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "Always" if latest else "IfNotPresent",
        "resources": {},
    } | container
    resources = filled["resources"]
    if resources.get("limits"):
        filled["resources"] = resources | {"requests": resources["limits"] | (resources.get("requests") or {})}
    if "ports" in filled:
        filled["ports"] = [{"protocol": "TCP"} | port for port in filled["ports"]]
    return filled


def pod_faults(spec: Json, field: str = "spec", *, allowed_policies: list[str] | None = None) -> list[FieldFault]:
    """What is wrong with a pod's spec."""
    faults: list[FieldFault] = []
    volumes = _volume_faults(spec, field, faults)
    if not spec.get("containers"):
        faults.append(required(f"{field}.containers"))
    names: set[str] = set()
    for group in ("initContainers", "containers"):
        for at, container in enumerate(spec.get(group) or ()):
            here = f"{field}.{group}[{at}]"
            faults += _container_faults(container, here, volumes)
            name = container.get("name", "")
            if name in names:
                faults.append(duplicate(f"{here}.name", name))
            names.add(name)
            policy = container.get("restartPolicy")
            if policy is not None and group == "initContainers" and policy != "Always":
                faults.append(unsupported(f"{here}.restartPolicy", policy, ["Always"]))
            elif policy is not None and group == "containers" and policy not in _POLICIES:
                faults.append(unsupported(f"{here}.restartPolicy", policy, _POLICIES))
    allowed = allowed_policies or _POLICIES
    policy = spec.get("restartPolicy", "Always")
    if policy not in allowed:
        faults.append(
            unsupported(f"{field}.restartPolicy", policy, allowed)
            if allowed_policies is None
            else required(f"{field}.restartPolicy", 'valid values: "OnFailure", "Never"')
            if policy == "Always" and not spec.get("restartPolicy")
            else unsupported(f"{field}.restartPolicy", policy, allowed)
        )
    for name in ("serviceAccountName", "priorityClassName", "nodeName"):
        if spec.get(name):
            faults += metadata_rules.dns_subdomain(f"{field}.{name}", spec[name])
    faults += metadata_rules.label_faults(f"{field}.nodeSelector", spec.get("nodeSelector") or {})
    if spec.get("activeDeadlineSeconds") is not None and not 1 <= spec["activeDeadlineSeconds"] <= 2**31 - 1:
        value = spec["activeDeadlineSeconds"]
        faults.append(invalid(f"{field}.activeDeadlineSeconds", value, "must be between 1 and 2147483647, inclusive"))
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        value = spec["terminationGracePeriodSeconds"]
        faults.append(invalid(f"{field}.terminationGracePeriodSeconds", value, "must be greater than or equal to 0"))
    for at, toleration in enumerate(spec.get("tolerations") or ()):
        faults += _toleration_faults(toleration, f"{field}.tolerations[{at}]")
    return faults


def _volume_faults(spec: Json, field: str, faults: list[FieldFault]) -> set[str]:
    names: set[str] = set()
    for at, volume in enumerate(spec.get("volumes") or ()):
        here, name = f"{field}.volumes[{at}]", volume.get("name", "")
        faults += metadata_rules.dns_label(f"{here}.name", name) if name else [required(f"{here}.name")]
        if name in names:
            faults.append(duplicate(f"{here}.name", name))
        names.add(name)
        sources = [source for source in volume if source != "name"]
        if len(sources) > 1:
            faults.append(forbidden_field(f"{here}.{sources[1]}", "may not specify more than 1 volume type"))
        elif not sources:
            faults.append(required(here, "must specify a volume type"))
        limit = (volume.get("emptyDir") or {}).get("sizeLimit")
        if limit is not None and amount(limit) is None:
            faults.append(invalid(f"{here}.emptyDir.sizeLimit", limit, _QUANTITY_WORDS))
        if "secret" in volume and not (volume["secret"] or {}).get("secretName"):
            faults.append(required(f"{here}.secret.secretName"))
    return names


_QUANTITY_WORDS = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


def _container_faults(container: Json, here: str, volumes: set[str]) -> list[FieldFault]:
    name = container.get("name", "")
    faults = metadata_rules.dns_label(f"{here}.name", name) if name else [required(f"{here}.name")]
    image = container.get("image", "")
    if not image:
        faults.append(required(f"{here}.image"))
    elif image != image.strip():
        faults.append(invalid(f"{here}.image", image, "must not have leading or trailing whitespace"))
    policy = container.get("imagePullPolicy")
    if policy is not None and policy not in ("Always", "IfNotPresent", "Never"):
        faults.append(unsupported(f"{here}.imagePullPolicy", policy, ["Always", "IfNotPresent", "Never"]))
    for at, variable in enumerate(container.get("env") or ()):
        place = f"{here}.env[{at}]"
        if not variable.get("name"):
            faults.append(required(f"{place}.name"))
        elif not _ENV_NAME.match(variable["name"]):
            faults.append(
                invalid(
                    f"{place}.name",
                    variable["name"],
                    "a valid environment variable name must consist only of printable ASCII characters other than '='",
                )
            )
        if variable.get("value") and variable.get("valueFrom"):
            faults.append(invalid(f"{place}.valueFrom", "", "may not be specified when `value` is not empty"))
        if "valueFrom" in variable and len(variable["valueFrom"]) != 1:
            words = "may not have more than one field specified at a time"
            faults.append(
                invalid(
                    f"{place}.valueFrom",
                    "",
                    words
                    if variable["valueFrom"]
                    else "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`",
                )
            )
    paths: set[str] = set()
    for at, mount in enumerate(container.get("volumeMounts") or ()):
        place = f"{here}.volumeMounts[{at}]"
        if not mount.get("name"):
            faults.append(required(f"{place}.name"))
        elif mount["name"] not in volumes:
            faults.append(FieldFault(f"{place}.name", "FieldValueNotFound", f'Not found: "{mount["name"]}"'))
        if not mount.get("mountPath"):
            faults.append(required(f"{place}.mountPath"))
        elif mount["mountPath"] in paths:
            faults.append(invalid(f"{place}.mountPath", mount["mountPath"], "must be unique"))
        paths.add(mount.get("mountPath", ""))
    for at, port in enumerate(container.get("ports") or ()):
        number = port.get("containerPort")
        if number is None:
            faults.append(required(f"{here}.ports[{at}].containerPort"))
        elif not 0 < number < 65536:
            faults.append(
                invalid(f"{here}.ports[{at}].containerPort", number, "must be between 1 and 65535, inclusive")
            )
    return faults + _resource_faults(container.get("resources") or {}, f"{here}.resources")


def _resource_faults(resources: Json, here: str) -> list[FieldFault]:
    faults: list[FieldFault] = []
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    for side, found in (("limits", limits), ("requests", requests)):
        for name, value in found.items():
            number = amount(value)
            place = f"{here}.{side}"
            if name not in (*_OVERCOMMIT, "pods") and not name.startswith("hugepages-") and "/" not in name:
                faults.append(
                    invalid(
                        f"{place}[{name}]",
                        name,
                        "must be a standard resource type or fully qualified",
                    )
                )
            if number is None:
                faults.append(invalid(f"{place}[{name}]", value, _QUANTITY_WORDS))
            elif number < 0:
                faults.append(invalid(f"{place}[{name}]", value, "must be greater than or equal to 0"))
            elif "/" in name and number.denominator != 1:
                faults.append(invalid(f"{place}[{name}]", value, "must be an integer"))
    for name, value in requests.items():
        asked, limit = amount(value), amount(limits[name]) if name in limits else None
        if name in limits and asked is not None and limit is not None:
            if "/" in name and asked != limit:
                words = f"must be equal to {name} limit of {limits[name]}"
                faults.append(invalid(f"{here}.requests", value, words))
            elif asked > limit:
                words = f"must be less than or equal to {name} limit of {limits[name]}"
                faults.append(invalid(f"{here}.requests", value, words))
        elif "/" in name and name not in limits:
            faults.append(required(f"{here}.limits", "Limit must be set for non overcommitable resources"))
    return faults


def _toleration_faults(toleration: Json, here: str) -> list[FieldFault]:
    faults: list[FieldFault] = []
    operator = toleration.get("operator", "Equal")
    if operator not in ("Equal", "Exists"):
        faults.append(unsupported(f"{here}.operator", operator, ["Equal", "Exists"]))
    if not toleration.get("key") and operator != "Exists":
        faults.append(
            invalid(
                f"{here}.operator",
                operator,
                'operator must be Exists when `key` is empty, which means "match all values and all keys"',
            )
        )
    if operator == "Exists" and toleration.get("value"):
        faults.append(invalid(f"{here}.operator", toleration, "value must be empty when `operator` is 'Exists'"))
    effect = toleration.get("effect")
    if effect and effect not in ("NoSchedule", "PreferNoSchedule", "NoExecute"):
        faults.append(unsupported(f"{here}.effect", effect, ["NoSchedule", "PreferNoSchedule", "NoExecute"]))
    if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
        faults.append(
            invalid(f"{here}.effect", effect or "", "effect must be 'NoExecute' when `tolerationSeconds` is set")
        )
    return faults


def pod_change_faults(before: Json, after: Json) -> list[FieldFault]:
    """What of a running pod's spec was changed and may not be."""

    def frozen(spec: Json) -> Json:
        kept = {name: value for name, value in spec.items() if name not in ("tolerations", "activeDeadlineSeconds")}
        for group in ("containers", "initContainers"):
            if group in kept:
                kept[group] = [{k: v for k, v in item.items() if k != "image"} for item in kept[group]]
        return kept

    faults = []
    kept = [item for item in before.get("tolerations") or () if item in (after.get("tolerations") or ())]
    if len(kept) != len(before.get("tolerations") or ()):
        words = "existing toleration can not be modified except its tolerationSeconds"
        faults.append(forbidden_field("spec.tolerations", words))
    old, new = before.get("activeDeadlineSeconds"), after.get("activeDeadlineSeconds")
    if old is not None and (new is None or new > old):
        words = f"must be less than or equal to previous value {old}"
        faults.append(invalid("spec.activeDeadlineSeconds", new, words))
    if frozen(before) != frozen(after):
        words = (
            "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
            "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
            "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
        )
        faults.append(forbidden_field("spec", words))
    return faults


def quality_of_service(spec: Json) -> str:
    """The class that the pod's requests and limits make."""
    containers = spec.get("containers", [])
    sides = [
        (c.get("resources", {}).get("requests") or {}, c.get("resources", {}).get("limits") or {}) for c in containers
    ]
    if not any(requests or limits for requests, limits in sides):
        return "BestEffort"
    whole = all(
        {"cpu", "memory"} <= set(limits)
        and all(amount(requests.get(n)) == amount(limits[n]) for n in ("cpu", "memory"))
        for requests, limits in sides
    )
    return "Guaranteed" if whole else "Burstable"
