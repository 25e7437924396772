"""Defaults and checks of Jobs."""

from __future__ import annotations

from typing import Any

from flyte_plugin_kubernetes.testing import metadata_rules
from flyte_plugin_kubernetes.testing.pod_rules import pod_faults, with_pod_defaults
from flyte_plugin_kubernetes.testing.refusals import FieldFault, duplicate, invalid, required, unsupported

Json = dict[str, Any]


def with_job_defaults(job: Json) -> Json:
    """A new Job with what the server fills in: the selector by the controller's uid and the labels of its pods."""
    spec: Json = dict(job.get("spec") or {})
    uid, name = job["metadata"]["uid"], job["metadata"]["name"]
    indexed = spec.setdefault("completionMode", "NonIndexed") == "Indexed"
    if spec.get("completions") is None and spec.get("parallelism") is None and not indexed:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    spec.setdefault("backoffLimit", 2**31 - 1 if spec.get("backoffLimitPerIndex") is not None else 6)
    spec.setdefault("suspend", False)
    spec.setdefault("podReplacementPolicy", "Failed" if spec.get("podFailurePolicy") else "TerminatingOrFailed")
    for rule in (spec.get("podFailurePolicy") or {}).get("rules") or ():
        for pattern in rule.get("onPodConditions") or ():
            pattern.setdefault("status", "True")
    template: Json = dict(spec.get("template") or {})
    if not spec.get("manualSelector"):
        labels = {
            "batch.kubernetes.io/controller-uid": uid,
            "batch.kubernetes.io/job-name": name,
            "controller-uid": uid,
            "job-name": name,
        }
        metadata: Json = dict(template.get("metadata") or {})
        template["metadata"] = metadata | {"labels": (metadata.get("labels") or {}) | labels}
        spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    if template.get("spec"):
        template["spec"] = with_pod_defaults(template["spec"])
    spec["template"] = template
    return job | {"spec": spec}


def job_faults(job: Json) -> list[FieldFault]:
    """What is wrong with a Job."""
    spec: Json = job["spec"]
    faults: list[FieldFault] = []
    for name in (
        "parallelism",
        "completions",
        "backoffLimit",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
        "activeDeadlineSeconds",
        "ttlSecondsAfterFinished",
    ):
        if (spec.get(name) or 0) < 0:
            faults.append(invalid(f"spec.{name}", spec[name], "must be greater than or equal to 0"))
    mode = spec["completionMode"]
    if mode not in ("NonIndexed", "Indexed"):
        faults.append(unsupported("spec.completionMode", mode, ["Indexed", "NonIndexed"]))
    indexed = mode == "Indexed"
    if indexed and spec.get("completions") is None:
        faults.append(required("spec.completions", 'when completion mode is "Indexed"'))
    elif indexed:
        last = f"{job['metadata']['name']}-{max(spec['completions'] - 1, 0)}"
        if metadata_rules.dns_label("metadata.name", last):
            words = f"will not able to create pod with invalid DNS label: {last}"
            faults.append(invalid("metadata.name", job["metadata"]["name"], words))
        if spec["completions"] > 100_000 and spec["parallelism"] > 10_000:
            faults.append(invalid("spec.parallelism", spec["parallelism"], "must be less than or equal to 10000"))
    for name in ("backoffLimitPerIndex",):
        if spec.get(name) is not None and not indexed:
            faults.append(invalid(f"spec.{name}", spec[name], "requires indexed completion mode"))
    if spec.get("maxFailedIndexes") is not None:
        if spec.get("backoffLimitPerIndex") is None:
            faults.append(required("spec.backoffLimitPerIndex", "when maxFailedIndexes is specified"))
        elif spec.get("completions") is not None and spec["maxFailedIndexes"] > spec["completions"]:
            words = "must be less than or equal to completions"
            faults.append(invalid("spec.maxFailedIndexes", spec["maxFailedIndexes"], words))
    template: Json = spec["template"]
    metadata: Json = template.get("metadata") or {}
    faults += metadata_rules.label_faults("spec.template.labels", metadata.get("labels") or {})
    faults += metadata_rules.annotation_faults("spec.template.annotations", metadata.get("annotations") or {})
    if template.get("spec"):
        policies = ["OnFailure", "Never"]
        faults += pod_faults(template["spec"], "spec.template.spec", allowed_policies=policies)
    else:
        faults.append(required("spec.template.spec"))
    if spec.get("podFailurePolicy") is not None:
        faults += _policy_faults(spec)
    return faults


def _policy_faults(spec: Json) -> list[FieldFault]:
    faults: list[FieldFault] = []
    pod: Json = spec["template"].get("spec") or {}
    if pod.get("restartPolicy") != "Never":
        words = 'only "Never" is supported when podFailurePolicy is specified'
        faults.append(invalid("spec.template.spec.restartPolicy", pod.get("restartPolicy"), words))
    if spec.get("podReplacementPolicy") != "Failed":
        faults.append(unsupported("spec.podReplacementPolicy", spec.get("podReplacementPolicy"), ["Failed"]))
    containers = {item.get("name") for group in ("containers", "initContainers") for item in pod.get(group) or ()}
    for at, rule in enumerate(spec["podFailurePolicy"].get("rules") or ()):
        here = f"spec.podFailurePolicy.rules[{at}]"
        allowed = ["Count", "FailIndex", "FailJob", "Ignore"]
        if rule.get("action") not in allowed:
            faults.append(unsupported(f"{here}.action", rule.get("action", ""), allowed))
        if rule.get("action") == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
            faults.append(invalid(f"{here}.action", "FailIndex", "requires the backoffLimitPerIndex to be set"))
        codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions")
        if bool(codes) == bool(conditions):
            words = "specifying one of OnExitCodes and OnPodConditions is required"
            if codes:
                words = "specifying both OnExitCodes and OnPodConditions is not supported"
            faults.append(invalid(here, rule, words))
        if codes:
            name = codes.get("containerName")
            if name is not None and name not in containers:
                faults.append(
                    invalid(
                        f"{here}.onExitCodes.containerName",
                        name,
                        "must be one of the container or initContainer names in the pod template",
                    )
                )
            if codes.get("operator") not in ("In", "NotIn"):
                faults.append(unsupported(f"{here}.onExitCodes.operator", codes.get("operator", ""), ["In", "NotIn"]))
            values = codes.get("values") or []
            if not values:
                words = "at least one value is required"
                faults.append(invalid(f"{here}.onExitCodes.values", values, words))
            if codes.get("operator") == "In" and 0 in values:
                faults.append(
                    invalid(f"{here}.onExitCodes.values[{values.index(0)}]", 0, "must not be 0 for the In operator")
                )
            if len(set(values)) != len(values):
                faults.append(duplicate(f"{here}.onExitCodes.values", values))
            elif sorted(values) != values:
                faults.append(invalid(f"{here}.onExitCodes.values", values, "must be ordered"))
    return faults


def job_change_faults(before: Json, after: Json) -> list[FieldFault]:
    """What of a Job's spec was changed and may not be."""
    faults = []
    frozen = ["selector", "completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy"]
    if not (before["spec"].get("suspend") and not (before.get("status") or {}).get("startTime")):
        frozen.append("template")
    if before["spec"]["completionMode"] != "Indexed" or after["spec"].get("completions") != after["spec"].get(
        "parallelism"
    ):
        frozen.append("completions")
    for name in frozen:
        if before["spec"].get(name) != after["spec"].get(name):
            faults.append(invalid(f"spec.{name}", after["spec"].get(name), "field is immutable"))
    return faults
