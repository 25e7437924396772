"""Which jobs are ours: a page of an installation's live ones, and those of a key of which only the key is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from flytepath.plugin import Handle, JobKey, OwnedJob, OwnedPage

from flyte_plugin_sagemaker.api_errors import ApiError
from flyte_plugin_sagemaker.kind import Kind
from flyte_plugin_sagemaker.kinds import all_kinds, kind_of
from flyte_plugin_sagemaker.tags import may_be_ours, tail_of

if TYPE_CHECKING:
    from flyte_plugin_sagemaker.api import Api

Json = Any

_PAGE: Final = 20


def owned_page(api: Api, scope: str, cursor: str | None, wait: Callable[[], object]) -> OwnedPage:
    """A page of the live jobs that an installation has stamped.

    Only lists tell of jobs that nobody remembers. They are asked for live ones alone, and tags for those whose names
    are made as ours are.

    Args:
        api: the account.
        scope: the installation.
        cursor: of the page before.
        wait: called before each look, to keep the account's pace.
    """
    turns = [(kind.name, state) for kind in all_kinds() for state in kind.live_states]
    number, _, token = (cursor or "0 ").partition(" ")
    place = int(number)
    if place >= len(turns):
        return OwnedPage(())
    name, state = turns[place]
    kind = kind_of(name)
    try:
        page = _listed(api, kind, StatusEquals=state, MaxResults=_PAGE, **({"NextToken": token} if token else {}))
    except ApiError as error:
        if not error.is_denied:
            raise
        page = {}  # an account that may not list a kind is not one that makes it
    jobs = tuple(job for found in page.get(kind.list_field) or () if (job := _owned(api, kind, found, scope, wait)))
    if page.get("NextToken"):
        return OwnedPage(jobs, f"{place} {page['NextToken']}")
    return OwnedPage(jobs, f"{place + 1} " if place + 1 < len(turns) else None)


def _owned(api: Api, kind: Kind, found: Json, scope: str, wait: Callable[[], object]) -> OwnedJob | None:
    name = str(found[kind.name_field])
    if not may_be_ours(name):
        return None
    wait()
    description = kind.describe(api, name)
    stamp = None if description is None else kind.stamp(api, description)
    if description is None or stamp is None or stamp.owner.installation != scope:
        return None
    extra = kind.extra(None, description)
    data = {"kind": kind.name, "name": name, "arn": description[kind.arn_field], **({"extra": extra} if extra else {})}
    handle = Handle(data)
    return OwnedJob(handle, stamp.key, stamp.owner, stamp.digest, kind.observe(api, handle, description))


def jobs_of_key(api: Api, key: JobKey) -> Iterator[tuple[Kind, str]]:
    """The kinds and names of what was made for a key; names hold a part of its digest.

    Raises:
        ApiError: nothing was found, and not every kind may be listed.
    """
    denied: ApiError | None = None
    nothing = True
    for kind in all_kinds():
        if not kind.list_call:
            continue
        try:
            page = _listed(api, kind, NameContains=tail_of(key), MaxResults=_PAGE)
        except ApiError as error:
            if not error.is_denied:
                raise
            denied = error
            continue
        for found in page.get(kind.list_field) or ():
            nothing = False
            yield kind, str(found[kind.name_field])
    if nothing and denied is not None:
        raise denied


def _listed(api: Api, kind: Kind, **filters: Json) -> dict[str, Json]:
    return api.call("sagemaker", kind.list_call, **filters)


__all__ = ["jobs_of_key", "owned_page"]
