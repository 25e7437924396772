"""What a kind of object is called in the API, and where its objects are."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class ResourceKind:
    """A namespaced kind.

    Args:
        api_version: ``group/version``, or the version alone for the core group.
        kind: as it stands in manifests.
        plural: as it stands in paths.
        operator: what has to be installed for it to exist; empty for what every cluster has.

    Example:
        >>> ResourceKind("batch/v1", "Job", "jobs").path("team", "train")
        '/apis/batch/v1/namespaces/team/jobs/train'
        >>> POD.path()
        '/api/v1/pods'
    """

    api_version: str
    kind: str
    plural: str
    operator: str = ""

    @property
    def id(self) -> str:
        """How handles name it: ``pods`` or ``batch/v1/jobs``."""
        return self.plural if self.api_version == "v1" else f"{self.api_version}/{self.plural}"

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The path of its objects, in all namespaces or one, or of one object, or of a part of it."""
        root = "/api" if "/" not in self.api_version else "/apis"
        parts = [root, self.api_version]
        if namespace:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        parts += [quote(part, safe="") for part in (name, subresource) if part]
        return "/".join(parts)


POD = ResourceKind("v1", "Pod", "pods")
JOB = ResourceKind("batch/v1", "Job", "jobs")
EVENT = ResourceKind("v1", "Event", "events")

__all__ = ["EVENT", "JOB", "POD", "ResourceKind"]
