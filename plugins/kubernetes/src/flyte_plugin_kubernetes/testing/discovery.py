"""What the server tells of itself: its version, its groups, and the resources of each."""

from __future__ import annotations

from typing import Any

from flyte_plugin_kubernetes.testing.kinds import VERBS, Kind

Json = dict[str, Any]

VERSION: Json = {
    "major": "1",
    "minor": "33",
    "gitVersion": "v1.33.0-flytepath-double",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "double",
}
_SUBRESOURCE_VERBS = {"log": ["get"], "binding": ["create"], "eviction": ["create"], "finalize": ["update"]}
_SUBRESOURCE_KINDS = {"binding": "Binding", "eviction": "Eviction"}


def describe(parts: list[str], kinds: list[Kind], address: str) -> Json | None:
    """The answer to a path of discovery; ``None`` where it is none."""
    match parts:
        case ["version"]:
            return VERSION
        case ["api"]:
            pairs = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
            return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": pairs}
        case ["apis"]:
            names = sorted({kind.group for kind in kinds if kind.group})
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(name, kinds) for name in names]}
        case ["apis", group]:
            if not any(kind.group == group for kind in kinds):
                return None
            return {"kind": "APIGroup", "apiVersion": "v1"} | _group(group, kinds)
        case ["api", "v1"]:
            return _resources("", "v1", kinds)
        case ["apis", group, version]:
            return _resources(group, version, kinds)
    return None


def _group(name: str, kinds: list[Kind]) -> Json:
    versions = list(dict.fromkeys(kind.version for kind in kinds if kind.group == name))
    shown = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": shown, "preferredVersion": shown[0]}


def _resources(group: str, version: str, kinds: list[Kind]) -> Json | None:
    found = [kind for kind in kinds if kind.group == group and kind.version == version]
    if not found:
        return None
    resources: list[Json] = []
    for kind in found:
        resources.append(
            {
                "name": kind.plural,
                "singularName": kind.singular,
                "namespaced": kind.namespaced,
                "kind": kind.kind,
                "verbs": list(VERBS),
                "shortNames": list(kind.short_names),
            }
        )
        for part in kind.subresources:
            resources.append(
                {
                    "name": f"{kind.plural}/{part}",
                    "singularName": "",
                    "namespaced": kind.namespaced,
                    "kind": _SUBRESOURCE_KINDS.get(part, kind.kind),
                    "verbs": _SUBRESOURCE_VERBS.get(part, ["get", "patch", "update"]),
                }
            )
    name = f"{group}/{version}" if group else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": resources}
