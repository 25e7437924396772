"""All objects that bear the stamp of an installation, a page at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flytepath.plugin import BackendError, ErrorClass, OwnedJob, OwnedPage

from flyte_plugin_kubernetes.api_errors import ApiAnswerError
from flyte_plugin_kubernetes.looking import bounds_of, ref_of
from flyte_plugin_kubernetes.names import label_value
from flyte_plugin_kubernetes.places import EVERYWHERE, Places
from flyte_plugin_kubernetes.resource_kind import ResourceKind
from flyte_plugin_kubernetes.stamps import handle_of, selector_of, stamp_of

if TYPE_CHECKING:
    from flyte_plugin_kubernetes.custom_resource import CustomResourceBackend

Json = Any


def owned_page(backend: CustomResourceBackend, places: Places, scope: str, cursor: str | None) -> OwnedPage:
    """One page of the jobs of an installation, over all kinds and namespaces.

    Where the account may not list all namespaces at once, those that are known are listed one after the other.
    """
    left, token = _read(backend, places, cursor)
    if not left:
        return OwnedPage(())
    number, namespace = left[0]
    kind, selector = backend.kinds[number], selector_of(label_value(scope))
    try:
        things, token = backend.client.page(kind, namespace, labels=selector, token=token)
    except ApiAnswerError as error:
        if error.is_absent_kind:
            things, token = [], ""
        elif error.status == 403 and namespace == EVERYWHERE:
            known = [(number, namespace) for namespace in places.known(backend.tenant)]
            return OwnedPage((), _cursor([*known, *left[1:]], ""))
        else:
            raise
    rest = left if token else left[1:]
    jobs = (_owned(backend, kind, thing) for thing in things)
    ours = tuple(job for job in jobs if job is not None and job.owner.installation == scope)
    return OwnedPage(ours, _cursor(rest, token) if rest else None)


def _owned(backend: CustomResourceBackend, kind: ResourceKind, thing: Mapping[str, Json]) -> OwnedJob | None:
    stamp = stamp_of(thing)
    if stamp is None:
        return None
    handle = handle_of(kind, thing)
    job = ref_of(handle, backend.kinds)
    seen = None if job is None else backend.observation(job, thing, (), bounds_of(backend, [thing]))
    return OwnedJob(handle, stamp.key, stamp.owner, stamp.digest, seen)


def _read(backend: CustomResourceBackend, places: Places, cursor: str | None) -> tuple[list[tuple[int, str]], str]:
    """Which kinds and namespaces are left, and where in the first of them the list goes on."""
    if cursor is None:
        namespaces = places.known(backend.tenant) if places.are_known else [EVERYWHERE]
        return [(number, namespace) for number in range(len(backend.kinds)) for namespace in namespaces], ""
    try:
        left, token = json.loads(cursor)
        return [(int(number), str(namespace)) for number, namespace in left], str(token)
    except (TypeError, ValueError) as error:
        raise BackendError("not a cursor of this backend", error_class=ErrorClass.PROTOCOL) from error


def _cursor(left: list[tuple[int, str]], token: str) -> str:
    return json.dumps([left, token])


__all__ = ["owned_page"]
