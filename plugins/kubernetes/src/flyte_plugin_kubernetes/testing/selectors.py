"""Label and field selectors, as the API reads them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from flyte_plugin_kubernetes.testing.kinds import Kind
from flyte_plugin_kubernetes.testing.refusals import bad_request

Json = dict[str, Any]
Matcher = Callable[[Json], bool]

_PIECE = re.compile(
    r"""\s*(?:
      (?P<absent>!)\s*(?P<key0>[^\s,!=()]+)
    | (?P<key1>[^\s,!=()]+)\s+(?P<op1>in|notin)\s*\((?P<values>[^)]*)\)
    | (?P<key2>[^\s,!=()<>]+)\s*(?P<op2>==|!=|=)\s*(?P<value>[^\s,()]*)
    | (?P<key3>[^\s,!=()]+)
    )\s*(?:,|$)""",
    re.VERBOSE,
)

#: The fields of each resource that can be selected by, besides name and namespace.
_FIELDS = {
    "pods": (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    ),
    "events": (
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    ),
    "jobs.batch": ("status.successful",),
    "secrets": ("type",),
    "nodes": ("spec.unschedulable",),
    "namespaces": ("status.phase",),
}


def label_matcher(text: str) -> Matcher:
    """What a ``labelSelector`` chooses.

    Raises:
        Refusal: 400, where it cannot be read.

    Example:
        >>> chosen = label_matcher("app=web,tier in (a, b),!old")
        >>> chosen({"metadata": {"labels": {"app": "web", "tier": "b"}}})
        True
        >>> chosen({"metadata": {"labels": {"app": "web"}}})
        False
    """
    tests = [_label_test(piece) for piece in _pieces(text)]
    return lambda found: all(test((found["metadata"].get("labels")) or {}) for test in tests)


def _pieces(text: str) -> list[re.Match[str]]:
    pieces, position = [], 0
    while position < len(text):
        piece = _PIECE.match(text, position)
        if piece is None:
            message = f'unable to parse requirement: found "{text[position:]}", expected: a requirement'
            raise bad_request(message)
        pieces.append(piece)
        position = piece.end()
    return pieces


def _label_test(piece: re.Match[str]) -> Callable[[dict[str, str]], bool]:
    if piece["absent"]:
        return lambda labels: piece["key0"] not in labels
    if piece["op1"]:
        values = {value.strip() for value in piece["values"].split(",")}
        if piece["op1"] == "in":
            return lambda labels: labels.get(piece["key1"]) in values
        return lambda labels: labels.get(piece["key1"]) not in values
    if piece["op2"]:
        if piece["op2"] == "!=":
            return lambda labels: labels.get(piece["key2"]) != piece["value"]
        return lambda labels: labels.get(piece["key2"]) == piece["value"]
    return lambda labels: piece["key3"] in labels


def field_matcher(text: str, kind: Kind) -> Matcher:
    """What a ``fieldSelector`` chooses.

    Raises:
        Refusal: 400 for a field that this resource cannot be selected by.
    """
    allowed = {"metadata.name", "metadata.namespace", *_FIELDS.get(kind.resource, ())}
    tests: list[tuple[str, str, bool]] = []
    for piece in filter(None, text.split(",")):
        parts = re.match(r"\s*([^!=\s]+)\s*(==|!=|=)\s*(.*?)\s*$", piece)
        if parts is None:
            raise bad_request(f"invalid selector: '{piece}'; can't understand '{piece}'")
        if parts[1] not in allowed:
            raise bad_request(
                f"field label not supported: {parts[1]}"
                if not kind.custom
                else f'field label not supported: "{parts[1]}"'
            )
        tests.append((parts[1], parts[3], parts[2] != "!="))
    return lambda found: all((_field(found, path) == value) is equal for path, value, equal in tests)


def _field(found: Json, path: str) -> str:
    here: Any = found
    for name in path.split("."):
        here = here.get(name) if isinstance(here, dict) else None
    if path == "spec.unschedulable":
        return "true" if here else "false"
    if path == "source" and isinstance(here, dict):
        return str(here.get("component", ""))
    return "" if here is None else str(here)
