"""Lists by pages, and watches: what a client sees of many objects."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from flyte_plugin_kubernetes.testing.kinds import Kind
from flyte_plugin_kubernetes.testing.object_store import Change
from flyte_plugin_kubernetes.testing.objects import Objects
from flyte_plugin_kubernetes.testing.refusals import Refusal, bad_request, expired
from flyte_plugin_kubernetes.testing.selectors import Matcher, field_matcher, label_matcher

Json = dict[str, Any]

#: Seconds a watch goes on that names no end.
_WATCH_SECONDS = 1800


def matcher(kind: Kind, query: Mapping[str, str]) -> Matcher:
    """What the selectors of a query choose."""
    by_label = label_matcher(query.get("labelSelector", ""))
    by_field = field_matcher(query.get("fieldSelector", ""), kind)
    return lambda found: by_label(found) and by_field(found)


def list_objects(objects: Objects, kind: Kind, namespace: str, query: Mapping[str, str]) -> Json:
    """One page of a list.

    A page that goes on shows the objects as they are then, not as they were at the first page's version; a token of
    forgotten history is told 410, as by the real server.
    """
    store = objects.store
    chosen = matcher(kind, query)
    limit = _whole(query, "limit")
    with store.changed:
        version, after = store.version, ("", "")
        if query.get("continue"):
            version, after = _read_token(query["continue"])
            if version < store.oldest:
                raise expired(version, store.oldest)
        found = [
            item
            for item in store.all(kind.resource, namespace)
            if (item["metadata"].get("namespace", ""), item["metadata"]["name"]) > after and chosen(item)
        ]
    metadata: Json = {"resourceVersion": str(version)}
    if limit and len(found) > limit:
        last = found[limit - 1]["metadata"]
        mark = json.dumps([version, last.get("namespace", ""), last["name"]])
        metadata["continue"] = base64.urlsafe_b64encode(mark.encode()).decode()
        if not query.get("labelSelector") and not query.get("fieldSelector"):
            metadata["remainingItemCount"] = len(found) - limit
        found = found[:limit]
    items = [objects.shown(kind, item) if kind.custom else _untyped(item) for item in found]
    return {"kind": f"{kind.kind}List", "apiVersion": kind.api_version, "metadata": metadata, "items": items}


def _untyped(item: Json) -> Json:
    # Items of built-in lists name neither kind nor version.
    return {name: value for name, value in item.items() if name not in ("kind", "apiVersion")}


def _read_token(token: str) -> tuple[int, tuple[str, str]]:
    try:
        version, namespace, name = json.loads(base64.urlsafe_b64decode(token))
    except ValueError as error:
        raise bad_request("continue key is not valid") from error
    return int(version), (namespace, name)


def _whole(query: Mapping[str, str], name: str) -> int:
    text = query.get(name) or "0"
    if not text.isdigit():
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return int(text)


def watch(objects: Objects, kind: Kind, namespace: str, query: Mapping[str, str]) -> Iterator[Json]:
    """The events of a watch, until its time is over or the server ends it.

    A version that is forgotten gives one event of type ``ERROR`` with the 410, as the real server does it.
    """
    store = objects.store
    chosen = matcher(kind, query)
    deadline = time.monotonic() + (_whole(query, "timeoutSeconds") or _WATCH_SECONDS)
    bookmarks = query.get("allowWatchBookmarks", "").lower() in ("1", "true")
    asked = query.get("resourceVersion", "")
    with store.changed:
        epoch, version = store.epoch, store.version
        first = store.all(kind.resource, namespace) if asked in ("", "0") else []
    if asked not in ("", "0"):
        version = _whole(query, "resourceVersion")
    for item in first:
        if chosen(item):
            yield {"type": "ADDED", "object": objects.shown(kind, item)}
    while store.epoch == epoch:
        try:
            with store.changed:
                seen = store.version
                changes = store.changes_since(kind.resource, version)
        except Refusal as refusal:
            yield {"type": "ERROR", "object": refusal.status()}
            return
        for change in changes:
            event = _event(objects, kind, namespace, chosen, change)
            if event is not None:
                yield event
        version = seen
        if time.monotonic() >= deadline:
            if bookmarks:
                yield _bookmark(kind, version)
            return
        store.wait_beyond(version, epoch, deadline)


def _bookmark(kind: Kind, version: int) -> Json:
    metadata = {"resourceVersion": str(version), "creationTimestamp": None}
    return {
        "type": "BOOKMARK",
        "object": {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata},
    }


def _event(objects: Objects, kind: Kind, namespace: str, chosen: Matcher, change: Change) -> Json | None:
    def sees(item: Json | None) -> bool:
        if item is None or (namespace and item["metadata"].get("namespace") != namespace):
            return False
        return chosen(item)

    before = sees(change.before)
    if change.after is None:
        return {"type": "DELETED", "object": objects.shown(kind, change.before or {})} if before else None
    if sees(change.after):
        return {"type": "MODIFIED" if before else "ADDED", "object": objects.shown(kind, change.after)}
    if before:
        last = change.before or {}
        version = {"resourceVersion": change.after["metadata"]["resourceVersion"]}
        return {"type": "DELETED", "object": objects.shown(kind, last | {"metadata": last["metadata"] | version})}
    return None
