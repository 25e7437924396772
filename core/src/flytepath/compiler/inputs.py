"""The inputs of a run as literals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flytepath.authoring.entity import Entity
from flytepath.compiler.literals import encode
from flytepath.errors import InputError
from flytepath.model.literal import Literal
from flytepath.plugin.transformer import BlobSink


def parse_inputs(
    entity: Entity, texts: Mapping[str, str], natives: Mapping[str, Any], sink: BlobSink
) -> dict[str, Literal]:
    """A run's inputs as literals: ``texts`` as typed on a command line, ``natives`` as Python values, then defaults.

    Raises:
        InputError: an unknown, missing or unreadable input.
    """
    from flytepath.types.text import parse_text

    given: dict[str, Any] = dict(natives)
    for name, text in texts.items():
        if name not in entity.inputs:
            entity.bind((), {name: text})
        try:
            given[name] = parse_text(entity.inputs[name], text)
        except InputError as error:
            error.place = f"--{name}{error.place or ''}"
            raise
    bound = entity.bind((), given)
    return {
        name: encode(entity.input_codecs[name], value, sink, f"{entity.name}({name})") for name, value in bound.items()
    }
