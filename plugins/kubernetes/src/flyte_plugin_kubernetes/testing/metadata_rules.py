"""What names, labels and annotations may be."""

from __future__ import annotations

import re
from typing import Any

from flyte_plugin_kubernetes.testing.refusals import FieldFault, invalid, required, too_long

Json = dict[str, Any]

_LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
_SUBDOMAIN = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
_QUALIFIED = re.compile(r"^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$")
_ANNOTATIONS_BYTES = 256 * 1024

_LABEL_WORDS = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_SUBDOMAIN_WORDS = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_VALUE_WORDS = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_NAME_PART_WORDS = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)


def dns_label(field: str, value: str) -> list[FieldFault]:
    """The faults of what must be a DNS-1123 label."""
    if len(value) > 63:
        return [invalid(field, value, "must be no more than 63 characters")]
    return [] if _LABEL.match(value) else [invalid(field, value, _LABEL_WORDS)]


def dns_subdomain(field: str, value: str) -> list[FieldFault]:
    """The faults of what must be a DNS-1123 subdomain."""
    if len(value) > 253:
        return [invalid(field, value, "must be no more than 253 characters")]
    return [] if _SUBDOMAIN.match(value) else [invalid(field, value, _SUBDOMAIN_WORDS)]


def label_faults(field: str, found: dict[str, str]) -> list[FieldFault]:
    """The faults of a map of labels."""
    faults = []
    for key, value in found.items():
        faults += _qualified_name(field, key)
        if len(value) > 63:
            faults.append(invalid(field, value, "must be no more than 63 characters"))
        elif value and not _QUALIFIED.match(value):
            faults.append(invalid(field, value, _VALUE_WORDS))
    return faults


def _qualified_name(field: str, key: str) -> list[FieldFault]:
    prefix, slash, name = key.rpartition("/")
    if "/" in prefix:
        return [invalid(field, key, f"a qualified name must consist of one name after an optional prefix: {key}")]
    faults = []
    if slash and not prefix:
        faults.append(invalid(field, key, "prefix part must be non-empty"))
    elif slash and (len(prefix) > 253 or not _SUBDOMAIN.match(prefix)):
        faults.append(invalid(field, key, f"prefix part {_SUBDOMAIN_WORDS}"))
    if not name:
        faults.append(invalid(field, key, "name part must be non-empty"))
    elif len(name) > 63:
        faults.append(invalid(field, key, "name part must be no more than 63 characters"))
    elif not _QUALIFIED.match(name):
        faults.append(invalid(field, key, _NAME_PART_WORDS))
    return faults


def metadata_faults(metadata: Json, *, label_name: bool = False, field: str = "metadata") -> list[FieldFault]:
    """The faults of an object's metadata.

    Args:
        label_name: the resource's names are DNS labels, as those of namespaces are.
    """
    name = metadata.get("name", "")
    if not name:
        return [required(f"{field}.name", "name or generateName is required")]
    faults = dns_label(f"{field}.name", name) if label_name else dns_subdomain(f"{field}.name", name)
    faults += label_faults(f"{field}.labels", metadata.get("labels") or {})
    faults += annotation_faults(f"{field}.annotations", metadata.get("annotations") or {})
    for at, finalizer in enumerate(metadata.get("finalizers") or ()):
        faults += _qualified_name(f"{field}.finalizers[{at}]", finalizer)
    for at, owner in enumerate(metadata.get("ownerReferences") or ()):
        for part in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(part):
                faults.append(invalid(f"{field}.ownerReferences[{at}].{part}", "", "must not be empty"))
    return faults


def annotation_faults(field: str, found: dict[str, str]) -> list[FieldFault]:
    """The faults of a map of annotations: the keys' syntax, and their size together."""
    faults = []
    for key in found:
        faults += _qualified_name(field, key.lower())
    if sum(len(key.encode()) + len(value.encode()) for key, value in found.items()) > _ANNOTATIONS_BYTES:
        faults.append(too_long(field, _ANNOTATIONS_BYTES))
    return faults
