"""The pod templates in a manifest, wherever an operator has them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Json = Any


def template_metadata(thing: Json) -> Iterator[dict[str, Json]]:
    """The metadata of every pod template below a manifest's spec, made where it is not there."""
    if isinstance(thing, list):
        for below in thing:
            yield from template_metadata(below)
    elif isinstance(thing, dict):
        for name, below in thing.items():
            if name == "template" and isinstance(below, dict) and "containers" in (below.get("spec") or {}):
                yield below.setdefault("metadata", {})
            else:
                yield from template_metadata(below)


__all__ = ["template_metadata"]
