"""What marks a query as ours: its tag, and the request id of its submission."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from flytepath.plugin import BackendError, ErrorClass, FlytePathError, JobKey, Owner, Plan, Tenant

Json = Any
#: The longest query tag that Snowflake takes.
TAG_LIMIT: Final = 2000


@dataclass(frozen=True, slots=True)
class Stamp:
    """Whose a query is, as its tag says."""

    key: JobKey
    owner: Owner
    digest: str


def tag_of(key: JobKey, owner: Owner, digest: str) -> str:
    """The query tag. The key comes first and the installation second, so that both can be searched for as text.

    Raises:
        BackendError: it would be longer than Snowflake takes.
    """
    tenant = owner.tenant
    data = {
        "flytepath-key": key.value,
        "installation": owner.installation,
        "digest": digest,
        "owner": [tenant.project, tenant.domain, owner.execution, owner.node_path],
    }
    text = _json(data)
    if len(text) > TAG_LIMIT:
        raise BackendError(
            f"the owner of the query does not fit into its tag: {len(text)} characters",
            error_class=ErrorClass.INVALID,
            accepted=False,
            hint=f"Snowflake takes {TAG_LIMIT}; shorten the names on the path {owner.node_path[:80]!r}",
        )
    return text


def key_prefix(key: JobKey) -> str:
    """How the tag of every query of a key begins."""
    return _json({"flytepath-key": key.value})[:-1] + ","


def installation_part(installation: str) -> str:
    """What the tag of every query of an installation holds."""
    return _json({"installation": installation})[1:-1] + ","


def stamp_of(tag: str | None) -> Stamp | None:
    """The stamp of a tag; ``None`` where it is none of ours, or a part of one.

    Example:
        >>> owner = Owner("here", Tenant("p", "d"), "e1", "n0")
        >>> stamp_of(tag_of(JobKey("k"), owner, "x")) == Stamp(JobKey("k"), owner, "x")
        True
    """
    try:
        data = json.loads(tag or "")
        project, domain, execution, node_path = data["owner"]
        owner = Owner(data["installation"], Tenant(project, domain), execution, node_path)
        return Stamp(JobKey(data["flytepath-key"]), owner, data["digest"])
    except (KeyError, TypeError, ValueError, FlytePathError):
        return None


def check_stamp(tag: str | None, plan: Plan, query_id: str) -> None:
    """Raise ``CONFLICT`` where a query of the key is another's, or ours with another content."""
    if stamp_of(tag) != Stamp(plan.key, plan.owner, plan.digest):
        raise BackendError(
            f"query {query_id} bears the key of this one in its tag, and is not it",
            error_class=ErrorClass.CONFLICT,
            accepted=False,
            hint="look at it in the query history of the account: it was left as it is",
        )


def request_id(plan: Plan) -> str:
    """The id of the request that submits a plan: the same for every try, in the form of a random UUID."""
    content = hashlib.sha256(f"{plan.key.value} {plan.digest}".encode()).digest()
    return str(uuid.UUID(bytes=content[:16], version=4))


def digest_of(spec: Mapping[str, Json]) -> str:
    """The digest of a spec."""
    return hashlib.sha256(_json(spec).encode()).hexdigest()


def _json(data: Json) -> str:
    return json.dumps(data, sort_keys=False, separators=(",", ":"), ensure_ascii=True)
