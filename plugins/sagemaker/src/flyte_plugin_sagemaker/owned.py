"""Which jobs are ours: a page of an installation's live ones, and those of a key of which only the key is known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from flytepath.plugin import Handle, JobKey, OwnedJob, OwnedPage

from flyte_plugin_sagemaker.kind import Kind
from flyte_plugin_sagemaker.kinds import all_kinds, kind_of
from flyte_plugin_sagemaker.tags import may_be_ours, tail_of

if TYPE_CHECKING:
    from flyte_plugin_sagemaker.api import Api

Json = Any

_PAGE: Final = 50


def owned_page(api: Api, scope: str, cursor: str | None) -> OwnedPage:
    """A page of the live jobs that an installation has stamped.

    Only lists tell of jobs that nobody remembers. They are asked for live ones alone, and tags for those whose names
    are made as ours are.

    Args:
        api: the account.
        scope: the installation.
        cursor: of the page before.
    """
    turns = [(kind.name, state) for kind in all_kinds() for state in kind.live_states]
    number, _, token = (cursor or "0 ").partition(" ")
    place = int(number)
    if place >= len(turns):
        return OwnedPage(())
    name, state = turns[place]
    kind = kind_of(name)
    page = _listed(api, kind, StatusEquals=state, MaxResults=_PAGE, **({"NextToken": token} if token else {}))
    jobs = tuple(job for found in page.get(kind.list_field) or () if (job := _owned(api, kind, found, scope)))
    if page.get("NextToken"):
        return OwnedPage(jobs, f"{place} {page['NextToken']}")
    return OwnedPage(jobs, f"{place + 1} " if place + 1 < len(turns) else None)


def _owned(api: Api, kind: Kind, found: Json, scope: str) -> OwnedJob | None:
    name = str(found[kind.name_field])
    if not may_be_ours(name):
        return None
    description = kind.describe(api, name)
    stamp = None if description is None else kind.stamp(api, description)
    if description is None or stamp is None or stamp.owner.installation != scope:
        return None
    extra = kind.extra(None, description)
    data = {"kind": kind.name, "name": name, "arn": description[kind.arn_field], **({"extra": extra} if extra else {})}
    handle = Handle(data)
    return OwnedJob(handle, stamp.key, stamp.owner, stamp.digest, kind.observe(api, handle, description))


def jobs_of_key(api: Api, key: JobKey) -> Iterator[tuple[Kind, str]]:
    """The kinds and names of what was made for a key; names hold a part of its digest."""
    for kind in all_kinds():
        if kind.list_call:
            page = _listed(api, kind, NameContains=tail_of(key), MaxResults=_PAGE)
            for found in page.get(kind.list_field) or ():
                yield kind, str(found[kind.name_field])


def _listed(api: Api, kind: Kind, **filters: Json) -> dict[str, Json]:
    return api.call("sagemaker", kind.list_call, **filters)


__all__ = ["jobs_of_key", "owned_page"]
